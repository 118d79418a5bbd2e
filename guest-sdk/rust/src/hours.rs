//! Times of the day and days of the week.
//!
//! The offset from UTC is fixed: summer time needs the time-zone database, which would be many
//! times the size of a policy.

/// From a time to a time, on some days.
#[derive(Debug, serde::Deserialize)]
#[serde(try_from = "Config")]
pub struct Hours {
    /// Bit 0 is Monday.
    days: u8,
    from_minute: u32,
    /// Not included. At or below `from_minute`: on the next day.
    to_minute: u32,
    offset_ms: i64,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    days: Option<Vec<String>>,
    from: Option<String>,
    to: Option<String>,
    utc_offset: Option<String>,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY_MINUTES: u32 = 24 * 60;

impl TryFrom<Config> for Hours {
    type Error = String;

    fn try_from(config: Config) -> Result<Self, String> {
        let mut days = 0;
        for name in config.days.iter().flatten() {
            let index = DAYS.iter().position(|day| day == name);
            days |= 1 << index.ok_or_else(|| format!("`{name}` is not a day such as \"mon\""))?;
        }
        let offset = config.utc_offset.as_deref().unwrap_or("+00:00");
        let (sign, time) = match (offset.strip_prefix('+'), offset.strip_prefix('-')) {
            (Some(time), _) => (1, time),
            (_, Some(time)) => (-1, time),
            _ => return Err(format!("`{offset}` is not an offset such as \"+02:00\"")),
        };
        Ok(Hours {
            days: if config.days.is_some() { days } else { 0x7f },
            from_minute: minute(config.from.as_deref().unwrap_or("00:00"))?,
            to_minute: minute(config.to.as_deref().unwrap_or("24:00"))?,
            offset_ms: sign * i64::from(minute(time)?) * 60_000,
        })
    }
}

impl Hours {
    /// True if the moment (milliseconds since the Unix epoch) is within.
    pub fn contains(&self, now_ms: u64) -> bool {
        let local_ms = i64::try_from(now_ms)
            .unwrap_or(i64::MAX)
            .saturating_add(self.offset_ms);
        let minutes = local_ms.div_euclid(60_000);
        let minute = u32::try_from(minutes.rem_euclid(i64::from(DAY_MINUTES))).unwrap_or(0);
        // The epoch was a Thursday.
        let day = (minutes.div_euclid(i64::from(DAY_MINUTES)) + 3).rem_euclid(7);
        let on = |day: i64| self.days & (1 << day) != 0;
        if self.from_minute < self.to_minute {
            return on(day) && (self.from_minute..self.to_minute).contains(&minute);
        }
        // Over midnight: the hours after it belong to the day on which they began.
        (on(day) && minute >= self.from_minute) || (on((day + 6) % 7) && minute < self.to_minute)
    }
}

/// Minutes since midnight of `08:30`, up to `24:00`.
fn minute(text: &str) -> Result<u32, String> {
    let parsed = text.split_once(':').and_then(|(hour, minute)| {
        let hour: u32 = hour.parse().ok()?;
        let minute: u32 = minute.parse().ok()?;
        (minute < 60 && hour * 60 + minute <= DAY_MINUTES).then_some(hour * 60 + minute)
    });
    parsed.ok_or_else(|| format!("`{text}` is not a time such as \"08:30\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(json: &str) -> Hours {
        serde_json::from_str(json).unwrap()
    }

    /// 2026-01-05, a Monday, at that time in UTC, plus days.
    fn at(days: u64, time: &str) -> u64 {
        1_767_571_200_000 + days * 86_400_000 + u64::from(minute(time).unwrap()) * 60_000
    }

    #[test]
    fn within_a_day() {
        let office =
            hours(r#"{"days":["mon","tue","wed","thu","fri"],"from":"08:00","to":"18:00"}"#);
        assert!(office.contains(at(0, "08:00")) && office.contains(at(4, "17:59")));
        assert!(!office.contains(at(0, "07:59")) && !office.contains(at(0, "18:00")));
        assert!(!office.contains(at(5, "12:00")) && !office.contains(at(6, "12:00")));
    }

    #[test]
    fn over_midnight() {
        let night = hours(r#"{"days":["fri"],"from":"22:00","to":"06:00"}"#);
        assert!(night.contains(at(4, "22:00")) && night.contains(at(5, "05:59")));
        assert!(!night.contains(at(4, "05:00")) && !night.contains(at(5, "06:00")));
        assert!(!night.contains(at(5, "22:00")));
    }

    #[test]
    fn offsets() {
        let east = hours(r#"{"days":["tue"],"utc_offset":"+02:00"}"#);
        assert!(east.contains(at(0, "22:00")) && !east.contains(at(0, "21:59")));
        let west = hours(r#"{"days":["sun"],"utc_offset":"-05:30"}"#);
        assert!(west.contains(at(0, "05:29")) && !west.contains(at(0, "05:30")));
    }

    #[test]
    fn nonsense_is_refused() {
        for json in [
            r#"{"days":["monday"]}"#,
            r#"{"from":"8"}"#,
            r#"{"to":"24:01"}"#,
            r#"{"utc_offset":"2"}"#,
            r#"{"until":"18:00"}"#,
        ] {
            assert!(serde_json::from_str::<Hours>(json).is_err(), "{json}");
        }
    }
}

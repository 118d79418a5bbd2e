//! Natural periods: the day, week or month that a moment lies in, in a time zone.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::rule::Window;

/// A stretch of time, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) start_ms: u64,
    /// The first millisecond after it.
    pub(crate) end_ms: u64,
}

impl Period {
    /// The period of `window` that `now_ms` lies in. Only a clock that shows a year past 9999
    /// has none; it gets one that never ends, so that limits still hold.
    pub(crate) fn containing(window: Window, now_ms: u64, zone: &TimeZone) -> Self {
        Self::natural(window, now_ms, zone).unwrap_or(Self {
            start_ms: now_ms,
            end_ms: u64::MAX,
        })
    }

    fn natural(window: Window, now_ms: u64, zone: &TimeZone) -> Option<Self> {
        let now = Timestamp::from_millisecond(i64::try_from(now_ms).ok()?).ok()?;
        let today = now.to_zoned(zone.clone()).date();
        let (first, after) = match window {
            Window::Week => {
                let since_monday = i64::from(today.weekday().to_monday_zero_offset());
                let first = today.checked_sub(since_monday.days()).ok()?;
                (first, first.checked_add(7.days()).ok()?)
            }
            Window::Month => (
                today.first_of_month(),
                today.last_of_month().tomorrow().ok()?,
            ),
            _ => (today, today.tomorrow().ok()?),
        };
        Some(Self {
            start_ms: start_ms(first, zone)?,
            end_ms: start_ms(after, zone)?,
        })
    }
}

fn start_ms(date: Date, zone: &TimeZone) -> Option<u64> {
    let start: Zoned = date.to_zoned(zone.clone()).ok()?.start_of_day().ok()?;
    u64::try_from(start.timestamp().as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(window: Window, now: &str, zone: &str, start: &str, end: &str) {
        let ms = |text: &str| {
            u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
        };
        let period = Period::containing(window, ms(now), &TimeZone::get(zone).unwrap());
        assert_eq!(
            period,
            Period {
                start_ms: ms(start),
                end_ms: ms(end)
            }
        );
    }

    #[test]
    fn periods_are_natural_in_their_zone() {
        check(
            Window::Day,
            "2026-03-05T01:00:00Z",
            "America/New_York",
            "2026-03-04T05:00:00Z",
            "2026-03-05T05:00:00Z",
        );
        // The day on which the clocks go forward has 23 hours.
        check(
            Window::Day,
            "2026-03-08T12:00:00Z",
            "America/New_York",
            "2026-03-08T05:00:00Z",
            "2026-03-09T04:00:00Z",
        );
        check(
            Window::Week,
            "2026-11-22T23:59:59Z",
            "UTC",
            "2026-11-16T00:00:00Z",
            "2026-11-23T00:00:00Z",
        );
        check(
            Window::Month,
            "2026-12-31T23:30:00Z",
            "Europe/Berlin",
            "2026-12-31T23:00:00Z",
            "2027-01-31T23:00:00Z",
        );
    }

    #[test]
    fn a_senseless_clock_still_has_a_period() {
        let period = Period::containing(Window::Day, u64::MAX, &TimeZone::UTC);
        assert_eq!(period.end_ms, u64::MAX);
    }
}

//! The headers in which providers say what is left of their limits.
//!
//! Two families: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, which OpenAI began and most
//! follow, some with a window behind it (`-minute`, `-day`, `-60-second`) and some without saying of
//! what (requests, then); and `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{…}`.
//! Most providers send none, and to find that out must cost next to nothing.

use http::HeaderMap;

/// The limits that are told apart: requests; tokens of both kinds; input tokens; output tokens.
pub(super) const GAUGES: usize = 4;

/// How long a number holds where the provider does not say, in milliseconds.
const UNTOLD_MS: u64 = 1_000;
/// The same as a part of the limit's window, where it has one: nobody knows when it ends, and a call
/// that finds out too early costs one refusal.
const UNTOLD_PART: u64 = 12;

/// What one reply says, by limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told(pub(super) [Option<Reading>; GAUGES]);

/// What one reply says of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// The whole budget; 0 where nothing is said of it.
    pub(super) limit: u64,
    /// What is left of it.
    pub(super) remaining: u64,
    /// When it is whole again, in milliseconds since the Unix epoch.
    pub(super) until_ms: u64,
}

/// The windows over which one kind of limit can be counted, by their length in milliseconds; 0 where
/// the provider does not say.
const WINDOWS_MS: [u64; 7] = [
    0,
    10_000,
    60_000,
    3_600_000,
    86_400_000,
    604_800_000,
    2_592_000_000,
];

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Limit,
    Remaining,
    Reset,
}

/// The header values of one limit over one window.
#[derive(Debug, Clone, Copy, Default)]
struct Heard<'h> {
    limit: Option<&'h str>,
    remaining: Option<&'h str>,
    reset: Option<&'h str>,
}

impl Told {
    /// Reads a reply's headers. None where they say nothing, which a look at each name finds out.
    pub fn read(headers: &HeaderMap, now_ms: u64) -> Option<Self> {
        let is_told = |name: &str| RATE_LIMIT.iter().any(|family| name.starts_with(family));
        let mut told = headers.iter().filter(|(name, _)| is_told(name.as_str()));
        let first = told.next()?;
        let mut heard = [[Heard::default(); WINDOWS_MS.len()]; GAUGES];
        for (name, value) in std::iter::once(first).chain(told) {
            if let (Some((gauge, says, window)), Ok(text)) = (place(name.as_str()), value.to_str())
                && let Some(heard) = heard.get_mut(gauge).and_then(|of| of.get_mut(window))
            {
                match says {
                    Says::Limit => heard.limit = Some(text),
                    Says::Remaining => heard.remaining = Some(text),
                    Says::Reset => heard.reset = Some(text),
                }
            }
        }
        let mut told = heard.map(|windows| tightest(&windows, now_ms));
        if let [_, tokens, input, output] = &mut told
            && (input.is_some() || output.is_some())
        {
            // The sum of the two says less than each, and counts a bound on output as if it were used.
            *tokens = None;
        }
        told.iter().any(Option::is_some).then_some(Self(told))
    }

    /// When what is used up now is whole again, in milliseconds since the Unix epoch: the latest of
    /// the limits of which nothing is left.
    pub fn exhausted_until_ms(&self) -> Option<u64> {
        let empty = self.0.iter().flatten().filter(|told| told.remaining == 0);
        empty.map(|told| told.until_ms).max()
    }
}

/// How the names of the headers begin.
const RATE_LIMIT: [&str; 2] = ["x-ratelimit-", "anthropic-ratelimit-"];

/// Which limit a header is about, what it says of it, and over which of the windows.
fn place(name: &str) -> Option<(usize, Says, usize)> {
    if let Some(name) = name.strip_prefix("anthropic-ratelimit-") {
        let (kind, what) = name.rsplit_once('-')?;
        return Some((gauge(kind)?, says(what)?, 0));
    }
    let name = name.strip_prefix("x-ratelimit-")?;
    let (what, kind) = name.split_once('-').unwrap_or((name, "requests"));
    let what = says(what)?;
    if let Some(gauge) = gauge(kind) {
        return Some((gauge, what, 0));
    }
    let (kind, window) = match kind.strip_suffix("-second") {
        // Mistral's: `req-10-second`.
        Some(kind) => kind.rsplit_once('-')?,
        None => kind.rsplit_once('-').unwrap_or(("requests", kind)),
    };
    let window_ms = match window {
        "minute" => 60_000,
        "hour" => 3_600_000,
        "day" => 86_400_000,
        "week" => 604_800_000,
        "month" => 2_592_000_000,
        seconds => seconds.parse::<u64>().ok()?.saturating_mul(1_000),
    };
    // The shortest of those that are known which is as long.
    let window = WINDOWS_MS.iter().position(|known| *known >= window_ms)?;
    Some((gauge(kind)?, what, window))
}

fn gauge(kind: &str) -> Option<usize> {
    match kind {
        "requests" | "req" => Some(0),
        "tokens" => Some(1),
        "input-tokens" => Some(2),
        "output-tokens" => Some(3),
        _ => None,
    }
}

fn says(what: &str) -> Option<Says> {
    match what {
        "limit" => Some(Says::Limit),
        "remaining" => Some(Says::Remaining),
        "reset" => Some(Says::Reset),
        _ => None,
    }
}

/// Of all windows of one limit, what is said of the one that is used up first.
fn tightest(windows: &[Heard<'_>; WINDOWS_MS.len()], now_ms: u64) -> Option<Reading> {
    let readings = windows.iter().zip(WINDOWS_MS);
    let readings = readings.filter_map(|(heard, window_ms)| heard.reading(window_ms, now_ms));
    readings.min_by_key(|told| (told.remaining, u64::MAX - told.until_ms))
}

impl Heard<'_> {
    fn reading(&self, window_ms: u64, now_ms: u64) -> Option<Reading> {
        let untold_ms = UNTOLD_MS.max(window_ms / UNTOLD_PART);
        Some(Reading {
            limit: self.limit.and_then(count).unwrap_or(0),
            remaining: self.remaining.and_then(count)?,
            until_ms: self
                .reset
                .and_then(|text| reset_ms(text, now_ms))
                .unwrap_or_else(|| now_ms.saturating_add(untold_ms)),
        })
    }
}

/// A whole number, or one with digits behind the point, which are dropped. Below zero is none left.
fn count(text: &str) -> Option<u64> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        number.is_finite().then(|| whole(number))
    })
}

/// When a budget is whole again: a time (RFC 3339, or seconds or milliseconds since the epoch), or a
/// while from now (`6m0s`, `120ms`, or plain seconds).
fn reset_ms(text: &str, now_ms: u64) -> Option<u64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return match number {
            // What would be decades is a time: first in milliseconds, then in seconds.
            _ if number >= 1e11 => Some(whole(number)),
            _ if number >= 1e9 => Some(whole(number * 1_000.0)),
            _ if number.is_finite() => {
                Some(now_ms.saturating_add(whole((number * 1_000.0).ceil())))
            }
            _ => None,
        };
    }
    if let Some(while_ms) = while_ms(text) {
        return Some(now_ms.saturating_add(while_ms));
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    // A whole second: the budget may be whole only at its end.
    u64::try_from(time.as_millisecond()).ok()
}

/// A while as Go writes it: numbers, each with its unit. Rounded up.
fn while_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum_ms = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let unit_ms = match unit {
            "d" => 86_400_000.0,
            "h" => 3_600_000.0,
            "m" => 60_000.0,
            "s" => 1_000.0,
            "ms" => 1.0,
            "us" | "µs" | "μs" => 1e-3,
            "ns" => 1e-6,
            _ => return None,
        };
        sum_ms += number.parse::<f64>().ok()? * unit_ms;
        rest = tail;
    }
    (!text.is_empty()).then(|| whole(sum_ms.ceil()))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, at zero too, which is what such a number means"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = of.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            )
        });
        pairs.collect()
    }

    fn in_ms(text: &str) -> Option<u64> {
        reset_ms(text, NOW_MS).map(|at| at.saturating_sub(NOW_MS))
    }

    #[test]
    fn resets_are_read_in_every_form_that_was_recorded() {
        let cases = [
            ("6m0s", Some(360_000)),
            ("120ms", Some(120)),
            ("1.036s", Some(1_036)),
            ("10.974999999s", Some(10_975)),
            ("1h2m3s", Some(3_723_000)),
            ("0s", Some(0)),
            ("0", Some(0)),
            ("17", Some(17_000)),
            ("0.5", Some(500)),
            ("1800000005", Some(5_000)),
            ("1800000005000", Some(5_000)),
            ("2027-01-15T08:00:07Z", Some(7_000)),
            ("2027-01-15T08:00:07.5+00:00", Some(7_500)),
            ("", None),
            ("soon", None),
            ("5", Some(5_000)),
            ("5x", None),
            ("NaN", None),
        ];
        for (text, expected) in cases {
            assert_eq!(in_ms(text), expected, "{text}");
        }
    }

    #[test]
    fn openais_headers_are_read() {
        let told = Told::read(
            &headers(&[
                ("x-ratelimit-limit-requests", "500"),
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "120ms"),
                ("x-ratelimit-limit-tokens", "33333.333333333336"),
                ("x-ratelimit-remaining-tokens", "33310.333333333336"),
            ]),
            NOW_MS,
        )
        .unwrap();
        let reading = |limit, remaining, until_ms| {
            Some(Reading {
                limit,
                remaining,
                until_ms,
            })
        };
        let requests = reading(500, 0, NOW_MS + 120);
        let tokens = reading(33_333, 33_310, NOW_MS + UNTOLD_MS);
        assert_eq!(told, Told([requests, tokens, None, None]));
        assert_eq!(told.exhausted_until_ms(), Some(NOW_MS + 120));
    }

    #[test]
    fn anthropics_headers_are_read() {
        let all = [
            ("anthropic-ratelimit-requests-limit", "4000"),
            ("anthropic-ratelimit-requests-remaining", "3999"),
            ("anthropic-ratelimit-requests-reset", "2027-01-15T08:00:01Z"),
            ("anthropic-ratelimit-tokens-limit", "480000"),
            ("anthropic-ratelimit-tokens-remaining", "0"),
            ("anthropic-ratelimit-tokens-reset", "2027-01-15T08:00:09Z"),
            ("anthropic-ratelimit-input-tokens-remaining", "400000"),
        ];
        let Told([requests, tokens, input, output]) = Told::read(&headers(&all), NOW_MS).unwrap();
        assert_eq!(requests.unwrap().remaining, 3_999);
        assert_eq!(
            (tokens, input.unwrap().remaining, output),
            (None, 400_000, None)
        );
        let Told([_, tokens, ..]) = Told::read(&headers(&all[..6]), NOW_MS).unwrap();
        assert_eq!(tokens.unwrap().until_ms, NOW_MS + 9_000);
    }

    #[test]
    fn anthropics_tokens_are_read_without_requests() {
        let of_tokens = [
            ("anthropic-ratelimit-input-tokens-limit", "8000000"),
            ("anthropic-ratelimit-input-tokens-remaining", "8000000"),
            ("anthropic-ratelimit-output-tokens-remaining", "1200000"),
            ("anthropic-ratelimit-tokens-remaining", "9200000"),
        ];
        let Told([requests, tokens, input, output]) =
            Told::read(&headers(&of_tokens), NOW_MS).unwrap();
        assert_eq!((requests, tokens), (None, None));
        assert_eq!(input.unwrap().limit, 8_000_000);
        assert_eq!(output.unwrap().remaining, 1_200_000);
    }

    /// Of each limit: what is left, the whole, and for how many milliseconds that holds.
    fn told(of: &[(&'static str, &'static str)]) -> [Option<(u64, u64, u64)>; 2] {
        let Some(Told([requests, tokens, ..])) = Told::read(&headers(of), NOW_MS) else {
            return [None, None];
        };
        [requests, tokens]
            .map(|told| told.map(|told| (told.remaining, told.limit, told.until_ms - NOW_MS)))
    }

    #[test]
    fn of_several_windows_the_one_that_is_used_up_first_counts() {
        // Cerebras.
        let mut windows = vec![
            ("x-ratelimit-limit-requests-day", "1440000"),
            ("x-ratelimit-limit-requests-hour", "60000"),
            ("x-ratelimit-limit-requests-minute", "1000"),
            ("x-ratelimit-limit-tokens-minute", "1000000"),
            ("x-ratelimit-remaining-requests-day", "1439984"),
            ("x-ratelimit-remaining-requests-hour", "59984"),
            ("x-ratelimit-remaining-requests-minute", "984"),
            ("x-ratelimit-remaining-tokens-day", "9223372036854767616"),
            ("x-ratelimit-remaining-tokens-minute", "932799"),
        ];
        let tokens = Some((932_799, 1_000_000, 5_000));
        assert_eq!(told(&windows), [Some((984, 1_000, 5_000)), tokens]);
        windows.retain(|(name, _)| *name != "x-ratelimit-remaining-requests-day");
        windows.push(("x-ratelimit-remaining-requests-day", "0"));
        windows.push(("x-ratelimit-reset-requests-day", "33011.38"));
        let day = Some((0, 1_440_000, 33_011_380));
        assert_eq!(told(&windows), [day, tokens]);
    }

    #[test]
    fn mistrals_windows_are_read() {
        let all = [
            ("x-ratelimit-limit-req-10-second", "60"),
            ("x-ratelimit-remaining-req-10-second", "58"),
            ("x-ratelimit-limit-tokens-minute", "2000000"),
            ("x-ratelimit-limit-tokens-month", "10000000000"),
            ("x-ratelimit-remaining-tokens-minute", "1999829"),
            ("x-ratelimit-remaining-tokens-month", "9999999829"),
            ("x-ratelimit-tokens-query-cost", "64"),
        ];
        let tokens = Some((1_999_829, 2_000_000, 5_000));
        assert_eq!(told(&all), [Some((58, 60, 1_000)), tokens]);
        let minute = [
            ("x-ratelimit-limit-req-60-second", "360"),
            ("x-ratelimit-remaining-req-60-second", "162"),
        ];
        assert_eq!(told(&minute), [Some((162, 360, 5_000)), None]);
    }

    #[test]
    fn a_limit_of_nothing_in_particular_is_one_of_requests() {
        let openrouters = [
            ("x-ratelimit-limit", "1"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1800000060000"),
        ];
        assert_eq!(told(&openrouters), [Some((0, 1, 60_000)), None]);
        let hugging_faces = [
            ("x-ratelimit-limit-minute", "400"),
            ("x-ratelimit-remaining-minute", "399"),
        ];
        assert_eq!(told(&hugging_faces), [Some((399, 400, 5_000)), None]);
    }

    #[test]
    fn limits_of_other_things_say_nothing() {
        let images = [
            ("x-ratelimit-limit-input-images", "50000"),
            ("x-ratelimit-remaining-input-images", "0"),
            ("x-ratelimit-remaining-audio-seconds-minute", "0"),
            ("x-ratelimit-remaining-tokens_usage_based", "0"),
            ("x-ratelimit-over-limit", "no"),
            ("x-ratelimit-key", "gpt"),
        ];
        assert_eq!(told(&images), [None, None]);
    }

    #[test]
    fn other_headers_say_nothing() {
        let none = headers(&[("content-type", "application/json"), ("retry-after", "3")]);
        assert_eq!(Told::read(&none, NOW_MS), None);
    }
}

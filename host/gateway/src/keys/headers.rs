//! The headers in which providers say what is left of their limits.
//!
//! Two families: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, which OpenAI began and most
//! follow, and `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{…}`. Most
//! providers send none, and to find that out must cost next to nothing.

use http::{HeaderMap, HeaderName};

/// The limits that are told apart: requests; tokens of both kinds; input tokens; output tokens.
pub(super) const GAUGES: usize = 4;

/// How long a number holds where the provider does not say, in milliseconds.
const UNTOLD_MS: u64 = 1_000;

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

macro_rules! names {
    ($($name:ident = $text:literal;)+) => {
        $(static $name: HeaderName = HeaderName::from_static($text);)+
    };
}

names! {
    X_REQUESTS_REMAINING = "x-ratelimit-remaining-requests";
    X_REQUESTS_LIMIT = "x-ratelimit-limit-requests";
    X_REQUESTS_RESET = "x-ratelimit-reset-requests";
    X_TOKENS_REMAINING = "x-ratelimit-remaining-tokens";
    X_TOKENS_LIMIT = "x-ratelimit-limit-tokens";
    X_TOKENS_RESET = "x-ratelimit-reset-tokens";
    A_REQUESTS_REMAINING = "anthropic-ratelimit-requests-remaining";
    A_REQUESTS_LIMIT = "anthropic-ratelimit-requests-limit";
    A_REQUESTS_RESET = "anthropic-ratelimit-requests-reset";
    A_TOKENS_REMAINING = "anthropic-ratelimit-tokens-remaining";
    A_TOKENS_LIMIT = "anthropic-ratelimit-tokens-limit";
    A_TOKENS_RESET = "anthropic-ratelimit-tokens-reset";
    A_INPUT_REMAINING = "anthropic-ratelimit-input-tokens-remaining";
    A_INPUT_LIMIT = "anthropic-ratelimit-input-tokens-limit";
    A_INPUT_RESET = "anthropic-ratelimit-input-tokens-reset";
    A_OUTPUT_REMAINING = "anthropic-ratelimit-output-tokens-remaining";
    A_OUTPUT_LIMIT = "anthropic-ratelimit-output-tokens-limit";
    A_OUTPUT_RESET = "anthropic-ratelimit-output-tokens-reset";
}

impl Told {
    /// Reads a reply's headers. None where they say nothing, which three look-ups find out.
    pub fn read(headers: &HeaderMap, now_ms: u64) -> Option<Self> {
        let read = |limit, remaining, reset| reading(headers, limit, remaining, reset, now_ms);
        if headers.contains_key(&A_REQUESTS_REMAINING) {
            let requests = read(&A_REQUESTS_LIMIT, &A_REQUESTS_REMAINING, &A_REQUESTS_RESET);
            let input = read(&A_INPUT_LIMIT, &A_INPUT_REMAINING, &A_INPUT_RESET);
            let output = read(&A_OUTPUT_LIMIT, &A_OUTPUT_REMAINING, &A_OUTPUT_RESET);
            // The sum of the two says less than each, and counts a bound on output as if it were
            // used.
            let tokens = match (input, output) {
                (None, None) => read(&A_TOKENS_LIMIT, &A_TOKENS_REMAINING, &A_TOKENS_RESET),
                _ => None,
            };
            return Some(Self([requests, tokens, input, output]));
        }
        if headers.contains_key(&X_REQUESTS_REMAINING) || headers.contains_key(&X_TOKENS_REMAINING)
        {
            let requests = read(&X_REQUESTS_LIMIT, &X_REQUESTS_REMAINING, &X_REQUESTS_RESET);
            let tokens = read(&X_TOKENS_LIMIT, &X_TOKENS_REMAINING, &X_TOKENS_RESET);
            return Some(Self([requests, tokens, None, None]));
        }
        None
    }

    /// When what is used up now is whole again, in milliseconds since the Unix epoch: the latest of
    /// the limits of which nothing is left.
    pub fn exhausted_until_ms(&self) -> Option<u64> {
        let empty = self.0.iter().flatten().filter(|told| told.remaining == 0);
        empty.map(|told| told.until_ms).max()
    }
}

fn reading(
    headers: &HeaderMap,
    limit: &HeaderName,
    remaining: &HeaderName,
    reset: &HeaderName,
    now_ms: u64,
) -> Option<Reading> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    Some(Reading {
        limit: text(limit).and_then(count).unwrap_or(0),
        remaining: text(remaining).and_then(count)?,
        until_ms: text(reset)
            .and_then(|text| reset_ms(text, now_ms))
            .unwrap_or_else(|| now_ms.saturating_add(UNTOLD_MS)),
    })
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
    fn other_headers_say_nothing() {
        let none = headers(&[("content-type", "application/json"), ("retry-after", "3")]);
        assert_eq!(Told::read(&none, NOW_MS), None);
    }
}

//! What a provider's status and error body mean for the key, the channel and the next try.

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use jiff::fmt::rfc2822::DateTimeParser;
use weir_wire::error::dead_key;

use super::send::Got;
use crate::telemetry::AttemptOutcome;

/// What to do after a provider answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is for the caller: a success, or an error that is the caller's own doing.
    Answer,
    /// The key is dead, for this reason; try another.
    DeadKey(String),
    /// The key was turned away, for so many milliseconds where the provider said; try another.
    KeyRests(Option<u64>),
    /// This key may not do this; another might.
    OtherKey,
    /// The channel failed; try the next one.
    NextChannel,
}

impl Verdict {
    /// Whether the reply goes to the caller.
    pub fn is_answer(&self) -> bool {
        *self == Verdict::Answer
    }

    /// The word in the ledger.
    pub fn as_str(&self) -> &'static str {
        match self {
            Verdict::Answer => "answered",
            Verdict::DeadKey(_) => "key_dead",
            Verdict::KeyRests(_) => "rate_limited",
            Verdict::OtherKey => "key_refused",
            Verdict::NextChannel => "provider_error",
        }
    }

    /// The word in the metrics.
    pub fn outcome(&self) -> AttemptOutcome {
        match self {
            Verdict::Answer => AttemptOutcome::Success,
            Verdict::DeadKey(_) | Verdict::OtherKey => AttemptOutcome::KeyRejected,
            Verdict::KeyRests(_) => AttemptOutcome::RateLimited,
            Verdict::NextChannel => AttemptOutcome::ServerError,
        }
    }
}

/// Judges a provider's answer. Errors were read whole, so that a dead key can be told from a
/// refused request by what the provider says.
pub fn judge(got: &Got) -> Verdict {
    match got.status {
        400 | 401 | 402 | 403 | 429 => {
            if let Some(reason) = got.error_body().and_then(|body| dead_key(got.status, body)) {
                return Verdict::DeadKey(reason);
            }
            match got.status {
                400 => Verdict::Answer,
                429 => Verdict::KeyRests(retry_after_ms(&got.headers)),
                _ => Verdict::OtherKey,
            }
        }
        // A loop of gateways: whatever else was tried would go round it too, and each gateway in it
        // would try again.
        508 => Verdict::Answer,
        408 | 409 | 500..=599 => Verdict::NextChannel,
        _ => Verdict::Answer,
    }
}

/// `retry-after-ms`, which OpenAI sends, or `retry-after` in seconds or as a date. A date counts from
/// the provider's own, so that a clock that is wrong here changes nothing.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let number = |text: &str| {
        text.trim()
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite() && *number >= 0.0)
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be finite and not negative; `as` saturates"
    )]
    let whole = |number: f64| number.ceil() as u64;
    if let Some(exact) = text("retry-after-ms").and_then(number) {
        return Some(whole(exact));
    }
    let asked = text(RETRY_AFTER.as_str())?;
    if let Some(seconds) = number(asked) {
        return Some(whole(seconds * 1_000.0));
    }
    let until = date_ms(asked)?;
    let now = text(DATE.as_str()).and_then(date_ms);
    let now = now.unwrap_or_else(|| jiff::Timestamp::now().as_millisecond());
    // What is over already asks for nothing more than a moment.
    Some(u64::try_from(until.saturating_sub(now)).unwrap_or(0))
}

/// A date of HTTP, in milliseconds since the Unix epoch.
fn date_ms(text: &str) -> Option<i64> {
    const PARSER: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
    let date = PARSER.parse_timestamp(text.trim()).ok()?;
    Some(date.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &'static str, value: &'static str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(name, http::HeaderValue::from_static(value));
        retry_after_ms(&headers)
    }

    #[test]
    fn the_providers_pause_is_read() {
        assert_eq!(asked("retry-after", "2"), Some(2_000));
        assert_eq!(asked("retry-after", "0.5"), Some(500));
        assert_eq!(asked("retry-after-ms", "120"), Some(120));
        assert_eq!(asked("retry-after", "-1"), None);
        assert_eq!(asked("retry-after", "later"), None);
        assert_eq!(
            asked("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(0)
        );
        let far = asked("retry-after", "Sun, 06 Nov 2994 08:49:37 GMT");
        assert!(far.is_some_and(|ms| ms > 1_000_000_000));
    }

    #[test]
    fn a_date_counts_from_the_providers_clock() {
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value| {
            headers.insert(name, http::HeaderValue::from_static(value));
        };
        set("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT");
        set("date", "Wed, 21 Oct 2026 07:27:15 GMT");
        assert_eq!(retry_after_ms(&headers), Some(45_000));
    }
}

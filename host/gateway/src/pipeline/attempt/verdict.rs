//! What a provider's status and error body mean for the key, the channel and the next try.

use http::HeaderMap;
use http::header::RETRY_AFTER;
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

/// `retry-after-ms`, which OpenAI sends, or `retry-after` in seconds; the date form is not used by
/// any provider and reads as nothing said.
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
    let exact = text("retry-after-ms").and_then(number);
    exact.map(whole).or_else(|| {
        text(RETRY_AFTER.as_str())
            .and_then(number)
            .map(|seconds| whole(seconds * 1_000.0))
    })
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
        assert_eq!(asked("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }
}

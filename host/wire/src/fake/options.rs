//! How the fake provider is set: by its channel, and per request by `x-fake-…` headers.

use std::str::FromStr;

/// The longest delay, before a reply or between its chunks.
const DELAY_MAX_MS: u64 = 60_000;
/// The most text deltas of one stream.
const EVENTS_MAX: u32 = 10_000;
/// The largest pieces that a reply is re-cut into.
const CHUNK_MAX_BYTES: usize = 1 << 20;
/// The longest `retry-after`.
const RETRY_AFTER_MAX_S: u32 = 86_400;
/// The longest text.
const TEXT_MAX_BYTES: usize = 64 << 10;

/// How the fake provider answers. The default is a short text, at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Milliseconds before the head of the response.
    pub delay_ms: u64,
    /// Milliseconds between the chunks of a stream.
    pub event_delay_ms: u64,
    /// Re-cuts the body into pieces of this many bytes, regardless of event borders.
    pub chunk_bytes: Option<usize>,
    /// The number of text deltas in a stream. Unset: one per word of the text. A text with fewer
    /// words is repeated until it has so many, also where the reply is not streamed.
    pub events: Option<u32>,
    /// From 400: answers an error of this status in the dialect's own shape. Below: the status of
    /// the reply. 429 and 503 come with a `retry-after`.
    pub status: Option<u16>,
    /// The value of `retry-after` on errors, in seconds; 1 where it is needed and unset.
    pub retry_after_s: Option<u32>,
    /// The message of the error.
    pub error_message: Option<String>,
    /// Breaks the connection after this many events; a whole body breaks off in its middle.
    pub cut_after_events: Option<u32>,
    /// The text of the reply. No tool is called then.
    pub text: Option<String>,
    /// The input tokens to report instead of those counted.
    pub input_tokens: Option<u64>,
    /// The output tokens to report instead of those counted.
    pub output_tokens: Option<u64>,
}

impl Options {
    /// These options with what the request's headers override: `x-fake-status`, `x-fake-delay-ms`,
    /// `x-fake-event-delay-ms`, `x-fake-events`, `x-fake-chunk-bytes`, `x-fake-cut-after-events`,
    /// `x-fake-retry-after-s`, `x-fake-text`, `x-fake-error-message`, `x-fake-input-tokens` and
    /// `x-fake-output-tokens`. Names are in any case. A value that is no number is ignored; one out
    /// of bounds (delays of 60 s, 10,000 events) is brought to the bound.
    #[must_use]
    pub fn with_headers<'a>(&self, headers: impl Iterator<Item = (&'a str, &'a str)>) -> Options {
        let mut options = self.clone();
        for (name, value) in headers {
            let Some(prefix) = name.get(..7) else {
                continue;
            };
            if prefix.eq_ignore_ascii_case("x-fake-")
                && let Some(setting) = name.get(7..)
            {
                options.set(&setting.to_ascii_lowercase(), value.trim());
            }
        }
        options
    }

    fn set(&mut self, setting: &str, value: &str) {
        match setting {
            "status" => {
                if let Some(status) = number::<u16>(value).filter(|s| (200..=599).contains(s)) {
                    self.status = Some(status);
                }
            }
            "delay-ms" => self.delay_ms = bounded(value, DELAY_MAX_MS, self.delay_ms),
            "event-delay-ms" => {
                self.event_delay_ms = bounded(value, DELAY_MAX_MS, self.event_delay_ms);
            }
            "events" => {
                self.events = number(value)
                    .map(|n: u32| n.min(EVENTS_MAX))
                    .or(self.events)
            }
            "chunk-bytes" => {
                let size = number(value).map(|n: usize| n.clamp(1, CHUNK_MAX_BYTES));
                self.chunk_bytes = size.or(self.chunk_bytes);
            }
            "cut-after-events" => self.cut_after_events = number(value).or(self.cut_after_events),
            "retry-after-s" => {
                let after = number(value).map(|n: u32| n.min(RETRY_AFTER_MAX_S));
                self.retry_after_s = after.or(self.retry_after_s);
            }
            "text" => self.text = Some(shortened(value, TEXT_MAX_BYTES).to_owned()),
            "error-message" => {
                self.error_message = Some(shortened(value, TEXT_MAX_BYTES).to_owned());
            }
            "input-tokens" => self.input_tokens = number(value).or(self.input_tokens),
            "output-tokens" => self.output_tokens = number(value).or(self.output_tokens),
            _ => {}
        }
    }
}

fn number<T: FromStr>(value: &str) -> Option<T> {
    value.parse().ok()
}

fn bounded(value: &str, max: u64, otherwise: u64) -> u64 {
    number::<u64>(value).map_or(otherwise, |n| n.min(max))
}

/// The longest prefix of `text` that has at most `max_bytes` bytes.
fn shortened(text: &str, max_bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(max_bytes))
        .unwrap_or(text)
}

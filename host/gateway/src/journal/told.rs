//! What the host may answer, as JSON and back, without loss.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use weir_policy::{Completion, Message, Response, Usage};

/// An answer of the host.
pub(super) trait Told: Sized {
    /// As it is kept.
    fn tell(&self) -> Value;
    /// As it was kept; none where that was another kind of answer.
    fn told(value: &Value) -> Option<Self>;
    /// What is answered where nothing was kept.
    fn unknown() -> Self;
}

/// The reason that a policy hears where the journal has no answer.
const UNKNOWN: &str = "the journal has no answer to this";

impl Told for () {
    fn tell(&self) -> Value {
        Value::Null
    }
    fn told(_: &Value) -> Option<Self> {
        Some(())
    }
    fn unknown() -> Self {}
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Told for $number {
            fn tell(&self) -> Value {
                json!(self)
            }
            fn told(value: &Value) -> Option<Self> {
                serde_json::from_value(value.clone()).ok()
            }
            fn unknown() -> Self {
                0
            }
        }
    )*};
}
numbers!(u32, u64, i64);

impl Told for String {
    fn tell(&self) -> Value {
        json!(self)
    }
    fn told(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
    fn unknown() -> Self {
        String::new()
    }
}

impl Told for Arc<str> {
    fn tell(&self) -> Value {
        json!(**self)
    }
    fn told(value: &Value) -> Option<Self> {
        value.as_str().map(Arc::from)
    }
    fn unknown() -> Self {
        Arc::default()
    }
}

/// Bytes: text where they are text.
pub(super) fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// Bytes as they were.
pub(super) fn as_bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        other => STANDARD.decode(other.get("base64")?.as_str()?).ok(),
    }
}

impl Told for Vec<u8> {
    fn tell(&self) -> Value {
        bytes(self)
    }
    fn told(value: &Value) -> Option<Self> {
        as_bytes(value)
    }
    fn unknown() -> Self {
        Vec::new()
    }
}

impl Told for Bytes {
    fn tell(&self) -> Value {
        bytes(self)
    }
    fn told(value: &Value) -> Option<Self> {
        as_bytes(value).map(Bytes::from)
    }
    fn unknown() -> Self {
        Bytes::new()
    }
}

impl<T: Told> Told for Option<T> {
    fn tell(&self) -> Value {
        self.as_ref().map_or(Value::Null, Told::tell)
    }
    fn told(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            some => T::told(some).map(Some),
        }
    }
    fn unknown() -> Self {
        None
    }
}

impl<T: Told> Told for Result<T, String> {
    fn tell(&self) -> Value {
        match self {
            Ok(value) => json!({ "ok": value.tell() }),
            Err(reason) => json!({ "error": reason }),
        }
    }
    fn told(value: &Value) -> Option<Self> {
        match (value.get("ok"), value.get("error")) {
            (Some(ok), _) => T::told(ok).map(Ok),
            (None, error) => Some(Err(error?.as_str()?.to_owned())),
        }
    }
    fn unknown() -> Self {
        Err(UNKNOWN.to_owned())
    }
}

impl Told for Vec<(String, String)> {
    fn tell(&self) -> Value {
        json!(self)
    }
    fn told(value: &Value) -> Option<Self> {
        serde_json::from_value(value.clone()).ok()
    }
    fn unknown() -> Self {
        Vec::new()
    }
}

impl Told for Vec<Message> {
    fn tell(&self) -> Value {
        let message = |message: &Message| json!([message.role, message.text]);
        self.iter().map(message).collect()
    }
    fn told(value: &Value) -> Option<Self> {
        let pairs: Vec<(String, String)> = serde_json::from_value(value.clone()).ok()?;
        let message = |(role, text)| Message { role, text };
        Some(pairs.into_iter().map(message).collect())
    }
    fn unknown() -> Self {
        Vec::new()
    }
}

impl Told for Completion {
    fn tell(&self) -> Value {
        let usage = &self.usage;
        json!({
            "text": self.text,
            "usage": [
                usage.input_tokens, usage.output_tokens, usage.cached_tokens,
                usage.cache_write_tokens, usage.reasoning_tokens, usage.cost_micros,
            ],
            "estimated": usage.estimated,
        })
    }
    fn told(value: &Value) -> Option<Self> {
        let counts: [u64; 6] = serde_json::from_value(value.get("usage")?.clone()).ok()?;
        let [
            input_tokens,
            output_tokens,
            cached_tokens,
            cache_write_tokens,
            reasoning_tokens,
            cost_micros,
        ] = counts;
        Some(Completion {
            text: String::told(value.get("text")?)?,
            usage: Usage {
                input_tokens,
                output_tokens,
                cached_tokens,
                cache_write_tokens,
                reasoning_tokens,
                cost_micros,
                estimated: value.get("estimated")?.as_bool()?,
            },
        })
    }
    fn unknown() -> Self {
        Completion {
            text: String::new(),
            usage: Usage {
                input_tokens: 0,
                output_tokens: 0,
                cached_tokens: 0,
                cache_write_tokens: 0,
                reasoning_tokens: 0,
                cost_micros: 0,
                estimated: true,
            },
        }
    }
}

impl Told for Response {
    fn tell(&self) -> Value {
        json!({
            "status": self.status,
            "headers": self.headers,
            "body": bytes(&self.body),
        })
    }
    fn told(value: &Value) -> Option<Self> {
        Some(Response {
            status: value.get("status")?.as_u64()?.try_into().ok()?,
            headers: Told::told(value.get("headers")?)?,
            body: as_bytes(value.get("body")?)?,
        })
    }
    fn unknown() -> Self {
        Response {
            status: 502,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}

//! The vocabulary of the interface: wit-bindgen's types under short names, and the few
//! constructors that make them pleasant. `wit/` documents every field.

pub use crate::bindings::audit::exports::weir::policy::audit::Outcome;
pub use crate::bindings::events::exports::weir::policy::events::{
    Action, Event, RawEvent, TextDelta, ToolCallDelta,
};
pub use crate::bindings::imports::weir::policy::types::{
    Denial, Message, Operation, Response, Summary, Usage,
};
pub use crate::bindings::limit::exports::weir::policy::limit::{Rule, Unit, Window};
pub use crate::bindings::route::exports::weir::policy::route::{Attempt, Candidate};

impl Denial {
    /// A refusal with an HTTP status from 400 to 599, a code in snake_case, and one sentence
    /// that tells the caller what to do about it.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Denial {
        Denial {
            status,
            code: code.into(),
            message: message.into(),
            retry_after_ms: None,
        }
    }

    /// 400: the request itself is at fault.
    pub fn bad_request(code: impl Into<String>, message: impl Into<String>) -> Denial {
        Denial::new(400, code, message)
    }

    /// 403: the caller may not do this.
    pub fn forbidden(code: impl Into<String>, message: impl Into<String>) -> Denial {
        Denial::new(403, code, message)
    }

    /// 429: too much for now; the same call may succeed after `retry_after_ms` milliseconds.
    pub fn too_many(
        code: impl Into<String>,
        message: impl Into<String>,
        retry_after_ms: u32,
    ) -> Denial {
        Denial {
            retry_after_ms: Some(retry_after_ms),
            ..Denial::new(429, code, message)
        }
    }
}

impl Operation {
    /// All operations, in the order of the interface.
    pub const ALL: [Operation; 16] = [
        Operation::Chat,
        Operation::Completion,
        Operation::Embedding,
        Operation::Image,
        Operation::Speech,
        Operation::Transcription,
        Operation::Moderation,
        Operation::Rerank,
        Operation::Video,
        Operation::Realtime,
        Operation::File,
        Operation::Batch,
        Operation::Models,
        Operation::CountTokens,
        Operation::ToolCall,
        Operation::Other,
    ];

    /// The name in configuration, metrics and WIT, for example `count-tokens`.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Chat => "chat",
            Operation::Completion => "completion",
            Operation::Embedding => "embedding",
            Operation::Image => "image",
            Operation::Speech => "speech",
            Operation::Transcription => "transcription",
            Operation::Moderation => "moderation",
            Operation::Rerank => "rerank",
            Operation::Video => "video",
            Operation::Realtime => "realtime",
            Operation::File => "file",
            Operation::Batch => "batch",
            Operation::Models => "models",
            Operation::CountTokens => "count-tokens",
            Operation::ToolCall => "tool-call",
            Operation::Other => "other",
        }
    }
}

impl Response {
    /// A JSON response with its content type.
    pub fn json(status: u16, body: &serde_json::Value) -> Response {
        Response {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_string().into_bytes(),
        }
    }
}

impl Attempt {
    /// An attempt at the channel of a candidate with the host's own time-outs and no hedging.
    pub fn at(channel: u32) -> Attempt {
        Attempt {
            channel,
            first_byte_timeout_ms: None,
            hedge_after_ms: None,
        }
    }
}

impl Candidate {
    /// True if the channel can be used now: the circuit breaker does not keep it out, and it has a
    /// key that may be used.
    pub fn is_usable(&self) -> bool {
        self.tripped_ms == 0 && self.usable_keys > 0
    }

    /// What a million input and a million output tokens cost, in millionths of the currency unit;
    /// none where either is not known.
    pub fn prices(&self) -> Option<(f32, f32)> {
        let known = self.input_price >= 0.0 && self.output_price >= 0.0;
        known.then_some((self.input_price, self.output_price))
    }
}

impl Event {
    /// A piece of answer text of the first choice.
    pub fn text(text: impl Into<String>) -> Event {
        Event::Text(TextDelta {
            choice: 0,
            text: text.into(),
        })
    }
}

//! What a provider answers, well-behaved or not.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::recording::Recording;

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As it should.
    Whole,
    /// After so many bytes of the body the connection closes.
    Cut(usize),
    /// After so many bytes of the body nothing more comes, and the connection stays open.
    Stall(usize),
    /// There is no answer: the connection is reset.
    Reset,
    /// There is no answer: the connection stays open.
    Silence,
}

/// One answer of a provider.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    pub(crate) chunk_bytes: Option<usize>,
    pub(crate) delay: Duration,
    pub(crate) pause: Duration,
    pub(crate) end: End,
}

impl Answer {
    /// These bytes, with a `content-length`.
    pub fn bytes(status: u16, content_type: &str, body: impl Into<Bytes>) -> Answer {
        Answer {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.into(),
            chunk_bytes: None,
            delay: Duration::ZERO,
            pause: Duration::ZERO,
            end: End::Whole,
        }
    }

    /// JSON.
    pub fn json(status: u16, body: &Value) -> Answer {
        Answer::bytes(status, "application/json", body.to_string())
    }

    /// Server-sent events, one chunk each of at most 64 bytes.
    pub fn events(body: impl Into<Bytes>) -> Answer {
        Answer::bytes(200, "text/event-stream", body).chunks(64)
    }

    /// What was recorded, whole or as the stream that it was.
    pub fn replay(recording: &Recording) -> Answer {
        let mut answer = Answer::bytes(recording.status, "", recording.body.clone());
        answer.headers.clone_from(&recording.headers);
        if recording.streams {
            answer.chunks(64)
        } else {
            answer
        }
    }

    /// An error in OpenAI's shape.
    pub fn error(status: u16, code: &str) -> Answer {
        let error = json!({"message": format!("The provider says {code}."), "type": "provider_error", "param": null, "code": code});
        Answer::json(status, &json!({"error": error}))
    }

    /// A short chat in OpenAI's dialect: 7 tokens in, 3 out.
    pub fn chat(text: &str) -> Answer {
        Answer::json(
            200,
            &json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "test-model",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
            }),
        )
    }

    /// The same as a stream of one event for each word and then some.
    pub fn chat_events(text: &str) -> Answer {
        let event = |choices: Value, usage: Value| {
            let event = json!({
                "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "test-model",
                "choices": choices, "usage": usage,
            });
            format!("data: {event}\n\n")
        };
        let delta = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        let mut body = event(
            delta(json!({"role": "assistant", "content": ""}), Value::Null),
            Value::Null,
        );
        for word in text.split_inclusive(' ') {
            body += &event(delta(json!({"content": word}), Value::Null), Value::Null);
        }
        body += &event(delta(json!({}), json!("stop")), Value::Null);
        body += &event(
            json!([]),
            json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}),
        );
        Answer::events(body + "data: [DONE]\n\n")
    }

    /// No answer at all: the connection is reset.
    pub fn reset() -> Answer {
        Answer::bytes(200, "text/plain", "").ending(End::Reset)
    }

    /// No answer at all: the connection stays open.
    pub fn silence() -> Answer {
        Answer::bytes(200, "text/plain", "").ending(End::Silence)
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same in pieces of this size, and without a `content-length`.
    #[must_use]
    pub fn chunks(mut self, bytes: usize) -> Answer {
        self.chunk_bytes = Some(bytes);
        self
    }

    /// The same after a while.
    #[must_use]
    pub fn delayed(mut self, delay_ms: u64) -> Answer {
        self.delay = Duration::from_millis(delay_ms);
        self
    }

    /// The same with a pause before each piece.
    #[must_use]
    pub fn slowly(mut self, pause_ms: u64) -> Answer {
        self.pause = Duration::from_millis(pause_ms);
        self
    }

    /// The same with another end.
    #[must_use]
    pub fn ending(mut self, end: End) -> Answer {
        self.end = end;
        self
    }

    /// The bytes of its body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

//! The call of a case, as its policy sees and edits it: read as the gateway reads it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};
use weir_base::Operation;
use weir_policy::Candidate;
use weir_wire::dialect::Dialect;
use weir_wire::endpoint::{BodyKind, endpoint};
use weir_wire::scan::{self, Head};

use super::run::RunError;
use super::written::{Caller, Channel, Given, Reply, Request};
use crate::config::ChannelDialect;

const PROVIDERS: [&str; 4] = [
    ChannelDialect::Openai.as_str(),
    ChannelDialect::Anthropic.as_str(),
    ChannelDialect::Gemini.as_str(),
    ChannelDialect::Fake.as_str(),
];

/// What the caller asked for, as far as a policy may change it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Bytes,
    pub(super) head: Head,
}

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) dialect: Dialect,
    pub(super) operation: Operation,
    pub(super) body_kind: BodyKind,
    pub(super) needs_model: bool,
    pub(super) model_in_path: bool,
    pub(super) streams_by_path: bool,
    pub(super) channels: Vec<Channel>,
    /// The estimate of its tokens, where the case gives one.
    pub(super) input_tokens: Option<u32>,
    /// Calls of imports that are about it.
    pub(super) imports: AtomicU32,
    pub(super) asked: Mutex<Asked>,
}

/// A recorded exchange: what of it a case uses.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) request: Request,
    pub(super) reply: Option<Reply>,
    pub(super) stream: Option<String>,
}

impl Recorded {
    /// Reads a recording: JSON with `request` (`method`, `path`, `body`), `response` (`status`,
    /// `headers`, `body` or `body_text`) and `meta.kind`.
    pub(super) fn load(path: &Path) -> Result<Self, RunError> {
        let wrong = |reason: String| RunError::Recording {
            path: path.to_owned(),
            reason,
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let mut file: Value =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let mut take = |pointer: &str| file.pointer_mut(pointer).map(Value::take);
        let word = |value: Option<Value>| value.and_then(|value| Some(value.as_str()?.to_owned()));
        let request = Request {
            method: word(take("/request/method")),
            path: word(take("/request/path")),
            body: take("/request/body").filter(|body| !body.is_null()),
            ..Request::default()
        };
        if request.path.is_none() {
            return Err(wrong("it has no request.path".to_owned()));
        }
        let body = take("/response/body_text").filter(Value::is_string);
        let body = body.or_else(|| take("/response/body")).unwrap_or_default();
        let kind = word(take("/meta/kind")).unwrap_or_default();
        let status =
            take("/response/status").and_then(|status| u16::try_from(status.as_u64()?).ok());
        if kind == "sse" {
            return Ok(Self {
                request,
                reply: None,
                stream: Some(text_of(&body)),
            });
        }
        let reply = Reply {
            status,
            headers: BTreeMap::new(),
            body,
        };
        Ok(Self {
            request,
            reply: Some(reply),
            stream: None,
        })
    }
}

/// A body as it is on the wire: text as it is, anything else as JSON.
pub(super) fn text_of(body: &Value) -> String {
    match body {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Call {
    /// The call that a case begins with.
    pub(super) fn new(given: &Given, request: Request) -> Result<Self, RunError> {
        let method = request.method.clone().unwrap_or_else(|| "POST".to_owned());
        let target = request.path.clone();
        let target = target.unwrap_or_else(|| "/v1/chat/completions".to_owned());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let headers: BTreeMap<String, String> = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
            .collect();
        let anthropic = headers.contains_key("anthropic-version");
        let found = endpoint(&method, path, query, anthropic)
            .ok_or_else(|| RunError::Case(format!("the gateway serves no {method} {path}")))?;
        let body = match found.body {
            BodyKind::Json => Bytes::from(json_body(&request, found.dialect)),
            BodyKind::None | BodyKind::Opaque => {
                Bytes::from(request.text.clone().unwrap_or_default())
            }
        };
        let call = Self {
            caller: given.caller.clone().unwrap_or_default(),
            dialect: found.dialect,
            operation: found.operation,
            body_kind: found.body,
            needs_model: found.needs_model,
            model_in_path: found.model.is_some(),
            streams_by_path: found.stream.unwrap_or(false),
            channels: given.channels.clone().unwrap_or_default(),
            input_tokens: request.input_tokens,
            imports: AtomicU32::new(0),
            asked: Mutex::new(Asked {
                model: found.model.as_deref().unwrap_or_default().to_owned(),
                headers,
                body,
                head: Head::default(),
            }),
            path: path.to_owned(),
            query: query.to_owned(),
            method,
        };
        for channel in &call.channels {
            if provider(channel).is_none() {
                let known = PROVIDERS.join(", ");
                let name = &channel.name;
                let what = format!("the channel {name} has none of the providers {known}");
                return Err(RunError::Case(what));
            }
        }
        call.understand().map_err(RunError::Case)?;
        Ok(call)
    }

    /// What may be edited. Held for a few instructions at a time.
    pub(super) fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds model, stream and bounds in the body as it stands; also after an edit.
    pub(super) fn understand(&self) -> Result<(), String> {
        let mut asked = self.asked();
        let mut head = Head {
            stream: self.streams_by_path,
            ..Head::default()
        };
        if self.body_kind == BodyKind::Json {
            let scanned = scan::scan(self.dialect, &asked.body);
            let scanned = scanned.map_err(|error| error.to_string())?;
            head = Head {
                stream: scanned.stream || self.streams_by_path,
                ..scanned
            };
        }
        if !self.model_in_path
            && asked.head.model != head.model
            && let Some(model) = &head.model
        {
            asked.model.clone_from(model);
        }
        head.input_tokens_estimate = self.input_tokens.unwrap_or(head.input_tokens_estimate);
        asked.head = head;
        if self.needs_model && asked.model.is_empty() {
            return Err("the request names no model".to_owned());
        }
        Ok(())
    }

    /// The channels as candidates; a channel's number is its place.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let candidate = |(number, channel): (usize, &Channel)| Candidate {
            channel: u32::try_from(number).unwrap_or(u32::MAX),
            priority: channel.priority,
            weight: channel.weight,
            error_rate: channel.error_rate,
            samples: channel.samples,
            first_byte_ms: channel.first_byte_ms,
            total_ms: channel.total_ms,
            tokens_per_second: channel.tokens_per_second,
            in_flight: channel.in_flight,
            usable_keys: channel.usable_keys,
            headroom: channel.headroom,
            tripped_ms: channel.tripped_ms,
            input_price: channel.input_price,
            output_price: channel.output_price,
        };
        self.channels.iter().enumerate().map(candidate).collect()
    }

    /// The channel with that number.
    pub(super) fn channel(&self, number: u32) -> Option<&Channel> {
        self.channels.get(usize::try_from(number).ok()?)
    }
}

fn json_body(request: &Request, dialect: Dialect) -> String {
    if let Some(text) = &request.text {
        return text.clone();
    }
    let mut body = request.body.clone().unwrap_or_else(|| usual_body(dialect));
    if let Value::Object(fields) = &mut body {
        if let Some(model) = &request.model {
            fields.insert("model".to_owned(), json!(model));
        }
        if let Some(stream) = request.stream {
            fields.insert("stream".to_owned(), json!(stream));
        }
    }
    body.to_string()
}

/// A body for cases that are about something else.
fn usual_body(dialect: Dialect) -> Value {
    let messages = json!([{ "role": "user", "content": "Hello" }]);
    match dialect {
        Dialect::AnthropicMessages => {
            json!({ "model": "claude-sonnet-4", "max_tokens": 100, "messages": messages })
        }
        Dialect::OpenaiResponses => json!({ "model": "gpt-4o", "input": "Hello" }),
        Dialect::GeminiGenerate => {
            json!({ "contents": [{ "role": "user", "parts": [{ "text": "Hello" }] }] })
        }
        Dialect::OpenaiEmbeddings => json!({ "model": "text-embedding-3-small", "input": "Hello" }),
        Dialect::OpenaiCompletions => {
            json!({ "model": "gpt-3.5-turbo-instruct", "prompt": "Hello" })
        }
        _ => json!({ "model": "gpt-4o", "messages": messages }),
    }
}

/// The provider behind a channel, if there is one of that name.
pub(super) fn provider(channel: &Channel) -> Option<&'static str> {
    let Some(named) = &channel.provider else {
        return Some(ChannelDialect::Openai.as_str());
    };
    PROVIDERS.into_iter().find(|known| known == named)
}

/// Shared text of a field that has a usual value.
pub(super) fn or_usual(given: Option<&String>, usual: &str) -> Arc<str> {
    given.map_or_else(|| Arc::from(usual), |given| Arc::from(given.as_str()))
}

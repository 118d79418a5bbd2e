//! What a case file says: the names that stand in it.
//!
//! YAML, or JSON, which is YAML too. A name that is not one of these is a mistake.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

/// A file of cases.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The policy's configuration, for cases that have none of their own.
    #[serde(default)]
    pub config: Option<Value>,
    /// What is granted; everything where nothing is said.
    #[serde(default)]
    pub grants: Option<Grants>,
    /// What is the case in all cases; each case may say otherwise, name by name.
    #[serde(default)]
    pub given: Given,
    /// The cases.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, in words; unique in its file.
    pub name: String,
    /// The policy's configuration.
    #[serde(default)]
    pub config: Option<Value>,
    /// What is granted.
    #[serde(default)]
    pub grants: Option<Grants>,
    /// What is the case.
    #[serde(default)]
    pub given: Given,
    /// What the policy is to make of it: by hook (`access`, `rewrite`, `limit`, `answer`, `route`,
    /// `reply`, `events`, `audit`), what it does to the world (`store`, `log`, `metrics`, `http`,
    /// `models`, `bans`; `imports`, how many it called), or that it refuses its configuration (`init`).
    pub expect: Spanned<Value>,
}

/// As in a policy's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// Hosts.
    pub http: Vec<String>,
    /// Names of secrets.
    pub secrets: Vec<String>,
    /// Models, as patterns.
    pub models: Vec<String>,
    /// Whether addresses may be banned.
    pub firewall: bool,
}

/// The call, the time, and what the host answers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Given {
    /// What the caller sends; a chat with the model `gpt-4o` where nothing is said.
    pub request: Option<Request>,
    /// A recorded exchange beside this file: its request, and its reply.
    pub recording: Option<String>,
    /// Who calls.
    pub caller: Option<Caller>,
    /// The time: RFC 3339 text, or milliseconds since the Unix epoch. `2026-01-05T12:00:00Z`, a Monday, where
    /// nothing is said; it stands still.
    pub clock: Option<Clock>,
    /// Where the random numbers begin that WASI gives.
    pub seed: Option<u64>,
    /// What the policy's store holds: text, or anything else as JSON.
    pub store: Option<BTreeMap<String, Value>>,
    /// Secrets by name.
    pub secrets: Option<BTreeMap<String, String>>,
    /// The channels that could serve the call. Where none is given, nothing is routed.
    pub channels: Option<Vec<Channel>>,
    /// What models answer, in the order of the questions.
    pub models: Option<Vec<Completion>>,
    /// What other hosts answer, in the order of the requests.
    pub http: Option<Vec<HttpAnswer>>,
    /// The provider's reply, where it is no stream.
    pub reply: Option<Reply>,
    /// The provider's streamed reply as its events in the neutral view.
    pub events: Option<Vec<Event>>,
    /// The provider's streamed reply as it is on the wire.
    pub stream: Option<String>,
    /// How the call ended, for `audit`.
    pub outcome: Option<Outcome>,
}

/// A request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// `POST` where nothing is said.
    pub method: Option<String>,
    /// With its query; `/v1/chat/completions` where nothing is said.
    pub path: Option<String>,
    /// Headers, without the key.
    pub headers: BTreeMap<String, String>,
    /// The body, as JSON.
    pub body: Option<Value>,
    /// The body, as text that need not be JSON.
    pub text: Option<String>,
    /// The body's `model`, so that a short case needs no body.
    pub model: Option<String>,
    /// The body's `stream`.
    pub stream: Option<bool>,
    /// The host's estimate of its tokens, where it is to be another than that of the body.
    pub input_tokens: Option<u32>,
}

/// Who calls.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Caller {
    /// `acme` where nothing is said.
    pub tenant: Option<String>,
    /// The key's public id; `key_1` where nothing is said.
    pub key: Option<String>,
    /// The address; `192.0.2.1` where nothing is said.
    pub ip: Option<String>,
    /// The request id; `req_1` where nothing is said.
    pub id: Option<String>,
    /// Labels of the key and its tenant.
    pub labels: BTreeMap<String, String>,
}

/// A time.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Clock {
    /// Milliseconds since the Unix epoch.
    Ms(u64),
    /// RFC 3339.
    Text(String),
}

/// A channel and what is measured of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the names of `route.candidate` and `channels`, which say it"
)]
pub struct Channel {
    pub name: String,
    #[serde(default)]
    pub provider: Option<String>,
    #[serde(default)]
    pub model: Option<String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub priority: u32,
    #[serde(default = "one")]
    pub weight: u32,
    #[serde(default)]
    pub error_rate: f32,
    #[serde(default)]
    pub samples: u32,
    #[serde(default)]
    pub first_byte_ms: f32,
    #[serde(default)]
    pub total_ms: f32,
    #[serde(default)]
    pub tokens_per_second: f32,
    #[serde(default)]
    pub in_flight: u32,
    #[serde(default = "one")]
    pub usable_keys: u32,
    #[serde(default = "all")]
    pub headroom: f32,
    #[serde(default)]
    pub tripped_ms: u32,
    #[serde(default = "unknown")]
    pub input_price: f32,
    #[serde(default = "unknown")]
    pub output_price: f32,
}

fn one() -> u32 {
    1
}

fn all() -> f32 {
    1.0
}

fn unknown() -> f32 {
    -1.0
}

/// What a model answers to the policy.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// The answer.
    #[serde(default)]
    pub text: String,
    /// Why there is none.
    #[serde(default)]
    pub error: Option<String>,
}

/// What another host answers to the policy.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpAnswer {
    /// The status; 200 where nothing is said.
    #[serde(default)]
    pub status: Option<u16>,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body: text, or anything else as JSON.
    #[serde(default)]
    pub body: Value,
    /// Why there is no answer.
    #[serde(default)]
    pub error: Option<String>,
}

/// A whole reply.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reply {
    /// The status; 200 where nothing is said.
    pub status: Option<u16>,
    /// Headers; `content-type: application/json` where none is given.
    pub headers: BTreeMap<String, String>,
    /// The body: text, or anything else as JSON.
    pub body: Value,
}

/// One event of a streamed reply; one of the names, and `choice` where it is not the first.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Event {
    /// Which choice; 0 where nothing is said.
    pub choice: u32,
    /// Text of the answer.
    pub text: Option<String>,
    /// Text of the reasoning.
    pub reasoning: Option<String>,
    /// A piece of a tool call.
    pub tool_call: Option<ToolCall>,
    /// Tokens.
    pub usage: Option<Usage>,
    /// Why the answer ended.
    pub finish: Option<String>,
    /// Anything else.
    pub other: Option<Raw>,
}

/// A piece of a tool call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    missing_docs,
    reason = "the names of `events.tool-call-delta`, which say it"
)]
pub struct ToolCall {
    pub index: u32,
    pub id: Option<String>,
    pub name: Option<String>,
    pub arguments: String,
}

/// An event without a neutral form.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the names of `events.raw-event`, which say it")]
pub struct Raw {
    pub name: Option<String>,
    pub data: String,
}

/// Tokens and money.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the names of `types.usage`, which say it")]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cached_tokens: u64,
    pub cache_write_tokens: u64,
    pub reasoning_tokens: u64,
    pub cost_micros: u64,
    pub estimated: bool,
}

/// How a call ended.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the names of `audit.outcome`, which say it")]
pub struct Outcome {
    pub channel: Option<String>,
    pub status: Option<u16>,
    pub denied: Option<String>,
    pub attempts: Option<u32>,
    pub first_byte_ms: u32,
    pub total_ms: u32,
    pub usage: Usage,
}

impl Given {
    /// This, and where it says nothing, what `below` says.
    #[must_use]
    pub fn over(self, below: &Given) -> Given {
        let below = below.clone();
        // A stream given in one form takes the place of one in another, and of a whole reply.
        let has_reply = self.reply.is_some() || self.events.is_some() || self.stream.is_some();
        let (reply, events, stream) = if has_reply {
            (self.reply, self.events, self.stream)
        } else {
            (below.reply, below.events, below.stream)
        };
        Given {
            request: self.request.or(below.request),
            recording: self.recording.or(below.recording),
            caller: self.caller.or(below.caller),
            clock: self.clock.or(below.clock),
            seed: self.seed.or(below.seed),
            store: self.store.or(below.store),
            secrets: self.secrets.or(below.secrets),
            channels: self.channels.or(below.channels),
            models: self.models.or(below.models),
            http: self.http.or(below.http),
            reply,
            events,
            stream,
            outcome: self.outcome.or(below.outcome),
        }
    }
}

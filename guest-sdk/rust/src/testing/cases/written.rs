//! A case as it is written in JSON.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::testing::Call;
use crate::types::{Candidate, Operation};

/// One case. Unknown settings are errors, so that a misspelt one does not pass unseen.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What the case shows.
    pub name: String,
    /// The policy's configuration.
    #[serde(default)]
    pub config: Value,
    /// `init`, `access`, `rewrite`, `limit`, `route` or `answer`.
    pub hook: String,
    /// The call.
    #[serde(default)]
    pub call: CallCase,
    /// The channels: the candidates of a `route` hook, and what `channels` knows.
    #[serde(default)]
    pub candidates: Vec<CandidateCase>,
    /// The host's clock, milliseconds since the Unix epoch.
    pub now_ms: Option<u64>,
    /// What must come out.
    pub expect: Map<String, Value>,
}

/// A call in a case; what is left out is as `Call::chat("gpt-4o")` has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    missing_docs,
    reason = "named after the fields of summary and the functions of call"
)]
pub struct CallCase {
    pub operation: Option<String>,
    pub model: Option<String>,
    pub tenant: Option<String>,
    pub key: Option<String>,
    pub client_ip: Option<String>,
    pub streaming: bool,
    pub input_tokens: Option<u32>,
    pub max_output_tokens: Option<u32>,
    pub id: Option<String>,
    pub dialect: Option<String>,
    pub method: Option<String>,
    pub path: Option<String>,
    pub query: Vec<(String, String)>,
    pub labels: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    pub body: Option<Value>,
}

/// A candidate in a case; what is left out is a healthy channel of priority 0 and weight 1.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "named after the fields of candidate and the functions of channels in wit/"
)]
pub struct CandidateCase {
    pub channel: String,
    #[serde(default)]
    pub provider: String,
    /// The call's own where there is none.
    pub model: Option<String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub priority: u32,
    pub weight: Option<u32>,
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
    pub usable_keys: Option<u32>,
    pub headroom: Option<f32>,
    #[serde(default)]
    pub tripped_ms: u32,
    pub input_price: Option<f32>,
    pub output_price: Option<f32>,
}

impl CallCase {
    /// The call of the case.
    #[expect(clippy::panic, reason = "for tests only")]
    pub fn build(&self) -> Call {
        let model = self.model.as_deref().unwrap_or("gpt-4o");
        let mut call = Call::chat(model);
        if let Some(name) = &self.operation {
            let operation = Operation::ALL
                .into_iter()
                .find(|known| known.as_str() == name);
            call.summary.operation = operation.unwrap_or_else(|| panic!("no operation `{name}`"));
        }
        let set = |slot: &mut String, value: &Option<String>| {
            if let Some(value) = value {
                slot.clone_from(value);
            }
        };
        set(&mut call.tenant, &self.tenant);
        set(&mut call.key, &self.key);
        set(&mut call.client_ip, &self.client_ip);
        set(&mut call.id, &self.id);
        set(&mut call.dialect, &self.dialect);
        set(&mut call.method, &self.method);
        set(&mut call.path, &self.path);
        call.query.clone_from(&self.query);
        call.summary.streaming = self.streaming;
        call.summary.input_tokens = self.input_tokens.unwrap_or(call.summary.input_tokens);
        call.summary.max_output_tokens = self
            .max_output_tokens
            .unwrap_or(call.summary.max_output_tokens);
        call.labels = self.labels.clone().into_iter().collect();
        for (name, value) in &self.headers {
            call = call.header(name, value);
        }
        match &self.body {
            Some(body) => call.body(body.clone()),
            None => call,
        }
    }
}

impl CandidateCase {
    /// The candidate of the case under this number.
    pub fn build(&self, number: u32) -> Candidate {
        Candidate {
            channel: number,
            priority: self.priority,
            weight: self.weight.unwrap_or(1),
            error_rate: self.error_rate,
            samples: self.samples,
            first_byte_ms: self.first_byte_ms,
            total_ms: self.total_ms,
            tokens_per_second: self.tokens_per_second,
            in_flight: self.in_flight,
            usable_keys: self.usable_keys.unwrap_or(1),
            headroom: self.headroom.unwrap_or(1.0),
            tripped_ms: self.tripped_ms,
            input_price: self.input_price.unwrap_or(-1.0),
            output_price: self.output_price.unwrap_or(-1.0),
        }
    }
}

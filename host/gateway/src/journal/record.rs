//! What is kept of a call: the version and its settings, then, step by step, which hook was called with
//! what, what it asked the host and was answered, and what it answered itself. One line of JSON a call.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use weir_base::CallId;
use weir_policy::{Candidate, Grants, Outcome, Summary, Usage, Version};

/// The number of this form of the record.
pub const FORM: u32 = 1;

/// One call of one policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// [`FORM`].
    pub journal: u32,
    /// The call's id.
    pub call: String,
    /// When it was begun, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The policy's name in the gateway.
    pub policy: String,
    /// SHA-256 of its file, in hexadecimal digits.
    pub digest: String,
    /// Its configuration, as it was handed to it.
    pub config: String,
    /// What it was granted.
    pub grants: Granted,
    /// Bytes of memory that one instance could have.
    pub memory_max_bytes: usize,
    /// What its random numbers came from.
    pub seed: u64,
    /// True where steps are missing at the end: they were too large.
    #[serde(default)]
    pub cut: bool,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// What a policy was granted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Granted {
    /// Hosts.
    pub http: Vec<String>,
    /// Names of secrets.
    pub secrets: Vec<String>,
    /// Models.
    pub models: Vec<String>,
    /// Whether it may ban addresses.
    pub firewall: bool,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The host called a hook.
    Hook {
        /// Its name; those of a stream are `events.open`, `events.push` and `events.close`.
        hook: String,
        /// What it was called with.
        given: Value,
    },
    /// The policy called an import.
    Asked {
        /// `interface.function`.
        what: String,
        /// With what; `{"sha256": …}` of it after the policy has read a secret.
        with: Value,
        /// The answer; none where the policy did not wait for it.
        #[serde(
            default,
            deserialize_with = "some",
            skip_serializing_if = "Option::is_none"
        )]
        got: Option<Value>,
    },
    /// The hook was over, with this answer.
    Answered(Value),
}

/// A null is a value too; only what is not there is none.
fn some<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

impl Record {
    /// The record of a call that begins. None where the system gives no random numbers.
    pub fn of(policy: &str, call: CallId, time_ms: u64, version: &Version) -> Option<Self> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).ok()?;
        let spec = version.spec();
        Some(Self {
            journal: FORM,
            call: call.to_string(),
            time_ms,
            policy: policy.to_owned(),
            digest: hex::encode(version.digest()),
            config: spec.config.clone(),
            grants: Granted {
                http: spec.grants.http.clone(),
                secrets: spec.grants.secrets.clone(),
                models: spec.grants.models.clone(),
                firewall: spec.grants.firewall,
            },
            memory_max_bytes: spec.memory_max_bytes,
            seed: u64::from_le_bytes(seed),
            cut: false,
            steps: Vec::new(),
        })
    }
}

impl From<Granted> for Grants {
    fn from(granted: Granted) -> Self {
        Grants {
            http: granted.http,
            secrets: granted.secrets,
            models: granted.models,
            firewall: granted.firewall,
        }
    }
}

/// What every hook is told, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Called {
    operation: Arc<str>,
    model: String,
    streaming: bool,
    input_tokens: u32,
    max_output_tokens: u32,
}

impl Called {
    /// As it is kept.
    pub fn of(summary: &Summary<'_>) -> Self {
        Self {
            operation: format!("{:?}", summary.operation).into(),
            model: summary.model.to_owned(),
            streaming: summary.streaming,
            input_tokens: summary.input_tokens,
            max_output_tokens: summary.max_output_tokens,
        }
    }

    /// As it is told.
    pub fn summary(&self) -> Option<Summary<'_>> {
        use weir_policy::Operation as Wit;
        let all = [
            Wit::Chat,
            Wit::Completion,
            Wit::Embedding,
            Wit::Image,
            Wit::Speech,
            Wit::Transcription,
            Wit::Moderation,
            Wit::Rerank,
            Wit::Video,
            Wit::Realtime,
            Wit::File,
            Wit::Batch,
            Wit::Models,
            Wit::CountTokens,
            Wit::ToolCall,
            Wit::Other,
        ];
        let operation = all
            .into_iter()
            .find(|operation| *format!("{operation:?}") == *self.operation)?;
        Some(Summary {
            operation,
            model: &self.model,
            streaming: self.streaming,
            input_tokens: self.input_tokens,
            max_output_tokens: self.max_output_tokens,
        })
    }
}

/// A channel that a policy may choose, as it is kept. Numbers in twice their size, which holds them
/// exactly, also as decimal text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names of `route.candidate`, which say it")]
pub struct Offered {
    pub channel: u32,
    pub priority: u32,
    pub weight: u32,
    pub error_rate: f64,
    pub samples: u32,
    pub first_byte_ms: f64,
    pub total_ms: f64,
    pub tokens_per_second: f64,
    pub in_flight: u32,
    pub usable_keys: u32,
    pub headroom: f64,
    pub tripped_ms: u32,
    pub input_price: f64,
    pub output_price: f64,
}

impl From<&Candidate> for Offered {
    fn from(candidate: &Candidate) -> Self {
        Self {
            channel: candidate.channel,
            priority: candidate.priority,
            weight: candidate.weight,
            error_rate: candidate.error_rate.into(),
            samples: candidate.samples,
            first_byte_ms: candidate.first_byte_ms.into(),
            total_ms: candidate.total_ms.into(),
            tokens_per_second: candidate.tokens_per_second.into(),
            in_flight: candidate.in_flight,
            usable_keys: candidate.usable_keys,
            headroom: candidate.headroom.into(),
            tripped_ms: candidate.tripped_ms,
            input_price: candidate.input_price.into(),
            output_price: candidate.output_price.into(),
        }
    }
}

impl From<&Offered> for Candidate {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each came from the smaller type"
    )]
    fn from(offered: &Offered) -> Self {
        Candidate {
            channel: offered.channel,
            priority: offered.priority,
            weight: offered.weight,
            error_rate: offered.error_rate as f32,
            samples: offered.samples,
            first_byte_ms: offered.first_byte_ms as f32,
            total_ms: offered.total_ms as f32,
            tokens_per_second: offered.tokens_per_second as f32,
            in_flight: offered.in_flight,
            usable_keys: offered.usable_keys,
            headroom: offered.headroom as f32,
            tripped_ms: offered.tripped_ms,
            input_price: offered.input_price as f32,
            output_price: offered.output_price as f32,
        }
    }
}

/// How a call ended, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finished {
    call: Called,
    channel: Option<String>,
    status: u16,
    denied: Option<String>,
    attempts: u32,
    first_byte_ms: u32,
    total_ms: u32,
    input_tokens: u64,
    output_tokens: u64,
    cached_tokens: u64,
    cache_write_tokens: u64,
    reasoning_tokens: u64,
    cost_micros: u64,
    estimated: bool,
}

impl Finished {
    /// As it is kept.
    pub fn of(outcome: &Outcome<'_>) -> Self {
        let usage = &outcome.usage;
        Self {
            call: Called::of(&outcome.call),
            channel: outcome.channel.map(str::to_owned),
            status: outcome.status,
            denied: outcome.denied.map(str::to_owned),
            attempts: outcome.attempts,
            first_byte_ms: outcome.first_byte_ms,
            total_ms: outcome.total_ms,
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cached_tokens: usage.cached_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            reasoning_tokens: usage.reasoning_tokens,
            cost_micros: usage.cost_micros,
            estimated: usage.estimated,
        }
    }

    /// As it is told.
    pub fn outcome(&self) -> Option<Outcome<'_>> {
        Some(Outcome {
            call: self.call.summary()?,
            channel: self.channel.as_deref(),
            status: self.status,
            denied: self.denied.as_deref(),
            attempts: self.attempts,
            first_byte_ms: self.first_byte_ms,
            total_ms: self.total_ms,
            usage: Usage {
                input_tokens: self.input_tokens,
                output_tokens: self.output_tokens,
                cached_tokens: self.cached_tokens,
                cache_write_tokens: self.cache_write_tokens,
                reasoning_tokens: self.reasoning_tokens,
                cost_micros: self.cost_micros,
                estimated: self.estimated,
            },
        })
    }
}

/// A shape that serialises, as a value; shapes of this module always do.
pub fn value(shape: &impl Serialize) -> Value {
    serde_json::to_value(shape).unwrap_or_else(|error| json!(error.to_string()))
}

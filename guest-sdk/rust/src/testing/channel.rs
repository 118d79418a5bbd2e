//! The channels of a test: what `route` is shown of them, and what `channels` knows.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::types::Candidate;

/// A channel; what is left out is a healthy channel of priority 0 and weight 1.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "named after the fields of candidate and the functions of channels in wit/"
)]
pub struct Channel {
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

impl Channel {
    /// The candidate that it is under this number.
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

//! The cheapest channel whose first byte comes in time.

use weir_sdk::prelude::*;

use super::least_latency;
use crate::Router;

#[derive(Debug)]
pub(crate) struct Settings {
    /// What is slower comes after all that is not; infinite for no bound.
    pub(crate) latency_max_ms: f32,
    /// What a call is taken to generate that sets no bound.
    pub(crate) output_tokens: u32,
}

/// Costs are below this, and times are put above it.
const TOO_SLOW: f32 = 1e30;
/// Of a channel whose prices nobody knows: after those in time with a price, before the slow ones.
const UNPRICED: f32 = 1e29;

/// In time: the expected cost. Too slow: behind those, by latency.
pub(crate) fn score(
    router: &Router,
    settings: &Settings,
    call: &Summary,
    candidate: &Candidate,
) -> f32 {
    let expected_ms = least_latency::score(router, candidate);
    if expected_ms > settings.latency_max_ms {
        return TOO_SLOW * (1.0 + expected_ms / (expected_ms + settings.latency_max_ms));
    }
    cost(settings, call, candidate).unwrap_or(UNPRICED)
}

/// Millionths of a millionth of the currency unit; only compared.
fn cost(settings: &Settings, call: &Summary, candidate: &Candidate) -> Option<f32> {
    let (input, output) = candidate.prices()?;
    let output_tokens = match call.max_output_tokens {
        0 => settings.output_tokens,
        bound => bound,
    };
    #[expect(clippy::cast_precision_loss, reason = "a comparison of estimates")]
    let cost = call.input_tokens as f32 * input + output_tokens as f32 * output;
    Some(cost)
}

//! By weight, less what errors and latency take from it; drawn.

use weir_sdk::prelude::*;

use crate::Router;

/// The fastest first byte of all candidates, milliseconds; infinite where none was measured.
pub(crate) fn fastest_ms(candidates: &[Candidate]) -> f32 {
    let measured = candidates.iter().map(|one| one.first_byte_ms);
    measured
        .filter(|ms| *ms > 0.0)
        .fold(f32::INFINITY, f32::min)
}

/// weight × errors × latency, see README.md.
pub(crate) fn score(router: &Router, candidate: &Candidate, fastest_ms: f32) -> f32 {
    let own_ms = candidate.first_byte_ms;
    // What was never measured counts as fast, so that it gets measured.
    let slowness = if own_ms > fastest_ms {
        1.0 - fastest_ms / own_ms
    } else {
        0.0
    };
    let in_time = (1.0 - router.latency_impact * slowness).max(0.01);
    share(candidate.weight) * router.healthy(candidate) * in_time
}

/// A weight as a share.
pub(crate) fn share(weight: u32) -> f32 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a weight is a share, not a count"
    )]
    let share = weight as f32;
    share
}

//! The channel with the quickest first byte first.

use weir_sdk::prelude::*;

use crate::Router;

/// First byte ÷ health, milliseconds: what fails costs the time of the next attempt too.
pub(crate) fn score(router: &Router, candidate: &Candidate) -> f32 {
    if candidate.first_byte_ms > 0.0 {
        return candidate.first_byte_ms / router.healthy(candidate);
    }
    // Never measured: one call goes there to measure it, and the others wait for what it finds.
    if candidate.in_flight == 0 {
        0.0
    } else {
        f32::MAX
    }
}

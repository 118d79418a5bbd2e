//! Which channels come before which, whatever the strategy.

use weir_sdk::prelude::*;

use crate::rules::Standing;

/// Lower comes first. One number, so that sorting compares once: from the highest bit unusable, out
/// of favour with the rules, of lower priority, out of headroom, of weight 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tier(u64);

/// What is left of 64 bits, for a place in the host's list.
const INDEX_BITS: u32 = 27;

impl Tier {
    pub(crate) fn new(
        candidate: &Candidate,
        usable: bool,
        standing: Standing,
        headroom_min: f32,
    ) -> Tier {
        let crowded = candidate.headroom < headroom_min;
        Tier(
            u64::from(!usable) << 36
                | (standing as u64) << 34
                | u64::from(!candidate.priority) << 2
                | u64::from(crowded) << 1
                | u64::from(candidate.weight == 0),
        )
    }

    /// The place of a candidate by its tier, then by the host's list, so that what is equal keeps
    /// its order.
    pub(crate) fn place(self, index: u32) -> u64 {
        self.0 << INDEX_BITS | u64::from(index)
    }

    pub(crate) fn of(place: u64) -> Tier {
        Tier(place >> INDEX_BITS)
    }
}

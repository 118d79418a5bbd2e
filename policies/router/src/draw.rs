//! Drawing by weight, the same way each time for the same call.

use crate::Ranked;

/// Random numbers seeded by the call's id, which the host is asked for only when there is
/// something to draw. The same call with the same candidates is routed the same way again, so that
/// a replay shows what happened.
pub(crate) struct Draw(Option<u64>);

impl Draw {
    pub(crate) fn new() -> Draw {
        Draw(None)
    }

    /// Without asking for the call's id.
    #[cfg(test)]
    pub(crate) fn seeded(seed: u64) -> Draw {
        Draw(Some(seed))
    }

    /// From 0 to 1, without 1. SplitMix64.
    pub(crate) fn unit(&mut self) -> f32 {
        let state = self
            .0
            .get_or_insert_with(|| hash(weir_sdk::call::id().as_bytes()));
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        unit(mix(*state))
    }
}

/// Draws one by its score as its share; where all are 0, the first.
pub(crate) fn by_share(draw: &mut Draw, tier: &[Ranked], total: f32) -> usize {
    if total <= 0.0 {
        return 0;
    }
    let mut left = draw.unit() * total;
    let mut drawn = 0;
    for (index, one) in tier.iter().enumerate().filter(|(_, one)| one.score > 0.0) {
        drawn = index;
        left -= one.score;
        if left < 0.0 {
            break;
        }
    }
    drawn
}

/// FNV-1a; `mix` makes its bits even.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The finish of SplitMix64: each bit of the result depends on all of the input.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// From 0 to 1, without 1.
pub(crate) fn unit(bits: u64) -> f32 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "24 bits fit into an f32 exactly"
    )]
    let unit = (bits >> 40) as f32 / 16_777_216.0;
    unit
}

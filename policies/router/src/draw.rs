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

    /// Puts as many channels as are wanted to the front, in the order in which they are drawn; the
    /// others keep theirs.
    pub(crate) fn order(&mut self, tier: &mut [Ranked], wanted: usize) {
        let mut total: f64 = tier.iter().map(|one| f64::from(one.weight)).sum();
        let mut rest = tier;
        for _ in 0..wanted {
            // Of one, or of those that all have weight 0, the first stands first already.
            if rest.len() < 2 || total <= 0.0 {
                return;
            }
            let mut left = self.unit() * total;
            let mut drawn = 0;
            for (index, one) in rest.iter().enumerate().filter(|(_, one)| one.weight > 0.0) {
                drawn = index;
                left -= f64::from(one.weight);
                if left < 0.0 {
                    break;
                }
            }
            if let Some(head) = rest.get_mut(..=drawn) {
                head.rotate_right(1);
            }
            let Some((first, others)) = rest.split_first_mut() else {
                return;
            };
            total -= f64::from(first.weight);
            rest = others;
        }
    }

    /// From 0 to 1, without 1. SplitMix64.
    fn unit(&mut self) -> f64 {
        let state = self
            .0
            .get_or_insert_with(|| hash(weir_sdk::call::id().as_bytes()));
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = *state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        #[expect(
            clippy::cast_precision_loss,
            reason = "53 bits fit into an f64 exactly"
        )]
        let unit = (bits >> 11) as f64 / (1_u64 << 53) as f64;
        unit
    }
}

/// FNV-1a; the generator above does the mixing.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

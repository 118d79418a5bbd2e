//! The strategies: which key of a level is next.
//!
//! Each is asked again, with what it named before as passed over, until a key takes the call; so
//! each of them is also the order in which keys stand in for one another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::pool::ProviderKey;
use crate::config::KeyStrategy;

/// The keys of one level.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) keys: Vec<Arc<ProviderKey>>,
    /// How much each key carries compared with the others, for `least_loaded`.
    shares: Vec<u64>,
    weights: u64,
    turns: AtomicUsize,
}

/// The keys that have been named already. Takes no memory of its own until there is one.
#[derive(Debug, Default)]
pub(super) struct Passed {
    bits: Vec<u64>,
    count: usize,
}

impl Passed {
    pub(super) fn add(&mut self, at: usize) {
        let word = at / 64;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        if let Some(bits) = self.bits.get_mut(word) {
            *bits |= 1 << (at % 64);
        }
        self.count += 1;
    }

    fn has(&self, at: usize) -> bool {
        let word = self.bits.get(at / 64);
        word.is_some_and(|bits| bits >> (at % 64) & 1 == 1)
    }
}

/// What a choice goes by, besides the keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) strategy: KeyStrategy,
    /// The number of the turn.
    pub(super) number: usize,
    /// The caller, for `sticky`.
    pub(super) caller: u64,
}

impl Level {
    pub(super) fn new(keys: Vec<Arc<ProviderKey>>) -> Self {
        Self {
            shares: shares(&keys),
            weights: keys.iter().map(|key| u64::from(key.terms.weight)).sum(),
            keys,
            turns: AtomicUsize::new(0),
        }
    }

    /// The number of the next turn. Where there is nothing to choose, no worker's line is written to.
    pub(super) fn next_turn(&self) -> usize {
        if self.keys.len() < 2 {
            0
        } else {
            self.turns.fetch_add(1, Ordering::Relaxed)
        }
    }

    /// The next key to try, by its place; none where all were passed over.
    pub(super) fn choose(&self, turn: &Turn, passed: &Passed) -> Option<usize> {
        let count = self.keys.len();
        if passed.count >= count {
            return None;
        }
        match turn.strategy {
            // Those that were passed over are those behind this turn's key, in order.
            KeyStrategy::RoundRobin => Some(turn.number.wrapping_add(passed.count) % count),
            KeyStrategy::LeastLoaded => self.least_loaded(turn.number, passed),
            KeyStrategy::Weighted => self.weighted(turn.number, passed),
            KeyStrategy::Sticky => self.sticky(turn.caller, passed),
        }
    }

    /// Fewest calls under way for its share; among equals, in turns.
    fn least_loaded(&self, number: usize, passed: &Passed) -> Option<usize> {
        let count = self.keys.len();
        let mut best: Option<(usize, u128, u128)> = None;
        for step in 0..count {
            let at = number.wrapping_add(step) % count;
            if passed.has(at) {
                continue;
            }
            let (Some(key), Some(share)) = (self.keys.get(at), self.shares.get(at)) else {
                continue;
            };
            let load = u128::from(key.state.meter.in_flight()) + 1;
            let share = u128::from(*share);
            // load / share, compared without dividing.
            if best.is_none_or(|(_, least, of)| load * of < least * share) {
                best = Some((at, load, share));
            }
        }
        best.map(|(at, ..)| at)
    }

    /// As often as the weights say. The turns' fractions of the golden ratio fill the unit interval
    /// evenly from the first turn on, where dice would need thousands.
    fn weighted(&self, number: usize, passed: &Passed) -> Option<usize> {
        let left: u64 = if passed.count == 0 {
            self.weights
        } else {
            let keys = self.keys.iter().enumerate();
            let keys = keys.filter(|(at, _)| !passed.has(*at));
            keys.map(|(_, key)| u64::from(key.terms.weight)).sum()
        };
        let mut fraction = (number as u64).wrapping_mul(GOLDEN);
        if passed.count > 0 {
            // The same number again would send all that a passed key leaves to its neighbour.
            fraction = mix(fraction ^ passed.count as u64);
        }
        let mut point = u64::try_from((u128::from(fraction) * u128::from(left)) >> 64).ok()?;
        for (at, key) in self.keys.iter().enumerate() {
            if passed.has(at) {
                continue;
            }
            let weight = u64::from(key.terms.weight);
            if point < weight {
                return Some(at);
            }
            point -= weight;
        }
        None
    }

    /// Rendezvous: each key draws for each caller, the same each time, and the best draw has the
    /// call. A key that is gone takes only its own callers along. Weights bend the draws so that each
    /// key wins as often as its weight says.
    fn sticky(&self, caller: u64, passed: &Passed) -> Option<usize> {
        let mut best: Option<(usize, f64)> = None;
        for (at, key) in self.keys.iter().enumerate() {
            if passed.has(at) {
                continue;
            }
            let draw = draw(caller, &key.fingerprint);
            let score = -draw.ln() / f64::from(key.terms.weight.max(1));
            if best.is_none_or(|(_, least)| score < least) {
                best = Some((at, score));
            }
        }
        best.map(|(at, _)| at)
    }
}

/// 2⁶⁴ over the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Tokens that a call is taken to have where limits of tokens are compared with limits of requests.
const TOKENS_OF_A_CALL: u64 = 1_000;

/// How much each key can carry, in a measure that all keys of the level have: calls under way, else
/// calls a minute, else their weights.
fn shares(keys: &[Arc<ProviderKey>]) -> Vec<u64> {
    let all = |of: &dyn Fn(&ProviderKey) -> Option<u64>| -> Option<Vec<u64>> {
        keys.iter().map(|key| of(key)).collect()
    };
    all(&|key| key.terms.in_flight_max.map(u64::from))
        .or_else(|| all(&calls_a_minute))
        .unwrap_or_else(|| {
            let weights = keys.iter().map(|key| u64::from(key.terms.weight));
            weights.collect()
        })
}

fn calls_a_minute(key: &ProviderKey) -> Option<u64> {
    let by_tokens = key.terms.tpm.map(|tpm| (tpm / TOKENS_OF_A_CALL).max(1));
    key.terms.rpm.into_iter().chain(by_tokens).min()
}

/// A number above 0 and up to 1 that belongs to this caller and key.
fn draw(caller: u64, fingerprint: &[u8; 32]) -> f64 {
    let own = fingerprint
        .first_chunk()
        .map_or(0, |own| u64::from_le_bytes(*own));
    let bits = mix(caller ^ mix(own)) >> 11;
    #[expect(
        clippy::cast_precision_loss,
        reason = "53 bits are what the type holds exactly"
    )]
    let whole = (bits + 1) as f64;
    whole / 9_007_199_254_740_992.0
}

/// Scatters bits: numbers that are near each other come out anywhere.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ bits >> 31
}

/// A caller as a number that is the same in every process, so that a restart or another node sends
/// it to the same key (FNV-1a; what it is made of is short).
pub fn caller_hash(text: &[u8]) -> u64 {
    text.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

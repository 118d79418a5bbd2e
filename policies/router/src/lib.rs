//! The router policy: which channels are tried, and in which order.
//!
//! README.md documents the configuration and the formula. Channels are ordered in tiers (usable
//! before unusable, then by priority); within a tier a channel is drawn by its weight as errors and
//! latency leave it. Never here: retrying, cooling down, circuit breaking; the host does those.

mod config;
mod draw;

pub use config::Router;
use draw::Draw;
use weir_sdk::prelude::*;

/// A candidate with what its place in the order depends on. Small, because it is what gets sorted.
struct Ranked {
    /// Its tier, then its place in the host's list: what is less comes first.
    place: u64,
    channel: u32,
    weight: f32,
}

/// The bits of `Ranked::place` below those of the tier.
const INDEX_BITS: u32 = 31;

impl Route for Router {
    fn route(&self, _: &Summary, candidates: Vec<Candidate>) -> Result<Vec<Attempt>, Denial> {
        // Nothing to order: most models are served by one channel.
        if let [only] = candidates.as_slice()
            && only.is_usable()
        {
            return Ok(vec![self.attempt(only.channel)]);
        }
        let mut ranked = self.rank(&candidates);
        if ranked.is_empty() && !candidates.is_empty() {
            return Err(self.nothing_left());
        }
        let mut draw = Draw::new();
        let wanted = ranked.len().min(self.max_attempts);
        let mut attempts = Vec::with_capacity(wanted);
        for tier in ranked.chunk_by_mut(Ranked::same_tier) {
            let missing = wanted - attempts.len();
            if missing == 0 {
                break;
            }
            draw.order(tier, missing);
            let taken = tier.iter().take(missing);
            attempts.extend(taken.map(|one| self.attempt(one.channel)));
        }
        Ok(attempts)
    }
}

impl Router {
    fn attempt(&self, channel: u32) -> Attempt {
        Attempt {
            channel,
            first_byte_timeout_ms: self.first_byte_timeout_ms,
            hedge_after_ms: self.hedge_after_ms,
        }
    }

    /// The candidates that may be tried, tier by tier, with their weights.
    fn rank(&self, candidates: &[Candidate]) -> Vec<Ranked> {
        let measured = candidates
            .iter()
            .map(|one| one.first_byte_ms)
            .filter(|ms| *ms > 0.0);
        let fastest_ms = measured.fold(f32::INFINITY, f32::min);
        let mut ranked = Vec::with_capacity(candidates.len());
        for (candidate, index) in candidates.iter().zip(0..) {
            let usable = candidate.is_usable();
            if usable || !self.drops_unusable {
                ranked.push(Ranked {
                    place: place(usable, candidate.priority, index),
                    channel: candidate.channel,
                    weight: self.weight(candidate, fastest_ms),
                });
            }
        }
        ranked.sort_unstable_by_key(|one| one.place);
        ranked
    }

    /// weight × errors × latency, see README.md.
    fn weight(&self, candidate: &Candidate, fastest_ms: f32) -> f32 {
        let healthy = 1.0 - self.error_impact * candidate.error_rate.clamp(0.0, 1.0);
        let own_ms = candidate.first_byte_ms;
        // What was never measured counts as fast, so that it gets measured.
        let slowness = if own_ms > fastest_ms {
            1.0 - fastest_ms / own_ms
        } else {
            0.0
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "a weight is a share, not a count"
        )]
        let weight = candidate.weight as f32;
        // A failing channel keeps a hundredth of its share: without calls it could not recover.
        weight * healthy.max(0.01) * (1.0 - self.latency_impact * slowness).max(0.01)
    }

    #[cold]
    fn nothing_left(&self) -> Denial {
        let message = "No channel for this model is available at the moment; try again later.";
        let denial = Denial::new(503, "no_channel_available", message);
        Denial {
            retry_after_ms: Some(self.retry_after_ms),
            ..denial
        }
    }
}

/// Usable before unusable, then by priority; what is equal keeps the host's order.
fn place(usable: bool, priority: u32, index: u32) -> u64 {
    let tier = u64::from(!usable) << 32 | u64::from(u32::MAX - priority);
    tier << INDEX_BITS | u64::from(index)
}

impl Ranked {
    fn same_tier(&self, other: &Ranked) -> bool {
        self.place >> INDEX_BITS == other.place >> INDEX_BITS
    }
}

weir_sdk::export!(Router: route);

#[cfg(test)]
mod tests;

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
    channel: u32,
    /// Its place in the host's list.
    index: u32,
    priority: u32,
    usable: bool,
    weight: f32,
}

impl Route for Router {
    fn route(&self, _: &Summary, candidates: Vec<Candidate>) -> Result<Vec<Attempt>, Denial> {
        // Nothing to order: most models are served by one channel.
        if let [only] = candidates.as_slice()
            && is_usable(only)
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
        let mut rest = ranked.as_mut_slice();
        while attempts.len() < wanted {
            let tier = rest
                .iter()
                .take_while(|other| other.same_tier(rest.first()))
                .count();
            let Some(tier) = rest.get_mut(..tier) else {
                break;
            };
            draw.pull_forward(tier);
            let Some((first, others)) = rest.split_first_mut() else {
                break;
            };
            attempts.push(self.attempt(first.channel));
            rest = others;
        }
        Ok(attempts)
    }
}

fn is_usable(candidate: &Candidate) -> bool {
    !candidate.tripped && candidate.usable_keys > 0
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
            let usable = is_usable(candidate);
            if usable || !self.drops_unusable {
                let weight = self.weight(candidate, fastest_ms);
                ranked.push(Ranked {
                    channel: candidate.channel,
                    index,
                    priority: candidate.priority,
                    usable,
                    weight,
                });
            }
        }
        // The index last, so that what is equal keeps the host's order.
        ranked
            .sort_unstable_by_key(|one| (!one.usable, std::cmp::Reverse(one.priority), one.index));
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

impl Ranked {
    fn same_tier(&self, other: Option<&Ranked>) -> bool {
        other.is_some_and(|other| self.usable == other.usable && self.priority == other.priority)
    }
}

weir_sdk::export!(Router: route);

#[cfg(test)]
mod tests;

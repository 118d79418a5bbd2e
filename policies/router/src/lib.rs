//! The router policy: which channels are tried, and in which order.
//!
//! README.md documents the configuration and the formulas. Channels are ordered in tiers (usable
//! before unusable, then as rules say, then by priority); within a tier the strategy picks the next
//! one. Never here: retrying, cooling down, circuit breaking; the host does those.

mod config;
mod draw;
mod facts;
mod rules;
mod strategy;
mod tier;

pub use config::Router;
use draw::Draw;
use rules::{Applying, Standing};
use strategy::{Pick, Strategy, affinity, least_cost, least_latency, two_choices, weighted};
use tier::Tier;
use weir_sdk::prelude::*;

/// A candidate with what its place in the order depends on. Small, because it is what gets sorted.
struct Ranked {
    /// Its tier, then its place in the host's list: what is less comes first.
    place: u64,
    channel: u32,
    /// What the strategy makes of it: a share, a cost, a load.
    score: f32,
}

impl Route for Router {
    fn route(&self, call: &Summary, candidates: Vec<Candidate>) -> Result<Vec<Attempt>, Denial> {
        // Nothing to order: most models are served by one channel.
        if let [only] = candidates.as_slice()
            && only.is_usable()
            && self.rules.is_empty()
        {
            return Ok(vec![self.attempt(only.channel)]);
        }
        let sticky = match &self.strategy {
            Strategy::Affinity(sticky_by) => affinity::sticky(sticky_by),
            _ => None,
        };
        self.order(call, &candidates, sticky, &mut Draw::new())
    }
}

impl Router {
    /// The whole decision; `sticky` is what affinity goes by, where the call has it.
    fn order(
        &self,
        call: &Summary,
        candidates: &[Candidate],
        sticky: Option<u64>,
        draw: &mut Draw,
    ) -> Result<Vec<Attempt>, Denial> {
        let rules = self.rules.applying(call);
        let (mut ranked, pick): (Vec<Ranked>, Pick) = match (&self.strategy, sticky) {
            (Strategy::LeastLatency, _) if !self.explores(draw) => {
                let score = |one: &Candidate| least_latency::score(self, one);
                (self.rank(candidates, rules, score), strategy::lowest)
            }
            (Strategy::LeastCost(settings), _) if !self.explores(draw) => {
                let score = |one: &Candidate| least_cost::score(self, settings, call, one);
                (self.rank(candidates, rules, score), strategy::lowest)
            }
            (Strategy::TwoChoices, _) => {
                let score = |one: &Candidate| two_choices::score(self, one);
                (self.rank(candidates, rules, score), two_choices::pick)
            }
            (Strategy::Affinity(_), Some(sticky)) => {
                let score = |one: &Candidate| {
                    affinity::score(sticky, self.known(one.channel).name_hash, one.weight)
                };
                (self.rank(candidates, rules, score), strategy::lowest)
            }
            _ => {
                let fastest_ms = weighted::fastest_ms(candidates);
                let score = |one: &Candidate| weighted::score(self, one, fastest_ms);
                (self.rank(candidates, rules, score), draw::by_share)
            }
        };
        if ranked.is_empty() && !candidates.is_empty() {
            return Err(self.nothing_left());
        }
        Ok(self.attempts(&mut ranked, pick, draw))
    }

    /// The candidates that may be tried, tier by tier.
    fn rank(
        &self,
        candidates: &[Candidate],
        rules: Applying,
        score: impl Fn(&Candidate) -> f32,
    ) -> Vec<Ranked> {
        let mut ranked = Vec::with_capacity(candidates.len());
        for (candidate, index) in candidates.iter().zip(0..) {
            let Some(tier) = self.tier(candidate, rules) else {
                continue;
            };
            ranked.push(Ranked {
                place: tier.place(index),
                channel: candidate.channel,
                score: score(candidate),
            });
        }
        ranked.sort_unstable_by_key(|one| one.place);
        ranked
    }

    /// The tier of a candidate; none where it is not tried at all.
    fn tier(&self, candidate: &Candidate, rules: Applying) -> Option<Tier> {
        let usable = candidate.is_usable();
        if self.drops_unusable && !usable {
            return None;
        }
        let standing = if rules.is_none() {
            Standing::Neutral
        } else {
            rules.standing(self.known(candidate.channel))?
        };
        Some(Tier::new(candidate, usable, standing, self.headroom_min))
    }

    /// The first `max_attempts` of the order: in each tier what the strategy picks next.
    fn attempts(&self, ranked: &mut [Ranked], pick: Pick, draw: &mut Draw) -> Vec<Attempt> {
        let wanted = ranked.len().min(self.max_attempts);
        let mut attempts = Vec::with_capacity(wanted);
        for tier in ranked.chunk_by_mut(Ranked::same_tier) {
            if attempts.len() == wanted {
                break;
            }
            let mut rest = tier;
            let mut total = rest.iter().map(|one| one.score).sum();
            while attempts.len() < wanted && !rest.is_empty() {
                // Picked to the front; the others keep their order.
                let picked = if rest.len() > 1 {
                    pick(draw, rest, total)
                } else {
                    0
                };
                if let Some(head) = rest.get_mut(..=picked) {
                    head.rotate_right(1);
                }
                let Some((first, others)) = rest.split_first_mut() else {
                    break;
                };
                attempts.push(self.attempt(first.channel));
                total -= first.score;
                rest = others;
            }
        }
        attempts
    }

    fn attempt(&self, channel: u32) -> Attempt {
        Attempt {
            channel,
            first_byte_timeout_ms: self.first_byte_timeout_ms,
            hedge_after_ms: self.hedge_after_ms,
        }
    }

    /// True for the share of calls that go by weight, so that channels which are never the best
    /// are measured again: a mean that no call renews would stay bad for ever.
    fn explores(&self, draw: &mut Draw) -> bool {
        self.explore > 0.0 && draw.unit() < self.explore
    }

    /// The share of calls that a channel is worth, by its failures: 1 for none, never 0, as
    /// without calls it could not recover.
    fn healthy(&self, candidate: &Candidate) -> f32 {
        (1.0 - self.error_impact * candidate.error_rate).max(0.01)
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
    fn same_tier(&self, other: &Ranked) -> bool {
        Tier::of(self.place) == Tier::of(other.place)
    }
}

weir_sdk::export!(Router: route);

#[cfg(test)]
mod tests;

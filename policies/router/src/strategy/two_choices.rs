//! The power of two choices: of two channels drawn at random, the less busy one.
//!
//! Nearly as even as the least busy of all, without every worker running to the same one.

use weir_sdk::prelude::*;

use super::weighted::share;
use crate::draw::Draw;
use crate::{Ranked, Router};

/// Calls in flight with this one ÷ (weight × health): without the health, a channel that fails at
/// once would look idle and draw everything.
pub(crate) fn score(router: &Router, candidate: &Candidate) -> f32 {
    let worth = share(candidate.weight) * router.healthy(candidate);
    share(candidate.in_flight.saturating_add(1)) / worth.max(0.01)
}

/// Two different ones, each as likely, and of these the lower score.
pub(crate) fn pick(draw: &mut Draw, tier: &[Ranked], _: f32) -> usize {
    let first = below(draw, tier.len());
    let second = (first + 1 + below(draw, tier.len() - 1)) % tier.len();
    let score = |index: usize| tier.get(index).map_or(f32::MAX, |one| one.score);
    if score(second) < score(first) {
        second
    } else {
        first
    }
}

/// From 0 to `end`, without `end`.
fn below(draw: &mut Draw, end: usize) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a place among a handful of channels"
    )]
    let place = (draw.unit() * end as f32) as usize;
    place.min(end.saturating_sub(1))
}

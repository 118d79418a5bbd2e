//! The strategies: what each makes of a candidate, and which of a tier comes next.

pub(crate) mod affinity;
pub(crate) mod least_cost;
pub(crate) mod least_latency;
pub(crate) mod two_choices;
pub(crate) mod weighted;

use crate::Ranked;
use crate::draw::Draw;

/// How channels of the same tier are ordered.
#[derive(Debug)]
pub(crate) enum Strategy {
    Weighted,
    LeastLatency,
    LeastCost(least_cost::Settings),
    TwoChoices,
    /// By the first of these that the call has.
    Affinity(Vec<affinity::StickyBy>),
}

/// Finds the next channel of a tier of two or more, whose scores have this sum: its place in the
/// tier.
pub(crate) type Pick = fn(&mut Draw, &[Ranked], f32) -> usize;

/// The first of those with the lowest score.
pub(crate) fn lowest(_: &mut Draw, tier: &[Ranked], _: f32) -> usize {
    let scores = tier.iter().map(|one| one.score).enumerate();
    scores
        .min_by(|(_, a), (_, b)| a.total_cmp(b))
        .map_or(0, |(index, _)| index)
}

//! route: which channels are tried, in which order.
//!
//! The host lists the channels that serve the model, with what it has measured of them; each route
//! policy orders what the one before it left. A policy can leave channels out, never add one.

use std::rc::Rc;
use std::sync::Arc;

use serde_json::json;
use smallvec::SmallVec;
use weir_base::{Blame, Fault};
use weir_policy::{Candidate, Hook, RouteAttempt};

use super::chain::Chain;
use super::channel::Channel;
use super::health::ModelHealth;
use super::hook::Running;
use super::offer::Offer;
use super::open::Open;
use super::worker::Worker;
use crate::journal::record::{self, Offered};

/// One try to be made.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Where.
    pub channel: Arc<Channel>,
    /// What is measured of the model there.
    pub health: Arc<ModelHealth>,
    /// Milliseconds allowed to the first byte, where a policy says so.
    pub first_byte_timeout_ms: Option<u32>,
    /// Milliseconds without a head after which the next try begins beside this one.
    pub hedge_after_ms: Option<u32>,
}

impl Planned {
    /// Whether something else should be tried first: the circuit is open, or others try it now.
    pub fn is_tripped(&self, now_ms: u64) -> bool {
        let breaker = &self.health.breaker;
        breaker.tripped_ms(now_ms, &self.channel.breaker) > 0
    }

    /// A try at `channel` for `model`, as the caller names it, of which no policy said anything.
    pub fn plain(channel: &Arc<Channel>, model: &str, now_ms: u64) -> Self {
        Self {
            health: channel.health.model(channel.upstream_model(model), now_ms),
            channel: Arc::clone(channel),
            first_byte_timeout_ms: None,
            hedge_after_ms: None,
        }
    }
}

/// One of the offers, and what a policy says of it. Only what is tried in the end becomes a
/// [`Planned`]: its counts of references are shared by all workers.
#[derive(Debug, Clone, Copy)]
struct Draft {
    at: usize,
    first_byte_timeout_ms: Option<u32>,
    hedge_after_ms: Option<u32>,
}

impl Draft {
    fn plain(at: usize) -> Self {
        Self {
            at,
            first_byte_timeout_ms: None,
            hedge_after_ms: None,
        }
    }
}

/// The tries to be made, in order; never empty.
pub async fn run(
    worker: &Rc<Worker>,
    open: &mut Open,
    chain: &Chain,
) -> Result<Vec<Planned>, Fault> {
    let offers = worker.offers(
        &open.call.snapshot,
        open.call.dialect.family(),
        &open.call.key.tenant.id,
        &open.facts.model,
    );
    if offers.is_empty() {
        return Err(nobody_serves(open));
    }
    let mut drafts: SmallVec<[Draft; 8]> = (0..offers.len()).map(Draft::plain).collect();
    for binding in chain.with(Hook::Route, open.share) {
        let candidates = candidates(&offers, &drafts, open.now_ms());
        let running = Running::given(open, binding, Hook::Route, |call| {
            let offered: Vec<Offered> = candidates.iter().map(Offered::from).collect();
            json!({ "call": call, "candidates": record::value(&offered) })
        });
        let answer = {
            let summary = open.facts.summary();
            worker
                .policies
                .route(&binding.version, &open.scope, &summary, &candidates)
                .await
        };
        if let Some(attempts) = running.judge(open, answer)? {
            drafts = attempts
                .into_iter()
                .filter_map(|attempt| drafted(&offers, &drafts, &attempt))
                .collect();
        }
    }
    open.left_out.clear();
    if drafts.len() < offers.len() {
        let is_left_out = |at: &usize| !drafts.iter().any(|draft| draft.at == *at);
        let left_out = offers.iter().enumerate().filter(|(at, _)| is_left_out(at));
        open.left_out = left_out.map(|(_, offer)| offer.channel.number).collect();
    }
    tripped_last(&offers, &mut drafts, open.now_ms());
    drafts.truncate(open.call.snapshot.config.limits.attempts_max);
    if drafts.is_empty() {
        return Err(Fault::new(
            Blame::Policy,
            503,
            "no_route",
            "The policies of this gateway left no channel to try; tell its operator.",
        ));
    }
    let planned = |draft: &Draft| {
        let offer = offers.get(draft.at)?;
        Some(Planned {
            channel: Arc::clone(&offer.channel),
            health: Arc::clone(&offer.health),
            first_byte_timeout_ms: draft.first_byte_timeout_ms,
            hedge_after_ms: draft.hedge_after_ms,
        })
    };
    Ok(drafts.iter().filter_map(planned).collect())
}

/// Whatever is best left alone comes after all else: it is tried where nothing else is left.
fn tripped_last(offers: &[Offer], drafts: &mut [Draft], now_ms: u64) {
    let is_tripped = |draft: &Draft| {
        offers.get(draft.at).is_some_and(|offer| {
            let breaker = &offer.health.breaker;
            breaker.tripped_ms(now_ms, &offer.channel.breaker) > 0
        })
    };
    if drafts.len() > 1 && drafts.iter().any(is_tripped) {
        drafts.sort_by_cached_key(is_tripped);
    }
}

/// What a policy is told of each channel.
fn candidates(offers: &[Offer], drafts: &[Draft], now_ms: u64) -> SmallVec<[Candidate; 4]> {
    let offered = drafts.iter().filter_map(|draft| offers.get(draft.at));
    offered.map(|offer| offer.candidate(now_ms)).collect()
}

/// A policy's attempt as one of the tries that it was offered.
fn drafted(offers: &[Offer], drafts: &[Draft], attempt: &RouteAttempt) -> Option<Draft> {
    let found = drafts.iter().find(|draft| {
        let offer = offers.get(draft.at);
        offer.is_some_and(|offer| offer.channel.number == attempt.channel)
    })?;
    let first_byte_timeout_ms = attempt
        .first_byte_timeout_ms
        .or(found.first_byte_timeout_ms);
    Some(Draft {
        at: found.at,
        first_byte_timeout_ms,
        hedge_after_ms: attempt.hedge_after_ms.or(found.hedge_after_ms),
    })
}

fn nobody_serves(open: &Open) -> Fault {
    let family = open.call.dialect.family().as_str();
    let message = if open.facts.model.is_empty() {
        format!("No channel of this gateway serves {family} calls; ask its operator for one.")
    } else {
        let model: String = open.facts.model.chars().take(100).collect();
        format!(
            "No channel of this gateway serves the model `{model}` to {family} callers; check the name, or ask its operator."
        )
    };
    Fault::new(Blame::Client, 404, "model_not_found", message)
}

#[cfg(test)]
mod tests;

//! route: which channels are tried, in which order.
//!
//! The host lists the channels that serve the model, with what it has measured of them; each route
//! policy orders what the one before it left. A policy can leave channels out, never add one.

use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;
use weir_base::{Blame, Fault};
use weir_policy::{Candidate, Hook, RouteAttempt};

use super::chain::Chain;
use super::channel::Channel;
use super::hook::Running;
use super::open::Open;
use super::worker::Worker;

/// One try to be made.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Where.
    pub channel: Arc<Channel>,
    /// Milliseconds allowed to the first byte, where a policy says so.
    pub first_byte_timeout_ms: Option<u32>,
    /// Milliseconds without a head after which the next try begins beside this one.
    pub hedge_after_ms: Option<u32>,
}

impl Planned {
    /// A try at `channel` of which no policy said anything.
    pub fn plain(channel: &Arc<Channel>) -> Self {
        Self {
            channel: Arc::clone(channel),
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
    let serving = worker.channels(
        &open.call.snapshot,
        open.call.dialect.family(),
        &open.facts.model,
    );
    if serving.is_empty() {
        return Err(nobody_serves(open));
    }
    let mut plan: Vec<Planned> = by_priority(&serving);
    for binding in chain.with(Hook::Route) {
        let running = Running::new(open, binding, Hook::Route);
        let answer = {
            let candidates = candidates(worker, open, &plan);
            let summary = open.facts.summary();
            worker
                .policies
                .route(&binding.version, &open.scope, &summary, &candidates)
                .await
        };
        if let Some(attempts) = running.judge(open, answer)? {
            plan = attempts
                .into_iter()
                .filter_map(|attempt| planned(&plan, &attempt))
                .collect();
        }
    }
    plan.truncate(open.call.snapshot.config.limits.attempts_max);
    if plan.is_empty() {
        return Err(Fault::new(
            Blame::Policy,
            503,
            "no_route",
            "The policies of this gateway left no channel to try; tell its operator.",
        ));
    }
    Ok(plan)
}

/// The order without any policy: higher priority first, as listed within one.
fn by_priority(serving: &[Arc<Channel>]) -> Vec<Planned> {
    let mut plan: Vec<Planned> = serving.iter().map(Planned::plain).collect();
    plan.sort_by_key(|planned| std::cmp::Reverse(planned.channel.priority));
    plan
}

/// What a policy is told of each channel.
fn candidates(worker: &Worker, open: &Open, plan: &[Planned]) -> SmallVec<[Candidate; 4]> {
    let now_ms = open.now_ms();
    let candidate = |planned: &Planned| {
        let channel = &*planned.channel;
        let measured = channel.health.measured(now_ms);
        let model = channel.upstream_model(&open.facts.model);
        let tenant = &open.call.key.tenant.id;
        let price = worker.price(&open.call.snapshot, tenant, Some(&channel.name), model);
        Candidate {
            channel: channel.number,
            priority: channel.priority,
            weight: channel.weight,
            error_rate: measured.error_rate,
            samples: measured.samples,
            first_byte_ms: measured.first_byte_ms,
            total_ms: measured.total_ms,
            tokens_per_second: measured.tokens_per_second,
            in_flight: measured.in_flight,
            usable_keys: channel.usable_keys(now_ms),
            headroom: channel.keys.headroom(now_ms),
            tripped_ms: measured.tripped_ms,
            input_price: shown(price.map(|price| price.input_micros_per_million)),
            output_price: shown(price.map(|price| price.output_micros_per_million)),
        }
    };
    plan.iter().map(candidate).collect()
}

/// A price as a policy is told it.
#[expect(
    clippy::cast_precision_loss,
    reason = "nobody routes by the eighth digit of a price"
)]
fn shown(price_micros: Option<u64>) -> f32 {
    price_micros.map_or(-1.0, |micros| micros as f32)
}

/// A policy's attempt as one of the tries that it was offered.
fn planned(offered: &[Planned], attempt: &RouteAttempt) -> Option<Planned> {
    let found = offered
        .iter()
        .find(|planned| planned.channel.number == attempt.channel)?;
    let first_byte_timeout_ms = attempt
        .first_byte_timeout_ms
        .or(found.first_byte_timeout_ms);
    Some(Planned {
        channel: Arc::clone(&found.channel),
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

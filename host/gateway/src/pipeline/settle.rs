//! settle: what a call really used goes to its limits, the ledger, the metrics and the audit.
//!
//! Always runs, because it runs when the call is dropped: after the last byte, after a refusal,
//! after a client that hung up or a provider that broke off. It waits for nothing.

use std::sync::Arc;
use std::time::Instant;

use weir_base::{Operation, Usage};
use weir_counters::Amounts;
use weir_policy::Hook;
use weir_store::{CallRow, Ended};

use super::audit::Finished;
use super::channel::Channel;
use super::open::Open;
use super::trial::Settled;
use crate::telemetry::{AttemptOutcome, CallOutcome, Phase};

/// Settles a call that is over.
pub fn settle(open: &mut Open) {
    let own = used(open);
    let before = open.resumed.as_ref().map(|resumed| resumed.used);
    let usage = before.map_or(own, |before| own.plus(&before));
    if let Some(reservation) = open.reservation.take() {
        reservation.settle(&Amounts {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cost_micros: usage.cost_micros,
        });
    }
    let now = Instant::now();
    measure(open, &own, now);
    if let Some(mut serving) = open.serving.take() {
        serving.settle(own.total_tokens(), open.worker.now_ms());
    }
    let total = now.saturating_duration_since(open.call.started);
    let total_ms = u32::try_from(total.as_millis()).unwrap_or(u32::MAX);
    count(open, &usage);
    audit(open, &usage, total_ms);
    compare(open);
    record(open, usage, total_ms);
    open.passed(Phase::Settle);
}

/// What the attempt used whose reply broke off. The next one begins with nothing.
pub fn used_until_broken(open: &mut Open) -> Usage {
    let usage = used(open);
    open.outcome.usage = None;
    open.outcome.usage_is_final = false;
    open.outcome.output_text_bytes = 0;
    let now_ms = open.worker.now_ms();
    if let Some(mut serving) = open.serving.take() {
        serving.settle(usage.total_tokens(), now_ms);
    }
    usage
}

/// What the last attempt used: what the provider reported; where it reported nothing, or the reply was cut
/// off before the end, an estimate that says so.
fn used(open: &mut Open) -> Usage {
    // Given up while its beginning was held back, a reply may have said what it used.
    let unheard = || open.unheard.take_last(open.call.dialect);
    let reported = open.outcome.usage.or_else(unheard);
    let outcome = &open.outcome;
    let mut usage = reported.unwrap_or_default();
    let generates = matches!(
        open.call.operation,
        Operation::Chat | Operation::Completion | Operation::Embedding
    );
    // A provider was asked and did not refuse: its work costs, whether or not it said how much.
    let answered = matches!(
        outcome.ended,
        Ended::Complete | Ended::ClientClosed | Ended::UpstreamBroke
    );
    let worked =
        answered && outcome.channel.is_some() && (outcome.status < 300 || outcome.status == 499);
    if generates && worked && !(reported.is_some() && outcome.usage_is_final) {
        usage.estimated = true;
        if usage.input_tokens == 0 {
            usage.input_tokens = u64::from(open.facts.input_tokens);
        }
        usage.output_tokens = usage
            .output_tokens
            .max(outcome.output_text_bytes.div_ceil(4));
    }
    if usage.total_tokens() > 0 {
        let (channel, model) = (outcome.channel.as_deref(), &outcome.upstream_model);
        usage.cost_micros = cost_micros(open, channel, model.as_deref(), &usage);
    }
    usage
}

/// What this usage costs where it was spent: at the price of the provider's name for the model, or else
/// of the caller's. In millionths of the currency unit; 0 where neither has a price.
pub fn cost_micros(
    open: &Open,
    channel: Option<&Channel>,
    model: Option<&str>,
    usage: &Usage,
) -> u64 {
    let (snapshot, tenant) = (&open.call.snapshot, &open.call.key.tenant.id);
    let channel = channel.map(|channel| &*channel.name);
    let find = |model: &str| open.worker.price(snapshot, tenant, channel, model);
    let price = model.and_then(find).or_else(|| find(&open.facts.model));
    price.map_or(0, |price| price.cost_micros(usage))
}

/// What the whole reply tells about its channel.
fn measure(open: &Open, usage: &Usage, now: Instant) {
    let Some(serving) = &open.serving else { return };
    if open.outcome.ended == Ended::Complete && serving.outcome == AttemptOutcome::Success {
        let streamed = open.facts.streaming && !usage.estimated;
        serving.completed(now, streamed.then_some(usage.output_tokens));
    }
}

fn count(open: &Open, usage: &Usage) {
    let outcome = match open.outcome.ended {
        Ended::ClientClosed => CallOutcome::Aborted,
        Ended::UpstreamBroke => CallOutcome::Broken,
        _ => CallOutcome::of_status(open.outcome.status),
    };
    if let Some(metrics) = open.worker.call_metrics(open.call.dialect) {
        metrics.count(open.call.operation, outcome);
    }
    open.worker.shared.metrics.used(usage);
}

fn audit(open: &Open, usage: &Usage, total_ms: u32) {
    if !open.chain.has(Hook::Audit) {
        return;
    }
    open.worker.shared.audit.push(Finished {
        call: Arc::clone(&open.call),
        chain: Arc::clone(&open.chain),
        share: open.share,
        facts: open.facts.clone(),
        channel: open
            .outcome
            .channel
            .as_ref()
            .map(|channel| Arc::clone(&channel.name)),
        status: open.outcome.status,
        denied: open.outcome.denied.clone(),
        attempts: u32::try_from(open.attempts.len()).unwrap_or(u32::MAX),
        first_byte_ms: open.outcome.first_byte_ms.unwrap_or(total_ms),
        total_ms,
        usage: *usage,
    });
}

/// What the versions of a trial made of the call.
fn compare(open: &Open) {
    for trial in open.chain.trials() {
        let differs = trial.settled(&Settled {
            decisions: &open.decisions,
            answers: &open.answers,
            call: open.call.id_text(),
            at_ms: open.call.started_ms,
            key: &open.call.key.id,
            model: &open.facts.model,
        });
        if differs {
            open.worker.shared.metrics.trial_differed(&trial.policy);
        }
    }
}

fn record(open: &mut Open, usage: Usage, total_ms: u32) {
    let call = &open.call;
    let row = CallRow {
        id: call.id,
        started_ms: call.started_ms,
        tenant: Arc::clone(&call.key.tenant.id),
        key: Arc::clone(&call.key.id),
        dialect: call.dialect.as_str().into(),
        operation: call.operation,
        model: Arc::clone(&open.facts.model),
        channel: open
            .outcome
            .channel
            .as_ref()
            .map(|channel| Arc::clone(&channel.name)),
        upstream_model: open.outcome.upstream_model.take(),
        provider_key: open.outcome.provider_key.take(),
        status: open.outcome.status,
        ended: open.outcome.ended,
        denied: open.outcome.denied.take(),
        streaming: open.facts.streaming,
        client_ip: call.client,
        attempts: std::mem::take(&mut open.attempts),
        first_byte_ms: open.outcome.first_byte_ms,
        total_ms,
        usage,
        decisions: std::mem::take(&mut open.decisions),
    };
    open.worker.shared.ledger.record(row);
}

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
use super::open::Open;
use super::trial::Settled;
use crate::telemetry::{AttemptOutcome, CallOutcome, Phase};

/// Settles a call that is over.
pub fn settle(open: &mut Open) {
    let usage = used(open);
    if let Some(reservation) = open.reservation.take() {
        reservation.settle(&Amounts {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cost_micros: usage.cost_micros,
        });
    }
    let now = Instant::now();
    measure(open, &usage, now);
    if let Some(mut serving) = open.serving.take() {
        serving.settle(usage.total_tokens(), open.worker.now_ms());
    }
    let total = now.saturating_duration_since(open.call.started);
    let total_ms = u32::try_from(total.as_millis()).unwrap_or(u32::MAX);
    count(open, &usage);
    audit(open, &usage, total_ms);
    compare(open);
    record(open, usage, total_ms);
    open.passed(Phase::Settle);
}

/// What the call used: what the provider reported; where it reported nothing, or the reply was cut
/// off before the end, an estimate that says so.
fn used(open: &Open) -> Usage {
    let outcome = &open.outcome;
    let mut usage = outcome.usage.unwrap_or_default();
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
    if generates && worked && !(outcome.usage.is_some() && outcome.usage_is_final) {
        usage.estimated = true;
        usage.input_tokens = usage.input_tokens.max(u64::from(open.facts.input_tokens));
        usage.output_tokens = usage
            .output_tokens
            .max(outcome.output_text_bytes.div_ceil(4));
    }
    if usage.total_tokens() > 0 {
        let channel = outcome.channel.as_deref().map(|channel| &*channel.name);
        let tenant = &open.call.key.tenant.id;
        let find = |model: &str| {
            open.worker
                .price(&open.call.snapshot, tenant, channel, model)
        };
        let upstream = outcome.upstream_model.as_deref().and_then(find);
        let price = upstream.or_else(|| find(&open.facts.model));
        usage.cost_micros = price.map_or(0, |price| price.cost_micros(&usage));
    }
    usage
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

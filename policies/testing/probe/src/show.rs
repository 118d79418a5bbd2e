//! Everything that the imports tell, as JSON, for a test to look at.

use serde_json::{Value, json};
use weir_sdk::prelude::*;
use weir_sdk::{call, channels};

/// The summary and all of `call`.
pub(crate) fn call(summary: &Summary) -> Value {
    let messages = call::messages().into_iter();
    json!({
        "summary": show_summary(summary),
        "id": call::id(),
        "tenant": call::tenant(),
        "key": call::key(),
        "client_ip": call::client_ip(),
        "dialect": call::dialect(),
        "method": call::method(),
        "path": call::path(),
        "env": call::label("env"),
        "plan": call::label("plan"),
        "authorization": call::header("authorization"),
        "headers": call::headers(),
        "model": call::json("/model"),
        "messages": messages.map(|message| json!([message.role, message.text])).collect::<Value>(),
        "body": String::from_utf8_lossy(&call::body()),
    })
}

/// What the host told about the channels.
pub(crate) fn candidates(candidates: &[Candidate]) -> Value {
    let show = |candidate: &Candidate| {
        json!({
            "number": candidate.channel,
            "channel": channels::name(candidate.channel),
            "provider": channels::provider(candidate.channel),
            "model": channels::model(candidate.channel),
            "region": channels::label(candidate.channel, "region"),
            "priority": candidate.priority,
            "weight": candidate.weight,
            "error_rate": candidate.error_rate,
            "samples": candidate.samples,
            "first_byte_ms": candidate.first_byte_ms,
            "total_ms": candidate.total_ms,
            "tokens_per_second": candidate.tokens_per_second,
            "in_flight": candidate.in_flight,
            "usable_keys": candidate.usable_keys,
            "headroom": candidate.headroom,
            "tripped_ms": candidate.tripped_ms,
            "input_price": candidate.input_price,
            "output_price": candidate.output_price,
        })
    };
    candidates.iter().map(show).collect()
}

/// How a call ended.
pub(crate) fn outcome(outcome: &Outcome) -> Value {
    let usage = &outcome.usage;
    json!({
        "id": call::id(),
        "tenant": call::tenant(),
        "key": call::key(),
        "client_ip": call::client_ip(),
        "summary": show_summary(&outcome.call),
        "channel": outcome.channel,
        "status": outcome.status,
        "denied": outcome.denied,
        "attempts": outcome.attempts,
        "first_byte_ms": outcome.first_byte_ms,
        "total_ms": outcome.total_ms,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "cost_micros": usage.cost_micros,
            "estimated": usage.estimated,
        },
    })
}

fn show_summary(summary: &Summary) -> Value {
    json!({
        "operation": summary.operation.as_str(),
        "model": summary.model,
        "streaming": summary.streaming,
        "input_tokens": summary.input_tokens,
        "max_output_tokens": summary.max_output_tokens,
    })
}

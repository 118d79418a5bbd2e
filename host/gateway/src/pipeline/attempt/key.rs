//! Which provider key a try takes, and what a reply says about the key's limits.

use std::sync::Arc;

use weir_base::Operation;

use super::send::Got;
use super::verdict::Verdict;
use crate::config::StickyBy;
use crate::keys::{Ask, Lease, Told, caller_hash};
use crate::pipeline::channel::Channel;
use crate::pipeline::open::Open;

/// A key for the next try: none for a channel that needs none, an error where no key is left or has
/// room.
pub fn pick(
    open: &Open,
    channel: &Channel,
    now_ms: u64,
    tried: &[Arc<str>],
) -> Result<Option<Lease>, ()> {
    if channel.keys.keys().is_empty() {
        return if tried.is_empty() { Ok(None) } else { Err(()) };
    }
    let ask = ask(open, channel, now_ms, tried);
    let caller = || caller(open, &channel.sticky_by);
    channel.keys.pick(&ask, caller).map(Some).ok_or(())
}

/// When a key of the channel may take the call, in milliseconds since the Unix epoch.
pub fn next_usable_ms(open: &Open, channel: &Channel, now_ms: u64) -> Option<u64> {
    channel
        .keys
        .next_usable_ms(&ask(open, channel, now_ms, &[]))
}

/// What a provider's answer says about the limits of the key: it is kept, and a key that is to rest
/// without being told for how long rests until what it has used up is whole again.
pub fn heard(
    open: &Open,
    lease: Option<&mut Lease>,
    model: &str,
    got: &Got,
    verdict: &mut Verdict,
    now_ms: u64,
) {
    let Some(lease) = lease else { return };
    if got.status >= 400 {
        // It generated nothing: what was reserved for its output is free again.
        lease.settle(u64::from(open.facts.input_tokens), now_ms);
    }
    let Some(told) = Told::read(&got.headers, now_ms) else {
        return;
    };
    let believe_max_ms = open.call.snapshot.config.cooldown.max_ms;
    lease
        .state
        .hear(lease, model, &told, now_ms, believe_max_ms);
    if let (Verdict::KeyRests(asked_ms @ None), Some(until_ms)) =
        (verdict, told.exhausted_until_ms())
    {
        *asked_ms = Some(until_ms.saturating_sub(now_ms));
    }
}

/// What the call needs of a key.
fn ask<'a>(open: &'a Open, channel: &'a Channel, now_ms: u64, tried: &'a [Arc<str>]) -> Ask<'a> {
    let assumed = open.call.snapshot.config.limits.output_tokens_assumed;
    let generates = matches!(open.call.operation, Operation::Chat | Operation::Completion);
    let output = match open.facts.max_output_tokens {
        0 if generates => assumed,
        bound => bound,
    };
    Ask {
        now_ms,
        model: channel.upstream_model(&open.facts.model),
        input_tokens: u64::from(open.facts.input_tokens),
        output_tokens: u64::from(output),
        tried,
    }
}

/// Who asks, as a number, for a choice that keeps to one key. Where the call has not what the choice
/// goes by, its virtual key counts.
fn caller(open: &Open, by: &StickyBy) -> u64 {
    let key = &open.call.key;
    let named = match by {
        StickyBy::Key => None,
        StickyBy::Tenant => Some(caller_hash(key.tenant.id.as_bytes())),
        StickyBy::Label(name) => key.label(name).map(|label| caller_hash(label.as_bytes())),
        StickyBy::PromptCacheKey => {
            let request = open.call.request();
            let found = weir_wire::json::get(&request.body, "/prompt_cache_key");
            let found = found.ok().flatten().filter(|raw| *raw != "null");
            found.map(|raw| caller_hash(raw.as_bytes()))
        }
        StickyBy::Header(name) => {
            let request = open.call.request();
            let value = request.headers.get(name);
            value.map(|value| caller_hash(value.as_bytes()))
        }
    };
    named.unwrap_or_else(|| caller_hash(key.id.as_bytes()))
}

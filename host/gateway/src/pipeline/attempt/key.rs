//! Which provider key a try takes, what a reply says about the key's limits, and what a provider's
//! word means for the key: dead, resting, or well.

use std::sync::Arc;

use http::HeaderMap;

use super::send::Got;
use super::verdict::Verdict;
use crate::config::StickyBy;
use crate::keys::{Ask, Cooldown, Lease, ProviderKey, Told, caller_hash};
use crate::pipeline::channel::Channel;
use crate::pipeline::limit::estimated_usage;
use crate::pipeline::open::Open;
use crate::pipeline::worker::Worker;

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

/// This key for the next try, where it may be used and has room.
pub fn take(open: &Open, channel: &Channel, key: &Arc<ProviderKey>, now_ms: u64) -> Option<Lease> {
    key.lease(&ask(open, channel, now_ms, &[]))
}

/// When a key of the channel may take the call, in milliseconds since the Unix epoch.
pub fn next_usable_ms(open: &Open, channel: &Channel, now_ms: u64) -> Option<u64> {
    channel
        .keys
        .next_usable_ms(&ask(open, channel, now_ms, &[]))
}

/// What the head of a reply says about the limits of the key is kept. Until when the key has used up
/// one of them, in milliseconds since the Unix epoch, where it says so.
pub fn heard(
    open: &Open,
    lease: Option<&Lease>,
    model: &str,
    headers: &HeaderMap,
    now_ms: u64,
) -> Option<u64> {
    let lease = lease?;
    let told = Told::read(headers, now_ms)?;
    let believe_max_ms = open.call.snapshot.config.cooldown.max_ms;
    lease
        .state
        .hear(lease, model, &told, now_ms, believe_max_ms);
    told.exhausted_until_ms()
}

/// What a refusal means for what was taken of the key's limits; and a key that is to rest without
/// being told for how long rests until what it has used up is whole again.
pub fn refused(
    open: &Open,
    lease: Option<&mut Lease>,
    got: &Got,
    verdict: &mut Verdict,
    now_ms: u64,
) {
    let Some(lease) = lease else { return };
    if got.status >= 400 {
        // It generated nothing: what was reserved for its output is free again.
        lease.settle(u64::from(open.facts.input_tokens), now_ms);
    }
    if let (Verdict::KeyRests(asked_ms @ None), Some(until_ms)) = (verdict, got.spent_until_ms) {
        *asked_ms = Some(until_ms.saturating_sub(now_ms));
    }
}

/// What a provider's word means for the key.
pub fn consequences(
    worker: &Worker,
    open: &Open,
    channel: &Channel,
    key: Option<&ProviderKey>,
    verdict: &Verdict,
    now_ms: u64,
) {
    let Some(key) = key else { return };
    match verdict {
        Verdict::DeadKey(reason) => {
            if key.state.disable(reason, now_ms) {
                worker
                    .shared
                    .metrics
                    .provider_key_disabled(&channel.name, &key.id, reason, now_ms);
                remember(worker, channel, key, reason, now_ms);
            }
        }
        Verdict::KeyRests(asked_ms) => {
            key.state.rest.begin(now_ms, *asked_ms, cooldown(open));
            let rests_ms = key.state.rest.until_ms().saturating_sub(now_ms);
            worker
                .shared
                .metrics
                .provider_key_cooled(&channel.name, &key.id, rests_ms);
        }
        Verdict::Answer => key.state.went_well(),
        Verdict::OtherKey | Verdict::NextChannel => {}
    }
}

/// Writes down that a key died, so that a restart does not try it again.
fn remember(worker: &Worker, channel: &Channel, key: &ProviderKey, reason: &str, now_ms: u64) {
    let store = worker.shared.store.clone();
    let row = weir_store::DisabledKey {
        channel: channel.name.to_string(),
        fingerprint: key.fingerprint,
        reason: reason.to_owned(),
        disabled_ms: now_ms,
    };
    worker.shared.background.spawn(async move {
        if let Err(error) = store.put(&row).await {
            tracing::warn!(channel = row.channel, %error, "a dead key could not be written down; it will be tried again after a restart");
        }
    });
}

/// How long what failed rests.
pub fn cooldown(open: &Open) -> Cooldown {
    let settings = &open.call.snapshot.config.cooldown;
    Cooldown {
        first_ms: settings.first_ms,
        max_ms: settings.max_ms,
    }
}

/// What the call needs of a key.
fn ask<'a>(open: &'a Open, channel: &'a Channel, now_ms: u64, tried: &'a [Arc<str>]) -> Ask<'a> {
    let usage = estimated_usage(open);
    Ask {
        now_ms,
        model: channel.upstream_model(&open.facts.model),
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
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

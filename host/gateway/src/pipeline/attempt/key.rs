//! Which key a try takes, and what a provider's word means for it: dead, resting, or well.

use std::sync::Arc;

use super::verdict::Verdict;
use crate::keys::{Cooldown, ProviderKey};
use crate::pipeline::channel::Channel;
use crate::pipeline::open::Open;
use crate::pipeline::worker::Worker;

/// A key for the next try: none for a channel that needs none, an error where no key is left.
pub fn pick(
    channel: &Channel,
    now_ms: u64,
    tried: &[Arc<str>],
) -> Result<Option<Arc<ProviderKey>>, ()> {
    if channel.keys.keys().is_empty() {
        return if tried.is_empty() { Ok(None) } else { Err(()) };
    }
    channel
        .keys
        .pick(now_ms, tried)
        .cloned()
        .map(Some)
        .ok_or(())
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
                    .provider_key_disabled(&channel.name, &key.id, reason);
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
        Verdict::Answer => key.state.rest.went_well(),
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

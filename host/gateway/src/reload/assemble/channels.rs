//! Channels of the file and the API, with their keys and what is remembered of them.

mod times;

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderMap;
use weir_base::Secret;
use weir_store::DisabledKey;
use weir_upstream::{Http2, Origin};
use weir_wire::dialect::Family;
use weir_wire::fake;
use weir_wire::prefill::Form;

use super::{ChannelRegistry, Ingredients};
use crate::config::{self, ChannelDialect, KeyTerms};
use crate::keys::{KeyPool, KeyState, ProviderKey, fingerprint, public_id};
use crate::pipeline::channel::{Channel, Target, key_header};
use crate::pipeline::health::Terms;
use crate::reload::written;

/// A key that died less than this ago may not have been written down yet.
const WRITTEN_DOWN_MS: u64 = 2_000;

/// The channels that are in use.
pub(super) type Used = Vec<Arc<Channel>>;

/// Those that are switched off, or what they lack to be tested.
pub(super) type Disabled = HashMap<Arc<str>, Result<Arc<Channel>, String>>;

/// Every channel. A name that the file has is the file's.
pub(super) fn all(
    from: &Ingredients<'_>,
    registry: &mut ChannelRegistry,
    warnings: &mut Vec<String>,
) -> (Used, Disabled) {
    let mut merged = from.config.channels.clone();
    let of_api = of_api(from, warnings);
    if merged.is_empty() {
        merged = config::starter_channels(from.environment);
        // Whoever made a channel wants no made-up answers beside it.
        merged.retain(|channel| of_api.is_empty() || channel.fake.is_none());
    }
    for channel in of_api {
        if merged.iter().any(|other| other.name == channel.name) {
            let name = &channel.name;
            warnings.push(format!(
                "the channel {name} of the API is not used: the settings have one of this name"
            ));
        } else {
            merged.push(channel);
        }
    }
    let (disabled, used): (Vec<_>, Vec<_>) =
        merged.into_iter().partition(|channel| channel.disabled);
    let mut build = |channel| build(from, channel, registry, warnings).map(Arc::new);
    let used = used.into_iter().filter_map(&mut build).collect();
    let disabled = disabled.into_iter().map(|mut channel| {
        let name = Arc::clone(&channel.name);
        let built = match channel.lacks.take() {
            Some(lacks) => Err(lacks),
            None => build(channel).ok_or_else(|| "its base URL cannot be used".to_owned()),
        };
        (name, built)
    });
    (used, disabled.collect())
}

fn of_api(from: &Ingredients<'_>, warnings: &mut Vec<String>) -> Vec<config::Channel> {
    let mut channels = Vec::new();
    for channel in &from.entities.channels {
        match written::channel(channel, from.config, from.environment) {
            Ok(channel) => channels.push(channel),
            Err(errors) => {
                warnings.push(format!(
                    "the channel {} of the API is not used: {errors}",
                    channel.name
                ));
            }
        }
    }
    channels
}

fn build(
    from: &Ingredients<'_>,
    mut channel: config::Channel,
    registry: &mut ChannelRegistry,
    warnings: &mut Vec<String>,
) -> Option<Channel> {
    let number = registry.number(&channel);
    let family = family(channel.dialect);
    let target = match (family, &channel.base_url) {
        (Some(family), Some(url)) => match Origin::parse(&url.to_string()) {
            Ok((origin, base_path)) => {
                let origin = origin
                    .with_http2(http2(channel.http2))
                    .through(channel.proxy.clone())
                    .secured(channel.tls.clone());
                Target::Http {
                    family,
                    origin,
                    base_path,
                }
            }
            Err(error) => {
                warnings.push(format!("the channel {} is not used: {error}", channel.name));
                return None;
            }
        },
        _ => Target::Fake(Box::new(fake_options(
            channel.fake.take().unwrap_or_default(),
        ))),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in channel.headers.iter().cloned() {
        headers.append(name, value);
    }
    let timeouts = times::of(&from.config.upstream, &channel);
    Some(Channel {
        number,
        labels: channel.labels.clone(),
        provider: channel.dialect.as_str(),
        target,
        keys: KeyPool::new(
            keys(from, &channel, family.unwrap_or(Family::Openai), warnings),
            channel.key_strategy,
        ),
        sticky_by: channel.sticky_by,
        priority: channel.priority,
        weight: channel.weight,
        headers,
        stream_usage: channel.stream_usage,
        timeouts,
        balance: channel.balance,
        cascade: channel.cascade,
        prefill: channel.prefill.map(form),
        breaker: Terms::of(&channel.breaker, &from.config.cooldown),
        health: registry.health(&channel.name),
        metrics: from.metrics.channel(&channel.name),
        models: channel.models,
        tenants: channel.tenants,
        model_map: channel.model_map,
        name: channel.name,
    })
}

fn family(dialect: ChannelDialect) -> Option<Family> {
    match dialect {
        ChannelDialect::Openai => Some(Family::Openai),
        ChannelDialect::Anthropic => Some(Family::Anthropic),
        ChannelDialect::Gemini => Some(Family::Gemini),
        ChannelDialect::Fake => None,
    }
}

fn http2(written: config::Http2) -> Http2 {
    match written {
        config::Http2::Auto => Http2::Auto,
        config::Http2::Never => Http2::Never,
        config::Http2::PriorKnowledge => Http2::PriorKnowledge,
    }
}

fn form(written: config::Prefill) -> Form {
    match written {
        config::Prefill::Plain => Form::Plain,
        config::Prefill::Prefix => Form::Prefix,
        config::Prefill::PrefixEchoed => Form::PrefixEchoed,
        config::Prefill::Partial => Form::Partial,
        config::Prefill::ContinueFinalMessage => Form::ContinueFinalMessage,
    }
}

fn fake_options(written: config::Fake) -> fake::Options {
    fake::Options {
        delay_ms: written.delay_ms,
        event_delay_ms: written.event_delay_ms,
        chunk_bytes: written.chunk_bytes,
        events: written.events,
        status: written.status,
        retry_after_s: written.retry_after_s,
        error_message: written.error_message,
        cut_after_events: written.cut_after_events,
        text: written.text,
        input_tokens: written.input_tokens,
        output_tokens: written.output_tokens,
    }
}

/// The keys of the settings, then those that the API put beside them.
fn keys(
    from: &Ingredients<'_>,
    channel: &config::Channel,
    family: Family,
    warnings: &mut Vec<String>,
) -> Vec<Arc<ProviderKey>> {
    let mut keys = Vec::new();
    let mut add =
        |id: Option<&str>, secret: &Secret, terms: KeyTerms, dead: Option<(&str, u64)>| {
            let fingerprint = fingerprint(secret);
            let id: Arc<str> = id.map_or_else(|| public_id(&fingerprint).into(), Arc::from);
            let Some(header) = key_header(family, secret) else {
                let name = &channel.name;
                warnings.push(format!(
                    "the key {id} of the channel {name} is not used: it is no header value"
                ));
                return;
            };
            let state = from.keys.state(&channel.name, &fingerprint);
            let is_this = |dead: &&DisabledKey| {
                dead.channel == *channel.name && dead.fingerprint == fingerprint
            };
            let recorded = from.entities.disabled_keys.iter().find(is_this);
            let recorded = recorded.map(|dead| (dead.reason.as_str(), dead.disabled_ms));
            apply(&state, dead.or(recorded), from.now_ms);
            keys.push(Arc::new(ProviderKey {
                id,
                fingerprint,
                header,
                terms,
                state,
            }));
        };
    for key in &channel.keys {
        add(None, &key.secret, key.terms, None);
    }
    for key in from
        .entities
        .provider_keys
        .iter()
        .filter(|key| key.channel == *channel.name)
    {
        let since_ms = key.disabled_ms.unwrap_or_default();
        let dead = key
            .disabled_reason
            .as_deref()
            .map(|reason| (reason, since_ms));
        add(
            Some(&key.id),
            &key.secret,
            written::key_terms(&key.terms),
            dead,
        );
    }
    keys
}

/// Brings a key's state in line with what is written down about it.
fn apply(state: &KeyState, dead: Option<(&str, u64)>, now_ms: u64) {
    match (dead, state.disabled()) {
        (Some((reason, since_ms)), None) => drop(state.disable(reason, since_ms)),
        (None, Some(disabled)) if disabled.at_ms.saturating_add(WRITTEN_DOWN_MS) < now_ms => {
            state.enable()
        }
        _ => {}
    }
}

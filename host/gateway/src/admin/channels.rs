//! `channels`: the ways to providers.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use weir_store::Channel;

use super::AdminState;
use super::body::{Asked, Changes, Input, List, PageQuery, Segments, patched};
use super::error::{ApiError, ErrorBody};
use super::settings::{check, declared_in};
use crate::config::{self, Config};

/// What can be said of a channel: the settings of a `[[channel]]`, without its keys.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChannelInput {
    /// 1 to 64 letters, digits, `.`, `_` and `-`. Needed on creation, and never changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The provider's API: openai, anthropic, gemini or fake. Needed on creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<String>,
    /// Where the provider is; the provider's own address where nothing is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    base_url: Option<String>,
    /// Patterns of the models that it serves, as callers name them; all where nothing is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<Vec<String>>,
    /// Patterns of the tenants whose calls it serves; all where nothing is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenants: Option<Vec<String>>,
    /// The provider's names for models that callers name otherwise.
    #[serde(default)]
    model_map: BTreeMap<String, String>,
    /// Facts for policies.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Channels of higher priority are tried first.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u32>,
    /// Share of the calls among channels of the same priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    /// Keeps the channel out of use.
    #[serde(default)]
    disabled: bool,
    /// Headers for every request to the provider. They are shown and stored as they are: a secret
    /// belongs in a key. (Those of the settings file are hidden.)
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Ask for the usage of streams whose caller did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_usage: Option<bool>,
    /// auto, never or prior-knowledge.
    #[serde(skip_serializing_if = "Option::is_none")]
    http2: Option<String>,
    /// Longest time until a reply begins, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_timeout_ms: Option<u64>,
    /// Where the provider tells what is left on the account: auto, none, deepseek, openrouter,
    /// siliconflow, moonshot or openai_billing.
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<String>,
    /// Which of its keys a call takes: round_robin, least_loaded, weighted or sticky.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_strategy: Option<String>,
    /// What sticky goes by: key, tenant, label:NAME, prompt_cache_key or header:NAME.
    #[serde(skip_serializing_if = "Option::is_none")]
    sticky_by: Option<String>,
    /// Times of this channel, for all calls or for calls of some kinds: the fields of a
    /// `[[channel.timeout]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    timeout: Option<Value>,
    /// The proxy on the way to the provider: http://host:port or socks5://host:port. One with a user
    /// name and password is kept elsewhere and named here as env:NAME or file:PATH.
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
    /// File (PEM) with the authorities that the provider must be certified by. A relative path begins
    /// in the folder in which weir was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<String>,
    /// File (PEM) with the certificate that is shown to the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_cert_file: Option<String>,
    /// File (PEM) with its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_key_file: Option<String>,
    /// The provider is another Weir, which is told where the call has been.
    #[serde(skip_serializing_if = "Option::is_none")]
    cascade: Option<bool>,
    /// Lets it go on with a reply that broke off in the middle: plain, prefix, prefix_echoed, partial or
    /// continue_final_message. Absent: it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefill: Option<String>,
    /// When it is left alone for a while: the fields of a `[channel.breaker]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    breaker: Option<Value>,
    /// How a channel of the `fake` dialect answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    fake: Option<Value>,
}

/// A channel.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChannelView {
    #[serde(flatten)]
    settings: ChannelInput,
    /// What is measured of it; null while it is out of use.
    health: Option<HealthView>,
    /// The file that declares it and has the say about it; null for one that the API made.
    declared_in: Option<String>,
    /// Milliseconds since the Unix epoch.
    created_ms: Option<u64>,
    /// Milliseconds since the Unix epoch.
    updated_ms: Option<u64>,
}

/// What is measured of a channel.
#[derive(Debug, Serialize, ToSchema)]
struct HealthView {
    /// Failures over calls in the last minute, 0 to 1.
    error_rate: f32,
    /// Calls in the last minute.
    samples: u32,
    /// Mean time to the first byte, in milliseconds; recent calls weigh more.
    first_byte_ms: f32,
    /// Mean time to the last byte of replies that came whole, in milliseconds; recent calls weigh
    /// more, as they do in the next.
    total_ms: f32,
    /// Mean of the output tokens per second of streamed replies, after their first byte.
    tokens_per_second: f32,
    /// Calls under way.
    in_flight: u32,
    /// It is left alone for at least one of its models: a circuit is not closed.
    tripped: bool,
    /// Its keys.
    keys: usize,
    /// Those of them that neither rest nor are disabled.
    keys_usable: u32,
}

/// The settings that the store keeps in a field of their own.
const FURTHER: &[&str] = &[
    "labels",
    "key_strategy",
    "sticky_by",
    "headers",
    "stream_usage",
    "http2",
    "first_byte_timeout_ms",
    "balance",
    "timeout",
    "proxy",
    "ca_file",
    "client_cert_file",
    "client_key_file",
    "cascade",
    "tenants",
    "prefill",
    "breaker",
    "fake",
];

/// The input from which a stored channel was made.
fn input_of(channel: &Channel) -> ChannelInput {
    // The further settings are this struct's own fields, so a broken entry loses only them.
    let further = serde_json::from_value(channel.settings.clone()).unwrap_or_default();
    ChannelInput {
        name: Some(channel.name.clone()),
        dialect: Some(channel.dialect.clone()),
        base_url: Some(channel.base_url.clone()).filter(|url| !url.is_empty()),
        models: Some(channel.models.clone()),
        model_map: channel.model_map.clone(),
        priority: Some(channel.priority),
        weight: Some(channel.weight),
        disabled: channel.disabled,
        ..further
    }
}

fn input_of_file(channel: &config::Channel) -> ChannelInput {
    let hidden = |(name, _): &(http::HeaderName, _)| (name.to_string(), "(hidden)".to_owned());
    ChannelInput {
        name: Some(channel.name.to_string()),
        dialect: Some(channel.dialect.as_str().to_owned()),
        base_url: channel.base_url.as_ref().map(ToString::to_string),
        models: Some(channel.models.patterns().to_vec()),
        tenants: Some(channel.tenants.patterns().to_vec()),
        model_map: channel.model_map.clone(),
        labels: channel.labels.clone(),
        priority: Some(channel.priority),
        weight: Some(channel.weight),
        disabled: channel.disabled,
        headers: channel.headers.iter().map(hidden).collect(),
        stream_usage: Some(channel.stream_usage),
        http2: Some(channel.http2.as_str().to_owned()),
        first_byte_timeout_ms: channel.first_byte_timeout_ms,
        balance: Some(channel.balance.as_str().to_owned()),
        key_strategy: Some(channel.key_strategy.as_str().to_owned()),
        sticky_by: Some(channel.sticky_by.text()),
        proxy: channel.proxy.as_ref().map(ToString::to_string),
        cascade: Some(channel.cascade),
        prefill: channel.prefill.map(|prefill| prefill.as_str().to_owned()),
        // Files are the file's business, and so are times; `GET /admin/v1/config` shows both.
        ..ChannelInput::default()
    }
}

/// Checks `input` as the settings file would, and makes a channel with the defaults filled in.
fn checked(
    input: ChannelInput,
    config: &Config,
    created_ms: u64,
    now_ms: u64,
) -> Result<Channel, ApiError> {
    let loaded = check("channel", &input, config)?.config;
    let channel = loaded
        .channels
        .first()
        .ok_or_else(|| ApiError::field("name", "is missing"))?;
    refuse_password(&input, channel)?;
    let mut settings = serde_json::to_value(&input).unwrap_or_default();
    if let Value::Object(fields) = &mut settings {
        fields.retain(|name, _| FURTHER.contains(&name.as_str()));
    }
    Ok(Channel {
        name: channel.name.to_string(),
        dialect: channel.dialect.as_str().to_owned(),
        base_url: channel
            .base_url
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        models: channel.models.patterns().to_vec(),
        model_map: channel.model_map.clone(),
        priority: channel.priority,
        weight: channel.weight,
        settings,
        disabled: channel.disabled,
        created_ms,
        updated_ms: now_ms,
    })
}

/// What the API takes it also shows, and the store keeps it as it is: no place for a password.
fn refuse_password(input: &ChannelInput, channel: &config::Channel) -> Result<(), ApiError> {
    let written = input.proxy.as_deref().unwrap_or_default();
    let elsewhere = written.starts_with("env:") || written.starts_with("file:");
    match &channel.proxy {
        Some(proxy) if proxy.has_login() && !elsewhere => Err(ApiError::field(
            "proxy",
            "holds a password; keep the URL in a variable or a file and write \"env:NAME\" or \"file:PATH\"",
        )),
        _ => Ok(()),
    }
}

/// The channel that the settings file declares under this name.
pub(super) fn in_file<'c>(config: &'c Config, name: &str) -> Option<&'c config::Channel> {
    config
        .channels
        .iter()
        .find(|channel| &*channel.name == name)
}

fn refuse_declared(config: &Config, name: &str) -> Result<(), ApiError> {
    match in_file(config, name) {
        Some(_) => Err(ApiError::declared("channel", name, &declared_in(config))),
        None => Ok(()),
    }
}

/// The stored channel of this name.
pub(super) async fn stored(state: &AdminState, name: &str) -> Result<Channel, ApiError> {
    state
        .store
        .get::<Channel>(name)
        .await
        .map_err(|error| ApiError::naming(error, "channel", name))
}

fn health(state: &AdminState, name: &str) -> Option<HealthView> {
    let (snapshot, now_ms) = (state.control.snapshot(), state.clock.now_ms());
    let channel = snapshot.channel(name)?;
    let measured = channel.health.measured(now_ms);
    Some(HealthView {
        error_rate: measured.counts.error_rate(1),
        samples: measured.counts.calls,
        first_byte_ms: measured.means.first_byte_ms,
        total_ms: measured.means.total_ms,
        tokens_per_second: measured.means.tokens_per_second,
        in_flight: measured.in_flight,
        tripped: measured.open_circuits > 0,
        keys: channel.keys.keys().len(),
        keys_usable: channel.keys.usable(now_ms),
    })
}

fn view(state: &AdminState, channel: &Channel) -> ChannelView {
    ChannelView {
        settings: input_of(channel),
        health: health(state, &channel.name),
        declared_in: None,
        created_ms: Some(channel.created_ms),
        updated_ms: Some(channel.updated_ms),
    }
}

fn view_of_file(state: &AdminState, channel: &config::Channel, config: &Config) -> ChannelView {
    ChannelView {
        settings: input_of_file(channel),
        health: health(state, &channel.name),
        declared_in: Some(declared_in(config)),
        created_ms: None,
        updated_ms: None,
    }
}

/// The channels that serve because the environment holds providers' keys, or nothing at all: the
/// ones of a gateway to which nobody gave a channel.
fn starters(state: &AdminState) -> Vec<config::Channel> {
    if !state.control.config().channels.is_empty() {
        return Vec::new();
    }
    let snapshot = state.control.snapshot();
    let mut starters = config::starter_channels(&std::env::vars().collect());
    starters.retain(|channel| snapshot.channel(&channel.name).is_some());
    starters
}

fn view_of_starter(state: &AdminState, channel: &config::Channel) -> ChannelView {
    ChannelView {
        settings: input_of_file(channel),
        health: health(state, &channel.name),
        declared_in: Some("the environment".to_owned()),
        created_ms: None,
        updated_ms: None,
    }
}

/// All channels.
#[utoipa::path(get, path = "/admin/v1/channels", tag = "channels", operation_id = "list_channels", params(PageQuery),
    responses((status = 200, body = List<ChannelView>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<List<ChannelView>>, ApiError> {
    let config = state.control.config();
    let first = page.is_first();
    let file = config.channels.iter().filter(|_| first);
    let mut data: Vec<ChannelView> = file
        .map(|channel| view_of_file(&state, channel, &config))
        .collect();
    let stored = state.store.list::<Channel>(page.query(None)?).await?;
    if first {
        data.extend(
            starters(&state)
                .iter()
                .map(|channel| view_of_starter(&state, channel)),
        );
    }
    let made = stored
        .items
        .iter()
        .filter(|channel| in_file(&config, &channel.name).is_none());
    data.extend(made.map(|channel| view(&state, channel)));
    Ok(Json(List {
        data,
        next: stored.next,
    }))
}

/// Makes a channel. Give it keys at `channels/{channel}/keys`.
#[utoipa::path(post, path = "/admin/v1/channels", tag = "channels", operation_id = "create_channel",
    request_body = ChannelInput,
    responses((status = 201, body = ChannelView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn create(
    State(state): State<AdminState>,
    Input(input): Input<ChannelInput>,
) -> Result<(StatusCode, Json<ChannelView>), ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    let (config, now_ms) = (state.control.config(), state.clock.now_ms());
    let channel = checked(input, &config, now_ms, now_ms)?;
    refuse_declared(&config, &channel.name)?;
    state
        .store
        .create(&channel)
        .await
        .map_err(|error| ApiError::naming(error, "channel", &channel.name))?;
    state.publish().await?;
    Ok((StatusCode::CREATED, Json(view(&state, &channel))))
}

/// One channel.
#[utoipa::path(get, path = "/admin/v1/channels/{channel}", tag = "channels", operation_id = "get_channel",
    params(("channel" = String, Path, description = "The channel's name")),
    responses((status = 200, body = ChannelView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    State(state): State<AdminState>,
    Segments(name): Segments<String>,
) -> Result<Json<ChannelView>, ApiError> {
    let config = state.control.config();
    if let Some(channel) = in_file(&config, &name) {
        return Ok(Json(view_of_file(&state, channel, &config)));
    }
    if let Some(channel) = starters(&state)
        .iter()
        .find(|channel| *channel.name == *name)
    {
        return Ok(Json(view_of_starter(&state, channel)));
    }
    Ok(Json(view(&state, &stored(&state, &name).await?)))
}

/// Changes a channel: the fields that are given. A field that is null returns to its default.
#[utoipa::path(patch, path = "/admin/v1/channels/{channel}", tag = "channels", operation_id = "change_channel",
    params(("channel" = String, Path, description = "The channel's name")), request_body = ChannelInput,
    responses((status = 200, body = ChannelView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn change(
    State(state): State<AdminState>,
    Segments(name): Segments<String>,
    Input(changes): Input<Changes>,
) -> Result<Json<ChannelView>, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    let config = state.control.config();
    refuse_declared(&config, &name)?;
    let old = stored(&state, &name).await?;
    let input = patched(&input_of(&old), changes)?;
    let new = checked(input, &config, old.created_ms, state.clock.now_ms())?;
    if new.name != name {
        return Err(ApiError::field("name", "cannot be changed"));
    }
    state.store.put(&new).await?;
    state.publish().await?;
    Ok(Json(view(&state, &new)))
}

/// Removes a channel with its keys. Calls that are under way end as they would have.
#[utoipa::path(delete, path = "/admin/v1/channels/{channel}", tag = "channels", operation_id = "delete_channel",
    params(("channel" = String, Path, description = "The channel's name")),
    responses((status = 204, description = "It is gone"), (status = "4XX", body = ErrorBody)))]
pub(super) async fn remove(
    State(state): State<AdminState>,
    Segments(name): Segments<String>,
) -> Result<StatusCode, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    refuse_declared(&state.control.config(), &name)?;
    state
        .store
        .delete::<Channel>(&name)
        .await
        .map_err(|error| ApiError::naming(error, "channel", &name))?;
    state.publish().await?;
    Ok(StatusCode::NO_CONTENT)
}

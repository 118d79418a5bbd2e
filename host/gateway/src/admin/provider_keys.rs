//! `channels/{c}/keys`: the secrets that channels send upstream. They go in and never out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use weir_base::Secret;
use weir_store::{DisabledKey, KeyTerms, ProviderKey, StoreError};

use super::AdminState;
use super::body::{Asked, Input, List, PageQuery, Segments};
use super::channels::{in_file, stored as stored_channel};
use super::error::{ApiError, ErrorBody};
use super::keys::random_hex;
use super::settings::declared_in;
use crate::config::{self, Config};
use crate::keys::{self, BY_HAND, KeyState, fingerprint, public_id};
use crate::pipeline::retest::Finding;
use crate::reload::written::key_terms;

/// A provider key that is handed over.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderKeyInput {
    /// What the provider calls an API key. It is encrypted, and never shown.
    #[schema(value_type = String)]
    secret: Secret,
    /// For people.
    #[serde(default)]
    label: String,
    /// Share of the calls, with the strategies that go by it. 1 to 1000000.
    weight: Option<u32>,
    /// Keys of level 1 are tried first. 1 to 1000.
    level: Option<u32>,
    /// Most requests in a minute, as the provider allows; at least 1.
    rpm: Option<u64>,
    /// Most tokens in a minute, as the provider allows; at least 1.
    tpm: Option<u64>,
    /// Most calls under way; at least 1.
    in_flight_max: Option<u32>,
}

/// `terms`, where a settings file could say them too.
fn checked(terms: KeyTerms) -> Result<KeyTerms, ApiError> {
    let within = |name: &str, value: Option<u64>, max: u64| match value {
        Some(value) if !(1..=max).contains(&value) => Err(ApiError::field(
            name,
            &format!("must be from 1 to {max}, not {value}"),
        )),
        _ => Ok(()),
    };
    within("weight", terms.weight.map(u64::from), 1_000_000)?;
    within("level", terms.level.map(u64::from), 1_000)?;
    within("rpm", terms.rpm, 1_000_000_000)?;
    within("tpm", terms.tpm, 1_000_000_000_000)?;
    let in_flight_max = terms.in_flight_max.map(u64::from);
    within("in_flight_max", in_flight_max, 1_000_000)?;
    Ok(terms)
}

/// What can be changed about a provider key. What is left out stays; null gives it its default back, which for
/// a limit is none.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderKeyChange {
    /// For people. Only for a key that the API made, as is all below but `enabled`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    label: Option<Option<String>>,
    /// true puts the key back into rotation, also one that the settings file declares; false takes it
    /// out.
    enabled: Option<bool>,
    /// Share of the calls, with the strategies that go by it. 1 to 1000000.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    weight: Option<Option<u32>>,
    /// Keys of level 1 are tried first. 1 to 1000.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    level: Option<Option<u32>>,
    /// Most requests in a minute, as the provider allows; at least 1.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u64>)]
    rpm: Option<Option<u64>>,
    /// Most tokens in a minute, as the provider allows; at least 1.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u64>)]
    tpm: Option<Option<u64>>,
    /// Most calls under way; at least 1.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    in_flight_max: Option<Option<u32>>,
}

/// What is there, null included: only what is left out is none.
#[expect(
    clippy::option_option,
    reason = "left out, null and a value are three things"
)]
fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

impl ProviderKeyChange {
    /// What it says of how the key is used, with what it leaves as it was.
    fn terms(&self, before: &KeyTerms) -> KeyTerms {
        KeyTerms {
            weight: self.weight.unwrap_or(before.weight),
            level: self.level.unwrap_or(before.level),
            rpm: self.rpm.unwrap_or(before.rpm),
            tpm: self.tpm.unwrap_or(before.tpm),
            in_flight_max: self.in_flight_max.unwrap_or(before.in_flight_max),
        }
    }

    /// Whether it says something that a key of the settings file has from there.
    fn is_for_stored(&self) -> bool {
        let limits = self.rpm.is_some() || self.tpm.is_some() || self.in_flight_max.is_some();
        self.label.is_some() || self.weight.is_some() || self.level.is_some() || limits
    }
}

/// A provider key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProviderKeyView {
    /// What the ledger calls it.
    id: String,
    /// The channel's name.
    channel: String,
    /// For people.
    label: String,
    /// SHA-256 of the secret, to recognise it by.
    fingerprint: String,
    state: KeyStateView,
    /// Share of the calls, with the strategies that go by it.
    weight: u32,
    /// Keys of level 1 are tried first.
    level: u32,
    /// Most requests in a minute; null for no limit.
    rpm: Option<u64>,
    /// Most tokens in a minute; null for no limit.
    tpm: Option<u64>,
    /// Most calls under way; null for no limit.
    in_flight_max: Option<u32>,
    /// What it carries now; null while its channel is out of use.
    load: Option<LoadView>,
    /// The file that declares it; null for one that the API made.
    declared_in: Option<String>,
    /// Milliseconds since the Unix epoch.
    created_ms: Option<u64>,
}

/// What a key carries.
#[derive(Debug, Serialize, ToSchema)]
struct LoadView {
    /// Calls under way.
    in_flight: u32,
    /// Requests of the last minute; 0 where the key has no limit of a minute.
    requests: u64,
    /// Tokens of the last minute, those of calls under way by estimate; 0 where the key has no limit
    /// of a minute.
    tokens: u64,
    /// The share that is left of the tightest of its limits, those that the provider told included;
    /// null where none is known.
    free: Option<f32>,
}

/// What a try of a key found out.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TestView {
    /// Whether the provider takes the key; null where it did not say.
    accepted: Option<bool>,
    /// Why not.
    reason: Option<String>,
    /// The key, after the try.
    key: ProviderKeyView,
}

/// Whether a key is used.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
enum KeyStateView {
    /// Calls take turns with it.
    Usable,
    /// The provider turned it away, and it rests.
    Resting {
        /// Milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// It is out of rotation until someone enables it.
    Disabled {
        /// Why.
        reason: String,
        /// Since when, in milliseconds since the Unix epoch.
        at_ms: u64,
    },
}

/// A key of a channel, wherever it was declared.
enum Found {
    InFile(config::ChannelKey),
    Stored(Box<ProviderKey>),
}

impl Found {
    fn id(&self) -> String {
        match self {
            Found::InFile(key) => public_id(&fingerprint(&key.secret)),
            Found::Stored(key) => key.id.clone(),
        }
    }

    fn terms(&self) -> config::KeyTerms {
        match self {
            Found::InFile(key) => key.terms,
            Found::Stored(key) => key_terms(&key.terms),
        }
    }

    fn secret(&self) -> &Secret {
        match self {
            Found::InFile(key) => &key.secret,
            Found::Stored(key) => &key.secret,
        }
    }
}

async fn must_exist(state: &AdminState, channel: &str) -> Result<(), ApiError> {
    if in_file(&state.control.config(), channel).is_none() {
        stored_channel(state, channel).await?;
    }
    Ok(())
}

fn keys_in_file(config: &Config, channel: &str) -> Vec<Found> {
    let keys = in_file(config, channel).map_or(&[][..], |channel| &channel.keys);
    keys.iter().cloned().map(Found::InFile).collect()
}

async fn find(state: &AdminState, channel: &str, id: &str) -> Result<Found, ApiError> {
    must_exist(state, channel).await?;
    let file = keys_in_file(&state.control.config(), channel);
    if let Some(key) = file.into_iter().find(|key| key.id() == id) {
        return Ok(key);
    }
    let unknown = |error| ApiError::naming(error, "provider key", id);
    let key = state.store.get::<ProviderKey>(id).await.map_err(unknown)?;
    if key.channel == channel {
        Ok(Found::Stored(Box::new(key)))
    } else {
        Err(ApiError::unknown("provider key", id))
    }
}

/// What the data path knows about the key; none while its channel is out of use.
fn live(state: &AdminState, channel: &str, id: &str) -> Option<Arc<keys::ProviderKey>> {
    let snapshot = state.control.snapshot();
    let keys = snapshot.channel(channel)?.keys.keys();
    keys.iter().find(|key| &*key.id == id).cloned()
}

fn state_of(state: &AdminState, live: Option<&KeyState>, key: &Found) -> KeyStateView {
    if let Some(disabled) = live.and_then(KeyState::disabled) {
        return KeyStateView::Disabled {
            reason: disabled.reason.clone(),
            at_ms: disabled.at_ms,
        };
    }
    if let (None, Found::Stored(key)) = (&live, key)
        && let Some(reason) = key.disabled_reason.clone()
    {
        return KeyStateView::Disabled {
            reason,
            at_ms: key.disabled_ms.unwrap_or(key.created_ms),
        };
    }
    let until_ms = live.map_or(0, |live| live.rest.until_ms());
    if until_ms > state.clock.now_ms() {
        KeyStateView::Resting { until_ms }
    } else {
        KeyStateView::Usable
    }
}

fn view(state: &AdminState, channel: &str, key: &Found) -> ProviderKeyView {
    let live = live(state, channel, &key.id());
    let (label, declared, created_ms) = match key {
        Found::InFile(key) => (
            key.name.as_deref().unwrap_or_default().to_owned(),
            Some(declared_in(&state.control.config())),
            None,
        ),
        Found::Stored(key) => (key.label.clone(), None, Some(key.created_ms)),
    };
    let terms = key.terms();
    let now_ms = state.clock.now_ms();
    let load = live.as_ref().map(|live| {
        let (requests, tokens) = live.state.last_minute(now_ms);
        LoadView {
            in_flight: live.state.in_flight(),
            requests,
            tokens,
            free: live.free_share(now_ms),
        }
    });
    ProviderKeyView {
        id: key.id(),
        channel: channel.to_owned(),
        label,
        fingerprint: hex::encode(fingerprint(key.secret())),
        state: state_of(state, live.as_ref().map(|live| &*live.state), key),
        weight: terms.weight,
        level: terms.level,
        rpm: terms.rpm,
        tpm: terms.tpm,
        in_flight_max: terms.in_flight_max,
        load,
        declared_in: declared,
        created_ms,
    }
}

/// The keys of a channel.
#[utoipa::path(get, path = "/admin/v1/channels/{channel}/keys", tag = "channels", operation_id = "list_provider_keys",
    params(("channel" = String, Path, description = "The channel's name"), PageQuery),
    responses((status = 200, body = List<ProviderKeyView>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    Segments(channel): Segments<String>,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<List<ProviderKeyView>>, ApiError> {
    must_exist(&state, &channel).await?;
    let mut keys = if page.is_first() {
        keys_in_file(&state.control.config(), &channel)
    } else {
        Vec::new()
    };
    let stored = state
        .store
        .list::<ProviderKey>(page.query(Some(&channel))?)
        .await?;
    keys.extend(
        stored
            .items
            .into_iter()
            .map(|key| Found::Stored(Box::new(key))),
    );
    let data = keys.iter().map(|key| view(&state, &channel, key)).collect();
    Ok(Json(List {
        data,
        next: stored.next,
    }))
}

/// Gives a channel another key. Also one that the settings file declares can have some.
#[utoipa::path(post, path = "/admin/v1/channels/{channel}/keys", tag = "channels", operation_id = "create_provider_key",
    params(("channel" = String, Path, description = "The channel's name")), request_body = ProviderKeyInput,
    responses((status = 201, body = ProviderKeyView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn create(
    State(state): State<AdminState>,
    Segments(channel): Segments<String>,
    Input(input): Input<ProviderKeyInput>,
) -> Result<(StatusCode, Json<ProviderKeyView>), ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    must_exist(&state, &channel).await?;
    let secret = input.secret.expose();
    if secret.is_empty() || http::HeaderValue::from_str(secret).is_err() {
        return Err(ApiError::field(
            "secret",
            "must be what a header can carry, and not empty",
        ));
    }
    let key = ProviderKey {
        id: format!("pk_{}", random_hex::<12>()?),
        channel: channel.clone(),
        label: input.label,
        terms: checked(KeyTerms {
            weight: input.weight,
            level: input.level,
            rpm: input.rpm,
            tpm: input.tpm,
            in_flight_max: input.in_flight_max,
        })?,
        secret: input.secret,
        disabled_reason: None,
        disabled_ms: None,
        created_ms: state.clock.now_ms(),
    };
    state.store.create(&key).await?;
    state.publish().await?;
    Ok((
        StatusCode::CREATED,
        Json(view(&state, &channel, &Found::Stored(Box::new(key)))),
    ))
}

/// One key.
#[utoipa::path(get, path = "/admin/v1/channels/{channel}/keys/{key}", tag = "channels", operation_id = "get_provider_key",
    params(("channel" = String, Path, description = "The channel's name"), ("key" = String, Path, description = "The key's id")),
    responses((status = 200, body = ProviderKeyView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    State(state): State<AdminState>,
    Segments((channel, id)): Segments<(String, String)>,
) -> Result<Json<ProviderKeyView>, ApiError> {
    let key = find(&state, &channel, &id).await?;
    Ok(Json(view(&state, &channel, &key)))
}

/// Takes a key out of rotation or puts it back, or gives it another label.
#[utoipa::path(patch, path = "/admin/v1/channels/{channel}/keys/{key}", tag = "channels", operation_id = "change_provider_key",
    params(("channel" = String, Path, description = "The channel's name"), ("key" = String, Path, description = "The key's id")),
    request_body = ProviderKeyChange,
    responses((status = 200, body = ProviderKeyView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn change(
    State(state): State<AdminState>,
    Segments((channel, id)): Segments<(String, String)>,
    Input(change): Input<ProviderKeyChange>,
) -> Result<Json<ProviderKeyView>, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    let key = find(&state, &channel, &id).await?;
    if matches!(key, Found::InFile(_)) && change.is_for_stored() {
        return Err(ApiError::declared(
            "provider key",
            &id,
            &declared_in(&state.control.config()),
        ));
    }
    record(&state, &channel, &key, &change).await?;
    if let (Some(enabled), Some(live)) = (change.enabled, live(&state, &channel, &id)) {
        if enabled {
            live.state.enable();
        } else {
            live.state.disable(BY_HAND, state.clock.now_ms());
        }
    }
    state.publish().await?;
    let key = find(&state, &channel, &id).await?;
    Ok(Json(view(&state, &channel, &key)))
}

/// Tries a key now: asks the provider for its list of models. A key that is disabled comes back where
/// the provider takes it.
#[utoipa::path(post, path = "/admin/v1/channels/{channel}/keys/{key}/test", tag = "channels", operation_id = "test_provider_key",
    params(("channel" = String, Path, description = "The channel's name"), ("key" = String, Path, description = "The key's id")),
    responses((status = 200, body = TestView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn test(
    State(state): State<AdminState>,
    Segments((channel, id)): Segments<(String, String)>,
) -> Result<Json<TestView>, ApiError> {
    let key = find(&state, &channel, &id).await?;
    let (accepted, reason) = match state.retests.test(&channel, &id).await {
        Some(Finding::Accepted) => (Some(true), None),
        Some(Finding::Refused(reason)) => (Some(false), Some(reason)),
        Some(Finding::Unknown(reason)) => (None, Some(reason)),
        None => (
            None,
            Some("the channel or the key is not in use".to_owned()),
        ),
    };
    if accepted == Some(true)
        && let Found::Stored(stored) = &key
        && stored.disabled_reason.is_some()
    {
        let _one_at_a_time = state.writes.lock().await;
        let change = ProviderKeyChange {
            enabled: Some(true),
            ..ProviderKeyChange::default()
        };
        record(&state, &channel, &key, &change).await?;
    }
    let key = find(&state, &channel, &id).await?;
    let key = view(&state, &channel, &key);
    Ok(Json(TestView {
        accepted,
        reason,
        key,
    }))
}

/// Writes a change down, so that it holds after a restart.
async fn record(
    state: &AdminState,
    channel: &str,
    key: &Found,
    change: &ProviderKeyChange,
) -> Result<(), ApiError> {
    let now_ms = state.clock.now_ms();
    let (enabled, label) = (change.enabled, change.label.clone());
    if let Found::Stored(key) = key {
        let terms = checked(change.terms(&key.terms))?;
        let apply = move |key: &mut ProviderKey| {
            key.terms = terms;
            if let Some(label) = label {
                key.label = label.unwrap_or_default();
            }
            match enabled {
                Some(true) => (key.disabled_reason, key.disabled_ms) = (None, None),
                Some(false) => {
                    (key.disabled_reason, key.disabled_ms) =
                        (Some(BY_HAND.to_owned()), Some(now_ms))
                }
                None => {}
            }
        };
        state.store.update(&key.id, apply).await?;
    }
    let fingerprint = fingerprint(key.secret());
    match (enabled, key) {
        // The data path may have noted the death of either kind of key here.
        (Some(true), _) => match state
            .store
            .delete::<DisabledKey>(&DisabledKey::id_of(channel, &fingerprint))
            .await
        {
            Ok(()) | Err(StoreError::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        },
        (Some(false), Found::InFile(_)) => {
            let (channel, reason) = (channel.to_owned(), BY_HAND.to_owned());
            Ok(state
                .store
                .put(&DisabledKey {
                    channel,
                    fingerprint,
                    reason,
                    disabled_ms: now_ms,
                })
                .await?)
        }
        _ => Ok(()),
    }
}

/// Removes a key.
#[utoipa::path(delete, path = "/admin/v1/channels/{channel}/keys/{key}", tag = "channels", operation_id = "delete_provider_key",
    params(("channel" = String, Path, description = "The channel's name"), ("key" = String, Path, description = "The key's id")),
    responses((status = 204, description = "It is gone"), (status = "4XX", body = ErrorBody)))]
pub(super) async fn remove(
    State(state): State<AdminState>,
    Segments((channel, id)): Segments<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    if let Found::InFile(_) = find(&state, &channel, &id).await? {
        return Err(ApiError::declared(
            "provider key",
            &id,
            &declared_in(&state.control.config()),
        ));
    }
    state.store.delete::<ProviderKey>(&id).await?;
    state.publish().await?;
    Ok(StatusCode::NO_CONTENT)
}

//! `tenants/{t}/keys`: virtual keys, which are what callers send.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use weir_base::Secret;
use weir_store::{VirtualKey, sha256};

use super::AdminState;
use super::body::{Asked, Changes, Input, List, PageQuery, Segments, patched};
use super::error::{ApiError, ErrorBody};
use super::settings::{check, declared_in};
use super::tenants::{in_file, must_exist};
use crate::config::{self, Config};

/// Shorter secrets can be guessed.
const SECRET_MIN_CHARS: usize = 16;
/// What secrets that Weir makes begin with, so that scanners and people know them.
const SECRET_PREFIX: &str = "sk-weir-";

/// What can be said of a virtual key.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyInput {
    /// Unique within the tenant: 1 to 64 letters, digits, `.`, `_` and `-`. Needed on creation.
    name: Option<String>,
    /// Facts for policies; they come before the tenant's labels of the same name.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Refuses all calls with the key.
    #[serde(default)]
    disabled: bool,
    /// caller (the default), or author: the key opens the tenant's own policies in this API, and no calls.
    role: Option<String>,
    /// From when on the key is refused: a date or an RFC 3339 time.
    expires: Option<String>,
    /// On creation only: the secret, where it is not to be made by Weir. At least 16 characters.
    #[serde(skip_serializing)]
    #[schema(value_type = Option<String>)]
    secret: Option<Secret>,
}

/// A virtual key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyView {
    /// Public; what policies and the ledger call it.
    id: String,
    /// The tenant's id.
    tenant: String,
    /// For people.
    name: String,
    /// How the secret begins; null where the file keeps it.
    prefix: Option<String>,
    /// Facts for policies.
    labels: BTreeMap<String, String>,
    /// All calls with it are refused.
    disabled: bool,
    /// caller or author.
    role: &'static str,
    /// From when on it is refused, in milliseconds since the Unix epoch.
    expires_ms: Option<u64>,
    /// The file that declares it and has the say about it; null for one that the API made.
    declared_in: Option<String>,
    /// Milliseconds since the Unix epoch.
    created_ms: Option<u64>,
    /// Milliseconds since the Unix epoch.
    updated_ms: Option<u64>,
}

/// A virtual key with its secret, which is told this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewKey {
    #[serde(flatten)]
    key: KeyView,
    /// What callers send. It cannot be read again.
    secret: String,
}

impl From<VirtualKey> for KeyView {
    fn from(key: VirtualKey) -> Self {
        Self {
            id: key.id,
            tenant: key.tenant,
            name: key.name,
            prefix: Some(key.prefix),
            labels: key.labels,
            disabled: key.disabled,
            role: role_of(key.author),
            expires_ms: key.expires_ms,
            declared_in: None,
            created_ms: Some(key.created_ms),
            updated_ms: Some(key.updated_ms),
        }
    }
}

fn declared(tenant: &str, key: &config::VirtualKey, config: &Config) -> KeyView {
    KeyView {
        id: file_id(tenant, &key.name),
        tenant: tenant.to_owned(),
        name: key.name.to_string(),
        prefix: None,
        labels: key.labels.clone(),
        disabled: key.disabled,
        role: key.role.as_str(),
        expires_ms: key.expires_unix_ms,
        declared_in: Some(declared_in(config)),
        created_ms: None,
        updated_ms: None,
    }
}

fn role_of(author: bool) -> &'static str {
    let role = if author {
        config::KeyRole::Author
    } else {
        config::KeyRole::Caller
    };
    role.as_str()
}

/// Its role was checked.
fn is_author(role: Option<&str>) -> bool {
    role == Some(config::KeyRole::Author.as_str())
}

/// The id of a key that the file declares.
fn file_id(tenant: &str, name: &str) -> String {
    format!("{tenant}.{name}")
}

fn keys_in_file<'c>(config: &'c Config, tenant: &str) -> &'c [config::VirtualKey] {
    in_file(config, tenant).map_or(&[], |tenant| &tenant.keys)
}

fn find_in_file<'c>(config: &'c Config, tenant: &str, id: &str) -> Option<&'c config::VirtualKey> {
    keys_in_file(config, tenant)
        .iter()
        .find(|key| file_id(tenant, &key.name) == id)
}

fn refuse_declared(config: &Config, tenant: &str, id: &str) -> Result<(), ApiError> {
    match find_in_file(config, tenant, id) {
        Some(_) => Err(ApiError::declared("key", id, &declared_in(config))),
        None => Ok(()),
    }
}

/// The stored key of this tenant.
async fn stored(state: &AdminState, tenant: &str, id: &str) -> Result<VirtualKey, ApiError> {
    let key = state
        .store
        .get::<VirtualKey>(id)
        .await
        .map_err(|error| ApiError::naming(error, "key", id))?;
    if key.tenant == tenant {
        Ok(key)
    } else {
        Err(ApiError::unknown("key", id))
    }
}

/// `input` checked as the settings file would, with the moment of its expiry.
fn checked(
    input: KeyInput,
    config: &Config,
    tenant: &str,
) -> Result<(KeyInput, String, Option<u64>), ApiError> {
    let name = input
        .name
        .clone()
        .ok_or_else(|| ApiError::field("name", "is missing"))?;
    let key = json!({
        "name": name, "labels": input.labels, "disabled": input.disabled, "role": input.role, "expires": input.expires,
    });
    let loaded = check("tenant", &json!({ "name": tenant, "key": [key] }), config)?;
    let key = loaded
        .config
        .tenants
        .first()
        .and_then(|tenant| tenant.keys.first());
    if keys_in_file(config, tenant)
        .iter()
        .any(|key| *key.name == *name)
    {
        return Err(ApiError::declared("key", &name, &declared_in(config)));
    }
    Ok((input, name, key.and_then(|key| key.expires_unix_ms)))
}

/// A new secret: 256 bits that nobody can guess.
fn new_secret() -> Result<Secret, ApiError> {
    Ok(Secret::new(format!(
        "{SECRET_PREFIX}{}",
        random_hex::<32>()?
    )))
}

/// `N` random bytes as hexadecimal digits.
pub(super) fn random_hex<const N: usize>() -> Result<String, ApiError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no_randomness",
            format!("the system gives no randomness: {error}"),
        )
    })?;
    Ok(hex::encode(bytes))
}

/// Enough of the secret to recognise it by, and not enough to help anyone guess it.
fn prefix(secret: &Secret) -> String {
    let shown = if secret.expose().starts_with(SECRET_PREFIX) {
        SECRET_PREFIX.len() + 4
    } else {
        4
    };
    secret.expose().chars().take(shown).collect()
}

fn check_secret(state: &AdminState, secret: &Secret) -> Result<(), ApiError> {
    let text = secret.expose();
    if text.len() < SECRET_MIN_CHARS
        || text.len() > 1_024
        || !text.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(ApiError::field(
            "secret",
            "must be 16 to 1024 visible ASCII characters",
        ));
    }
    // Two keys with one secret could not be told apart.
    if state
        .control
        .snapshot()
        .directory
        .find(&sha256(text.as_bytes()))
        .is_some()
    {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "secret_taken",
            "another key has this secret",
        ));
    }
    Ok(())
}

/// The keys of a tenant.
#[utoipa::path(get, path = "/admin/v1/tenants/{tenant}/keys", tag = "keys", operation_id = "list_keys",
    params(("tenant" = String, Path, description = "The tenant's id"), PageQuery),
    responses((status = 200, body = List<KeyView>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    Segments(tenant): Segments<String>,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<List<KeyView>>, ApiError> {
    must_exist(&state, &tenant).await?;
    let config = state.control.config();
    let file = keys_in_file(&config, &tenant)
        .iter()
        .filter(|_| page.is_first());
    let mut data: Vec<KeyView> = file.map(|key| declared(&tenant, key, &config)).collect();
    let stored = state
        .store
        .list::<VirtualKey>(page.query(Some(&tenant))?)
        .await?;
    data.extend(stored.items.into_iter().map(KeyView::from));
    Ok(Json(List {
        data,
        next: stored.next,
    }))
}

/// Makes a key, and tells its secret this once.
#[utoipa::path(post, path = "/admin/v1/tenants/{tenant}/keys", tag = "keys", operation_id = "create_key",
    params(("tenant" = String, Path, description = "The tenant's id")), request_body = KeyInput,
    responses((status = 201, body = NewKey), (status = "4XX", body = ErrorBody)))]
pub(super) async fn create(
    State(state): State<AdminState>,
    Segments(tenant): Segments<String>,
    Input(input): Input<KeyInput>,
) -> Result<(StatusCode, Json<NewKey>), ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    must_exist(&state, &tenant).await?;
    let (input, name, expires_ms) = checked(input, &state.control.config(), &tenant)?;
    let secret = match input.secret {
        Some(given) => {
            check_secret(&state, &given)?;
            given
        }
        None => new_secret()?,
    };
    let now_ms = state.clock.now_ms();
    let key = VirtualKey {
        id: format!("key_{}", random_hex::<12>()?),
        tenant,
        name,
        hash: sha256(secret.expose().as_bytes()),
        prefix: prefix(&secret),
        author: is_author(input.role.as_deref()),
        labels: input.labels,
        disabled: input.disabled,
        expires_ms,
        created_ms: now_ms,
        updated_ms: now_ms,
    };
    state
        .store
        .create(&key)
        .await
        .map_err(|error| ApiError::naming(error, "key", &key.name))?;
    state.publish().await?;
    Ok((
        StatusCode::CREATED,
        Json(NewKey {
            key: key.into(),
            secret: secret.expose().to_owned(),
        }),
    ))
}

/// One key.
#[utoipa::path(get, path = "/admin/v1/tenants/{tenant}/keys/{key}", tag = "keys", operation_id = "get_key",
    params(("tenant" = String, Path, description = "The tenant's id"), ("key" = String, Path, description = "The key's id")),
    responses((status = 200, body = KeyView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    State(state): State<AdminState>,
    Segments((tenant, id)): Segments<(String, String)>,
) -> Result<Json<KeyView>, ApiError> {
    let config = state.control.config();
    if let Some(key) = find_in_file(&config, &tenant, &id) {
        return Ok(Json(declared(&tenant, key, &config)));
    }
    Ok(Json(stored(&state, &tenant, &id).await?.into()))
}

/// Changes a key: the fields that are given. A field that is null returns to its default.
#[utoipa::path(patch, path = "/admin/v1/tenants/{tenant}/keys/{key}", tag = "keys", operation_id = "change_key",
    params(("tenant" = String, Path, description = "The tenant's id"), ("key" = String, Path, description = "The key's id")),
    request_body = KeyInput,
    responses((status = 200, body = KeyView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn change(
    State(state): State<AdminState>,
    Segments((tenant, id)): Segments<(String, String)>,
    Input(changes): Input<Changes>,
) -> Result<Json<KeyView>, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    let config = state.control.config();
    refuse_declared(&config, &tenant, &id)?;
    let old = stored(&state, &tenant, &id).await?;
    let expires = old.expires_ms.and_then(|ms| i64::try_from(ms).ok());
    let expires = expires.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let current = KeyInput {
        name: Some(old.name.clone()),
        labels: old.labels.clone(),
        disabled: old.disabled,
        role: Some(role_of(old.author).to_owned()),
        expires: expires.map(|at| at.to_string()),
        secret: None,
    };
    let (input, name, expires_ms) = checked(patched(&current, changes)?, &config, &tenant)?;
    if input.secret.is_some() {
        return Err(ApiError::field(
            "secret",
            "cannot be changed; rotate the key to get a new one",
        ));
    }
    let updated_ms = state.clock.now_ms();
    let new = VirtualKey {
        name,
        author: is_author(input.role.as_deref()),
        labels: input.labels,
        disabled: input.disabled,
        expires_ms,
        updated_ms,
        ..old
    };
    state
        .store
        .put(&new)
        .await
        .map_err(|error| ApiError::naming(error, "key", &new.name))?;
    state.publish().await?;
    Ok(Json(new.into()))
}

/// Removes a key. Its calls stay in the ledger.
#[utoipa::path(delete, path = "/admin/v1/tenants/{tenant}/keys/{key}", tag = "keys", operation_id = "delete_key",
    params(("tenant" = String, Path, description = "The tenant's id"), ("key" = String, Path, description = "The key's id")),
    responses((status = 204, description = "It is gone"), (status = "4XX", body = ErrorBody)))]
pub(super) async fn remove(
    State(state): State<AdminState>,
    Segments((tenant, id)): Segments<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    refuse_declared(&state.control.config(), &tenant, &id)?;
    stored(&state, &tenant, &id).await?;
    state.store.delete::<VirtualKey>(&id).await?;
    state.publish().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a key a new secret, and tells it this once. The old one is refused from now on.
#[utoipa::path(post, path = "/admin/v1/tenants/{tenant}/keys/{key}/rotate", tag = "keys", operation_id = "rotate_key",
    params(("tenant" = String, Path, description = "The tenant's id"), ("key" = String, Path, description = "The key's id")),
    responses((status = 200, body = NewKey), (status = "4XX", body = ErrorBody)))]
pub(super) async fn rotate(
    State(state): State<AdminState>,
    Segments((tenant, id)): Segments<(String, String)>,
) -> Result<Json<NewKey>, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    refuse_declared(&state.control.config(), &tenant, &id)?;
    let old = stored(&state, &tenant, &id).await?;
    let secret = new_secret()?;
    let (hash, prefix) = (sha256(secret.expose().as_bytes()), prefix(&secret));
    let new = VirtualKey {
        hash,
        prefix,
        updated_ms: state.clock.now_ms(),
        ..old
    };
    state.store.put(&new).await?;
    state.publish().await?;
    Ok(Json(NewKey {
        key: new.into(),
        secret: secret.expose().to_owned(),
    }))
}

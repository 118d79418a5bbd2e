//! `policies`: what the policies of the operator's chain are set to.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use weir_store::{ListQuery, PolicySetting, PolicyState, PolicyVersion, StoreError};

use super::AdminState;
use super::body::{Changes, Input, List, Segments, patched};
use super::error::{ApiError, ErrorBody};
use super::settings::{check, declared_in};
use super::versions::{self, VersionView};
use crate::config::{self, Config};
use crate::reload::{PolicyStatus, owner_of};

/// The source of a policy whose versions are uploaded.
pub(super) const UPLOAD: &str = "upload";

/// The settings of a policy: those of a `[[policy]]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyInput {
    /// `upload` (the default): its versions are put at `policies/{policy}/versions`. Or `builtin:NAME`,
    /// or `file:PATH`.
    pub(super) source: Option<String>,
    /// What happens to a call when the policy fails: deny (the default) or allow.
    pub(super) on_failure: Option<String>,
    /// Milliseconds for one hook.
    pub(super) deadline_ms: Option<u64>,
    /// Milliseconds that one hook may wait for the host.
    pub(super) wait_max_ms: Option<u64>,
    /// Memory of one instance.
    pub(super) memory_max_bytes: Option<u64>,
    /// shared (the default) or call.
    isolation: Option<String>,
    /// enforce (the default), or shadow: decides, is logged, changes nothing.
    mode: Option<String>,
    /// Patterns of the tenants whose calls it sees; all where nothing is given.
    pub(super) tenants: Option<Vec<String>>,
    /// What it may reach besides the call; nothing where nothing is given.
    pub(super) grants: Option<GrantsInput>,
    /// Of a thousand calls, how many its journal keeps.
    pub(super) journal_per_thousand: Option<u32>,
    /// Its own configuration, an object.
    #[schema(value_type = Option<Object>)]
    config: Option<Value>,
}

/// What a policy may reach besides the call.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantsInput {
    /// Hosts that it may call.
    #[serde(default)]
    pub(super) http: Vec<String>,
    /// Names of the settings file's `[secrets]` that it may read.
    #[serde(default)]
    pub(super) secrets: Vec<String>,
    /// Models that it may ask.
    #[serde(default)]
    pub(super) models: Vec<String>,
    /// Whether it may ban addresses.
    #[serde(default)]
    pub(super) firewall: bool,
}

/// A policy.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PolicyView {
    name: String,
    /// The file that declares it and has the say about it; null for one that the API made.
    declared_in: Option<String>,
    pub(super) settings: PolicyInput,
    /// What runs; null where nothing does yet.
    running: Option<PolicyStatus>,
}

/// A policy with its versions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PolicyDetail {
    #[serde(flatten)]
    pub(super) policy: PolicyView,
    /// Its stored versions, at most 1000.
    pub(super) versions: Vec<VersionView>,
}

fn input_of(policy: &config::Policy, source: String) -> PolicyInput {
    PolicyInput {
        source: Some(source),
        on_failure: Some(policy.on_failure.as_str().to_owned()),
        deadline_ms: Some(policy.deadline_ms),
        wait_max_ms: Some(policy.wait_max_ms),
        memory_max_bytes: u64::try_from(policy.memory_max_bytes).ok(),
        isolation: Some(policy.isolation.as_str().to_owned()),
        mode: Some(policy.mode.as_str().to_owned()),
        tenants: Some(policy.tenants.patterns().to_vec()),
        grants: Some(GrantsInput {
            http: policy.grants.http.clone(),
            secrets: policy.grants.secrets.clone(),
            models: policy.grants.models.patterns().to_vec(),
            firewall: policy.grants.firewall,
        }),
        journal_per_thousand: Some(policy.journal_per_thousand),
        config: Some(policy.config.clone()),
    }
}

/// Checks `input` as the settings file would, and fills in the defaults.
pub(super) fn checked(
    name: &str,
    input: PolicyInput,
    config: &Config,
) -> Result<PolicyInput, ApiError> {
    let source = input.source.clone().unwrap_or_else(|| UPLOAD.to_owned());
    let mut section = serde_json::to_value(&input).unwrap_or_default();
    if let Value::Object(fields) = &mut section {
        fields.insert("name".to_owned(), json!(name));
        if source == UPLOAD {
            // The settings file has no such source; any that it has does for checking the rest.
            fields.insert("source".to_owned(), json!("builtin:limits"));
        }
    }
    let loaded = check("policy", &section, config)?.config;
    let policy = loaded
        .policies
        .first()
        .ok_or_else(|| ApiError::field("name", "is missing"))?;
    let mut filled = input_of(policy, source);
    // TOML has no null, and what a policy's own configuration means by one is the policy's business.
    filled.config = Some(input.config.unwrap_or_else(|| json!({})));
    Ok(filled)
}

fn in_file<'c>(config: &'c Config, name: &str) -> Option<&'c config::Policy> {
    config.policies.iter().find(|policy| &*policy.name == name)
}

/// Whether the chain was written in the settings. The one that runs where none was is the API's to set.
fn is_written(config: &Config) -> bool {
    let written = config.redacted().get("policy").and_then(Value::as_array);
    written.is_some_and(|policies| !policies.is_empty())
}

fn refuse_declared(config: &Config, name: &str) -> Result<(), ApiError> {
    match in_file(config, name) {
        Some(_) if is_written(config) => {
            Err(ApiError::declared("policy", name, &declared_in(config)))
        }
        _ => Ok(()),
    }
}

/// The settings that the API made, in the order of the chain.
pub(super) async fn made(state: &AdminState) -> Result<Vec<PolicySetting>, ApiError> {
    let mut made = all_made(state).await?;
    made.retain(|setting| owner_of(&setting.name).is_none());
    Ok(made)
}

/// The same, tenants' own among them.
pub(super) async fn all_made(state: &AdminState) -> Result<Vec<PolicySetting>, ApiError> {
    let query = ListQuery {
        limit: 1_000,
        ..ListQuery::default()
    };
    let mut made = state.store.list::<PolicySetting>(query).await?.items;
    made.sort_by_key(|setting| setting.position);
    Ok(made)
}

pub(super) async fn setting(
    state: &AdminState,
    name: &str,
) -> Result<Option<PolicySetting>, ApiError> {
    match state.store.get::<PolicySetting>(name).await {
        Ok(setting) => Ok(Some(setting)),
        Err(StoreError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn view_of_file(
    policy: &config::Policy,
    running: Option<PolicyStatus>,
    config: &Config,
) -> PolicyView {
    PolicyView {
        name: policy.name.to_string(),
        declared_in: is_written(config).then(|| declared_in(config)),
        settings: input_of(policy, policy.source.to_string()),
        running,
    }
}

fn view(setting: PolicySetting, running: Option<PolicyStatus>) -> PolicyView {
    let settings = serde_json::from_value(setting.settings).unwrap_or_default();
    PolicyView {
        name: setting.name,
        declared_in: None,
        settings,
        running,
    }
}

fn running(state: &AdminState, name: &str) -> Option<PolicyStatus> {
    state
        .control
        .policies()
        .into_iter()
        .find(|status| status.name == name)
}

/// The policy of this name, wherever it was declared.
pub(super) async fn find(state: &AdminState, name: &str) -> Result<PolicyView, ApiError> {
    let (config, running) = (state.control.config(), running(state, name));
    let (declared, written) = (in_file(&config, name), is_written(&config));
    if let Some(policy) = declared.filter(|_| written) {
        return Ok(view_of_file(policy, running, &config));
    }
    match (setting(state, name).await?, declared) {
        (Some(setting), _) => Ok(view(setting, running)),
        // One of the default chain that nobody has set.
        (None, Some(policy)) => Ok(view_of_file(policy, running, &config)),
        // One that is nothing but a file in the watched folder.
        (None, None) if running.is_some() => {
            let declared_in = running
                .as_ref()
                .and_then(|running| running.declared_in.clone());
            Ok(PolicyView {
                name: name.to_owned(),
                declared_in,
                settings: PolicyInput::default(),
                running,
            })
        }
        (None, None) => Err(ApiError::unknown("policy", name)),
    }
}

/// All policies, in the order of the chain; those that do not run yet come last.
#[utoipa::path(get, path = "/admin/v1/policies", tag = "policies", operation_id = "list_policies",
    responses((status = 200, body = List<PolicyView>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
) -> Result<Json<List<PolicyView>>, ApiError> {
    let mut names: Vec<String> = state
        .control
        .policies()
        .into_iter()
        .map(|status| status.name)
        .filter(|name| owner_of(name).is_none())
        .collect();
    let config = state.control.config();
    let declared = config.policies.iter().map(|policy| policy.name.to_string());
    let made = made(&state).await?.into_iter().map(|setting| setting.name);
    for name in declared.chain(made) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut data = Vec::new();
    for name in names {
        data.push(find(&state, &name).await?);
    }
    Ok(Json(List::whole(data)))
}

/// One policy, with its versions.
#[utoipa::path(get, path = "/admin/v1/policies/{policy}", tag = "policies", operation_id = "get_policy",
    params(("policy" = String, Path, description = "The policy's name")),
    responses((status = 200, body = PolicyDetail), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    State(state): State<AdminState>,
    Segments(name): Segments<String>,
) -> Result<Json<PolicyDetail>, ApiError> {
    let policy = find(&state, &name).await?;
    let versions = versions::of(&state, &name).await?;
    Ok(Json(PolicyDetail { policy, versions }))
}

/// Writes the setting down and makes it take effect. Where it does not, everything is as it was.
pub(super) async fn put(
    state: &AdminState,
    old: Option<PolicySetting>,
    new: PolicySetting,
) -> Result<PolicyView, ApiError> {
    state.store.put(&new).await?;
    if let Err(refusal) = state.control.refresh().await {
        match old {
            Some(old) => state.store.put(&old).await?,
            None => state.store.delete::<PolicySetting>(&new.name).await?,
        }
        state.control.refresh().await?;
        return Err(refusal.into());
    }
    let running = running(state, &new.name);
    Ok(view(new, running))
}

async fn set(
    state: &AdminState,
    name: String,
    input: PolicyInput,
    old: Option<PolicySetting>,
) -> Result<PolicyView, ApiError> {
    let filled = checked(&name, input, &state.control.config())?;
    let position = match &old {
        Some(old) => old.position,
        None => made(state)
            .await?
            .last()
            .map_or(0, |last| last.position + 1),
    };
    let settings = serde_json::to_value(&filled).unwrap_or_default();
    put(
        state,
        old,
        PolicySetting {
            name,
            position,
            settings,
        },
    )
    .await
}

/// Makes a policy, last in the chain, or replaces all of its settings.
#[utoipa::path(put, path = "/admin/v1/policies/{policy}", tag = "policies", operation_id = "put_policy",
    params(("policy" = String, Path, description = "The policy's name")), request_body = PolicyInput,
    responses((status = 200, body = PolicyView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn replace(
    State(state): State<AdminState>,
    Segments(name): Segments<String>,
    Input(input): Input<PolicyInput>,
) -> Result<Json<PolicyView>, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    refuse_declared(&state.control.config(), &name)?;
    let old = setting(&state, &name).await?;
    Ok(Json(set(&state, name, input, old).await?))
}

/// Changes a policy: the settings that are given. One that is null returns to its default.
#[utoipa::path(patch, path = "/admin/v1/policies/{policy}", tag = "policies", operation_id = "change_policy",
    params(("policy" = String, Path, description = "The policy's name")), request_body = PolicyInput,
    responses((status = 200, body = PolicyView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn change(
    State(state): State<AdminState>,
    Segments(name): Segments<String>,
    Input(changes): Input<Changes>,
) -> Result<Json<PolicyView>, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    refuse_declared(&state.control.config(), &name)?;
    let old = setting(&state, &name).await?;
    let input = patched(&find(&state, &name).await?.settings, changes)?;
    Ok(Json(set(&state, name, input, old).await?))
}

/// Takes a policy out of the chain and forgets its versions.
#[utoipa::path(delete, path = "/admin/v1/policies/{policy}", tag = "policies", operation_id = "delete_policy",
    params(("policy" = String, Path, description = "The policy's name")),
    responses((status = 204, description = "It is gone"), (status = "4XX", body = ErrorBody)))]
pub(super) async fn remove(
    State(state): State<AdminState>,
    Segments(name): Segments<String>,
) -> Result<StatusCode, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    refuse_declared(&state.control.config(), &name)?;
    forget(&state, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets a policy of this full name, and its versions.
pub(super) async fn forget(state: &AdminState, name: &str) -> Result<(), ApiError> {
    state
        .store
        .delete::<PolicySetting>(name)
        .await
        .map_err(|error| ApiError::naming(error, "policy", name))?;
    state.control.refresh().await?;
    // Nothing runs them any more; what is left of them would come back with the name.
    match state.store.delete::<PolicyState>(name).await {
        Ok(()) | Err(StoreError::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    for version in versions::of(state, name).await? {
        state
            .store
            .delete::<PolicyVersion>(&PolicyVersion::id_of(name, &version.digest))
            .await?;
    }
    Ok(())
}

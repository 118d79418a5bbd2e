//! `tenants/{t}/policies` and `tenants/{t}/chain`: policies that tenants write for their own calls.
//!
//! The same resources as the operator's `policies`, for administrators and for the tenant's keys of the
//! role `author`, within what `[tenant_policies]` allows. What may do more than before waits for an
//! administrator.

use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode};
use weir_store::PolicySetting;

use super::AdminState;
use super::auth::Caller;
use super::body::{Asked, Changes, Input, List, Segments, patched};
use super::chain::{OrderInput, Place, check_order, reorder};
use super::error::{ApiError, ErrorBody};
use super::journal::{self, JournalQuery};
use super::policies::{self, PolicyDetail, PolicyInput, PolicyView};
use super::tenants::must_exist;
use super::trials::{Approval, TrialInput, TrialView};
use super::versions::{self, ActivateInput, UploadQuery};
use crate::config::{Config, TenantPolicies};
use crate::reload::{VersionReport, may_grant, owner_of};

/// The name of a tenant's policy in the gateway. Neither part holds a `/`.
fn full(tenant: &str, policy: &str) -> Result<String, ApiError> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if policy.is_empty() || policy.len() > 64 || !policy.chars().all(in_name) {
        let message = "a policy's name has 1 to 64 letters, digits, `.`, `_` and `-`";
        return Err(ApiError::field("policy", message));
    }
    Ok(format!("{tenant}/{policy}"))
}

/// The settings of a tenant's policies, in the order of its chain.
async fn made(state: &AdminState, tenant: &str) -> Result<Vec<PolicySetting>, ApiError> {
    let mut made = policies::all_made(state).await?;
    made.retain(|setting| owner_of(&setting.name).is_some_and(|(owner, _)| owner == tenant));
    Ok(made)
}

/// A policy of that tenant must be there.
async fn existing(state: &AdminState, tenant: &str, policy: &str) -> Result<String, ApiError> {
    let name = full(tenant, policy)?;
    match policies::setting(state, &name).await? {
        Some(_) => Ok(name),
        None => Err(ApiError::unknown("policy", policy)),
    }
}

/// The policy without what every policy of a tenant has.
async fn shown(state: &AdminState, name: &str) -> Result<PolicyView, ApiError> {
    let mut view = policies::find(state, name).await?;
    (view.settings.source, view.settings.tenants) = (None, None);
    Ok(view)
}

/// What a tenant asks for and may not have.
fn check_quota(input: &PolicyInput, quota: &TenantPolicies) -> Result<(), ApiError> {
    let mut mistakes = Vec::new();
    let mut refuse = |field: &str, message: String| mistakes.push((field.to_owned(), message));
    let mut within = |field: &str, value: Option<u64>, most: u64| {
        if value.is_some_and(|value| value > most) {
            refuse(
                field,
                format!("must not be more than {most}, the tenant's quota"),
            );
        }
    };
    within("deadline_ms", input.deadline_ms, quota.deadline_max_ms);
    within("wait_max_ms", input.wait_max_ms, quota.wait_max_ms);
    let journal = input.journal_per_thousand.map(u64::from);
    let journal_max = u64::from(quota.journal_per_thousand_max);
    within("journal_per_thousand", journal, journal_max);
    let memory_max_bytes = u64::try_from(quota.memory_max_bytes).unwrap_or(u64::MAX);
    within("memory_max_bytes", input.memory_max_bytes, memory_max_bytes);
    if input
        .source
        .as_deref()
        .is_some_and(|source| source != policies::UPLOAD)
    {
        refuse("source", "a tenant's policy is uploaded".to_owned());
    }
    if input.tenants.is_some() {
        refuse("tenants", "a tenant's policy sees its own calls".to_owned());
    }
    if let Some(grants) = &input.grants {
        if !grants.secrets.is_empty() {
            refuse(
                "grants.secrets",
                "the gateway's secrets are its operator's".to_owned(),
            );
        }
        if grants.firewall {
            refuse(
                "grants.firewall",
                "addresses are banned for everybody, which is for the operator".to_owned(),
            );
        }
        for host in grants
            .http
            .iter()
            .filter(|host| !may_grant(&quota.http, host))
        {
            refuse("grants.http", format!("tenants may not grant {host:?}"));
        }
        for model in grants
            .models
            .iter()
            .filter(|model| !quota.models.is_match(model))
        {
            refuse("grants.models", format!("tenants may not grant {model:?}"));
        }
    }
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(ApiError::fields(mistakes))
    }
}

/// The settings with what holds where nothing is said, cut to the quota.
fn filled(mut input: PolicyInput, config: &Config) -> PolicyInput {
    let quota = &config.tenant_policies;
    let memory_max_bytes = quota.memory_max_bytes.min(config.runtime.memory_max_bytes);
    let memory_max_bytes = u64::try_from(memory_max_bytes).unwrap_or(u64::MAX);
    input.deadline_ms.get_or_insert(quota.deadline_max_ms);
    input.wait_max_ms.get_or_insert(quota.wait_max_ms);
    input.memory_max_bytes.get_or_insert(memory_max_bytes);
    input
}

async fn set(
    state: &AdminState,
    tenant: &str,
    policy: &str,
    input: PolicyInput,
) -> Result<PolicyView, ApiError> {
    let (name, config) = (full(tenant, policy)?, state.control.config());
    let quota = &config.tenant_policies;
    check_quota(&input, quota)?;
    let old = policies::setting(state, &name).await?;
    let others = made(state, tenant).await?;
    if old.is_none() && others.len() >= quota.policies_max {
        let most = quota.policies_max;
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "quota_exceeded",
            format!("a tenant has at most {most} policies; remove one first"),
        ));
    }
    let checked = policies::checked(policy, filled(input, &config), &config)?;
    let position = match &old {
        Some(old) => old.position,
        None => others.last().map_or(0, |last| last.position + 1),
    };
    let settings = serde_json::to_value(&checked).unwrap_or_default();
    let new = PolicySetting {
        name: name.clone(),
        position,
        settings,
    };
    policies::put(state, old, new).await?;
    shown(state, &name).await
}

/// A tenant's own policies, in the order in which they are asked.
#[utoipa::path(get, path = "/admin/v1/tenants/{tenant}/policies", tag = "tenant policies", operation_id = "list_tenant_policies",
    params(("tenant" = String, Path, description = "The tenant's id")),
    responses((status = 200, body = List<PolicyView>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    Segments(tenant): Segments<String>,
) -> Result<Json<List<PolicyView>>, ApiError> {
    must_exist(&state, &tenant).await?;
    let mut data = Vec::new();
    for setting in made(&state, &tenant).await? {
        data.push(shown(&state, &setting.name).await?);
    }
    Ok(Json(List::whole(data)))
}

/// One policy of a tenant, with its versions.
#[utoipa::path(get, path = "/admin/v1/tenants/{tenant}/policies/{policy}", tag = "tenant policies", operation_id = "get_tenant_policy",
    params(("tenant" = String, Path, description = "The tenant's id"), ("policy" = String, Path, description = "The policy's name")),
    responses((status = 200, body = PolicyDetail), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    State(state): State<AdminState>,
    Segments((tenant, policy)): Segments<(String, String)>,
) -> Result<Json<PolicyDetail>, ApiError> {
    let name = existing(&state, &tenant, &policy).await?;
    Ok(Json(PolicyDetail {
        policy: shown(&state, &name).await?,
        versions: versions::of(&state, &name).await?,
    }))
}

/// Makes a policy of a tenant, last in its chain, or replaces all of its settings.
#[utoipa::path(put, path = "/admin/v1/tenants/{tenant}/policies/{policy}", tag = "tenant policies", operation_id = "put_tenant_policy",
    params(("tenant" = String, Path, description = "The tenant's id"), ("policy" = String, Path, description = "The policy's name")),
    request_body = PolicyInput,
    responses((status = 200, body = PolicyView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn replace(
    State(state): State<AdminState>,
    Segments((tenant, policy)): Segments<(String, String)>,
    Input(input): Input<PolicyInput>,
) -> Result<Json<PolicyView>, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    must_exist(&state, &tenant).await?;
    Ok(Json(set(&state, &tenant, &policy, input).await?))
}

/// Changes a policy of a tenant: the settings that are given. One that is null returns to its default.
#[utoipa::path(patch, path = "/admin/v1/tenants/{tenant}/policies/{policy}", tag = "tenant policies", operation_id = "change_tenant_policy",
    params(("tenant" = String, Path, description = "The tenant's id"), ("policy" = String, Path, description = "The policy's name")),
    request_body = PolicyInput,
    responses((status = 200, body = PolicyView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn change(
    State(state): State<AdminState>,
    Segments((tenant, policy)): Segments<(String, String)>,
    Input(changes): Input<Changes>,
) -> Result<Json<PolicyView>, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    let name = existing(&state, &tenant, &policy).await?;
    let input = patched(&shown(&state, &name).await?.settings, changes)?;
    Ok(Json(set(&state, &tenant, &policy, input).await?))
}

/// Removes a policy of a tenant, with its versions.
#[utoipa::path(delete, path = "/admin/v1/tenants/{tenant}/policies/{policy}", tag = "tenant policies", operation_id = "delete_tenant_policy",
    params(("tenant" = String, Path, description = "The tenant's id"), ("policy" = String, Path, description = "The policy's name")),
    responses((status = 204, description = "It is gone"), (status = "4XX", body = ErrorBody)))]
pub(super) async fn remove(
    State(state): State<AdminState>,
    Segments((tenant, policy)): Segments<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    let name = existing(&state, &tenant, &policy).await?;
    policies::forget(&state, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes all policies of a tenant that is gone.
pub(super) async fn forget_all(state: &AdminState, tenant: &str) -> Result<(), ApiError> {
    for setting in made(state, tenant).await? {
        policies::forget(state, &setting.name).await?;
    }
    Ok(())
}

/// Uploads a version of a tenant's policy, as `policies/{policy}/versions` does.
#[utoipa::path(put, path = "/admin/v1/tenants/{tenant}/policies/{policy}/versions", tag = "tenant policies", operation_id = "upload_tenant_version",
    params(("tenant" = String, Path, description = "The tenant's id"), ("policy" = String, Path, description = "The policy's name"), UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "A component or core module"),
    responses((status = 200, body = VersionReport),
        (status = 202, body = VersionReport, description = "It waits for an administrator's approval"),
        (status = 422, body = ErrorBody, description = "The version was refused; the code says why"),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn upload(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Segments((tenant, policy)): Segments<(String, String)>,
    Asked(query): Asked<UploadQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<VersionReport>), ApiError> {
    let name = existing(&state, &tenant, &policy).await?;
    if query.approve {
        caller.must_be_admin("approving a version")?;
    }
    let quota = state.control.config().tenant_policies.clone();
    versions::put(&state, &name, &query, &headers, body, quota.size_max_bytes).await
}

/// Puts a stored version of a tenant's policy in force.
#[utoipa::path(post, path = "/admin/v1/tenants/{tenant}/policies/{policy}/activate", tag = "tenant policies", operation_id = "activate_tenant_version",
    params(("tenant" = String, Path, description = "The tenant's id"), ("policy" = String, Path, description = "The policy's name")),
    request_body = ActivateInput,
    responses((status = 200, body = VersionReport), (status = "4XX", body = ErrorBody)))]
pub(super) async fn activate(
    State(state): State<AdminState>,
    Segments((tenant, policy)): Segments<(String, String)>,
    Input(input): Input<ActivateInput>,
) -> Result<Json<VersionReport>, ApiError> {
    let name = existing(&state, &tenant, &policy).await?;
    Ok(Json(state.control.activate(&name, &input.digest).await?))
}

/// Puts the version in force that was before this one.
#[utoipa::path(post, path = "/admin/v1/tenants/{tenant}/policies/{policy}/rollback", tag = "tenant policies", operation_id = "rollback_tenant_version",
    params(("tenant" = String, Path, description = "The tenant's id"), ("policy" = String, Path, description = "The policy's name")),
    responses((status = 200, body = VersionReport), (status = "4XX", body = ErrorBody)))]
pub(super) async fn rollback(
    State(state): State<AdminState>,
    Segments((tenant, policy)): Segments<(String, String)>,
) -> Result<Json<VersionReport>, ApiError> {
    let name = existing(&state, &tenant, &policy).await?;
    Ok(Json(state.control.rollback(&name).await?))
}

/// Says that a stored version may do more than the one in force; for administrators.
#[utoipa::path(post, path = "/admin/v1/tenants/{tenant}/policies/{policy}/approve", tag = "tenant policies", operation_id = "approve_tenant_version",
    params(("tenant" = String, Path, description = "The tenant's id"), ("policy" = String, Path, description = "The policy's name")),
    request_body = Approval,
    responses((status = 200, body = Approval), (status = "4XX", body = ErrorBody)))]
pub(super) async fn approve(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    Segments((tenant, policy)): Segments<(String, String)>,
    Input(input): Input<Approval>,
) -> Result<Json<Approval>, ApiError> {
    caller.must_be_admin("approving a version")?;
    let name = existing(&state, &tenant, &policy).await?;
    state.control.approve(&name, &input.digest).await?;
    Ok(Json(input))
}

/// Tries a stored version beside the one in force.
#[utoipa::path(put, path = "/admin/v1/tenants/{tenant}/policies/{policy}/trial", tag = "tenant policies", operation_id = "try_tenant_version",
    params(("tenant" = String, Path, description = "The tenant's id"), ("policy" = String, Path, description = "The policy's name")),
    request_body = TrialInput,
    responses((status = 200, body = TrialView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn begin_trial(
    State(state): State<AdminState>,
    Segments((tenant, policy)): Segments<(String, String)>,
    Input(input): Input<TrialInput>,
) -> Result<Json<TrialView>, ApiError> {
    let name = existing(&state, &tenant, &policy).await?;
    Ok(Json(input.begin(&state, &name).await?))
}

/// The newest calls of the policy's journal, as for the operator's policies.
#[utoipa::path(get, path = "/admin/v1/tenants/{tenant}/policies/{policy}/journal", tag = "tenant policies", operation_id = "get_tenant_journal",
    params(("tenant" = String, Path, description = "The tenant's id"), ("policy" = String, Path, description = "The policy's name"), JournalQuery),
    responses((status = 200, body = String, content_type = "application/x-ndjson"), (status = "4XX", body = ErrorBody)))]
pub(super) async fn journal(
    State(state): State<AdminState>,
    Segments((tenant, policy)): Segments<(String, String)>,
    Asked(query): Asked<JournalQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let name = existing(&state, &tenant, &policy).await?;
    journal::lines(&state, name, &query).await
}

/// What came of the trial so far.
#[utoipa::path(get, path = "/admin/v1/tenants/{tenant}/policies/{policy}/trial", tag = "tenant policies", operation_id = "get_tenant_trial",
    params(("tenant" = String, Path, description = "The tenant's id"), ("policy" = String, Path, description = "The policy's name")),
    responses((status = 200, body = TrialView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show_trial(
    State(state): State<AdminState>,
    Segments((tenant, policy)): Segments<(String, String)>,
) -> Result<Json<TrialView>, ApiError> {
    let name = existing(&state, &tenant, &policy).await?;
    Ok(Json(state.control.trial(&name).await?.into()))
}

/// Ends the trial. The version stays stored.
#[utoipa::path(delete, path = "/admin/v1/tenants/{tenant}/policies/{policy}/trial", tag = "tenant policies", operation_id = "end_tenant_trial",
    params(("tenant" = String, Path, description = "The tenant's id"), ("policy" = String, Path, description = "The policy's name")),
    responses((status = 200, body = TrialView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn end_trial(
    State(state): State<AdminState>,
    Segments((tenant, policy)): Segments<(String, String)>,
) -> Result<Json<TrialView>, ApiError> {
    let name = existing(&state, &tenant, &policy).await?;
    Ok(Json(state.control.end_trial(&name).await?.into()))
}

async fn places(state: &AdminState, tenant: &str) -> Result<Json<List<Place>>, ApiError> {
    let made = made(state, tenant).await?.into_iter();
    let place = made.filter_map(|setting| {
        let (_, name) = owner_of(&setting.name)?;
        Some(Place::made(name))
    });
    Ok(Json(List::whole(place.collect())))
}

/// The order in which a tenant's own policies are asked, after the operator's.
#[utoipa::path(get, path = "/admin/v1/tenants/{tenant}/chain", tag = "tenant policies", operation_id = "get_tenant_chain",
    params(("tenant" = String, Path, description = "The tenant's id")),
    responses((status = 200, body = List<Place>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn chain(
    State(state): State<AdminState>,
    Segments(tenant): Segments<String>,
) -> Result<Json<List<Place>>, ApiError> {
    must_exist(&state, &tenant).await?;
    places(&state, &tenant).await
}

/// Orders a tenant's own policies.
#[utoipa::path(put, path = "/admin/v1/tenants/{tenant}/chain", tag = "tenant policies", operation_id = "order_tenant_chain",
    params(("tenant" = String, Path, description = "The tenant's id")), request_body = OrderInput,
    responses((status = 200, body = List<Place>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn order(
    State(state): State<AdminState>,
    Segments(tenant): Segments<String>,
    Input(input): Input<OrderInput>,
) -> Result<Json<List<Place>>, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    must_exist(&state, &tenant).await?;
    let made = made(&state, &tenant).await?;
    let known = made
        .iter()
        .filter_map(|setting| Some(owner_of(&setting.name)?.1));
    check_order(&input, known)?;
    let order = input
        .order
        .iter()
        .map(|policy| format!("{tenant}/{policy}"));
    reorder(&state, order).await?;
    places(&state, &tenant).await
}

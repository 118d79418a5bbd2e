//! `tenants`: organisations and teams.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weir_store::Tenant;

use super::AdminState;
use super::body::{Asked, Changes, Input, List, PageQuery, Segments, patched};
use super::error::{ApiError, ErrorBody};
use super::settings::{check, declared_in};
use super::tenant_policies;
use crate::config::{self, Config};

/// What can be said of a tenant.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantInput {
    /// 1 to 64 letters, digits, `.`, `_` and `-`. Needed on creation, and never changes.
    id: Option<String>,
    /// For people; the id where nothing is given.
    name: Option<String>,
    /// Facts for policies.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// IANA name of the zone in which the tenant's days and months begin; UTC where nothing is given.
    time_zone: Option<String>,
    /// Refuses all calls of the tenant.
    #[serde(default)]
    disabled: bool,
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TenantView {
    id: String,
    /// For people.
    name: String,
    /// Facts for policies.
    labels: BTreeMap<String, String>,
    /// IANA name of the zone in which its days and months begin.
    time_zone: String,
    /// All its calls are refused.
    disabled: bool,
    /// The file that declares it and has the say about it; null for one that the API made.
    declared_in: Option<String>,
    /// Milliseconds since the Unix epoch.
    created_ms: Option<u64>,
    /// Milliseconds since the Unix epoch.
    updated_ms: Option<u64>,
}

impl From<Tenant> for TenantView {
    fn from(tenant: Tenant) -> Self {
        Self {
            id: tenant.id,
            name: tenant.name,
            labels: tenant.labels,
            time_zone: tenant.time_zone.unwrap_or_else(|| "UTC".to_owned()),
            disabled: tenant.disabled,
            declared_in: None,
            created_ms: Some(tenant.created_ms),
            updated_ms: Some(tenant.updated_ms),
        }
    }
}

fn declared(tenant: &config::Tenant, config: &Config) -> TenantView {
    TenantView {
        id: tenant.name.to_string(),
        name: tenant.name.to_string(),
        labels: tenant.labels.clone(),
        time_zone: tenant.time_zone.clone(),
        disabled: tenant.disabled,
        declared_in: Some(declared_in(config)),
        created_ms: None,
        updated_ms: None,
    }
}

/// The tenant that the settings file declares under this id.
pub(super) fn in_file<'c>(config: &'c Config, id: &str) -> Option<&'c config::Tenant> {
    config.tenants.iter().find(|tenant| &*tenant.name == id)
}

fn refuse_declared(config: &Config, id: &str) -> Result<(), ApiError> {
    match in_file(config, id) {
        Some(_) => Err(ApiError::declared("tenant", id, &declared_in(config))),
        None => Ok(()),
    }
}

/// Whether there is such a tenant, in the file or in the store.
pub(super) async fn must_exist(state: &AdminState, id: &str) -> Result<(), ApiError> {
    if in_file(&state.control.config(), id).is_none() {
        state
            .store
            .get::<Tenant>(id)
            .await
            .map_err(|error| ApiError::naming(error, "tenant", id))?;
    }
    Ok(())
}

/// Checks `input` as the settings file would, and makes a tenant of it.
fn checked(
    input: TenantInput,
    config: &Config,
    created_ms: u64,
    now_ms: u64,
) -> Result<Tenant, ApiError> {
    let id = input
        .id
        .ok_or_else(|| ApiError::field("id", "is missing"))?;
    let section = serde_json::json!({
        "name": id, "labels": input.labels, "time_zone": input.time_zone, "disabled": input.disabled,
    });
    check("tenant", &section, config)?;
    Ok(Tenant {
        name: input.name.unwrap_or_else(|| id.clone()),
        id,
        labels: input.labels,
        time_zone: input.time_zone,
        disabled: input.disabled,
        created_ms,
        updated_ms: now_ms,
    })
}

/// All tenants.
#[utoipa::path(get, path = "/admin/v1/tenants", tag = "tenants", operation_id = "list_tenants", params(PageQuery),
    responses((status = 200, body = List<TenantView>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<List<TenantView>>, ApiError> {
    let config = state.control.config();
    let file = config.tenants.iter().filter(|_| page.is_first());
    let mut data: Vec<TenantView> = file.map(|tenant| declared(tenant, &config)).collect();
    let stored = state.store.list::<Tenant>(page.query(None)?).await?;
    let made = stored
        .items
        .into_iter()
        .filter(|tenant| in_file(&config, &tenant.id).is_none());
    data.extend(made.map(TenantView::from));
    Ok(Json(List {
        data,
        next: stored.next,
    }))
}

/// Makes a tenant.
#[utoipa::path(post, path = "/admin/v1/tenants", tag = "tenants", operation_id = "create_tenant",
    request_body = TenantInput,
    responses((status = 201, body = TenantView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn create(
    State(state): State<AdminState>,
    Input(input): Input<TenantInput>,
) -> Result<(StatusCode, Json<TenantView>), ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    let (config, now_ms) = (state.control.config(), state.clock.now_ms());
    let tenant = checked(input, &config, now_ms, now_ms)?;
    refuse_declared(&config, &tenant.id)?;
    state
        .store
        .create(&tenant)
        .await
        .map_err(|error| ApiError::naming(error, "tenant", &tenant.id))?;
    state.publish().await?;
    Ok((StatusCode::CREATED, Json(tenant.into())))
}

/// One tenant.
#[utoipa::path(get, path = "/admin/v1/tenants/{tenant}", tag = "tenants", operation_id = "get_tenant",
    params(("tenant" = String, Path, description = "The tenant's id")),
    responses((status = 200, body = TenantView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    State(state): State<AdminState>,
    Segments(id): Segments<String>,
) -> Result<Json<TenantView>, ApiError> {
    let config = state.control.config();
    if let Some(tenant) = in_file(&config, &id) {
        return Ok(Json(declared(tenant, &config)));
    }
    let tenant = state
        .store
        .get::<Tenant>(&id)
        .await
        .map_err(|error| ApiError::naming(error, "tenant", &id))?;
    Ok(Json(tenant.into()))
}

/// Changes a tenant: the fields that are given. A field that is null returns to its default.
#[utoipa::path(patch, path = "/admin/v1/tenants/{tenant}", tag = "tenants", operation_id = "change_tenant",
    params(("tenant" = String, Path, description = "The tenant's id")), request_body = TenantInput,
    responses((status = 200, body = TenantView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn change(
    State(state): State<AdminState>,
    Segments(id): Segments<String>,
    Input(changes): Input<Changes>,
) -> Result<Json<TenantView>, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    let config = state.control.config();
    refuse_declared(&config, &id)?;
    let old = state
        .store
        .get::<Tenant>(&id)
        .await
        .map_err(|error| ApiError::naming(error, "tenant", &id))?;
    let current = TenantInput {
        id: Some(old.id),
        name: Some(old.name),
        labels: old.labels,
        time_zone: old.time_zone,
        disabled: old.disabled,
    };
    let new = checked(
        patched(&current, changes)?,
        &config,
        old.created_ms,
        state.clock.now_ms(),
    )?;
    if new.id != id {
        return Err(ApiError::field("id", "cannot be changed"));
    }
    state.store.put(&new).await?;
    state.publish().await?;
    Ok(Json(new.into()))
}

/// Removes a tenant with its keys. Its calls stay in the ledger.
#[utoipa::path(delete, path = "/admin/v1/tenants/{tenant}", tag = "tenants", operation_id = "delete_tenant",
    params(("tenant" = String, Path, description = "The tenant's id")),
    responses((status = 204, description = "It is gone"), (status = "4XX", body = ErrorBody)))]
pub(super) async fn remove(
    State(state): State<AdminState>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    refuse_declared(&state.control.config(), &id)?;
    state
        .store
        .delete::<Tenant>(&id)
        .await
        .map_err(|error| ApiError::naming(error, "tenant", &id))?;
    // They would come back with a tenant of the same name.
    tenant_policies::forget_all(&state, &id).await?;
    state.publish().await?;
    Ok(StatusCode::NO_CONTENT)
}

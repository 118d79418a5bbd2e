//! `policies/{p}/versions`: the code of policies, and which version of it is in force.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use weir_store::{ListQuery, PolicyState, PolicyVersion, Quarantined, StoreError, TrialKind};

use super::AdminState;
use super::body::{self, Asked, Input, Segments};
use super::error::{ApiError, ErrorBody};
use crate::reload::VersionReport;

/// A version that is stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VersionView {
    /// SHA-256 of the file, in hexadecimal digits.
    pub(super) digest: String,
    size_bytes: u64,
    /// Milliseconds since the Unix epoch.
    created_ms: u64,
    /// Where it came from.
    source: String,
    /// active, previous (a rollback returns to it), shadow or canary (it is tried), quarantined (it was
    /// taken out), retired (it was in force once) or validated (it never was).
    state: &'static str,
    /// Why it was taken out.
    reason: Option<String>,
    /// It may do more than those before it, because someone said so.
    approved: bool,
    /// The hooks that it has.
    hooks: Vec<String>,
    /// The version of the interface `weir:policy` that it needs, for example `0.2`; null where it was
    /// stored before there was more than one.
    interface: Option<String>,
    /// The interfaces that it imports.
    imports: Vec<String>,
}

/// The stored versions of a policy, the newest first.
pub(super) async fn of(state: &AdminState, policy: &str) -> Result<Vec<VersionView>, ApiError> {
    let known = match state.store.get::<PolicyState>(policy).await {
        Ok(known) => known,
        Err(StoreError::NotFound) => PolicyState::new(policy),
        Err(error) => return Err(error.into()),
    };
    let query = ListQuery {
        parent: Some(policy.to_owned()),
        limit: 1_000,
        ..ListQuery::default()
    };
    let mut versions = state.store.list::<PolicyVersion>(query).await?.items;
    versions.sort_by_key(|version| std::cmp::Reverse(version.created_ms));
    let view = |version: PolicyVersion| VersionView {
        state: word(&known, &version.digest),
        reason: quarantined(&known, &version.digest).map(|out| out.reason.clone()),
        approved: known.approved.contains(&version.digest),
        hooks: texts(&version.report, "hooks"),
        interface: version
            .report
            .get("interface")
            .and_then(serde_json::Value::as_str)
            .map(str::to_owned),
        imports: texts(&version.report, "imports"),
        digest: version.digest,
        size_bytes: version.size_bytes,
        created_ms: version.created_ms,
        source: version.source,
    };
    Ok(versions.into_iter().map(view).collect())
}

fn quarantined<'k>(known: &'k PolicyState, digest: &str) -> Option<&'k Quarantined> {
    known.quarantined.iter().find(|out| out.digest == digest)
}

fn word(known: &PolicyState, digest: &str) -> &'static str {
    let trial = known.trial.as_ref().filter(|trial| trial.digest == digest);
    match trial.map(|trial| trial.kind) {
        _ if known.active.as_deref() == Some(digest) => "active",
        Some(TrialKind::Shadow) => "shadow",
        Some(TrialKind::Canary { .. }) => "canary",
        None if quarantined(known, digest).is_some() => "quarantined",
        None if known.previous.as_deref() == Some(digest) => "previous",
        None if known.retired.iter().any(|retired| retired == digest) => "retired",
        None => "validated",
    }
}

fn texts(report: &Value, field: &str) -> Vec<String> {
    let items = report.get(field).and_then(Value::as_array);
    let texts = items.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// How a version is uploaded.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UploadQuery {
    /// false: check and keep the version, and leave in force what is.
    #[serde(default = "yes")]
    pub(super) activate: bool,
    /// true: it may do what it may do, also where that is more than the version in force may.
    #[serde(default)]
    pub(super) approve: bool,
}

fn yes() -> bool {
    true
}

/// Uploads a version: checks it, keeps it, and puts it in force unless told otherwise. One that is
/// refused changes nothing. One that may do more than the version in force is kept and waits for
/// approval: the answer is 202, and says in plain words what for.
#[utoipa::path(put, path = "/admin/v1/policies/{policy}/versions", tag = "policies", operation_id = "upload_version",
    params(("policy" = String, Path, description = "The policy's name"), UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "A component or core module"),
    responses((status = 200, body = VersionReport),
        (status = 202, body = VersionReport, description = "It waits for approval"),
        (status = 422, body = ErrorBody, description = "The version was refused; the code says why"),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn upload(
    State(state): State<AdminState>,
    Segments(policy): Segments<String>,
    Asked(query): Asked<UploadQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<VersionReport>), ApiError> {
    let max_bytes = state.control.config().runtime.policy_size_max_bytes;
    put(&state, &policy, &query, &headers, body, max_bytes).await
}

/// Uploads a version of the policy with this full name.
pub(super) async fn put(
    state: &AdminState,
    policy: &str,
    query: &UploadQuery,
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
) -> Result<(StatusCode, Json<VersionReport>), ApiError> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if content_type.is_none_or(|text| !text.eq_ignore_ascii_case("application/wasm")) {
        let message = "send the file with `content-type: application/wasm`";
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "wasm_expected",
            message,
        ));
    }
    let bytes = body::read(body, max_bytes).await?;
    let uploaded = state
        .control
        .upload(policy, bytes, query.activate, query.approve);
    let report = uploaded.await?;
    let status = if report.waits_for.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok((status, Json(report)))
}

/// Which version.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ActivateInput {
    /// The digest of a stored version, in hexadecimal digits.
    pub(super) digest: String,
}

/// Puts a stored version in force.
#[utoipa::path(post, path = "/admin/v1/policies/{policy}/activate", tag = "policies", operation_id = "activate_version",
    params(("policy" = String, Path, description = "The policy's name")), request_body = ActivateInput,
    responses((status = 200, body = VersionReport), (status = "4XX", body = ErrorBody)))]
pub(super) async fn activate(
    State(state): State<AdminState>,
    Segments(policy): Segments<String>,
    Input(input): Input<ActivateInput>,
) -> Result<Json<VersionReport>, ApiError> {
    Ok(Json(state.control.activate(&policy, &input.digest).await?))
}

/// Puts the version in force that was before this one.
#[utoipa::path(post, path = "/admin/v1/policies/{policy}/rollback", tag = "policies", operation_id = "rollback_version",
    params(("policy" = String, Path, description = "The policy's name")),
    responses((status = 200, body = VersionReport), (status = "4XX", body = ErrorBody)))]
pub(super) async fn rollback(
    State(state): State<AdminState>,
    Segments(policy): Segments<String>,
) -> Result<Json<VersionReport>, ApiError> {
    Ok(Json(state.control.rollback(&policy).await?))
}

//! How the gateway is: alive, ready, measured, set, and what it runs.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::AdminState;
use super::error::{ApiError, ErrorBody};

/// It runs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Alive {
    /// Always `ok`.
    status: &'static str,
}

/// Whether calls can be served.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ready {
    ready: bool,
    /// Why not.
    reasons: Vec<Reason>,
}

/// Something that keeps calls from being served.
#[derive(Debug, Serialize, ToSchema)]
struct Reason {
    /// `chain_not_loaded` or `store_not_writable`.
    code: &'static str,
    message: String,
}

/// Alive: the process answers.
#[utoipa::path(get, path = "/healthz", tag = "system", operation_id = "healthz", security(()),
    responses((status = 200, body = Alive)))]
pub(super) async fn healthz() -> Json<Alive> {
    Json(Alive { status: "ok" })
}

/// Ready: the chain is loaded and the store can be written.
#[utoipa::path(get, path = "/readyz", tag = "system", operation_id = "readyz", security(()),
    responses((status = 200, body = Ready), (status = 503, body = Ready)))]
pub(super) async fn readyz(State(state): State<AdminState>) -> (StatusCode, Json<Ready>) {
    let ledger = state.store.ledger().status();
    let mut reasons = Vec::new();
    if !ledger.accepting {
        let message = ledger.failure.map_or_else(
            || format!("{} calls wait to be written", ledger.backlog),
            |failure| failure.to_string(),
        );
        reasons.push(Reason {
            code: "store_not_writable",
            message,
        });
    } else if !state.control.ready() {
        let failed = state.control.policies().into_iter().find_map(|status| {
            let error = status.last_error?;
            Some(format!("{}: {error}", status.name))
        });
        let message = failed.unwrap_or_else(|| "the chain is not loaded yet".to_owned());
        reasons.push(Reason {
            code: "chain_not_loaded",
            message,
        });
    }
    let status = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(Ready {
            ready: reasons.is_empty(),
            reasons,
        }),
    )
}

/// Metrics, as Prometheus reads them. Needs no key on an address of the admin API's own.
#[utoipa::path(get, path = "/metrics", tag = "system", operation_id = "metrics",
    responses((status = 200, body = String, content_type = "text/plain"), (status = "4XX", body = ErrorBody)))]
pub(super) async fn metrics(State(state): State<AdminState>) -> Response {
    state
        .metrics
        .set_ledger_backlog(state.store.ledger().status().backlog);
    let content_type = (
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    );
    ([content_type], state.metrics.render()).into_response()
}

/// The settings of the file, the environment and the command line, with secrets hidden.
#[utoipa::path(get, path = "/admin/v1/config", tag = "system", operation_id = "get_config",
    responses((status = 200, body = Object), (status = "4XX", body = ErrorBody)))]
pub(super) async fn config(State(state): State<AdminState>) -> Json<Value> {
    Json(state.control.config().redacted().clone())
}

/// Reads the settings file again. One with a mistake changes nothing, and every mistake is told.
#[utoipa::path(post, path = "/admin/v1/reload", tag = "system", operation_id = "reload",
    responses((status = 200, body = Status), (status = "4XX", body = ErrorBody)))]
pub(super) async fn reload(State(state): State<AdminState>) -> Result<Json<Status>, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    state.control.reload_config().await?;
    Ok(Json(present(&state)))
}

/// What runs now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// Version of the program.
    version: &'static str,
    /// Counts up with every change of the configuration that took effect.
    generation: u64,
    ready: bool,
    /// Threads that serve calls.
    workers: usize,
    /// The chain, in order, with the version of each policy that is in force.
    policies: Vec<RunningVersion>,
    ledger: LedgerView,
}

/// A policy and the version of it that is in force.
#[derive(Debug, Serialize, ToSchema)]
struct RunningVersion {
    policy: String,
    /// Null while nothing of it runs.
    digest: Option<String>,
    /// Hook calls that failed since the version was loaded.
    failures: u64,
    /// Why it failed to load or run the last time.
    last_error: Option<String>,
}

/// How the record of calls is doing.
#[derive(Debug, Serialize, ToSchema)]
struct LedgerView {
    /// New calls are taken.
    accepting: bool,
    /// Calls that are not in the database yet.
    backlog: usize,
    /// Calls that were lost because the store was closed.
    lost: u64,
    /// Why the last write failed; null while writes succeed.
    failure: Option<String>,
}

fn present(state: &AdminState) -> Status {
    let ledger = state.store.ledger().status();
    let running = |status: crate::reload::PolicyStatus| RunningVersion {
        policy: status.name,
        digest: status.digest,
        failures: status.failures,
        last_error: status.last_error,
    };
    Status {
        version: env!("CARGO_PKG_VERSION"),
        generation: state.control.snapshot().generation,
        ready: state.control.ready() && ledger.accepting,
        workers: state.workers,
        policies: state.control.policies().into_iter().map(running).collect(),
        ledger: LedgerView {
            accepting: ledger.accepting,
            backlog: ledger.backlog,
            lost: ledger.lost,
            failure: ledger.failure.map(|failure| failure.to_string()),
        },
    }
}

/// What runs: generation, versions of policies, ledger.
#[utoipa::path(get, path = "/admin/v1/status", tag = "system", operation_id = "get_status",
    responses((status = 200, body = Status), (status = "4XX", body = ErrorBody)))]
pub(super) async fn status(State(state): State<AdminState>) -> Json<Status> {
    Json(present(&state))
}

//! `policies/{p}/journal`: the calls that a policy's journal kept.

use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use serde::Deserialize;
use utoipa::IntoParams;

use super::AdminState;
use super::body::{Asked, Segments};
use super::error::{ApiError, ErrorBody};
use super::policies;

/// Calls that are handed out where nothing is said.
const LIMIT_DEFAULT: usize = 100;
/// Calls that are handed out at most.
const LIMIT_MAX: usize = 10_000;

/// Which of a journal's calls.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct JournalQuery {
    /// The newest so many, at most 10000. Default: 100.
    limit: Option<usize>,
}

/// The newest calls of the policy's journal, the oldest of them first: a line of JSON each, with every
/// answer that the host gave the policy. `weir policy replay --from journal:NAME` runs them again.
#[utoipa::path(get, path = "/admin/v1/policies/{policy}/journal", tag = "policies", operation_id = "get_journal",
    params(("policy" = String, Path, description = "The policy's name"), JournalQuery),
    responses((status = 200, body = String, content_type = "application/x-ndjson"), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    State(state): State<AdminState>,
    Segments(policy): Segments<String>,
    Asked(query): Asked<JournalQuery>,
) -> Result<impl IntoResponse, ApiError> {
    policies::find(&state, &policy).await?;
    lines(&state, policy, &query).await
}

/// The lines of the policy with this full name.
pub(super) async fn lines(
    state: &AdminState,
    policy: String,
    query: &JournalQuery,
) -> Result<impl IntoResponse + use<>, ApiError> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX);
    let journals = state.control.journals();
    let read = tokio::task::spawn_blocking(move || journals.read(&policy, limit)).await;
    let lines = match read {
        Ok(Ok(lines)) => lines,
        Ok(Err(error)) => return Err(unreadable(&error)),
        Err(error) => return Err(unreadable(&error)),
    };
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], lines))
}

fn unreadable(error: &dyn std::fmt::Display) -> ApiError {
    let message = format!("the journal cannot be read: {error}");
    ApiError::new(
        http::StatusCode::INTERNAL_SERVER_ERROR,
        "journal_unreadable",
        message,
    )
}

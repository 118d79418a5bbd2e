//! `calls`: the log, and for each call who decided what.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weir_base::{CallId, Usage};
use weir_store::{AttemptRow, CallFilter, CallRow, Decision};

use super::AdminState;
use super::body::{Asked, List, Segments, limit, moment};
use super::error::{ApiError, ErrorBody};

/// Which calls. Every condition that is given must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CallsQuery {
    /// The tenant's id.
    tenant: Option<String>,
    /// The virtual key's id.
    key: Option<String>,
    /// The model as the caller named it.
    model: Option<String>,
    /// The channel of the last attempt.
    channel: Option<String>,
    /// Lowest status.
    status_min: Option<u16>,
    /// Highest status.
    status_max: Option<u16>,
    /// The code of the refusal.
    denied: Option<String>,
    /// Begun at or after: an RFC 3339 time, a date, or milliseconds since the Unix epoch.
    from: Option<String>,
    /// Begun before: likewise.
    to: Option<String>,
    /// Most calls, at most 1000.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Tokens and money. Cached tokens are part of the input, reasoning tokens of the output.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UsageView {
    input_tokens: u64,
    output_tokens: u64,
    cached_tokens: u64,
    cache_write_tokens: u64,
    reasoning_tokens: u64,
    /// Millionths of the currency unit.
    cost_micros: u64,
    /// The provider reported nothing, and Weir estimated.
    estimated: bool,
}

impl From<Usage> for UsageView {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cached_tokens: usage.cached_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            reasoning_tokens: usage.reasoning_tokens,
            cost_micros: usage.cost_micros,
            estimated: usage.estimated,
        }
    }
}

/// A call.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CallView {
    /// The value of `x-request-id`.
    id: String,
    /// Milliseconds since the Unix epoch.
    started_ms: u64,
    tenant: String,
    /// The virtual key's id.
    key: String,
    /// The dialect that the caller spoke.
    dialect: String,
    operation: String,
    /// The model as the caller named it.
    model: String,
    /// The channel of the last attempt.
    channel: Option<String>,
    /// The model as that channel calls it.
    upstream_model: Option<String>,
    /// The id of the last attempt's provider key.
    provider_key: Option<String>,
    /// The status that the caller got.
    status: u16,
    /// complete, client_closed, upstream_broke, refused or failed.
    #[schema(value_type = String)]
    ended: weir_store::Ended,
    /// The code of the refusal.
    denied: Option<String>,
    streaming: bool,
    client_ip: String,
    /// Milliseconds to the first byte of the reply.
    first_byte_ms: Option<u32>,
    /// Milliseconds to the end.
    total_ms: u32,
    usage: UsageView,
}

impl From<&CallRow> for CallView {
    fn from(call: &CallRow) -> Self {
        Self {
            id: call.id.to_string(),
            started_ms: call.started_ms,
            tenant: call.tenant.to_string(),
            key: call.key.to_string(),
            dialect: call.dialect.to_string(),
            operation: call.operation.as_str().to_owned(),
            model: call.model.to_string(),
            channel: call.channel.as_deref().map(str::to_owned),
            upstream_model: call.upstream_model.as_deref().map(str::to_owned),
            provider_key: call.provider_key.as_deref().map(str::to_owned),
            status: call.status,
            ended: call.ended,
            denied: call.denied.as_deref().map(str::to_owned),
            streaming: call.streaming,
            client_ip: call.client_ip.to_string(),
            first_byte_ms: call.first_byte_ms,
            total_ms: call.total_ms,
            usage: call.usage.into(),
        }
    }
}

/// A try at a channel.
#[derive(Debug, Serialize, ToSchema)]
struct AttemptView {
    channel: String,
    /// The provider key's id.
    key: Option<String>,
    /// The provider's status; null where there was no answer.
    status: Option<u16>,
    /// Why it was not the last attempt.
    failure: Option<String>,
    /// Milliseconds to the head of the reply, or to the failure.
    ms: u32,
    /// Why it was made, where that was not the failure of the one before it: `error`,
    /// `context_length`, `content_refusal` or `cost`, which led to another model; `continuation`
    /// goes on with a stream that broke.
    cause: Option<String>,
    /// The model that it asked for, where that is not the call's.
    model: Option<String>,
    /// What its provider reported by the time it was given up or broke off; null for the last one,
    /// whose usage is the call's.
    usage: Option<UsageView>,
}

/// What a hook of a policy decided.
#[derive(Debug, Serialize, ToSchema)]
struct DecisionView {
    hook: String,
    policy: String,
    /// The digest of the version that decided, or its beginning.
    digest: String,
    /// Microseconds that the hook took.
    micros: u32,
    verdict: String,
}

/// A call with its attempts and decisions, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CallDetail {
    #[serde(flatten)]
    call: CallView,
    attempts: Vec<AttemptView>,
    decisions: Vec<DecisionView>,
}

fn attempt(row: &AttemptRow) -> AttemptView {
    let more = row.more.as_deref().cloned().unwrap_or_default();
    AttemptView {
        channel: row.channel.to_string(),
        key: row.key.as_deref().map(str::to_owned),
        status: row.status,
        failure: row.failure.as_deref().map(str::to_owned),
        ms: row.ms,
        cause: more.cause.map(Into::into),
        model: more.model.as_deref().map(str::to_owned),
        usage: more.usage.map(Into::into),
    }
}

fn decision(row: &Decision) -> DecisionView {
    DecisionView {
        hook: row.by.hook.to_string(),
        policy: row.by.policy.to_string(),
        digest: row.by.digest.to_string(),
        micros: row.micros,
        verdict: row.verdict.to_string(),
    }
}

/// Calls, the newest first. Those of the last moments may be missing.
#[utoipa::path(get, path = "/admin/v1/calls", tag = "calls", operation_id = "list_calls", params(CallsQuery),
    responses((status = 200, body = List<CallView>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    Asked(query): Asked<CallsQuery>,
) -> Result<Json<List<CallView>>, ApiError> {
    let limit = limit(query.limit)?;
    let wrong = |_| ApiError::field("cursor", "is none that this list gave out");
    let before: Option<CallId> = query
        .cursor
        .map(|cursor| cursor.parse())
        .transpose()
        .map_err(wrong)?;
    let filter = CallFilter {
        from_ms: moment("from", query.from.as_deref())?,
        to_ms: moment("to", query.to.as_deref())?,
        tenant: query.tenant,
        key: query.key,
        model: query.model,
        channel: query.channel,
        status_min: query.status_min,
        status_max: query.status_max,
        denied: query.denied,
    };
    let rows = state.store.calls(filter, before, limit).await?;
    let full = u32::try_from(rows.len()).is_ok_and(|count| count == limit);
    let next = rows.last().filter(|_| full).map(|last| last.id.to_string());
    Ok(Json(List {
        data: rows.iter().map(CallView::from).collect(),
        next,
    }))
}

/// One call, with every attempt and every decision.
#[utoipa::path(get, path = "/admin/v1/calls/{call}", tag = "calls", operation_id = "get_call",
    params(("call" = String, Path, description = "The value of `x-request-id`")),
    responses((status = 200, body = CallDetail), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    State(state): State<AdminState>,
    Segments(text): Segments<String>,
) -> Result<Json<CallDetail>, ApiError> {
    let id: CallId = text.parse().map_err(|_| ApiError::unknown("call", &text))?;
    let row = state
        .store
        .call(id)
        .await
        .map_err(|error| ApiError::naming(error, "call", &text))?;
    Ok(Json(CallDetail {
        call: CallView::from(&row),
        attempts: row.attempts.iter().map(attempt).collect(),
        decisions: row.decisions.iter().map(decision).collect(),
    }))
}

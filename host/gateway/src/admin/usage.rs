//! `usage`: sums over the ledger.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weir_store::{Group, UsageQuery, UsageRow};

use super::AdminState;
use super::body::{Asked, List, moment};
use super::calls::UsageView;
use super::error::{ApiError, ErrorBody};

/// Whose usage, when, and summed by what.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SumsQuery {
    /// tenant, key, model, channel, operation, and day or hour (of UTC), with commas between.
    group_by: Option<String>,
    /// Begun at or after: an RFC 3339 time, a date, or milliseconds since the Unix epoch.
    from: Option<String>,
    /// Begun before: likewise.
    to: Option<String>,
    /// Only this tenant's.
    tenant: Option<String>,
}

/// A sum. What it was not grouped by is null.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SumView {
    tenant: Option<String>,
    /// The virtual key's id.
    key: Option<String>,
    model: Option<String>,
    channel: Option<String>,
    operation: Option<String>,
    /// Begin of the day or hour, in milliseconds since the Unix epoch.
    start_ms: Option<u64>,
    calls: u64,
    /// Calls that Weir or a policy refused.
    refused: u64,
    /// Calls that got no reply, or whose provider broke off.
    failed: u64,
    usage: UsageView,
}

impl From<UsageRow> for SumView {
    fn from(row: UsageRow) -> Self {
        Self {
            tenant: row.tenant,
            key: row.key,
            model: row.model,
            channel: row.channel,
            operation: row.operation.map(|operation| operation.as_str().to_owned()),
            start_ms: row.start_ms,
            calls: row.calls,
            refused: row.refused,
            failed: row.failed,
            usage: row.usage.into(),
        }
    }
}

fn group(word: &str) -> Result<Group, ApiError> {
    Ok(match word {
        "tenant" => Group::Tenant,
        "key" => Group::Key,
        "model" => Group::Model,
        "channel" => Group::Channel,
        "operation" => Group::Operation,
        "day" => Group::Day,
        "hour" => Group::Hour,
        other => {
            let message = format!(
                "must be tenant, key, model, channel, operation, day or hour, not {other:?}"
            );
            return Err(ApiError::field("group_by", &message));
        }
    })
}

/// Tokens, calls and money. At most 10,000 sums.
#[utoipa::path(get, path = "/admin/v1/usage", tag = "usage", operation_id = "get_usage", params(SumsQuery),
    responses((status = 200, body = List<SumView>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn sums(
    State(state): State<AdminState>,
    Asked(query): Asked<SumsQuery>,
) -> Result<Json<List<SumView>>, ApiError> {
    let words = query
        .group_by
        .as_deref()
        .unwrap_or_default()
        .split(',')
        .map(str::trim);
    let group_by: Vec<Group> = words
        .filter(|word| !word.is_empty())
        .map(group)
        .collect::<Result<_, _>>()?;
    if group_by.contains(&Group::Day) && group_by.contains(&Group::Hour) {
        return Err(ApiError::field("group_by", "takes day or hour, not both"));
    }
    let query = UsageQuery {
        group_by,
        from_ms: moment("from", query.from.as_deref())?,
        to_ms: moment("to", query.to.as_deref())?,
        tenant: query.tenant,
    };
    let rows = state.store.usage(query).await?;
    Ok(Json(List::whole(
        rows.into_iter().map(SumView::from).collect(),
    )))
}

//! `bans`: addresses that policies keep out.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use weir_store::Ban;

use super::AdminState;
use super::body::{Asked, List, PageQuery, Segments};
use super::error::{ApiError, ErrorBody};

/// An address that is kept out.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BanView {
    #[schema(value_type = String)]
    ip: IpAddr,
    /// Until when, in milliseconds since the Unix epoch.
    until_ms: u64,
    /// Why.
    reason: String,
}

/// Addresses that are kept out now. A page may hold fewer than `limit`.
#[utoipa::path(get, path = "/admin/v1/bans", tag = "bans", operation_id = "list_bans", params(PageQuery),
    responses((status = 200, body = List<BanView>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    Asked(page): Asked<PageQuery>,
) -> Result<Json<List<BanView>>, ApiError> {
    let now_ms = state.clock.now_ms();
    let stored = state.store.list::<Ban>(page.query(None)?).await?;
    let in_force = stored.items.into_iter().filter(|ban| ban.until_ms > now_ms);
    let view = |ban: Ban| BanView {
        ip: ban.ip,
        until_ms: ban.until_ms,
        reason: ban.reason,
    };
    Ok(Json(List {
        data: in_force.map(view).collect(),
        next: stored.next,
    }))
}

/// Lets an address in again.
#[utoipa::path(delete, path = "/admin/v1/bans/{ip}", tag = "bans", operation_id = "lift_ban",
    params(("ip" = String, Path, description = "The address")),
    responses((status = 204, description = "It is let in"), (status = "4XX", body = ErrorBody)))]
pub(super) async fn lift(
    State(state): State<AdminState>,
    Segments(text): Segments<String>,
) -> Result<StatusCode, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    let ip: IpAddr = text
        .parse()
        .map_err(|_| ApiError::field("ip", "must be an address"))?;
    let now_ms = state.clock.now_ms();
    let was_live = state.bans.remaining_ms(&ip, now_ms).is_some();
    let stored = state.store.delete::<Ban>(&ip.to_string()).await;
    if was_live {
        // A ban that has ended is none.
        state.bans.ban(ip, 0, now_ms);
        return Ok(StatusCode::NO_CONTENT);
    }
    stored.map_err(|error| ApiError::naming(error, "ban", &text))?;
    Ok(StatusCode::NO_CONTENT)
}

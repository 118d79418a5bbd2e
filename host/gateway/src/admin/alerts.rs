//! `alerts`: the last things that an operator should look at.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::AdminState;
use super::body::List;
use crate::telemetry::Alert;

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertView {
    /// Counts up from 1 since the start of the program.
    number: u64,
    /// Milliseconds since the Unix epoch.
    at_ms: u64,
    /// key_disabled, key_restored, channel_tripped, policy_quarantined, policy_failing or policy_held.
    kind: &'static str,
    /// The channel's name; empty where it is about a policy.
    channel: String,
    /// The policy's name, where it is about one.
    policy: Option<String>,
    /// The id of the provider key, where it is about one.
    key: Option<String>,
    /// Why.
    reason: String,
}

impl From<Alert> for AlertView {
    fn from(alert: Alert) -> Self {
        Self {
            number: alert.number,
            at_ms: alert.at_ms,
            kind: alert.kind.as_str(),
            channel: alert.channel,
            policy: alert.policy,
            key: alert.key,
            reason: alert.reason,
        }
    }
}

/// Alerts since the start of the program, newest first; only the last 256.
#[utoipa::path(get, path = "/admin/v1/alerts", tag = "system", operation_id = "list_alerts",
    responses((status = 200, body = List<AlertView>)))]
pub(super) async fn list(State(state): State<AdminState>) -> Json<List<AlertView>> {
    let alerts = state.metrics.alerts().into_iter();
    Json(List {
        data: alerts.map(AlertView::from).collect(),
        next: None,
    })
}

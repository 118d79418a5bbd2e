//! `chain`: the order in which policies are asked.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weir_store::PolicySetting;

use super::AdminState;
use super::body::{Input, List};
use super::error::{ApiError, ErrorBody};
use super::policies::made;
use crate::reload::owner_of;

/// A policy at its place in the chain.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Place {
    policy: String,
    /// The file that declares it and its place; null for one that the API made.
    declared_in: Option<String>,
}

impl Place {
    /// The place of a policy that the API made.
    pub(super) fn made(policy: &str) -> Self {
        Self {
            policy: policy.to_owned(),
            declared_in: None,
        }
    }
}

/// The order of the policies that the API made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderInput {
    /// Each of them once, by name. Those that the settings file declares have their places there.
    pub(super) order: Vec<String>,
}

fn places(state: &AdminState) -> Json<List<Place>> {
    let policies = state.control.policies().into_iter();
    let policies = policies.filter(|status| owner_of(&status.name).is_none());
    let place = policies.map(|status| Place {
        policy: status.name,
        declared_in: status.declared_in,
    });
    Json(List::whole(place.collect()))
}

/// The chain, in order.
#[utoipa::path(get, path = "/admin/v1/chain", tag = "policies", operation_id = "get_chain",
    responses((status = 200, body = List<Place>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(State(state): State<AdminState>) -> Json<List<Place>> {
    places(&state)
}

/// Orders the policies that the API made.
#[utoipa::path(put, path = "/admin/v1/chain", tag = "policies", operation_id = "order_chain",
    request_body = OrderInput,
    responses((status = 200, body = List<Place>), (status = "4XX", body = ErrorBody)))]
pub(super) async fn order(
    State(state): State<AdminState>,
    Input(input): Input<OrderInput>,
) -> Result<Json<List<Place>>, ApiError> {
    let _one_at_a_time = state.writes.lock().await;
    let made = made(&state).await?;
    check_order(&input, made.iter().map(|setting| setting.name.as_str()))?;
    reorder(&state, input.order.into_iter()).await?;
    Ok(places(&state))
}

/// Every one of `known` must be named once, and nothing else.
pub(super) fn check_order<'k>(
    input: &OrderInput,
    known: impl Iterator<Item = &'k str>,
) -> Result<(), ApiError> {
    let known: BTreeSet<&str> = known.collect();
    let wanted: BTreeSet<&str> = input.order.iter().map(String::as_str).collect();
    if wanted == known && input.order.len() == known.len() {
        return Ok(());
    }
    let known: Vec<&str> = known.into_iter().collect();
    let message = format!(
        "must name each policy that the API made once, and no other: {}",
        known.join(", ")
    );
    Err(ApiError::field("order", &message))
}

/// Gives the policies of these full names their places, and makes them take effect.
pub(super) async fn reorder(
    state: &AdminState,
    order: impl Iterator<Item = String>,
) -> Result<(), ApiError> {
    for (position, name) in (0..).zip(order) {
        state
            .store
            .update(&name, move |setting: &mut PolicySetting| {
                setting.position = position
            })
            .await?;
    }
    state.publish().await
}

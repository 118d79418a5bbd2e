//! The admin API: what administrators see and change while the gateway runs.
//!
//! Each resource is a file. What the settings file declares is shown and read-only; what is made here
//! goes to the store, and an answer comes after the data path has seen the change. The API's
//! description is made from the handlers.
//!
//! Never does: serve a caller, run on a worker's thread, show a secret after it was made, decide how
//! a new snapshot comes to be (that is `reload`).
//! Read first: [`router`], then `admin/error.rs` for how everything is refused.

mod alerts;
mod auth;
mod bans;
mod body;
mod calls;
mod chain;
mod channel_test;
mod channels;
mod error;
mod health;
mod journal;
mod keys;
mod openapi;
mod policies;
mod provider_keys;
mod settings;
mod system;
mod tenant_policies;
mod tenants;
mod trials;
mod usage;
mod versions;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use weir_base::Clock;
use weir_store::Store;

use crate::identify::Bans;
use crate::pipeline::channel_test::Tests;
use crate::pipeline::retest::Retests;
use crate::reload::{Control, ControlError};
use crate::telemetry::Metrics;
use error::ApiError;

/// What the admin API works on.
#[derive(Clone)]
pub struct AdminState {
    /// Makes changes take effect.
    pub control: Arc<Control>,
    /// Where changes are kept.
    pub store: Store,
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Addresses that are kept out.
    pub bans: Arc<Bans>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Tries provider keys.
    pub retests: Retests,
    /// SHA-256 of the admin key.
    pub admin_key_hash: [u8; 32],
    /// Whether `/metrics` needs no key; for an address that callers cannot reach.
    pub open_metrics: bool,
    /// Threads that serve calls, for `status`.
    pub workers: usize,
    /// Tests channels.
    pub tests: Tests,
    /// One change at a time: what is checked must still hold when it is written.
    /// To be made with `Arc::default()`.
    pub writes: Arc<tokio::sync::Mutex<()>>,
}

impl AdminState {
    /// Makes the data path see what was written. A policy that will not load is no business of
    /// whoever changed something else: it goes on as it was, and all else is published.
    async fn publish(&self) -> Result<(), ApiError> {
        match self.control.refresh().await {
            Err(error @ (ControlError::Load { .. } | ControlError::Source { .. })) => {
                tracing::warn!(%error, "a policy is as it was");
                Ok(())
            }
            other => Ok(other?),
        }
    }
}

/// All paths of the admin side: `/admin/v1/…`, `/healthz`, `/readyz`, `/metrics`.
pub fn router(state: AdminState) -> Router {
    let (router, api) = described().split_for_parts();
    router
        .route(openapi::PATH, openapi::route(&api))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(from_fn_with_state(state.clone(), auth::guard))
        .with_state(state)
}

/// The description of the admin API, OpenAPI 3.1.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().into_openapi()
}

fn described() -> OpenApiRouter<AdminState> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(tenants::list, tenants::create))
        .routes(routes!(tenants::show, tenants::change, tenants::remove))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::show, keys::change, keys::remove))
        .routes(routes!(keys::rotate))
        .routes(routes!(channels::list, channels::create))
        .routes(routes!(channels::show, channels::change, channels::remove))
        .routes(routes!(channel_test::test))
        .routes(routes!(channel_test::balance))
        .routes(routes!(health::show))
        .routes(routes!(health::set))
        .routes(routes!(provider_keys::list, provider_keys::create))
        .routes(routes!(
            provider_keys::show,
            provider_keys::change,
            provider_keys::remove
        ))
        .routes(routes!(provider_keys::test))
        .routes(routes!(alerts::list))
        .routes(routes!(policies::list))
        .routes(routes!(
            policies::show,
            policies::replace,
            policies::change,
            policies::remove
        ))
        .routes(routes!(versions::upload))
        .routes(routes!(versions::activate))
        .routes(routes!(versions::rollback))
        .routes(routes!(trials::show, trials::begin, trials::end))
        .routes(routes!(trials::approve))
        .routes(routes!(journal::show))
        .routes(routes!(tenant_policies::list))
        .routes(routes!(
            tenant_policies::show,
            tenant_policies::replace,
            tenant_policies::change,
            tenant_policies::remove
        ))
        .routes(routes!(tenant_policies::upload))
        .routes(routes!(tenant_policies::activate))
        .routes(routes!(tenant_policies::rollback))
        .routes(routes!(tenant_policies::approve))
        .routes(routes!(tenant_policies::journal))
        .routes(routes!(
            tenant_policies::show_trial,
            tenant_policies::begin_trial,
            tenant_policies::end_trial
        ))
        .routes(routes!(tenant_policies::chain, tenant_policies::order))
        .routes(routes!(chain::show, chain::order))
        .routes(routes!(calls::list))
        .routes(routes!(calls::show))
        .routes(routes!(usage::sums))
        .routes(routes!(bans::list))
        .routes(routes!(bans::lift))
        .routes(routes!(system::config))
        .routes(routes!(system::reload))
        .routes(routes!(system::status))
        .routes(routes!(system::healthz))
        .routes(routes!(system::readyz))
        .routes(routes!(system::metrics))
}

async fn unknown_path(uri: http::Uri) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "unknown_path",
        format!("there is nothing at {}", uri.path()),
    )
}

async fn unknown_method(method: http::Method, uri: http::Uri) -> ApiError {
    let message = format!("{} does not take {method}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "unknown_method", message)
}

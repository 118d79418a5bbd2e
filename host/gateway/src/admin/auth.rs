//! Who may come in: whoever has the admin key, and authors to their tenant's policies.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use subtle::ConstantTimeEq;

use super::AdminState;
use super::error::ApiError;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// An administrator.
    Admin,
    /// Whoever writes the policies of this tenant.
    Author(Arc<str>),
}

impl Caller {
    /// Refuses what is not an author's to do.
    pub(super) fn must_be_admin(&self, what: &str) -> Result<(), ApiError> {
        match self {
            Caller::Admin => Ok(()),
            Caller::Author(_) => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "admin_key_needed",
                format!("{what} is for the gateway's administrators; ask them"),
            )),
        }
    }

    /// Whether a path is one that the caller may see at all.
    fn may_see(&self, path: &str) -> bool {
        let Caller::Author(tenant) = self else {
            return true;
        };
        let own = path
            .strip_prefix("/admin/v1/tenants/")
            .and_then(|rest| rest.strip_prefix(&**tenant))
            .and_then(|rest| rest.strip_prefix('/'));
        // Written otherwise than plainly, a path could mean another place to the router than here.
        own.is_some_and(|rest| {
            let first = rest.split('/').next();
            matches!(first, Some("policies" | "chain")) && !path.contains('%')
        })
    }
}

/// Lets a request through that has a key for it, or that asks for what is open. Paths that do not
/// exist are not open: a stranger learns nothing from them.
pub(super) async fn guard(
    State(state): State<AdminState>,
    mut request: Request,
    next: Next,
) -> Response {
    let open = match request.uri().path() {
        "/healthz" | "/readyz" | super::openapi::PATH => true,
        "/metrics" => state.open_metrics,
        _ => false,
    };
    match (open, check(&state, request.headers())) {
        (true, _) => {}
        (false, Err(refusal)) => return refusal.into_response(),
        (false, Ok(caller)) => {
            if !caller.may_see(request.uri().path()) {
                let message = "this key is for its tenant's own policies: `tenants/{tenant}/policies` and `tenants/{tenant}/chain`";
                let refusal = ApiError::new(StatusCode::FORBIDDEN, "author_key", message);
                return refusal.into_response();
            }
            request.extensions_mut().insert(caller);
        }
    }
    next.run(request).await
}

fn check(state: &AdminState, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let refuse = |code: &'static str, message: &str| {
        Err(ApiError::new(StatusCode::UNAUTHORIZED, code, message))
    };
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return refuse(
            "admin_key_missing",
            "send the admin key: `authorization: Bearer …`",
        );
    };
    let token = value.to_str().ok().and_then(|text| text.split_once(' '));
    let Some((_, token)) = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
        return refuse(
            "admin_key_missing",
            "the admin key is sent as `authorization: Bearer …`",
        );
    };
    // Hashes of equal length are compared, in constant time: time tells nothing about the key.
    let hash = weir_store::sha256(token.trim().as_bytes());
    if bool::from(hash.ct_eq(&state.admin_key_hash)) {
        return Ok(Caller::Admin);
    }
    let snapshot = state.control.snapshot();
    match snapshot.directory.find(&hash) {
        Some(key) if key.author && key.is_valid(state.clock.now_ms()) => {
            Ok(Caller::Author(Arc::clone(&key.tenant.id)))
        }
        _ => refuse("admin_key_wrong", "this is not the admin key"),
    }
}

//! Who may come in: whoever has the admin key.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use subtle::ConstantTimeEq;

use super::AdminState;
use super::error::ApiError;

/// Lets a request through that has the key, or that asks for what is open. Paths that do not exist
/// are not open: a stranger learns nothing from them.
pub(super) async fn guard(
    State(state): State<AdminState>,
    request: Request,
    next: Next,
) -> Response {
    let open = match request.uri().path() {
        "/healthz" | "/readyz" | super::openapi::PATH => true,
        "/metrics" => state.open_metrics,
        _ => false,
    };
    match (open, check(&state, request.headers())) {
        (false, Err(refusal)) => refusal.into_response(),
        _ => next.run(request).await,
    }
}

fn check(state: &AdminState, headers: &HeaderMap) -> Result<(), ApiError> {
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
        Ok(())
    } else {
        refuse("admin_key_wrong", "this is not the admin key")
    }
}

//! The one place where a fault becomes a reply.

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use weir_base::{Blame, CallId, Fault};
use weir_store::Ended;
use weir_wire::dialect::Family;
use weir_wire::error;

use super::body::ReplyBody;
use super::open::Open;
use super::worker::Worker;

/// The header that every reply carries.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What Anthropic's SDKs read the same id from.
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A request that was refused before it was known whose it is.
pub struct Stranger {
    /// Its id, for the caller to quote.
    pub id: CallId,
    /// The dialect to answer in.
    pub family: Family,
    /// Why it was refused.
    pub fault: Fault,
}

/// The reply to a stranger. There is no tenant to keep a record under; the metrics count it.
pub fn to_stranger(worker: &Worker, stranger: &Stranger) -> Response<ReplyBody> {
    worker.shared.metrics.faulted(stranger.id, &stranger.fault);
    let text = stranger.id.to_string();
    let id = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("unknown"));
    render(stranger.family, &stranger.fault, &id, &text)
}

/// The reply to a known caller; ends the call.
pub fn to_caller(mut open: Box<Open>, fault: &Fault) -> Response<ReplyBody> {
    open.worker.shared.metrics.faulted(open.call.id, fault);
    open.outcome.status = fault.status;
    open.outcome.denied = Some(fault.code.clone());
    open.outcome.ended = match fault.blame {
        Blame::Client | Blame::Policy => Ended::Refused,
        Blame::Upstream | Blame::Gateway => Ended::Failed,
    };
    render(
        open.call.dialect.family(),
        fault,
        &open.call.id_header,
        open.call.id_text(),
    )
}

fn render(family: Family, fault: &Fault, id: &HeaderValue, id_text: &str) -> Response<ReplyBody> {
    let body = error::render(family, fault, id_text);
    let mut response = Response::new(ReplyBody::full(body.into()));
    *response.status_mut() =
        StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    if let Some(after_ms) = fault.retry_after_ms {
        headers.insert(
            RETRY_AFTER,
            HeaderValue::from(after_ms.div_ceil(1_000).max(1)),
        );
    }
    name(headers, family, id);
    response
}

/// Puts the call's id into a reply's head.
pub fn name(headers: &mut HeaderMap, family: Family, id: &HeaderValue) {
    headers.insert(REQUEST_ID, id.clone());
    if family == Family::Anthropic && !headers.contains_key(ANTHROPIC_REQUEST_ID) {
        headers.insert(ANTHROPIC_REQUEST_ID, id.clone());
    }
}

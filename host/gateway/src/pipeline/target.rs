//! The request as one channel wants it: its address, its headers, its name for the model.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Request as HttpRequest, Uri};
use weir_base::{Blame, Fault};
use weir_upstream::RequestBody;
use weir_wire::dialect::{Dialect, Family};
use weir_wire::edit;
use weir_wire::endpoint::gemini_path_with_model;

use super::call::{Call, Request};
use super::cascade;
use super::channel::{Channel, upstream_path};
use crate::keys::ProviderKey;

/// Headers that belong to one connection, or that only Weir sets: they travel in neither
/// direction (RFC 9110, section 7.6.1).
pub fn is_own(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "content-length"
            | "host"
    )
}

/// Headers of a caller that are no provider's business. `accept-encoding` is among them because
/// usage cannot be read from a compressed reply; where the caller is, is nobody's.
fn stays_here(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(
        name,
        "accept-encoding"
            | "expect"
            | "cookie"
            | "forwarded"
            | "via"
            | "x-real-ip"
            | "proxy-authorization"
            | "x-request-id"
            | "authorization"
            | "x-api-key"
            | "x-goog-api-key"
            | "x-weir-channel"
            | "x-weir-timeout-ms"
    ) || name.starts_with("x-forwarded-")
        || name.starts_with("x-fake-")
        || cascade::is_ours(name)
}

/// The body as a channel is to get it, and whether Weir asked for usage that the caller did not.
pub struct Body {
    /// The bytes.
    pub bytes: Bytes,
    /// Whether the event that holds only the usage must be hidden from the caller.
    pub asked_usage: bool,
}

/// The body with the channel's name for the model. Shared with the caller's where nothing differs.
pub fn body(call: &Call, request: &Request, channel: &Channel, model: &str) -> Result<Body, Fault> {
    let mut bytes = request.body.clone();
    let named = request.head.model.as_deref();
    if named.is_some_and(|named| named != model) && !call.model_in_path {
        bytes = edit::set_model(&bytes, request.head.model_span.clone(), model)
            .map_err(unreadable)?
            .into();
    }
    let streams_text = matches!(
        call.dialect,
        Dialect::OpenaiChat | Dialect::OpenaiCompletions
    ) && request.head.stream;
    let asked_usage = streams_text && channel.stream_usage && !request.head.asks_stream_usage;
    if asked_usage {
        bytes = edit::ask_stream_usage(&bytes).map_err(unreadable)?.into();
    }
    Ok(Body { bytes, asked_usage })
}

/// The body is not what it should be.
pub fn unreadable(error: weir_wire::json::JsonError) -> Fault {
    let message = format!(
        "The request body cannot be changed for its channel: {error}. Send one JSON object."
    );
    Fault::new(Blame::Client, 400, "body_not_json", message)
}

/// The path and query with the channel's name for the model.
pub fn path_and_query(
    call: &Call,
    family: Family,
    base_path: &str,
    model: &str,
    asked: &str,
) -> Result<PathAndQuery, Fault> {
    let path = call.uri.path();
    let renamed = (call.model_in_path && (model != asked || !path.contains(asked)))
        .then(|| gemini_path_with_model(path, model))
        .flatten();
    let path = upstream_path(family, base_path, renamed.as_deref().unwrap_or(path));
    let target = match call.uri.query() {
        Some(query) => [&path, "?", query].concat(),
        None => path,
    };
    PathAndQuery::try_from(target).map_err(|_| {
        Fault::new(
            Blame::Client,
            400,
            "path_not_usable",
            "The path of this request cannot be sent to a provider; check the model's name.",
        )
    })
}

/// The request for a provider, with its key.
pub fn request(
    call: &Call,
    request: &Request,
    target: PathAndQuery,
    channel: &Channel,
    key: Option<&ProviderKey>,
    body: Bytes,
) -> HttpRequest<RequestBody> {
    let mut headers = HeaderMap::with_capacity(request.headers.len() + channel.headers.len() + 1);
    for (name, value) in &request.headers {
        if !is_own(name) && !stays_here(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    for (name, value) in &channel.headers {
        headers.insert(name.clone(), value.clone());
    }
    if let Some((name, value)) = key.map(|key| key.header.clone()) {
        headers.insert(name, value);
    }
    let mut out = HttpRequest::new(if body.is_empty() {
        RequestBody::empty()
    } else {
        RequestBody::from(body)
    });
    *out.method_mut() = call.method.clone();
    *out.uri_mut() = Uri::from(target);
    *out.headers_mut() = headers;
    out
}

/// The head of a provider's reply, as the caller gets it. `content-length` stays only where the
/// body goes through as it is.
pub fn reply_headers(mut headers: HeaderMap, keep_length: bool) -> HeaderMap {
    let goes = |name: &&HeaderName| is_own(name) && !(keep_length && **name == CONTENT_LENGTH);
    let own: Vec<HeaderName> = headers.keys().filter(goes).cloned().collect();
    for name in own {
        headers.remove(name);
    }
    headers
}

/// Whether a reply is a stream of server-sent events.
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    kind.get(..17)
        .is_some_and(|start| start.eq_ignore_ascii_case("text/event-stream"))
}

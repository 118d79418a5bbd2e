//! identify: whose call it is, and what it asks for.
//!
//! First the head alone: address, ban, path, key. Only for a known key is a body read, up to its
//! cap, and looked through once for what the later phases need.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Request as HttpRequest, Uri};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use weir_base::{Blame, CallId, Fault, Secret};
use weir_wire::dialect::Family;
use weir_wire::endpoint::{BodyKind, Endpoint, endpoint};
use weir_wire::scan::{Head, scan};

use super::call::{Call, Request};
use super::cascade;
use super::fault::Stranger;
use super::hook::Facts;
use super::open::Open;
use super::snapshot::Snapshot;
use super::worker::Worker;
use crate::identify::{VirtualKey, client_address, hash, take_credential};

const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// Finds out whose call it is, from its head. The body comes back unread.
pub fn caller(
    worker: &Rc<Worker>,
    peer: SocketAddr,
    request: HttpRequest<Incoming>,
) -> Result<(Box<Open>, Incoming), Stranger> {
    let started = Instant::now();
    let started_ms = worker.now_ms();
    let id = CallId::new();
    let snapshot = worker.snapshot();
    let (mut head, body) = request.into_parts();
    let anthropic = head.headers.contains_key(ANTHROPIC_VERSION);
    let stranger = |fault| Stranger {
        id,
        family: family_of(&head.uri, anthropic),
        fault,
    };

    let client = client_address(peer, &head.headers, &snapshot.config.trusted_proxies);
    if let Some(left_ms) = worker.shared.bans.remaining_ms(&client, started_ms) {
        return Err(stranger(banned(left_ms)));
    }
    let found = endpoint(
        head.method.as_str(),
        head.uri.path(),
        head.uri.query().unwrap_or(""),
        anthropic,
    );
    let Some(found) = found else {
        return Err(stranger(unknown_path(&head.uri)));
    };
    let (dialect, operation, body_kind) = (found.dialect, found.operation, found.body);
    let request = blank(&found);
    let model_in_path = found.model.is_some();
    let needs_model = found.needs_model;
    drop(found);

    let mut secret = take_credential(&mut head.headers);
    if dialect.family() == Family::Gemini {
        let (uri, in_query) = take_query_key(&head.uri);
        head.uri = uri;
        secret = secret.or(in_query);
    }
    let key = known(&snapshot, secret, started_ms).map_err(|fault| Stranger {
        id,
        family: dialect.family(),
        fault,
    })?;
    let text = id.to_string();
    let call = Call {
        id,
        id_header: HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("unknown")),
        started,
        started_ms,
        snapshot,
        key,
        client,
        dialect,
        operation,
        body_kind,
        model_in_path,
        needs_model,
        method: head.method,
        uri: head.uri,
        hops: cascade::hops(&head.headers),
        depth: 0,
        request: Mutex::new(Request {
            headers: head.headers,
            ..request
        }),
    };
    let facts = Facts::of(&call, &call.request());
    // Boxed, because it is handed on from phase to reply and on with the body.
    Ok((Box::new(Open::new(worker, Arc::new(call), facts)), body))
}

/// Reads the body and finds in it what the call asks for.
pub async fn request(open: &mut Open, body: Incoming) -> Result<(), Fault> {
    if !open.worker.shared.ledger.accepting() {
        return Err(ledger_full());
    }
    let call = Arc::clone(&open.call);
    cascade::check(&call, &open.worker.shared.node)?;
    let limits = &call.snapshot.config.limits;
    let body = read(body, limits.body_max_bytes, limits.body_timeout_ms).await?;
    let mut request = call.request();
    request.body = body;
    understand(&call, &mut request)?;
    open.facts.refresh(&request);
    Ok(())
}

/// Finds model, stream and bounds in the body as it stands. Also after a policy changed it.
pub fn understand(call: &Call, request: &mut Request) -> Result<(), Fault> {
    if call.body_kind == BodyKind::Json {
        let stream_by_path = request.head.stream && call.model_in_path;
        let head = scan(call.dialect, &request.body).map_err(|error| {
            let message =
                format!("The request body cannot be read: {error}. Send one JSON object.");
            Fault::new(Blame::Client, 400, "body_not_json", message)
        })?;
        let model = if call.model_in_path {
            None
        } else {
            head.model.clone()
        };
        request.head = Head {
            stream: head.stream || stream_by_path,
            ..head
        };
        if let Some(model) = model {
            request.model = model;
        }
    }
    if call.needs_model && request.model.is_empty() {
        return Err(Fault::new(
            Blame::Client,
            400,
            "model_missing",
            "The request names no model; set `model` to one that your key may use.",
        ));
    }
    request.body_changed = false;
    Ok(())
}

/// The request as far as the path tells.
fn blank(found: &Endpoint<'_>) -> Request {
    Request {
        model: found.model.as_deref().unwrap_or_default().to_owned(),
        head: Head {
            stream: found.stream.unwrap_or(false),
            ..Head::default()
        },
        body: Bytes::new(),
        headers: http::HeaderMap::new(),
        body_changed: false,
    }
}

/// Which dialect a path that is no endpoint most likely belongs to, to answer in.
fn family_of(uri: &Uri, anthropic: bool) -> Family {
    let path = uri.path();
    if path.starts_with("/v1beta") {
        Family::Gemini
    } else if anthropic || path.starts_with("/v1/messages") {
        Family::Anthropic
    } else {
        Family::Openai
    }
}

/// Gemini's REST examples put the key into the query; it must not travel further.
fn take_query_key(uri: &Uri) -> (Uri, Option<Secret>) {
    let Some(query) = uri
        .query()
        .filter(|query| query.split('&').any(|pair| pair.starts_with("key=")))
    else {
        return (uri.clone(), None);
    };
    let secret = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("key="))
        .map(Secret::new);
    let rest: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.starts_with("key="))
        .collect();
    let target = if rest.is_empty() {
        uri.path().to_owned()
    } else {
        format!("{}?{}", uri.path(), rest.join("&"))
    };
    (
        target.parse().unwrap_or_else(|_| Uri::from_static("/")),
        secret,
    )
}

fn known(
    snapshot: &Snapshot,
    secret: Option<Secret>,
    now_ms: u64,
) -> Result<Arc<VirtualKey>, Fault> {
    let Some(secret) = secret else {
        return Err(Fault::new(
            Blame::Client,
            401,
            "key_missing",
            "No key was sent; put your virtual key into `Authorization: Bearer`, `x-api-key` or `x-goog-api-key`.",
        ));
    };
    let key = snapshot.directory.find(&hash(&secret)).ok_or_else(|| {
        Fault::new(Blame::Client, 401, "key_unknown", "This gateway does not know the key that was sent; check it, or ask the operator for one.")
    })?;
    if key.author {
        return Err(Fault::new(
            Blame::Client,
            401,
            "key_of_author",
            "This key is for writing policies, not for calls; ask the operator of this gateway for a key of the role `caller`.",
        ));
    }
    if key.is_valid(now_ms) {
        return Ok(Arc::clone(key));
    }
    Err(if key.tenant.disabled {
        Fault::new(
            Blame::Client,
            401,
            "tenant_disabled",
            "The tenant of this key is disabled; ask the operator of this gateway.",
        )
    } else if key.disabled {
        Fault::new(
            Blame::Client,
            401,
            "key_disabled",
            "This key is disabled; ask the operator of this gateway.",
        )
    } else {
        Fault::new(
            Blame::Client,
            401,
            "key_expired",
            "This key has expired; ask the operator for a new one.",
        )
    })
}

/// Reads a body up to `max_bytes`. One that came in a single piece, as nearly all do, is not
/// copied and no timer is made for it.
async fn read(mut body: Incoming, max_bytes: usize, pause_max_ms: u64) -> Result<Bytes, Fault> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max_bytes {
        return Err(too_large(max_bytes));
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(data) = next_piece(&mut body, pause_max_ms).await? {
        if first.len() + rest.len() + data.len() > max_bytes {
            return Err(too_large(max_bytes));
        }
        if first.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.reserve(first.len() + data.len());
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() {
        first
    } else {
        rest.freeze()
    })
}

/// The next piece of a body; waits `pause_max_ms` at most.
async fn next_piece(body: &mut Incoming, pause_max_ms: u64) -> Result<Option<Bytes>, Fault> {
    loop {
        let frame = {
            let mut coming = pin!(body.frame());
            match poll_fn(|cx| Poll::Ready(coming.as_mut().poll(cx))).await {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    let pause = Duration::from_millis(pause_max_ms);
                    tokio::time::timeout(pause, coming)
                        .await
                        .map_err(|_| too_slow(pause_max_ms))?
                }
            }
        };
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame.map_err(|_| {
            Fault::new(
                Blame::Client,
                400,
                "body_broken",
                "The request body was cut off; send the request again.",
            )
        })?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

fn too_slow(pause_max_ms: u64) -> Fault {
    let message = format!(
        "Nothing more of the request body came for {pause_max_ms} ms; send the request again."
    );
    Fault::new(Blame::Client, 408, "body_timeout", message)
}

fn too_large(max_bytes: usize) -> Fault {
    let message = format!(
        "The request body is larger than {max_bytes} bytes, the most that this gateway takes; send a smaller one."
    );
    Fault::new(Blame::Client, 413, "body_too_large", message)
}

fn banned(left_ms: u64) -> Fault {
    Fault::new(Blame::Client, 403, "address_banned", "Requests from your address are refused for a while; wait, or ask the operator of this gateway.")
        .retry_after_ms(left_ms)
}

fn unknown_path(uri: &Uri) -> Fault {
    let message = format!(
        "There is no `{}` here; use a path of the OpenAI, Anthropic or Gemini API.",
        shortened(uri.path())
    );
    Fault::new(Blame::Client, 404, "unknown_path", message)
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

fn ledger_full() -> Fault {
    Fault::new(
        Blame::Gateway,
        503,
        "ledger_unavailable",
        "The gateway cannot record calls at the moment and takes none that it could not bill; try again later, or tell its operator.",
    )
    .retry_after_ms(5_000)
}

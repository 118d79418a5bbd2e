//! The provider of the whole-gateway bench: answers chat completions in OpenAI's dialect as fast as
//! it can, always the same, so that what is measured is the gateway.
//!
//! `POST /v1/chat/completions` answers a reply of 617 bytes, or, for `"stream": true`, 64 events of
//! about 200 bytes, one with the usage, and `[DONE]`, each written on its own as a provider does.
//! `GET /stats` tells how many requests came, and how many of them without the provider's key.
//! Settings (environment): `UPSTREAM_ADDR`, `UPSTREAM_KEY`.
//! Never does: look deeper into a request than the bench needs; parsing would be charged to the
//! core that the load runs on.
//! Read first: `answer`. The tests' providers, which do what a test tells, are in `src/provider.rs`.

use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

const EVENTS: usize = 64;
const REPLY_BYTES: usize = 617;

/// What came so far.
struct Counts {
    requests: AtomicU64,
    without_key: AtomicU64,
    authorization: String,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

static REPLY: LazyLock<Bytes> = LazyLock::new(|| {
    let reply = |words: &str| {
        json!({
            "id": "chatcmpl-mock", "object": "chat.completion", "created": 1_700_000_000, "model": "gpt-4o-mini",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": words}, "logprobs": null, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 230, "completion_tokens": 70, "total_tokens": 300},
        })
        .to_string()
    };
    let filling = REPLY_BYTES.saturating_sub(reply("").len());
    Bytes::from(reply(&"word ".repeat(filling / 5 + 1)[..filling]))
});

/// The pieces of a streamed reply.
static PIECES: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
    let event = |choices: serde_json::Value, usage: serde_json::Value| {
        let data = json!({
            "id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "gpt-4o-mini",
            "service_tier": "default", "choices": choices, "usage": usage,
        });
        Bytes::from(format!("data: {data}\n\n"))
    };
    let text = event(
        json!([{"index": 0, "delta": {"content": " word"}, "finish_reason": null}]),
        json!(null),
    );
    let usage =
        json!({"prompt_tokens": 230, "completion_tokens": EVENTS, "total_tokens": 230 + EVENTS});
    let mut pieces = vec![text; EVENTS];
    pieces.push(event(json!([]), usage));
    pieces.push(Bytes::from_static(b"data: [DONE]\n\n"));
    pieces
});

fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve())
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let address = env::var("UPSTREAM_ADDR").unwrap_or_else(|_| "127.0.0.1:9100".to_owned());
    let key = env::var("UPSTREAM_KEY").unwrap_or_else(|_| "sk-upstream-secret".to_owned());
    let counts = Arc::new(Counts {
        requests: AtomicU64::new(0),
        without_key: AtomicU64::new(0),
        authorization: format!("Bearer {key}"),
    });
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let counts = Arc::clone(&counts);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &counts));
            // A caller that hangs up is no concern of the mock's.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    counts: &Counts,
) -> Result<Response<Body>, hyper::Error> {
    if request.uri().path() == "/stats" {
        let told = json!({
            "requests": counts.requests.load(Relaxed),
            "without_key": counts.without_key.load(Relaxed),
        });
        return Ok(response(
            "application/json",
            Full::from(told.to_string()).boxed_unsync(),
        ));
    }
    counts.requests.fetch_add(1, Relaxed);
    let authorized = request
        .headers()
        .get(AUTHORIZATION)
        .is_some_and(|given| *given == counts.authorization);
    counts
        .without_key
        .fetch_add(u64::from(!authorized), Relaxed);
    let body = request.into_body().collect().await?.to_bytes();
    if !asks_for_stream(&body) {
        return Ok(response(
            "application/json",
            Full::from(REPLY.clone()).boxed_unsync(),
        ));
    }
    let pieces = stream::unfold(0, |at| async move {
        // Lets the connection write what it has, so that each event leaves on its own.
        if at > 0 {
            tokio::task::yield_now().await;
        }
        PIECES
            .get(at)
            .map(|piece| (Ok(Frame::data(piece.clone())), at + 1))
    });
    Ok(response(
        "text/event-stream",
        StreamBody::new(pieces).boxed_unsync(),
    ))
}

fn response(content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Whether `"stream"` is followed by `true`, with or without blanks: the two ways to write JSON.
fn asks_for_stream(body: &[u8]) -> bool {
    let holds = |needle: &[u8]| body.windows(needle.len()).any(|window| window == needle);
    holds(br#""stream": true"#) || holds(br#""stream":true"#)
}

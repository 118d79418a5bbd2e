//! Sends one try, over the network or to the built-in provider, and brings its head.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use tokio::time::Sleep;
use weir_base::Fault;
use weir_upstream::{Body as UpstreamBody, Timeouts};
use weir_wire::prefill::{self, Form};
use weir_wire::{Dialect, fake};

use super::failure::Failed;
use super::hold::{self, Bounds, Held};
use super::key::heard;
use super::{Reply, Source};
use crate::keys::Lease;
use crate::pipeline::cascade;
use crate::pipeline::channel::{Channel, Target};
use crate::pipeline::open::{Open, Resumed};
use crate::pipeline::route::Planned;
use crate::pipeline::target;
use crate::pipeline::worker::Worker;

/// The largest error body that is read whole, in bytes. Providers' errors are a few hundred.
const ERROR_BODY_MAX_BYTES: usize = 1 << 20;

/// A provider's answer: the head, and the body to come.
pub struct Got {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body: whole for an error, to come for anything else.
    pub source: Source,
    /// Until when the key has used up one of its limits, in milliseconds since the Unix epoch, where
    /// the provider says so.
    pub spent_until_ms: Option<u64>,
}

impl Got {
    /// The body of an error.
    pub fn error_body(&self) -> Option<&[u8]> {
        match &self.source {
            Source::Whole(body) => Some(body),
            _ => None,
        }
    }

    /// The same as what is relayed.
    pub fn into_reply(self) -> Reply {
        Reply {
            status: self.status,
            headers: self.headers,
            source: self.source,
            by_policy: false,
        }
    }
}

/// Sends the call to the channel with the key, and brings the head of the reply and as much of its
/// body as must be seen before it can go out.
pub async fn send(
    worker: &Rc<Worker>,
    open: &Open,
    planned: &Planned,
    lease: Option<&Lease>,
    model: &str,
    bounds: Bounds,
) -> Result<Result<Got, Failed>, Fault> {
    let channel = &*planned.channel;
    let call = &open.call;
    match &channel.target {
        Target::Fake(options) => {
            let mut got = answer_fake(worker, open, channel, options, model).await?;
            got.spent_until_ms = heard(open, lease, model, &got.headers, worker.now_ms());
            Ok(Ok(got))
        }
        Target::Http {
            family,
            origin,
            base_path,
        } => {
            let (request, hides_usage) = {
                let asked = call.request();
                let mut body = target::body(call, &asked, channel, model)?;
                if let Some(resumed) = &open.resumed {
                    body.bytes = rest_of(resumed, call.dialect, &body.bytes, channel)?;
                }
                let target = target::path_and_query(call, *family, base_path, model, &asked.model)?;
                let key = lease.map(|lease| &**lease);
                let mut request = target::request(call, &asked, target, channel, key, body.bytes);
                if channel.cascade {
                    let node = &worker.shared.node;
                    cascade::mark(request.headers_mut(), call, &asked.headers, node);
                }
                (request, body.asked_usage)
            };
            let timeouts = Timeouts {
                first_byte_ms: bounds.first_byte_ms,
                ..*channel.timeouts.of(call.operation)
            };
            let response = match worker.upstream.send(origin, request, &timeouts).await {
                Ok(response) => response,
                Err(error) => return Ok(Err(Failed::Send(error))),
            };
            let (head, body) = response.into_parts();
            // Whatever becomes of its body, and of the race that it may be in.
            let spent_until_ms = heard(open, lease, model, &head.headers, worker.now_ms());
            let got = receive(open, head, body, hides_usage, bounds).await;
            Ok(got.map(|got| Got {
                spent_until_ms,
                ..got
            }))
        }
    }
}

/// The request for the rest of a reply that broke off.
fn rest_of(
    resumed: &Resumed,
    dialect: Dialect,
    body: &[u8],
    channel: &Channel,
) -> Result<Bytes, Fault> {
    let form = channel.prefill.unwrap_or(Form::Plain);
    let (said, tokens) = (&resumed.said, resumed.said_tokens);
    let asked = prefill::request(dialect, body, said, tokens, form);
    asked.map(Bytes::from).map_err(target::unreadable)
}

/// What there is to a reply before it can go out.
async fn receive(
    open: &Open,
    head: http::response::Parts,
    mut body: UpstreamBody,
    hides_usage: bool,
    bounds: Bounds,
) -> Result<Got, Failed> {
    let status = head.status.as_u16();
    let source = if status >= 400 {
        Source::Whole(read_error(body).await.map_err(Failed::Reply)?)
    } else if bounds.hold_ms == 0 {
        Source::Upstream {
            body,
            held: Held::default(),
            hides_usage,
        }
    } else {
        let expected = hold::expected(&open.call, open.facts.streaming, status, &head.headers)?;
        let held = hold::begin(&mut body, expected, bounds, &open.unheard).await?;
        Source::Upstream {
            body,
            held,
            hides_usage,
        }
    };
    Ok(Got {
        status,
        headers: head.headers,
        source,
        spent_until_ms: None,
    })
}

async fn read_error(mut body: UpstreamBody) -> Result<Bytes, String> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| error.to_string())?;
        if let Ok(data) = frame.into_data() {
            if whole.len() + data.len() > ERROR_BODY_MAX_BYTES {
                return Err(format!(
                    "its error is larger than {ERROR_BODY_MAX_BYTES} bytes"
                ));
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}

/// Asks the built-in provider.
async fn answer_fake(
    worker: &Rc<Worker>,
    open: &Open,
    channel: &Channel,
    options: &fake::Options,
    model: &str,
) -> Result<Got, Fault> {
    let call = &open.call;
    let (reply, hides_usage) = {
        let request = call.request();
        let body = target::body(call, &request, channel, model)?;
        let told = request
            .headers
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("x-fake-"));
        let told: Vec<_> = told
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let options = if told.is_empty() {
            options.clone()
        } else {
            options.with_headers(told.into_iter())
        };
        let path = call
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let asked = fake::Request {
            dialect: call.dialect,
            operation: call.operation,
            path,
            model,
            stream: request.head.stream,
            body: &body.bytes,
            now_unix_s: worker.now_ms() / 1_000,
            call_id: call.id_text(),
        };
        (fake::answer(&asked, &options), body.asked_usage)
    };
    if reply.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(reply.delay_ms)).await;
    }
    let mut headers = HeaderMap::new();
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let chunks = match reply.body {
        fake::Body::Whole(body) if reply.status >= 400 || !reply.cut => {
            return Ok(Got {
                status: reply.status,
                headers,
                source: Source::Whole(body),
                spent_until_ms: None,
            });
        }
        fake::Body::Whole(body) => VecDeque::from([body]),
        fake::Body::Chunks(chunks) => chunks.into(),
    };
    let body = Box::new(FakeBody {
        chunks,
        delay_ms: reply.event_delay_ms,
        pause: None,
        cut: reply.cut,
    });
    Ok(Got {
        status: reply.status,
        headers,
        source: Source::Fake { body, hides_usage },
        spent_until_ms: None,
    })
}

/// The pieces of the built-in provider's reply, with pauses between them.
pub struct FakeBody {
    chunks: VecDeque<Bytes>,
    delay_ms: u64,
    pause: Option<Pin<Box<Sleep>>>,
    cut: bool,
}

impl FakeBody {
    /// The next piece; an error where the reply is to break off.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let chunk = self.chunks.pop_front();
        if chunk.is_some() && self.delay_ms > 0 {
            self.pause = Some(Box::pin(tokio::time::sleep(Duration::from_millis(
                self.delay_ms,
            ))));
        }
        Poll::Ready(match chunk {
            Some(chunk) => Some(Ok(chunk)),
            None if std::mem::take(&mut self.cut) => {
                Some(Err("the built-in provider was told to break off".to_owned()))
            }
            None => None,
        })
    }
}

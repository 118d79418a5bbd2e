//! relay: the reply goes back to the caller, byte for byte where no policy asks to look inside.
//!
//! Usage is read on the way. Nobody copies a piece, nobody waits for the next one: what the
//! provider sent goes out before anything else is asked of it. Where policies look inside, the
//! work is done in `look`.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body as _, SizeHint};
use weir_base::{Blame, Fault};
use weir_policy::Hook;
use weir_store::Ended;
use weir_upstream::Body as UpstreamBody;
use weir_wire::dialect::Family;
use weir_wire::sse::Splitter;
use weir_wire::usage::{StreamUsage, WholeUsage, read_whole};
use weir_wire::{error, usage};

use super::attempt::{FakeBody, Held, Reply, Source};
use super::body::{Broken, ReplyBody};
use super::open::Open;
use super::worker::Worker;
use super::{attempt, fault, look, resume, target};
use crate::telemetry::Phase;

/// The provider's own id for the reply, where it has one that ours would hide.
const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-upstream-request-id");
/// Bytes of a whole reply that are kept to read its usage from; beyond it the tail is enough.
const USAGE_KEEP_BYTES: usize = 4 << 20;

/// Begins to send `reply`.
pub async fn start(worker: &Rc<Worker>, mut open: Box<Open>, reply: Reply) -> Response<ReplyBody> {
    open.outcome.status = reply.status;
    open.outcome.first_byte_ms = Some(open.call.elapsed_ms());
    let streams = target::is_event_stream(&reply.headers);
    let succeeded = (200..300).contains(&reply.status) && !reply.by_policy;
    if succeeded && !streams && open.chain.has(Hook::Reply) {
        return look::whole(worker, open, reply).await;
    }
    let lookers = if succeeded && streams {
        look::open(worker, &mut open).await
    } else {
        Ok(Vec::new())
    };
    match lookers {
        Err(fault) => fault::to_caller(open, &fault),
        Ok(lookers) if lookers.is_empty() => {
            if succeeded && streams && resume::may(&open) {
                resume::events(worker, open, reply)
            } else {
                as_it_is(open, reply, streams)
            }
        }
        Ok(lookers) => look::events(open, reply, lookers),
    }
}

/// The reply goes through as it is.
fn as_it_is(mut open: Box<Open>, reply: Reply, streams: bool) -> Response<ReplyBody> {
    let Reply {
        status,
        headers,
        source,
        by_policy,
    } = reply;
    let family = open.call.dialect.family();
    let id = open.call.id_header.clone();
    let (fake, held, hider, left, headers) = match source {
        Source::Whole(bytes) => {
            if status < 300 && !by_policy {
                read_usage(&mut open, &bytes);
            }
            open.passed(Phase::Relay);
            return whole(open, status, headers, bytes);
        }
        Source::Upstream {
            body,
            held,
            hides_usage,
        } => {
            open.upstream = Some(body);
            let hider = (hides_usage && streams).then(UsageHider::default);
            let headers = target::reply_headers(headers, hider.is_none());
            let left = headers
                .get(CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok()?.parse().ok());
            (None, held, hider, left, headers)
        }
        Source::Fake { body, hides_usage } => {
            let hider = (hides_usage && streams).then(UsageHider::default);
            (
                Some(body),
                Held::default(),
                hider,
                None,
                target::reply_headers(headers, false),
            )
        }
    };
    let relay = Relay {
        reading: Reading::new(open, streams),
        streams,
        fake,
        held,
        hider,
        left,
        tail: Tail::None,
    };
    response(status, headers, family, &id, ReplyBody::relay(relay))
}

/// A reply that is here already; ends the call.
pub fn whole(
    mut open: Box<Open>,
    status: u16,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response<ReplyBody> {
    open.outcome.status = status;
    open.outcome.ended = Ended::Complete;
    let headers = target::reply_headers(headers, false);
    response(
        status,
        headers,
        open.call.dialect.family(),
        &open.call.id_header,
        ReplyBody::full(bytes),
    )
}

/// The head of a reply.
pub fn response(
    status: u16,
    headers: HeaderMap,
    family: Family,
    id: &HeaderValue,
    body: ReplyBody,
) -> Response<ReplyBody> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = headers;
    let headers = response.headers_mut();
    if let Some(theirs) = headers.get(fault::REQUEST_ID).cloned() {
        headers.insert(UPSTREAM_REQUEST_ID, theirs);
    }
    fault::name(headers, family, id);
    response
}

/// Takes the usage from a whole reply.
pub fn read_usage(open: &mut Open, body: &[u8]) {
    open.outcome.usage = read_whole(open.call.dialect, body);
    open.outcome.usage_is_final = true;
}

/// What reads the usage of a reply as it passes by.
pub enum Tap {
    /// Of a stream of events.
    Stream(Box<StreamUsage>),
    /// Of a whole reply.
    Whole(Box<WholeUsage>),
    /// There is nothing to read.
    None,
}

impl Tap {
    /// The right one for a reply of this call.
    pub fn new(open: &Open, streams: bool) -> Self {
        if !(200..300).contains(&open.outcome.status) {
            Tap::None
        } else if streams || open.facts.streaming {
            Tap::Stream(Box::new(StreamUsage::new(open.call.dialect)))
        } else {
            Tap::Whole(Box::new(WholeUsage::new(
                open.call.dialect,
                USAGE_KEEP_BYTES,
            )))
        }
    }

    /// Sees a piece.
    pub fn push(&mut self, piece: &Bytes) {
        match self {
            Tap::Stream(tap) => tap.push(piece),
            Tap::Whole(tap) => tap.push(piece.clone()),
            Tap::None => {}
        }
    }

    /// Writes what was read into the outcome. `complete`: the reply came to its end.
    pub fn finish(&mut self, open: &mut Open, complete: bool) {
        match std::mem::replace(self, Tap::None) {
            Tap::Stream(tap) => {
                if let Some(id) = tap.made() {
                    attempt::made_later(open, id);
                }
                let report: usage::StreamReport = tap.finish();
                open.outcome.usage = report.usage;
                open.outcome.usage_is_final = report.finished;
                open.outcome.output_text_bytes = report.output_text_bytes;
            }
            Tap::Whole(tap) => {
                open.outcome.usage = tap.finish();
                open.outcome.usage_is_final = complete;
            }
            Tap::None => {}
        }
    }
}

/// A call whose reply is on its way: settled when the reply ends, or when nobody wants it any more.
pub struct Reading {
    open: Option<Box<Open>>,
    tap: Tap,
}

impl Reading {
    /// The reply of `open` begins. `streams`: it is a stream of events.
    pub fn new(open: Box<Open>, streams: bool) -> Self {
        let tap = Tap::new(&open, streams);
        Self {
            open: Some(open),
            tap,
        }
    }

    /// The call, until it is settled.
    pub fn open(&mut self) -> Option<&mut Open> {
        self.open.as_deref_mut()
    }

    /// A piece of the provider's reply came.
    pub fn saw(&mut self, piece: &Bytes) {
        self.tap.push(piece);
    }

    /// The reply broke off, and may be gone on with: the call, with what was read of the usage.
    pub fn pause(&mut self) -> Option<Box<Open>> {
        let mut open = self.open.take()?;
        self.tap.finish(&mut open, false);
        Some(open)
    }

    /// The call goes on, with the beginning of another reply; or without one, and is to be ended.
    pub fn go_on(&mut self, open: Box<Open>, replied: bool) {
        if replied {
            self.tap = Tap::new(&open, true);
        }
        self.open = Some(open);
    }

    /// The reply is over: settles the call.
    pub fn end(&mut self, ended: Ended) {
        let Some(mut open) = self.open.take() else {
            return;
        };
        self.tap.finish(&mut open, ended == Ended::Complete);
        open.outcome.ended = ended;
        if ended == Ended::UpstreamBroke && open.serving.is_some() {
            attempt::broke_later(&mut open);
        }
        open.passed(Phase::Relay);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // Not over, yet nobody wants it: the caller went away. What was read is what was used.
        self.end(Ended::ClientClosed);
    }
}

/// What is still to be sent after the provider broke off.
enum Tail {
    None,
    /// The error event is in the connection's buffer; the next time it is asked, it goes out.
    Flush(String),
    /// Then the connection is cut.
    Cut(String),
}

/// A reply that goes through as it is.
pub struct Relay {
    reading: Reading,
    streams: bool,
    fake: Option<Box<FakeBody>>,
    /// What came before the reply was chosen.
    held: Held,
    hider: Option<UsageHider>,
    /// Bytes that are still to come, where the provider said how many.
    left: Option<u64>,
    tail: Tail,
}

impl Relay {
    /// The next piece.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        match std::mem::replace(&mut self.tail, Tail::None) {
            Tail::None => {}
            Tail::Flush(reason) => {
                self.tail = Tail::Cut(reason);
                // hyper flushes what it has when the body has nothing more for the moment.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Tail::Cut(reason) => return Poll::Ready(Some(Err(Broken(reason)))),
        }
        loop {
            let Some(piece) = ready!(self.poll_source(cx)) else {
                self.reading.end(Ended::Complete);
                let rest = self.hider.take().map(UsageHider::rest);
                return Poll::Ready(rest.filter(|rest| !rest.is_empty()).map(Ok));
            };
            match piece {
                Ok(piece) => {
                    if let Some(piece) = self.passed(piece) {
                        return Poll::Ready(Some(Ok(piece)));
                    }
                }
                Err(reason) => return Poll::Ready(Some(self.broke(reason))),
            }
        }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        if let Some(piece) = self.held.pop() {
            return Poll::Ready(Some(Ok(piece)));
        }
        if let Some(fake) = &mut self.fake {
            return fake.poll_next(cx);
        }
        let Some(upstream) = self.reading.open().and_then(|open| open.upstream.as_mut()) else {
            return Poll::Ready(None);
        };
        poll_data(upstream, cx)
    }

    /// A piece passes: its usage is read, and the call is settled if it was the last.
    fn passed(&mut self, piece: Bytes) -> Option<Bytes> {
        self.reading.saw(&piece);
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(piece.len() as u64);
        }
        let shown = match &mut self.hider {
            Some(hider) => hider.push(&piece),
            None => piece,
        };
        let is_last = self.left == Some(0) || (self.held.is_empty() && self.upstream_is_over());
        if self.hider.is_none() && is_last {
            self.reading.end(Ended::Complete);
        }
        Some(shown).filter(|shown| !shown.is_empty())
    }

    fn upstream_is_over(&mut self) -> bool {
        let upstream = self.reading.open().and_then(|open| open.upstream.as_ref());
        upstream.is_some_and(|body| body.is_end_stream())
    }

    /// The provider broke off. A reader of events gets the dialect's own error event first; then
    /// the connection is cut, so that nobody takes a part for the whole.
    fn broke(&mut self, reason: String) -> Result<Bytes, Broken> {
        let streams = self.streams;
        let event = self
            .reading
            .open()
            .filter(|_| streams)
            .map(|open| broken_event(open, &reason));
        self.reading.end(Ended::UpstreamBroke);
        match event {
            Some(event) => {
                self.tail = Tail::Flush(reason);
                Ok(event)
            }
            None => Err(Broken(reason)),
        }
    }

    /// Whether the last piece has been handed out.
    pub fn is_over(&self) -> bool {
        self.reading.open.is_none() && matches!(self.tail, Tail::None) && self.hider.is_none()
    }

    /// How long the body is, where the provider said.
    pub fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The next data of a provider's body.
pub fn poll_data(
    body: &mut UpstreamBody,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, String>>> {
    loop {
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.to_string()))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Poll::Ready(Some(Ok(data)));
                }
            }
        }
    }
}

/// The event that tells a reader of events that the provider broke off.
pub fn broken_event(open: &Open, reason: &str) -> Bytes {
    let message = format!(
        "The provider broke off in the middle of its reply ({reason}); what came before is not complete."
    );
    let fault = Fault::new(Blame::Upstream, 502, "provider_broken", message);
    open.worker.shared.metrics.faulted(open.call.id, &fault);
    Bytes::from(error::stream_error(
        open.call.dialect,
        &fault,
        open.call.id_text(),
    ))
}

/// Leaves out the one event that only Weir asked for: the usage, which OpenAI sends in a chunk
/// without choices.
#[derive(Default)]
pub struct UsageHider {
    splitter: Splitter,
}

impl UsageHider {
    /// What the caller gets of this piece. Incomplete events wait for their end.
    pub fn push(&mut self, piece: &[u8]) -> Bytes {
        let mut shown = BytesMut::with_capacity(piece.len());
        self.splitter.push(piece, |event| {
            if !is_usage_only(event.data) {
                shown.extend_from_slice(event.raw);
            }
        });
        shown.freeze()
    }

    /// What was left incomplete at the end.
    pub fn rest(self) -> Bytes {
        let mut shown = BytesMut::new();
        self.splitter
            .finish(|event| shown.extend_from_slice(event.raw));
        shown.freeze()
    }
}

fn is_usage_only(data: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow)]
        choices: Option<&'a serde_json::value::RawValue>,
        #[serde(borrow)]
        usage: Option<&'a serde_json::value::RawValue>,
    }
    // Choices come before the usage in every chunk, and nearly all have some: look there first.
    let head = data.get(..data.len().min(512)).unwrap_or_default();
    let has_empty = head.windows(11).any(|window| window == b"\"choices\":[");
    has_empty
        && serde_json::from_slice::<Chunk<'_>>(data).is_ok_and(|chunk| {
            chunk.usage.is_some_and(|usage| usage.get() != "null")
                && chunk.choices.is_some_and(|choices| {
                    choices.get().trim_matches(['[', ']', ' ', '\n']).is_empty()
                })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usage_chunk_is_hidden() {
        let stream = concat!(
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n",
            "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n",
            "data: {\"id\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n",
            "data: [DONE]\n\n"
        );
        let expected = stream.replace(
            "data: {\"id\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n",
            "",
        );
        for size in [1, 7, stream.len()] {
            let mut hider = UsageHider::default();
            let mut shown = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                shown.extend_from_slice(&hider.push(piece));
            }
            shown.extend_from_slice(&hider.rest());
            assert_eq!(String::from_utf8(shown).unwrap(), expected);
        }
    }
}

//! The body of a reply on its way to the caller, piece by piece.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};

use super::relay::Relay;

/// The reply broke off; the connection to the caller is closed so that it cannot take what it has
/// for the whole.
#[derive(Debug)]
pub struct Broken(pub String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

/// The body of a reply.
pub struct ReplyBody(Kind);

enum Kind {
    /// It is here already.
    Full(Option<Bytes>),
    /// It comes from a provider and goes through as it is.
    Relay(Box<Relay>),
    /// It is made while it goes out: policies look inside.
    Made(Pin<Box<dyn Stream<Item = Result<Bytes, Broken>>>>),
    /// It comes from the admin API.
    Admin(axum::body::Body),
}

impl ReplyBody {
    /// A body that is here already.
    pub fn full(bytes: Bytes) -> Self {
        Self(Kind::Full(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    /// A body from a provider.
    pub(super) fn relay(relay: Relay) -> Self {
        Self(Kind::Relay(Box::new(relay)))
    }

    /// A body that is made while it goes out.
    pub(super) fn made(stream: impl Stream<Item = Result<Bytes, Broken>> + 'static) -> Self {
        Self(Kind::Made(Box::pin(stream)))
    }

    /// A body from the admin API.
    pub fn admin(body: axum::body::Body) -> Self {
        Self(Kind::Admin(body))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let piece = match &mut self.0 {
            Kind::Full(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Kind::Relay(relay) => relay.poll_next(cx),
            Kind::Made(stream) => stream.as_mut().poll_next(cx),
            Kind::Admin(body) => {
                return Pin::new(body)
                    .poll_frame(cx)
                    .map_err(|error| Broken(error.to_string()));
            }
        };
        piece.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Relay(relay) => relay.is_over(),
            Kind::Made(_) => false,
            Kind::Admin(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Full(None) => SizeHint::with_exact(0),
            Kind::Relay(relay) => relay.size_hint(),
            Kind::Made(_) => SizeHint::default(),
            Kind::Admin(body) => body.size_hint(),
        }
    }
}

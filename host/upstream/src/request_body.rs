//! The body of a request on its way out: nearly always one piece, sometimes a stream.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

type BoxError = Box<dyn Error + Send + Sync>;

/// What is sent. One type for all requests, because a pooled connection is bound to one.
pub struct RequestBody(Kind);

enum Kind {
    Whole(Option<Bytes>),
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError>>>),
}

impl RequestBody {
    /// No body.
    pub fn empty() -> Self {
        Self(Kind::Whole(None))
    }

    /// A body that is sent as it is read, for uploads that should not be held in memory.
    pub fn stream(body: impl HttpBody<Data = Bytes, Error = BoxError> + 'static) -> Self {
        Self(Kind::Stream(Box::pin(body)))
    }
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Whole(if bytes.is_empty() {
            None
        } else {
            Some(bytes)
        }))
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the content: it is the caller's.
        match &self.0 {
            Kind::Whole(bytes) => {
                write!(
                    f,
                    "RequestBody({} bytes)",
                    bytes.as_ref().map_or(0, Bytes::len)
                )
            }
            Kind::Stream(_) => f.write_str("RequestBody(stream)"),
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Kind::Stream(body) => body.size_hint(),
        }
    }
}

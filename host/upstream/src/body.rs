//! A reply's body as it arrives, and the way of its connection back into the pool.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use crate::error::chain;
use crate::lane::{Lane, Link};
use crate::watch::Deadline;

/// Bytes up to which pieces that have arrived together are handed on as one.
const BATCH_MAX_BYTES: usize = 16 * 1024;

/// Why a body ended before its end. What was received before it is good, but not whole.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BodyError {
    /// Nothing came for `idle_stream_ms`.
    #[error("the reply stalled")]
    IdleTimeout,
    /// It was not over within `total_ms`.
    #[error("the reply took longer than allowed")]
    TotalTimeout,
    /// The connection broke, or the framing of the body did.
    #[error("the reply was cut off ({0})")]
    Broken(Box<str>),
}

/// The body of a reply. Read to its end it gives its connection back; dropped earlier it closes
/// the connection (HTTP/1.1) or resets the stream (HTTP/2) at once, so that the provider stops.
///
/// Small pieces that have already arrived, such as the events of a fast stream, come out as one:
/// nothing waits for more, but whoever is behind catches up with one write instead of twenty.
///
/// An HTTP/1.0 style body that ends with its connection cannot be told from one that was cut.
pub struct Body {
    incoming: Incoming,
    idle_stream_ms: u64,
    /// When the whole attempt must be over, by the pool's clock.
    ends_ms: u64,
    /// None once the body has ended.
    open: Option<Open>,
    /// What was met while pieces were being gathered and could not be one of them.
    held: Option<Piece>,
    /// Whether a pause is the reader's business; see [`Body::wait_at_most`].
    patient: bool,
}

struct Open {
    lane: Rc<Lane>,
    link: Link,
    deadline: Deadline,
}

type Piece = Result<Frame<Bytes>, BodyError>;

impl Body {
    pub(crate) fn new(
        incoming: Incoming,
        (idle_stream_ms, ends_ms): (u64, u64),
        lane: Rc<Lane>,
        link: Link,
        deadline: Deadline,
    ) -> Body {
        deadline.extend(idle_stream_ms, ends_ms);
        let open = Some(Open {
            lane,
            link,
            deadline,
        });
        let mut body = Body {
            incoming,
            idle_stream_ms,
            ends_ms,
            open,
            held: None,
            patient: false,
        };
        if body.incoming.is_end_stream() {
            body.finish();
        }
        body
    }

    /// A body that ended before it began: of a 101, whose connection has left HTTP behind.
    pub(crate) fn detached(incoming: Incoming, link: Link) -> Body {
        if let Link::Http1 { connection, .. } = link {
            connection.detach();
        }
        Body {
            incoming,
            idle_stream_ms: u64::MAX,
            ends_ms: u64::MAX,
            open: None,
            held: None,
            patient: false,
        }
    }

    /// What comes from now on is waited for `wait_ms` in all, and when that is over the body is
    /// still good: [`Body::poll_waited`] says so. Until [`Body::wait_as_usual`]. Costs no timer.
    pub fn wait_at_most(&mut self, wait_ms: u64) {
        self.patient = true;
        if let Some(open) = &self.open {
            open.deadline.extend(wait_ms, self.ends_ms);
        }
    }

    /// Ready when the time of [`Body::wait_at_most`] is over. To be asked when the body was pending.
    pub fn poll_waited(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.open {
            Some(open) => open.deadline.poll_passed(cx),
            None => Poll::Pending,
        }
    }

    /// From now on a pause of `idle_stream_ms` ends the body, as it does from the beginning.
    pub fn wait_as_usual(&mut self) {
        self.patient = false;
        if let Some(open) = &self.open {
            open.deadline.extend(self.idle_stream_ms, self.ends_ms);
        }
    }

    /// The next piece as hyper has it. HTTP/1.1 is driven here, by the reader: nobody else could
    /// bring more, so nothing need be woken by the body itself.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let Some(open) = &mut self.open else {
            return Poll::Ready(None);
        };
        let mut incoming = Pin::new(&mut self.incoming);
        let polled = match &mut open.link {
            Link::Http2 { .. } => incoming.poll_frame(cx),
            Link::Http1 { connection, .. } => {
                let mut quiet = Context::from_waker(Waker::noop());
                match incoming.as_mut().poll_frame(&mut quiet) {
                    Poll::Pending => {
                        connection.drive(cx);
                        incoming.poll_frame(&mut quiet)
                    }
                    ready => ready,
                }
            }
        };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                if self.incoming.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(self.broken(&error)))),
            Poll::Ready(None) => {
                // hyper ends a body quietly when its connection broke for another reason.
                let failure = open.link.failure().map(|error| chain(error).into());
                if let Some(failure) = failure {
                    self.open = None;
                    return Poll::Ready(Some(Err(BodyError::Broken(failure))));
                }
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// The body came whole: its connection is free for the next request.
    fn finish(&mut self) {
        let Some(Open {
            lane,
            link,
            deadline,
        }) = self.open.take()
        else {
            return;
        };
        drop(deadline);
        match link {
            Link::Http1 { connection, .. } => lane.put_back(connection),
            Link::Http2 { connection, .. } => connection.touch(lane.now_ms()),
        }
    }

    /// Ends the reply and says which time was up.
    fn out_of_time(&mut self) -> BodyError {
        let open = self.open.take();
        match open.map_or(0, |open| open.lane.now_ms()) >= self.ends_ms {
            true => BodyError::TotalTimeout,
            false => BodyError::IdleTimeout,
        }
    }

    fn broken(&mut self, error: &hyper::Error) -> BodyError {
        self.open = None;
        BodyError::Broken(chain(error).into())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(held) = this.held.take() {
            return Poll::Ready(Some(held));
        }
        let mut batch = Batch::Empty;
        loop {
            match this.poll_piece(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        if !batch.is_empty() && batch.len() + data.len() > BATCH_MAX_BYTES {
                            this.held = Some(Ok(Frame::data(data)));
                            break;
                        }
                        batch.push(data);
                        if this.open.is_none() || batch.len() >= BATCH_MAX_BYTES {
                            break;
                        }
                    }
                    Err(trailers) => {
                        this.held = Some(Ok(trailers));
                        break;
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    this.held = Some(Err(error));
                    break;
                }
                Poll::Ready(None) => break,
                Poll::Pending if batch.is_empty() => {
                    let Some(open) = &this.open else { break };
                    if this.patient {
                        return Poll::Pending;
                    }
                    let passed = open.deadline.poll_passed(cx);
                    return passed.map(|()| Some(Err(this.out_of_time())));
                }
                Poll::Pending => break,
            }
        }
        if let Some(open) = &this.open {
            if open.lane.now_ms() >= this.ends_ms && this.held.is_none() {
                // A reply that always has more never waits, so this is where it is seen.
                this.held = Some(Err(this.out_of_time()));
            } else if !this.patient {
                open.deadline.extend(this.idle_stream_ms, this.ends_ms);
            }
        }
        Poll::Ready(match batch.finish() {
            Some(data) => Some(Ok(Frame::data(data))),
            None => this.held.take(),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.open.is_none() && self.held.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self
            .held
            .as_ref()
            .and_then(|held| held.as_ref().ok()?.data_ref().map(Bytes::len));
        match (self.incoming.size_hint().exact(), held) {
            (Some(rest), held) => SizeHint::with_exact(rest + held.unwrap_or(0) as u64),
            (None, _) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("ended", &self.open.is_none())
            .finish_non_exhaustive()
    }
}

/// Pieces that go on as one. A single piece is not copied.
enum Batch {
    Empty,
    One(Bytes),
    Many(BytesMut),
}

impl Batch {
    fn is_empty(&self) -> bool {
        matches!(self, Batch::Empty)
    }

    fn len(&self) -> usize {
        match self {
            Batch::Empty => 0,
            Batch::One(data) => data.len(),
            Batch::Many(data) => data.len(),
        }
    }

    fn push(&mut self, data: Bytes) {
        match self {
            Batch::Empty => *self = Batch::One(data),
            Batch::One(first) => {
                // Where there are two there are mostly many, about as long as these.
                let room = (16 * data.len()).clamp(first.len() + data.len(), BATCH_MAX_BYTES);
                let mut many = BytesMut::with_capacity(room);
                many.extend_from_slice(first);
                many.extend_from_slice(&data);
                *self = Batch::Many(many);
            }
            Batch::Many(many) => many.extend_from_slice(&data),
        }
    }

    fn finish(self) -> Option<Bytes> {
        match self {
            Batch::Empty => None,
            Batch::One(data) => Some(data),
            Batch::Many(data) => Some(data.freeze()),
        }
    }
}

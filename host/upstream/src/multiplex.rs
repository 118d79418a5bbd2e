//! The one HTTP/2 connection that all requests to an origin share, and who opens it.
//!
//! Whether an origin speaks HTTP/2 is known only after a TLS handshake. So the first request
//! connects, those that come meanwhile wait for what it finds, and share its failure too: a
//! hundred requests must not try a dead host one after the other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use hyper::client::conn::http2;
use tokio::sync::Notify;

use crate::connect::{Connection, Http1Connection};
use crate::error::SendError;
use crate::lane::Lane;
use crate::request_body::RequestBody;
use crate::settings::Timeouts;

/// What is known of an origin's HTTP/2.
pub(crate) struct Multiplex {
    state: RefCell<State>,
}

enum State {
    /// Nobody has asked yet, or the connection has ended.
    Untried,
    /// A request is connecting.
    Connecting(Rc<Attempt>),
    /// The connection.
    Up(Rc<SharedConnection>),
    /// The origin speaks HTTP/1.1.
    No,
}

#[derive(Default)]
struct Attempt {
    done: Notify,
    failure: RefCell<Option<SendError>>,
}

/// An HTTP/2 connection and when it was last used.
pub(crate) struct SharedConnection {
    sender: http2::SendRequest<RequestBody>,
    last_used_ms: Cell<u64>,
    opened_ms: u64,
}

impl SharedConnection {
    pub(crate) fn sender(&self) -> http2::SendRequest<RequestBody> {
        self.sender.clone()
    }

    pub(crate) fn touch(&self, now_ms: u64) {
        self.last_used_ms.set(now_ms);
    }
}

/// What a request gets here.
pub(crate) enum Joined {
    /// The shared connection.
    Shared {
        connection: Rc<SharedConnection>,
        reused: bool,
    },
    /// The connection that was opened to find out, which turned out to be HTTP/1.1.
    Own(Http1Connection),
    /// Nothing: the origin does not speak HTTP/2.
    Nothing,
}

impl Multiplex {
    pub(crate) fn new(may_share: bool) -> Multiplex {
        Multiplex {
            state: RefCell::new(if may_share { State::Untried } else { State::No }),
        }
    }

    pub(crate) async fn join(
        &self,
        lane: &Rc<Lane>,
        timeouts: &Timeouts,
    ) -> Result<Joined, SendError> {
        loop {
            let attempt = match &*self.state.borrow() {
                State::No => return Ok(Joined::Nothing),
                State::Up(connection)
                    if !connection.sender.is_closed() && !lane.is_old(connection.opened_ms) =>
                {
                    let connection = Rc::clone(connection);
                    connection.touch(lane.now_ms());
                    return Ok(Joined::Shared {
                        connection,
                        reused: true,
                    });
                }
                State::Connecting(attempt) => Some(Rc::clone(attempt)),
                State::Up(_) | State::Untried => None,
            };
            let Some(attempt) = attempt else {
                return self.open(lane, timeouts).await;
            };
            attempt.done.notified().await;
            if let Some(failure) = attempt.failure.borrow().clone() {
                return Err(failure);
            }
        }
    }

    async fn open(&self, lane: &Rc<Lane>, timeouts: &Timeouts) -> Result<Joined, SendError> {
        let attempt = Rc::new(Attempt::default());
        *self.state.borrow_mut() = State::Connecting(Rc::clone(&attempt));
        let unfinished = Unfinished {
            multiplex: self,
            attempt: &attempt,
        };
        match lane.connect(lane.slot(), timeouts).await {
            Ok(Connection::Http2(sender)) => {
                let connection = self.adopt(sender, lane.now_ms());
                drop(unfinished);
                Ok(Joined::Shared {
                    connection,
                    reused: false,
                })
            }
            Ok(Connection::Http1(connection)) => {
                *self.state.borrow_mut() = State::No;
                drop(unfinished);
                Ok(Joined::Own(connection))
            }
            Err(error) => {
                *attempt.failure.borrow_mut() = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Makes a new connection the shared one.
    pub(crate) fn adopt(
        &self,
        sender: http2::SendRequest<RequestBody>,
        now_ms: u64,
    ) -> Rc<SharedConnection> {
        let connection = Rc::new(SharedConnection {
            sender,
            last_used_ms: Cell::new(now_ms),
            opened_ms: now_ms,
        });
        *self.state.borrow_mut() = State::Up(Rc::clone(&connection));
        connection
    }

    /// Lets go of the connection if nobody uses it and nobody has since `oldest_ms`.
    pub(crate) fn reap(&self, oldest_ms: u64) {
        let mut state = self.state.borrow_mut();
        if let State::Up(connection) = &*state
            && Rc::strong_count(connection) == 1
            && connection.last_used_ms.get() < oldest_ms
        {
            *state = State::Untried;
        }
    }
}

/// Tells those who wait when connecting ends, also by the connecting client's hanging up.
struct Unfinished<'a> {
    multiplex: &'a Multiplex,
    attempt: &'a Rc<Attempt>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let mut state = self.multiplex.state.borrow_mut();
        if matches!(&*state, State::Connecting(_)) {
            *state = State::Untried;
        }
        self.attempt.done.notify_waiters();
    }
}

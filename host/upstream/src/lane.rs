//! All that one worker has open to one origin: idle connections, the count of open ones, those
//! who wait for one, and the shared HTTP/2 connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Waker};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::oneshot;

use crate::connect::{Connection, Dial, Http1Connection};
use crate::error::SendError;
use crate::multiplex::{Joined, Multiplex, SharedConnection};
use crate::origin::{Http2, Origin, Scheme};
use crate::request_body::RequestBody;
use crate::resolve::Resolver;
use crate::settings::{PoolSettings, Timeouts};
use crate::stats::Stats;
use crate::tls::Tls;
use crate::watch::Watch;

/// The connections to one origin.
pub(crate) struct Lane {
    origin: Origin,
    settings: PoolSettings,
    tls: Tls,
    stats: Arc<Stats>,
    watch: Rc<Watch>,
    resolver: Rc<Resolver>,
    idle: RefCell<Vec<Idle>>,
    open: Cell<usize>,
    waiting: RefCell<VecDeque<oneshot::Sender<Grant>>>,
    pub(crate) multiplex: Multiplex,
}

struct Idle {
    connection: Http1Connection,
    since_ms: u64,
}

/// What somebody who waited gets: a connection that was put back, or the right to open one.
enum Grant {
    Connection(Http1Connection),
    Slot(Slot),
}

/// A connection for one request.
pub(crate) enum Link {
    Http1 {
        connection: Http1Connection,
        reused: bool,
    },
    Http2 {
        connection: Rc<SharedConnection>,
        reused: bool,
    },
}

/// A request that got no reply, with the request itself if none of it was sent.
pub(crate) struct Unanswered {
    pub(crate) error: SendError,
    pub(crate) request: Option<Request<RequestBody>>,
}

impl Link {
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Link::Http1 { reused, .. } | Link::Http2 { reused, .. } => *reused,
        }
    }

    /// Sends the request and waits for the head of the reply.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Box<Unanswered>> {
        let reused = self.is_reused();
        let result = match self {
            Link::Http1 { connection, .. } => {
                let mut reply = pin!(connection.sender.try_send_request(request));
                poll_fn(|cx| {
                    connection.drive(cx);
                    // The reply can only have come by driving, so nothing need be woken for it.
                    reply.as_mut().poll(&mut Context::from_waker(Waker::noop()))
                })
                .await
            }
            Link::Http2 { connection, .. } => connection.sender().try_send_request(request).await,
        };
        result.map_err(|mut refused| {
            let request = refused.take_message();
            let error = SendError::from_hyper(&refused.into_error(), request.is_none(), reused);
            Box::new(Unanswered { error, request })
        })
    }

    /// Why the connection ended, if that may have cut a reply short without a word from hyper.
    pub(crate) fn failure(&self) -> Option<&hyper::Error> {
        match self {
            Link::Http1 { connection, .. } => connection.failure(),
            Link::Http2 { .. } => None,
        }
    }
}

impl Lane {
    pub(crate) fn new(
        origin: Origin,
        settings: PoolSettings,
        tls: Tls,
        stats: Arc<Stats>,
        watch: Rc<Watch>,
        resolver: Rc<Resolver>,
    ) -> Rc<Lane> {
        let may_share = match (origin.http2(), origin.scheme()) {
            (Http2::PriorKnowledge, _) | (Http2::Auto, Scheme::Https) => true,
            (Http2::Auto, Scheme::Http) | (Http2::Never, _) => false,
        };
        Rc::new(Lane {
            origin,
            settings,
            tls,
            stats,
            watch,
            resolver,
            idle: RefCell::default(),
            open: Cell::new(0),
            waiting: RefCell::default(),
            multiplex: Multiplex::new(may_share),
        })
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A connection: the shared one, an idle one, a new one, or the next that becomes free.
    /// `connecting` is told when opening one begins (true) and ends (false).
    pub(crate) async fn link(
        self: &Rc<Self>,
        timeouts: &Timeouts,
        connecting: impl Fn(bool),
    ) -> Result<Link, SendError> {
        // Whoever waits for somebody else's handshake is connecting, too.
        connecting(true);
        let joined = self.multiplex.join(self, timeouts).await?;
        connecting(false);
        match joined {
            Joined::Shared { connection, reused } => return Ok(Link::Http2 { connection, reused }),
            Joined::Own(connection) => {
                return Ok(Link::Http1 {
                    connection,
                    reused: false,
                });
            }
            Joined::Nothing => {}
        }
        loop {
            if let Some(connection) = self.take_idle() {
                return Ok(Link::Http1 {
                    connection,
                    reused: true,
                });
            }
            let slot = match self.free_slot() {
                Some(slot) => slot,
                None => match self.wait().await {
                    Some(Grant::Slot(slot)) => slot,
                    Some(Grant::Connection(mut connection)) => {
                        if poll_fn(|cx| connection.sender.poll_ready(cx))
                            .await
                            .is_err()
                        {
                            continue;
                        }
                        return Ok(Link::Http1 {
                            connection,
                            reused: true,
                        });
                    }
                    None => continue,
                },
            };
            connecting(true);
            let connection = self.connect(slot, timeouts).await?;
            connecting(false);
            return Ok(match connection {
                Connection::Http1(connection) => Link::Http1 {
                    connection,
                    reused: false,
                },
                Connection::Http2(sender) => Link::Http2 {
                    connection: self.multiplex.adopt(sender, self.now_ms()),
                    reused: false,
                },
            });
        }
    }

    pub(crate) async fn connect(
        &self,
        slot: Slot,
        timeouts: &Timeouts,
    ) -> Result<Connection, SendError> {
        let dial = Dial {
            origin: &self.origin,
            tls: self.origin.tls().unwrap_or(&self.tls),
            resolver: &self.resolver,
            settings: &self.settings,
            timeouts,
            now_ms: self.now_ms(),
        };
        dial.connect(slot).await
    }

    /// Takes back a connection whose reply was read to its end. One that is not ready for the next
    /// request then (closing, or still sending an upload that the reply did not wait for) is closed,
    /// and so is one that has become old.
    pub(crate) fn put_back(&self, mut connection: Http1Connection) {
        if self.is_old(connection.opened_ms) || !connection.is_ready() {
            return;
        }
        while let Some(waiting) = self.next_waiting() {
            match waiting.send(Grant::Connection(connection)) {
                Ok(()) => return,
                Err(Grant::Connection(back)) => connection = back,
                Err(Grant::Slot(_)) => return,
            }
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.settings.idle_per_origin_max {
            idle.push(Idle {
                connection,
                since_ms: self.watch.now_ms(),
            });
            self.stats.idle_added();
        }
    }

    /// The connection that was used last, so that in quiet times the others grow old and go.
    fn take_idle(&self) -> Option<Http1Connection> {
        loop {
            // The borrow ends before a closed connection is dropped, whose slot looks in here.
            let mut last = self.idle.borrow_mut().pop()?;
            self.stats.idle_removed(1);
            if !self.is_old(last.connection.opened_ms) && last.connection.is_ready() {
                return Some(last.connection);
            }
        }
    }

    async fn wait(&self) -> Option<Grant> {
        let (grant, granted) = oneshot::channel();
        self.waiting.borrow_mut().push_back(grant);
        granted.await.ok()
    }

    fn next_waiting(&self) -> Option<oneshot::Sender<Grant>> {
        let mut waiting = self.waiting.borrow_mut();
        loop {
            let next = waiting.pop_front()?;
            if !next.is_closed() {
                return Some(next);
            }
        }
    }

    fn free_slot(self: &Rc<Self>) -> Option<Slot> {
        (self.open.get() < self.settings.connections_per_origin_max).then(|| self.slot())
    }

    /// A slot without a look at the limit; for the one connection that all requests share.
    pub(crate) fn slot(self: &Rc<Self>) -> Slot {
        self.open.set(self.open.get() + 1);
        self.stats.opened();
        Slot {
            lane: Rc::downgrade(self),
            stats: Arc::clone(&self.stats),
        }
    }

    /// Closes what has been idle too long. True if nothing is left here.
    pub(crate) fn reap(&self, now_ms: u64) -> bool {
        let oldest_ms = now_ms.saturating_sub(self.settings.idle_ms);
        self.drop_idle(|idle| {
            idle.since_ms < oldest_ms
                || self.is_old(idle.connection.opened_ms)
                || !idle.connection.is_ready()
        });
        self.multiplex.reap(oldest_ms);
        self.open.get() == 0
    }

    /// Closes every connection that nobody uses.
    pub(crate) fn close_idle(&self) {
        self.drop_idle(|_| true);
        self.multiplex.reap(u64::MAX);
    }

    fn drop_idle(&self, unwanted: impl Fn(&mut Idle) -> bool) {
        let removed: Vec<Idle> = self
            .idle
            .borrow_mut()
            .extract_if(.., |idle| unwanted(idle))
            .collect();
        self.stats.idle_removed(removed.len() as u64);
    }

    /// Whether a connection that was opened then is to take no further request.
    pub(crate) fn is_old(&self, opened_ms: u64) -> bool {
        self.now_ms().saturating_sub(opened_ms) >= self.settings.connection_max_age_ms
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.watch.now_ms()
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.stats.idle_removed(self.idle.borrow().len() as u64);
    }
}

/// The right to have one connection open. Whoever waits for one gets it when it is dropped.
pub(crate) struct Slot {
    // Weak, because the lane holds connections whose tasks hold their slots.
    lane: Weak<Lane>,
    stats: Arc<Stats>,
}

impl Slot {
    pub(crate) fn connected(&self) {
        self.stats.count_connect();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.stats.closed();
        let Some(lane) = self.lane.upgrade() else {
            return;
        };
        lane.open.set(lane.open.get().saturating_sub(1));
        if lane.open.get() < lane.settings.connections_per_origin_max
            && let Some(waiting) = lane.next_waiting()
        {
            // If it has gone meanwhile, the slot comes back and its own drop tries the next one.
            drop(waiting.send(Grant::Slot(lane.slot())));
        }
    }
}

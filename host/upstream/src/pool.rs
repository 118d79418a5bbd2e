//! One worker's way out: takes a request and brings the reply, on whichever connection is best.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::hash::BuildHasherDefault;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;

use crate::body::Body;
use crate::error::{SendError, SendErrorKind};
use crate::lane::{Lane, Link};
use crate::origin::{CarriedHash, Origin, Scheme};
use crate::request_body::RequestBody;
use crate::resolve::{Lookup, Resolver, by_system};
use crate::settings::{PoolSettings, Timeouts};
use crate::stats::Stats;
use crate::tls::Tls;
use crate::watch::Watch;

/// Milliseconds between two searches for connections that have been idle too long.
const REAP_MS: u64 = 1_000;

/// The connections of one worker. A clone is the same pool.
#[derive(Clone)]
pub struct Pool {
    inner: Rc<Inner>,
}

struct Inner {
    settings: PoolSettings,
    tls: Tls,
    stats: Arc<Stats>,
    watch: Rc<Watch>,
    resolver: Rc<Resolver>,
    lanes: RefCell<HashMap<Origin, Rc<Lane>, BuildHasherDefault<CarriedHash>>>,
}

/// How far an exchange got, to say the right thing if time runs out.
#[derive(Clone, Copy)]
enum Stage {
    Waiting,
    Connecting,
    Sent { reused: bool },
}

impl Pool {
    /// A pool without connections.
    ///
    /// # Panics
    /// Outside a `LocalRuntime` or `LocalSet`, because it starts the task that watches timeouts.
    pub fn new(settings: PoolSettings, tls: Tls) -> Pool {
        Pool::with_lookup(settings, tls, by_system())
    }

    /// The same with another way to look up names.
    fn with_lookup(settings: PoolSettings, tls: Tls, lookup: Lookup) -> Pool {
        let watch = Watch::new();
        let resolver = Resolver::new(Rc::clone(&watch), settings.dns_cache_ms, lookup);
        let inner = Rc::new(Inner {
            settings,
            tls,
            stats: Arc::default(),
            watch,
            resolver: Rc::new(resolver),
            lanes: RefCell::default(),
        });
        tokio::task::spawn_local(look_after(Rc::clone(&inner.watch), Rc::downgrade(&inner)));
        Pool { inner }
    }

    /// Sends `request` to `origin` and returns as soon as the head of the reply is there. Dropping
    /// the future gives the request up and closes what was used for it.
    ///
    /// The request's URI needs a path and query only; `Host` (or `:authority`) is set here unless
    /// there is one. Headers that belong to one connection (`connection`, `te`,
    /// `transfer-encoding`, …) are the caller's to remove, in both directions.
    ///
    /// A request that a pooled connection refused before any of it was sent goes out once more, on
    /// another connection; nothing else is ever repeated. After `101 Switching Protocols` the two
    /// ends are got with `hyper::upgrade::on`.
    pub async fn send(
        &self,
        origin: &Origin,
        request: Request<RequestBody>,
        timeouts: &Timeouts,
    ) -> Result<Response<Body>, SendError> {
        let lane = self.inner.lane(origin);
        let head_ms = timeouts.first_byte_ms.min(timeouts.total_ms);
        let deadline = self.inner.watch.arm(head_ms);
        let ends_ms = self.inner.watch.now_ms().saturating_add(timeouts.total_ms);
        let stage = Cell::new(Stage::Waiting);
        let (response, link) = {
            let mut exchange = pin!(exchange(
                &lane,
                &self.inner.stats,
                request,
                timeouts,
                &stage
            ));
            poll_fn(|cx| match exchange.as_mut().poll(cx) {
                Poll::Ready(result) => Poll::Ready(result),
                Poll::Pending => deadline
                    .poll_passed(cx)
                    .map(|()| Err(out_of_time(stage.get(), timeouts))),
            })
            .await?
        };
        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        Ok(response.map(|incoming| {
            if upgraded {
                Body::detached(incoming, link)
            } else {
                let times = (timeouts.idle_stream_ms, ends_ms);
                Body::new(incoming, times, lane, link, deadline)
            }
        }))
    }

    /// Closes every connection that no exchange uses at this moment.
    pub fn close_idle(&self) {
        for lane in self.inner.lanes.borrow().values() {
            lane.close_idle();
        }
    }

    /// The pool's counters, to be read from any thread.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.inner.stats)
    }
}

impl Inner {
    fn lane(&self, origin: &Origin) -> Rc<Lane> {
        if let Some(lane) = self.lanes.borrow().get(origin) {
            return Rc::clone(lane);
        }
        let lane = Lane::new(
            origin.clone(),
            self.settings,
            self.tls.clone(),
            Arc::clone(&self.stats),
            Rc::clone(&self.watch),
            Rc::clone(&self.resolver),
        );
        self.lanes
            .borrow_mut()
            .insert(origin.clone(), Rc::clone(&lane));
        lane
    }

    /// Closes what is old and forgets origins that nobody uses.
    fn reap(&self, now_ms: u64) {
        let mut lanes = self.lanes.borrow_mut();
        lanes.retain(|_, lane| !(lane.reap(now_ms) && Rc::strong_count(lane) == 1));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // So that the pool's task sees that there is no pool any more.
        self.watch.stir();
    }
}

/// The pool's own task: the clock of all deadlines, and the end of old connections. Ends with the
/// pool and its last exchange.
async fn look_after(watch: Rc<Watch>, pool: Weak<Inner>) {
    let mut rest_ms = None;
    let mut reap_at_ms = 0;
    loop {
        watch.tick(rest_ms).await;
        let Some(pool) = pool.upgrade() else {
            // Streams that began with this pool still want their timeouts.
            if watch.is_idle() {
                return;
            }
            rest_ms = Some(REAP_MS);
            continue;
        };
        if watch.now_ms() >= reap_at_ms {
            pool.reap(watch.now_ms());
            reap_at_ms = watch.now_ms().saturating_add(REAP_MS);
        }
        rest_ms = (!pool.lanes.borrow().is_empty()).then_some(REAP_MS);
    }
}

async fn exchange(
    lane: &Rc<Lane>,
    stats: &Stats,
    mut request: Request<RequestBody>,
    timeouts: &Timeouts,
    stage: &Cell<Stage>,
) -> Result<(Response<Incoming>, Link), SendError> {
    let mut may_repeat = true;
    loop {
        stage.set(Stage::Waiting);
        let connecting = |begins| {
            stage.set(if begins {
                Stage::Connecting
            } else {
                Stage::Waiting
            })
        };
        let mut link = lane.link(timeouts, connecting).await?;
        address(&mut request, lane.origin(), &link);
        let reused = link.is_reused();
        stage.set(Stage::Sent { reused });
        if reused {
            stats.count_reuse();
        }
        match link.send(request).await {
            Ok(response) => return Ok((response, link)),
            Err(unanswered) => match unanswered.request {
                Some(back) if reused && may_repeat => {
                    may_repeat = false;
                    request = back;
                }
                _ => return Err(unanswered.error),
            },
        }
    }
}

/// Writes where the request goes in the way the connection's protocol wants it.
fn address(request: &mut Request<RequestBody>, origin: &Origin, link: &Link) {
    match link {
        Link::Http1 { .. } => {
            *request.version_mut() = Version::HTTP_11;
            if request.uri().authority().is_some() {
                let path = path_of(request.uri());
                *request.uri_mut() = Uri::from(path);
            }
            if !request.headers().contains_key(HOST) {
                request
                    .headers_mut()
                    .insert(HOST, origin.host_header().clone());
            }
        }
        Link::Http2 { .. } => {
            *request.version_mut() = Version::HTTP_2;
            request.headers_mut().remove(HOST);
            let mut parts = http::uri::Parts::default();
            parts.scheme = Some(match origin.scheme() {
                Scheme::Http => http::uri::Scheme::HTTP,
                Scheme::Https => http::uri::Scheme::HTTPS,
            });
            parts.authority = Some(origin.authority().clone());
            parts.path_and_query = Some(path_of(request.uri()));
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
    }
}

fn path_of(uri: &Uri) -> PathAndQuery {
    uri.path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
}

fn out_of_time(stage: Stage, timeouts: &Timeouts) -> SendError {
    match stage {
        Stage::Sent { reused } if timeouts.total_ms < timeouts.first_byte_ms => {
            SendError::unanswered(SendErrorKind::TotalTimeout, reused)
        }
        Stage::Waiting => SendError::unsent(SendErrorKind::TooManyConnections),
        Stage::Connecting => SendError::unsent(SendErrorKind::ConnectTimeout),
        Stage::Sent { reused } => SendError::unanswered(SendErrorKind::FirstByteTimeout, reused),
    }
}

#[cfg(test)]
mod tests;

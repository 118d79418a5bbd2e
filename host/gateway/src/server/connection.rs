//! One connection after another: accept, bounds, and what becomes of a request.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request as HttpRequest, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch::Receiver;
use tower::ServiceExt;

use super::ServerParts;
use super::watch::{End, Request, TICK_MS, Watch, WatchedIo};
use crate::pipeline::{self, ReplyBody, Worker};

/// hyper's own bound on header lines; another one costs an allocation for each request.
const HYPER_HEADERS: usize = 100;
/// hyper takes no smaller buffer.
const HEAD_BYTES_MIN: usize = 8_192;

/// What the connections of one worker share.
pub struct Site {
    worker: Rc<Worker>,
    watch: Watch,
    builder: auto::Builder<LocalExecutor>,
    admin: axum::Router,
    serves_admin: bool,
    background: Handle,
    connections: Arc<AtomicUsize>,
}

/// Runs hyper's tasks on the worker's own thread.
#[derive(Debug, Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

impl Site {
    /// The site of one worker.
    pub fn new(worker: Rc<Worker>, parts: &ServerParts, connections: Arc<AtomicUsize>) -> Self {
        let config = &worker.snapshot().config;
        let mut builder = auto::Builder::new(LocalExecutor);
        builder
            .http1()
            .header_read_timeout(None)
            .max_buf_size(config.limits.header_max_bytes.max(HEAD_BYTES_MIN));
        if config.limits.header_max_count != HYPER_HEADERS {
            builder.http1().max_headers(config.limits.header_max_count);
        }
        let list_bytes = u32::try_from(config.limits.header_max_bytes).unwrap_or(u32::MAX);
        builder.http2().max_header_list_size(list_bytes);
        Self {
            worker,
            watch: Watch::new(),
            builder,
            admin: parts.admin.clone(),
            serves_admin: parts.serves_admin,
            background: parts.background.clone(),
            connections,
        }
    }
}

/// Accepts connections until told to stop, then waits until those that are open have ended, or
/// nobody waits any more.
pub async fn accept(site: Rc<Site>, listener: TcpListener, mut stopping: Receiver<bool>) {
    tokio::task::spawn_local(look_after(Rc::clone(&site)));
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopping.changed() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => take(&site, stream, peer),
            // Out of file descriptors, mostly: accepting again at once would spin.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    site.watch.end_all();
    // Fails when the server lets go of its end: the time is up.
    while stopping.changed().await.is_ok() {}
}

async fn look_after(site: Rc<Site>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
    loop {
        ticks.tick().await;
        let snapshot = site.worker.snapshot();
        site.watch.look(
            snapshot.config.limits.header_timeout_ms,
            snapshot.config.limits.idle_timeout_ms,
        );
        site.worker.policies.sweep();
    }
}

/// A new connection: served, or turned away where there are too many.
fn take(site: &Rc<Site>, stream: TcpStream, peer: SocketAddr) {
    let max = site.worker.snapshot().config.limits.connections_max;
    if site.connections.fetch_add(1, Ordering::AcqRel) >= max {
        site.connections.fetch_sub(1, Ordering::AcqRel);
        turn_away(&stream, max);
        return;
    }
    site.worker.shared.metrics.connection_opened();
    // Small pieces of a stream must leave at once.
    let _ = stream.set_nodelay(true);
    let site = Rc::clone(site);
    tokio::task::spawn_local(async move {
        serve(&site, stream, peer).await;
        site.worker.shared.metrics.connection_closed();
        site.connections.fetch_sub(1, Ordering::AcqRel);
    });
}

/// Says why, as far as the socket takes it at once.
fn turn_away(stream: &TcpStream, max: usize) {
    let body = format!(
        r#"{{"error":{{"code":"too_many_connections","type":"server_error","message":"The gateway serves {max} connections at most; close some, or try again later."}}}}"#
    );
    let reply = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.try_write(reply.as_bytes());
}

async fn serve(site: &Rc<Site>, stream: TcpStream, peer: SocketAddr) {
    let watched = site.watch.add();
    let io = WatchedIo::new(TokioIo::new(stream), Rc::clone(&watched));
    let service = service_fn(|request| {
        let under_way = watched.begin();
        let site = Rc::clone(site);
        async move {
            let reply = answer(&site, peer, request).await;
            Ok::<_, Infallible>(reply.map(|body| Tracked {
                body,
                _under_way: under_way,
            }))
        }
    });
    let mut connection = pin!(site.builder.serve_connection(io, service));
    let mut told = pin!(watched.told());
    let ended = tokio::select! {
        biased;
        result = connection.as_mut() => Ended::Itself(result),
        end = told.as_mut() => Ended::Told(end),
    };
    let result = match ended {
        Ended::Itself(result) => result,
        Ended::Told(End::AtOnce) => return,
        Ended::Told(End::Graceful) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "a connection ended with an error");
    }
}

enum Ended {
    Itself(Result<(), Box<dyn std::error::Error + Send + Sync>>),
    Told(End),
}

/// A caller's request goes into the pipeline, an operator's to the admin API.
async fn answer(
    site: &Rc<Site>,
    peer: SocketAddr,
    request: HttpRequest<Incoming>,
) -> Response<ReplyBody> {
    if is_admin(request.uri().path(), site.serves_admin) {
        let (router, request) = (site.admin.clone(), request.map(axum::body::Body::new));
        // On another runtime: whatever an operator asks for must not hold up calls.
        let answered = site.background.spawn(router.oneshot(request)).await;
        return match answered {
            Ok(Ok(reply)) => reply.map(ReplyBody::admin),
            Ok(Err(never)) => match never {},
            Err(_) => {
                let mut reply = Response::new(ReplyBody::full(Bytes::new()));
                *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                reply
            }
        };
    }
    pipeline::handle(&site.worker, peer, request).await
}

fn is_admin(path: &str, serves_admin: bool) -> bool {
    // Callers' paths first: there are so many more of them.
    !path.starts_with("/v1")
        && (matches!(path, "/healthz" | "/readyz")
            || (serves_admin && (path == "/metrics" || path.starts_with("/admin/"))))
}

/// A reply's body that tells the watch when it is done.
struct Tracked {
    body: ReplyBody,
    _under_way: Request,
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = pipeline::Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

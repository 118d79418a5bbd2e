//! From an origin to a connection that speaks HTTP: lookup, TCP, the proxy's tunnel, TLS, handshake.
//!
//! An HTTP/2 connection gets one task that drives it, because many share it; an HTTP/1.1 connection
//! is driven by whoever uses it. Either holds its [`Slot`] to the end, so what counts as open is
//! what really is.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use crate::error::{SendError, SendErrorKind};
use crate::lane::Slot;
use crate::origin::{Http2, Origin, Scheme};
use crate::proxy::Proxy;
use crate::request_body::RequestBody;
use crate::resolve::Resolver;
use crate::settings::{PoolSettings, Timeouts};
use crate::tls::Tls;

/// Milliseconds after which the next address is tried beside the one that has not answered yet
/// (RFC 8305 recommends 250).
const NEXT_ADDRESS_MS: u64 = 250;

/// Bytes that one HTTP/2 stream, and one HTTP/2 connection, may have on the way to us. A stream's
/// is what a slow client can make us hold; a connection's is large enough that a hundred slow
/// clients do not stop the others that share it.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;

/// A new connection.
pub(crate) enum Connection {
    Http1(Http1Connection),
    Http2(http2::SendRequest<RequestBody>),
}

/// An HTTP/1.1 connection. It has no task: whoever waits for its reply drives it, so that a piece
/// of a reply costs no switch between tasks, and all that has arrived is there to be taken at once.
/// Dropping it closes the socket, also in the middle of a reply, and the provider stops.
pub(crate) struct Http1Connection {
    pub(crate) sender: http1::SendRequest<RequestBody>,
    /// None once the connection has ended.
    machine: Option<Pin<Box<dyn Future<Output = hyper::Result<()>>>>>,
    /// Why it ended, if that may have cut a reply short.
    failure: Option<hyper::Error>,
    /// By the pool's clock.
    pub(crate) opened_ms: u64,
    _slot: Slot,
}

impl Http1Connection {
    /// Writes what is to be written and reads what has arrived. Afterwards the task of `cx` is
    /// woken when there is more.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        let Some(machine) = &mut self.machine else {
            return;
        };
        if let Poll::Ready(result) = machine.as_mut().poll(cx) {
            self.machine = None;
            self.failure = result.err().filter(cuts_short);
        }
    }

    /// True if it waits for a request, as far as is known: what the operating system has heard
    /// from the other side is looked at, so a goodbye is seen here.
    pub(crate) fn is_ready(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.sender.is_ready()
    }

    pub(crate) fn failure(&self) -> Option<&hyper::Error> {
        self.failure.as_ref()
    }

    /// Lets the connection live on in a task after a protocol upgrade (101); its two ends are with
    /// the caller then.
    pub(crate) fn detach(self) {
        let Some(machine) = self.machine else { return };
        tokio::task::spawn_local(async move { drop(machine.await) });
    }
}

/// Tells an error that a reply may have been cut by from one that came after its end: a failed
/// goodbye, or bytes that nobody asked for.
fn cuts_short(error: &hyper::Error) -> bool {
    let is_io = error
        .source()
        .is_some_and(|source| source.is::<io::Error>());
    error.is_user() || error.is_incomplete_message() || (is_io && !error.is_shutdown())
}

/// How a new connection is made.
pub(crate) struct Dial<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) tls: &'a Tls,
    pub(crate) resolver: &'a Resolver,
    pub(crate) settings: &'a PoolSettings,
    pub(crate) timeouts: &'a Timeouts,
    /// By the pool's clock.
    pub(crate) now_ms: u64,
}

impl Dial<'_> {
    /// Opens a connection to the origin, each step in its own time.
    pub(crate) async fn connect(&self, slot: Slot) -> Result<Connection, SendError> {
        let stream = self.reach().await?;
        let http2_known = self.origin.http2() == Http2::PriorKnowledge;
        match self.origin.scheme() {
            Scheme::Http if http2_known => self.http2(TokioIo::new(stream), slot).await,
            Scheme::Http => self.http1(TokioIo::new(stream), slot).await,
            Scheme::Https => {
                let stream = self.encrypt(stream).await?;
                let agreed_on_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                if agreed_on_http2 || http2_known {
                    self.http2(TokioIo::new(stream), slot).await
                } else {
                    self.http1(TokioIo::new(stream), slot).await
                }
            }
        }
    }

    /// A connection to the host, straight or through the proxy.
    async fn reach(&self) -> Result<TcpStream, SendError> {
        let within = Duration::from_millis(self.timeouts.connect_ms);
        // None where the time has no end that the clock could show.
        let end = Instant::now().checked_add(within);
        let proxy = self.origin.proxy();
        let to = if proxy.is_some() { "to the proxy" } else { "" };
        let connecting = async {
            match proxy {
                None => {
                    let origin = self.origin;
                    self.tcp(origin.host(), origin.address(), origin.port())
                        .await
                }
                Some(proxy) => self.to_proxy(proxy).await,
            }
        };
        let connected = before(end, connecting, SendErrorKind::ConnectTimeout, to).await;
        if connected.is_err() {
            // The name may lead elsewhere by now.
            let asked = proxy.map_or(self.origin.host(), Proxy::host);
            self.resolver.forget(asked);
        }
        let stream = connected?;
        // Requests leave in one write; waiting for more to send would only delay them.
        stream
            .set_nodelay(true)
            .map_err(|error| SendError::connecting(&error))?;
        let Some(proxy) = proxy else {
            return Ok(stream);
        };
        let tunnel = proxy.tunnel(stream, self.origin);
        before(
            end,
            tunnel,
            SendErrorKind::ConnectTimeout,
            "through the proxy",
        )
        .await
    }

    async fn to_proxy(&self, proxy: &Proxy) -> Result<TcpStream, SendError> {
        let reached = self.tcp(proxy.host(), proxy.address(), proxy.port()).await;
        reached.map_err(|error| SendError::said(SendErrorKind::Proxy, &error.to_string()))
    }

    /// The first address that answers, tried in order with a head start each.
    async fn tcp(
        &self,
        host: &str,
        address: Option<IpAddr>,
        port: u16,
    ) -> Result<TcpStream, SendError> {
        if let Some(address) = address {
            let connected = TcpStream::connect((address, port)).await;
            return connected.map_err(|error| SendError::connecting(&error));
        }
        let addresses = self
            .resolver
            .resolve(host)
            .await
            .map_err(|error| SendError::because(SendErrorKind::Dns, &*error))?;
        let mut untried = addresses.iter();
        let mut attempts = FuturesUnordered::new();
        let mut failure: Option<io::Error> = None;
        loop {
            let head_start = match untried.next() {
                Some(address) => {
                    let mut address = *address;
                    address.set_port(port);
                    attempts.push(TcpStream::connect(address));
                    Duration::from_millis(NEXT_ADDRESS_MS)
                }
                None if attempts.is_empty() => {
                    return Err(match failure {
                        Some(error) => SendError::connecting(&error),
                        None => SendError::unsent(SendErrorKind::Dns),
                    });
                }
                // None is left to be tried, so there is nothing to wake up for but an answer.
                None => Duration::MAX,
            };
            match tokio::time::timeout(head_start, attempts.next()).await {
                Ok(Some(Ok(stream))) => return Ok(stream),
                Ok(Some(Err(error))) => failure = Some(error),
                Ok(None) | Err(_) => {}
            }
        }
    }

    async fn encrypt(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, SendError> {
        let name = self.origin.server_name().clone();
        let connector = self.tls.connector(self.origin.http2());
        let handshake = async {
            let shaken = connector.connect(name, stream).await;
            shaken.map_err(|error| SendError::encrypting(&error))
        };
        let within = Duration::from_millis(self.timeouts.tls_ms);
        let end = Instant::now().checked_add(within);
        before(end, handshake, SendErrorKind::TlsTimeout, "").await
    }

    async fn http1<T>(&self, io: T, slot: Slot) -> Result<Connection, SendError>
    where
        T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        // max_headers stays at hyper's 100: any setting of it moves the parser's table to the heap.
        let (sender, connection) = http1::Builder::new()
            .max_header_size(self.settings.head_max_bytes)
            .handshake(io)
            .await
            .map_err(|error| SendError::from_hyper(&error, false, false))?;
        slot.connected();
        Ok(Connection::Http1(Http1Connection {
            sender,
            machine: Some(Box::pin(connection.with_upgrades())),
            failure: None,
            opened_ms: self.now_ms,
            _slot: slot,
        }))
    }

    async fn http2<T>(&self, io: T, slot: Slot) -> Result<Connection, SendError>
    where
        T: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    {
        let ping_ms = self.settings.http2_ping_ms;
        let list_max = u32::try_from(self.settings.head_max_bytes).unwrap_or(u32::MAX);
        let (sender, connection) = http2::Builder::new(OnThisThread)
            .timer(TokioTimer::new())
            .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
            .max_header_list_size(list_max)
            .keep_alive_interval(Duration::from_millis(ping_ms))
            .keep_alive_timeout(Duration::from_millis(ping_ms / 2))
            .handshake(io)
            .await
            .map_err(|error| SendError::from_hyper(&error, false, false))?;
        slot.connected();
        tokio::task::spawn_local(async move {
            // Its result is not looked at: whoever waits for a reply is told the same by hyper.
            drop(connection.await);
            drop(slot);
        });
        Ok(Connection::Http2(sender))
    }
}

/// What `step` brings before `end`, else the timeout `kind` with `detail`.
async fn before<T>(
    end: Option<Instant>,
    step: impl Future<Output = Result<T, SendError>>,
    kind: SendErrorKind,
    detail: &str,
) -> Result<T, SendError> {
    let Some(end) = end else {
        return step.await;
    };
    let timed = tokio::time::timeout_at(end, step).await;
    timed.unwrap_or_else(|_| {
        Err(if detail.is_empty() {
            SendError::unsent(kind)
        } else {
            SendError::said(kind, detail)
        })
    })
}

/// Runs what hyper wants run beside an HTTP/2 connection on the worker's own thread.
#[derive(Clone, Copy)]
pub(crate) struct OnThisThread;

impl<F> Executor<F> for OnThisThread
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

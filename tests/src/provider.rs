//! A provider: a plain HTTP server in the test's process that answers what it is told and keeps
//! what it was asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::RUNTIME;
use crate::script::{Answer, End};

/// One request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The version of HTTP, for example `HTTP/1.1`.
    pub version: String,
}

impl Seen {
    /// The provider key that it came with, wherever that stood.
    pub fn key(&self) -> &str {
        let bearer = self.header("authorization").strip_prefix("Bearer ");
        let in_headers = ["x-api-key", "x-goog-api-key"].map(|name| self.header(name));
        bearer
            .or_else(|| in_headers.into_iter().find(|key| !key.is_empty()))
            .unwrap_or_default()
    }

    /// A header, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

type Answering = Box<dyn Fn(&Seen) -> Answer + Send + Sync>;

struct Shared {
    seen: Mutex<Vec<Seen>>,
    next: Mutex<VecDeque<Answer>>,
    given_up: Mutex<Vec<Instant>>,
    otherwise: Answering,
}

/// A provider on a port of its own, until it is dropped.
pub struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Provider").field(&self.address).finish()
    }
}

impl Provider {
    /// A provider that answers a short chat in OpenAI's dialect, streamed where that was asked for.
    pub fn start() -> Provider {
        Provider::with(|seen| match seen.json()["stream"] {
            Value::Bool(true) => Answer::chat_events("Hello from the provider."),
            _ => Answer::chat("Hello from the provider."),
        })
    }

    /// A provider that always answers the same.
    pub fn always(answer: Answer) -> Provider {
        Provider::with(move |_| answer.clone())
    }

    /// A provider that decides by what it is asked.
    pub fn with(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Provider {
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            next: Mutex::default(),
            given_up: Mutex::default(),
            otherwise: Box::new(answer),
        });
        let listener = RUNTIME
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = RUNTIME.spawn(serve(listener, Arc::clone(&shared)));
        Provider {
            address,
            shared,
            serving,
        }
    }

    /// What it answers first, one after the other, before it goes on as it was started.
    pub fn next(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.shared.next).extend(answers);
    }

    /// A `[[channel]]` that leads here, with one key, `pk-NAME`. `more` are further lines.
    pub fn channel(&self, dialect: &str, name: &str, more: &str) -> String {
        channel(self.address, dialect, name, more)
    }

    /// A `[[channel]]` to a port where nobody listens.
    pub fn nowhere(dialect: &str, name: &str, more: &str) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        channel(
            listener.local_addr().expect("an address"),
            dialect,
            name,
            more,
        )
    }

    /// All requests that came so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// When the gateway gave up answers before their end, by closing the connection or, over HTTP/2,
    /// by resetting the stream.
    pub fn given_up(&self) -> Vec<Instant> {
        lock(&self.shared.given_up).clone()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests came so far.
    pub fn count(&self) -> usize {
        lock(&self.shared.seen).len()
    }

    /// The provider keys of the requests that came so far.
    pub fn keys(&self) -> Vec<String> {
        lock(&self.shared.seen)
            .iter()
            .map(|seen| seen.key().to_owned())
            .collect()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn channel(address: SocketAddr, dialect: &str, name: &str, more: &str) -> String {
    let base = if dialect == "openai" { "/v1" } else { "" };
    let keys = if more.contains("keys =") {
        String::new()
    } else {
        format!("keys = [\"plain:pk-{name}\"]\n")
    };
    format!(
        "\n[[channel]]\nname = \"{name}\"\ndialect = \"{dialect}\"\nbase_url = \"http://{address}{base}\"\n{keys}{more}\n"
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped together with the provider, and its connections with it.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    // A second handle of the socket, to be able to reset it from within a request.
    let Ok(socket) = stream.as_fd().try_clone_to_owned() else {
        return;
    };
    let socket = Arc::new(socket);
    let service = service_fn(|request| answer(request, Arc::clone(&shared), Arc::clone(&socket)));
    // HTTP/1.1, or HTTP/2 where the gateway begins with it.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    socket: Arc<OwnedFd>,
) -> Result<Response<Body>, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let seen = Seen {
        method: head.method.to_string(),
        path: head
            .uri
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default(),
        headers: head.headers,
        body,
        version: format!("{:?}", head.version),
    };
    let next = lock(&shared.next).pop_front();
    let answer = next.unwrap_or_else(|| (shared.otherwise)(&seen));
    lock(&shared.seen).push(seen);
    let mut under_way = UnderWay(Some(Arc::clone(&shared)));
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    match answer.end {
        End::Reset => {
            under_way.is_over();
            let _ = socket2::SockRef::from(&*socket).set_linger(Some(Duration::ZERO));
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        End::Silence => std::future::pending().await,
        End::Whole | End::Cut(_) | End::Stall(_) => {}
    }
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    response
        .body(body_of(answer, under_way))
        .map_err(io::Error::other)
}

/// An answer that has not come to its end. Dropped, it was given up.
struct UnderWay(Option<Arc<Shared>>);

impl UnderWay {
    fn is_over(&mut self) {
        self.0 = None;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            lock(&shared.given_up).push(Instant::now());
        }
    }
}

/// The body in pieces, up to the place where it is to end.
fn body_of(answer: Answer, mut under_way: UnderWay) -> Body {
    let Some(size) = answer
        .chunk_bytes
        .or((answer.end != End::Whole).then_some(64))
    else {
        under_way.is_over();
        return Full::new(answer.body)
            .map_err(|never: Infallible| match never {})
            .boxed_unsync();
    };
    let until = match answer.end {
        End::Cut(at) | End::Stall(at) => at.min(answer.body.len()),
        End::Whole | End::Reset | End::Silence => answer.body.len(),
    };
    let pieces = stream::unfold((0, under_way), move |(at, mut under_way)| {
        let answer = answer.clone();
        async move {
            if !answer.pause.is_zero() {
                tokio::time::sleep(answer.pause).await;
            }
            if at < until {
                let end = until.min(at + size);
                return Some((
                    Ok(Frame::data(answer.body.slice(at..end))),
                    (end, under_way),
                ));
            }
            if answer.end != End::Whole {
                // What was sent before must leave before the connection does.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            match answer.end {
                End::Cut(_) => {
                    under_way.is_over();
                    Some((Err(io::ErrorKind::BrokenPipe.into()), (at, under_way)))
                }
                End::Stall(_) => std::future::pending().await,
                End::Whole | End::Reset | End::Silence => {
                    under_way.is_over();
                    None
                }
            }
        }
    });
    StreamBody::new(pieces).boxed_unsync()
}

//! Against servers in the same process, scripted down to the bytes where that matters.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::body::BodyError;
use crate::origin::Http2;
use crate::tls::TlsSettings;

mod way;

const QUICK: Timeouts = Timeouts {
    connect_ms: 300,
    tls_ms: 300,
    first_byte_ms: 300,
    idle_stream_ms: 200,
    total_ms: 600_000,
};
const PATIENT: Timeouts = Timeouts {
    connect_ms: 10_000,
    tls_ms: 10_000,
    first_byte_ms: 10_000,
    idle_stream_ms: 10_000,
    total_ms: 600_000,
};

fn pool_with(change: impl FnOnce(&mut PoolSettings)) -> Pool {
    let mut settings = PoolSettings::default();
    change(&mut settings);
    Pool::new(settings, Tls::new(&TlsSettings::default()).unwrap())
}

fn pool() -> Pool {
    pool_with(|_| {})
}

fn post(path: &str, body: &'static str) -> Request<RequestBody> {
    Request::post(path)
        .body(Bytes::from_static(body.as_bytes()).into())
        .unwrap()
}

/// Serves each connection with `script`, which gets the connection's number from 1.
async fn server<F>(script: impl Fn(usize, TcpStream) -> F + 'static) -> Origin
where
    F: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::task::spawn_local(async move {
        for number in 1.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(script(number, stream));
        }
    });
    Origin::parse(&format!("http://127.0.0.1:{port}"))
        .unwrap()
        .0
}

/// Reads one request; None at the end of the connection.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece).await.ok()?;
        if count == 0 {
            return None;
        }
        seen.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        }
    }
}

async fn write(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

async fn whole(response: Response<Body>) -> Result<String, BodyError> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

/// True if the client closes within a second.
async fn is_closed_soon(stream: &mut TcpStream) -> bool {
    let mut piece = [0; 64];
    matches!(
        timeout(Duration::from_secs(1), stream.read(&mut piece)).await,
        Ok(Ok(0) | Err(_))
    )
}

#[tokio::test(flavor = "local")]
async fn a_connection_is_used_again_and_the_request_is_what_was_asked() {
    let origin = server(async |number, mut stream| {
        while let Some(text) = request(&mut stream).await {
            let echo = format!("{number} {text}");
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", echo.len());
            write(&mut stream, &(head + &echo)).await;
        }
    })
    .await;
    let pool = pool();
    for _ in 0..3 {
        let response = pool
            .send(&origin, post("/v1/chat?a=b", "hello"), &PATIENT)
            .await
            .unwrap();
        let text = whole(response).await.unwrap();
        assert!(
            text.starts_with("1 POST /v1/chat?a=b HTTP/1.1\r\n"),
            "{text}"
        );
        assert!(
            text.contains(&format!("host: 127.0.0.1:{}\r\n", origin.port())),
            "{text}"
        );
        assert!(text.ends_with("hello"), "{text}");
    }
    let stats = pool.stats();
    assert_eq!(
        (stats.connects(), stats.reused(), stats.open(), stats.idle()),
        (1, 2, 1, 1)
    );
    pool.close_idle();
    sleep(Duration::from_millis(5)).await;
    assert_eq!((stats.open(), stats.idle()), (0, 0));
}

#[tokio::test(flavor = "local")]
async fn chunked_and_empty_replies_give_their_connection_back() {
    let origin = server(async |_, mut stream| {
        while let Some(text) = request(&mut stream).await {
            let reply = if text.contains("/empty") {
                "HTTP/1.1 204 No Content\r\n\r\n"
            } else {
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            };
            write(&mut stream, reply).await;
        }
    })
    .await;
    let pool = pool();
    for path in ["/empty", "/", "/empty", "/"] {
        let response = pool.send(&origin, post(path, ""), &PATIENT).await.unwrap();
        assert_eq!(
            whole(response).await.unwrap().len(),
            if path == "/" { 3 } else { 0 }
        );
    }
    assert_eq!(pool.stats().connects(), 1);
}

#[tokio::test(flavor = "local")]
async fn a_request_that_may_have_been_read_is_not_repeated() {
    let seen = Rc::new(RefCell::new(0));
    let count = Rc::clone(&seen);
    let origin = server(move |_, mut stream| {
        let count = Rc::clone(&count);
        async move {
            request(&mut stream).await;
            write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            request(&mut stream).await;
            *count.borrow_mut() += 1;
        }
    })
    .await;
    let pool = pool();
    pool.send(&origin, post("/", "x"), &PATIENT).await.unwrap();
    let error = pool
        .send(&origin, post("/", "x"), &PATIENT)
        .await
        .unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Closed);
    assert!(error.sent && error.reused && !error.is_timeout(), "{error}");
    assert_eq!(*seen.borrow(), 1);
}

#[tokio::test(flavor = "local")]
async fn nobody_listening_is_told_apart_from_a_name_that_does_not_resolve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    drop(listener);
    let (refused, _) = Origin::parse(&url).unwrap();
    let error = pool()
        .send(&refused, post("/", ""), &PATIENT)
        .await
        .unwrap_err();
    assert_eq!((error.kind, error.sent), (SendErrorKind::Refused, false));

    // A machine without a network may take its time to say so.
    let (unknown, _) = Origin::parse("http://weir.invalid").unwrap();
    let error = pool()
        .send(&unknown, post("/", ""), &QUICK)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error.kind,
            SendErrorKind::Dns | SendErrorKind::ConnectTimeout
        ),
        "{error}"
    );
    assert!(!error.sent);
}

#[tokio::test(flavor = "local")]
async fn a_handshake_that_hangs_is_told_apart() {
    let origin = server(async |_, stream| {
        sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let (origin, _) = Origin::parse(&format!("https://127.0.0.1:{}", origin.port())).unwrap();
    for http2 in [Http2::Auto, Http2::Never] {
        let timeouts = Timeouts {
            tls_ms: 50,
            ..PATIENT
        };
        let origin = origin.clone().with_http2(http2);
        let error = pool()
            .send(&origin, post("/", ""), &timeouts)
            .await
            .unwrap_err();
        assert_eq!((error.kind, error.sent), (SendErrorKind::TlsTimeout, false));
        // The bound for the first byte ends it too, and knows what it ended.
        let timeouts = Timeouts {
            first_byte_ms: 50,
            ..PATIENT
        };
        let error = pool()
            .send(&origin, post("/", ""), &timeouts)
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind, error.is_timeout()),
            (SendErrorKind::ConnectTimeout, true)
        );
    }
}

#[tokio::test(flavor = "local")]
async fn silence_before_the_head_is_a_first_byte_timeout_and_closes() {
    let (closed, mut was_closed) = mpsc::unbounded_channel();
    let origin = server(move |_, mut stream| {
        let closed = closed.clone();
        async move {
            request(&mut stream).await;
            closed.send(is_closed_soon(&mut stream).await).unwrap();
        }
    })
    .await;
    let pool = pool();
    let error = pool
        .send(&origin, post("/", "x"), &QUICK)
        .await
        .unwrap_err();
    assert_eq!(error.kind, SendErrorKind::FirstByteTimeout);
    assert!(error.sent && !error.reused && error.is_timeout());
    assert_eq!(was_closed.recv().await, Some(true));

    // So does a caller that does not want the reply any more.
    let given_up = pool.send(&origin, post("/", "x"), &PATIENT);
    assert!(timeout(Duration::from_millis(30), given_up).await.is_err());
    assert_eq!(was_closed.recv().await, Some(true));
    sleep(Duration::from_millis(5)).await;
    assert_eq!(pool.stats().open(), 0);
}

/// Sends `head`, then waits to be closed, and reports whether that came soon.
async fn server_of_half(head: &'static str) -> (Origin, mpsc::UnboundedReceiver<bool>) {
    let (closed, was_closed) = mpsc::unbounded_channel();
    let origin = server(move |_, mut stream| {
        let closed = closed.clone();
        async move {
            request(&mut stream).await;
            write(&mut stream, head).await;
            closed.send(is_closed_soon(&mut stream).await).unwrap();
        }
    })
    .await;
    (origin, was_closed)
}

const HALF_KNOWN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
const HALF_CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";

#[tokio::test(flavor = "local")]
async fn a_reply_that_stalls_half_way_ends_with_an_error_and_is_closed() {
    for half in [HALF_KNOWN, HALF_CHUNKED] {
        let (origin, mut was_closed) = server_of_half(half).await;
        let response = pool().send(&origin, post("/", "x"), &QUICK).await.unwrap();
        let mut body = response.into_body();
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "half"
        );
        assert!(matches!(
            body.frame().await,
            Some(Err(BodyError::IdleTimeout))
        ));
        assert!(body.frame().await.is_none());
        assert_eq!(was_closed.recv().await, Some(true));
    }
}

#[tokio::test(flavor = "local")]
async fn a_slow_reply_that_keeps_coming_is_no_stall() {
    let origin = server(async |_, mut stream| {
        request(&mut stream).await;
        write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n").await;
        for piece in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            sleep(Duration::from_millis(40)).await;
            write(&mut stream, piece).await;
        }
    })
    .await;
    let response = pool().send(&origin, post("/", "x"), &QUICK).await.unwrap();
    assert_eq!(whole(response).await.unwrap(), "abcdefgh");
}

#[tokio::test(flavor = "local")]
async fn a_reply_that_is_cut_never_ends_as_if_it_were_whole() {
    for half in [HALF_KNOWN, HALF_CHUNKED] {
        let origin = server(async move |_, mut stream: TcpStream| {
            request(&mut stream).await;
            write(&mut stream, half).await;
        })
        .await;
        let response = pool()
            .send(&origin, post("/", "x"), &PATIENT)
            .await
            .unwrap();
        assert!(matches!(whole(response).await, Err(BodyError::Broken(_))));
    }
}

/// A stream that ends quietly, as hyper sees it, because the upload beside it failed.
#[tokio::test(flavor = "local")]
async fn a_reply_whose_connection_fails_for_another_reason_is_cut_too() {
    let (origin, _was_closed) = server_of_half(HALF_CHUNKED).await;
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let request = Request::post("/")
        .body(RequestBody::stream(FailsWhenTold(gone)))
        .unwrap();
    let response = pool().send(&origin, request, &PATIENT).await.unwrap();
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    drop(go);
    assert!(matches!(
        body.frame().await,
        Some(Err(BodyError::Broken(_)))
    ));
}

#[tokio::test(flavor = "local")]
async fn a_body_that_is_dropped_closes_its_connection_at_once() {
    let (origin, mut was_closed) = server_of_half(HALF_CHUNKED).await;
    let pool = pool();
    let response = pool.send(&origin, post("/", "x"), &PATIENT).await.unwrap();
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(was_closed.recv().await, Some(true));
    assert_eq!(pool.stats().idle(), 0);
}

#[tokio::test(flavor = "local")]
async fn beyond_the_limit_requests_wait_for_a_connection_and_not_for_ever() {
    let origin = server(async |_, mut stream| {
        while request(&mut stream).await.is_some() {
            sleep(Duration::from_millis(20)).await;
            write(
                &mut stream,
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            )
            .await;
        }
    })
    .await;
    let pool = pool_with(|settings| settings.connections_per_origin_max = 2);
    let one = async || whole(pool.send(&origin, post("/", "x"), &PATIENT).await.unwrap()).await;
    let (a, b, c, d, e) = tokio::join!(one(), one(), one(), one(), one());
    assert!(
        [a, b, c, d, e]
            .into_iter()
            .all(|text| text.unwrap() == "ok")
    );
    assert_eq!(pool.stats().connects(), 2);

    let held = [
        pool.send(&origin, post("/", "x"), &PATIENT).await.unwrap(),
        pool.send(&origin, post("/", "x"), &PATIENT).await.unwrap(),
    ];
    let timeouts = Timeouts {
        first_byte_ms: 50,
        ..PATIENT
    };
    let error = pool
        .send(&origin, post("/", "x"), &timeouts)
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.sent),
        (SendErrorKind::TooManyConnections, false)
    );
    // One that waits gets the place of one that is closed.
    let (waited, ()) = tokio::join!(pool.send(&origin, post("/", "x"), &PATIENT), async {
        sleep(Duration::from_millis(10)).await;
        drop(held);
    });
    assert_eq!(whole(waited.unwrap()).await.unwrap(), "ok");
    assert_eq!(pool.stats().connects(), 3);
}

#[tokio::test(flavor = "local")]
async fn old_idle_connections_and_unused_origins_are_let_go() {
    let origin = server(async |_, mut stream| {
        while request(&mut stream).await.is_some() {
            write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    let pool = pool();
    pool.send(&origin, post("/", "x"), &PATIENT).await.unwrap();
    let idle_ms = PoolSettings::default().idle_ms;
    pool.inner.reap(idle_ms);
    assert_eq!(pool.stats().idle(), 1);
    pool.inner.reap(2 * idle_ms);
    assert_eq!(pool.stats().idle(), 0);
    sleep(Duration::from_millis(5)).await;
    pool.inner.reap(2 * idle_ms);
    assert!(pool.inner.lanes.borrow().is_empty());
    assert_eq!(pool.stats().open(), 0);
}

#[tokio::test(flavor = "local")]
async fn a_dropped_pool_leaves_nothing_open() {
    let origin = server(async |_, mut stream| {
        while request(&mut stream).await.is_some() {
            write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx").await;
        }
    })
    .await;
    let pool = pool();
    let stats = pool.stats();
    pool.send(&origin, post("/", "x"), &PATIENT)
        .await
        .map(whole)
        .unwrap()
        .await
        .unwrap();
    let unread = pool.send(&origin, post("/", "x"), &PATIENT).await.unwrap();
    drop(pool);
    assert_eq!(whole(unread).await.unwrap(), "x");
    sleep(Duration::from_millis(5)).await;
    assert_eq!((stats.open(), stats.idle()), (0, 0));
}

#[tokio::test(flavor = "local")]
async fn what_is_not_http_or_too_large_is_a_protocol_error() {
    for reply in ["hello\r\n\r\n".to_owned(), {
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(20_000))
    }] {
        let origin = server(move |_, mut stream: TcpStream| {
            let reply = reply.clone();
            async move {
                request(&mut stream).await;
                write(&mut stream, &reply).await;
                is_closed_soon(&mut stream).await;
            }
        })
        .await;
        let pool = pool_with(|settings| settings.head_max_bytes = 16_000);
        let error = pool
            .send(&origin, post("/", "x"), &PATIENT)
            .await
            .unwrap_err();
        assert_eq!((error.kind, error.sent), (SendErrorKind::Protocol, true));
    }
}

/// A body that never gives anything and fails in the end.
struct FailsWhenTold(tokio::sync::oneshot::Receiver<()>);

impl http_body::Body for FailsWhenTold {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::pin::Pin::new(&mut self.0)
            .poll(cx)
            .map(|_| Some(Err("gone".into())))
    }
}

/// A body that gives one piece and then fails.
struct Failing(bool);

impl http_body::Body for Failing {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(if std::mem::replace(&mut self.0, true) {
            Err("gone".into())
        } else {
            Ok(http_body::Frame::data(Bytes::from_static(b"piece")))
        }))
    }
}

#[tokio::test(flavor = "local")]
async fn an_upload_that_fails_is_not_blamed_on_the_provider() {
    let origin = server(async |_, mut stream| {
        is_closed_soon(&mut stream).await;
        sleep(Duration::from_secs(1)).await;
    })
    .await;
    let request = Request::post("/")
        .body(RequestBody::stream(Failing(false)))
        .unwrap();
    let error = pool().send(&origin, request, &PATIENT).await.unwrap_err();
    assert_eq!(error.kind, SendErrorKind::RequestBody, "{error}");
}

#[tokio::test(flavor = "local")]
async fn an_upgraded_connection_is_the_callers() {
    let origin = server(async |_, mut stream| {
        request(&mut stream).await;
        let head =
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        write(&mut stream, head).await;
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap();
    })
    .await;
    let request = Request::get("/")
        .header("connection", "upgrade")
        .header("upgrade", "echo")
        .body(RequestBody::empty())
        .unwrap();
    let pool = pool();
    let response = pool.send(&origin, request, &PATIENT).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    tunnel.write_all(b"ping").await.unwrap();
    let mut echo = [0; 4];
    tunnel.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"ping");
}

// ---- HTTP/2 and TLS, served by hyper

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let said = format!("{:?} {}", request.version(), request.uri());
    sleep(Duration::from_millis(5)).await;
    Ok(Response::new(Full::new(said.into())))
}

async fn serve_http2<T>(io: T)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    drop(
        server
            .serve_connection(TokioIo::new(io), service_fn(answer))
            .await,
    );
}

#[tokio::test(flavor = "local")]
async fn http2_requests_share_a_connection_and_dropping_one_spares_the_others() {
    let origin = server(async |_, stream| serve_http2(stream).await).await;
    let origin = origin.with_http2(Http2::PriorKnowledge);
    let pool = pool();
    let one = async || {
        whole(
            pool.send(&origin, post("/a?b", "x"), &PATIENT)
                .await
                .unwrap(),
        )
        .await
    };
    let given_up = async || {
        let sending = pool.send(&origin, post("/", "x"), &PATIENT);
        assert!(timeout(Duration::from_millis(1), sending).await.is_err());
    };
    let (a, b, (), c) = tokio::join!(one(), one(), given_up(), one());
    let expected = format!("HTTP/2.0 http://127.0.0.1:{}/a?b", origin.port());
    assert!([a, b, c].into_iter().all(|text| text.unwrap() == expected));
    drop(pool.send(&origin, post("/", "x"), &PATIENT).await.unwrap());
    assert_eq!(one().await.unwrap(), expected);
    assert_eq!((pool.stats().connects(), pool.stats().open()), (1, 1));
    pool.close_idle();
    sleep(Duration::from_millis(20)).await;
    assert_eq!(pool.stats().open(), 0);
    assert_eq!(one().await.unwrap(), expected);
    assert_eq!(pool.stats().connects(), 2);
}

#[tokio::test(flavor = "local")]
async fn a_request_that_a_dying_connection_refused_goes_out_once_more() {
    let origin = server(async |_, stream| serve_http2(stream).await).await;
    let origin = origin.with_http2(Http2::PriorKnowledge);
    let pool = pool();
    // A connection that dies with the request in its queue.
    let (near, _far) = tokio::io::duplex(1024);
    let (sender, dying) =
        hyper::client::conn::http2::handshake(crate::connect::OnThisThread, TokioIo::new(near))
            .await
            .unwrap();
    pool.inner.lane(&origin).multiplex.adopt(sender, 0);
    let (response, ()) = tokio::join!(pool.send(&origin, post("/a", "x"), &PATIENT), async {
        drop(dying);
    });
    assert!(whole(response.unwrap()).await.unwrap().ends_with("/a"));
    assert_eq!((pool.stats().reused(), pool.stats().connects()), (1, 1));
}

/// What arrived together comes out together, and neither order nor end suffers.
#[tokio::test(flavor = "local")]
async fn pieces_that_arrived_together_come_out_as_one() {
    let large = "x".repeat(40_000);
    let reply = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}9c40\r\n{large}\r\n1\r\n!\r\n0\r\n\r\n",
        "4\r\none;\r\n4\r\ntwo;\r\n".repeat(10)
    );
    let origin = server(move |_, mut stream: TcpStream| {
        let reply = reply.clone();
        async move {
            request(&mut stream).await;
            write(&mut stream, &reply).await;
            is_closed_soon(&mut stream).await;
        }
    })
    .await;
    let pool = pool();
    let mut body = pool
        .send(&origin, post("/", "x"), &PATIENT)
        .await
        .unwrap()
        .into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(
        first.starts_with(b"one;two;one;two;one;two;one;two;one;two;"),
        "{}",
        first.len()
    );
    let mut all = first.to_vec();
    while let Some(frame) = body.frame().await {
        all.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    assert_eq!(
        String::from_utf8(all).unwrap(),
        "one;two;".repeat(10) + &large + "!"
    );
    assert_eq!(pool.stats().idle(), 1);
}

#[tokio::test(flavor = "local")]
async fn those_who_wait_for_a_connection_share_its_failure() {
    let accepted = Rc::new(RefCell::new(0));
    let count = Rc::clone(&accepted);
    let origin = server(move |_, stream| {
        *count.borrow_mut() += 1;
        async move {
            sleep(Duration::from_secs(60)).await;
            drop(stream);
        }
    })
    .await;
    let (origin, _) = Origin::parse(&format!("https://127.0.0.1:{}", origin.port())).unwrap();
    let pool = pool();
    let timeouts = Timeouts {
        tls_ms: 50,
        ..PATIENT
    };
    let one = async || {
        pool.send(&origin, post("/", "x"), &timeouts)
            .await
            .unwrap_err()
            .kind
    };
    let kinds = tokio::join!(one(), one(), one());
    let timed_out = SendErrorKind::TlsTimeout;
    assert_eq!(kinds, (timed_out, timed_out, timed_out));
    assert_eq!(*accepted.borrow(), 1);
}

/// A TLS server that offers `protocols`, and the file with the authority to trust.
async fn tls_server(protocols: &'static [&'static [u8]]) -> (Origin, pem_file::Ca) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let origin = server(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                return serve_http2(stream).await;
            }
            let server = hyper::server::conn::http1::Builder::new();
            drop(
                server
                    .serve_connection(TokioIo::new(stream), service_fn(answer))
                    .await,
            );
        }
    })
    .await;
    let (origin, _) = Origin::parse(&format!("https://localhost:{}", origin.port())).unwrap();
    (origin, pem_file::Ca::new(&certified.cert.pem()).unwrap())
}

/// A certificate in a file that goes with the test.
mod pem_file {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    pub(super) struct Ca(pub(super) PathBuf);

    impl Ca {
        pub(super) fn new(pem: &str) -> std::io::Result<Ca> {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("weir-upstream-{}-{number}.pem", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, pem)?;
            Ok(Ca(path))
        }
    }

    impl Drop for Ca {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).unwrap();
        }
    }
}

fn trusting(ca: &pem_file::Ca) -> Pool {
    let settings = TlsSettings {
        extra_ca_files: vec![ca.0.clone()],
        ..TlsSettings::default()
    };
    Pool::new(PoolSettings::default(), Tls::new(&settings).unwrap())
}

#[tokio::test(flavor = "local")]
async fn tls_agrees_on_the_protocol_and_checks_the_certificate() {
    for (offers, http2, version, connects) in [
        (
            &[b"h2" as &[u8], b"http/1.1"] as &[&[u8]],
            Http2::Auto,
            "HTTP/2.0",
            1,
        ),
        (&[b"h2", b"http/1.1"], Http2::Never, "HTTP/1.1", 3),
        (&[b"http/1.1"], Http2::Auto, "HTTP/1.1", 3),
        (&[], Http2::Auto, "HTTP/1.1", 3),
    ] {
        let (origin, ca) = tls_server(offers).await;
        let origin = origin.with_http2(http2);
        let pool = trusting(&ca);
        let one = async || whole(pool.send(&origin, post("/", "x"), &PATIENT).await.unwrap()).await;
        let (a, b, c) = tokio::join!(one(), one(), one());
        for text in [a, b, c] {
            let text = text.unwrap();
            assert!(text.starts_with(version), "{offers:?} {http2:?}: {text}");
        }
        assert_eq!(pool.stats().connects(), connects, "{offers:?} {http2:?}");

        let stranger = self::pool();
        let error = stranger
            .send(&origin, post("/", "x"), &PATIENT)
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind, error.sent),
            (SendErrorKind::CertificateUnknown, false),
            "{error}"
        );
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}

#[test]
fn a_file_without_certificates_is_reported() {
    let empty = pem_file::Ca::new("nothing here\n").unwrap();
    for (path, says) in [
        (empty.0.clone(), "no certificate"),
        ("/does/not/exist.pem".into(), "No such file"),
    ] {
        let settings = TlsSettings {
            extra_ca_files: vec![path],
            ..TlsSettings::default()
        };
        let error = Tls::new(&settings).err().unwrap().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn errors_show_neither_headers_nor_bodies() {
    let body: RequestBody = Bytes::from_static(b"my secret").into();
    assert_eq!(format!("{body:?}"), "RequestBody(9 bytes)");
    let error = SendError::because(SendErrorKind::Connect, &io::Error::other("reset"));
    assert_eq!(error.to_string(), "no connection could be made (reset)");
}

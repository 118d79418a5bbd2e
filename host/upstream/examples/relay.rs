//! The floor of the data path: a reverse proxy on one thread that puts in the provider's key and
//! reads `model`, with nothing of Weir but this crate. What the gateway costs above it is what its
//! governing costs.
//!
//! `RELAY_ADDR=127.0.0.1:9200 RELAY_UPSTREAM=http://127.0.0.1:9100 RELAY_KEY=… cargo run --release
//! -p weir-upstream --example relay`

use std::borrow::Cow;
use std::env;
use std::error::Error;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use weir_upstream::{Body, Origin, Pool, PoolSettings, Timeouts, Tls, TlsSettings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Reply = Response<Either<Body, Empty<Bytes>>>;

#[derive(serde::Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
}

struct Relay {
    pool: Pool,
    origin: Origin,
    key: HeaderValue,
    timeouts: Timeouts,
}

impl Relay {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let (mut parts, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            return refuse(StatusCode::BAD_REQUEST);
        };
        let body = body.to_bytes();
        let is_named =
            serde_json::from_slice::<Asked<'_>>(&body).is_ok_and(|asked| !asked.model.is_empty());
        if !is_named && !body.is_empty() {
            return refuse(StatusCode::BAD_REQUEST);
        }
        parts.headers.remove(HOST);
        parts.headers.remove(CONTENT_LENGTH);
        parts.headers.insert(AUTHORIZATION, self.key.clone());
        let request = Request::from_parts(parts, body.into());
        match self.pool.send(&self.origin, request, &self.timeouts).await {
            Ok(response) => response.map(Either::Left),
            Err(_) => refuse(StatusCode::BAD_GATEWAY),
        }
    }
}

fn refuse(status: StatusCode) -> Reply {
    let mut response = Response::new(Either::Right(Empty::new()));
    *response.status_mut() = status;
    response
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(env::var("RELAY_ADDR")?).await?;
    let (origin, _) = Origin::parse(&env::var("RELAY_UPSTREAM")?)?;
    let relay: &'static Relay = Box::leak(Box::new(Relay {
        pool: Pool::new(PoolSettings::default(), Tls::new(&TlsSettings::default())?),
        origin,
        key: HeaderValue::try_from(format!("Bearer {}", env::var("RELAY_KEY")?))?,
        timeouts: Timeouts::default(),
    }));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(async move {
            let service = service_fn(async |request| {
                Ok::<_, std::convert::Infallible>(relay.answer(request).await)
            });
            drop(
                http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(serve())
}

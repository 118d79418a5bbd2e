//! A caller: any path, any body, whole replies and streams, and whether they came to their end.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::RUNTIME;

/// Sends requests with one key. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    headers: Vec<(String, String)>,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// A client for this address; with an empty key it sends none.
    pub fn new(address: SocketAddr, key: &str) -> Client {
        // A repeated request would hide that the gateway failed the first one.
        let pool = Pool::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .build_http();
        let client = Client {
            address,
            headers: Vec::new(),
            pool,
        };
        match key {
            "" => client,
            key => client.header("authorization", &format!("Bearer {key}")),
        }
    }

    /// The same client with one more header on every request.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Client {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same over HTTP/2, without TLS and without an upgrade: one connection for everything.
    #[must_use]
    pub fn over_http2(mut self) -> Client {
        self.pool = Pool::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .http2_only(true)
            .build_http();
        self
    }

    /// Where it sends to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// One `GET`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "")
    }

    /// One `POST` of JSON.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, body.to_string())
    }

    /// One request. Panics where no reply came; a reply that broke off says so itself.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Reply {
        self.try_send(method, path, body).expect("a reply")
    }

    /// One request; an error where the connection gave no reply at all.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Reply, String> {
        Ok(self.try_open(method, path, body)?.rest())
    }

    /// One request, whose reply's body is read piece by piece.
    #[track_caller]
    pub fn open(&self, path: &str, body: &Value) -> Stream {
        self.try_open("POST", path, body.to_string())
            .expect("the head of a reply")
    }

    /// The same with everything settable, and an error where no reply came.
    pub fn try_open(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Stream, String> {
        let body = body.into();
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).expect("a method"))
            .uri(format!("http://{}{path}", self.address));
        let typed = self.headers.iter().any(|(name, _)| name == "content-type");
        if !body.is_empty() && !typed {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).expect("a request");
        let response = RUNTIME.block_on(self.pool.request(request));
        let response = response.map_err(|error| format!("{error:?}"))?;
        let (head, body) = response.into_parts();
        Ok(Stream {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    }

    /// A short chat in OpenAI's dialect.
    #[track_caller]
    pub fn chat(&self, model: &str) -> Reply {
        self.post("/v1/chat/completions", &chat(model, false))
    }

    /// The same as a stream, which reports its usage.
    #[track_caller]
    pub fn chat_stream(&self, model: &str) -> Stream {
        self.open("/v1/chat/completions", &chat(model, true))
    }
}

fn chat(model: &str, stream: bool) -> Value {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": "Say hello."}]});
    if stream {
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}

/// A reply, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// All of the body that came.
    pub body: Bytes,
    /// Why the body is not whole, where it is not.
    pub broken: Option<String>,
}

impl Reply {
    /// A header, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }

    /// The call's id.
    #[track_caller]
    pub fn id(&self) -> String {
        let id = self.header("x-request-id");
        assert!(id.starts_with("req_"), "x-request-id is {id:?} in {self:?}");
        id.to_owned()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the reply {}: {}", self.status, self.text()))
    }

    /// The code of an error, wherever its dialect keeps it.
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let in_details = &body["error"]["details"][0]["metadata"]["code"];
        let code = if in_details.is_string() {
            in_details
        } else {
            &body["error"]["code"]
        };
        code.as_str().unwrap_or_default().to_owned()
    }

    /// The same reply, once it is known to have this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// A reply whose body is still coming. Dropped, it hangs up.
#[derive(Debug)]
pub struct Stream {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    body: Incoming,
}

impl Stream {
    /// The next piece; none at the end; an error where it broke off.
    #[expect(
        clippy::should_implement_trait,
        reason = "a test calls it by name, a few times"
    )]
    pub fn next(&mut self) -> Option<Result<Bytes, String>> {
        loop {
            match RUNTIME.block_on(self.body.frame())? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(format!("{error:?}"))),
            }
        }
    }

    /// The call's id.
    pub fn id(&self) -> String {
        header(&self.headers, "x-request-id").to_owned()
    }

    /// All that is left.
    pub fn rest(mut self) -> Reply {
        let (mut body, mut broken) = (Vec::new(), None);
        while let Some(piece) = self.next() {
            match piece {
                Ok(piece) => body.extend_from_slice(&piece),
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        Reply {
            status: self.status,
            headers: self.headers,
            body: body.into(),
            broken,
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

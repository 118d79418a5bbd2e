//! One exchange with a provider outside of any call: a question of Weir's own, and all that came.
//!
//! Sent as calls are: same address, same way there, the channel's own headers, the key as the family
//! wants it. Never does: choose a channel or key, look at or change what is known of their health,
//! count, retry, or say what an answer means.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::BodyExt;
use weir_base::Operation;
use weir_upstream::{Body, BodyError, Origin, Pool, RequestBody, SendError, Timeouts};
use weir_wire::dialect::{Dialect, Family};
use weir_wire::fake;

use super::channel::{Channel, Target, upstream_path};
use crate::keys::ProviderKey;

/// The largest reply that is read, in bytes. A vector has some ten thousand, a list of models at a
/// reseller some hundred thousand.
const REPLY_MAX_BYTES: usize = 2 << 20;

/// Who asks.
const WEIR: &str = concat!("weir/", env!("CARGO_PKG_VERSION"));

/// What is asked.
pub struct Question {
    /// The format that it is written in.
    pub dialect: Dialect,
    /// What it asks for.
    pub operation: Operation,
    /// The model as the provider calls it; empty where the question names none.
    pub model: String,
    /// Path and query, as a caller would send them.
    pub path: String,
    /// The JSON; empty for a question that is asked with GET.
    pub body: Bytes,
    /// Whether it asks for a stream.
    pub stream: bool,
}

impl Question {
    /// Which models are there? Costs nothing.
    pub fn models(family: Family) -> Self {
        let (dialect, path) = match family {
            Family::Openai => (Dialect::OpenaiOther, "/v1/models"),
            Family::Anthropic => (Dialect::AnthropicOther, "/v1/models?limit=1000"),
            Family::Gemini => (Dialect::GeminiOther, "/v1beta/models?pageSize=1000"),
        };
        Self {
            dialect,
            operation: Operation::Models,
            model: String::new(),
            path: path.to_owned(),
            body: Bytes::new(),
            stream: false,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub enum Came {
    /// A whole reply, whatever it says.
    Reply {
        /// The status.
        status: u16,
        /// The headers.
        headers: HeaderMap,
        /// The body.
        body: Bytes,
    },
    /// No reply, not even the head of one.
    Nothing(SendError),
    /// A reply that began and did not come to its end.
    Broken {
        /// The status.
        status: u16,
        /// Why it ended.
        why: Break,
    },
    /// Nothing was sent: no request can be made of the channel's address.
    Unsent,
}

/// Why a reply did not come to its end.
#[derive(Debug)]
pub enum Break {
    /// The connection, or the framing of the body, broke.
    Body(BodyError),
    /// It is larger than anybody would want.
    TooLarge,
    /// The built-in provider was told to break off.
    AsTold,
}

impl Came {
    /// The provider's status.
    pub fn status(&self) -> Option<u16> {
        match self {
            Came::Reply { status, .. } | Came::Broken { status, .. } => Some(*status),
            Came::Nothing(_) | Came::Unsent => None,
        }
    }
}

/// An exchange that is over.
#[derive(Debug)]
pub struct Exchange {
    /// What came.
    pub came: Came,
    /// Milliseconds until the first byte of the reply's body, where there was one; connecting is part
    /// of it. Some servers send the head at once and think then.
    pub first_byte_ms: Option<u32>,
    /// Milliseconds until all was over.
    pub total_ms: u32,
}

/// Asks `channel`, with `key` where it has one.
pub async fn ask(
    pool: &Pool,
    channel: &Channel,
    key: Option<&ProviderKey>,
    question: &Question,
    timeouts: &Timeouts,
) -> Exchange {
    match &channel.target {
        Target::Fake(options) => answer_fake(options, question, timeouts.total_ms).await,
        Target::Http {
            family,
            origin,
            base_path,
        } => match request(*family, base_path, channel, key, question) {
            Some(request) => send(pool, origin, request, timeouts).await,
            None => Exchange {
                came: Came::Unsent,
                first_byte_ms: None,
                total_ms: 0,
            },
        },
    }
}

/// Sends `request` and reads the reply to its end.
pub async fn send(
    pool: &Pool,
    origin: &Origin,
    request: Request<RequestBody>,
    timeouts: &Timeouts,
) -> Exchange {
    let began = Instant::now();
    let mut first_byte_ms = None;
    let came = match pool.send(origin, request, timeouts).await {
        Ok(response) => {
            let first_byte = || first_byte_ms = Some(ms_since(began));
            read(response, first_byte).await
        }
        Err(error) => Came::Nothing(error),
    };
    Exchange {
        came,
        first_byte_ms,
        total_ms: ms_since(began),
    }
}

async fn read(response: Response<Body>, first_byte: impl FnOnce()) -> Came {
    let (head, mut body) = response.into_parts();
    let status = head.status.as_u16();
    let (mut whole, mut first_byte) = (BytesMut::new(), Some(first_byte));
    while let Some(frame) = body.frame().await {
        let data = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => {
                let why = Break::Body(error);
                return Came::Broken { status, why };
            }
        };
        if whole.len() + data.len() > REPLY_MAX_BYTES {
            let why = Break::TooLarge;
            return Came::Broken { status, why };
        }
        if let Some(first_byte) = first_byte.take() {
            first_byte();
        }
        whole.extend_from_slice(&data);
    }
    Came::Reply {
        status,
        headers: head.headers,
        body: whole.freeze(),
    }
}

fn request(
    family: Family,
    base_path: &str,
    channel: &Channel,
    key: Option<&ProviderKey>,
    question: &Question,
) -> Option<Request<RequestBody>> {
    let path = upstream_path(family, base_path, &question.path);
    let target = PathAndQuery::try_from(path).ok()?;
    let asks = question.body.is_empty();
    let body = match asks {
        true => RequestBody::empty(),
        false => RequestBody::from(question.body.clone()),
    };
    let mut request = Request::new(body);
    *request.method_mut() = if asks { Method::GET } else { Method::POST };
    *request.uri_mut() = Uri::from(target);
    let headers = request.headers_mut();
    // Calls bring their caller's; some providers keep out whoever has none.
    headers.insert(USER_AGENT, HeaderValue::from_static(WEIR));
    if !asks {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if family == Family::Anthropic {
        // Without it the provider refuses whatever is asked.
        headers.insert(
            HeaderName::from_static("anthropic-version"),
            HeaderValue::from_static("2023-06-01"),
        );
    }
    for (name, value) in &channel.headers {
        headers.insert(name.clone(), value.clone());
    }
    if let Some((name, value)) = key.map(|key| key.header.clone()) {
        headers.insert(name, value);
    }
    Some(request)
}

async fn answer_fake(options: &fake::Options, question: &Question, total_ms: u64) -> Exchange {
    let began = Instant::now();
    let reply = fake::answer(
        &fake::Request {
            dialect: question.dialect,
            operation: question.operation,
            path: &question.path,
            model: &question.model,
            stream: question.stream,
            body: &question.body,
            now_unix_s: 0,
            call_id: "test",
        },
        options,
    );
    let pauses = match &reply.body {
        fake::Body::Chunks(chunks) => chunks.len().saturating_sub(1) as u64,
        fake::Body::Whole(_) => 0,
    };
    let pauses_ms = reply.event_delay_ms.saturating_mul(pauses);
    let wait = async |ms: u64| tokio::time::sleep(Duration::from_millis(ms)).await;
    wait(reply.delay_ms.min(total_ms)).await;
    let first_byte_ms = Some(ms_since(began));
    wait(pauses_ms.min(total_ms.saturating_sub(reply.delay_ms))).await;
    let status = reply.status;
    let came = if reply.delay_ms.saturating_add(pauses_ms) > total_ms {
        let why = Break::Body(BodyError::TotalTimeout);
        Came::Broken { status, why }
    } else if reply.cut {
        let why = Break::AsTold;
        Came::Broken { status, why }
    } else {
        let mut headers = HeaderMap::new();
        for (name, value) in reply.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        Came::Reply {
            status,
            headers,
            body: reply.body.to_bytes().into(),
        }
    };
    Exchange {
        came,
        first_byte_ms,
        total_ms: ms_since(began),
    }
}

fn ms_since(began: Instant) -> u32 {
    u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX)
}

//! The built-in provider that needs no network: deterministic answers in every dialect, for the
//! first minutes with Weir, for tests and for benchmarks.
//!
//! What it says is settable ([`Options`]), its token counts are a rule that a test can compute
//! ([`answer`]), and it can fail the way providers do: slowly, in pieces, with an error, in mid-reply.
//!
//! Never does: wait, send, look at a clock or at chance. Times and ids come in, delays go out as
//! numbers. It makes no claim to be a model.
//! Read first: [`answer`], then `fake/prompt.rs` for what it reads and `fake/script.rs` for what it
//! decides to say; each dialect's file only writes that down.

mod anthropic;
mod embed;
mod gemini;
mod openai;
mod options;
mod prompt;
mod responses;
mod sample;
mod script;

use bytes::Bytes;
use serde_json::{Value, json};
use weir_base::{Blame, Fault, Operation};

use crate::{Dialect, Family, error};

pub use options::Options;

use prompt::Prompt;
use script::Script;

/// The models that the lists name. Every other name is answered just as well.
pub const MODELS: [&str; 3] = ["fake-large", "fake-small", "fake-embedding"];

/// A call, as far as the fake provider looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The dialect of the endpoint.
    pub dialect: Dialect,
    /// What the endpoint does.
    pub operation: Operation,
    /// Path with query, as it would be sent upstream: for example `/v1/chat/completions`, or
    /// `/v1beta/models/m:streamGenerateContent?alt=sse`.
    pub path: &'a str,
    /// The model asked for; empty where the operation has none.
    pub model: &'a str,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The body as it came. May be anything: what cannot be read counts as empty.
    pub body: &'a [u8],
    /// Seconds since the Unix epoch, for the fields that hold a time.
    pub now_unix_s: u64,
    /// What the ids in the reply are made of; a leading `req_` is left out of them.
    pub call_id: &'a str,
}

/// What to send, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Response headers, names in lower case. No `content-length`.
    pub headers: Vec<(&'static str, String)>,
    /// Milliseconds to wait before the head of the response.
    pub delay_ms: u64,
    /// Milliseconds to wait before each chunk after the first.
    pub event_delay_ms: u64,
    /// The bytes to send.
    pub body: Body,
    /// True where the connection is to be broken after the last of these bytes, without an end of
    /// the body: the reply is not whole.
    pub cut: bool,
}

/// The bytes of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Known as a whole, so it has a length.
    Whole(Bytes),
    /// Sent piece by piece: one event each, or pieces of [`Options::chunk_bytes`].
    Chunks(Vec<Bytes>),
}

impl Body {
    /// All bytes in one piece.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Body::Whole(bytes) => bytes.to_vec(),
            Body::Chunks(chunks) => chunks.concat(),
        }
    }
}

/// Answers `request` as `options` say. The same arguments always give the same reply.
///
/// A chat answers with a sentence that quotes the last message, or calls a tool: the one that
/// `tool_choice` names, else the first, if there are tools and the last message is the user's. The
/// arguments are made from the schema's required properties. Where a JSON schema is asked for, the
/// text is JSON after that schema.
///
/// Tokens are counted by words (runs of characters without white space): the input is the words of
/// every text in the prompt, at least one; the output is the words of the text, or of the tool
/// call's arguments. The request's maximum of output tokens cuts the text after that many words.
pub fn answer(request: &Request<'_>, options: &Options) -> Reply {
    if let Some(status) = options.status.filter(|status| *status >= 400) {
        return failure(request, options, status);
    }
    let body: Value = serde_json::from_slice(request.body).unwrap_or(Value::Null);
    let content = match request.dialect {
        Dialect::OpenaiChat => openai::chat(&Call::new(request, &body, options)),
        Dialect::OpenaiCompletions => openai::completion(&Call::new(request, &body, options)),
        Dialect::OpenaiResponses => responses::response(&Call::new(request, &body, options)),
        Dialect::OpenaiEmbeddings => embed::openai(request, &body, options),
        Dialect::OpenaiOther => openai::other(request, &body, options),
        Dialect::AnthropicMessages => anthropic::messages(&Call::new(request, &body, options)),
        Dialect::AnthropicOther => anthropic::other(request),
        Dialect::GeminiGenerate | Dialect::GeminiOther => {
            gemini::any(&Call::new(request, &body, options))
        }
    };
    finish(content, options)
}

/// What a dialect's file makes of a call, before delays, chunks and cuts.
enum Content {
    /// One JSON value.
    Json(Value),
    /// Server-sent events, each complete with its blank line.
    Events(Vec<Bytes>),
    /// The elements of a JSON array, sent one by one, as Gemini streams without `alt=sse`.
    Array(Vec<Bytes>),
}

/// All that a chat-like answer is made from.
struct Call<'a> {
    request: &'a Request<'a>,
    body: &'a Value,
    script: Script,
    /// What ids are made of.
    id: &'a str,
}

impl<'a> Call<'a> {
    fn new(request: &'a Request<'a>, body: &'a Value, options: &Options) -> Self {
        let prompt = Prompt::read(request.dialect, body);
        let script = Script::write(&prompt, request.model, options);
        Self {
            request,
            body,
            script,
            id: bare_id(request.call_id),
        }
    }
}

fn bare_id(call_id: &str) -> &str {
    call_id.strip_prefix("req_").unwrap_or(call_id)
}

/// One server-sent event; the name is left out where the dialect sends none.
fn event(name: Option<&str>, data: &Value) -> Bytes {
    Bytes::from(match name {
        Some(name) => format!("event: {name}\ndata: {data}\n\n"),
        None => format!("data: {data}\n\n"),
    })
}

/// Stands in an event for the text of a delta. No JSON has it but as this very escape.
const PIECE: &str = "\u{1}piece\u{1}";

/// One event per piece, all like `template`, which has [`PIECE`] where the text goes. Building
/// each anew would cost a stream of many deltas several times as much.
fn events_like<'a>(template: &'a [u8], pieces: &'a [&'a str]) -> impl Iterator<Item = Bytes> + 'a {
    let mark = crate::json::string(PIECE);
    let at = memchr::memmem::find(template, mark.as_bytes()).unwrap_or(template.len());
    let (head, rest) = template.split_at_checked(at).unwrap_or((template, &[]));
    let tail = rest.get(mark.len()..).unwrap_or_default();
    pieces
        .iter()
        .map(move |piece| Bytes::from([head, crate::json::string(piece).as_bytes(), tail].concat()))
}

/// The path without its query.
fn bare_path(path: &str) -> &str {
    path.split_once('?').map_or(path, |(before, _)| before)
}

/// What any path answers that the fake provider has no shape for.
fn echo(request: &Request<'_>) -> Value {
    let model = request.model;
    let path = bare_path(request.path);
    let id = bare_id(request.call_id);
    let operation = request.operation.as_str();
    match request.dialect.family() {
        Family::Openai => json!({
            "id": format!("fake-{id}"), "object": "fake.echo", "created": request.now_unix_s,
            "model": model, "path": path, "operation": operation,
            "text": format!("Weir's fake provider has nothing to say about {path}."),
            "request_bytes": request.body.len(),
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        }),
        Family::Anthropic => json!({
            "id": format!("fake_{id}"), "type": "fake_echo", "model": model, "path": path,
            "operation": operation, "request_bytes": request.body.len(),
        }),
        Family::Gemini => json!({
            "name": format!("fake/{id}"), "model": model, "path": path, "operation": operation,
            "requestBytes": request.body.len(),
        }),
    }
}

fn failure(request: &Request<'_>, options: &Options, status: u16) -> Reply {
    let code = match status {
        400 => "fake_bad_request",
        401 => "invalid_api_key",
        402 => "insufficient_quota",
        403 => "model_not_allowed",
        404 => "model_not_found",
        429 => "rate_limit_exceeded",
        503 | 529 => "overloaded",
        _ => "fake_error",
    };
    let message = options
        .error_message
        .clone()
        .unwrap_or_else(|| format!("Weir's fake provider was asked to fail with status {status}."));
    let mut fault = Fault::new(Blame::Upstream, status, code, message);
    let waiting_helps = matches!(status, 429 | 503 | 529);
    let retry_after_s = options.retry_after_s.or(waiting_helps.then_some(1));
    let mut headers = vec![("content-type", "application/json".to_owned())];
    if let Some(after_s) = retry_after_s {
        fault = fault.retry_after_ms(u64::from(after_s) * 1000);
        headers.push(("retry-after", after_s.to_string()));
    }
    let body = error::render(request.dialect.family(), &fault, request.call_id);
    Reply {
        status,
        headers,
        delay_ms: options.delay_ms,
        event_delay_ms: options.event_delay_ms,
        body: Body::Whole(Bytes::from(body)),
        cut: false,
    }
}

/// Brings the content into the pieces that the options ask for.
fn finish(content: Content, options: &Options) -> Reply {
    let (content_type, mut chunks, streamed) = match content {
        Content::Json(value) => (
            "application/json",
            vec![Bytes::from(value.to_string())],
            false,
        ),
        Content::Events(events) => ("text/event-stream; charset=utf-8", events, true),
        Content::Array(values) => ("application/json", array_chunks(&values), true),
    };
    let cut = cut(&mut chunks, options.cut_after_events, streamed);
    let body = match options.chunk_bytes.filter(|size| *size > 0) {
        Some(size) => Body::Chunks(recut(&chunks, size)),
        // A body that breaks off must not announce its length as if it were whole.
        None if streamed || cut => Body::Chunks(chunks),
        None => Body::Whole(chunks.into_iter().next().unwrap_or_default()),
    };
    Reply {
        status: options.status.unwrap_or(200),
        headers: vec![("content-type", content_type.to_owned())],
        delay_ms: options.delay_ms,
        event_delay_ms: options.event_delay_ms,
        body,
        cut,
    }
}

/// Ends the chunks early. A whole body counts as one event, of which half is sent.
fn cut(chunks: &mut Vec<Bytes>, after_events: Option<u32>, streamed: bool) -> bool {
    let Some(after) = after_events.map(|events| usize::try_from(events).unwrap_or(usize::MAX))
    else {
        return false;
    };
    if after >= chunks.len() {
        return false;
    }
    if streamed {
        chunks.truncate(after);
    } else if let Some(only) = chunks.first_mut() {
        only.truncate(only.len() / 2);
    }
    true
}

fn recut(chunks: &[Bytes], size: usize) -> Vec<Bytes> {
    let whole = Bytes::from(chunks.concat());
    (0..whole.len())
        .step_by(size)
        .map(|start| whole.slice(start..whole.len().min(start.saturating_add(size))))
        .collect()
}

fn array_chunks(elements: &[Bytes]) -> Vec<Bytes> {
    let last = elements.len().saturating_sub(1);
    let chunk = |(at, element): (usize, &Bytes)| {
        let open: &[u8] = if at == 0 { b"[" } else { b",\r\n" };
        let close: &[u8] = if at == last { b"]\n" } else { b"" };
        Bytes::from([open, element, close].concat())
    };
    elements.iter().enumerate().map(chunk).collect()
}

#[cfg(test)]
mod tests;

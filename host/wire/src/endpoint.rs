//! Which endpoint of which maker a request line means.
//!
//! Only the path decides, with one bit of help: two makers share `/v1/models`, `/v1/files` and
//! whatever is not known here, and there an `anthropic-version` header tells them apart.
//! A path that an upstream might read differently than this table does (empty or dotted segments,
//! needless percent-encoding) is no endpoint: else it would be passed on without its limits.

use std::borrow::Cow;

use weir_base::Operation;

use crate::dialect::Dialect;

/// What the request body of an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyKind {
    /// There is none to read.
    None,
    /// One JSON object, for [`crate::scan::scan`].
    Json,
    /// Forms, files, and whatever an unknown endpoint takes: passed on unread.
    Opaque,
}

/// What the request line says about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// The wire format of request and reply.
    pub dialect: Dialect,
    /// What is asked for.
    pub operation: Operation,
    /// The model, percent-decoded, where the path or query names it.
    pub model: Option<Cow<'a, str>>,
    /// Whether the reply is a stream, where the path decides it; else the body does.
    pub stream: Option<bool>,
    /// True where the provider serves no such call without a model.
    pub needs_model: bool,
    /// What the body is.
    pub body: BodyKind,
}

impl Endpoint<'_> {
    fn new(dialect: Dialect, operation: Operation, body: BodyKind) -> Self {
        Self {
            dialect,
            operation,
            model: None,
            stream: None,
            needs_model: false,
            body,
        }
    }

    fn with_model(dialect: Dialect, operation: Operation) -> Self {
        Self {
            needs_model: true,
            ..Self::new(dialect, operation, BodyKind::Json)
        }
    }
}

/// The endpoint that `method` and `path` (without its query) mean, or None where Weir serves no
/// such path. `anthropic_hint` says that the request carries an `anthropic-version` header.
pub fn endpoint<'a>(
    method: &str,
    path: &'a str,
    query: &str,
    anthropic_hint: bool,
) -> Option<Endpoint<'a>> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if !is_plain(path) {
        return None;
    }
    if let Some(rest) = path.strip_prefix("/v1beta/") {
        return Some(gemini(method, rest));
    }
    let rest = path.strip_prefix("/v1/")?;
    if let Some(call) = model_and_method(method, rest) {
        return Some(gemini_call(call));
    }
    Some(openai_or_anthropic(method, rest, query, anthropic_hint))
}

/// The same Gemini path with another model, or None where the path names none.
pub fn gemini_path_with_model(path: &str, model: &str) -> Option<String> {
    let at = path.find("/models/")? + "/models/".len();
    let (head, tail) = path.split_at_checked(at)?;
    let (_, method) = tail.rsplit_once(':')?;
    let mut out = String::with_capacity(path.len() + model.len());
    out.push_str(head);
    encode_segment(model, &mut out);
    out.push(':');
    out.push_str(method);
    Some(out)
}

fn openai_or_anthropic<'a>(
    method: &str,
    rest: &'a str,
    query: &str,
    anthropic_hint: bool,
) -> Endpoint<'a> {
    use Dialect::{OpenaiChat, OpenaiCompletions, OpenaiEmbeddings, OpenaiOther, OpenaiResponses};
    let post = method == "POST";
    match rest {
        "chat/completions" if post => Endpoint::with_model(OpenaiChat, Operation::Chat),
        "responses" | "responses/compact" if post => {
            Endpoint::with_model(OpenaiResponses, Operation::Chat)
        }
        "responses/input_tokens" if post => {
            Endpoint::with_model(OpenaiResponses, Operation::CountTokens)
        }
        "completions" if post => Endpoint::with_model(OpenaiCompletions, Operation::Completion),
        "embeddings" if post => Endpoint::with_model(OpenaiEmbeddings, Operation::Embedding),
        "rerank" if post => Endpoint::with_model(OpenaiOther, Operation::Rerank),
        "audio/speech" if post => Endpoint::with_model(OpenaiOther, Operation::Speech),
        "moderations" if post => Endpoint::new(OpenaiOther, Operation::Moderation, BodyKind::Json),
        "images/generations" if post => {
            Endpoint::new(OpenaiOther, Operation::Image, BodyKind::Json)
        }
        "batches" if post => Endpoint::new(OpenaiOther, Operation::Batch, BodyKind::Json),
        "realtime" => Endpoint {
            model: query_value(query, "model")
                .map(|model| Cow::Owned(percent_decode(model).into_owned())),
            ..Endpoint::new(OpenaiOther, Operation::Realtime, body_of(method))
        },
        "messages" if post => Endpoint::with_model(Dialect::AnthropicMessages, Operation::Chat),
        "messages/count_tokens" if post => {
            Endpoint::with_model(Dialect::AnthropicMessages, Operation::CountTokens)
        }
        "complete" if post => Endpoint::with_model(Dialect::AnthropicOther, Operation::Completion),
        "messages/batches" if post => {
            Endpoint::new(Dialect::AnthropicOther, Operation::Batch, BodyKind::Json)
        }
        _ => by_first_segment(method, rest, anthropic_hint),
    }
}

/// Everything that is told apart by its first segment only.
fn by_first_segment<'a>(method: &str, rest: &'a str, anthropic_hint: bool) -> Endpoint<'a> {
    let (first, tail) = rest
        .split_once('/')
        .map_or((rest, None), |(first, tail)| (first, Some(tail)));
    let shared = if anthropic_hint {
        Dialect::AnthropicOther
    } else {
        Dialect::OpenaiOther
    };
    let (dialect, operation) = match first {
        "images" => (Dialect::OpenaiOther, Operation::Image),
        "audio" => (Dialect::OpenaiOther, Operation::Transcription),
        "videos" => (Dialect::OpenaiOther, Operation::Video),
        "uploads" => (Dialect::OpenaiOther, Operation::File),
        "batches" => (Dialect::OpenaiOther, Operation::Batch),
        "realtime" => (Dialect::OpenaiOther, Operation::Realtime),
        "chat" | "responses" => (Dialect::OpenaiOther, Operation::Other),
        "messages" if tail.is_some_and(|tail| tail.starts_with("batches")) => {
            (Dialect::AnthropicOther, Operation::Batch)
        }
        "messages" | "complete" => (Dialect::AnthropicOther, Operation::Other),
        "models" => {
            let endpoint = Endpoint::new(shared, Operation::Models, body_of(method));
            return Endpoint {
                model: tail.map(percent_decode),
                ..endpoint
            };
        }
        "files" => (shared, Operation::File),
        _ => (shared, Operation::Other),
    };
    Endpoint::new(dialect, operation, body_of(method))
}

fn gemini<'a>(method: &str, rest: &'a str) -> Endpoint<'a> {
    if let Some(call) = model_and_method(method, rest) {
        return gemini_call(call);
    }
    if let Some(model) = rest.strip_prefix("models/") {
        let endpoint = Endpoint::new(Dialect::GeminiOther, Operation::Models, body_of(method));
        return Endpoint {
            model: Some(percent_decode(model)),
            ..endpoint
        };
    }
    let operation = match rest.split('/').next().unwrap_or(rest) {
        "models" | "tunedModels" => Operation::Models,
        "files" => Operation::File,
        "batches" => Operation::Batch,
        "interactions" if method == "POST" && rest == "interactions" => {
            return Endpoint::new(Dialect::GeminiOther, Operation::Chat, BodyKind::Json);
        }
        _ => Operation::Other,
    };
    Endpoint::new(Dialect::GeminiOther, operation, body_of(method))
}

/// `models/{model}:{method}`. Only ever posted: the names of OpenAI's fine-tuned models, which are
/// looked up and deleted under the same path, have colons too.
fn model_and_method<'a>(method: &str, rest: &'a str) -> Option<(&'a str, &'a str)> {
    if method != "POST" {
        return None;
    }
    rest.strip_prefix("models/")?.rsplit_once(':')
}

fn gemini_call<'a>((model, method): (&'a str, &str)) -> Endpoint<'a> {
    use Dialect::{GeminiGenerate, GeminiOther};
    let (dialect, operation, stream) = match method {
        "generateContent" => (GeminiGenerate, Operation::Chat, false),
        "streamGenerateContent" => (GeminiGenerate, Operation::Chat, true),
        "countTokens" => (GeminiGenerate, Operation::CountTokens, false),
        "embedContent" | "batchEmbedContents" => (GeminiOther, Operation::Embedding, false),
        "batchGenerateContent" | "asyncBatchEmbedContent" => (GeminiOther, Operation::Batch, false),
        "predict" => (GeminiOther, Operation::Image, false),
        "predictLongRunning" => (GeminiOther, Operation::Video, false),
        _ => (GeminiOther, Operation::Other, false),
    };
    Endpoint {
        model: Some(percent_decode(model)),
        stream: Some(stream),
        ..Endpoint::with_model(dialect, operation)
    }
}

/// Methods that carry no body have none; what the others carry is not known.
fn body_of(method: &str) -> BodyKind {
    match method {
        "GET" | "HEAD" | "DELETE" | "OPTIONS" => BodyKind::None,
        _ => BodyKind::Opaque,
    }
}

/// True where no normalisation that an upstream may do can turn the path into another one.
/// Percent-encoding is let in behind `/models/`, where model names with slashes need it; what it
/// hides must be plain too.
fn is_plain(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else {
        return false;
    };
    let (head, tail) = path
        .find("/models/")
        .and_then(|at| path.split_at_checked(at))
        .unwrap_or((path, ""));
    if path.contains(['\\', '#', '?']) || head.contains('%') {
        return false;
    }
    let no_dots = |text: &str| text.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !tail.contains('%') {
        return no_dots(segments);
    }
    let decoded = percent_decode(tail);
    !decoded.contains(['%', '\\']) && no_dots(segments) && no_dots(decoded.trim_start_matches('/'))
}

fn query_value<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Decodes `%XX`. What is no valid escape, or does not decode to UTF-8, stays as it is.
fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        let escaped = match bytes {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        out.push(escaped.unwrap_or(*first));
        bytes = if escaped.is_some() {
            bytes.get(3..).unwrap_or(&[])
        } else {
            rest
        };
    }
    String::from_utf8(out).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Everything but unreserved characters and `@` (Vertex versions) is encoded, slashes and colons
/// too: a model name must not become a path or a method.
fn encode_segment(text: &str, out: &mut String) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'@') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.extend(DIGITS.get(usize::from(nibble)));
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! From what came to why it is no reply: by the kind of a failure, or by a provider's own words.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use weir_base::Usage;
use weir_upstream::{BodyError, SendError, SendErrorKind};
use weir_wire::dialect::{Dialect, Family};
use weir_wire::error::dead_key;
use weir_wire::usage::{StreamReport, StreamUsage, read_whole};

use super::cause::Cause;
use crate::pipeline::exchange::{Break, Came};
use crate::pipeline::target::is_event_stream;

/// Characters of a provider's own message that are passed on.
const MESSAGE_MAX_CHARS: usize = 300;

/// A cause, in words.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) cause: Cause,
    pub(super) message: String,
}

impl Finding {
    pub(super) fn new(cause: Cause, message: &str) -> Self {
        Self {
            cause,
            message: message.to_owned(),
        }
    }

    /// The advice, and what was seen in brackets.
    fn seen(cause: Cause, seen: &str) -> Self {
        let advice = cause.advice();
        let message = match seen {
            "" => advice.to_owned(),
            seen => format!("{advice} ({seen})"),
        };
        Self { cause, message }
    }
}

/// What is wrong with what came; none where it is a reply in `dialect`. `secret` appears in no
/// message.
pub(super) fn judge(dialect: Dialect, came: &Came, secret: &str) -> Option<Finding> {
    let (headers, body) = match answered(came, secret) {
        Ok(reply) => reply,
        Err(finding) => return Some(finding),
    };
    if is_event_stream(headers) {
        judge_stream(&report(dialect, body), body, secret)
    } else {
        judge_whole(dialect, headers, body, secret)
    }
}

/// The same for a list of models.
pub(super) fn judge_list(family: Family, came: &Came, secret: &str) -> Option<Finding> {
    let (headers, body) = match answered(came, secret) {
        Ok(reply) => reply,
        Err(finding) => return Some(finding),
    };
    if is_page(headers, body) {
        return Some(Finding::seen(Cause::BaseUrlWrong, "a web page came"));
    }
    let list = match family {
        Family::Gemini => "models",
        Family::Openai | Family::Anthropic => "data",
    };
    let found: Option<Value> = serde_json::from_slice(body).ok();
    let is_list = found.is_some_and(|found| found.get(list).is_some_and(Value::is_array));
    (!is_list).then(|| {
        Finding::new(
            Cause::BadReply,
            "The provider gave no list of models; name the models to test.",
        )
    })
}

/// Whether a provider refused OpenAI's older word for the bound on the output.
pub(super) fn wants_other_bound(came: &Came) -> bool {
    let Came::Reply {
        status: 400 | 422,
        body,
        ..
    } = came
    else {
        return false;
    };
    body.windows(b"max_completion_tokens".len())
        .any(|word| word == b"max_completion_tokens")
}

/// Finds out about a reply that is none or an error; else gives its parts.
pub(super) fn answered<'a>(
    came: &'a Came,
    secret: &str,
) -> Result<(&'a HeaderMap, &'a [u8]), Finding> {
    match came {
        Came::Reply {
            status,
            headers,
            body,
        } => {
            if *status < 300 {
                Ok((headers, body))
            } else {
                Err(of_error(*status, headers, body, secret))
            }
        }
        Came::Nothing(error) => Err(of_send(error)),
        Came::Broken { why, .. } => Err(of_break(why)),
        Came::Unsent => Err(Finding::seen(Cause::NotSent, "")),
    }
}

/// What a stream reports of itself.
fn report(dialect: Dialect, body: &[u8]) -> StreamReport {
    let mut stream = StreamUsage::new(dialect);
    stream.push(body);
    stream.finish()
}

/// What a reply says was used; nothing where it is an error.
pub(super) fn usage_of(dialect: Dialect, came: &Came) -> Option<Usage> {
    let Came::Reply {
        status: 200..300,
        headers,
        body,
    } = came
    else {
        return None;
    };
    if is_event_stream(headers) {
        report(dialect, body).usage
    } else {
        read_whole(dialect, body)
    }
}

fn of_break(why: &Break) -> Finding {
    match why {
        Break::Body(error) => {
            let cause = match error {
                BodyError::IdleTimeout | BodyError::TotalTimeout => Cause::TimedOut,
                BodyError::Broken(_) => Cause::BadReply,
            };
            Finding::seen(cause, &error.to_string())
        }
        Break::TooLarge => Finding::seen(Cause::BadReply, "the reply is too large"),
        Break::AsTold => Finding::seen(Cause::BadReply, "it was told to break off"),
    }
}

fn of_send(error: &SendError) -> Finding {
    let cause = match error.kind {
        SendErrorKind::Dns => Cause::DnsFailed,
        SendErrorKind::Refused => Cause::ConnectionRefused,
        SendErrorKind::Connect => Cause::ConnectionFailed,
        SendErrorKind::ConnectTimeout => Cause::ConnectionTimedOut,
        SendErrorKind::CertificateExpired => Cause::TlsExpired,
        SendErrorKind::CertificateUnknown => Cause::TlsUnknownCa,
        SendErrorKind::CertificateName => Cause::TlsWrongName,
        SendErrorKind::Tls | SendErrorKind::TlsTimeout => Cause::TlsFailed,
        SendErrorKind::Proxy => Cause::ProxyFailed,
        SendErrorKind::ProxyAuth => Cause::ProxyLoginRefused,
        SendErrorKind::ProxyTarget => Cause::ProxyTargetRefused,
        SendErrorKind::FirstByteTimeout
        | SendErrorKind::TotalTimeout
        | SendErrorKind::TooManyConnections => Cause::TimedOut,
        SendErrorKind::Closed => Cause::ConnectionClosed,
        SendErrorKind::Protocol => Cause::NotHttp,
        SendErrorKind::RequestBody => Cause::NotSent,
    };
    Finding::seen(cause, &error.to_string())
}

/// What a provider's error says.
#[derive(Default)]
struct Said {
    /// Code, type and status, in lower case, and the message in lower case behind them.
    lower: String,
    /// The message as it stands.
    message: String,
    is_json: bool,
}

impl Said {
    fn has(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.lower.contains(word))
    }
}

fn of_error(status: u16, headers: &HeaderMap, body: &[u8], secret: &str) -> Finding {
    let said = read(body);
    let cause = cause_of(status, is_page(headers, body), &said, body);
    // Providers quote keys in what they say of them, sometimes with most of their letters.
    let about_key = matches!(cause, Cause::KeyDead | Cause::KeyRefused);
    let words = if about_key {
        String::new()
    } else {
        quoted(&said.message, secret)
    };
    let seen = match words.as_str() {
        "" => format!("status {status}"),
        words => format!("status {status}: {words}"),
    };
    Finding::seen(cause, &seen)
}

fn cause_of(status: u16, is_page: bool, said: &Said, body: &[u8]) -> Cause {
    const QUOTA: &[&str] = &[
        "quota", "billing", "balance", "credit", "arrears", "payment",
    ];
    const NO_MODEL: &[&str] = &[
        "model_not_found",
        "model_not_exist",
        "access to model",
        "unknown model",
        "invalid model",
        "no such model",
    ];
    if said.has(NO_MODEL) && status >= 400 {
        return Cause::ModelUnknown;
    }
    if dead_key(status, body).is_some() {
        return if status == 402 || said.has(QUOTA) {
            Cause::QuotaExhausted
        } else {
            Cause::KeyDead
        };
    }
    let names_model = said.has(&["model"]);
    match status {
        401 => Cause::KeyRefused,
        402 => Cause::QuotaExhausted,
        403 if is_page => Cause::BaseUrlWrong,
        403 if said.has(QUOTA) => Cause::QuotaExhausted,
        403 => Cause::KeyRefused,
        404 if said.is_json && names_model => Cause::ModelUnknown,
        300..=399 | 404 | 405 => Cause::BaseUrlWrong,
        408 => Cause::TimedOut,
        429 if said.has(&["insufficient_quota", "insufficient balance"]) => Cause::QuotaExhausted,
        429 => Cause::RateLimited,
        500.. => Cause::ProviderError,
        _ if is_page => Cause::BaseUrlWrong,
        400 | 422 if names_model && said.has(&["not exist", "not found", "not a valid model"]) => {
            Cause::ModelUnknown
        }
        _ => Cause::RequestRefused,
    }
}

fn read(body: &[u8]) -> Said {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return Said::default();
    };
    let mut said = Said {
        is_json: true,
        ..Said::default()
    };
    // Gemini wraps errors in an array where a stream without `alt=sse` was asked for.
    let top = value.get(0).unwrap_or(&value);
    let inner = top
        .get("error")
        .or_else(|| top.get("errors").and_then(|errors| errors.get(0)));
    for object in [inner, Some(top)].into_iter().flatten() {
        for field in ["code", "type", "status", "message", "detail"] {
            if let Some(text) = object.get(field).and_then(Value::as_str) {
                said.lower.push_str(&text.to_ascii_lowercase());
                said.lower.push('\n');
            }
        }
        let texts = [object.get("message"), object.get("detail"), Some(object)];
        let text = texts.into_iter().flatten().find_map(Value::as_str);
        if let Some(text) = text.filter(|_| said.message.is_empty()) {
            text.clone_into(&mut said.message);
            said.lower.push_str(&text.to_ascii_lowercase());
        }
    }
    said
}

/// A provider's words, without the secret, without line breaks, and not for ever.
pub(super) fn quoted(text: &str, secret: &str) -> String {
    let hidden = match secret {
        "" => text.to_owned(),
        secret => text.replace(secret, "…"),
    };
    let plain = hidden.chars().map(|character| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    });
    plain.take(MESSAGE_MAX_CHARS).collect()
}

fn judge_stream(report: &StreamReport, body: &[u8], secret: &str) -> Option<Finding> {
    if report.error {
        let said = error_event(body).unwrap_or_default();
        return Some(Finding::seen(
            Cause::ProviderError,
            &quoted(&said.message, secret),
        ));
    }
    let problem = match (report.events, report.finished) {
        (0, _) => "a stream without events came",
        (_, false) => "the stream ended before its end",
        (_, true) => return None,
    };
    Some(Finding::seen(Cause::BadReply, problem))
}

/// The error inside a stream.
fn error_event(body: &[u8]) -> Option<Said> {
    let text = std::str::from_utf8(body).ok()?;
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    data.map(|data| read(data.trim().as_bytes()))
        .find(|said| !said.message.is_empty())
}

fn judge_whole(
    dialect: Dialect,
    headers: &HeaderMap,
    body: &[u8],
    secret: &str,
) -> Option<Finding> {
    if is_page(headers, body) {
        return Some(Finding::seen(Cause::BaseUrlWrong, "a web page came"));
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        let seen = if body.is_empty() {
            "an empty reply came"
        } else {
            "what came is not JSON"
        };
        return Some(Finding::seen(Cause::BadReply, seen));
    };
    if value.get("error").is_some_and(|error| !error.is_null()) {
        // Some resellers report errors with status 200.
        let said = read(body);
        let cause = match cause_of(400, false, &said, body) {
            Cause::RequestRefused => Cause::BadReply,
            cause => cause,
        };
        let words = match cause {
            Cause::KeyDead => String::new(),
            _ => quoted(&said.message, secret),
        };
        return Some(Finding::seen(cause, &words));
    }
    let fields: &[&str] = match dialect {
        Dialect::OpenaiEmbeddings => &["data"],
        Dialect::AnthropicMessages => &["content"],
        Dialect::GeminiGenerate => &["candidates", "promptFeedback"],
        Dialect::GeminiOther => &["embedding", "embeddings"],
        _ => &["choices"],
    };
    let fits = fields.iter().any(|field| value.get(field).is_some());
    (!fits).then(|| {
        let lacks = format!("JSON without `{}` came", fields.first().unwrap_or(&""));
        Finding::seen(Cause::BadReply, &lacks)
    })
}

/// Whether a web page came in place of an API's reply.
pub(super) fn is_page(headers: &HeaderMap, body: &[u8]) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().starts_with("text/html"))
        || body.trim_ascii_start().starts_with(b"<")
}

#[cfg(test)]
mod tests;

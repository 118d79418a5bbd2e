//! Has a stream begun to say something, or does it begin with an error?
//!
//! A stream whose first events are only ceremony (who speaks, which id) may still be given up for
//! another without anybody noticing. Told from the bytes of one event, without a tree: the answer is
//! needed while the caller waits for the first of them. In doubt an event counts as content, which
//! sends it on.

use memchr::memmem;

use crate::Dialect;
use crate::sse::{Event, Kind};

/// What one event at the beginning of a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Ceremony: the caller loses nothing if it comes from another provider.
    Opening,
    /// A part of the answer, or anything that is not known here.
    Content,
    /// The provider gives up: an error that is not the caller's doing.
    Failure,
}

/// Anthropic's and OpenAI Responses' events that carry nothing of an answer.
const OPENINGS: &[&str] = &[
    "message_start",
    "ping",
    "content_block_start",
    "response.created",
    "response.in_progress",
    "response.queued",
    "response.output_item.added",
    "response.content_part.added",
];

/// What says of an error that the request is to blame: another provider would say the same, or the
/// caller must hear it.
const CALLERS_OWN: &[&[u8]] = &[
    b"invalid_request",
    b"invalid_prompt",
    b"context_length",
    b"content_policy",
    b"content_filter",
    b"not_found",
    b"request_too_large",
    b"INVALID_ARGUMENT",
    b"FAILED_PRECONDITION",
];

/// What this event of a stream's beginning is.
pub fn said(dialect: Dialect, event: &Event<'_>) -> Said {
    match event.kind {
        Kind::Silent => return Said::Opening,
        Kind::Opaque => return Said::Content,
        Kind::Message => {}
    }
    match dialect {
        Dialect::AnthropicMessages | Dialect::AnthropicOther | Dialect::OpenaiResponses => {
            by_type(event)
        }
        Dialect::OpenaiChat
        | Dialect::OpenaiCompletions
        | Dialect::OpenaiEmbeddings
        | Dialect::OpenaiOther => openai_chunk(event.data),
        Dialect::GeminiGenerate | Dialect::GeminiOther => {
            if has_error(event.data) {
                failure(event.data)
            } else {
                Said::Content
            }
        }
    }
}

fn by_type(event: &Event<'_>) -> Said {
    let of_data = || value(event.data, b"\"type\"").and_then(string);
    let kind = event.name.or_else(of_data).unwrap_or_default();
    if OPENINGS.contains(&kind) {
        Said::Opening
    } else if matches!(kind, "error" | "response.failed") {
        failure(event.data)
    } else {
        Said::Content
    }
}

/// A chunk of a chat: the first names the role and says nothing.
fn openai_chunk(data: &[u8]) -> Said {
    if has_error(data) {
        return failure(data);
    }
    let is_empty = |member: &[u8]| {
        value(data, member).is_none_or(|value| value.starts_with(b"\"\"") || is_null(value))
    };
    let choices = value(data, b"\"choices\"").unwrap_or_default();
    let no_choice = choices
        .strip_prefix(b"[")
        .is_some_and(|rest| rest.trim_ascii_start().starts_with(b"]"));
    let only_role = memmem::find(data, b"\"role\"").is_some()
        && is_empty(b"\"content\"")
        && is_empty(b"\"reasoning_content\"")
        && is_empty(b"\"reasoning\"")
        && is_empty(b"\"refusal\"")
        && is_empty(b"\"finish_reason\"")
        && is_empty(b"\"tool_calls\"")
        && is_empty(b"\"function_call\"");
    if no_choice || only_role {
        Said::Opening
    } else {
        Said::Content
    }
}

/// An error where a chunk should be. What a model says about errors stands in a string, where its
/// quotes are escaped.
fn has_error(data: &[u8]) -> bool {
    value(data, b"\"error\"").is_some_and(|value| !is_null(value))
}

fn failure(data: &[u8]) -> Said {
    let callers = CALLERS_OWN
        .iter()
        .any(|word| memmem::find(data, word).is_some());
    if callers {
        Said::Content
    } else {
        Said::Failure
    }
}

/// The bytes behind the first `member` and its colon.
pub(crate) fn value<'a>(data: &'a [u8], member: &[u8]) -> Option<&'a [u8]> {
    let mut from = 0;
    while let Some(at) = memmem::find(data.get(from..)?, member) {
        let rest = data.get(from + at + member.len()..)?.trim_ascii_start();
        if let Some(value) = rest.strip_prefix(b":") {
            return Some(value.trim_ascii_start());
        }
        from += at + member.len();
    }
    None
}

fn is_null(value: &[u8]) -> bool {
    value.starts_with(b"null")
}

/// A string that begins here and needs no unescaping.
pub(crate) fn string(value: &[u8]) -> Option<&str> {
    let rest = value.strip_prefix(b"\"")?;
    let end = memchr::memchr2(b'"', b'\\', rest)?;
    (rest.get(end) == Some(&b'"'))
        .then(|| std::str::from_utf8(rest.get(..end)?).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse::Splitter;

    fn all(dialect: Dialect, stream: &str) -> Vec<Said> {
        let mut seen = Vec::new();
        let mut splitter = Splitter::new();
        splitter.push(stream.as_bytes(), |event| seen.push(said(dialect, &event)));
        seen
    }

    #[test]
    fn ceremony_is_told_from_content() {
        use Said::{Content, Opening};
        let chat = concat!(
            ": OPENROUTER PROCESSING\n\n",
            "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"finish_reason\":null}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"the \\\"error\\\": x\"}}]}\n\n",
        );
        assert_eq!(
            all(Dialect::OpenaiChat, chat),
            [Opening, Opening, Opening, Content]
        );
        let tools = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]}}]}\n\n";
        assert_eq!(all(Dialect::OpenaiChat, tools), [Content]);
        let anthropic = concat!(
            "event: message_start\ndata: {\"type\":\"message_start\"}\n\n",
            "event: ping\ndata: {\"type\": \"ping\"}\n\n",
            "event: content_block_start\ndata: {}\n\n",
            "event: content_block_delta\ndata: {}\n\n",
        );
        assert_eq!(
            all(Dialect::AnthropicMessages, anthropic),
            [Opening, Opening, Opening, Content]
        );
        let responses = "data: {\"type\":\"response.created\"}\n\ndata: {\"type\":\"response.output_text.delta\"}\n\n";
        assert_eq!(all(Dialect::OpenaiResponses, responses), [Opening, Content]);
    }

    #[test]
    fn errors_are_failures_unless_they_are_the_callers() {
        use Said::{Content, Failure};
        let overloaded = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
        assert_eq!(all(Dialect::AnthropicMessages, overloaded), [Failure]);
        let server = "data: {\"error\": {\"type\":\"server_error\"}}\n\n";
        assert_eq!(all(Dialect::OpenaiChat, server), [Failure]);
        assert_eq!(all(Dialect::GeminiGenerate, server), [Failure]);
        let own = "event: error\ndata: {\"error\":{\"code\":\"context_length_exceeded\"}}\n\n";
        assert_eq!(all(Dialect::OpenaiResponses, own), [Content]);
    }
}

//! Ids of what a provider keeps for an account: files, batches, stored responses, containers.
//!
//! Such an id means something only to the account that made it, so a call that names one must go
//! back there. Read from paths and bodies without a tree; what looks like an id and is none does no
//! harm, for nobody has made it.

use crate::Dialect;
use crate::opening::{string, value};

/// Bytes at the beginning of a reply in which it says its own id.
const HEAD_BYTES: usize = 4_096;
/// Most ids of one request that are looked at.
const NAMED_MAX: usize = 8;

/// Hands every id that a request names to `each`, until that says enough by returning true.
pub fn named(dialect: Dialect, path: &str, body: &[u8], mut each: impl FnMut(&str) -> bool) {
    let is_other = matches!(
        dialect,
        Dialect::OpenaiOther | Dialect::AnthropicOther | Dialect::GeminiOther
    );
    if is_other && in_path(path, &mut each) {
        return;
    }
    let members: &[&[u8]] = match dialect {
        Dialect::OpenaiResponses => &[
            b"previous_response_id\"",
            b"file_id\"",
            b"\"conversation\"",
            b"\"container\"",
        ],
        Dialect::OpenaiChat => &[b"file_id\""],
        Dialect::AnthropicMessages => &[b"file_id\"", b"\"container\""],
        Dialect::OpenaiOther | Dialect::AnthropicOther => &[b"file_id\"", b"response_id\""],
        Dialect::GeminiGenerate | Dialect::GeminiOther => {
            &[b"\"cachedContent\"", b"ileUri\"", b"ile_uri\""]
        }
        Dialect::OpenaiCompletions | Dialect::OpenaiEmbeddings => &[],
    };
    for member in members {
        let mut rest = body;
        for _ in 0..NAMED_MAX {
            let Some(found) = value(rest, member) else {
                break;
            };
            if string(found).is_some_and(|id| each(bare(id))) {
                return;
            }
            rest = found;
        }
    }
}

fn in_path(path: &str, each: &mut impl FnMut(&str) -> bool) -> bool {
    path.split('/').any(|segment| {
        let id = segment.split(':').next().unwrap_or(segment);
        is_id(id) && each(id)
    })
}

/// Whether replies of this dialect can say that something was made.
pub fn makes(dialect: Dialect) -> bool {
    use Dialect::{AnthropicMessages, AnthropicOther, GeminiOther, OpenaiOther, OpenaiResponses};
    matches!(
        dialect,
        OpenaiResponses | OpenaiOther | AnthropicMessages | AnthropicOther | GeminiOther
    )
}

/// The id that a reply gives what it made, where this is a reply that makes something. `body` is
/// the reply or its beginning, which may be a stream's.
pub fn made(dialect: Dialect, body: &[u8]) -> Option<&str> {
    let head = body.get(..HEAD_BYTES).unwrap_or(body);
    let id = match dialect {
        Dialect::OpenaiResponses | Dialect::OpenaiOther | Dialect::AnthropicOther => {
            value(head, b"\"id\"").and_then(string)?
        }
        // The message itself is not kept; the container that its tools ran in is.
        Dialect::AnthropicMessages => {
            let container = value(body, b"\"container\"")?;
            container
                .starts_with(b"{")
                .then(|| value(container, b"\"id\"").and_then(string))??
        }
        Dialect::GeminiOther => bare(value(head, b"\"name\"").and_then(string)?),
        _ => return None,
    };
    is_id(id).then_some(id)
}

/// Gemini's names are paths, and its URIs end in them: the last segment is the id.
fn bare(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// Long enough to be nobody's word, and made of what ids are made of.
fn is_id(text: &str) -> bool {
    (8..=256).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && text.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(dialect: Dialect, path: &str, body: &str) -> Vec<String> {
        let mut ids = Vec::new();
        named(dialect, path, body.as_bytes(), |id| {
            ids.push(id.to_owned());
            false
        });
        ids
    }

    #[test]
    fn ids_are_found_where_each_dialect_has_them() {
        let path = "/v1/responses/resp_0123abcd/input_items";
        assert_eq!(all(Dialect::OpenaiOther, path, ""), ["resp_0123abcd"]);
        let path = "/v1beta/files/abc123def456:download";
        assert_eq!(all(Dialect::GeminiOther, path, ""), ["abc123def456"]);
        let body = r#"{"previous_response_id": "resp_0123abcd", "input": "\"file_id\": \"file-x\"", "x": {"file_id":"file-0123abc"}}"#;
        assert_eq!(
            all(Dialect::OpenaiResponses, "/v1/responses", body),
            ["resp_0123abcd", "file-0123abc"]
        );
        let body = r#"{"contents":[{"parts":[{"fileData":{"fileUri":"https://x/v1beta/files/abc123def456"}}]}],"cachedContent":"cachedContents/zz99zz99"}"#;
        assert_eq!(
            all(
                Dialect::GeminiGenerate,
                "/v1beta/models/g:generateContent",
                body
            ),
            ["zz99zz99", "abc123def456"]
        );
        assert_eq!(
            all(Dialect::OpenaiChat, "/v1/chat/completions", "{}"),
            [""; 0]
        );
    }

    #[test]
    fn a_reply_names_what_it_made() {
        let stream = br#"event: response.created
data: {"type":"response.created","response":{"id":"resp_0123abcd","object":"response"}}"#;
        assert_eq!(
            made(Dialect::OpenaiResponses, stream),
            Some("resp_0123abcd")
        );
        let file = br#"{"file": {"name": "files/abc123def456", "mimeType": "text/plain"}}"#;
        assert_eq!(made(Dialect::GeminiOther, file), Some("abc123def456"));
        let message = br#"{"id":"msg_01","container":{"id":"container_011","expires_at":"x"}}"#;
        assert_eq!(
            made(Dialect::AnthropicMessages, message),
            Some("container_011")
        );
        assert_eq!(
            made(
                Dialect::AnthropicMessages,
                br#"{"id":"msg_01","container":null}"#
            ),
            None
        );
        assert_eq!(made(Dialect::OpenaiChat, br#"{"id":"chatcmpl-123"}"#), None);
    }
}

//! Does a provider's error say that another model could serve the same request?
//!
//! Read from status, codes and messages of errors as providers send them. A wrong yes costs a call
//! to another model, a wrong no leaves the caller with the provider's own error.

use serde_json::Value;

/// Why this model does not serve the request, where another might.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The prompt, or prompt and answer together, do not fit into the model's window.
    ContextLength,
    /// The provider's filter does not let it through.
    Content,
}

/// Codes of `code`, `type` and `status`, in lower case.
const LENGTH_CODES: &[&str] = &[
    "context_length_exceeded",
    "exceed_context_size_error",
    "context_window_exceeded",
    "model_context_window_exceeded",
    "request_too_large",
    "string_above_max_length",
];
const CONTENT_CODES: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "moderation_blocked",
    "data_inspection_failed",
    "sensitive_words_detected",
    "content_blocked",
];

/// Pieces of messages, in lower case.
const LENGTH_PHRASES: &[&str] = &[
    "maximum context length",
    "maximum prompt length",
    "context window",
    "context length",
    "context size",
    "prompt is too long",
    "input is too long",
    "input token count",
    "too many tokens in the prompt",
    "reduce the length of the messages",
    "exceeds the available context",
];
const CONTENT_PHRASES: &[&str] = &[
    "content management policy",
    "content filtering policy",
    "safety system",
    "usage policies",
    "content violates usage guidelines",
    "output blocked by content filtering",
];

/// What the error body of this status refuses, if it is one of these.
pub fn refusal(status: u16, body: &[u8]) -> Option<Refusal> {
    if !matches!(status, 400 | 403 | 413 | 422) {
        return None;
    }
    let value: Value = serde_json::from_slice(body).ok()?;
    let value = value.get(0).unwrap_or(&value);
    let error = value.get("error").unwrap_or(value);
    let mut codes = Vec::new();
    for place in [error, value] {
        for name in ["code", "type", "status"] {
            codes.extend(place.get(name).and_then(Value::as_str));
        }
    }
    let inner = error.pointer("/innererror/code").and_then(Value::as_str);
    codes.extend(inner);
    let has = |known: &[&str]| {
        let known = |code: &&str| known.iter().any(|word| word.eq_ignore_ascii_case(code));
        codes.iter().any(known)
    };
    let message = [error.get("message"), Some(error)]
        .into_iter()
        .flatten()
        .find_map(Value::as_str)
        .unwrap_or_default()
        .to_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| message.contains(phrase));
    if has(CONTENT_CODES) {
        Some(Refusal::Content)
    } else if has(LENGTH_CODES) || says(LENGTH_PHRASES) {
        Some(Refusal::ContextLength)
    } else if says(CONTENT_PHRASES) {
        Some(Refusal::Content)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_say_it_in_their_own_words() {
        use Refusal::{Content, ContextLength};
        let cases = [
            (
                400,
                r#"{"error":{"message":"This model's maximum context length is 8192 tokens.","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
                Some(ContextLength),
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"request (2009 tokens) exceeds the available context size (512 tokens), try increasing it","n_ctx":512,"n_prompt_tokens":2009,"type":"exceed_context_size_error"}}"#,
                Some(ContextLength),
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
                Some(ContextLength),
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
                Some(ContextLength),
            ),
            (
                400,
                r#"{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                Some(Content),
            ),
            (
                400,
                r#"{"error":{"message":"max_tokens must be positive","type":"invalid_request_error"}}"#,
                None,
            ),
            (500, r#"{"error":{"code":"context_length_exceeded"}}"#, None),
        ];
        for (status, body, expected) in cases {
            assert_eq!(refusal(status, body.as_bytes()), expected, "{body}");
        }
    }
}

//! The smallest question that shows whether a model answers, in each dialect.

use bytes::Bytes;
use http::Uri;
use serde_json::{Value, json};
use weir_base::Operation;
use weir_wire::dialect::{Dialect, Family};
use weir_wire::endpoint::gemini_path_with_model;

use crate::pipeline::inner::Question;

/// Tokens of the answer at most. Some providers refuse less.
const OUTPUT_TOKENS_MAX: u32 = 16;
const PROMPT: &str = "Reply with OK.";

/// How the bound on the output is called. OpenAI's newer models refuse the old word, most other
/// servers do not know the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    MaxTokens,
    MaxCompletionTokens,
}

/// Whether `model` makes vectors rather than text, as far as its name tells.
pub(super) fn embeds(model: &str) -> bool {
    let model = model.to_ascii_lowercase();
    let name = model.rsplit('/').next().unwrap_or(&model);
    name.contains("embed")
        || ["bge-", "e5-", "gte-", "voyage-"]
            .iter()
            .any(|start| name.starts_with(start))
            && !name.contains("rerank")
}

/// A few tokens of chat, or one short vector.
pub(super) fn minimal(family: Family, model: &str, stream: bool, bound: Bound) -> Question {
    match (family, embeds(model)) {
        (Family::Openai, true) => question(
            Dialect::OpenaiEmbeddings,
            Operation::Embedding,
            "/v1/embeddings",
            &json!({ "model": model, "input": PROMPT }),
        ),
        (Family::Gemini, true) => question(
            Dialect::GeminiOther,
            Operation::Embedding,
            &gemini_path(model, "embedContent"),
            &json!({ "content": { "parts": [{ "text": PROMPT }] } }),
        ),
        (Family::Openai, false) => {
            let mut body = json!({ "model": model, "messages": turns() });
            if let Some(fields) = body.as_object_mut() {
                let name = match bound {
                    Bound::MaxTokens => "max_tokens",
                    Bound::MaxCompletionTokens => "max_completion_tokens",
                };
                fields.insert(name.to_owned(), json!(OUTPUT_TOKENS_MAX));
                if stream {
                    fields.insert("stream".to_owned(), json!(true));
                }
            }
            question(
                Dialect::OpenaiChat,
                Operation::Chat,
                "/v1/chat/completions",
                &body,
            )
        }
        (Family::Anthropic, _) => question(
            Dialect::AnthropicMessages,
            Operation::Chat,
            "/v1/messages",
            &json!({ "model": model, "messages": turns(), "max_tokens": OUTPUT_TOKENS_MAX, "stream": stream }),
        ),
        (Family::Gemini, false) => {
            let method = if stream {
                "streamGenerateContent?alt=sse"
            } else {
                "generateContent"
            };
            question(
                Dialect::GeminiGenerate,
                Operation::Chat,
                &gemini_path(model, method),
                &json!({
                    "contents": [{ "role": "user", "parts": [{ "text": PROMPT }] }],
                    "generationConfig": { "maxOutputTokens": OUTPUT_TOKENS_MAX },
                }),
            )
        }
    }
}

/// Which models are there?
pub(super) fn list(family: Family) -> Question {
    let (dialect, path) = match family {
        Family::Openai => (Dialect::OpenaiOther, "/v1/models"),
        Family::Anthropic => (Dialect::AnthropicOther, "/v1/models?limit=1000"),
        Family::Gemini => (Dialect::GeminiOther, "/v1beta/models?pageSize=1000"),
    };
    Question {
        dialect,
        operation: Operation::Models,
        uri: Uri::from_static(path),
        body: Bytes::new(),
    }
}

fn turns() -> Value {
    json!([{ "role": "user", "content": PROMPT }])
}

fn gemini_path(model: &str, method: &str) -> String {
    // The method is put behind the model by hand: it may bring a query.
    let path = gemini_path_with_model("/v1beta/models/any:", model).unwrap_or_default();
    path + method
}

fn question(dialect: Dialect, operation: Operation, path: &str, body: &Value) -> Question {
    Question {
        dialect,
        operation,
        uri: path.parse().unwrap_or_else(|_| Uri::from_static("/v1")),
        body: Bytes::from(body.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_go_where_each_dialect_takes_them() {
        let asked = |family, model| minimal(family, model, true, Bound::MaxTokens);
        let chat = asked(Family::Openai, "gpt-x");
        assert_eq!(chat.uri, "/v1/chat/completions");
        let body: Value = serde_json::from_slice(&chat.body).unwrap();
        assert_eq!(
            (&body["max_tokens"], &body["stream"]),
            (&json!(16), &json!(true))
        );
        assert_eq!(
            asked(Family::Openai, "text-embedding-3-small").uri,
            "/v1/embeddings"
        );
        assert_eq!(asked(Family::Anthropic, "claude-x").uri, "/v1/messages");
        assert_eq!(
            asked(Family::Gemini, "gemini-x").uri,
            "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"
        );
        assert_eq!(
            asked(Family::Gemini, "a/b").uri,
            "/v1beta/models/a%2Fb:streamGenerateContent?alt=sse"
        );
        assert_eq!(
            asked(Family::Gemini, "gemini-embedding-001").uri,
            "/v1beta/models/gemini-embedding-001:embedContent"
        );
        assert!(embeds("BAAI/bge-m3") && !embeds("gpt-4o") && !embeds("bge-reranker-v2"));
    }
}

//! The smallest question that shows whether a model answers, in each dialect.

use bytes::Bytes;
use serde_json::json;
use weir_base::Operation;
use weir_wire::dialect::{Dialect, Family};
use weir_wire::endpoint::gemini_path_with_model;

use super::exchange::Question;

/// Tokens of the answer at most. Some providers refuse less.
pub const OUTPUT_TOKENS_MAX: u64 = 16;
/// Tokens of the question, about.
pub const INPUT_TOKENS: u64 = 8;
const PROMPT: &str = "Reply with OK.";

/// How the bound on the output is called. OpenAI's newer models refuse the old word, most other
/// servers do not know the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    MaxTokens,
    MaxCompletionTokens,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The model as the provider calls it.
    pub model: &'a str,
    /// Whether it makes vectors rather than text.
    pub vector: bool,
    /// Whether a stream is wanted.
    pub stream: bool,
    /// Whether a stream is to end with its usage, where that has to be asked for.
    pub stream_usage: bool,
    /// The word for the bound.
    pub bound: Bound,
}

/// Whether `model` makes vectors rather than text, as far as its name tells.
pub fn embeds(model: &str) -> bool {
    let model = model.to_ascii_lowercase();
    let name = model.rsplit('/').next().unwrap_or(&model);
    name.contains("embed")
        || ["bge-", "e5-", "gte-", "voyage-"]
            .iter()
            .any(|start| name.starts_with(start))
            && !name.contains("rerank")
}

/// A few tokens of chat, or one short vector.
pub fn minimal(family: Family, wanted: Wanted<'_>) -> Question {
    let Wanted { model, stream, .. } = wanted;
    let turns = json!([{ "role": "user", "content": PROMPT }]);
    let (dialect, path, body) = match (family, wanted.vector) {
        (Family::Openai, true) => (
            Dialect::OpenaiEmbeddings,
            "/v1/embeddings".to_owned(),
            json!({ "model": model, "input": PROMPT }),
        ),
        (Family::Gemini, true) => (
            Dialect::GeminiOther,
            gemini_path(model, "embedContent"),
            json!({ "content": { "parts": [{ "text": PROMPT }] } }),
        ),
        (Family::Openai, false) => {
            let bound = match wanted.bound {
                Bound::MaxTokens => "max_tokens",
                Bound::MaxCompletionTokens => "max_completion_tokens",
            };
            let mut body = json!({ "model": model, "messages": turns, bound: OUTPUT_TOKENS_MAX });
            if let Some(fields) = body.as_object_mut().filter(|_| stream) {
                fields.insert("stream".to_owned(), json!(true));
                if wanted.stream_usage {
                    fields.insert(
                        "stream_options".to_owned(),
                        json!({ "include_usage": true }),
                    );
                }
            }
            (Dialect::OpenaiChat, "/v1/chat/completions".to_owned(), body)
        }
        (Family::Anthropic, _) => (
            Dialect::AnthropicMessages,
            "/v1/messages".to_owned(),
            json!({ "model": model, "messages": turns, "max_tokens": OUTPUT_TOKENS_MAX, "stream": stream }),
        ),
        (Family::Gemini, false) => {
            let path = match stream {
                true => gemini_path(model, "streamGenerateContent") + "?alt=sse",
                false => gemini_path(model, "generateContent"),
            };
            let body = json!({
                "contents": [{ "role": "user", "parts": [{ "text": PROMPT }] }],
                "generationConfig": { "maxOutputTokens": OUTPUT_TOKENS_MAX },
            });
            (Dialect::GeminiGenerate, path, body)
        }
    };
    let is_chat = matches!(
        dialect,
        Dialect::OpenaiChat | Dialect::AnthropicMessages | Dialect::GeminiGenerate
    );
    Question {
        dialect,
        operation: if is_chat {
            Operation::Chat
        } else {
            Operation::Embedding
        },
        model: model.to_owned(),
        path,
        body: Bytes::from(body.to_string()),
        stream: stream && is_chat,
    }
}

fn gemini_path(model: &str, method: &str) -> String {
    let path = gemini_path_with_model(&format!("/v1beta/models/any:{method}"), model);
    path.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(family: Family, model: &str) -> Question {
        let wanted = Wanted {
            model,
            vector: embeds(model),
            stream: true,
            stream_usage: true,
            bound: Bound::MaxTokens,
        };
        minimal(family, wanted)
    }

    #[test]
    fn questions_go_where_each_dialect_takes_them() {
        let chat = asked(Family::Openai, "gpt-x");
        assert_eq!(chat.path, "/v1/chat/completions");
        let body: serde_json::Value = serde_json::from_slice(&chat.body).unwrap();
        assert_eq!(
            body,
            json!({
                "model": "gpt-x",
                "messages": [{ "role": "user", "content": PROMPT }],
                "max_tokens": 16,
                "stream": true,
                "stream_options": { "include_usage": true },
            })
        );
        for (family, model, path) in [
            (Family::Openai, "text-embedding-3-small", "/v1/embeddings"),
            (Family::Anthropic, "claude-x", "/v1/messages"),
            (
                Family::Gemini,
                "gemini-x",
                "/v1beta/models/gemini-x:streamGenerateContent?alt=sse",
            ),
            (
                Family::Gemini,
                "a/b",
                "/v1beta/models/a%2Fb:streamGenerateContent?alt=sse",
            ),
            (
                Family::Gemini,
                "gemini-embedding-001",
                "/v1beta/models/gemini-embedding-001:embedContent",
            ),
        ] {
            assert_eq!(asked(family, model).path, path);
        }
        assert!(embeds("BAAI/bge-m3") && !embeds("gpt-4o") && !embeds("bge-reranker-v2"));
    }
}

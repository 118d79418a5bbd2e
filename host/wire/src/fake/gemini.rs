//! The fake provider in the dialect of Google's Gemini API.

use bytes::Bytes;
use serde_json::{Value, json};
use weir_base::Operation;

use super::prompt::{either, words_of};
use super::script::Finish;
use super::{Call, Content, MODELS, PIECE, bare_path, embed, events_like};

/// Every path of the Gemini API; the method stands behind the last colon.
pub(super) fn any(call: &Call<'_>) -> Content {
    let path = bare_path(call.request.path);
    let method = path.rsplit_once(':').map_or("", |(_, method)| method);
    Content::Json(match method {
        "generateContent" => reply(
            call,
            parts(call, &call.script.text),
            Some(call.script.finish),
        ),
        "streamGenerateContent" => return stream(call),
        "countTokens" => json!({
            "totalTokens": count_tokens(call),
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": count_tokens(call)}],
        }),
        "embedContent" => embedding_reply(call),
        "batchEmbedContents" => batch_reply(call),
        _ if call.request.operation == Operation::Models => models(path),
        _ => super::echo(call.request),
    })
}

/// With `alt=sse` in the query a stream of events, else a JSON array that arrives by and by.
fn stream(call: &Call<'_>) -> Content {
    let query = call
        .request
        .path
        .split_once('?')
        .map_or("", |(_, query)| query);
    let chunks = chunks(call);
    if query.split('&').any(|pair| pair == "alt=sse") {
        Content::Events(chunks.iter().map(sse).collect())
    } else {
        Content::Array(chunks)
    }
}

/// Google ends its lines with CR LF.
fn sse(json: &Bytes) -> Bytes {
    Bytes::from([b"data: ", &json[..], b"\r\n\r\n"].concat())
}

/// The JSON texts of a stream's chunks.
fn chunks(call: &Call<'_>) -> Vec<Bytes> {
    let finish = call.script.finish;
    let text = |text: &str, finish| reply(call, parts(call, text), finish).to_string();
    if call.script.tool.is_some() {
        return vec![Bytes::from(text("", Some(finish)))];
    }
    let template = text(PIECE, None);
    let mut chunks: Vec<Bytes> = events_like(template.as_bytes(), &call.script.deltas()).collect();
    chunks.push(Bytes::from(text("", Some(finish))));
    chunks
}

fn parts(call: &Call<'_>, text: &str) -> Value {
    match &call.script.tool {
        Some(tool) => json!([{"functionCall": {
            "id": format!("call_{}", call.id), "name": tool.name, "args": tool.arguments,
        }}]),
        None => json!([{"text": text}]),
    }
}

/// A GenerateContentResponse. The usage stands in every one of a stream and grows; the last counts.
fn reply(call: &Call<'_>, parts: Value, finish: Option<Finish>) -> Value {
    let script = &call.script;
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    let mut usage = json!({
        "promptTokenCount": script.input_tokens,
        "totalTokenCount": script.input_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": script.input_tokens}],
    });
    if let (Some(finish), Some(candidate), Some(usage)) =
        (finish, candidate.as_object_mut(), usage.as_object_mut())
    {
        candidate.insert("finishReason".to_owned(), finish_reason(finish).into());
        usage.insert(
            "candidatesTokenCount".to_owned(),
            script.output_tokens.into(),
        );
        usage.insert("totalTokenCount".to_owned(), script.total_tokens().into());
    }
    json!({
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": call.request.model,
        "responseId": call.id,
    })
}

/// The request may stand bare or below `generateContentRequest`.
fn count_tokens(call: &Call<'_>) -> u64 {
    match call.body.get("generateContentRequest") {
        Some(inner) => {
            let roots = ["systemInstruction", "contents"];
            roots
                .iter()
                .filter_map(|root| inner.get(*root))
                .map(words_of)
                .sum::<u64>()
                .max(1)
        }
        None => call.script.input_tokens,
    }
}

fn embedding(request: &Value) -> Value {
    let none = Value::Null;
    let content = request.get("content").unwrap_or(&none);
    let config = either(request, "embedContentConfig", "config").unwrap_or(request);
    let dimensions = either(config, "outputDimensionality", "output_dimensionality")
        .or_else(|| either(request, "outputDimensionality", "output_dimensionality"));
    json!({"values": embed::values(content, dimensions.and_then(Value::as_u64))})
}

fn embedding_tokens(request: &Value) -> u64 {
    request.get("content").map_or(0, words_of).max(1)
}

fn embedding_reply(call: &Call<'_>) -> Value {
    let tokens = embedding_tokens(call.body);
    json!({
        "embedding": embedding(call.body),
        "usageMetadata": {"promptTokenCount": tokens, "totalTokenCount": tokens},
    })
}

fn batch_reply(call: &Call<'_>) -> Value {
    let requests = call.body.get("requests").and_then(Value::as_array);
    let requests: Vec<&Value> = requests.into_iter().flatten().collect();
    let tokens: u64 = requests
        .iter()
        .map(|request| embedding_tokens(request))
        .sum();
    json!({
        "embeddings": requests.iter().map(|request| embedding(request)).collect::<Vec<_>>(),
        "usageMetadata": {"promptTokenCount": tokens, "totalTokenCount": tokens},
    })
}

fn models(path: &str) -> Value {
    let model = |id: &str| {
        json!({
            "name": format!("models/{id}"), "version": "1", "displayName": id,
            "description": "Weir's fake provider",
            "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
        })
    };
    match path
        .rsplit_once("/models/")
        .map(|(_, id)| id)
        .filter(|id| !id.is_empty())
    {
        Some(id) => model(id),
        None => json!({"models": MODELS.iter().map(|id| model(id)).collect::<Vec<_>>()}),
    }
}

fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Length => "MAX_TOKENS",
        // A function call ends a turn with STOP in this dialect.
        Finish::Stop | Finish::Tool => "STOP",
    }
}

//! The chunks of Gemini's `streamGenerateContent`, in the form of `alt=sse`.

use serde_json::{Value, json};
use weir_sdk::prelude::*;

use super::{Spoken, data};

pub(super) fn stream(spoken: &Spoken<'_>, out: &mut String) {
    let chunk = |parts: Value| {
        json!({
            "candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}],
            "modelVersion": spoken.model, "responseId": spoken.id,
        })
    };
    for event in spoken.events {
        let part = match event {
            Event::Text(delta) => json!({"text": delta.text}),
            Event::Reasoning(delta) => json!({"text": delta.text, "thought": true}),
            Event::ToolCall(call) => {
                // The arguments came in one piece, as an object.
                let arguments = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
                let mut made: Value = json!({"name": call.name, "args": arguments});
                if let Some(id) = &call.id {
                    made["id"] = json!(id);
                }
                json!({"functionCall": made})
            }
            Event::Usage(_) | Event::Finish(_) | Event::Other(_) => continue,
        };
        data(out, &chunk(json!([part])));
    }
    let mut last = chunk(json!([{"text": ""}]));
    last["candidates"][0]["finishReason"] = json!(match spoken.finish {
        "stop" | "tool_calls" => "STOP",
        "length" => "MAX_TOKENS",
        "content_filter" => "SAFETY",
        other => other,
    });
    if let Some(usage) = spoken.usage {
        let answer = usage.output_tokens.saturating_sub(usage.reasoning_tokens);
        last["usageMetadata"] = json!({
            "promptTokenCount": usage.input_tokens, "cachedContentTokenCount": usage.cached_tokens,
            "candidatesTokenCount": answer, "thoughtsTokenCount": usage.reasoning_tokens,
            "totalTokenCount": usage.input_tokens + usage.output_tokens,
        });
    }
    data(out, &last);
}

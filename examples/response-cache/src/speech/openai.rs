//! The chunks of OpenAI's chat and completions.

use serde_json::{Value, json};
use weir_sdk::Usage;
use weir_sdk::prelude::*;

use super::{Spoken, data};

pub(super) fn chat(spoken: &Spoken<'_>, out: &mut String) {
    let chunk = |choices: Value, usage: Option<Value>| {
        let mut chunk = json!({
            "id": format!("chatcmpl-{}", spoken.id), "object": "chat.completion.chunk", "created": spoken.created_s,
            "model": spoken.model, "choices": choices,
        });
        if spoken.wants_usage {
            chunk["usage"] = usage.unwrap_or(Value::Null);
        }
        chunk
    };
    let choice = |index: u32, delta: Value, finish: Option<&str>| json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    data(
        out,
        &chunk(
            choice(0, json!({"role": "assistant", "content": ""}), None),
            None,
        ),
    );
    for event in spoken.events {
        let (index, delta) = match event {
            Event::Text(delta) => (delta.choice, json!({"content": delta.text})),
            Event::Reasoning(delta) => (delta.choice, json!({"reasoning_content": delta.text})),
            Event::ToolCall(delta) => {
                let mut call =
                    json!({"index": delta.index, "function": {"arguments": delta.arguments}});
                if let Some(id) = &delta.id {
                    call["id"] = json!(id);
                    call["type"] = json!("function");
                }
                if let Some(name) = &delta.name {
                    call["function"]["name"] = json!(name);
                }
                (delta.choice, json!({"tool_calls": [call]}))
            }
            Event::Usage(_) | Event::Finish(_) | Event::Other(_) => continue,
        };
        data(out, &chunk(choice(index, delta, None), None));
    }
    data(out, &chunk(choice(0, json!({}), Some(spoken.finish)), None));
    if let Some(usage) = spoken.usage.filter(|_| spoken.wants_usage) {
        data(out, &chunk(json!([]), Some(counts(usage))));
    }
    out.push_str("data: [DONE]\n\n");
}

pub(super) fn completions(spoken: &Spoken<'_>, out: &mut String) {
    let chunk = |choices: Value| {
        json!({
            "id": format!("cmpl-{}", spoken.id), "object": "text_completion", "created": spoken.created_s,
            "model": spoken.model, "choices": choices,
        })
    };
    let choice = |index: u32, text: &str, finish: Option<&str>| json!([{"index": index, "text": text, "logprobs": null, "finish_reason": finish}]);
    for event in spoken.events {
        if let Event::Text(delta) = event {
            data(out, &chunk(choice(delta.choice, &delta.text, None)));
        }
    }
    data(out, &chunk(choice(0, "", Some(spoken.finish))));
    if let Some(usage) = spoken.usage.filter(|_| spoken.wants_usage) {
        let mut last = chunk(json!([]));
        last["usage"] = counts(usage);
        data(out, &last);
    }
    out.push_str("data: [DONE]\n\n");
}

fn counts(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    })
}

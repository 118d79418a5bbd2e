//! The fake provider in Anthropic's dialect.

use bytes::Bytes;
use serde_json::{Value, json};
use weir_base::Operation;

use super::script::{Finish, Script};
use super::{Call, Content, MODELS, PIECE, Request, bare_path, event, events_like};

/// `POST /v1/messages` and `POST /v1/messages/count_tokens`.
pub(super) fn messages(call: &Call<'_>) -> Content {
    if call.request.operation == Operation::CountTokens
        || bare_path(call.request.path).ends_with("/count_tokens")
    {
        return Content::Json(json!({"input_tokens": call.script.input_tokens}));
    }
    if call.request.stream {
        return Content::Events(events(call));
    }
    let block = match &call.script.tool {
        Some(tool) => json!({
            "type": "tool_use", "id": tool_id(call), "name": tool.name, "input": tool.arguments,
        }),
        None => json!({"type": "text", "text": call.script.text}),
    };
    let stop = Some(stop_reason(call.script.finish));
    Content::Json(message(call, vec![block], stop, call.script.output_tokens))
}

fn tool_id(call: &Call<'_>) -> String {
    format!("toolu_{}", call.id)
}

fn message(call: &Call<'_>, content: Vec<Value>, stop: Option<&str>, output: u64) -> Value {
    json!({
        "id": format!("msg_{}", call.id),
        "type": "message",
        "role": "assistant",
        "model": call.request.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": null,
        "usage": usage(&call.script, output),
    })
}

fn usage(script: &Script, output: u64) -> Value {
    json!({
        "input_tokens": script.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    })
}

fn events(call: &Call<'_>) -> Vec<Bytes> {
    let mut events = Vec::new();
    let mut push = |data: Value| events.push(named(&data));
    // The real service counts one output token at the start; whoever adds it up counts too much.
    let started = message(call, Vec::new(), None, 1);
    push(json!({"type": "message_start", "message": started}));
    let block = match &call.script.tool {
        Some(tool) => {
            json!({"type": "tool_use", "id": tool_id(call), "name": tool.name, "input": {}})
        }
        None => json!({"type": "text", "text": ""}),
    };
    push(json!({"type": "content_block_start", "index": 0, "content_block": block}));
    push(json!({"type": "ping"}));
    let delta = |delta: Value| json!({"type": "content_block_delta", "index": 0, "delta": delta});
    for piece in call.script.tool.iter().flat_map(|tool| tool.pieces()) {
        push(delta(
            json!({"type": "input_json_delta", "partial_json": piece}),
        ));
    }
    let text = delta(json!({"type": "text_delta", "text": PIECE}));
    let text = event(Some("content_block_delta"), &text);
    events.extend(events_like(&text, &call.script.deltas()));
    let mut push = |data: Value| events.push(named(&data));
    push(json!({"type": "content_block_stop", "index": 0}));
    push(json!({
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason(call.script.finish), "stop_sequence": null},
        "usage": {
            "input_tokens": call.script.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": call.script.output_tokens,
        },
    }));
    push(json!({"type": "message_stop"}));
    events
}

/// An event that has its type as its name.
fn named(data: &Value) -> Bytes {
    event(data.get("type").and_then(Value::as_str), data)
}

/// Every other path of Anthropic's API.
pub(super) fn other(request: &Request<'_>) -> Content {
    let path = bare_path(request.path);
    let model = |id: &str| {
        json!({
            "type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z",
            "lifecycle": "active", "max_input_tokens": 200_000, "max_tokens": 64_000,
        })
    };
    Content::Json(match request.operation {
        Operation::Models => match path.rsplit_once("/models/").map(|(_, id)| id) {
            Some(id) if !id.is_empty() => model(id),
            _ => json!({
                "data": MODELS.iter().map(|id| model(id)).collect::<Vec<_>>(),
                "has_more": false,
                "first_id": MODELS.first(),
                "last_id": MODELS.last(),
            }),
        },
        _ => super::echo(request),
    })
}

fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::Tool => "tool_use",
    }
}

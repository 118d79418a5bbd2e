//! The events of Anthropic's messages.

use serde_json::{Value, json};
use weir_sdk::prelude::*;

use super::{Spoken, named};

#[derive(PartialEq, Eq)]
enum Block {
    Text,
    Tool(u32),
}

pub(super) fn stream(spoken: &Spoken<'_>, out: &mut String) {
    let usage = spoken.usage;
    let (cached, written) = usage.map_or((0, 0), |usage| {
        (usage.cached_tokens, usage.cache_write_tokens)
    });
    let input = usage
        .map_or(0, |usage| usage.input_tokens)
        .saturating_sub(cached + written);
    let output = usage.map_or(0, |usage| usage.output_tokens);
    named(
        out,
        &json!({"type": "message_start", "message": {
            "id": format!("msg_{}", spoken.id), "type": "message", "role": "assistant", "model": spoken.model, "content": [],
            "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": input, "cache_creation_input_tokens": written, "cache_read_input_tokens": cached,
                "output_tokens": 1},
        }}),
    );
    let (mut open, mut index) = (None, 0);
    for event in spoken.events {
        let (block, start, delta) = match event {
            Event::Text(delta) => {
                let delta = json!({"type": "text_delta", "text": delta.text});
                (
                    Block::Text,
                    json!({"type": "text", "text": ""}),
                    Some(delta),
                )
            }
            Event::ToolCall(call) => {
                let id = call
                    .id
                    .clone()
                    .unwrap_or_else(|| format!("toolu_{}_{}", spoken.id, call.index));
                let start = json!({"type": "tool_use", "id": id, "name": call.name, "input": {}});
                let delta = json!({"type": "input_json_delta", "partial_json": call.arguments});
                (
                    Block::Tool(call.index),
                    start,
                    Some(delta).filter(|_| !call.arguments.is_empty()),
                )
            }
            Event::Reasoning(_) | Event::Usage(_) | Event::Finish(_) | Event::Other(_) => continue,
        };
        if open.as_ref() != Some(&block) {
            if open.is_some() {
                stop(out, index);
                index += 1;
            }
            named(
                out,
                &json!({"type": "content_block_start", "index": index, "content_block": start}),
            );
            open = Some(block);
        }
        if let Some(delta) = delta {
            named(
                out,
                &json!({"type": "content_block_delta", "index": index, "delta": delta}),
            );
        }
    }
    if open.is_some() {
        stop(out, index);
    }
    let reason = match spoken.finish {
        "stop" => "end_turn",
        "length" => "max_tokens",
        "tool_calls" => "tool_use",
        "content_filter" => "refusal",
        other => other,
    };
    let end = json!({"stop_reason": reason, "stop_sequence": Value::Null});
    named(
        out,
        &json!({"type": "message_delta", "delta": end, "usage": {"output_tokens": output}}),
    );
    named(out, &json!({"type": "message_stop"}));
}

fn stop(out: &mut String, index: u32) {
    named(out, &json!({"type": "content_block_stop", "index": index}));
}

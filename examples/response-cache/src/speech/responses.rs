//! The events of OpenAI's Responses: each piece, and again all of it with every end.

use serde_json::{Value, json};
use weir_sdk::prelude::*;

use super::{Spoken, named};

/// An item of the output: the message, or a call of a function.
enum Item {
    Message {
        texts: Vec<String>,
    },
    Call {
        id: String,
        name: String,
        arguments: String,
    },
}

pub(super) fn stream(spoken: &Spoken<'_>, out: &mut String) {
    let mut writer = Writer { out, number: 0 };
    let response = |status: &str, output: &[Value], usage: Value, details: Value| {
        json!({
            "id": format!("resp_{}", spoken.id), "object": "response", "created_at": spoken.created_s, "status": status,
            "error": null, "incomplete_details": details, "model": spoken.model, "output": output, "store": false,
            "usage": usage,
        })
    };
    let begun = response("in_progress", &[], Value::Null, Value::Null);
    writer.send(json!({"type": "response.created", "response": begun}));
    writer.send(json!({"type": "response.in_progress", "response": begun}));
    let mut output = Vec::new();
    for (at, item) in items(spoken.events).iter().enumerate() {
        output.push(match item {
            Item::Message { texts } => {
                writer.message(&format!("msg_{}_{at}", spoken.id), at, texts)
            }
            Item::Call {
                id,
                name,
                arguments,
            } => writer.call(&format!("fc_{}_{at}", spoken.id), at, id, name, arguments),
        });
    }
    let usage = spoken.usage.map_or(Value::Null, |usage| {
        json!({
            "input_tokens": usage.input_tokens, "input_tokens_details": {"cached_tokens": usage.cached_tokens},
            "output_tokens": usage.output_tokens, "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.input_tokens + usage.output_tokens,
        })
    });
    let (status, details) = match spoken.finish {
        "length" => ("incomplete", json!({"reason": "max_output_tokens"})),
        "content_filter" => ("incomplete", json!({"reason": "content_filter"})),
        _ => ("completed", Value::Null),
    };
    let ended = response(status, &output, usage, details);
    writer.send(json!({"type": format!("response.{status}"), "response": ended}));
}

fn items(events: &[Event]) -> Vec<Item> {
    let (mut items, mut calls) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Text(delta) => match items.last_mut() {
                Some(Item::Message { texts }) => texts.push(delta.text.clone()),
                _ => items.push(Item::Message {
                    texts: vec![delta.text.clone()],
                }),
            },
            Event::ToolCall(delta) => {
                let known = calls
                    .iter()
                    .find(|(index, _)| *index == delta.index)
                    .map(|(_, at)| *at);
                let at: usize = known.unwrap_or_else(|| {
                    calls.push((delta.index, items.len()));
                    items.push(Item::Call {
                        id: String::new(),
                        name: String::new(),
                        arguments: String::new(),
                    });
                    items.len() - 1
                });
                if let Some(Item::Call {
                    id,
                    name,
                    arguments,
                }) = items.get_mut(at)
                {
                    id.push_str(delta.id.as_deref().unwrap_or_default());
                    name.push_str(delta.name.as_deref().unwrap_or_default());
                    arguments.push_str(&delta.arguments);
                }
            }
            Event::Reasoning(_) | Event::Usage(_) | Event::Finish(_) | Event::Other(_) => {}
        }
    }
    items
}

struct Writer<'o> {
    out: &'o mut String,
    number: u32,
}

impl Writer<'_> {
    fn send(&mut self, mut event: Value) {
        event["sequence_number"] = json!(self.number);
        self.number += 1;
        named(self.out, &event);
    }

    /// One message; answers the item as it is in the end.
    fn message(&mut self, id: &str, at: usize, texts: &[String]) -> Value {
        let item = |status: &str, content: Value| json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content});
        let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
        self.send(json!({"type": "response.output_item.added", "output_index": at, "item": item("in_progress", json!([]))}));
        self.send(json!({"type": "response.content_part.added", "item_id": id, "output_index": at, "content_index": 0,
            "part": part("")}));
        for text in texts {
            self.send(json!({"type": "response.output_text.delta", "item_id": id, "output_index": at, "content_index": 0,
                "delta": text, "logprobs": []}));
        }
        let text = texts.concat();
        self.send(json!({"type": "response.output_text.done", "item_id": id, "output_index": at, "content_index": 0,
            "text": text, "logprobs": []}));
        self.send(json!({"type": "response.content_part.done", "item_id": id, "output_index": at, "content_index": 0,
            "part": part(&text)}));
        let item = item("completed", json!([part(&text)]));
        self.send(json!({"type": "response.output_item.done", "output_index": at, "item": item}));
        item
    }

    /// One call of a function; answers the item as it is in the end.
    fn call(&mut self, id: &str, at: usize, call_id: &str, name: &str, arguments: &str) -> Value {
        let item = |status: &str, arguments: &str| {
            json!({"id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name,
                "arguments": arguments})
        };
        self.send(json!({"type": "response.output_item.added", "output_index": at, "item": item("in_progress", "")}));
        self.send(json!({"type": "response.function_call_arguments.delta", "item_id": id, "output_index": at,
            "delta": arguments}));
        self.send(json!({"type": "response.function_call_arguments.done", "item_id": id, "output_index": at,
            "arguments": arguments}));
        let item = item("completed", arguments);
        self.send(json!({"type": "response.output_item.done", "output_index": at, "item": item}));
        item
    }
}

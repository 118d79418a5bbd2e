//! The fake provider in the dialect of OpenAI's Responses API.

use bytes::Bytes;
use serde_json::{Value, json};

use super::script::{Finish, ToolCall};
use super::{Call, Content, event};
use crate::json;

/// `POST /v1/responses`.
pub(super) fn response(call: &Call<'_>) -> Content {
    if call.request.stream {
        Content::Events(events(call))
    } else {
        Content::Json(body(call, Stage::Done))
    }
}

/// How far the response has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begun,
    Done,
}

fn body(call: &Call<'_>, stage: Stage) -> Value {
    let script = &call.script;
    let done = stage == Stage::Done;
    let cut_short = done && script.finish == Finish::Length;
    let status = match (done, cut_short) {
        (false, _) => "in_progress",
        (true, true) => "incomplete",
        (true, false) => "completed",
    };
    let field = |name: &str, otherwise: Value| call.body.get(name).cloned().unwrap_or(otherwise);
    let created = call.request.now_unix_s;
    json!({
        "id": format!("resp_{}", call.id),
        "object": "response",
        "created_at": created,
        "completed_at": (done && !cut_short).then_some(created),
        "status": status,
        "background": false,
        "error": null,
        "incomplete_details": cut_short.then(|| json!({"reason": "max_output_tokens"})),
        "instructions": field("instructions", Value::Null),
        "max_output_tokens": field("max_output_tokens", Value::Null),
        "model": call.request.model,
        "output": if done { vec![item(call, stage)] } else { Vec::new() },
        "parallel_tool_calls": field("parallel_tool_calls", true.into()),
        "previous_response_id": field("previous_response_id", Value::Null),
        "reasoning": {"effort": null, "summary": null},
        "store": field("store", true.into()),
        "temperature": field("temperature", json!(1.0)),
        "text": field("text", json!({"format": {"type": "text"}})),
        "tool_choice": field("tool_choice", "auto".into()),
        "tools": field("tools", json!([])),
        "top_p": field("top_p", json!(1.0)),
        "truncation": "disabled",
        "usage": done.then(|| json!({
            "input_tokens": script.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": script.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": script.total_tokens(),
        })),
        "metadata": field("metadata", json!({})),
    })
}

/// The one item of the output: a message or a function call.
fn item(call: &Call<'_>, stage: Stage) -> Value {
    let done = stage == Stage::Done;
    let status = match (done, call.script.finish) {
        (false, _) => "in_progress",
        (true, Finish::Length) => "incomplete",
        (true, Finish::Stop | Finish::Tool) => "completed",
    };
    match &call.script.tool {
        Some(tool) => json!({
            "id": item_id(call),
            "type": "function_call",
            "status": status,
            "call_id": format!("call_{}", call.id),
            "name": tool.name,
            "arguments": if done { tool.arguments.to_string() } else { String::new() },
        }),
        None => json!({
            "id": item_id(call),
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": if done { vec![part(&call.script.text)] } else { Vec::new() },
        }),
    }
}

fn item_id(call: &Call<'_>) -> String {
    let prefix = if call.script.tool.is_some() {
        "fc"
    } else {
        "msg"
    };
    format!("{prefix}_{}", call.id)
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn events(call: &Call<'_>) -> Vec<Bytes> {
    let mut stream = Stream {
        events: Vec::new(),
        sequence: 0,
    };
    let begun = body(call, Stage::Begun);
    stream.push("response.created", json!({"response": begun}));
    stream.push("response.in_progress", json!({"response": begun}));
    let added = json!({"output_index": 0, "item": item(call, Stage::Begun)});
    stream.push("response.output_item.added", added);
    match &call.script.tool {
        Some(tool) => tool_events(call, tool, &mut stream),
        None => text_events(call, &mut stream),
    }
    let item = json!({"output_index": 0, "item": item(call, Stage::Done)});
    stream.push("response.output_item.done", item);
    let last = match call.script.finish {
        Finish::Length => "response.incomplete",
        Finish::Stop | Finish::Tool => "response.completed",
    };
    stream.push(last, json!({"response": body(call, Stage::Done)}));
    stream.events
}

fn text_events(call: &Call<'_>, stream: &mut Stream) {
    let place = json!({"item_id": item_id(call), "output_index": 0, "content_index": 0});
    let with = |more: Value| joined(&place, more);
    stream.push(
        "response.content_part.added",
        with(json!({"part": part("")})),
    );
    for piece in call.script.deltas() {
        stream.push_delta(&item_id(call), piece);
    }
    let text = &call.script.text;
    stream.push(
        "response.output_text.done",
        with(json!({"text": text, "logprobs": []})),
    );
    stream.push(
        "response.content_part.done",
        with(json!({"part": part(text)})),
    );
}

fn tool_events(call: &Call<'_>, tool: &ToolCall, stream: &mut Stream) {
    let place = json!({"item_id": item_id(call), "output_index": 0});
    for piece in tool.pieces() {
        let delta = joined(&place, json!({"delta": piece}));
        stream.push("response.function_call_arguments.delta", delta);
    }
    let done = json!({"name": tool.name, "arguments": tool.arguments.to_string()});
    stream.push(
        "response.function_call_arguments.done",
        joined(&place, done),
    );
}

/// Events in the making, each with its name as its type and the next sequence number.
struct Stream {
    events: Vec<Bytes>,
    sequence: u64,
}

impl Stream {
    /// Written by hand, because a stream has many of it.
    fn push_delta(&mut self, item_id: &str, piece: &str) {
        let (item_id, piece) = (json::string(item_id), json::string(piece));
        let name = "response.output_text.delta";
        let sequence = self.sequence;
        self.sequence += 1;
        self.events.push(Bytes::from(format!(
            "event: {name}\ndata: {{\"content_index\":0,\"delta\":{piece},\"item_id\":{item_id},\
             \"logprobs\":[],\"output_index\":0,\"sequence_number\":{sequence},\"type\":\"{name}\"}}\n\n"
        )));
    }

    fn push(&mut self, name: &str, fields: Value) {
        let own = json!({"type": name, "sequence_number": self.sequence});
        self.sequence += 1;
        self.events.push(event(Some(name), &joined(&own, fields)));
    }
}

/// The fields of both objects.
fn joined(one: &Value, other: Value) -> Value {
    let mut all = one.clone();
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), other) {
        all.extend(more);
    }
    all
}

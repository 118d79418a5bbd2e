//! The fake provider in OpenAI's chat and completions dialects, and its smaller endpoints.

use bytes::Bytes;
use serde_json::{Value, json};
use weir_base::Operation;

use super::options::Options;
use super::prompt::words_of;
use super::script::{Finish, Script};
use super::{Call, Content, MODELS, PIECE, Request, bare_id, bare_path, embed, event, events_like};

/// One transparent pixel.
const PNG_BASE64: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

const MODERATION_CATEGORIES: [&str; 13] = [
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];

/// `POST /v1/chat/completions`.
pub(super) fn chat(call: &Call<'_>) -> Content {
    if call.request.stream {
        return Content::Events(chat_events(call));
    }
    let choices: Vec<Value> = (0..call.script.choices)
        .map(|index| {
            json!({
                "index": index,
                "message": chat_message(call),
                "logprobs": null,
                "finish_reason": finish_reason(call.script.finish),
            })
        })
        .collect();
    Content::Json(json!({
        "id": chat_id(call),
        "object": "chat.completion",
        "created": call.request.now_unix_s,
        "model": call.request.model,
        "choices": choices,
        "usage": usage(&call.script),
        "service_tier": "default",
        "system_fingerprint": null,
    }))
}

fn chat_id(call: &Call<'_>) -> String {
    format!("chatcmpl-{}", call.id)
}

fn chat_message(call: &Call<'_>) -> Value {
    match &call.script.tool {
        Some(tool) => json!({
            "role": "assistant", "content": null, "refusal": null, "annotations": [],
            "tool_calls": [{
                "id": format!("call_{}", call.id),
                "type": "function",
                "function": {"name": tool.name, "arguments": tool.arguments.to_string()},
            }],
        }),
        None => json!({
            "role": "assistant", "content": call.script.text, "refusal": null, "annotations": [],
        }),
    }
}

fn chat_events(call: &Call<'_>) -> Vec<Bytes> {
    let with_usage = wants_usage(call.body);
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": chat_id(call),
            "object": "chat.completion.chunk",
            "created": call.request.now_unix_s,
            "model": call.request.model,
            "service_tier": "default",
            "system_fingerprint": null,
            "choices": choices,
        });
        // The field is there, as null, only in streams that end with the usage.
        if with_usage && let Some(fields) = chunk.as_object_mut() {
            fields.insert("usage".to_owned(), usage);
        }
        event(None, &chunk)
    };
    let delta = |index: u64, delta: Value, finish: Option<&str>| {
        let choice =
            json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": finish}]);
        chunk(choice, Value::Null)
    };
    let mut events = Vec::new();
    for index in 0..call.script.choices {
        events.push(delta(index, chat_opening(call), None));
    }
    for piece in call.script.tool.iter().flat_map(|tool| tool.pieces()) {
        for index in 0..call.script.choices {
            let part = json!({"index": 0, "function": {"arguments": piece}});
            events.push(delta(index, json!({"tool_calls": [part]}), None));
        }
    }
    let pieces = call.script.deltas();
    let templates: Vec<Bytes> = (0..call.script.choices)
        .map(|index| delta(index, json!({"content": PIECE}), None))
        .collect();
    for piece in pieces.chunks(1) {
        events.extend(
            templates
                .iter()
                .flat_map(|template| events_like(template, piece)),
        );
    }
    for index in 0..call.script.choices {
        events.push(delta(
            index,
            json!({}),
            Some(finish_reason(call.script.finish)),
        ));
    }
    if with_usage {
        events.push(chunk(json!([]), usage(&call.script)));
    }
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

/// The first delta of a choice: the role, and which tool is called.
fn chat_opening(call: &Call<'_>) -> Value {
    match &call.script.tool {
        Some(tool) => json!({"role": "assistant", "content": null, "tool_calls": [{
            "index": 0,
            "id": format!("call_{}", call.id),
            "type": "function",
            "function": {"name": tool.name, "arguments": ""},
        }]}),
        None => json!({"role": "assistant", "content": "", "refusal": null}),
    }
}

/// `POST /v1/completions`.
pub(super) fn completion(call: &Call<'_>) -> Content {
    let with_usage = wants_usage(call.body);
    let reply = |choices: Value, usage: Option<Value>| {
        let mut reply = json!({
            "id": format!("cmpl-{}", call.id),
            "object": "text_completion",
            "created": call.request.now_unix_s,
            "model": call.request.model,
            "choices": choices,
        });
        if let (Some(usage), Some(fields)) = (usage, reply.as_object_mut()) {
            fields.insert("usage".to_owned(), usage);
        }
        reply
    };
    let choice = |text: &str, finish: Option<&str>| json!([{"index": 0, "text": text, "logprobs": null, "finish_reason": finish}]);
    let finish = Some(finish_reason(call.script.finish));
    if !call.request.stream {
        let choices: Vec<Value> = (0..call.script.choices)
            .map(|index| {
                let text = &call.script.text;
                json!({"index": index, "text": text, "logprobs": null, "finish_reason": finish})
            })
            .collect();
        return Content::Json(reply(choices.into(), Some(usage(&call.script))));
    }
    let pending = with_usage.then_some(Value::Null);
    let template = event(None, &reply(choice(PIECE, None), pending.clone()));
    let mut events: Vec<Bytes> = events_like(&template, &call.script.deltas()).collect();
    events.push(event(None, &reply(choice("", finish), pending.clone())));
    if with_usage {
        events.push(event(None, &reply(json!([]), Some(usage(&call.script)))));
    }
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    Content::Events(events)
}

/// Every other path of OpenAI's API.
pub(super) fn other(request: &Request<'_>, body: &Value, options: &Options) -> Content {
    let path = bare_path(request.path);
    Content::Json(match request.operation {
        Operation::Embedding => return embed::openai(request, body, options),
        Operation::Models => models(request, path),
        Operation::Moderation => moderation(request, body),
        Operation::Image => image(request, body, options),
        _ => super::echo(request),
    })
}

fn models(request: &Request<'_>, path: &str) -> Value {
    let model = |id: &str| json!({"id": id, "object": "model", "created": request.now_unix_s, "owned_by": "weir-fake"});
    match path
        .rsplit_once("/models/")
        .map(|(_, id)| id)
        .filter(|id| !id.is_empty())
    {
        Some(id) => model(id),
        None => {
            json!({"object": "list", "data": MODELS.iter().map(|id| model(id)).collect::<Vec<_>>()})
        }
    }
}

/// Nothing is ever flagged, and no category has a score.
fn moderation(request: &Request<'_>, body: &Value) -> Value {
    let table = |of: Value| -> Value {
        MODERATION_CATEGORIES
            .iter()
            .map(|name| ((*name).to_owned(), of.clone()))
            .collect()
    };
    let result = json!({
        "flagged": false,
        "categories": table(false.into()),
        "category_scores": table(0.0.into()),
        "category_applied_input_types": table(json!(["text"])),
    });
    let inputs = body
        .get("input")
        .and_then(Value::as_array)
        .map_or(1, Vec::len)
        .max(1);
    json!({
        "id": format!("modr-{}", bare_id(request.call_id)),
        "model": request.model,
        "results": vec![result; inputs],
    })
}

fn image(request: &Request<'_>, body: &Value, options: &Options) -> Value {
    let count = body
        .get("n")
        .and_then(Value::as_u64)
        .unwrap_or(1)
        .clamp(1, 10);
    let words = body.get("prompt").map_or(0, words_of);
    let input = options.input_tokens.unwrap_or(words.max(1));
    let output = options.output_tokens.unwrap_or(count);
    let data: Vec<Value> = (0..count)
        .map(|_| json!({"b64_json": PNG_BASE64}))
        .collect();
    json!({
        "created": request.now_unix_s,
        "data": data,
        "output_format": "png",
        "usage": {
            "input_tokens": input,
            "input_tokens_details": {"text_tokens": input, "image_tokens": 0},
            "output_tokens": output,
            "total_tokens": input.saturating_add(output),
        },
    })
}

fn wants_usage(body: &Value) -> bool {
    body.pointer("/stream_options/include_usage")
        .and_then(Value::as_bool)
        .unwrap_or(false)
}

fn usage(script: &Script) -> Value {
    json!({
        "prompt_tokens": script.input_tokens,
        "completion_tokens": script.output_tokens,
        "total_tokens": script.total_tokens(),
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Tool => "tool_calls",
    }
}

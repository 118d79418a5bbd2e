//! What hooks answer, in the words in which case files expect it: JSON with the names of the
//! interface, in snake case.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use weir_policy::{
    Denial, LimitRule, LimitUnit, LimitWindow, NewEvent, Response, RouteAttempt, StreamEvent, Usage,
};

use weir_wire::json as wire;

use super::call::{Asked, Call};

/// A body: JSON where it is JSON, else text, else base64.
pub(super) fn body(bytes: &[u8]) -> Value {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return json!({ "base64": STANDARD.encode(bytes) });
    };
    match serde_json::from_str(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
        _ => json!(text),
    }
}

/// A refusal.
pub(super) fn denial(denial: &Denial) -> Value {
    let mut shape = json!({
        "status": denial.status,
        "code": denial.code,
        "message": denial.message,
    });
    if let (Some(after), Value::Object(fields)) = (denial.retry_after_ms, &mut shape) {
        fields.insert("retry_after_ms".to_owned(), json!(after));
    }
    json!({ "deny": shape })
}

/// The rules of `limit`.
pub(super) fn rules(rules: &[LimitRule]) -> Value {
    let unit = |unit: LimitUnit| match unit {
        LimitUnit::Requests => "requests",
        LimitUnit::InputTokens => "input-tokens",
        LimitUnit::OutputTokens => "output-tokens",
        LimitUnit::TotalTokens => "total-tokens",
        LimitUnit::CostMicros => "cost-micros",
        LimitUnit::InFlight => "in-flight",
    };
    let window = |window: LimitWindow| match window {
        LimitWindow::Sliding(seconds) => json!(format!("{seconds}s")),
        LimitWindow::Day => json!("day"),
        LimitWindow::Week => json!("week"),
        LimitWindow::Month => json!("month"),
        LimitWindow::Lifetime => json!("lifetime"),
        LimitWindow::Call => json!("call"),
    };
    let rule = |rule: &LimitRule| {
        json!({
            "key": rule.key,
            "unit": unit(rule.unit),
            "window": window(rule.window),
            "limit": rule.limit,
        })
    };
    rules.iter().map(rule).collect()
}

/// The attempts of `route`: a channel's name where nothing else is said of it.
pub(super) fn attempts(call: &Call, attempts: &[RouteAttempt]) -> Value {
    let attempt = |attempt: &RouteAttempt| {
        let name = call
            .channel(attempt.channel)
            .map(|channel| channel.name.as_str());
        let mut fields = Map::new();
        for (what, ms) in [
            ("first_byte_timeout_ms", attempt.first_byte_timeout_ms),
            ("hedge_after_ms", attempt.hedge_after_ms),
        ] {
            if let Some(ms) = ms {
                fields.insert(what.to_owned(), json!(ms));
            }
        }
        if fields.is_empty() {
            return json!(name);
        }
        fields.insert("channel".to_owned(), json!(name));
        Value::Object(fields)
    };
    attempts.iter().map(attempt).collect()
}

/// A reply of the policy's own.
pub(super) fn response(response: &Response) -> Value {
    let header = |(name, value): &(String, String)| (name.clone(), json!(value));
    let headers: Map<String, Value> = response.headers.iter().map(header).collect();
    json!({
        "status": response.status,
        "headers": headers,
        "body": body(&response.body),
    })
}

/// What `rewrite` changed.
pub(super) fn edits(before: &Asked, after: &Asked) -> Value {
    let mut changed = Map::new();
    if before.model != after.model {
        changed.insert("model".to_owned(), json!(after.model));
    }
    let mut headers = Map::new();
    for (name, value) in &after.headers {
        if before.headers.get(name) != Some(value) {
            headers.insert(name.clone(), json!(value));
        }
    }
    for name in before.headers.keys() {
        if !after.headers.contains_key(name) {
            headers.insert(name.clone(), Value::Null);
        }
    }
    if !headers.is_empty() {
        changed.insert("headers".to_owned(), Value::Object(headers));
    }
    // That the body names another model goes without saying; the gateway sees to it.
    let sent = |asked: &Asked| with_model(asked, &after.model);
    if sent(before) != sent(after) {
        changed.insert("body".to_owned(), body(&sent(after)));
    }
    if changed.is_empty() {
        json!("unchanged")
    } else {
        Value::Object(changed)
    }
}

/// The body as it is sent where the call's model is this one.
fn with_model(asked: &Asked, model: &str) -> Vec<u8> {
    let body = &asked.body;
    if model.is_empty() || !matches!(wire::get(body, "/model"), Ok(Some(_))) {
        return body.to_vec();
    }
    wire::set(body, "/model", &wire::string(model)).unwrap_or_else(|_| body.to_vec())
}

/// An event that a policy was shown.
pub(super) fn event(event: &StreamEvent<'_>) -> Value {
    match event {
        StreamEvent::Text(delta) => text("text", delta.choice, delta.text),
        StreamEvent::Reasoning(delta) => text("reasoning", delta.choice, delta.text),
        StreamEvent::ToolCall(call) => tool_call(
            call.choice,
            (call.index, call.id, call.name, call.arguments),
        ),
        StreamEvent::Usage(usage) => json!({ "usage": tokens(usage) }),
        StreamEvent::Finish(reason) => json!({ "finish": reason }),
        StreamEvent::Other(raw) => other(raw.name, raw.data),
    }
}

/// An event that a policy made.
pub(super) fn new_event(event: &NewEvent) -> Value {
    match event {
        NewEvent::Text(delta) => text("text", delta.choice, &delta.text),
        NewEvent::Reasoning(delta) => text("reasoning", delta.choice, &delta.text),
        NewEvent::ToolCall(call) => {
            let (id, name) = (call.id.as_deref(), call.name.as_deref());
            tool_call(call.choice, (call.index, id, name, &call.arguments))
        }
        NewEvent::Usage(usage) => json!({ "usage": tokens(usage) }),
        NewEvent::Finish(reason) => json!({ "finish": reason }),
        NewEvent::Other(raw) => other(raw.name.as_deref(), &raw.data),
    }
}

fn text(kind: &str, choice: u32, text: &str) -> Value {
    with_choice(choice, kind, json!(text))
}

fn with_choice(choice: u32, kind: &str, value: Value) -> Value {
    let mut fields = Map::new();
    fields.insert(kind.to_owned(), value);
    if choice != 0 {
        fields.insert("choice".to_owned(), json!(choice));
    }
    Value::Object(fields)
}

fn tool_call(choice: u32, call: (u32, Option<&str>, Option<&str>, &str)) -> Value {
    let (index, id, name, arguments) = call;
    let mut fields = Map::new();
    if index != 0 {
        fields.insert("index".to_owned(), json!(index));
    }
    for (what, given) in [("id", id), ("name", name)] {
        if let Some(given) = given {
            fields.insert(what.to_owned(), json!(given));
        }
    }
    if !arguments.is_empty() {
        fields.insert("arguments".to_owned(), json!(arguments));
    }
    with_choice(choice, "tool_call", Value::Object(fields))
}

fn other(name: Option<&str>, data: &str) -> Value {
    let mut fields = Map::new();
    if let Some(name) = name {
        fields.insert("name".to_owned(), json!(name));
    }
    fields.insert("data".to_owned(), json!(data));
    json!({ "other": fields })
}

/// The counts that are not zero.
fn tokens(usage: &Usage) -> Value {
    let counts = [
        ("input_tokens", usage.input_tokens),
        ("output_tokens", usage.output_tokens),
        ("cached_tokens", usage.cached_tokens),
        ("cache_write_tokens", usage.cache_write_tokens),
        ("reasoning_tokens", usage.reasoning_tokens),
        ("cost_micros", usage.cost_micros),
    ];
    let counted = counts.into_iter().filter(|(_, count)| *count > 0);
    let mut fields: Map<String, Value> = counted
        .map(|(name, count)| (name.to_owned(), json!(count)))
        .collect();
    if usage.estimated {
        fields.insert("estimated".to_owned(), json!(true));
    }
    Value::Object(fields)
}

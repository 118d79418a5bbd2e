//! What hooks are given and what they answer as JSON: the names of the interface, in snake case. The
//! words of case files (`docs/cases.md`) and of journals.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use weir_policy::{
    Action, Denial, Failure, LimitRule, LimitUnit, LimitWindow, NewEvent, Response, RouteAttempt,
    Stream, StreamEvent, Usage, WholeReply,
};

use super::told::{self, Told};

/// A body: JSON where it is JSON, else text, else base64.
pub fn body(bytes: &[u8]) -> Value {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return json!({ "base64": STANDARD.encode(bytes) });
    };
    match serde_json::from_str(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
        _ => json!(text),
    }
}

/// A refusal.
pub fn denial(denial: &Denial) -> Value {
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
pub fn rules(rules: &[LimitRule]) -> Value {
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

/// A reply of the policy's own.
pub fn response(response: &Response) -> Value {
    let header = |(name, value): &(String, String)| (name.clone(), json!(value));
    let headers: Map<String, Value> = response.headers.iter().map(header).collect();
    json!({
        "status": response.status,
        "headers": headers,
        "body": body(&response.body),
    })
}

/// An event that a policy was shown.
pub fn event(event: &StreamEvent<'_>) -> Value {
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
pub fn new_event(event: &NewEvent) -> Value {
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

/// A whole reply, as a policy is shown it.
pub fn whole(reply: &WholeReply<'_>) -> Value {
    json!({
        "status": reply.status,
        "headers": reply.headers,
        "body": told::bytes(reply.body),
    })
}

/// What a hook answered, exactly.
pub trait Verdict {
    /// As it is kept.
    fn verdict(&self) -> Value;
}

impl Verdict for () {
    fn verdict(&self) -> Value {
        json!("ok")
    }
}

impl Verdict for Option<Stream> {
    fn verdict(&self) -> Value {
        json!(self.is_some())
    }
}

impl Verdict for Vec<LimitRule> {
    fn verdict(&self) -> Value {
        rules(self)
    }
}

impl Verdict for Vec<RouteAttempt> {
    fn verdict(&self) -> Value {
        let attempt = |attempt: &RouteAttempt| {
            json!([
                attempt.channel,
                attempt.first_byte_timeout_ms,
                attempt.hedge_after_ms
            ])
        };
        self.iter().map(attempt).collect()
    }
}

impl Verdict for Option<Response> {
    fn verdict(&self) -> Value {
        self.as_ref().map_or(json!("none"), Told::tell)
    }
}

impl Verdict for Action {
    fn verdict(&self) -> Value {
        match self {
            Action::Pass => json!("pass"),
            Action::Drop => json!("drop"),
            Action::Replace(events) => events.verdict(),
        }
    }
}

impl Verdict for Vec<NewEvent> {
    fn verdict(&self) -> Value {
        self.iter().map(new_event).collect()
    }
}

impl<T: Verdict> Verdict for Result<T, Denial> {
    fn verdict(&self) -> Value {
        match self {
            Ok(value) => value.verdict(),
            Err(refusal) => denial(refusal),
        }
    }
}

impl<T: Verdict> Verdict for Result<T, Failure> {
    fn verdict(&self) -> Value {
        match self {
            Ok(value) => value.verdict(),
            Err(failure) => json!({ "failed": failure.code() }),
        }
    }
}

/// A whole reply as [`whole`] kept it.
pub fn whole_of(kept: &Value) -> Option<Response> {
    Response::told(kept)
}

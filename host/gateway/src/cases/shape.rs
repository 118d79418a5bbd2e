//! What hooks answer, in the words in which case files expect it: JSON with the names of the
//! interface, in snake case.

use serde_json::{Map, Value, json};
use weir_policy::RouteAttempt;
use weir_wire::json as wire;

use super::call::{Asked, Call};
pub(super) use crate::journal::shape::{body, denial, event, response, rules};

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

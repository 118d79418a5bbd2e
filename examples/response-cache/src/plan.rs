//! Which calls are answered from the store, and what makes two of them the same.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};
use weir_sdk::call;
use weir_sdk::prelude::*;
use weir_sdk::select::Caller;

use crate::settings::{Settings, Share};

/// How deep a body may be nested whose calls are kept.
const DEPTH_MAX: usize = 64;
/// Members of a body by which a call goes on with something that a provider keeps.
const STATEFUL: [&str; 5] = [
    "previous_response_id",
    "conversation",
    "background",
    "container",
    "cachedContent",
];

/// A call that may be answered from the store.
pub struct Plan {
    /// The name of its answer.
    pub name: String,
    /// False where the caller wants a new answer, which is kept for the next.
    pub reads: bool,
    /// Whether the caller asked for usage at the end of a stream of OpenAI's.
    pub wants_usage: bool,
}

/// Why a call is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// The settings do not mean it.
    NotMeant,
    /// Its key or tenant does not want to be answered from the store.
    Label,
    /// It does not want to itself.
    Header,
    /// Its body is no JSON object.
    Body,
    /// Another answer is as good, and wanted.
    Temperature,
    /// It has tools.
    Tools,
    /// The provider keeps something of it, or it of the provider.
    Stateful,
    /// Several answers at once in a stream.
    SeveralAnswers,
    /// A stream of Anthropic's that may end at one of several words: which one is not seen.
    StopSequences,
}

impl Skip {
    /// The name in metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Skip::NotMeant => "not_meant",
            Skip::Label => "label",
            Skip::Header => "header",
            Skip::Body => "body",
            Skip::Temperature => "temperature",
            Skip::Tools => "tools",
            Skip::Stateful => "stateful",
            Skip::SeveralAnswers => "several_answers",
            Skip::StopSequences => "stop_sequences",
        }
    }
}

impl Plan {
    /// What is to be done with the running call.
    pub fn of(settings: &Settings, call: &Summary) -> Result<Plan, Skip> {
        let caller = Caller::new();
        let meant = settings.operations.matches(call.operation.as_str())
            && (settings.streams || !call.streaming)
            && settings.scope.matches(call, &caller);
        if !meant {
            return Err(Skip::NotMeant);
        }
        if let Some(label) = &settings.label
            && call::label(label).is_some_and(|value| value == "off")
        {
            return Err(Skip::Label);
        }
        let control = call::header("cache-control")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let says = |word: &str| control.split(',').any(|part| part.trim() == word);
        if says("no-store") {
            return Err(Skip::Header);
        }
        let body = call::body();
        let mut body: Value = serde_json::from_slice(&body).map_err(|_| Skip::Body)?;
        if !body.is_object() {
            return Err(Skip::Body);
        }
        check(settings, call, &body)?;
        let wants_usage = body.pointer("/stream_options/include_usage") == Some(&Value::Bool(true));
        for pointer in &settings.ignore {
            remove(&mut body, pointer);
        }
        Ok(Plan {
            name: name(settings, call, &caller, &body)?,
            reads: !says("no-cache"),
            wants_usage,
        })
    }
}

/// Whether the same question has the same answer, as far as the settings care.
fn check(settings: &Settings, call: &Summary, body: &Value) -> Result<(), Skip> {
    let is_set = |name: &str| {
        let value = body.get(name);
        value.is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false)))
    };
    let dialect = call::dialect();
    // What such a provider keeps of a reply, a later call may go on with: by an id that is not of this one.
    let is_kept = dialect == "openai.responses" && body.get("store") != Some(&Value::Bool(false));
    if is_kept || STATEFUL.iter().any(|name| is_set(name)) {
        return Err(Skip::Stateful);
    }
    let has_tools = body
        .get("tools")
        .and_then(Value::as_array)
        .is_some_and(|tools| !tools.is_empty());
    if !settings.tools && (has_tools || is_set("functions") || is_set("web_search_options")) {
        return Err(Skip::Tools);
    }
    let number = |pointers: [&str; 3]| {
        pointers
            .iter()
            .find_map(|pointer| body.pointer(pointer)?.as_f64())
    };
    let several = number([
        "/n",
        "/generationConfig/candidateCount",
        "/generation_config/candidate_count",
    ]);
    if call.streaming && several.is_some_and(|count| count > 1.0) {
        return Err(Skip::SeveralAnswers);
    }
    if call.streaming && dialect == "anthropic.messages" && is_set("stop_sequences") {
        return Err(Skip::StopSequences);
    }
    if matches!(call.operation, Operation::Chat | Operation::Completion) {
        let temperature = number([
            "/temperature",
            "/generationConfig/temperature",
            "/generation_config/temperature",
        ]);
        let fits = temperature.map_or(settings.without_temperature, |t| {
            t <= settings.temperature_max
        });
        if !fits {
            return Err(Skip::Temperature);
        }
    }
    Ok(())
}

fn remove(body: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else {
        return;
    };
    if let Some(Value::Object(parent)) = body.pointer_mut(parent) {
        parent.remove(&last.replace("~1", "/").replace("~0", "~"));
    }
}

/// The name under which the answer is kept: a digest of who asks, and of all that an answer depends on.
fn name(
    settings: &Settings,
    call: &Summary,
    caller: &Caller,
    body: &Value,
) -> Result<String, Skip> {
    let mut digest = Sha256::new();
    match settings.share {
        Share::Everyone => put(&mut digest, "everyone"),
        Share::Tenant => {
            put(&mut digest, "tenant");
            put(&mut digest, caller.tenant());
        }
        Share::Key => {
            put(&mut digest, "key");
            put(&mut digest, caller.tenant());
            put(&mut digest, caller.key());
        }
    }
    for part in [
        &call::dialect(),
        &call::method(),
        &call::path(),
        &call.model,
    ] {
        put(&mut digest, part);
    }
    put(&mut digest, if call.streaming { "stream" } else { "whole" });
    let mut query = call::query();
    query.sort();
    for (name, value) in &query {
        put(&mut digest, name);
        put(&mut digest, value);
    }
    put(&mut digest, "headers");
    for name in &settings.vary_headers {
        put(&mut digest, &call::header(name).unwrap_or_default());
    }
    put_json(&mut digest, body, 0)?;
    let mut name = String::with_capacity(68);
    for byte in digest.finalize() {
        let _ = write!(name, "{byte:02x}");
    }
    Ok(name)
}

/// With its length, so that no two rows of texts look the same.
fn put(digest: &mut Sha256, text: &str) {
    digest.update((text.len() as u64).to_le_bytes());
    digest.update(text.as_bytes());
}

/// JSON, whatever its spaces and the order of its members.
fn put_json(digest: &mut Sha256, value: &Value, depth: usize) -> Result<(), Skip> {
    if depth > DEPTH_MAX {
        return Err(Skip::Body);
    }
    match value {
        Value::Array(items) => {
            digest.update(b"[");
            for item in items {
                put_json(digest, item, depth + 1)?;
            }
            digest.update(b"]");
        }
        Value::Object(members) => {
            digest.update(b"{");
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by(|a, b| a.0.cmp(b.0));
            for (name, value) in members {
                put(digest, name);
                put_json(digest, value, depth + 1)?;
            }
            digest.update(b"}");
        }
        Value::String(text) => {
            digest.update(b"\"");
            put(digest, text);
        }
        Value::Number(number) => {
            digest.update(b"#");
            // 0 and 0.0 ask for the same.
            match number
                .as_f64()
                .filter(|value| value.fract() == 0.0 && value.abs() < 9e15)
            {
                Some(whole) => put(digest, &format!("{whole}")),
                None => put(digest, &number.to_string()),
            }
        }
        Value::Bool(true) => digest.update(b"t"),
        Value::Bool(false) => digest.update(b"f"),
        Value::Null => digest.update(b"n"),
    }
    Ok(())
}

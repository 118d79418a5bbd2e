//! What a recording says was used: the oracle that the ledger is held against.
//!
//! Reads each reply in the plainest way, tree by tree, and adds up by what the providers document.
//! Shares nothing with host/wire, which must come to the same numbers in a faster way.

use serde_json::Value;

use crate::recording::Recording;

/// Totals, as the ledger has them: the cached tokens are a part of the input, the reasoning tokens
/// a part of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All tokens of the prompt.
    pub input: u64,
    /// All tokens that were generated.
    pub output: u64,
    /// The part of the input that came from a cache.
    pub cached: u64,
}

impl Counts {
    /// The same from the `usage` of a call in the admin API.
    pub fn of_call(call: &Value) -> Counts {
        let count = |name: &str| {
            call["usage"][name]
                .as_u64()
                .unwrap_or_else(|| panic!("no {name} in {call}"))
        };
        Counts {
            input: count("input_tokens"),
            output: count("output_tokens"),
            cached: count("cached_tokens"),
        }
    }
}

/// What the recording of this provider (`openai`, `anthropic`, `gemini`) reports; none where it
/// reports nothing.
pub fn counts(provider: &str, recording: &Recording) -> Option<Counts> {
    let values = values(recording);
    match provider {
        "openai" => values
            .iter()
            .rev()
            .find_map(|value| openai(usage_of(value))),
        "anthropic" => anthropic(&values),
        "gemini" => values
            .iter()
            .rev()
            .find_map(|value| gemini(&value["usageMetadata"])),
        other => panic!("nobody knows how {other} counts"),
    }
}

/// The JSON values of a reply: one, the elements of an array, or the data of each event.
fn values(recording: &Recording) -> Vec<Value> {
    let text = String::from_utf8_lossy(&recording.body);
    match serde_json::from_str(&text) {
        Ok(Value::Array(values)) => return values,
        Ok(value) => return vec![value],
        Err(_) => {}
    }
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str(data.trim()).ok())
        .collect()
}

/// `responses` puts the usage into the response that its last event carries.
fn usage_of(value: &Value) -> &Value {
    // Groq puts that of a stream into a member of its own.
    let places = [
        &value["response"]["usage"],
        &value["usage"],
        &value["x_groq"]["usage"],
    ];
    places
        .into_iter()
        .find(|usage| usage.is_object())
        .unwrap_or(&value["usage"])
}

fn openai(usage: &Value) -> Option<Counts> {
    let count = |names: [&str; 2]| names.iter().find_map(|name| usage[*name].as_u64());
    let details = ["prompt_tokens_details", "input_tokens_details"];
    let cached = details
        .iter()
        .find_map(|name| usage[*name]["cached_tokens"].as_u64());
    let input = count(["prompt_tokens", "input_tokens"]);
    let output = count(["completion_tokens", "output_tokens"]);
    (input.is_some() || output.is_some()).then(|| Counts {
        input: input.unwrap_or(0),
        output: output.unwrap_or(0),
        cached: cached.unwrap_or(0),
    })
}

/// The first event counts the prompt, the last ones the answer, and some say everything again.
fn anthropic(values: &[Value]) -> Option<Counts> {
    let mut merged = serde_json::Map::new();
    for value in values {
        let usage = if value["message"]["usage"].is_object() {
            &value["message"]["usage"]
        } else {
            &value["usage"]
        };
        for (name, count) in usage.as_object().into_iter().flatten() {
            if count.is_u64() {
                merged.insert(name.clone(), count.clone());
            }
        }
    }
    let count = |name: &str| merged.get(name).and_then(Value::as_u64).unwrap_or(0);
    (!merged.is_empty()).then(|| Counts {
        input: count("input_tokens")
            + count("cache_read_input_tokens")
            + count("cache_creation_input_tokens"),
        output: count("output_tokens"),
        cached: count("cache_read_input_tokens"),
    })
}

fn gemini(usage: &Value) -> Option<Counts> {
    let count = |name: &str| usage[name].as_u64().unwrap_or(0);
    let output = count("candidatesTokenCount") + count("thoughtsTokenCount");
    // Some models leave the prompt's count out; the total has it all the same.
    let input = match usage["promptTokenCount"].as_u64() {
        Some(prompt) => prompt + count("toolUsePromptTokenCount"),
        None => count("totalTokenCount").saturating_sub(output),
    };
    usage.is_object().then(|| Counts {
        input,
        output,
        cached: count("cachedContentTokenCount"),
    })
}

//! What a reply used, read the slow and obvious way, for comparison.

use serde_json::Value;
use weir_base::Usage;
use weir_wire::{Dialect, Family};

/// The JSON documents of a stream, in whichever framing it came.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).unwrap_or_default();
    }
    if text.trim_start().starts_with('{') {
        return serde_json::Deserializer::from_str(text)
            .into_iter()
            .map_while(Result::ok)
            .collect();
    }
    text.replace("\r\n", "\n")
        .split("\n\n")
        .filter_map(|event| {
            let data: Vec<_> = event
                .lines()
                .filter_map(|line| line.strip_prefix("data:"))
                .collect();
            serde_json::from_str(&data.join("\n")).ok()
        })
        .collect()
}

pub(crate) fn usage(dialect: Dialect, documents: &[Value]) -> Option<Usage> {
    let mut last: Option<Value> = None;
    for document in documents {
        for pointer in [
            "/x_groq/usage",
            "/interaction/usage",
            "/message/usage",
            "/response/usage",
            "/response/usageMetadata",
            "/usageMetadata",
            "/usage",
        ] {
            let Some(found) = document
                .pointer(pointer)
                .filter(|found| names_tokens(found))
            else {
                continue;
            };
            match &mut last {
                // The parts of one Anthropic message complete each other.
                Some(Value::Object(merged)) if dialect.family() == Family::Anthropic => {
                    let newer = found
                        .as_object()
                        .unwrap()
                        .iter()
                        .filter(|(_, value)| !value.is_null());
                    merged.extend(newer.map(|(key, value)| (key.clone(), value.clone())));
                }
                last => *last = Some(found.clone()),
            }
        }
    }
    last.map(|found| match dialect.family() {
        Family::Openai => openai(&found),
        Family::Anthropic => anthropic(&found),
        Family::Gemini => gemini(&found),
    })
}

const TOKENS: [&str; 11] = [
    "prompt_tokens",
    "input_tokens",
    "completion_tokens",
    "output_tokens",
    "total_tokens",
    "promptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "totalTokenCount",
    "total_input_tokens",
    "total_output_tokens",
];

fn names_tokens(usage: &Value) -> bool {
    TOKENS.iter().any(|name| usage[name].is_number())
}

/// The first of these that is a number.
fn first(usage: &Value, pointers: &[&str]) -> u64 {
    pointers
        .iter()
        .find_map(|pointer| usage.pointer(pointer)?.as_u64())
        .unwrap_or(0)
}

fn largest(usage: &Value, pointers: &[&str]) -> u64 {
    pointers
        .iter()
        .filter_map(|pointer| usage.pointer(pointer)?.as_u64())
        .max()
        .unwrap_or(0)
}

fn openai(usage: &Value) -> Usage {
    let total = first(usage, &["/total_tokens"]);
    let mut output = first(usage, &["/completion_tokens", "/output_tokens"]);
    let has_input = usage["prompt_tokens"].is_number() || usage["input_tokens"].is_number();
    let mut input = if has_input {
        first(usage, &["/prompt_tokens", "/input_tokens"])
    } else {
        total - output
    };
    let reasoning = largest(
        usage,
        &[
            "/completion_tokens_details/reasoning_tokens",
            "/completion_token_details/reasoning_tokens",
            "/output_tokens_details/reasoning_tokens",
            "/reasoning_tokens",
        ],
    );
    if total > input + output {
        if usage["prompt_audio_seconds"].is_number() && total != input + output + reasoning {
            input = total - output;
        } else {
            output = total - input;
        }
    } else if reasoning > 2 * output + 1 {
        output += reasoning;
    }
    let cached = largest(
        usage,
        &[
            "/prompt_tokens_details/cached_tokens",
            "/prompt_token_details/cached_tokens",
            "/input_tokens_details/cached_tokens",
            "/cached_tokens",
            "/num_cached_tokens",
            "/prompt_cache_hit_tokens",
            "/cache_read_input_tokens",
        ],
    )
    .min(input);
    let written = largest(
        usage,
        &[
            "/prompt_tokens_details/cache_write_tokens",
            "/input_tokens_details/cache_write_tokens",
            "/cache_creation_input_tokens",
        ],
    );
    Usage {
        input_tokens: input,
        output_tokens: output,
        cached_tokens: cached,
        cache_write_tokens: written.min(input - cached),
        reasoning_tokens: reasoning.min(output),
        ..Usage::default()
    }
}

fn anthropic(usage: &Value) -> Usage {
    let read = first(usage, &["/cache_read_input_tokens"]);
    let written = first(usage, &["/cache_creation_input_tokens"]);
    let output = first(usage, &["/output_tokens"]);
    Usage {
        input_tokens: first(usage, &["/input_tokens"]) + read + written,
        output_tokens: output,
        cached_tokens: read,
        cache_write_tokens: written,
        reasoning_tokens: first(usage, &["/output_tokens_details/thinking_tokens"]).min(output),
        ..Usage::default()
    }
}

fn gemini(usage: &Value) -> Usage {
    let total = first(usage, &["/totalTokenCount", "/total_tokens"]);
    let thoughts = first(usage, &["/thoughtsTokenCount", "/total_thought_tokens"]);
    let output = first(usage, &["/candidatesTokenCount", "/total_output_tokens"]) + thoughts;
    let has_prompt =
        usage["promptTokenCount"].is_number() || usage["total_input_tokens"].is_number();
    let input = if has_prompt {
        first(usage, &["/promptTokenCount", "/total_input_tokens"])
            + first(
                usage,
                &["/toolUsePromptTokenCount", "/total_tool_use_tokens"],
            )
    } else {
        total - output
    };
    Usage {
        input_tokens: input,
        output_tokens: output,
        cached_tokens: first(usage, &["/cachedContentTokenCount", "/total_cached_tokens"])
            .min(input),
        reasoning_tokens: thoughts,
        ..Usage::default()
    }
}

//! What the pipeline must know of a request body, read in one pass and without a tree.
//!
//! The pass goes over every byte, so that a body that is not JSON is refused here with the place of
//! the fault, and everything behind this may trust its structure. Where a key comes twice, the last
//! one counts, as it does for most servers; the estimate counts both. A model that comes twice is
//! refused: what was allowed must be what is served.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::dialect::{Dialect, Family};
use crate::estimate;

/// What a request body says about the call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The value of `model`, unescaped; None where it is missing or no string.
    pub model: Option<String>,
    /// The bytes of that value in the body, quotes included: where another name can be spliced in.
    pub model_span: Option<Range<usize>>,
    /// The value of `stream`. False where it is missing or not `true`.
    pub stream: bool,
    /// The bound that the call sets on its own output, in tokens; the highest, where it sets several.
    pub max_output_tokens: Option<u32>,
    /// True where `stream_options.include_usage` is `true`.
    pub asks_stream_usage: bool,
    /// What the prompt, its tools and its schemas are in tokens, roughly. See [`estimate`].
    pub input_tokens_estimate: u32,
}

/// Why a body is none that a provider could read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The body is not JSON, or not UTF-8.
    #[error("the body is not valid JSON at byte {at}")]
    Malformed {
        /// Offset of the byte that does not fit.
        at: usize,
    },
    /// The body is JSON, but no object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// It names the model twice. Parsers differ in which one they take, so a provider could serve
    /// another than the one that was allowed.
    #[error("the body holds `model` twice")]
    ModelTwice,
}

/// Reads the head of a request body.
pub fn scan(dialect: Dialect, body: &[u8]) -> Result<Head, ScanError> {
    // Checking the encoding once, up front, is faster than string by string.
    let text = std::str::from_utf8(body).map_err(|error| ScanError::Malformed {
        at: error.valid_up_to(),
    })?;
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            ScanError::NotAnObject
        } else {
            ScanError::Malformed {
                at: offset(body, error.line(), error.column()),
            }
        }
    })?;
    if fields.model_twice {
        return Err(ScanError::ModelTwice);
    }
    let max_output_tokens = match dialect.family() {
        Family::Openai | Family::Anthropic => fields.max_tokens,
        Family::Gemini => fields.generation_config.and_then(max_output_tokens),
    };
    let model = fields.model.and_then(|raw| serde_json::from_str(raw).ok());
    Ok(Head {
        model_span: fields
            .model
            .filter(|_| model.is_some())
            .map(|raw| span_in(text, raw)),
        model,
        stream: fields.stream,
        max_output_tokens,
        asks_stream_usage: fields.stream_options.is_some_and(include_usage),
        input_tokens_estimate: fields.prompt_tokens,
    })
}

/// The keys that matter at the top of a body, raw.
#[derive(Default)]
struct Fields<'b> {
    model: Option<&'b str>,
    model_twice: bool,
    stream: bool,
    max_tokens: Option<u32>,
    stream_options: Option<&'b str>,
    generation_config: Option<&'b str>,
    prompt_tokens: u32,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields::default();
                while let Some(key) = map.next_key::<Key>()? {
                    if key == Key::Other {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        fields.take(key, map.next_value::<&RawValue>()?.get());
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'b> Fields<'b> {
    fn take(&mut self, key: Key, raw: &'b str) {
        match key {
            Key::Model => self.model_twice = self.model.replace(raw).is_some(),
            Key::Stream => self.stream = raw == "true",
            Key::MaxTokens => self.max_tokens = self.max_tokens.max(count(raw)),
            Key::StreamOptions => self.stream_options = Some(raw),
            Key::GenerationConfig => self.generation_config = Some(raw),
            Key::Prompt => {
                let more = estimate::tokens(raw.as_bytes());
                self.prompt_tokens = self.prompt_tokens.saturating_add(more);
            }
            Key::Other => {}
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Model,
    Stream,
    MaxTokens,
    StreamOptions,
    GenerationConfig,
    /// Whatever the provider turns into prompt tokens.
    Prompt,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(match name {
                    "model" => Key::Model,
                    "stream" => Key::Stream,
                    "max_tokens"
                    | "max_completion_tokens"
                    | "max_output_tokens"
                    | "max_tokens_to_sample" => Key::MaxTokens,
                    "stream_options" => Key::StreamOptions,
                    "generationConfig" | "generation_config" => Key::GenerationConfig,
                    "messages" | "input" | "prompt" | "system" | "instructions" | "contents"
                    | "content" | "requests" | "systemInstruction" | "system_instruction"
                    | "tools" | "functions" | "response_format" | "query" | "documents" => {
                        Key::Prompt
                    }
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

/// A token count, in whatever way it was written; None where it is no number.
fn count(raw: &str) -> Option<u32> {
    if let Ok(count) = raw.parse() {
        return Some(count);
    }
    let number: f64 = raw.parse().ok()?;
    // The cast saturates, which is what a bound that is out of range means.
    Some(number as u32)
}

fn max_output_tokens(raw: &str) -> Option<u32> {
    let at = |pointer| {
        crate::json::get(raw.as_bytes(), pointer)
            .ok()
            .flatten()
            .and_then(count)
    };
    at("/maxOutputTokens").or_else(|| at("/max_output_tokens"))
}

fn include_usage(raw: &str) -> bool {
    crate::json::get(raw.as_bytes(), "/include_usage") == Ok(Some("true"))
}

/// Where `part`, a slice of `whole`, lies in it.
fn span_in(whole: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

/// The parser tells lines and columns, both from 1.
fn offset(body: &[u8], line: usize, column: usize) -> usize {
    let lines = body
        .split_inclusive(|byte| *byte == b'\n')
        .take(line.saturating_sub(1));
    let before: usize = lines.map(<[u8]>::len).sum();
    (before + column.saturating_sub(1)).min(body.len())
}

#[cfg(test)]
mod tests;

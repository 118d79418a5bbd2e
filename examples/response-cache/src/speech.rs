//! A stream that was written down, in the words of the dialect in which it is asked for.
//!
//! What is made is what the maker of the dialect sends for such an answer, with ids of this program's own.

mod anthropic;
mod gemini;
mod openai;
mod responses;

use serde_json::Value;
use weir_sdk::Usage;
use weir_sdk::prelude::*;

/// The dialects whose streams can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    Chat,
    Completions,
    Responses,
    Anthropic,
    Gemini,
}

impl Speaker {
    /// The one of a dialect's name.
    pub fn of(dialect: &str) -> Option<Speaker> {
        Some(match dialect {
            "openai.chat" => Speaker::Chat,
            "openai.completions" => Speaker::Completions,
            "openai.responses" => Speaker::Responses,
            "anthropic.messages" => Speaker::Anthropic,
            "gemini.generate" => Speaker::Gemini,
            _ => return None,
        })
    }

    /// Whether thoughts can be repeated in it: elsewhere they are signed, or not text.
    pub fn has_thoughts(self) -> bool {
        matches!(self, Speaker::Chat | Speaker::Gemini)
    }
}

/// A whole stream.
pub struct Spoken<'t> {
    pub id: &'t str,
    pub model: &'t str,
    /// Seconds since the Unix epoch.
    pub created_s: u64,
    /// Text, thoughts and tool calls.
    pub events: &'t [Event],
    /// Why it ended, in OpenAI's words where they mean the same.
    pub finish: &'t str,
    pub usage: Option<&'t Usage>,
    /// Whether the caller asked for usage at the end of a stream of OpenAI's.
    pub wants_usage: bool,
}

/// The bytes of the stream.
pub fn stream(speaker: Speaker, spoken: &Spoken<'_>) -> String {
    let mut out = String::new();
    match speaker {
        Speaker::Chat => openai::chat(spoken, &mut out),
        Speaker::Completions => openai::completions(spoken, &mut out),
        Speaker::Responses => responses::stream(spoken, &mut out),
        Speaker::Anthropic => anthropic::stream(spoken, &mut out),
        Speaker::Gemini => gemini::stream(spoken, &mut out),
    }
    out
}

fn data(out: &mut String, value: &Value) {
    out.push_str("data: ");
    out.push_str(&value.to_string());
    out.push_str("\n\n");
}

/// With the event's type as its name, as Anthropic and OpenAI's Responses have it.
fn named(out: &mut String, value: &Value) {
    if let Some(name) = value.get("type").and_then(Value::as_str) {
        out.push_str("event: ");
        out.push_str(name);
        out.push('\n');
    }
    data(out, value);
}

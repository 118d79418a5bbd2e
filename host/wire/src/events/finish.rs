//! Why a reply ended, in the word that policies see and in each provider's own.
//!
//! Only words of the same meaning are translated; the first of a row is the one written back.

const ANTHROPIC: &[(&str, &str)] = &[
    ("stop", "end_turn"),
    ("stop", "stop_sequence"),
    ("length", "max_tokens"),
    ("length", "model_context_window_exceeded"),
    ("tool_calls", "tool_use"),
    ("content_filter", "refusal"),
];

const GEMINI: &[(&str, &str)] = &[
    ("stop", "STOP"),
    ("length", "MAX_TOKENS"),
    ("content_filter", "SAFETY"),
    ("content_filter", "RECITATION"),
    ("content_filter", "BLOCKLIST"),
    ("content_filter", "PROHIBITED_CONTENT"),
    ("content_filter", "SPII"),
    ("content_filter", "IMAGE_SAFETY"),
    // This dialect has no word of its own for it: a turn that ends in a function call stops.
    ("tool_calls", "STOP"),
];

pub(super) fn from_anthropic(own: &str) -> &str {
    neutral(ANTHROPIC, own)
}

pub(super) fn to_anthropic(neutral: &str) -> &str {
    own(ANTHROPIC, neutral)
}

pub(super) fn from_gemini(own: &str) -> &str {
    neutral(GEMINI, own)
}

pub(super) fn to_gemini(neutral: &str) -> &str {
    own(GEMINI, neutral)
}

fn neutral<'a>(table: &[(&'static str, &'static str)], word: &'a str) -> &'a str {
    table
        .iter()
        .find(|(_, own)| *own == word)
        .map_or(word, |(neutral, _)| neutral)
}

fn own<'a>(table: &[(&'static str, &'static str)], word: &'a str) -> &'a str {
    table
        .iter()
        .find(|(neutral, _)| *neutral == word)
        .map_or(word, |(_, own)| own)
}

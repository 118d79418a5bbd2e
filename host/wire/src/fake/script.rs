//! What the fake provider says, before any dialect writes it down.

use serde_json::{Value, json};

use super::options::Options;
use super::prompt::{Prompt, words_of};
use super::sample::sample;

/// How much of the last message is quoted, in characters.
const QUOTE_MAX_CHARS: usize = 120;
/// Into how many pieces a stream cuts the arguments of a tool call.
const ARGUMENT_PIECES: usize = 3;

/// One answer: text or a tool call, and what it counts.
pub(super) struct Script {
    /// What is said; empty where a tool is called.
    pub(super) text: String,
    /// The tool that is called in place of an answer.
    pub(super) tool: Option<ToolCall>,
    /// Why it ends.
    pub(super) finish: Finish,
    /// Reported input tokens.
    pub(super) input_tokens: u64,
    /// Reported output tokens of all choices together.
    pub(super) output_tokens: u64,
    /// How often the answer is given, at least once.
    pub(super) choices: u64,
    /// Text deltas of a stream; unset: one per word.
    events: Option<usize>,
}

/// A call of one function.
pub(super) struct ToolCall {
    pub(super) name: String,
    /// An object.
    pub(super) arguments: Value,
}

/// Why an answer ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// All was said.
    Stop,
    /// The request's bound on output tokens.
    Length,
    /// A tool is called.
    Tool,
}

impl Script {
    pub(super) fn write(prompt: &Prompt, model: &str, options: &Options) -> Self {
        let tool = prompt
            .tool
            .as_ref()
            .filter(|_| options.text.is_none() && !prompt.last_is_tool_result)
            .map(|tool| ToolCall {
                name: tool.name.clone(),
                arguments: arguments(&tool.schema),
            });
        let events = options
            .events
            .map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let (text, finish) = match (&tool, &options.text, &prompt.schema) {
            (Some(_), _, _) => (String::new(), Finish::Tool),
            (None, Some(text), _) => lengthen(text, events, prompt.max_output_tokens),
            // JSON that is repeated or cut would be no JSON.
            (None, None, Some(schema)) => (structured(schema, prompt), Finish::Stop),
            (None, None, None) => {
                lengthen(&sentence(prompt, model), events, prompt.max_output_tokens)
            }
        };
        let said = match &tool {
            Some(call) => words_of(&Value::String(call.arguments.to_string())),
            None => words_of(&Value::String(text.clone())),
        };
        Self {
            text,
            tool,
            finish,
            input_tokens: options.input_tokens.unwrap_or(prompt.words.max(1)),
            output_tokens: options
                .output_tokens
                .unwrap_or(said.saturating_mul(prompt.choices)),
            choices: prompt.choices,
            events,
        }
    }

    /// The text in as many pieces as a stream has deltas. Together they are the text.
    pub(super) fn deltas(&self) -> Vec<&str> {
        let words: Vec<&str> = self.text.split_inclusive(' ').collect();
        let wanted = self
            .events
            .unwrap_or(words.len())
            .clamp(1, words.len().max(1));
        even_pieces(&self.text, &words, wanted)
    }

    /// Reported input and output tokens together.
    pub(super) fn total_tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

impl ToolCall {
    /// The arguments as JSON text in a few pieces, as a stream sends them.
    pub(super) fn pieces(&self) -> Vec<String> {
        let text: Vec<char> = self.arguments.to_string().chars().collect();
        let size = text.len().div_ceil(ARGUMENT_PIECES).max(1);
        text.chunks(size)
            .map(|piece| piece.iter().collect())
            .collect()
    }
}

/// Joins `words`, which lie one after the other in `text`, to `wanted` pieces of about even size.
fn even_pieces<'a>(text: &'a str, words: &[&'a str], wanted: usize) -> Vec<&'a str> {
    let (mut pieces, mut start, mut end) = (Vec::with_capacity(wanted), 0, 0);
    for (at, word) in words.iter().enumerate() {
        end += word.len();
        // A piece ends where the share of words passed reaches the share of pieces made.
        if (at + 1) * wanted >= (pieces.len() + 1) * words.len() {
            pieces.extend(text.get(start..end));
            start = end;
        }
    }
    pieces
}

/// Repeats the words of `text` up to `events` of them, then keeps the first `max` words.
fn lengthen(text: &str, events: Option<usize>, max: Option<u64>) -> (String, Finish) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let max = max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
    let wanted = events.unwrap_or(0).max(words.len());
    if words.is_empty() || (wanted == words.len() && wanted <= max) {
        return (text.to_owned(), Finish::Stop);
    }
    let kept: Vec<&str> = words
        .iter()
        .copied()
        .cycle()
        .take(wanted.min(max))
        .collect();
    (
        kept.join(" "),
        if wanted > max {
            Finish::Length
        } else {
            Finish::Stop
        },
    )
}

fn sentence(prompt: &Prompt, model: &str) -> String {
    let quoted = quote(&prompt.last_text);
    let by = if model.is_empty() {
        String::new()
    } else {
        format!(" as {model}")
    };
    match (quoted.is_empty(), prompt.last_is_tool_result) {
        (true, _) => format!("Answered by Weir's fake provider{by}."),
        (false, true) => {
            format!("The tool said \"{quoted}\". Answered by Weir's fake provider{by}.")
        }
        (false, false) => format!("You said \"{quoted}\". Answered by Weir's fake provider{by}."),
    }
}

/// The start of `text` on one line.
fn quote(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(QUOTE_MAX_CHARS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

fn arguments(schema: &Value) -> Value {
    match sample(schema) {
        object @ Value::Object(_) => object,
        // A function without a schema takes no arguments.
        _ => json!({}),
    }
}

fn structured(schema: &Value, prompt: &Prompt) -> String {
    match schema {
        Value::Null => json!({"answer": quote(&prompt.last_text)}).to_string(),
        schema => sample(schema).to_string(),
    }
}

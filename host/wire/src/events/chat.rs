//! The chunks of OpenAI's chat and completions dialects, and of everyone who speaks them.
//!
//! Every chunk stands for itself, so a new event is a new chunk with the ids of the last one seen.
//! Only tool calls have state: their numbers, which must have no gap at the client.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use weir_base::Usage;

use super::{
    CONTINUED, Change, Edits, Event, Frame, Output, Seen, Slot, TextDelta, ToolCallDelta, frame,
    usage_in,
};
use crate::opening::{Said, said};
use crate::{Dialect, sse};

/// Which of the two dialects; they differ in where the text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Chat,
    Completion,
}

#[derive(Debug)]
pub(super) struct Stream {
    form: Form,
    /// Raw JSON of the last chunk's `id`, `model` and `created`.
    id: String,
    model: String,
    created: String,
    tools: Vec<Tool>,
    /// How often another provider went on; the ids are then those of the first.
    resumed: u32,
    /// Whether there was a chunk whose ids can be kept.
    begun: bool,
}

/// A tool call and its number at the client.
#[derive(Debug)]
struct Tool {
    choice: u32,
    /// The provider's number, or that of the policy that made it.
    index: u32,
    made: bool,
    /// None where it was dropped.
    client: Option<u32>,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    created: Option<&'a RawValue>,
    choices: Option<Vec<Choice>>,
    usage: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u32>,
    delta: Option<Delta>,
    /// The completions dialect has its text here.
    text: Option<String>,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Delta {
    /// A string, or with Mistral a list of parts.
    content: Option<Value>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
    role: Option<IgnoredAny>,
    // Known to be there and not to be shown; a chunk with nothing else is passed on as Other.
    refusal: Option<IgnoredAny>,
    audio: Option<IgnoredAny>,
    function_call: Option<IgnoredAny>,
    annotations: Option<IgnoredAny>,
    executed_tools: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ToolCall {
    index: Option<u32>,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

impl Stream {
    pub(super) fn new(form: Form) -> Self {
        let id = r#""chatcmpl-weir""#.to_owned();
        let (model, created) = (r#""""#.to_owned(), "0".to_owned());
        Self {
            form,
            id,
            model,
            created,
            tools: Vec::new(),
            resumed: 0,
            begun: false,
        }
    }

    pub(super) fn resume(&mut self) {
        self.resumed += u32::from(self.begun);
    }

    pub(super) fn read(&mut self, event: &sse::Event<'_>, seen: &mut Seen) {
        if event.data.trim_ascii() == b"[DONE]" {
            seen.closing = true;
            return;
        }
        let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(event.data) else {
            return seen.other(event);
        };
        if self.resumed == 0 {
            remember(&mut self.id, chunk.id);
            remember(&mut self.model, chunk.model);
            remember(&mut self.created, chunk.created);
            self.begun = true;
        }
        let choices = chunk.choices.unwrap_or_default();
        let framing = !choices.is_empty() && choices.iter().all(Choice::is_framing);
        let no_choice = choices.is_empty();
        let roles = choices
            .iter()
            .filter_map(|choice| choice.delta.as_ref()?.role);
        seen.sole = framing && chunk.usage.is_none() && roles.count() == 0;
        for (at, choice) in choices.into_iter().enumerate() {
            self.read_choice(at, choice, seen);
        }
        if chunk.usage.is_some()
            && let Some(usage) = usage_in(Dialect::OpenaiChat, event)
        {
            seen.closing |= no_choice;
            seen.push(Slot::Usage, Event::Usage(usage));
        }
        if seen.events.is_empty() && !framing {
            seen.other(event);
        }
    }

    fn read_choice(&self, at: usize, choice: Choice, seen: &mut Seen) {
        let number = choice.index.unwrap_or_default();
        let delta = choice.delta.unwrap_or_default();
        let thoughts = [
            ("reasoning_content", delta.reasoning_content),
            ("reasoning", delta.reasoning),
        ];
        // Where a provider sends both, they are the same.
        if let Some((field, text)) = thoughts.into_iter().find_map(|(f, text)| Some((f, text?)))
            && !text.is_empty()
        {
            let text = TextDelta {
                choice: number,
                text,
            };
            seen.push(Slot::Reasoning { at, field }, Event::Reasoning(text));
        }
        match delta.content {
            Some(Value::String(text)) => push_text(Slot::Text { at }, number, text, seen),
            Some(Value::Array(parts)) => read_parts(at, number, &parts, seen),
            _ => {}
        }
        // Together repeats the text here in the chat dialect too; it is one text.
        if self.form == Form::Completion {
            push_text(
                Slot::Text { at },
                number,
                choice.text.unwrap_or_default(),
                seen,
            );
        }
        for (part, call) in delta.tool_calls.unwrap_or_default().into_iter().enumerate() {
            // Some leave the number out, or repeat an empty id.
            let index = call
                .index
                .unwrap_or_else(|| u32::try_from(part).unwrap_or_default());
            let (name, arguments) = call
                .function
                .map_or((None, None), |function| (function.name, function.arguments));
            let call = ToolCallDelta {
                choice: number,
                index,
                id: call.id.filter(|id| !id.is_empty()),
                name: name.filter(|name| !name.is_empty()),
                arguments: arguments.unwrap_or_default(),
            };
            seen.push(Slot::Tool { at, part }, Event::ToolCall(call));
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            seen.closing = true;
            seen.push(Slot::Finish { at }, Event::Finish(reason));
        }
    }

    pub(super) fn write(&mut self, event: &sse::Event<'_>, mut edits: Edits<'_>) -> Output {
        let mut out = Vec::new();
        edits.before.iter().for_each(|new| self.make(new, &mut out));
        let numbers = self.number_tools(&mut edits.places);
        let untouched = edits
            .places
            .iter()
            .all(|(_, _, change)| *change == Change::Keep);
        if untouched && numbers.iter().all(Option::is_none) {
            if self.resumed > 0 {
                self.write_resumed(event, &edits, &mut out);
            } else if out.is_empty() && edits.after.is_empty() {
                return Output::Pass;
            } else {
                out.extend_from_slice(event.raw);
            }
        } else {
            self.write_changed(event, &edits, &numbers, &mut out);
        }
        edits.after.iter().for_each(|new| self.make(new, &mut out));
        Output::Send(out)
    }

    /// A chunk of a provider that goes on, as it is but for what the first one's chunks have.
    fn write_resumed(&self, event: &sse::Event<'_>, edits: &Edits<'_>, out: &mut Vec<u8>) {
        if event.data.trim_ascii() == b"[DONE]" {
            return out.extend_from_slice(event.raw);
        }
        let is_ceremony = said(Dialect::OpenaiChat, event) == Said::Opening;
        if !(is_ceremony && edits.places.is_empty()) {
            let mut frame = Frame::of(event);
            self.adopt(edits, &mut frame);
            frame.write("\n", out);
        }
    }

    /// Gives a chunk of a provider that goes on the ids of the first.
    fn adopt(&self, edits: &Edits<'_>, frame: &mut Frame) {
        let ids = [
            ("/id", &self.id),
            ("/model", &self.model),
            ("/created", &self.created),
        ];
        for (pointer, first) in ids {
            if frame.has(pointer) {
                frame.set(pointer, first);
            }
        }
        // SDKs put deltas together, and there was one.
        if frame.mentions("\"role\"") {
            frame.remove("/choices/0/delta/role");
        }
        let ends = |(slot, ..): &(Slot, &Event, Change)| matches!(slot, Slot::Finish { .. });
        if edits.places.iter().any(ends) {
            frame.set(CONTINUED, &self.resumed.to_string());
        }
    }

    fn write_changed(
        &self,
        event: &sse::Event<'_>,
        edits: &Edits<'_>,
        numbers: &[Option<u32>],
        out: &mut Vec<u8>,
    ) {
        let all_gone = |(_, _, change): &(_, _, Change)| *change == Change::Erase;
        if edits.sole && edits.places.iter().all(all_gone) {
            return;
        }
        let mut frame = Frame::of(event);
        // From the last to the first, so that what is removed from a list moves nothing before it.
        for ((slot, _, change), number) in edits.places.iter().zip(numbers).rev() {
            if let (Slot::Tool { at, part }, Some(number)) = (slot, number) {
                let pointer = format!("/choices/{at}/delta/tool_calls/{part}/index");
                frame.set(&pointer, &number.to_string());
            }
            match (slot, change) {
                (_, Change::Keep) => {}
                (Slot::Whole, Change::Erase) => return,
                (Slot::Whole, Change::Set(new)) => return frame::write_other(new, "\n", out),
                (slot, change) => self.edit(*slot, change, &mut frame),
            }
        }
        let erased = edits
            .places
            .iter()
            .any(|(_, _, change)| *change == Change::Erase);
        if !(erased && is_blank(frame.data())) {
            if self.resumed > 0 {
                self.adopt(edits, &mut frame);
            }
            frame.write("\n", out);
        }
    }

    fn edit(&self, slot: Slot, change: &Change, frame: &mut Frame) {
        let new = if let Change::Set(new) = change {
            Some(new)
        } else {
            None
        };
        match (slot, new) {
            (Slot::Text { at }, new) => self.edit_text(at, new, frame),
            (Slot::Part { at, part }, new) => edit_part(at, part, new, frame),
            (Slot::Reasoning { at, field }, new) => edit_reasoning(at, field, new, frame),
            (Slot::Tool { at, part }, new) => edit_tool(at, part, new, frame),
            (Slot::Usage, Some(Event::Usage(usage))) => edit_usage(usage, frame),
            (Slot::Usage, _) => frame.set("/usage", "null"),
            (Slot::Finish { at }, Some(Event::Finish(reason))) => {
                frame.set_text(&format!("/choices/{at}/finish_reason"), reason);
            }
            (Slot::Finish { at }, _) => {
                frame.set(&format!("/choices/{at}/finish_reason"), "null");
            }
            (Slot::Whole, _) => {}
        }
    }

    fn edit_text(&self, at: usize, new: Option<&Event>, frame: &mut Frame) {
        let pointer = match self.form {
            Form::Chat => format!("/choices/{at}/delta/content"),
            Form::Completion => format!("/choices/{at}/text"),
        };
        match (new, self.form) {
            (Some(Event::Text(delta)), _) => frame.set_text(&pointer, &delta.text),
            (_, Form::Chat) => frame.remove(&pointer),
            // Here the field is not optional to the SDKs.
            (_, Form::Completion) => frame.set(&pointer, "\"\""),
        }
        let twin = format!("/choices/{at}/text");
        if self.form == Form::Chat && frame.mentions("\"text\"") && frame.has(&twin) {
            frame.set_text(&twin, new.map_or("", Event::text));
        }
        let logprobs = format!("/choices/{at}/logprobs");
        if frame.mentions("logprobs") && frame.has(&logprobs) {
            frame.set(&logprobs, "null");
        }
    }

    /// Gives every tool call its number at the client. Answers which pieces must be renumbered, and
    /// turns the pieces of a dropped call to dropped ones.
    fn number_tools(&mut self, places: &mut [(Slot, &Event, Change)]) -> Vec<Option<u32>> {
        places
            .iter_mut()
            .map(|(_, event, change)| {
                let Event::ToolCall(call) = *event else {
                    return None;
                };
                let known = self.tools.iter().position(|tool| {
                    !tool.made && (tool.choice, tool.index) == (call.choice, call.index)
                });
                let client = match known.and_then(|at| self.tools.get(at)) {
                    Some(tool) => tool.client,
                    None => {
                        let kept = *change != Change::Erase;
                        let client = kept.then(|| self.next_number(call.choice));
                        let (choice, index) = (call.choice, call.index);
                        self.tools.push(Tool {
                            choice,
                            index,
                            made: false,
                            client,
                        });
                        client
                    }
                };
                if client.is_none() {
                    *change = Change::Erase;
                }
                client.filter(|client| *client != call.index)
            })
            .collect()
    }

    fn next_number(&self, choice: u32) -> u32 {
        let of_choice = self.tools.iter().filter(|tool| tool.choice == choice);
        of_choice
            .filter_map(|tool| tool.client)
            .max()
            .map_or(0, |last| last.saturating_add(1))
    }

    pub(super) fn make(&mut self, event: &Event, out: &mut Vec<u8>) {
        let delta = |choice: u32, delta: Value| json!([{"index": choice, "delta": delta, "finish_reason": null}]);
        let choices = match (event, self.form) {
            (Event::Text(new), Form::Chat) => delta(new.choice, json!({"content": new.text})),
            (Event::Text(new), Form::Completion) => json!([{
                "index": new.choice, "text": new.text, "logprobs": null, "finish_reason": null,
            }]),
            (Event::Reasoning(new), Form::Chat) => {
                delta(new.choice, json!({"reasoning_content": new.text}))
            }
            (Event::ToolCall(new), Form::Chat) => match self.make_tool(new) {
                Some(call) => delta(new.choice, json!({"tool_calls": [call]})),
                None => return,
            },
            // The completions dialect has neither.
            (Event::Reasoning(_) | Event::ToolCall(_), Form::Completion) => return,
            (Event::Finish(reason), Form::Chat) => {
                json!([{"index": 0, "delta": {}, "finish_reason": reason}])
            }
            (Event::Finish(reason), Form::Completion) => {
                json!([{"index": 0, "text": "", "logprobs": null, "finish_reason": reason}])
            }
            (Event::Usage(usage), _) => {
                return self.chunk(&json!([]), Some(&usage_json(usage)), out);
            }
            (Event::Other(_), _) => return frame::write_other(event, "\n", out),
        };
        self.chunk(&choices, None, out);
    }

    /// A tool call of a policy's own, or a further piece of one; None where there is no such call.
    fn make_tool(&mut self, new: &ToolCallDelta) -> Option<Value> {
        if let Some(name) = &new.name {
            let client = self.next_number(new.choice);
            let (choice, index) = (new.choice, new.index);
            self.tools.push(Tool {
                choice,
                index,
                made: true,
                client: Some(client),
            });
            let id = new
                .id
                .clone()
                .unwrap_or_else(|| format!("call_weir_{choice}_{client}"));
            let function = json!({"name": name, "arguments": new.arguments});
            return Some(
                json!({"index": client, "id": id, "type": "function", "function": function}),
            );
        }
        let known = self
            .tools
            .iter()
            .rev()
            .filter(|tool| (tool.choice, tool.index) == (new.choice, new.index))
            .max_by_key(|tool| tool.made)?;
        Some(json!({"index": known.client?, "function": {"arguments": new.arguments}}))
    }

    fn chunk(&self, choices: &Value, usage: Option<&Value>, out: &mut Vec<u8>) {
        let object = match self.form {
            Form::Chat => "chat.completion.chunk",
            Form::Completion => "text_completion",
        };
        let Self {
            id, model, created, ..
        } = self;
        let usage = usage
            .map(|usage| format!(",\"usage\":{usage}"))
            .unwrap_or_default();
        let data = format!(
            r#"{{"id":{id},"object":"{object}","created":{created},"model":{model},"choices":{choices}{usage}}}"#
        );
        frame::write(None, data.as_bytes(), "\n", out);
    }
}

impl Choice {
    /// Whether it says nothing that is shown to a policy, nor anything that could be.
    fn is_framing(&self) -> bool {
        self.delta.as_ref().is_none_or(|delta| {
            delta.refusal.is_none()
                && delta.audio.is_none()
                && delta.function_call.is_none()
                && delta.annotations.is_none()
                && delta.executed_tools.is_none()
        })
    }
}

/// Mistral's content in parts: `text`, and `thinking`, which holds parts again.
fn read_parts(at: usize, choice: u32, parts: &[Value], seen: &mut Seen) {
    for (part, value) in parts.iter().enumerate() {
        let slot = Slot::Part { at, part };
        if let Some(text) = value.get("text").and_then(Value::as_str) {
            push_text(slot, choice, text.to_owned(), seen);
        } else if let Some(thoughts) = value.get("thinking").and_then(Value::as_array) {
            let texts = thoughts
                .iter()
                .filter_map(|thought| thought.get("text")?.as_str());
            let text: String = texts.collect();
            if !text.is_empty() {
                seen.push(slot, Event::Reasoning(TextDelta { choice, text }));
            }
        }
    }
}

fn push_text(slot: Slot, choice: u32, text: String, seen: &mut Seen) {
    if !text.is_empty() {
        seen.push(slot, Event::Text(TextDelta { choice, text }));
    }
}

fn edit_part(at: usize, part: usize, new: Option<&Event>, frame: &mut Frame) {
    let content = format!("/choices/{at}/delta/content");
    match new {
        Some(Event::Text(new)) => frame.set_text(&format!("{content}/{part}/text"), &new.text),
        Some(Event::Reasoning(new)) => {
            let thoughts = json!([{"type": "text", "text": new.text}]).to_string();
            frame.set(&format!("{content}/{part}/thinking"), &thoughts);
        }
        _ => frame.remove_element(&content, part),
    }
}

fn edit_reasoning(at: usize, field: &str, new: Option<&Event>, frame: &mut Frame) {
    let delta = format!("/choices/{at}/delta");
    // The same thoughts in other words of the same provider must not stay behind.
    for twin in ["reasoning_content", "reasoning", "reasoning_details"] {
        if (twin != field || new.is_none()) && frame.mentions(twin) {
            frame.remove(&format!("{delta}/{twin}"));
        }
    }
    if let Some(Event::Reasoning(new)) = new {
        frame.set_text(&format!("{delta}/{field}"), &new.text);
    }
}

fn edit_tool(at: usize, part: usize, new: Option<&Event>, frame: &mut Frame) {
    let calls = format!("/choices/{at}/delta/tool_calls");
    let Some(Event::ToolCall(new)) = new else {
        return frame.remove_element(&calls, part);
    };
    frame.set_text(
        &format!("{calls}/{part}/function/arguments"),
        &new.arguments,
    );
    let fields = [("id", &new.id), ("function/name", &new.name)];
    for (field, value) in fields {
        if let Some(value) = value {
            frame.set_text(&format!("{calls}/{part}/{field}"), value);
        }
    }
}

fn edit_usage(usage: &Usage, frame: &mut Frame) {
    frame.set("/usage/prompt_tokens", &usage.input_tokens.to_string());
    frame.set("/usage/completion_tokens", &usage.output_tokens.to_string());
    frame.set("/usage/total_tokens", &usage.total_tokens().to_string());
    frame.renumber(
        "/usage/prompt_tokens_details/cached_tokens",
        usage.cached_tokens,
    );
    frame.renumber(
        "/usage/completion_tokens_details/reasoning_tokens",
        usage.reasoning_tokens,
    );
}

fn usage_json(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens(),
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    })
}

/// Whether a chunk has nothing left to say after something was taken out of it.
fn is_blank(data: &[u8]) -> bool {
    let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else {
        return false;
    };
    chunk.usage.is_none()
        && chunk.choices.unwrap_or_default().iter().all(|choice| {
            choice.is_framing()
                && choice.finish_reason.as_ref().is_none_or(String::is_empty)
                && choice.text.as_ref().is_none_or(String::is_empty)
                && choice.delta.as_ref().is_none_or(|delta| {
                    delta.role.is_none()
                        && delta.content.is_none()
                        && delta.tool_calls.is_none()
                        && delta.reasoning.is_none()
                        && delta.reasoning_content.is_none()
                })
        })
}

/// Keeps the raw text of a field of the last chunk, where there is one.
fn remember(field: &mut String, raw: Option<&RawValue>) {
    if let Some(raw) = raw
        && raw.get() != field
    {
        raw.get().clone_into(field);
    }
}

//! The chunks of Gemini's `streamGenerateContent`.
//!
//! Every chunk is a whole GenerateContentResponse, and a function call comes in one piece, so there
//! is nothing to keep in step. The parts of a candidate are what policies see one by one.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use weir_base::Usage;

use super::{
    CONTINUED, Change, Edits, Event, Frame, Output, Seen, Slot, TextDelta, ToolCallDelta, finish,
    frame, usage_in,
};
use crate::{Dialect, sse};

/// Google ends its lines so.
const EOL: &str = "\r\n";

#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Raw JSON of the last chunk's `modelVersion` and `responseId`.
    model: Option<String>,
    id: Option<String>,
    /// Function calls seen so far.
    tools: u32,
    /// A call of a policy's making of which more may come: it can only be told as a whole.
    pending: Option<ToolCallDelta>,
    /// How often another provider went on; the ids are then those of the first.
    resumed: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk<'a> {
    candidates: Option<Vec<Candidate>>,
    usage_metadata: Option<IgnoredAny>,
    #[serde(borrow)]
    model_version: Option<&'a RawValue>,
    #[serde(borrow)]
    response_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    index: Option<u32>,
    content: Option<Content>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    parts: Option<Vec<Part>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    text: Option<String>,
    thought: Option<bool>,
    function_call: Option<FunctionCall>,
}

#[derive(Deserialize)]
struct FunctionCall {
    id: Option<String>,
    name: Option<String>,
    args: Option<Box<RawValue>>,
}

impl Stream {
    pub(super) fn read(&mut self, event: &sse::Event<'_>, seen: &mut Seen) {
        let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(event.data) else {
            return seen.other(event);
        };
        if self.resumed == 0 {
            remember(&mut self.model, chunk.model_version);
            remember(&mut self.id, chunk.response_id);
        }
        let mut framing = chunk.candidates.is_some();
        for (at, candidate) in chunk.candidates.unwrap_or_default().into_iter().enumerate() {
            framing &= self.read_candidate(at, candidate, seen);
        }
        if chunk.usage_metadata.is_some()
            && let Some(usage) = usage_in(Dialect::GeminiGenerate, event)
        {
            seen.push(Slot::Usage, Event::Usage(usage));
        }
        if seen.events.is_empty() && !framing {
            seen.other(event);
        }
    }

    /// False where the candidate has parts that there is no kind for.
    fn read_candidate(&mut self, at: usize, candidate: Candidate, seen: &mut Seen) -> bool {
        let choice = candidate.index.unwrap_or_default();
        let parts = candidate
            .content
            .and_then(|content| content.parts)
            .unwrap_or_default();
        let mut all_known = true;
        for (part, value) in parts.into_iter().enumerate() {
            if let Some(text) = value.text {
                if !text.is_empty() {
                    let text = TextDelta { choice, text };
                    let thought = value.thought.unwrap_or_default();
                    let event = if thought {
                        Event::Reasoning(text)
                    } else {
                        Event::Text(text)
                    };
                    seen.push(Slot::Part { at, part }, event);
                }
            } else if let Some(call) = value.function_call {
                let call = ToolCallDelta {
                    choice,
                    index: self.tools,
                    id: call.id,
                    name: call.name,
                    arguments: call
                        .args
                        .map_or_else(|| "{}".to_owned(), |args| args.get().into()),
                };
                self.tools = self.tools.saturating_add(1);
                seen.push(Slot::Tool { at, part }, Event::ToolCall(call));
            } else {
                all_known = false;
            }
        }
        if let Some(reason) = candidate.finish_reason.filter(|reason| !reason.is_empty()) {
            seen.closing = true;
            let reason = finish::from_gemini(&reason).to_owned();
            seen.push(Slot::Finish { at }, Event::Finish(reason));
        }
        all_known
    }

    pub(super) fn write(&mut self, event: &sse::Event<'_>, edits: Edits<'_>) -> Output {
        if edits.is_empty() && self.pending.is_none() && self.resumed == 0 {
            return Output::Pass;
        }
        let mut out = Vec::new();
        edits.before.iter().for_each(|new| self.make(new, &mut out));
        self.flush(&mut out);
        let adopt = |frame: &mut Frame| self.adopt(&edits, frame);
        write_changed(event, &edits, adopt, &mut out);
        edits.after.iter().for_each(|new| self.make(new, &mut out));
        Output::Send(out)
    }

    pub(super) fn resume(&mut self) {
        self.resumed += 1;
    }

    /// Gives a chunk of a provider that goes on the ids of the first. True where it is one.
    fn adopt(&self, edits: &Edits<'_>, frame: &mut Frame) -> bool {
        for (pointer, first) in [("/modelVersion", &self.model), ("/responseId", &self.id)] {
            if let Some(first) = first
                .as_deref()
                .filter(|_| self.resumed > 0 && frame.has(pointer))
            {
                frame.set(pointer, first);
            }
        }
        let ends = |(slot, ..): &(Slot, &Event, Change)| matches!(slot, Slot::Finish { .. });
        if self.resumed > 0 && edits.places.iter().any(ends) {
            frame.set(CONTINUED, &self.resumed.to_string());
        }
        self.resumed > 0
    }

    pub(super) fn make(&mut self, event: &Event, out: &mut Vec<u8>) {
        if let Event::ToolCall(new) = event {
            return self.make_call(new, out);
        }
        self.flush(out);
        match event {
            Event::Text(new) => self.chunk(part(new.choice, json!({"text": new.text})), out),
            Event::Reasoning(new) => {
                self.chunk(
                    part(new.choice, json!({"text": new.text, "thought": true})),
                    out,
                );
            }
            Event::Usage(usage) => self.chunk(json!({"usageMetadata": usage_json(usage)}), out),
            Event::Finish(reason) => {
                let candidate = json!({"finishReason": finish::to_gemini(reason), "index": 0});
                self.chunk(json!({"candidates": [candidate]}), out);
            }
            Event::Other(_) => frame::write_other(event, EOL, out),
            Event::ToolCall(_) => {}
        }
    }

    fn make_call(&mut self, new: &ToolCallDelta, out: &mut Vec<u8>) {
        match &mut self.pending {
            Some(begun) if new.name.is_none() => begun.arguments.push_str(&new.arguments),
            _ if new.name.is_none() => {}
            _ => {
                self.flush(out);
                self.pending = Some(new.clone());
            }
        }
    }

    /// Sends the call that waited for more of its arguments.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) {
        let Some(call) = self.pending.take() else {
            return;
        };
        let mut value = json!({"name": call.name, "args": arguments(&call)});
        if let (Some(id), Some(fields)) = (&call.id, value.as_object_mut()) {
            fields.insert("id".to_owned(), id.as_str().into());
        }
        self.chunk(part(call.choice, json!({"functionCall": value})), out);
    }

    /// Writes a chunk of our own, with the ids of the last one seen.
    fn chunk(&self, mut value: Value, out: &mut Vec<u8>) {
        for (name, raw) in [("modelVersion", &self.model), ("responseId", &self.id)] {
            let known = raw
                .as_deref()
                .and_then(|raw| serde_json::from_str::<Value>(raw).ok());
            if let (Some(known), Some(fields)) = (known, value.as_object_mut()) {
                fields.insert(name.to_owned(), known);
            }
        }
        frame::write(None, value.to_string().as_bytes(), EOL, out);
    }
}

/// A response that holds one part.
fn part(choice: u32, part: Value) -> Value {
    let content = json!({"role": "model", "parts": [part]});
    json!({"candidates": [{"content": content, "index": choice}]})
}

fn write_changed(
    event: &sse::Event<'_>,
    edits: &Edits<'_>,
    adopt: impl Fn(&mut Frame) -> bool,
    out: &mut Vec<u8>,
) {
    let mut frame = Frame::of(event);
    let mut erased = false;
    let keeps_usage = edits
        .places
        .iter()
        .any(|(slot, _, change)| *slot == Slot::Usage && *change != Change::Erase);
    // From the last to the first, so that a part that is removed moves none before it.
    for (slot, _, change) in edits.places.iter().rev() {
        erased |= *change == Change::Erase;
        match (slot, change) {
            (_, Change::Keep) => {}
            (Slot::Whole, Change::Erase) => return,
            (Slot::Whole, Change::Set(new)) => return frame::write_other(new, EOL, out),
            (slot, Change::Erase) => erase(*slot, &mut frame),
            (slot, Change::Set(new)) => set(*slot, new, &mut frame),
        }
    }
    let all_kept = edits
        .places
        .iter()
        .all(|(_, _, change)| *change == Change::Keep);
    if !adopt(&mut frame) && all_kept {
        out.extend_from_slice(event.raw);
    } else if !(erased && !keeps_usage && is_blank(frame.data())) {
        frame.write(EOL, out);
    }
}

fn erase(slot: Slot, frame: &mut Frame) {
    match slot {
        Slot::Part { at, part } | Slot::Tool { at, part } => {
            let parts = format!("/candidates/{at}/content/parts");
            if frame.get(&format!("{parts}/1")).is_some() {
                frame.remove_element(&parts, part);
            } else {
                // SDKs read the text of every chunk; they find an empty one better than none.
                frame.set(&parts, r#"[{"text":""}]"#);
            }
            remove_logprobs(at, frame);
        }
        Slot::Usage => frame.remove("/usageMetadata"),
        Slot::Finish { at } => frame.remove(&format!("/candidates/{at}/finishReason")),
        Slot::Whole | Slot::Text { .. } | Slot::Reasoning { .. } => {}
    }
}

fn set(slot: Slot, new: &Event, frame: &mut Frame) {
    match (slot, new) {
        (Slot::Part { at, part }, Event::Text(delta) | Event::Reasoning(delta)) => {
            frame.set_text(
                &format!("/candidates/{at}/content/parts/{part}/text"),
                &delta.text,
            );
            remove_logprobs(at, frame);
        }
        (Slot::Tool { at, part }, Event::ToolCall(call)) => {
            let place = format!("/candidates/{at}/content/parts/{part}/functionCall");
            frame.set(&format!("{place}/args"), &arguments(call).to_string());
            for (field, value) in [("id", &call.id), ("name", &call.name)] {
                if let Some(value) = value {
                    frame.set_text(&format!("{place}/{field}"), value);
                }
            }
        }
        (Slot::Usage, Event::Usage(usage)) => {
            let candidates = usage.output_tokens.saturating_sub(usage.reasoning_tokens);
            frame.set(
                "/usageMetadata/promptTokenCount",
                &usage.input_tokens.to_string(),
            );
            frame.set(
                "/usageMetadata/candidatesTokenCount",
                &candidates.to_string(),
            );
            frame.set(
                "/usageMetadata/totalTokenCount",
                &usage.total_tokens().to_string(),
            );
            frame.renumber("/usageMetadata/thoughtsTokenCount", usage.reasoning_tokens);
            frame.renumber(
                "/usageMetadata/cachedContentTokenCount",
                usage.cached_tokens,
            );
        }
        (Slot::Finish { at }, Event::Finish(reason)) => {
            let own = finish::to_gemini(reason);
            frame.set_text(&format!("/candidates/{at}/finishReason"), own);
        }
        _ => {}
    }
}

/// They spell out what was changed.
fn remove_logprobs(at: usize, frame: &mut Frame) {
    if frame.mentions("logprobsResult") {
        frame.remove(&format!("/candidates/{at}/logprobsResult"));
    }
}

/// The arguments as the object that they are here; an empty one where they are none.
fn arguments(call: &ToolCallDelta) -> Value {
    let parsed = serde_json::from_str(&call.arguments)
        .ok()
        .filter(Value::is_object);
    parsed.unwrap_or_else(|| json!({}))
}

fn usage_json(usage: &Usage) -> Value {
    json!({
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens.saturating_sub(usage.reasoning_tokens),
        "thoughtsTokenCount": usage.reasoning_tokens,
        "cachedContentTokenCount": usage.cached_tokens,
        "totalTokenCount": usage.total_tokens(),
    })
}

/// Whether a chunk has nothing left to say after something was taken out of it.
fn is_blank(data: &[u8]) -> bool {
    let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else {
        return false;
    };
    chunk.usage_metadata.is_none()
        && chunk
            .candidates
            .unwrap_or_default()
            .iter()
            .all(|candidate| {
                candidate.finish_reason.is_none()
                    && candidate.content.as_ref().is_none_or(|content| {
                        content.parts.iter().flatten().all(|part| {
                            part.text.as_ref().is_some_and(String::is_empty)
                                && part.function_call.is_none()
                        })
                    })
            })
}

/// Keeps the raw text of a field of the last chunk, where there is one.
fn remember(field: &mut Option<String>, raw: Option<&RawValue>) {
    if let Some(raw) = raw
        && field.as_deref() != Some(raw.get())
    {
        *field = Some(raw.get().to_owned());
    }
}

//! What one event of a Responses stream says.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::{Event, Seen, Slot, TextDelta, ToolCallDelta, usage_in};
use super::items::{Item, Kind};
use super::{Stream, is_arguments};
use crate::{Dialect, sse};

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    output_index: Option<u64>,
    item_id: Option<String>,
    delta: Option<String>,
    item: Option<OutputItem>,
    response: Option<Response>,
}

#[derive(Deserialize)]
struct OutputItem {
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
    call_id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    input: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Response {
    usage: Option<IgnoredAny>,
    incomplete_details: Option<Incomplete>,
}

#[derive(Deserialize)]
struct Incomplete {
    reason: Option<String>,
}

impl Stream {
    pub(in crate::events) fn read(&mut self, event: &sse::Event<'_>, seen: &mut Seen) {
        if event.data.trim_ascii() == b"[DONE]" {
            seen.closing = true;
            return;
        }
        let Ok(message) = serde_json::from_slice::<Message>(event.data) else {
            return seen.other(event);
        };
        match message.kind.strip_prefix("response.").unwrap_or_default() {
            "output_item.added" => match (message.output_index, message.item) {
                (Some(index), Some(item)) => self.read_item(index, item, event, seen),
                _ => seen.other(event),
            },
            "output_text.delta" => {
                self.note_unannounced(&message, Kind::Message);
                push_text(message.delta, Event::Text, seen);
            }
            "reasoning_text.delta" | "reasoning_summary_text.delta" => {
                self.note_unannounced(&message, Kind::Reasoning);
                push_text(message.delta, Event::Reasoning, seen);
            }
            kind if is_arguments(kind) && kind.ends_with(".delta") => {
                self.read_arguments(message.output_index, message.delta, event, seen);
            }
            kind @ ("completed" | "incomplete" | "failed") => {
                seen.closing = true;
                self.read_final(kind, message.response, event, seen);
            }
            "created"
            | "in_progress"
            | "queued"
            | "output_item.done"
            | "output_text.done"
            | "content_part.added"
            | "content_part.done"
            | "reasoning_text.done"
            | "reasoning_part.added"
            | "reasoning_part.done"
            | "reasoning_summary_part.added"
            | "reasoning_summary_part.done"
            | "reasoning_summary_text.done"
            | "function_call_arguments.done"
            | "custom_tool_call_input.done" => {}
            _ => seen.other(event),
        }
    }

    fn read_item(&mut self, index: u64, item: OutputItem, event: &sse::Event<'_>, seen: &mut Seen) {
        let kind = match item.kind.as_str() {
            "message" => Kind::Message,
            "reasoning" => Kind::Reasoning,
            "function_call" => Kind::Call(self.items.calls()),
            "custom_tool_call" if item.input.is_some() => Kind::Call(self.items.calls()),
            _ => Kind::Other,
        };
        match kind {
            Kind::Message | Kind::Reasoning => {}
            Kind::Call(number) => {
                let call = ToolCallDelta {
                    choice: 0,
                    index: number,
                    id: item.call_id.or_else(|| item.id.clone()),
                    name: item.name,
                    arguments: item.arguments.unwrap_or_default(),
                };
                seen.push(Slot::Tool { at: 0, part: 0 }, Event::ToolCall(call));
            }
            Kind::Other => seen.other(event),
        }
        self.items.push(Item::of_provider(index, kind, item.id));
    }

    fn read_arguments(
        &self,
        index: Option<u64>,
        delta: Option<String>,
        event: &sse::Event<'_>,
        seen: &mut Seen,
    ) {
        let item = self.items.position(index).and_then(|at| self.items.get(at));
        let Some(Kind::Call(index)) = item.map(|item| item.kind) else {
            return seen.other(event);
        };
        let arguments = delta.unwrap_or_default();
        if !arguments.is_empty() {
            let call = ToolCallDelta {
                choice: 0,
                index,
                id: None,
                name: None,
                arguments,
            };
            seen.push(Slot::Tool { at: 0, part: 0 }, Event::ToolCall(call));
        }
    }

    /// The end has no word of its own here; what it is follows from the state of the response.
    fn read_final(
        &self,
        kind: &str,
        response: Option<Response>,
        event: &sse::Event<'_>,
        seen: &mut Seen,
    ) {
        let (usage, incomplete) =
            response.map_or((None, None), |r| (r.usage, r.incomplete_details));
        if usage.is_some()
            && let Some(usage) = usage_in(Dialect::OpenaiResponses, event)
        {
            seen.push(Slot::Usage, Event::Usage(usage));
        }
        let why = incomplete.and_then(|incomplete| incomplete.reason);
        let reason = match (kind, why.as_deref()) {
            ("incomplete", Some("max_output_tokens")) => "length",
            ("incomplete", Some(other)) => other,
            ("completed", _) if self.items.calls() > 0 => "tool_calls",
            ("completed", _) => "stop",
            (kind, _) => kind,
        };
        seen.push(Slot::Finish { at: 0 }, Event::Finish(reason.to_owned()));
    }

    /// A delta may come for an item that was never announced.
    fn note_unannounced(&mut self, message: &Message, kind: Kind) {
        if let Some(index) = message.output_index
            && self.items.position(Some(index)).is_none()
        {
            self.items
                .push(Item::of_provider(index, kind, message.item_id.clone()));
        }
    }
}

fn push_text(text: Option<String>, kind: fn(TextDelta) -> Event, seen: &mut Seen) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        seen.push(Slot::Text { at: 0 }, kind(TextDelta { choice: 0, text }));
    }
}

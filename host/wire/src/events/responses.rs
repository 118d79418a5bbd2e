//! The events of OpenAI's Responses.
//!
//! A reply is a row of output items (messages, reasoning, calls). Its text comes as deltas, then
//! again in `…done` events, and once more in the final response; whoever changes a delta must change
//! them all, or what was taken out is still told. So the view keeps what the client was told of
//! each part, and puts that into every later event that repeats it.
//!
//! The events that end a part or an item are held back until another one begins: what a policy
//! releases late then still goes into the part it belongs to.

mod items;
mod read;

use serde::Deserialize;
use serde_json::{Value, json};
use weir_base::Usage;

use super::{Change, Edits, Event, Frame, Output, Slot, ToolCallDelta, frame};
use crate::sse;

use items::{Item, Items, Kind, PartKey};

#[derive(Debug, Default)]
pub(super) struct Stream {
    items: Items,
    /// The item of a policy's making that is still open.
    made: Option<usize>,
    /// The provider's part that took the last delta and is open at the client.
    open: Option<(usize, PartKey)>,
    /// What was open when a made item came in between.
    suspended: Option<(usize, PartKey)>,
    held: Vec<Held>,
    /// The provider's last sequence number.
    sequence: u64,
    /// True once anything differs from what the provider sends.
    altered: bool,
}

/// An event that ends something, held back.
#[derive(Debug)]
struct Held {
    name: Option<String>,
    data: Vec<u8>,
    raw: Vec<u8>,
}

/// What an event is about.
#[derive(Debug, Default, Deserialize)]
struct Place {
    #[serde(rename = "type", default)]
    kind: String,
    output_index: Option<u64>,
    content_index: Option<u64>,
    summary_index: Option<u64>,
    sequence_number: Option<u64>,
}

impl Place {
    fn of(data: &[u8]) -> Place {
        serde_json::from_slice(data).unwrap_or_default()
    }

    /// Whether it ends a part or an item, and begins or adds nothing.
    fn is_end(&self) -> bool {
        self.kind.ends_with(".done") && self.output_index.is_some()
    }

    fn is_final(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "response.completed" | "response.incomplete" | "response.failed"
        )
    }

    fn begins_item(&self) -> bool {
        self.kind == "response.output_item.added"
    }

    /// The part that a delta or done event is about.
    fn part(&self) -> Option<PartKey> {
        let kind = self.kind.strip_prefix("response.")?;
        let (part, _) = kind.split_once('.')?;
        match part {
            "reasoning_summary_text" | "reasoning_summary_part" => {
                Some(PartKey::Summary(self.summary_index?))
            }
            "output_text" | "content_part" | "reasoning_text" | "reasoning_part" => {
                Some(PartKey::Content(self.content_index?))
            }
            _ => is_arguments(kind).then_some(PartKey::Arguments),
        }
    }
}

/// Whether it is about the input of a tool that the client runs.
fn is_arguments(kind: &str) -> bool {
    kind.starts_with("function_call_arguments.") || kind.starts_with("custom_tool_call_input.")
}

impl Stream {
    pub(super) fn write(&mut self, event: &sse::Event<'_>, edits: Edits<'_>) -> Output {
        let place = Place::of(event.data);
        self.sequence = place.sequence_number.unwrap_or(self.sequence);
        if edits.is_empty() && place.is_end() {
            self.hold(event);
            return Output::Send(Vec::new());
        }
        let mut out = Vec::new();
        edits.before.iter().for_each(|new| self.make(new, &mut out));
        self.flush(&mut out);
        let own = self.write_own(event, &place, &edits);
        if out.is_empty() && edits.after.is_empty() && own.is_none() {
            return Output::Pass;
        }
        out.extend(own.unwrap_or_else(|| event.raw.to_vec()));
        edits.after.iter().for_each(|new| self.make(new, &mut out));
        Output::Send(out)
    }

    fn hold(&mut self, event: &sse::Event<'_>) {
        let name = event.name.map(str::to_owned);
        self.held.push(Held {
            name,
            data: event.data.to_vec(),
            raw: event.raw.to_vec(),
        });
    }

    /// The provider's event as it is to be; None where it is the provider's own bytes.
    fn write_own(
        &mut self,
        event: &sse::Event<'_>,
        place: &Place,
        edits: &Edits<'_>,
    ) -> Option<Vec<u8>> {
        let at = self.items.position(place.output_index);
        for (slot, own, change) in &edits.places {
            if let (Some(at), Slot::Text { .. } | Slot::Tool { .. } | Slot::Whole) = (at, slot) {
                self.note(at, place, own, change);
            }
        }
        if let Some(at) = at {
            self.items.begin(at);
        }
        let changed = edits
            .places
            .iter()
            .any(|(_, _, change)| *change != Change::Keep);
        self.altered |= changed;
        if !self.altered {
            return None;
        }
        let erased = edits.places.iter().any(|(slot, _, change)| {
            *change == Change::Erase && !matches!(slot, Slot::Usage | Slot::Finish { .. })
        });
        if erased
            || self
                .items
                .of_provider(place)
                .is_some_and(|item| item.dropped)
        {
            return Some(Vec::new());
        }
        let mut out = Vec::new();
        let mut frame = Frame::of(event);
        for (slot, _, change) in &edits.places {
            match (slot, change) {
                (_, Change::Keep) | (Slot::Finish { .. }, _) => {}
                (Slot::Usage, change) => edit_usage(change, &mut frame),
                (Slot::Whole, Change::Set(new)) => {
                    frame::write_other(new, "\n", &mut out);
                    return Some(out);
                }
                (_, Change::Set(new)) => set_delta(place, new, &mut frame),
                (_, Change::Erase) => {}
            }
        }
        let repaired = self.repair(place, &mut frame);
        (changed || repaired).then(|| {
            frame.write("\n", &mut out);
            out
        })
    }

    /// Notes what the client is told about an item by one event of the provider.
    fn note(&mut self, at: usize, place: &Place, own: &Event, change: &Change) {
        let begins = place.begins_item();
        if begins && *change == Change::Erase {
            return self.items.drop_item(at);
        }
        let Some(item) = self.items.get_mut(at) else {
            return;
        };
        item.altered |= *change != Change::Keep;
        let told = match change {
            Change::Keep => Some(own),
            Change::Set(new) => Some(new),
            Change::Erase => None,
        };
        if begins {
            if let Some(Event::ToolCall(call)) = told {
                item.call = Some((call.id.clone(), call.name.clone()));
                item.told(PartKey::Arguments, &call.arguments);
            }
        } else if let Some(part) = place.part() {
            item.told(part, told.map_or("", Event::text));
            self.open = Some((at, part));
        }
    }

    /// Brings an event in step with what the client was told so far. True where that changed it.
    fn repair(&self, place: &Place, frame: &mut Frame) -> bool {
        if place.is_final() {
            return self.items.repair_response(frame);
        }
        let Some(item) = self.items.of_provider(place) else {
            return false;
        };
        let mut repaired = false;
        if let (Some(client), Some(provider)) = (item.client, place.output_index)
            && client != provider
        {
            frame.set("/output_index", &client.to_string());
            repaired = true;
        }
        if item.altered && place.is_end() {
            repaired = true;
            match place.part() {
                Some(part) => item.repair_part_event(part, frame),
                None => item.repair("/item", frame),
            }
        }
        repaired
    }

    pub(super) fn make(&mut self, event: &Event, out: &mut Vec<u8>) {
        self.altered = true;
        match event {
            Event::Text(new) => self.make_text(Kind::Message, &new.text, out),
            Event::Reasoning(new) => self.make_text(Kind::Reasoning, &new.text, out),
            Event::ToolCall(new) => self.make_call(new, out),
            // Both are fields of the final response, and that is the provider's.
            Event::Usage(_) | Event::Finish(_) => {}
            Event::Other(_) => frame::write_other(event, "\n", out),
        }
    }

    /// A delta of the open part of this kind, of a new item where there is none.
    fn make_text(&mut self, kind: Kind, text: &str, out: &mut Vec<u8>) {
        if self
            .suspended
            .is_some_and(|(at, _)| self.items.is(at, kind))
        {
            self.flush(out);
        }
        let (at, part) = match self.open.filter(|(at, _)| self.items.is(*at, kind)) {
            Some(open) => open,
            None => (self.begin(Item::made(kind), out), kind.first_part()),
        };
        self.delta(at, part, text, out);
    }

    fn make_call(&mut self, new: &ToolCallDelta, out: &mut Vec<u8>) {
        let at = match &new.name {
            Some(_) => {
                let mut item = Item::made(Kind::Call(new.index));
                item.call = Some((new.id.clone(), new.name.clone()));
                self.begin(item, out)
            }
            None => {
                let wanted = Kind::Call(new.index);
                let at = self
                    .items
                    .last_where(|item| item.kind == wanted && !item.dropped);
                match at.filter(|at| self.made == Some(*at) || self.items.is_providers(*at)) {
                    Some(at) => at,
                    None => return,
                }
            }
        };
        if !new.arguments.is_empty() {
            self.delta(at, PartKey::Arguments, &new.arguments, out);
        }
    }

    /// Begins an item of our own at the client.
    fn begin(&mut self, item: Item, out: &mut Vec<u8>) -> usize {
        self.flush(out);
        let part = item.kind.first_part();
        let at = self.items.push_made(item);
        self.made = Some(at);
        self.suspended = self.open.replace((at, part));
        if let Some(item) = self.items.get(at) {
            let begun = json!({"output_index": item.client, "item": item.value(false)});
            self.event("response.output_item.added", &begun, out);
            if let Some((added, _)) = item.part_events() {
                self.event(added, &item.part_fields(""), out);
            }
        }
        at
    }

    /// Adds text to a part that is open at the client.
    fn delta(&mut self, at: usize, part: PartKey, text: &str, out: &mut Vec<u8>) {
        let Some(item) = self.items.get_mut(at) else {
            return;
        };
        item.told(part, text);
        item.altered = true;
        let (name, fields) = item.delta_event(part, text);
        self.event(name, &fields, out);
    }

    /// Ends what is open: a made item, and what the provider ended but was held back.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) {
        if let Some(at) = self.made.take() {
            self.end(at, out);
            self.open = self.suspended.take();
        }
        if self.held.is_empty() {
            return;
        }
        self.open = None;
        for held in std::mem::take(&mut self.held) {
            let event = sse::Event {
                kind: sse::Kind::Message,
                name: held.name.as_deref(),
                data: &held.data,
                raw: &held.raw,
            };
            let place = Place::of(&held.data);
            let own = self.write_own(&event, &place, &Edits::default());
            out.extend(own.unwrap_or(held.raw));
        }
    }

    fn end(&mut self, at: usize, out: &mut Vec<u8>) {
        let Some(item) = self.items.get(at) else {
            return;
        };
        let (name, fields) = item.text_done();
        self.event(name, &fields, out);
        if let Some((_, done)) = item.part_events() {
            self.event(done, &item.part_fields(item.text()), out);
        }
        let ended = json!({"output_index": item.client, "item": item.value(true)});
        self.event("response.output_item.done", &ended, out);
    }

    fn event(&self, name: &str, fields: &Value, out: &mut Vec<u8>) {
        let mut event = json!({"type": name, "sequence_number": self.sequence});
        if let (Some(event), Some(fields)) = (event.as_object_mut(), fields.as_object()) {
            event.extend(fields.clone());
        }
        frame::write(Some(name), event.to_string().as_bytes(), "\n", out);
    }
}

fn set_delta(place: &Place, new: &Event, frame: &mut Frame) {
    match new {
        Event::ToolCall(call) if place.begins_item() => {
            frame.set_text("/item/arguments", &call.arguments);
            for (field, value) in [("call_id", &call.id), ("name", &call.name)] {
                if let Some(value) = value {
                    frame.set_text(&format!("/item/{field}"), value);
                }
            }
        }
        new => {
            frame.set_text("/delta", new.text());
            if frame.has("/logprobs") {
                frame.set("/logprobs", "[]");
            }
        }
    }
}

fn edit_usage(change: &Change, frame: &mut Frame) {
    match change {
        Change::Keep => {}
        Change::Set(Event::Usage(usage)) => set_usage(usage, frame),
        Change::Erase | Change::Set(_) => frame.set("/response/usage", "null"),
    }
}

fn set_usage(usage: &Usage, frame: &mut Frame) {
    let at = "/response/usage";
    frame.set(
        &format!("{at}/input_tokens"),
        &usage.input_tokens.to_string(),
    );
    frame.set(
        &format!("{at}/output_tokens"),
        &usage.output_tokens.to_string(),
    );
    frame.set(
        &format!("{at}/total_tokens"),
        &usage.total_tokens().to_string(),
    );
    frame.renumber(
        &format!("{at}/input_tokens_details/cached_tokens"),
        usage.cached_tokens,
    );
    frame.renumber(
        &format!("{at}/output_tokens_details/reasoning_tokens"),
        usage.reasoning_tokens,
    );
}

//! The events of Anthropic's Messages.
//!
//! A reply is a row of content blocks, each with a start, deltas and a stop, numbered without gaps.
//! A text block's stop is held back until the provider's next event: what a policy releases late
//! then still goes into the block it belongs to, and not into one of its own.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use weir_base::Usage;

use super::{
    CONTINUED, Change, Edits, Event, Frame, Output, Seen, Slot, TextDelta, ToolCallDelta, finish,
    frame, usage_in,
};
use crate::{Dialect, sse};

#[derive(Debug, Default)]
pub(super) struct Stream {
    blocks: Vec<Block>,
    /// The block that deltas of new events may go into: the provider's open one, or a made one.
    open: Option<Open>,
    /// The provider's open block while a made one is ahead of it.
    suspended: Option<Open>,
    /// Bytes of a stop that was held back.
    held: Vec<u8>,
    /// The number of the client's next block.
    next_client: u64,
    /// Tool calls that the provider has begun.
    tools: u32,
    usage: Usage,
    /// Whether the message was begun.
    begun: bool,
    /// How often another provider went on.
    resumed: u32,
    /// The first block of a provider that goes on is still to come: text of it belongs to the block that
    /// is open.
    joins: bool,
}

/// A block of the provider.
#[derive(Debug)]
struct Block {
    provider: u64,
    kind: Kind,
    /// None before it was decided on, and where it was dropped.
    client: Option<u64>,
}

/// A block that is open at the client.
#[derive(Debug, Clone, Copy)]
struct Open {
    client: u64,
    kind: Kind,
    /// Of a policy's making, so that its stop is ours to send.
    made: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    /// The number that policies know the call by.
    Tool(u32),
    Other,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    index: Option<u64>,
    delta: Option<Delta>,
    content_block: Option<ContentBlock>,
    usage: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
struct Delta {
    #[serde(rename = "type")]
    kind: Option<String>,
    text: Option<String>,
    thinking: Option<String>,
    partial_json: Option<String>,
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct ContentBlock {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    thinking: Option<String>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Value>,
}

impl Stream {
    pub(super) fn read(&mut self, event: &sse::Event<'_>, seen: &mut Seen) {
        let Ok(message) = serde_json::from_slice::<Message>(event.data) else {
            return seen.other(event);
        };
        match message.kind.as_str() {
            "message_start" => {
                self.begun = true;
                self.usage = usage_in(Dialect::AnthropicMessages, event).unwrap_or_default();
            }
            "content_block_start" => match (message.index, message.content_block) {
                (Some(index), Some(block)) => self.read_start(index, block, event, seen),
                _ => seen.other(event),
            },
            "content_block_delta" => {
                let delta = message.delta.unwrap_or_default();
                self.read_delta(message.index.unwrap_or_default(), delta, event, seen);
            }
            "message_delta" => {
                seen.closing = true;
                let reason = message.delta.and_then(|delta| delta.stop_reason);
                if let Some(reason) = reason {
                    let reason = finish::from_anthropic(&reason).to_owned();
                    seen.push(Slot::Finish { at: 0 }, Event::Finish(reason));
                }
                if message.usage.is_some()
                    && let Some(later) = usage_in(Dialect::AnthropicMessages, event)
                {
                    self.usage = merged(self.usage, later);
                    seen.push(Slot::Usage, Event::Usage(self.usage));
                }
            }
            "message_stop" => seen.closing = true,
            "content_block_stop" | "ping" => {}
            _ => seen.other(event),
        }
    }

    fn read_start(
        &mut self,
        provider: u64,
        block: ContentBlock,
        event: &sse::Event<'_>,
        seen: &mut Seen,
    ) {
        let mut kind = Kind::Other;
        match block.kind.as_str() {
            "text" => {
                kind = Kind::Text;
                push_text(block.text, Event::Text, seen);
            }
            "thinking" => {
                kind = Kind::Thinking;
                push_text(block.thinking, Event::Reasoning, seen);
            }
            "tool_use" => {
                kind = Kind::Tool(self.tools);
                // Usually empty here and sent as deltas.
                let full = block.input.filter(|input| *input != json!({}));
                let call = ToolCallDelta {
                    choice: 0,
                    index: self.tools,
                    id: block.id,
                    name: block.name,
                    arguments: full.map(|input| input.to_string()).unwrap_or_default(),
                };
                self.tools = self.tools.saturating_add(1);
                seen.push(Slot::Tool { at: 0, part: 0 }, Event::ToolCall(call));
            }
            _ => seen.other(event),
        }
        self.blocks.push(Block {
            provider,
            kind,
            client: None,
        });
    }

    fn read_delta(&self, provider: u64, delta: Delta, event: &sse::Event<'_>, seen: &mut Seen) {
        let kind = self.block(provider).map_or(Kind::Other, |block| block.kind);
        match (delta.kind.as_deref(), kind) {
            (Some("text_delta"), _) => push_text(delta.text, Event::Text, seen),
            (Some("thinking_delta"), _) => push_text(delta.thinking, Event::Reasoning, seen),
            (Some("input_json_delta"), Kind::Tool(index)) => {
                let arguments = delta.partial_json.unwrap_or_default();
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
            _ => seen.other(event),
        }
    }

    /// The block that the provider gave this number last.
    fn block(&self, provider: u64) -> Option<&Block> {
        self.blocks
            .iter()
            .rev()
            .find(|block| block.provider == provider)
    }

    pub(super) fn resume(&mut self) {
        if self.begun {
            self.resumed += 1;
            self.joins = self.open.is_some();
            // The block whose stop this is goes on.
            self.held.clear();
            self.blocks.clear();
        }
    }

    /// The first block of a provider that goes on: text is more of the block that is open, anything
    /// else ends that one.
    fn join(&mut self, place: &Place, edits: &Edits<'_>, out: &mut Vec<u8>) -> Option<Output> {
        let provider = place.index?;
        self.joins = false;
        let open = self.open?;
        let block = self.blocks.iter_mut().rev();
        let mut block = block.filter(|block| block.provider == provider);
        match block.next().filter(|block| block.kind == open.kind) {
            Some(block) => {
                block.client = Some(open.client);
                for (_, event, change) in &edits.places {
                    let text = match change {
                        Change::Keep => event.text(),
                        Change::Set(new) => new.text(),
                        Change::Erase => "",
                    };
                    if !text.is_empty() {
                        let delta = json!({"type": "text_delta", "text": text});
                        write_delta(open.client, &delta, out);
                    }
                }
                Some(Output::Send(std::mem::take(out)))
            }
            None => {
                write_stop(open.client, out);
                self.open = None;
                None
            }
        }
    }

    pub(super) fn write(&mut self, event: &sse::Event<'_>, edits: Edits<'_>) -> Output {
        let place = serde_json::from_slice::<Place>(event.data).unwrap_or_default();
        if self.resumed > 0 && place.kind == "message_start" {
            return Output::Send(Vec::new());
        }
        if edits.is_empty() && self.passes(&place) {
            return Output::Pass;
        }
        let mut out = Vec::new();
        if place.kind == "ping" && edits.is_empty() {
            self.held.extend_from_slice(event.raw);
            return Output::Send(out);
        }
        edits.before.iter().for_each(|new| self.make(new, &mut out));
        if self.joins
            && place.kind == "content_block_start"
            && let Some(joined) = self.join(&place, &edits, &mut out)
        {
            return joined;
        }
        let is_delta = place.kind == "content_block_delta";
        // A made block stays open only while nothing else goes on.
        if !is_delta || self.open.is_some_and(|open| open.made) {
            self.flush(&mut out);
        }
        let changed = self.write_own(event, &place, &edits, &mut out);
        edits.after.iter().for_each(|new| self.make(new, &mut out));
        if !changed && out == event.raw {
            Output::Pass
        } else {
            Output::Send(out)
        }
    }

    /// Whether an event that no one changed can go out as it is: it ends nothing that is held back,
    /// and its block has the same number at the client.
    fn passes(&self, place: &Place) -> bool {
        match place.kind.as_str() {
            "message_start" => true,
            // It keeps its place behind a stop that is held back.
            "ping" => self.held.is_empty(),
            "content_block_delta" => {
                let block = place.index.and_then(|index| self.block(index));
                block.is_some_and(|block| block.client == place.index)
                    && !self.open.is_some_and(|open| open.made)
            }
            _ => false,
        }
    }

    /// Writes the provider's event as it is to be. False where it is the provider's own bytes.
    fn write_own(
        &mut self,
        event: &sse::Event<'_>,
        place: &Place,
        edits: &Edits<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let dropped = edits.places.iter().any(|(slot, _, change)| {
            let whole = !matches!(slot, Slot::Usage | Slot::Finish { .. });
            whole && *change == Change::Erase
        });
        let client = match (place.kind.as_str(), place.index) {
            ("content_block_start", Some(provider)) => {
                // Text that stands in the start itself can go without its block.
                let block_dropped = dropped && !self.block(provider).is_some_and(Block::is_prose);
                self.begin(provider, block_dropped)
            }
            (_, Some(provider)) => self.block(provider).map_or(Some(provider), |b| b.client),
            (_, None) => None,
        };
        if place.index.is_some() && client.is_none() {
            return true;
        }
        let mut frame = Frame::of(event);
        for (slot, _, change) in &edits.places {
            match change {
                Change::Keep => {}
                Change::Set(new) if *slot == Slot::Whole => {
                    frame::write_other(new, "\n", out);
                    return true;
                }
                Change::Erase if dropped && place.kind != "content_block_start" => return true,
                change => edit(*slot, change, place, &mut frame),
            }
        }
        let ends = self.resumed > 0 && place.kind == "message_delta";
        if ends {
            frame.set(CONTINUED, &self.resumed.to_string());
            self.tell_input(edits, &mut frame);
        }
        let renumbered = client.is_some() && client != place.index;
        if let (true, Some(client)) = (renumbered, client) {
            frame.set("/index", &client.to_string());
        }
        let mut own = Vec::new();
        let changed = renumbered
            || ends
            || edits
                .places
                .iter()
                .any(|(_, _, change)| *change != Change::Keep);
        if changed {
            frame.write("\n", &mut own);
        } else {
            own.extend_from_slice(event.raw);
        }
        if place.kind == "content_block_stop" && self.open.is_some_and(|open| !open.made) {
            self.held = own;
            return true;
        }
        out.append(&mut own);
        if place.kind == "content_block_start" {
            self.late_arguments(edits, out);
        }
        changed
    }

    /// The input of a provider that goes on stood in the beginning that was left out.
    fn tell_input(&self, edits: &Edits<'_>, frame: &mut Frame) {
        for (_, _, change) in &edits.places {
            if let Change::Set(Event::Usage(usage)) = change {
                let parts = usage.cached_tokens.saturating_add(usage.cache_write_tokens);
                let input = usage.input_tokens.saturating_sub(parts);
                frame.set("/usage/input_tokens", &input.to_string());
            }
        }
    }

    /// Numbers a block of the provider at the client, unless it is dropped.
    fn begin(&mut self, provider: u64, dropped: bool) -> Option<u64> {
        let client = (!dropped).then_some(self.next_client)?;
        let block = self
            .blocks
            .iter_mut()
            .rev()
            .find(|block| block.provider == provider)?;
        block.client = Some(client);
        self.next_client += 1;
        self.open = Some(Open {
            client,
            kind: block.kind,
            made: false,
        });
        Some(client)
    }

    /// Arguments that a policy put into the piece that opens a call, which has no room for them.
    fn late_arguments(&self, edits: &Edits<'_>, out: &mut Vec<u8>) {
        let (Some(open), Some((_, Event::ToolCall(own), Change::Set(Event::ToolCall(new))))) =
            (self.open, edits.places.first())
        else {
            return;
        };
        if own.arguments.is_empty() && !new.arguments.is_empty() {
            let delta = json!({"type": "input_json_delta", "partial_json": new.arguments});
            write_delta(open.client, &delta, out);
        }
    }

    pub(super) fn make(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Text(new) => {
                let start = json!({"type": "text", "text": ""});
                let client = self.ensure(Kind::Text, &start, out);
                write_delta(
                    client,
                    &json!({"type": "text_delta", "text": new.text}),
                    out,
                );
            }
            Event::Reasoning(new) => {
                let start = json!({"type": "thinking", "thinking": "", "signature": ""});
                let client = self.ensure(Kind::Thinking, &start, out);
                write_delta(
                    client,
                    &json!({"type": "thinking_delta", "thinking": new.text}),
                    out,
                );
            }
            Event::ToolCall(new) => self.make_tool(new, out),
            // There is one event with both, and it is the provider's.
            Event::Usage(_) | Event::Finish(_) => {}
            Event::Other(_) => frame::write_other(event, "\n", out),
        }
    }

    fn make_tool(&mut self, new: &ToolCallDelta, out: &mut Vec<u8>) {
        let delta = json!({"type": "input_json_delta", "partial_json": new.arguments});
        let kind = Kind::Tool(new.index);
        let client = match &new.name {
            Some(name) => {
                let id = new.id.clone();
                let id = id.unwrap_or_else(|| format!("toolu_weir_{}", self.next_client));
                let start = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
                self.start(kind, &start, out)
            }
            None => match self.open.filter(|open| open.kind == kind) {
                Some(open) => open.client,
                None => return,
            },
        };
        if !new.arguments.is_empty() {
            write_delta(client, &delta, out);
        }
    }

    /// The client's number of an open block of this kind, a new one where there is none.
    fn ensure(&mut self, kind: Kind, start: &Value, out: &mut Vec<u8>) -> u64 {
        // Back to the provider's block, where a made one came in between.
        if self.suspended.is_some_and(|block| block.kind == kind) {
            self.flush(out);
        }
        match self.open.filter(|open| open.kind == kind) {
            Some(open) => open.client,
            None => self.start(kind, start, out),
        }
    }

    fn start(&mut self, kind: Kind, block: &Value, out: &mut Vec<u8>) -> u64 {
        self.flush(out);
        self.suspended = self.open;
        let client = self.next_client;
        self.next_client += 1;
        self.open = Some(Open {
            client,
            kind,
            made: true,
        });
        let event = json!({"type": "content_block_start", "index": client, "content_block": block});
        frame::write(
            Some("content_block_start"),
            event.to_string().as_bytes(),
            "\n",
            out,
        );
        client
    }

    /// Sends the stop that is due, a made block's or one that was held back.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) {
        if let Some(open) = self.open.filter(|open| open.made) {
            write_stop(open.client, out);
            self.open = self.suspended.take();
        }
        if !self.held.is_empty() {
            out.append(&mut self.held);
            self.open = None;
        }
    }
}

impl Block {
    fn is_prose(&self) -> bool {
        matches!(self.kind, Kind::Text | Kind::Thinking)
    }
}

/// What kind of event it is, and of which block.
#[derive(Deserialize, Default)]
struct Place {
    #[serde(rename = "type")]
    kind: String,
    index: Option<u64>,
}

fn push_text(text: Option<String>, kind: fn(TextDelta) -> Event, seen: &mut Seen) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        seen.push(Slot::Text { at: 0 }, kind(TextDelta { choice: 0, text }));
    }
}

fn edit(slot: Slot, change: &Change, place: &Place, frame: &mut Frame) {
    let holder = if place.kind == "content_block_start" {
        "/content_block"
    } else {
        "/delta"
    };
    let new = if let Change::Set(new) = change {
        Some(new)
    } else {
        None
    };
    match (slot, new) {
        (_, Some(Event::Text(new))) => frame.set_text(&format!("{holder}/text"), &new.text),
        (_, Some(Event::Reasoning(new))) => {
            frame.set_text(&format!("{holder}/thinking"), &new.text);
        }
        (_, Some(Event::ToolCall(new))) if holder == "/delta" => {
            frame.set_text("/delta/partial_json", &new.arguments);
        }
        (_, Some(Event::ToolCall(new))) => {
            for (field, value) in [("id", &new.id), ("name", &new.name)] {
                if let Some(value) = value {
                    frame.set_text(&format!("/content_block/{field}"), value);
                }
            }
            // Only where the provider has put them here; otherwise they come as a delta.
            if frame
                .get("/content_block/input")
                .is_some_and(|input| input != "{}")
            {
                frame.set("/content_block/input", &new.arguments);
            }
        }
        (Slot::Text { .. }, None) => {
            let field = if frame.has(&format!("{holder}/text")) {
                "text"
            } else {
                "thinking"
            };
            frame.set(&format!("{holder}/{field}"), "\"\"");
        }
        (Slot::Finish { .. }, Some(Event::Finish(reason))) => {
            frame.set_text("/delta/stop_reason", finish::to_anthropic(reason));
        }
        (Slot::Finish { .. }, _) => frame.set("/delta/stop_reason", "null"),
        (Slot::Usage, Some(Event::Usage(usage))) => edit_usage(usage, frame),
        (Slot::Usage, _) => edit_usage(&Usage::default(), frame),
        _ => {}
    }
}

/// Cache reads and writes stand beside the input here. The output is the only count always there.
fn edit_usage(usage: &Usage, frame: &mut Frame) {
    let parts = usage.cached_tokens.saturating_add(usage.cache_write_tokens);
    frame.set("/usage/output_tokens", &usage.output_tokens.to_string());
    frame.renumber(
        "/usage/input_tokens",
        usage.input_tokens.saturating_sub(parts),
    );
    frame.renumber("/usage/cache_read_input_tokens", usage.cached_tokens);
    frame.renumber(
        "/usage/cache_creation_input_tokens",
        usage.cache_write_tokens,
    );
}

/// The counts of `message_delta` over those of `message_start`. The output is cumulative; the input
/// is repeated by some models and left out by others.
fn merged(start: Usage, later: Usage) -> Usage {
    if later.input_tokens > 0 {
        return later;
    }
    Usage {
        output_tokens: later.output_tokens,
        reasoning_tokens: later.reasoning_tokens,
        ..start
    }
}

fn write_stop(client: u64, out: &mut Vec<u8>) {
    let event = json!({"type": "content_block_stop", "index": client});
    frame::write(
        Some("content_block_stop"),
        event.to_string().as_bytes(),
        "\n",
        out,
    );
}

fn write_delta(client: u64, delta: &Value, out: &mut Vec<u8>) {
    let event = json!({"type": "content_block_delta", "index": client, "delta": delta});
    frame::write(
        Some("content_block_delta"),
        event.to_string().as_bytes(),
        "\n",
        out,
    );
}

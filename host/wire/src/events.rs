//! A streamed reply as policies see it: the same few kinds of event, whatever dialect it is in; and
//! the way back, from what policies decided to bytes of that dialect.
//!
//! A relay does, for each event of the stream: [`View::decode`], then ask the policies, then
//! [`View::apply`], and sends what that answers; at the end, [`View::close`].
//!
//! # What policies see
//! Text, reasoning, pieces of tool calls, usage, and why the reply ended. One event of the provider
//! may hold several of these, or none: what only frames the reply (a block's start and stop, an
//! empty delta, `[DONE]`, a ping) is not shown, and kept in step by the view. All else, a refusal,
//! a citation, an error or what a provider added yesterday, is one [`Event::Other`].
//! Reasons for the end are OpenAI's words where they have the same meaning (`stop`, `length`,
//! `tool_calls`, `content_filter`), else the provider's own. Usage is what is known so far; the last counts.
//!
//! # What a decision means
//! - **Keep**: the provider's own bytes, unless something before it forces a new number into them.
//! - **Replace**: in the list, the first event of the same kind (and choice, and tool call) takes
//!   the original's place, inside the provider's own JSON, so that every other field stays. What
//!   stands before it in the list is sent ahead of the provider's event, what stands after it,
//!   after. Log probabilities, which spell out the original, go from a choice whose text changed.
//! - **An empty list drops** the event: the delta goes, and the provider's whole event where nothing
//!   else is left in it. Dropping the piece that opens a tool call (it has the name) drops the call.
//!
//! | | dropped text | new text | dropped usage | dropped reason | new usage or reason |
//! | --- | --- | --- | --- | --- | --- |
//! | openai.chat, openai.completions | the field goes | a chunk | null | null | a chunk |
//! | openai.responses | the delta goes, also from the `done` events and the final response | a delta of the open part, else a message of its own | null | stays | ignored |
//! | anthropic.messages | the delta goes, its block stays, maybe empty | a delta of the open block, else a block of its own | zeros | null | ignored |
//! | gemini.generate | the part goes, or is empty where it is the only one | a chunk | the field goes | the field goes | a chunk |
//!
//! Blocks, items and tool calls are numbered anew where one was dropped or made. A `sequence_number`
//! stays the provider's; what is made anew repeats the one before.
//!
//! Never does: decide anything, count money. It cannot fail: what it cannot read it passes on.
//! Read first: [`View`], then `events/chat.rs`, the plainest of the four dialects.

mod anthropic;
mod chat;
mod finish;
mod frame;
mod gemini;
mod responses;

use weir_base::Usage;

use crate::{Dialect, sse, usage};

use frame::Frame;

/// Tells in the event that ends a reply how often another provider went on with it.
const CONTINUED: &str = "/weir_continued";

/// A piece of text of one of the reply's choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextDelta {
    /// Which of several answers; 0 where there is one.
    pub choice: u32,
    /// What is added to it. Never empty when it comes from a provider.
    pub text: String,
}

/// A piece of a tool call. The first of a call has its id and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCallDelta {
    /// Which of several answers.
    pub choice: u32,
    /// Which of the answer's tool calls, from 0.
    pub index: u32,
    /// The provider's id of the call.
    pub id: Option<String>,
    /// The function.
    pub name: Option<String>,
    /// What is added to the JSON text of the arguments.
    pub arguments: String,
}

/// An event that the view has no kind for, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent {
    /// The `event:` line.
    pub name: Option<String>,
    /// The `data:` lines, joined by line feeds.
    pub data: String,
}

/// One event of a streamed reply; `events.event` in `wit/policy.wit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The answer itself.
    Text(TextDelta),
    /// Thoughts, or a summary of them.
    Reasoning(TextDelta),
    /// A call of one of the request's tools.
    ToolCall(ToolCallDelta),
    /// Token counts of the whole reply, as far as it has come.
    Usage(Usage),
    /// Why an answer ended.
    Finish(String),
    /// Anything else.
    Other(RawEvent),
}

impl Event {
    /// What it adds to the text, the reasoning or the arguments that it is about.
    fn text(&self) -> &str {
        match self {
            Event::Text(delta) | Event::Reasoning(delta) => &delta.text,
            Event::ToolCall(call) => &call.arguments,
            Event::Usage(_) | Event::Finish(_) | Event::Other(_) => "",
        }
    }
}

/// What the policies decided about one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It stays as it is.
    Keep,
    /// These take its place; none drops it.
    Replace(Vec<Event>),
}

/// What to send for one event of the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The provider's own bytes.
    Pass,
    /// These bytes instead, complete events or nothing.
    Send(Vec<u8>),
}

/// The view of one stream. It remembers what new events need to fit in: ids, the model, which
/// blocks are open, and how they are numbered at the client.
#[derive(Debug)]
pub struct View {
    speech: Speech,
    /// Where the events of the last `decode` stand in the provider's JSON.
    slots: Vec<Slot>,
    /// Whether these were all that the last event said.
    sole: bool,
    closing: bool,
}

#[derive(Debug)]
enum Speech {
    Chat(chat::Stream),
    Responses(Box<responses::Stream>),
    Anthropic(Box<anthropic::Stream>),
    Gemini(gemini::Stream),
}

impl View {
    /// A view of a stream in `dialect`, or None where the dialect has no streams of events. A
    /// Gemini stream must be of the `alt=sse` form; the array form has no events to split at.
    pub fn new(dialect: Dialect) -> Option<View> {
        let speech = match dialect {
            Dialect::OpenaiChat => Speech::Chat(chat::Stream::new(chat::Form::Chat)),
            Dialect::OpenaiCompletions => Speech::Chat(chat::Stream::new(chat::Form::Completion)),
            Dialect::OpenaiResponses => Speech::Responses(Box::default()),
            Dialect::AnthropicMessages => Speech::Anthropic(Box::default()),
            Dialect::GeminiGenerate => Speech::Gemini(gemini::Stream::default()),
            Dialect::OpenaiEmbeddings
            | Dialect::OpenaiOther
            | Dialect::AnthropicOther
            | Dialect::GeminiOther => return None,
        };
        Some(View {
            speech,
            slots: Vec::new(),
            sole: false,
            closing: false,
        })
    }

    /// What the provider's event says. It must be followed by [`apply`](Self::apply) of the same event.
    pub fn decode(&mut self, event: &sse::Event<'_>) -> Vec<Event> {
        let mut seen = Seen::default();
        if event.kind == sse::Kind::Message {
            match &mut self.speech {
                Speech::Chat(stream) => stream.read(event, &mut seen),
                Speech::Responses(stream) => stream.read(event, &mut seen),
                Speech::Anthropic(stream) => stream.read(event, &mut seen),
                Speech::Gemini(stream) => stream.read(event, &mut seen),
            }
        }
        self.closing |= seen.closing;
        self.slots = seen.slots;
        self.sole = seen.sole;
        seen.events
    }

    /// True from the event on, decoded last, with which the reply closes. What a policy still holds
    /// back then belongs before it: give it to [`apply`](Self::apply) in place of the first event
    /// that was decoded from it, or ahead of it by [`make`](Self::make).
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// What to send for `event`, after what was decided about each of the `events` that
    /// [`decode`](Self::decode) made of it. Where `actions` are fewer, the rest is kept.
    pub fn apply(
        &mut self,
        event: &sse::Event<'_>,
        events: &[Event],
        actions: Vec<Action>,
    ) -> Output {
        if event.kind != sse::Kind::Message {
            return Output::Pass;
        }
        let slots = std::mem::take(&mut self.slots);
        let edits = Edits {
            sole: self.sole,
            ..Edits::plan(slots, events, actions)
        };
        match &mut self.speech {
            Speech::Chat(stream) => stream.write(event, edits),
            Speech::Responses(stream) => stream.write(event, edits),
            Speech::Anthropic(stream) => stream.write(event, edits),
            Speech::Gemini(stream) => stream.write(event, edits),
        }
    }

    /// The stream broke, and what comes from now on is from another provider that goes on with it: its
    /// own beginning is left out, and it has the ids of the first and goes on with its numbers. The
    /// event that ends the reply is marked with a field `weir_continued`.
    pub fn resume(&mut self) {
        self.slots.clear();
        match &mut self.speech {
            Speech::Chat(stream) => stream.resume(),
            Speech::Anthropic(stream) => stream.resume(),
            Speech::Gemini(stream) => stream.resume(),
            // Its events hold the whole reply again and again; see the gateway, which never asks.
            Speech::Responses(_) => {}
        }
    }

    /// New events, of no provider's making, to be sent at this place of the stream.
    pub fn make(&mut self, events: &[Event]) -> Vec<u8> {
        let mut out = Vec::new();
        for event in events {
            match &mut self.speech {
                Speech::Chat(stream) => stream.make(event, &mut out),
                Speech::Responses(stream) => stream.make(event, &mut out),
                Speech::Anthropic(stream) => stream.make(event, &mut out),
                Speech::Gemini(stream) => stream.make(event, &mut out),
            }
        }
        out
    }

    /// Ends the view where the provider's stream ended, whole or broken: the bytes that were held
    /// back to see whether more text would come for the same block. Usually none.
    pub fn close(mut self) -> Vec<u8> {
        let mut out = Vec::new();
        match &mut self.speech {
            Speech::Chat(_) => {}
            Speech::Gemini(stream) => stream.flush(&mut out),
            Speech::Responses(stream) => stream.flush(&mut out),
            Speech::Anthropic(stream) => stream.flush(&mut out),
        }
        out
    }
}

/// What a dialect read from one event.
#[derive(Debug, Default)]
struct Seen {
    events: Vec<Event>,
    slots: Vec<Slot>,
    /// True where nothing is left of the event once all of these are taken out.
    sole: bool,
    closing: bool,
}

impl Seen {
    fn push(&mut self, slot: Slot, event: Event) {
        self.slots.push(slot);
        self.events.push(event);
    }

    /// The whole event, as one that there is no kind for.
    fn other(&mut self, event: &sse::Event<'_>) {
        let data = String::from_utf8_lossy(event.data).into_owned();
        let raw = RawEvent {
            name: event.name.map(str::to_owned),
            data,
        };
        self.push(Slot::Whole, Event::Other(raw));
    }
}

/// The usage that one event reports.
fn usage_in(dialect: Dialect, event: &sse::Event<'_>) -> Option<Usage> {
    usage::read_whole(dialect, event.data)
}

/// Where an event stands in the provider's JSON: positions in its arrays, as far as it has any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// The provider's whole event.
    Whole,
    /// The text field of the choice or candidate at this position.
    Text {
        at: usize,
    },
    /// A part of the content of the choice or candidate at this position.
    Part {
        at: usize,
        part: usize,
    },
    /// A field with reasoning.
    Reasoning {
        at: usize,
        field: &'static str,
    },
    /// A tool call of the choice or candidate at this position.
    Tool {
        at: usize,
        part: usize,
    },
    Usage,
    Finish {
        at: usize,
    },
}

/// What becomes of one event in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Keep,
    Erase,
    Set(Event),
}

/// Everything decided about one of the provider's events.
#[derive(Debug, Default)]
struct Edits<'a> {
    /// To be sent ahead of it.
    before: Vec<Event>,
    /// What becomes of each of its own.
    places: Vec<(Slot, &'a Event, Change)>,
    /// To be sent after it.
    after: Vec<Event>,
    /// True where nothing is left of it once all places are erased.
    sole: bool,
}

impl<'a> Edits<'a> {
    fn plan(slots: Vec<Slot>, events: &'a [Event], actions: Vec<Action>) -> Self {
        let mut edits = Edits::default();
        let mut actions = actions.into_iter();
        for (slot, event) in slots.into_iter().zip(events) {
            let change = match actions.next() {
                None | Some(Action::Keep) => Change::Keep,
                Some(Action::Replace(list)) => edits.split(event, list),
            };
            edits.places.push((slot, event, change));
        }
        edits
    }

    /// Parts a list that replaces `event` at the event that takes its place.
    fn split(&mut self, event: &Event, list: Vec<Event>) -> Change {
        let mut change = Change::Erase;
        for new in list {
            if change != Change::Erase {
                self.after.push(new);
            } else if same_place(event, &new) {
                change = if *event == new {
                    Change::Keep
                } else {
                    Change::Set(new)
                };
            } else if !self.joined(&new) {
                self.before.push(new);
            }
        }
        change
    }

    /// Adds new text to text of the same choice that stands in the same event already: ahead of the
    /// event it would come too early. True where it found its place.
    fn joined(&mut self, new: &Event) -> bool {
        let Event::Text(new) = new else { return false };
        let earlier = self.places.iter_mut().rev().find_map(|(_, event, change)| {
            let Event::Text(own) = *event else {
                return None;
            };
            (own.choice == new.choice && *change != Change::Erase).then_some((own, change))
        });
        let Some((own, change)) = earlier else {
            return false;
        };
        let so_far = match &change {
            Change::Set(Event::Text(set)) => &set.text,
            _ => &own.text,
        };
        let text = format!("{so_far}{}", new.text);
        *change = Change::Set(Event::Text(TextDelta {
            choice: new.choice,
            text,
        }));
        true
    }

    /// True where nothing was decided that changes anything.
    fn is_empty(&self) -> bool {
        self.before.is_empty()
            && self.after.is_empty()
            && self
                .places
                .iter()
                .all(|(_, _, change)| *change == Change::Keep)
    }
}

/// Whether `new` can stand where `old` stands.
fn same_place(old: &Event, new: &Event) -> bool {
    match (old, new) {
        (Event::Text(old), Event::Text(new)) | (Event::Reasoning(old), Event::Reasoning(new)) => {
            old.choice == new.choice
        }
        (Event::ToolCall(old), Event::ToolCall(new)) => {
            (old.choice, old.index) == (new.choice, new.index)
        }
        (Event::Usage(_), Event::Usage(_))
        | (Event::Finish(_), Event::Finish(_))
        | (Event::Other(_), Event::Other(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;

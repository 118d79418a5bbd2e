//! A streamed reply on its way past a policy: the same steps as in the gateway's relay (`look.rs`), with
//! all of the stream at hand.

use serde_json::Value;
use weir_policy::{self as policy, Denial, Failure, Usage};
use weir_wire::dialect::Dialect;
use weir_wire::events::{Action, Event, Output, RawEvent, TextDelta, ToolCallDelta, View};
use weir_wire::sse::{self, Splitter};

use super::{shape, written};
use crate::pipeline::look::{is_content, is_end, put_before_end};
use crate::pipeline::neutral;

/// What became of a stream.
#[derive(Debug, Default)]
pub(super) struct Streamed {
    /// What the caller sees, in the neutral view.
    pub(super) events: Vec<Value>,
    /// The same as bytes, where the stream was given as bytes.
    pub(super) bytes: Option<Vec<u8>>,
    /// Whether every event passed untouched.
    pub(super) untouched: bool,
    /// How many events the policy was shown.
    pub(super) shown: u32,
    /// The denial that ended it.
    pub(super) denied: Option<Denial>,
}

/// Shows events of a neutral stream to the policy; `open` begins another one where a reply goes on after
/// its end.
pub(super) async fn in_the_neutral_view<F: Opens>(
    stream: policy::Stream,
    open: F,
    events: &[written::Event],
) -> Result<Streamed, Failure> {
    let mut watched = Watched::new(stream, open);
    let mut is_closing = false;
    for event in events {
        let part = event_of(event);
        is_closing |= is_end(&part);
        if watched.event(&[part], is_closing).await?.is_none() {
            return Ok(watched.out);
        }
    }
    watched.held().await?;
    Ok(watched.out)
}

/// Shows a stream as it is on the wire to the policy.
pub(super) async fn on_the_wire<F: Opens>(
    stream: policy::Stream,
    open: F,
    dialect: Dialect,
    text: &str,
) -> Result<Streamed, Failure> {
    let mut watched = Watched::new(stream, open);
    let Some(mut view) = View::new(dialect) else {
        watched.held().await?;
        return Ok(watched.out);
    };
    let mut bytes = Vec::new();
    for piece in pieces(text) {
        let mut found = Vec::new();
        split(piece, |event| found = view.decode(event));
        let Some((ahead, mut actions)) = watched.event(&found, view.is_closing()).await? else {
            watched.out.bytes = Some(bytes);
            return Ok(watched.out);
        };
        if !ahead.is_empty() {
            bytes.extend(view.make(&ahead));
        }
        split(piece, |event| {
            match view.apply(event, &found, std::mem::take(&mut actions)) {
                Output::Pass => bytes.extend_from_slice(piece.as_bytes()),
                Output::Send(instead) => bytes.extend(instead),
            }
        });
    }
    let held = watched.held().await?;
    if !held.is_empty() {
        bytes.extend(view.make(&held));
    }
    bytes.extend(view.close());
    watched.out.bytes = Some(bytes);
    Ok(watched.out)
}

/// The events of a stream, each with the empty line that ends it.
fn pieces(text: &str) -> Vec<&str> {
    text.split_inclusive("\n\n").collect()
}

fn split(piece: &str, mut each: impl FnMut(&sse::Event<'_>)) {
    let mut splitter = Splitter::new();
    splitter.push(piece.as_bytes(), |event| each(&event));
    splitter.finish(|event| each(&event));
}

/// What begins a stream in the policy.
pub(super) trait Opens: AsyncFn() -> Result<Option<policy::Stream>, Failure> {}

impl<F: AsyncFn() -> Result<Option<policy::Stream>, Failure>> Opens for F {}

struct Watched<F> {
    /// None where it is over, or none of the policy's business.
    stream: Option<policy::Stream>,
    /// True where it was closed as one that is over is.
    closed: bool,
    open: F,
    out: Streamed,
}

impl<F: Opens> Watched<F> {
    fn new(stream: policy::Stream, open: F) -> Self {
        Self {
            stream: Some(stream),
            closed: false,
            open,
            out: Streamed {
                untouched: true,
                ..Streamed::default()
            },
        }
    }

    /// One event of the provider's, as the parts that it was taken into: what goes ahead of it, and what
    /// becomes of each part; none where the policy ended the stream.
    async fn event(
        &mut self,
        parts: &[Event],
        is_closing: bool,
    ) -> Result<Option<(Vec<Event>, Vec<Action>)>, Failure> {
        // The reply goes on after its end: that is a stream of its own to the policy.
        if is_closing && self.closed && parts.iter().any(is_content) {
            self.stream = (self.open)().await?;
            self.closed = false;
        }
        let (mut ahead, mut actions) = (Vec::new(), Vec::with_capacity(parts.len()));
        for part in parts {
            match self.push(part).await? {
                Some(action) => actions.push(action),
                None => return Ok(None),
            }
        }
        // What goes on after an end ends once more.
        if is_closing && (!parts.iter().any(is_content) || parts.iter().any(is_end)) {
            let held = self.close().await?;
            if parts.is_empty() {
                ahead = held;
            } else {
                put_before_end(held, parts, &mut actions);
            }
        }
        self.tell(&ahead);
        for (part, action) in parts.iter().zip(&actions) {
            match action {
                Action::Keep => self.tell(std::slice::from_ref(part)),
                Action::Replace(instead) => self.tell(instead),
            }
        }
        Ok(Some((ahead, actions)))
    }

    async fn push(&mut self, part: &Event) -> Result<Option<Action>, Failure> {
        let Some(stream) = &mut self.stream else {
            return Ok(Some(Action::Keep));
        };
        self.out.shown += 1;
        match stream.push(&neutral::shown(part)).await? {
            Ok(action) => {
                let taken = neutral::taken(action);
                self.out.untouched &= taken.is_none();
                Ok(Some(taken.map_or(Action::Keep, Action::Replace)))
            }
            Err(denial) => {
                self.out.untouched = false;
                self.out.denied = Some(denial);
                Ok(None)
            }
        }
    }

    /// What is held back at the very end.
    async fn held(&mut self) -> Result<Vec<Event>, Failure> {
        let held = self.close().await?;
        self.tell(&held);
        Ok(held)
    }

    /// The stream is over for the policy: what it held back.
    async fn close(&mut self) -> Result<Vec<Event>, Failure> {
        let Some(stream) = self.stream.take() else {
            return Ok(Vec::new());
        };
        self.closed = true;
        let held = stream.close().await?;
        self.out.untouched &= held.is_empty();
        Ok(held.into_iter().map(neutral::made).collect())
    }

    /// The caller sees these.
    fn tell(&mut self, events: &[Event]) {
        let shown = events
            .iter()
            .map(|event| shape::event(&neutral::shown(event)));
        self.out.events.extend(shown);
    }
}

/// An event as it stands in a case or a journal.
pub(super) fn event_of(event: &written::Event) -> Event {
    let choice = event.choice;
    if let Some(text) = event.text.clone() {
        return Event::Text(TextDelta { choice, text });
    }
    if let Some(text) = event.reasoning.clone() {
        return Event::Reasoning(TextDelta { choice, text });
    }
    if let Some(call) = &event.tool_call {
        return Event::ToolCall(ToolCallDelta {
            choice,
            index: call.index,
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        });
    }
    if let Some(usage) = &event.usage {
        return Event::Usage(weir_base::Usage {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cached_tokens: usage.cached_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            reasoning_tokens: usage.reasoning_tokens,
            cost_micros: usage.cost_micros,
            estimated: usage.estimated,
        });
    }
    if let Some(reason) = event.finish.clone() {
        return Event::Finish(reason);
    }
    let other = event.other.as_ref();
    Event::Other(RawEvent {
        name: other.and_then(|other| other.name.clone()),
        data: other.map_or_else(String::new, |other| other.data.clone()),
    })
}

/// Usage as policies see it.
pub(super) fn usage_of(usage: &written::Usage) -> Usage {
    Usage {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cached_tokens: usage.cached_tokens,
        cache_write_tokens: usage.cache_write_tokens,
        reasoning_tokens: usage.reasoning_tokens,
        cost_micros: usage.cost_micros,
        estimated: usage.estimated,
    }
}

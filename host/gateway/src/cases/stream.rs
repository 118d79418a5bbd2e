//! A streamed reply on its way past a policy: the same steps as in the gateway's relay, with all
//! of the stream at hand.

use serde_json::Value;
use weir_policy::{self as policy, Answer, Denial, Failure, StreamEvent, Usage};
use weir_wire::dialect::Dialect;
use weir_wire::events::{self as wire, Output, View};
use weir_wire::sse::{self, Splitter};

use super::{shape, written};
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

/// Shows events of a neutral stream to the policy.
pub(super) async fn in_the_neutral_view(
    stream: policy::Stream,
    events: &[written::Event],
) -> Result<Streamed, Failure> {
    let mut watched = Watched::new(stream);
    for event in events {
        if !watched.push(&event_of(event)).await? {
            return Ok(watched.out);
        }
    }
    watched.close().await
}

/// Shows a stream as it is on the wire to the policy.
pub(super) async fn on_the_wire(
    stream: policy::Stream,
    dialect: Dialect,
    text: &str,
) -> Result<Streamed, Failure> {
    let mut watched = Watched::new(stream);
    let Some(mut view) = View::new(dialect) else {
        return watched.close().await;
    };
    let mut bytes = Vec::new();
    for piece in pieces(text) {
        let mut found = Vec::new();
        split(piece, |event| found = view.decode(event));
        let mut actions = Vec::new();
        let mut ended = false;
        for event in &found {
            match watched.push_wire(event).await? {
                Some(action) => actions.push(action),
                None => {
                    ended = true;
                    break;
                }
            }
        }
        if ended {
            watched.out.bytes = Some(bytes);
            return Ok(watched.out);
        }
        split(piece, |event| {
            match view.apply(event, &found, std::mem::take(&mut actions)) {
                Output::Pass => bytes.extend_from_slice(piece.as_bytes()),
                Output::Send(instead) => bytes.extend(instead),
            }
        });
    }
    let (held, mut out) = watched.end().await?;
    bytes.extend(view.make(&held));
    bytes.extend(view.close());
    out.bytes = Some(bytes);
    Ok(out)
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

struct Watched {
    stream: policy::Stream,
    out: Streamed,
}

impl Watched {
    fn new(stream: policy::Stream) -> Self {
        Self {
            stream,
            out: Streamed {
                untouched: true,
                ..Streamed::default()
            },
        }
    }

    /// Shows one event; false where the policy ended the stream.
    async fn push(&mut self, event: &StreamEvent<'_>) -> Result<bool, Failure> {
        Ok(self.decide(event).await?.is_some())
    }

    async fn push_wire(&mut self, event: &wire::Event) -> Result<Option<wire::Action>, Failure> {
        let action = self.decide(&neutral::shown(event)).await?;
        let taken =
            |action| neutral::taken(action).map_or(wire::Action::Keep, wire::Action::Replace);
        Ok(action.map(taken))
    }

    async fn decide(&mut self, event: &StreamEvent<'_>) -> Result<Option<policy::Action>, Failure> {
        let answer: Answer<policy::Action> = self.stream.push(event).await;
        self.out.shown += 1;
        let action = match answer? {
            Ok(action) => action,
            Err(denial) => {
                self.out.untouched = false;
                self.out.denied = Some(denial);
                return Ok(None);
            }
        };
        match &action {
            policy::Action::Pass => self.out.events.push(shape::event(event)),
            policy::Action::Drop => self.out.untouched = false,
            policy::Action::Replace(events) => {
                self.out.untouched = false;
                self.out.events.extend(events.iter().map(shape::new_event));
            }
        }
        Ok(Some(action))
    }

    async fn close(self) -> Result<Streamed, Failure> {
        Ok(self.end().await?.1)
    }

    async fn end(mut self) -> Result<(Vec<wire::Event>, Streamed), Failure> {
        let held = self.stream.close().await?;
        if !held.is_empty() {
            self.out.untouched = false;
        }
        self.out.events.extend(held.iter().map(shape::new_event));
        Ok((held.into_iter().map(neutral::made).collect(), self.out))
    }
}

pub(super) fn event_of(event: &written::Event) -> StreamEvent<'_> {
    let choice = event.choice;
    if let Some(text) = &event.text {
        return StreamEvent::Text(policy::TextDelta { choice, text });
    }
    if let Some(text) = &event.reasoning {
        return StreamEvent::Reasoning(policy::TextDelta { choice, text });
    }
    if let Some(call) = &event.tool_call {
        return StreamEvent::ToolCall(policy::ToolCallDelta {
            choice,
            index: call.index,
            id: call.id.as_deref(),
            name: call.name.as_deref(),
            arguments: &call.arguments,
        });
    }
    if let Some(usage) = &event.usage {
        return StreamEvent::Usage(usage_of(usage));
    }
    if let Some(reason) = &event.finish {
        return StreamEvent::Finish(reason);
    }
    let other = event.other.as_ref();
    StreamEvent::Other(policy::RawEvent {
        name: other.and_then(|other| other.name.as_deref()),
        data: other.map_or("", |other| &other.data),
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

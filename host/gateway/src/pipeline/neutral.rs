//! Between the wire room's view of a stream and the policy room's: the same events, two types.

use weir_policy::{self as policy, StreamEvent};
use weir_wire::events::{Event, RawEvent, TextDelta, ToolCallDelta};

/// An event as a policy is shown it.
pub fn shown(event: &Event) -> StreamEvent<'_> {
    match event {
        Event::Text(delta) => StreamEvent::Text(policy::TextDelta {
            choice: delta.choice,
            text: &delta.text,
        }),
        Event::Reasoning(delta) => StreamEvent::Reasoning(policy::TextDelta {
            choice: delta.choice,
            text: &delta.text,
        }),
        Event::ToolCall(delta) => StreamEvent::ToolCall(policy::ToolCallDelta {
            choice: delta.choice,
            index: delta.index,
            id: delta.id.as_deref(),
            name: delta.name.as_deref(),
            arguments: &delta.arguments,
        }),
        Event::Usage(usage) => StreamEvent::Usage(super::hook::usage(usage)),
        Event::Finish(reason) => StreamEvent::Finish(reason),
        Event::Other(raw) => StreamEvent::Other(policy::RawEvent {
            name: raw.name.as_deref(),
            data: &raw.data,
        }),
    }
}

/// What a policy wants instead of an event; none where it stays.
pub fn taken(action: policy::Action) -> Option<Vec<Event>> {
    match action {
        policy::Action::Pass => None,
        policy::Action::Drop => Some(Vec::new()),
        policy::Action::Replace(events) => Some(events.into_iter().map(made).collect()),
    }
}

/// An event that a policy made.
pub fn made(event: policy::NewEvent) -> Event {
    let text = |delta: policy::NewTextDelta| TextDelta {
        choice: delta.choice,
        text: delta.text,
    };
    match event {
        policy::NewEvent::Text(delta) => Event::Text(text(delta)),
        policy::NewEvent::Reasoning(delta) => Event::Reasoning(text(delta)),
        policy::NewEvent::ToolCall(delta) => Event::ToolCall(ToolCallDelta {
            choice: delta.choice,
            index: delta.index,
            id: delta.id,
            name: delta.name,
            arguments: delta.arguments,
        }),
        policy::NewEvent::Usage(usage) => Event::Usage(weir_base::Usage {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cached_tokens: usage.cached_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            reasoning_tokens: usage.reasoning_tokens,
            cost_micros: usage.cost_micros,
            estimated: usage.estimated,
        }),
        policy::NewEvent::Finish(reason) => Event::Finish(reason),
        policy::NewEvent::Other(raw) => Event::Other(RawEvent {
            name: raw.name,
            data: raw.data,
        }),
    }
}

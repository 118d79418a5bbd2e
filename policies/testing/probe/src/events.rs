//! What the probe does to a stream.

use serde::Deserialize;
use weir_sdk::TextDelta;
use weir_sdk::prelude::*;

use crate::settings::Probe;

/// What becomes of the text of an answer.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Text {
    Pass,
    Uppercase,
    Drop,
    /// Each piece twice, as two events.
    Double,
    /// Nothing until the stream ends, then all at once.
    Hold,
    /// This text becomes as many asterisks, within one piece.
    Redact(String),
}

/// One stream: how many events there were, and what is held back.
#[derive(Default)]
pub struct Stream {
    count: u32,
    held: Vec<TextDelta>,
}

impl Events for Probe {
    type Stream = Stream;

    fn open(&self, call: &Summary) -> Option<Stream> {
        let settings = &self.events;
        let idle = settings.text.is_none() && settings.append.is_none() && settings.at.is_none();
        let steps = match settings.at {
            // There is no denial at open; the other steps do what they do.
            None => settings.common.run(call).unwrap_or(true),
            Some(_) => settings.common.matches(call),
        };
        (steps && !idle).then(Stream::default)
    }

    fn push(&self, stream: &mut Stream, event: Event) -> Result<Action, Denial> {
        if self.events.at == Some(stream.count) {
            self.events.common.take()?;
        }
        stream.count += 1;
        let Event::Text(TextDelta { choice, text }) = event else {
            return Ok(Action::Pass);
        };
        let with = |text: String| Action::Replace(vec![Event::Text(TextDelta { choice, text })]);
        Ok(match &self.events.text {
            None | Some(Text::Pass) => Action::Pass,
            Some(Text::Uppercase) => with(text.to_uppercase()),
            Some(Text::Drop) => Action::Drop,
            Some(Text::Double) => {
                let twice = TextDelta { choice, text };
                Action::Replace(vec![Event::Text(twice.clone()), Event::Text(twice)])
            }
            Some(Text::Hold) => {
                stream.held.push(TextDelta { choice, text });
                Action::Drop
            }
            Some(Text::Redact(word)) if text.contains(word.as_str()) => {
                with(text.replace(word.as_str(), &"*".repeat(word.chars().count())))
            }
            Some(Text::Redact(_)) => Action::Pass,
        })
    }

    fn close(&self, stream: Stream) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some(first) = stream.held.first() {
            let text = stream.held.iter().map(|held| held.text.as_str()).collect();
            events.push(Event::Text(TextDelta {
                choice: first.choice,
                text,
            }));
        }
        events.extend(self.events.append.as_ref().map(Event::text));
        events
    }
}

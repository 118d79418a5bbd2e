//! A stream, written down while it passes.

use weir_sdk::prelude::*;
use weir_sdk::{TextDelta, Usage, call, clock, metrics};

use crate::plan::Plan;
use crate::settings::Settings;
use crate::speech::{self, Speaker, Spoken};

/// Pieces of text are joined up to this size: nobody waits for them a second time.
const PIECE_BYTES: usize = 256;

/// What is known of one stream.
pub struct Tape {
    plan: Plan,
    speaker: Speaker,
    model: String,
    made_ms: u64,
    events: Vec<Event>,
    bytes: usize,
    max_bytes: usize,
    usage: Option<Usage>,
    finish: Option<String>,
    /// Why it cannot be kept.
    lost: Option<&'static str>,
}

impl Tape {
    /// None where no stream of the running call's dialect can be made anew.
    pub fn new(settings: &Settings, plan: Plan, call: &Summary) -> Option<Tape> {
        Some(Tape {
            plan,
            speaker: Speaker::of(&call::dialect())?,
            model: call.model.clone(),
            made_ms: clock::now_ms(),
            events: Vec::new(),
            bytes: 0,
            max_bytes: settings.entry_max_bytes,
            usage: None,
            finish: None,
            lost: None,
        })
    }

    /// The name of the answer.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// When the stream began, milliseconds since the Unix epoch.
    pub fn made_ms(&self) -> u64 {
        self.made_ms
    }

    /// Takes the next event down.
    pub fn note(&mut self, event: Event) {
        if self.lost.is_some() {
            return;
        }
        match event {
            Event::Usage(usage) => self.usage = Some(usage),
            // Providers have many words for it, and what was cut off once may not be so again.
            Event::Finish(reason) if reason == "content_filter" => self.lose("filtered"),
            Event::Finish(reason) => self.finish = Some(reason),
            // A citation, a signature, an error: it cannot be said again.
            Event::Other(_) => self.lose("not_repeatable"),
            Event::Reasoning(_) if !self.speaker.has_thoughts() => self.lose("not_repeatable"),
            event => {
                self.bytes += size(&event);
                if self.bytes > self.max_bytes {
                    return self.lose("too_large");
                }
                let joined = self
                    .events
                    .last_mut()
                    .is_some_and(|last| join(last, &event));
                if !joined {
                    self.events.push(event);
                }
            }
        }
    }

    fn lose(&mut self, reason: &'static str) {
        self.lost = Some(reason);
        self.events = Vec::new();
    }

    /// The bytes of the same stream; none where it was not whole, or cannot be repeated.
    pub fn into_stream(self) -> Option<Vec<u8>> {
        if let Some(reason) = self.lost {
            metrics::count("not_stored", 1, &[("reason", reason)]);
            return None;
        }
        // Without it the stream broke off, or the caller hung up.
        let finish = self.finish?;
        let spoken = Spoken {
            id: self.plan.name.get(..24).unwrap_or_default(),
            model: &self.model,
            created_s: self.made_ms / 1000,
            events: &self.events,
            finish: &finish,
            usage: self.usage.as_ref(),
            wants_usage: self.plan.wants_usage,
        };
        Some(speech::stream(self.speaker, &spoken).into_bytes())
    }
}

fn size(event: &Event) -> usize {
    match event {
        Event::Text(delta) | Event::Reasoning(delta) => delta.text.len(),
        Event::ToolCall(delta) => delta.arguments.len() + 64,
        Event::Usage(_) | Event::Finish(_) | Event::Other(_) => 0,
    }
}

/// Puts a piece behind the one before it. False where it is not of the same text.
fn join(last: &mut Event, next: &Event) -> bool {
    let join = |last: &mut TextDelta, next: &TextDelta| {
        let joins = last.choice == next.choice && last.text.len() < PIECE_BYTES;
        if joins {
            last.text.push_str(&next.text);
        }
        joins
    };
    match (last, next) {
        (Event::Text(last), Event::Text(next))
        | (Event::Reasoning(last), Event::Reasoning(next)) => join(last, next),
        (Event::ToolCall(last), Event::ToolCall(next)) => {
            let joins = (last.choice, last.index) == (next.choice, next.index)
                && next.name.is_none()
                && next.id.is_none();
            if joins {
                last.arguments.push_str(&next.arguments);
            }
            joins
        }
        _ => false,
    }
}

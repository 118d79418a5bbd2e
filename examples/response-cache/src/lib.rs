//! Answers a call that was answered before from the store: whole replies and streams.
//!
//! `plan` says which calls those are and under which name their answers are kept, `keep` puts them there,
//! `tape` writes a stream down, `speech` makes the stream of the caller's dialect of it.
//! Never does: give one caller what another one was answered, unless the operator says that they share.

mod keep;
mod plan;
mod settings;
mod speech;
mod tape;

use keep::Entry;
use plan::{Plan, Skip};
use settings::Settings;
use tape::Tape;
use weir_sdk::prelude::*;
use weir_sdk::{clock, metrics};

fn streamed(call: &Summary) -> &'static str {
    if call.streaming { "true" } else { "false" }
}

impl Answer for Settings {
    fn answer(&self, call: &Summary) -> Result<Option<Response>, Denial> {
        let plan = match Plan::of(self, call) {
            Ok(plan) => plan,
            Err(Skip::NotMeant) => return Ok(None),
            Err(skip) => {
                metrics::count("bypassed", 1, &[("reason", skip.reason())]);
                return Ok(None);
            }
        };
        let labels = [("streamed", streamed(call))];
        if !plan.reads {
            metrics::count("refreshed", 1, &labels);
            return Ok(None);
        }
        let Some(entry) = Entry::get(&plan.name) else {
            metrics::count("misses", 1, &labels);
            return Ok(None);
        };
        metrics::count("hits", 1, &labels);
        Ok(Some(entry.into_response(clock::now_ms())))
    }
}

impl Reply for Settings {
    fn reply(&self, call: &Summary, response: Response) -> Result<Option<Response>, Denial> {
        let content_type = response
            .headers
            .iter()
            .find(|(name, _)| name == "content-type")
            .map_or("", |(_, value)| value.as_str());
        // Sound and pictures are large, and asked for to be made anew.
        if response.status != 200 || !content_type.starts_with("application/json") {
            return Ok(None);
        }
        if let Ok(plan) = Plan::of(self, call) {
            Entry {
                made_ms: clock::now_ms(),
                content_type: content_type.to_owned(),
                body: response.body,
            }
            .put(self, &plan.name);
        }
        Ok(None)
    }
}

impl Events for Settings {
    type Stream = Tape;

    fn open(&self, call: &Summary) -> Option<Tape> {
        let plan = Plan::of(self, call).ok()?;
        Tape::new(self, plan, call)
    }

    fn push(&self, tape: &mut Tape, event: Event) -> Result<Action, Denial> {
        tape.note(event);
        Ok(Action::Pass)
    }

    fn close(&self, tape: Tape) -> Vec<Event> {
        let (name, made_ms) = (tape.name().to_owned(), tape.made_ms());
        if let Some(body) = tape.into_stream() {
            Entry {
                made_ms,
                content_type: "text/event-stream".to_owned(),
                body,
            }
            .put(self, &name);
        }
        Vec::new()
    }
}

weir_sdk::export!(Settings: answer, reply, events);

#[cfg(test)]
mod tests;

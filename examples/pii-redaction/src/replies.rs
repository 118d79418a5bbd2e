//! What happens to a reply: the provider's personal data goes, what was taken out of the prompt comes back.

use std::collections::HashMap;

use weir_sdk::prelude::*;
use weir_sdk::select::Caller;
use weir_sdk::{RawEvent, TextDelta, ToolCallDelta};

use crate::scan::{Instead, Match, Scanner};
use crate::settings::{Rules, Settings};
use crate::{Counts, changed, count, json};

/// The most that is held back of one call of a tool.
const ARGUMENTS_MAX_BYTES: usize = 4 << 20;

/// What takes the place of what is found in a reply.
pub struct Back {
    /// The texts by their placeholders.
    texts: HashMap<String, String>,
    /// Whether personal data is taken out.
    redacts: bool,
    redacted: Counts,
    restored: Counts,
}

impl Back {
    /// Tells the metrics.
    pub fn count(&mut self) {
        count("redacted", "reply", &std::mem::take(&mut self.redacted));
        count("restored", "reply", &std::mem::take(&mut self.restored));
    }
}

impl Instead for Back {
    fn wants_data(&self) -> bool {
        self.redacts
    }

    fn wants_placeholders(&self) -> bool {
        !self.texts.is_empty()
    }

    fn instead(&mut self, found: Match<'_>, text: &str) -> Option<String> {
        match found {
            Match::Allowed => None,
            Match::Data(name) => {
                *self.redacted.entry(name.to_owned()).or_default() += 1;
                Some(format!("[{name}]"))
            }
            Match::Placeholder => {
                let original = self.texts.get(text)?.clone();
                let name = text.trim_start_matches('[').split('_').next();
                *self
                    .restored
                    .entry(name.unwrap_or_default().to_owned())
                    .or_default() += 1;
                Some(original)
            }
        }
    }
}

impl Settings {
    /// What is to be done with the running call's reply; none where there is nothing to do.
    pub fn back(&self, call: &Summary) -> Option<Back> {
        if !self.looks_at_replies() || !self.scope.matches(call, &Caller::new()) {
            return None;
        }
        let texts = self.taken_out();
        (self.replies || !texts.is_empty()).then(|| Back {
            texts,
            redacts: self.replies,
            redacted: Counts::new(),
            restored: Counts::new(),
        })
    }
}

/// Which of the texts of a choice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prose {
    Answer,
    Thoughts,
}

impl Prose {
    fn event(self, choice: u32, text: String) -> Event {
        let delta = TextDelta { choice, text };
        match self {
            Prose::Answer => Event::Text(delta),
            Prose::Thoughts => Event::Reasoning(delta),
        }
    }
}

/// A call of a tool whose arguments are not complete.
struct Tool {
    choice: u32,
    index: u32,
    arguments: String,
}

/// One streamed reply. It has one choice (`Settings::check_stream`), whose text, thoughts and tool calls
/// follow each other.
pub struct Streaming {
    back: Back,
    prose: Option<(Prose, u32)>,
    scanner: Scanner,
    tool: Option<Tool>,
    /// The tool calls that were handed on.
    over: Vec<(u32, u32)>,
}

impl Streaming {
    /// A stream that begins.
    pub fn new(back: Back) -> Streaming {
        Streaming {
            back,
            prose: None,
            scanner: Scanner::default(),
            tool: None,
            over: Vec::new(),
        }
    }

    /// What becomes of the next event.
    pub fn push(&mut self, rules: &Rules, event: Event) -> Result<Action, Denial> {
        match event {
            Event::Text(delta) => Ok(self.text(rules, Prose::Answer, delta)),
            Event::Reasoning(delta) => Ok(self.text(rules, Prose::Thoughts, delta)),
            Event::ToolCall(delta) => self.tool(rules, delta),
            Event::Other(raw) => Ok(self.other(rules, raw)),
            Event::Finish(_) => {
                let mut last = self.end_prose(rules);
                last.extend(self.end_tool(rules));
                if last.is_empty() {
                    return Ok(Action::Pass);
                }
                last.push(event);
                Ok(Action::Replace(last))
            }
            Event::Usage(_) => Ok(Action::Pass),
        }
    }

    /// What is still held back.
    pub fn close(mut self, rules: &Rules) -> Vec<Event> {
        let mut last = self.end_prose(rules);
        last.extend(self.end_tool(rules));
        self.back.count();
        last
    }

    fn text(&mut self, rules: &Rules, prose: Prose, delta: TextDelta) -> Action {
        let mut before = self.end_tool(rules);
        if self.prose != Some((prose, delta.choice)) {
            before.extend(self.end_prose(rules));
            self.prose = Some((prose, delta.choice));
        }
        let mut out = String::new();
        self.scanner
            .push(rules, &delta.text, &mut self.back, &mut out);
        if before.is_empty() && out == delta.text {
            return Action::Pass;
        }
        if !out.is_empty() {
            before.push(prose.event(delta.choice, out));
        }
        instead(before)
    }

    /// Arguments are of use only when they are complete: they are held back until then, and the caller
    /// gets them in one piece.
    fn tool(&mut self, rules: &Rules, delta: ToolCallDelta) -> Result<Action, Denial> {
        let which = (delta.choice, delta.index);
        let mut before = self.end_prose(rules);
        if self
            .tool
            .as_ref()
            .is_some_and(|tool| (tool.choice, tool.index) != which)
        {
            before.extend(self.end_tool(rules));
        }
        if self.over.contains(&which) {
            if delta.arguments.is_empty() {
                return Ok(Action::Pass);
            }
            let message = "The provider goes on with a tool call that seemed complete; try again without `stream`.";
            return Err(Denial::new(502, "tool_call_not_readable", message));
        }
        if self.tool.is_none() && delta.name.is_some() && !delta.arguments.is_empty() {
            // Gemini sends a call in one piece, which cannot be taken apart.
            let back = &mut self.back;
            let read = json::rewrite(&delta.arguments, true, &mut |spot, text| {
                changed(rules, spot, text, back)
            });
            if let Ok(changed) = read {
                self.over.push(which);
                if changed.is_none() && before.is_empty() {
                    return Ok(Action::Pass);
                }
                let arguments = changed.unwrap_or_else(|| delta.arguments.clone());
                before.push(Event::ToolCall(ToolCallDelta { arguments, ..delta }));
                return Ok(instead(before));
            }
        }
        let tool = self.tool.get_or_insert_with(|| Tool {
            choice: delta.choice,
            index: delta.index,
            arguments: String::new(),
        });
        if tool.arguments.len() + delta.arguments.len() > ARGUMENTS_MAX_BYTES {
            let message = "The arguments of a tool call are too long to look into; ask for less.";
            return Err(Denial::new(502, "tool_call_not_readable", message));
        }
        tool.arguments.push_str(&delta.arguments);
        if before.is_empty() && delta.arguments.is_empty() {
            return Ok(Action::Pass);
        }
        if delta.id.is_some() || delta.name.is_some() {
            before.push(Event::ToolCall(ToolCallDelta {
                arguments: String::new(),
                ..delta
            }));
        }
        Ok(instead(before))
    }

    /// What there is no kind for, a refusal or a citation, as the JSON that it is.
    fn other(&mut self, rules: &Rules, raw: RawEvent) -> Action {
        let back = &mut self.back;
        let data = json::rewrite(&raw.data, false, &mut |spot, text| {
            changed(rules, spot, text, back)
        });
        match data {
            Ok(Some(data)) => Action::Replace(vec![Event::Other(RawEvent { data, ..raw })]),
            _ => Action::Pass,
        }
    }

    fn end_prose(&mut self, rules: &Rules) -> Vec<Event> {
        let mut out = String::new();
        self.scanner.finish(rules, &mut self.back, &mut out);
        let Some((prose, choice)) = self.prose.take().filter(|_| !out.is_empty()) else {
            return Vec::new();
        };
        vec![prose.event(choice, out)]
    }

    fn end_tool(&mut self, rules: &Rules) -> Vec<Event> {
        let Some(tool) = self.tool.take() else {
            return Vec::new();
        };
        self.over.push((tool.choice, tool.index));
        let back = &mut self.back;
        let read = json::rewrite(&tool.arguments, true, &mut |spot, text| {
            changed(rules, spot, text, back)
        });
        let arguments = match read {
            Ok(changed) => changed,
            // Broken off, or not meant to be JSON.
            Err(_) => Scanner::whole(rules, &tool.arguments, back),
        };
        let arguments = arguments.unwrap_or(tool.arguments);
        if arguments.is_empty() {
            return Vec::new();
        }
        vec![Event::ToolCall(ToolCallDelta {
            choice: tool.choice,
            index: tool.index,
            id: None,
            name: None,
            arguments,
        })]
    }
}

fn instead(events: Vec<Event>) -> Action {
    if events.is_empty() {
        Action::Drop
    } else {
        Action::Replace(events)
    }
}

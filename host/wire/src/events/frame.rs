//! One of the provider's events while it is changed, and the writing of server-sent events.

use super::Event;
use crate::{json, sse};

/// The JSON of an event, changed step by step. A step that does not fit changes nothing: the
/// pointers come from what was read a moment ago, so none should fail.
pub(super) struct Frame {
    name: Option<String>,
    data: Vec<u8>,
}

impl Frame {
    pub(super) fn of(event: &sse::Event<'_>) -> Self {
        Self {
            name: event.name.map(str::to_owned),
            data: event.data.to_vec(),
        }
    }

    /// The JSON as it stands.
    pub(super) fn data(&self) -> &[u8] {
        &self.data
    }

    /// The raw JSON text at `pointer`.
    pub(super) fn get(&self, pointer: &str) -> Option<&str> {
        json::get(&self.data, pointer).ok().flatten()
    }

    /// Whether a key or text has this word at all: a search that saves most walks.
    pub(super) fn mentions(&self, word: &str) -> bool {
        memchr::memmem::find(&self.data, word.as_bytes()).is_some()
    }

    /// Whether there is anything but null at `pointer`.
    pub(super) fn has(&self, pointer: &str) -> bool {
        self.get(pointer).is_some_and(|text| text != "null")
    }

    /// Sets the value at `pointer` to the JSON text `value`.
    pub(super) fn set(&mut self, pointer: &str, value: &str) {
        if let Ok(changed) = json::set(&self.data, pointer, value) {
            self.data = changed;
        }
    }

    /// Sets the value at `pointer` to a JSON string.
    pub(super) fn set_text(&mut self, pointer: &str, text: &str) {
        self.set(pointer, &json::string(text));
    }

    /// Sets a number where there is one already.
    pub(super) fn renumber(&mut self, pointer: &str, number: u64) {
        if self.has(pointer) {
            self.set(pointer, &number.to_string());
        }
    }

    pub(super) fn remove(&mut self, pointer: &str) {
        if let Ok(changed) = json::remove(&self.data, pointer) {
            self.data = changed;
        }
    }

    /// Removes an element of the array at `pointer`, and the array where it was the only one.
    pub(super) fn remove_element(&mut self, pointer: &str, at: usize) {
        self.remove(&format!("{pointer}/{at}"));
        if self.get(&format!("{pointer}/0")).is_none() {
            self.remove(pointer);
        }
    }

    /// Appends the event to `out`, lines ended by `eol`.
    pub(super) fn write(&self, eol: &str, out: &mut Vec<u8>) {
        write(self.name.as_deref(), &self.data, eol, out);
    }
}

/// Appends one event to `out`. Data of several lines becomes several `data:` lines.
pub(super) fn write(name: Option<&str>, data: &[u8], eol: &str, out: &mut Vec<u8>) {
    if let Some(name) = name {
        // A line end in a name would begin a new field; no provider's name has one.
        let name: String = name.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        out.extend_from_slice(format!("event: {name}{eol}").as_bytes());
    }
    for line in data.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        out.extend_from_slice(b"data: ");
        // A carriage return ends a line too; inside of JSON it can only be white space.
        out.extend(
            line.iter()
                .map(|byte| if *byte == b'\r' { b' ' } else { *byte }),
        );
        out.extend_from_slice(eol.as_bytes());
    }
    out.extend_from_slice(eol.as_bytes());
}

/// Appends a raw event of a policy's own.
pub(super) fn write_other(event: &Event, eol: &str, out: &mut Vec<u8>) {
    if let Event::Other(raw) = event {
        write(raw.name.as_deref(), raw.data.as_bytes(), eol, out);
    }
}

//! Answers in the store. It has a bound and does not know which of its keys can go: the oldest answers do,
//! by a ring of their names.

use weir_sdk::prelude::*;
use weir_sdk::{log, metrics, store};

use crate::settings::Settings;

/// How often the store may be asked to make room for one answer. It ends a hook that asks it 256 times; a
/// long answer among many short ones is then not kept, and finds room later.
const EVICTING_CALLS_MAX: usize = 190;
/// The store's values are bounded: a larger answer lies in several, each below 64 KiB with what stands ahead.
const PART_BYTES: usize = 60_000;
const HEAD: &str = "ring:head";
const TAIL: &str = "ring:tail";

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was made, milliseconds since the Unix epoch.
    pub made_ms: u64,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Entry {
    /// The answer of this name, if all of it is there.
    pub fn get(name: &str) -> Option<Entry> {
        let value = store::get(name)?;
        let (head, first) = Head::read(&value)?;
        let mut body = first.to_vec();
        for part in 1..head.parts {
            body.extend_from_slice(&store::get(&head.part(name, part))?);
        }
        Some(Entry {
            made_ms: head.made_ms,
            content_type: head.content_type.to_owned(),
            body,
        })
    }

    /// Keeps it under this name, where it is not too large.
    pub fn put(&self, settings: &Settings, name: &str) {
        if self.body.len() > settings.entry_max_bytes {
            metrics::count("not_stored", 1, &[("reason", "too_large")]);
            return;
        }
        forget(name);
        match self.put_parts(name, settings.ttl_ms) {
            Ok(()) => metrics::count("stored", 1, &[]),
            Err(error) => {
                log::warn!("an answer could not be kept: {error}");
                metrics::count("not_stored", 1, &[("reason", "store")]);
            }
        }
    }

    /// The beginning last: who finds it finds all.
    fn put_parts(&self, name: &str, ttl_ms: u32) -> Result<(), String> {
        let head = Head {
            made_ms: self.made_ms,
            parts: self.body.len().div_ceil(PART_BYTES).max(1),
            content_type: &self.content_type,
        };
        let mut room = Room::default();
        let mut pieces = self.body.chunks(PART_BYTES);
        let first = pieces.next().unwrap_or_default();
        for (part, piece) in (1..).zip(pieces) {
            room.set(&head.part(name, part), piece, ttl_ms)?;
        }
        room.set(name, &[head.text().as_bytes(), first].concat(), ttl_ms)?;
        // Its place in the ring: without one it stays for its time, and nothing else does for it.
        let number = store::add(HEAD, 1, None)?;
        room.set(&place(number), name.as_bytes(), ttl_ms)
    }

    /// As a reply to a caller.
    pub fn into_response(self, now_ms: u64) -> Response {
        let age_s = now_ms.saturating_sub(self.made_ms) / 1000;
        Response {
            status: 200,
            headers: vec![
                ("content-type".to_owned(), self.content_type),
                ("age".to_owned(), age_s.to_string()),
                ("x-weir-cache".to_owned(), "hit".to_owned()),
            ],
            body: self.body,
        }
    }
}

/// What stands ahead of the first part of an answer.
struct Head<'t> {
    made_ms: u64,
    parts: usize,
    content_type: &'t str,
}

impl<'t> Head<'t> {
    fn text(&self) -> String {
        format!("{} {} {}\n", self.made_ms, self.parts, self.content_type)
    }

    fn read(value: &'t [u8]) -> Option<(Head<'t>, &'t [u8])> {
        let line = value.iter().position(|byte| *byte == b'\n')?;
        let (head, first) = value.split_at_checked(line)?;
        let mut words = std::str::from_utf8(head).ok()?.splitn(3, ' ');
        let head = Head {
            made_ms: words.next()?.parse().ok()?,
            parts: words.next()?.parse().ok()?,
            content_type: words.next()?,
        };
        Some((head, first.get(1..)?))
    }

    /// The name of a part: of this answer, not of one that takes its place.
    fn part(&self, name: &str, number: usize) -> String {
        format!("{name}/{}/{number}", self.made_ms)
    }
}

/// Removes an answer with all its parts; says how often the store was asked.
fn forget(name: &str) -> usize {
    let Some(value) = store::get(name) else {
        return 1;
    };
    store::remove(name);
    let parts = Head::read(&value).map_or(1, |(head, _)| {
        for part in 1..head.parts {
            store::remove(&head.part(name, part));
        }
        head.parts
    });
    parts + 1
}

/// What one answer may do to find room.
#[derive(Default)]
struct Room {
    calls: usize,
    evicted: u32,
}

impl Room {
    /// Sets a value, and makes room for it where there is none.
    fn set(&mut self, name: &str, value: &[u8], ttl_ms: u32) -> Result<(), String> {
        let mut result = store::set(name, value, Some(ttl_ms));
        while result.is_err() && self.calls < EVICTING_CALLS_MAX && self.evict() {
            self.calls += 1;
            result = store::set(name, value, Some(ttl_ms));
        }
        result
    }

    /// Removes the oldest answer. False where there is none left.
    fn evict(&mut self) -> bool {
        self.calls += 5;
        let tail = number(TAIL) + 1;
        if tail > number(HEAD) {
            return false;
        }
        let place = place(tail);
        if let Some(name) = store::get(&place) {
            self.calls += forget(&String::from_utf8_lossy(&name));
            store::remove(&place);
            self.evicted += 1;
        }
        // Last: in a store without room there is none for a longer number either.
        store::add(TAIL, 1, None).is_ok()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.evicted > 0 {
            metrics::count("evicted", self.evicted, &[]);
        }
    }
}

fn place(number: i64) -> String {
    format!("ring:{number}")
}

fn number(name: &str) -> i64 {
    let value = store::get(name).unwrap_or_default();
    std::str::from_utf8(&value)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

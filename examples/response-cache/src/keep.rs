//! Answers in the store. It has a bound and does not know which of its keys can go: the oldest answers do,
//! by a ring of their names.

use weir_sdk::prelude::*;
use weir_sdk::{log, metrics, store};

use crate::settings::Settings;

/// How many answers may go to make room for one.
const EVICTED_MAX: usize = 100;
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
    /// The answer of this name, if it is there.
    pub fn get(name: &str) -> Option<Entry> {
        let value = store::get(name)?;
        let head = value.iter().position(|byte| *byte == b'\n')?;
        let (head, body) = value.split_at_checked(head)?;
        let (made_ms, content_type) = std::str::from_utf8(head).ok()?.split_once(' ')?;
        Some(Entry {
            made_ms: made_ms.parse().ok()?,
            content_type: content_type.to_owned(),
            body: body.get(1..)?.to_vec(),
        })
    }

    /// Keeps it under this name, where it is not too large.
    pub fn put(&self, settings: &Settings, name: &str) {
        if self.body.len() > settings.entry_max_bytes {
            metrics::count("not_stored", 1, &[("reason", "too_large")]);
            return;
        }
        let mut value = format!("{} {}\n", self.made_ms, self.content_type).into_bytes();
        value.extend_from_slice(&self.body);
        let ttl_ms = Some(settings.ttl_ms);
        let mut kept = store::set(name, &value, ttl_ms);
        for _ in 0..EVICTED_MAX {
            if kept.is_ok() || !evict() {
                break;
            }
            kept = store::set(name, &value, ttl_ms);
        }
        // Its place in the ring is worth nothing without it, and it without a place stays for its time.
        let kept = kept.and_then(|()| {
            let head = store::add(HEAD, 1, None)?;
            store::set(&place(head), name.as_bytes(), ttl_ms)
        });
        match kept {
            Ok(()) => metrics::count("stored", 1, &[]),
            Err(error) => {
                log::warn!("an answer could not be kept: {error}");
                metrics::count("not_stored", 1, &[("reason", "store")]);
            }
        }
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

/// Removes the oldest answer. False where there is none left.
fn evict() -> bool {
    if number(TAIL) >= number(HEAD) {
        return false;
    }
    let Ok(tail) = store::add(TAIL, 1, None) else {
        return false;
    };
    let place = place(tail);
    if let Some(name) = store::get(&place) {
        store::remove(&String::from_utf8_lossy(&name));
        store::remove(&place);
        metrics::count("evicted", 1, &[]);
    }
    true
}

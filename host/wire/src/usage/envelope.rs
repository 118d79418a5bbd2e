//! Finding the usage object in a reply or an event.
//!
//! Almost always it stands near the end, so it is looked for from there: if nothing but whole
//! members follow it up to the end of the text, it is a member of the outermost object, and the
//! rest (an embedding's numbers, a long answer) need not be parsed. Else the whole text is.

use std::fmt;

use memchr::memmem;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::counts::Counts;
use crate::dialect::{Dialect, Family};
use crate::json::node::{Shape, Walk};

/// The counts that a reply or an event reports.
pub(super) fn counts_in(dialect: Dialect, json: &[u8]) -> Option<Counts> {
    counts_at_end(dialect, json).or_else(|| Envelope::read(json).counts)
}

/// The same, from the end only: it works on the tail of a text too.
pub(super) fn counts_at_end(dialect: Dialect, json: &[u8]) -> Option<Counts> {
    // `response.completed` and `message_start` hold the reply, and that holds the usage.
    let levels = match dialect {
        Dialect::OpenaiResponses | Dialect::AnthropicMessages => 2,
        _ => 1,
    };
    Counts::read(usage_at_end(json, key(dialect.family()), levels)?)
}

/// The key of the usage object.
pub(super) fn key(family: Family) -> &'static [u8] {
    match family {
        Family::Openai | Family::Anthropic => b"\"usage\"",
        Family::Gemini => b"\"usageMetadata\"",
    }
}

/// The object under the last `key` in the text, if that is a member of the outermost object (or of
/// an object in it, for `levels` of 2).
fn usage_at_end<'j>(json: &'j [u8], key: &[u8], levels: usize) -> Option<&'j [u8]> {
    // Quotes inside a string are escaped, so the key with its quotes is a key or a whole string.
    let at = memmem::rfind(json, key)?;
    let mut walk = Walk::new(json, at + key.len());
    if !walk.eat(b':') {
        return None;
    }
    let usage = walk.value().ok()?;
    if usage.shape() != Shape::Object {
        return None;
    }
    for _ in 0..levels {
        while walk.eat(b',') {
            walk.member().ok()?;
        }
        if !walk.eat(b'}') {
            return None;
        }
        if walk.is_at_end() {
            return Some(usage.bytes());
        }
    }
    None
}

/// What matters of a reply or an event, read in full.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    pub(super) counts: Option<Counts>,
    /// True where there is an `error` that is not null.
    pub(super) error: bool,
    /// `type`, or `event_type`.
    pub(super) kind: Option<String>,
}

impl Envelope {
    /// Reads `json`; of what is not JSON, nothing is known.
    pub(super) fn read(json: &[u8]) -> Self {
        serde_json::from_slice(json).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reply")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let mut envelope = Envelope::default();
        let mut inner = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match key.as_ref() {
                "usage" | "usageMetadata" => {
                    let counts: Counts = map.next_value()?;
                    envelope.counts = (counts != Counts::default())
                        .then_some(counts)
                        .or(envelope.counts);
                }
                "response" | "message" | "interaction" | "x_groq" => {
                    inner = map.next_value::<Lenient>()?.0.counts.or(inner);
                }
                "error" => envelope.error = map.next_value::<Option<IgnoredAny>>()?.is_some(),
                "type" | "event_type" => envelope.kind = map.next_value::<Lenient>()?.0.kind,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        envelope.counts = envelope.counts.or(inner);
        Ok(envelope)
    }

    /// A stream that came as one array: its last element that says something counts.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Envelope, A::Error> {
        let mut all = Envelope::default();
        while let Some(Lenient(next)) = seq.next_element()? {
            all.counts = next.counts.or(all.counts);
            all.error |= next.error;
            all.kind = next.kind.or(all.kind);
        }
        Ok(all)
    }
}

/// An envelope, or any other value: a string is a kind, the rest is nothing.
struct Lenient(Envelope);

impl<'de> Deserialize<'de> for Lenient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LenientVisitor).map(Lenient)
    }
}

struct LenientVisitor;

impl<'de> Visitor<'de> for LenientVisitor {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Envelope, A::Error> {
        EnvelopeVisitor.visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Envelope, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Envelope::default())
    }

    fn visit_str<E>(self, kind: &str) -> Result<Envelope, E> {
        Ok(Envelope {
            kind: Some(kind.to_owned()),
            ..Envelope::default()
        })
    }

    fn visit_unit<E>(self) -> Result<Envelope, E> {
        Ok(Envelope::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Envelope, E> {
        Ok(Envelope::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Envelope, E> {
        Ok(Envelope::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Envelope, E> {
        Ok(Envelope::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Envelope, E> {
        Ok(Envelope::default())
    }
}

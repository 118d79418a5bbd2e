//! What policies share in their configuration: lists of wildcards, and the calls a rule is for.
//!
//! Read once at `init`, so that a hook only compares. A list such as
//! `["gpt-4*", "o1", "-gpt-4-32k"]` holds a value if an entry matches it and no entry with a
//! leading `-` does: a denial always wins, the order says nothing. A list of denials alone begins
//! with everything. `*` stands for any text, also none; nothing else is special, and case counts.

use std::cell::OnceCell;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::types::Summary;

/// One name with wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Any,
    Exact,
    /// One `*`, at the end.
    Prefix,
    Glob,
}

impl Pattern {
    /// Reads `gpt-4*`.
    pub fn new(text: &str) -> Pattern {
        let shape = match text.find('*') {
            None => Shape::Exact,
            Some(0) if text.len() == 1 => Shape::Any,
            Some(at) if at + 1 == text.len() => Shape::Prefix,
            Some(_) => Shape::Glob,
        };
        Pattern {
            text: text.into(),
            shape,
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the first `*`.
    fn stem(&self) -> &[u8] {
        let text = self.text.as_bytes();
        text.iter()
            .position(|byte| *byte == b'*')
            .and_then(|end| text.get(..end))
            .unwrap_or(text)
    }

    /// True if the whole value matches.
    #[inline]
    pub fn matches(&self, value: &str) -> bool {
        match self.shape {
            Shape::Any => true,
            Shape::Exact => *self.text == *value,
            Shape::Prefix => value.as_bytes().starts_with(self.stem()),
            Shape::Glob => glob(self.text.as_bytes(), value.as_bytes()),
        }
    }
}

/// Matches with a single step back to the last `*`, so that the time is bounded by the product of
/// the lengths whatever the pattern is.
fn glob(pattern: &[u8], value: &[u8]) -> bool {
    let (mut p, mut v) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(byte) = value.get(v) {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, v));
                p += 1;
            }
            Some(expected) if expected == byte => {
                p += 1;
                v += 1;
            }
            _ => match back {
                Some((star, from)) => {
                    back = Some((star, from + 1));
                    p = star + 1;
                    v = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// A list of wildcards and denials; see the head of this module for its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns {
    any: bool,
    exact: Box<[Box<str>]>,
    wild: Box<[Pattern]>,
    denied: Box<[Pattern]>,
}

impl Patterns {
    /// Reads a list; an empty one is an error, as it would hold nothing.
    pub fn new<S: AsRef<str>>(entries: &[S]) -> Result<Patterns, String> {
        if entries.is_empty() {
            return Err("an empty list matches nothing; leave the setting out".to_owned());
        }
        let (mut exact, mut wild, mut denied) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries {
            let entry = entry.as_ref();
            let (list, text) = match entry.strip_prefix('-') {
                Some(rest) => (&mut denied, rest),
                None => (&mut wild, entry),
            };
            if text.is_empty() {
                return Err("an entry is empty".to_owned());
            }
            list.push(Pattern::new(text));
        }
        let any = wild.iter().any(|pattern| pattern.shape == Shape::Any) || wild.is_empty();
        wild.retain(|pattern| {
            if pattern.shape == Shape::Exact {
                exact.push(pattern.text.clone());
            }
            !any && pattern.shape != Shape::Exact
        });
        exact.sort();
        Ok(Patterns {
            any,
            exact: exact.into(),
            wild: wild.into(),
            denied: denied.into(),
        })
    }

    /// True if the list holds the value.
    #[inline]
    pub fn matches(&self, value: &str) -> bool {
        (self.any || self.has_exact(value) || self.wild.iter().any(|entry| entry.matches(value)))
            && !self.denied.iter().any(|entry| entry.matches(value))
    }

    fn has_exact(&self, value: &str) -> bool {
        // A handful is found faster by looking at the lengths than by halving.
        if self.exact.len() <= 8 {
            return self.exact.iter().any(|entry| **entry == *value);
        }
        self.exact
            .binary_search_by(|entry| (**entry).cmp(value))
            .is_ok()
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Patterns;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a name with wildcards, or a list of them")
            }

            fn visit_str<E: Error>(self, entry: &str) -> Result<Patterns, E> {
                Patterns::new(&[entry]).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Patterns, A::Error> {
                let mut entries: Vec<String> = Vec::new();
                while let Some(entry) = list.next_element()? {
                    entries.push(entry);
                }
                Patterns::new(&entries).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(Entries)
    }
}

/// The calls that a rule is for: each setting that is there must hold. Without any, all calls.
///
/// ```toml
/// match = { tenants = ["acme"], keys = ["key_*"], models = ["gpt-4*"], labels = { plan = "pro" } }
/// ```
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// Names of tenants. Costs one call into the host, as do the next.
    pub tenants: Option<Patterns>,
    /// Public ids of virtual keys.
    pub keys: Option<Patterns>,
    /// Models as the caller asked for them.
    pub models: Option<Patterns>,
    /// Names of operations, for example `chat`.
    pub operations: Option<Patterns>,
    /// Dialects, for example `openai.*`. Costs one call into the host.
    pub dialects: Option<Patterns>,
    /// Labels of the key, else of its tenant. Each costs one call into the host.
    #[serde(deserialize_with = "labels")]
    pub labels: Vec<Label>,
}

/// One label with the values that it may have; a call without the label does not match.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// The name of the label.
    pub name: Box<str>,
    /// Its values.
    pub values: Patterns,
}

fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Label>, D::Error> {
    let map = std::collections::BTreeMap::<String, Patterns>::deserialize(deserializer)?;
    Ok(map
        .into_iter()
        .map(|(name, values)| Label {
            name: name.into(),
            values,
        })
        .collect())
}

#[inline]
fn holds(list: &Option<Patterns>, matches: impl FnOnce(&Patterns) -> bool) -> bool {
    list.as_ref().is_none_or(matches)
}

/// Who makes the running call, asked of the host when it is first looked at and at most once each.
/// Make one in a hook, and hand it to all that want to know.
#[derive(Debug, Default)]
pub struct Caller {
    tenant: OnceCell<String>,
    key: OnceCell<String>,
    client_ip: OnceCell<String>,
}

impl Caller {
    /// Nothing has been asked yet.
    pub fn new() -> Caller {
        Caller::default()
    }

    /// As [`crate::call::tenant`].
    pub fn tenant(&self) -> &str {
        self.tenant.get_or_init(crate::call::tenant)
    }

    /// As [`crate::call::key`].
    pub fn key(&self) -> &str {
        self.key.get_or_init(crate::call::key)
    }

    /// As [`crate::call::client_ip`].
    pub fn client_ip(&self) -> &str {
        self.client_ip.get_or_init(crate::call::client_ip)
    }
}

impl Scope {
    /// True if it is for all calls.
    pub fn is_everything(&self) -> bool {
        *self == Scope::default()
    }

    /// True if the rule is for this call. What costs a call into the host is looked at last;
    /// `caller` is for all scopes of one hook.
    #[inline]
    pub fn matches(&self, call: &Summary, caller: &Caller) -> bool {
        holds(&self.models, |list| list.matches(&call.model))
            && holds(&self.operations, |list| {
                list.matches(call.operation.as_str())
            })
            && holds(&self.tenants, |list| list.matches(caller.tenant()))
            && holds(&self.keys, |list| list.matches(caller.key()))
            && holds(&self.dialects, |list| list.matches(&crate::call::dialect()))
            && self.labels.iter().all(|label| {
                crate::call::label(&label.name).is_some_and(|value| label.values.matches(&value))
            })
    }
}

#[cfg(test)]
mod tests;

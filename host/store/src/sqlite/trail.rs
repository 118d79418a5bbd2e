//! Attempts and decisions of a call, as one short text: nobody searches in them, so they are not
//! worth tables of their own, which would double the cost of a row.
//!
//! `{"a":[[channel,key,status,failure,ms,more],…],"d":[[decider],[decider,micros],[decider,micros,verdict],…]}`,
//! where the decider is a number in `ledger_deciders`. The verdicts of most decisions are not written:
//! one with its microseconds alone allowed the call, one with nothing was remembered. Most attempts end
//! with their milliseconds; what there is more to a few is an object (`c`: cause, `m`: model, `u`: usage).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use weir_base::Usage;

use crate::call::{AttemptMore, AttemptRow, Decider, Decision, REMEMBERED};
use crate::error::StoreError;

#[derive(Serialize, Deserialize)]
pub(super) struct AttemptText<'a>(
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Option<Cow<'a, str>>,
    Option<u16>,
    #[serde(borrow)] Option<Cow<'a, str>>,
    u32,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")] Option<MoreText<'a>>,
);

#[derive(Serialize, Deserialize)]
struct MoreText<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    c: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    m: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    u: Option<Usage>,
}

impl<'a> MoreText<'a> {
    fn of(more: &'a AttemptMore) -> Self {
        Self {
            c: more.cause.as_deref().map(Cow::Borrowed),
            m: more.model.as_deref().map(Cow::Borrowed),
            u: more.usage,
        }
    }

    fn into_more(self) -> AttemptMore {
        AttemptMore {
            cause: self.c.map(|cause| Cow::Owned(cause.into_owned())),
            model: self.m.map(Into::into),
            usage: self.u,
        }
    }
}

const ALLOW: &str = "allow";

/// A decision as it was read: the decider's number, microseconds, the verdict.
pub(super) struct DecisionText(i64, u32, Cow<'static, str>);

impl<'de> Deserialize<'de> for DecisionText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = DecisionText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one to three values")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let missing = || A::Error::invalid_length(0, &self);
                let decider = list.next_element()?.ok_or_else(missing)?;
                let Some(micros) = list.next_element()? else {
                    return Ok(DecisionText(decider, 0, Cow::Borrowed(REMEMBERED)));
                };
                let verdict = list.next_element::<String>()?;
                let verdict = verdict.map_or(Cow::Borrowed(ALLOW), Cow::Owned);
                Ok(DecisionText(decider, micros, verdict))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// A trail as it was read.
#[derive(Deserialize)]
pub(super) struct Trail<'a> {
    #[serde(borrow, default)]
    a: Vec<AttemptText<'a>>,
    #[serde(default)]
    d: Vec<DecisionText>,
}

/// Writes the trail into `text`, which is emptied first. `number_of` gives the number of who
/// decided.
pub(super) fn write(
    text: &mut Vec<u8>,
    attempts: &[AttemptRow],
    decisions: &[Decision],
    mut number_of: impl FnMut(&Arc<Decider>) -> Result<i64, StoreError>,
) -> Result<(), StoreError> {
    text.clear();
    if attempts.is_empty() && decisions.is_empty() {
        return Ok(());
    }
    text.extend_from_slice(b"{\"a\":[");
    for (index, attempt) in attempts.iter().enumerate() {
        let AttemptRow {
            channel,
            key,
            status,
            failure,
            ms,
            more,
        } = attempt;
        let entry = AttemptText(
            Cow::Borrowed(channel),
            key.as_deref().map(Cow::Borrowed),
            *status,
            failure.as_deref().map(Cow::Borrowed),
            *ms,
            more.as_deref().map(MoreText::of),
        );
        push(text, index, &entry)?;
    }
    text.extend_from_slice(b"],\"d\":[");
    for (index, decision) in decisions.iter().enumerate() {
        let Decision {
            by,
            micros,
            verdict,
        } = decision;
        let number = number_of(by)?;
        match &**verdict {
            REMEMBERED => push(text, index, &(number,))?,
            ALLOW => push(text, index, &(number, micros))?,
            verdict => push(text, index, &(number, micros, verdict))?,
        }
    }
    text.extend_from_slice(b"]}");
    Ok(())
}

fn push(text: &mut Vec<u8>, index: usize, entry: &impl Serialize) -> Result<(), StoreError> {
    if index > 0 {
        text.push(b',');
    }
    serde_json::to_writer(text, entry).map_err(|error| StoreError::Invalid(error.to_string()))
}

/// Reads a trail. `decider` gives who decided by the number.
pub(super) fn read(
    text: &str,
    mut decider: impl FnMut(i64) -> Result<Arc<Decider>, StoreError>,
) -> Result<(Vec<AttemptRow>, Vec<Decision>), StoreError> {
    if text.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let trail: Trail<'_> = serde_json::from_str(text)
        .map_err(|error| StoreError::Unavailable(format!("a call's trail is broken: {error}")))?;
    let attempts = trail
        .a
        .into_iter()
        .map(
            |AttemptText(channel, key, status, failure, ms, more)| AttemptRow {
                channel: channel.into(),
                key: key.map(Into::into),
                status,
                failure: failure.map(|failure| Cow::Owned(failure.into_owned())),
                ms,
                more: more.map(|more| Box::new(more.into_more())),
            },
        )
        .collect();
    let mut decisions = Vec::with_capacity(trail.d.len());
    for DecisionText(number, micros, verdict) in trail.d {
        decisions.push(Decision {
            by: decider(number)?,
            micros,
            verdict,
        });
    }
    Ok((attempts, decisions))
}

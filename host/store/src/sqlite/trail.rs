//! Attempts and decisions of a call, as one short text: nobody searches in them, so they are not
//! worth tables of their own, which would double the cost of a row.
//!
//! `{"a":[[channel,key,status,failure,ms],…],"d":[[hook,version,micros,verdict],…]}`, where the
//! version is a number in `ledger_versions`.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::call::{AttemptRow, Decider, Decision};
use crate::error::StoreError;

#[derive(Serialize, Deserialize)]
pub(super) struct AttemptText<'a>(
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Option<Cow<'a, str>>,
    Option<u16>,
    #[serde(borrow)] Option<Cow<'a, str>>,
    u32,
);

#[derive(Serialize, Deserialize)]
pub(super) struct DecisionText<'a>(
    #[serde(borrow)] Cow<'a, str>,
    i64,
    u32,
    #[serde(borrow)] Cow<'a, str>,
);

/// A trail as it was read.
#[derive(Deserialize)]
pub(super) struct Trail<'a> {
    #[serde(borrow, default)]
    a: Vec<AttemptText<'a>>,
    #[serde(borrow, default)]
    d: Vec<DecisionText<'a>>,
}

/// Writes the trail into `text`, which is emptied first. `version_of` gives the number of the
/// version that decided.
pub(super) fn write(
    text: &mut Vec<u8>,
    attempts: &[AttemptRow],
    decisions: &[Decision],
    mut version_of: impl FnMut(&Arc<Decider>) -> Result<i64, StoreError>,
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
        } = attempt;
        let entry = AttemptText(
            Cow::Borrowed(channel),
            key.as_deref().map(Cow::Borrowed),
            *status,
            failure.as_deref().map(Cow::Borrowed),
            *ms,
        );
        push(text, index, &entry)?;
    }
    text.extend_from_slice(b"],\"d\":[");
    for (index, decision) in decisions.iter().enumerate() {
        let version = version_of(&decision.by)?;
        let Decision {
            hook,
            micros,
            verdict,
            ..
        } = decision;
        let entry = DecisionText(
            Cow::Borrowed(hook),
            version,
            *micros,
            Cow::Borrowed(verdict),
        );
        push(text, index, &entry)?;
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

/// Reads a trail. `version` gives the version by its number.
pub(super) fn read(
    text: &str,
    mut version: impl FnMut(i64) -> Result<Arc<Decider>, StoreError>,
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
            |AttemptText(channel, key, status, failure, ms)| AttemptRow {
                channel: channel.into(),
                key: key.map(Into::into),
                status,
                failure: failure.map(|failure| Cow::Owned(failure.into_owned())),
                ms,
            },
        )
        .collect();
    let mut decisions = Vec::with_capacity(trail.d.len());
    for DecisionText(hook, number, micros, verdict) in trail.d {
        decisions.push(Decision {
            hook: Cow::Owned(hook.into_owned()),
            by: version(number)?,
            micros,
            verdict: Cow::Owned(verdict.into_owned()),
        });
    }
    Ok((attempts, decisions))
}

//! What a version would have decided of calls that were: beside another version, or beside what was
//! decided then.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value, json};
use weir_policy::Hook;

pub use super::past::{LedgerCall, PastCall, recordings};
use super::run::{Results, RunError, Runner};

/// Rows of a table at most; the rest is summed up.
const ROWS_MAX: usize = 10;

/// A version and its configuration.
#[derive(Debug)]
pub struct Side {
    /// Runs it.
    pub runner: Runner,
    /// What it is started with.
    pub config: Value,
}

/// A call that would have been decided otherwise.
#[derive(Debug, Clone, Serialize)]
pub struct Changed {
    /// The call's id, or the recording's place.
    pub call: String,
    /// The key's id.
    pub key: String,
    /// The model.
    pub model: String,
    /// Tokens in and out.
    pub tokens: u64,
    /// Millionths of the currency unit.
    pub cost_micros: u64,
    /// How it changed, in a word or two.
    pub how: &'static str,
    /// What was decided; by hook.
    pub was: Value,
    /// What would be; by hook.
    pub now: Value,
}

/// What came of a replay.
#[derive(Debug, Default)]
pub struct Replay {
    /// Calls that were run again.
    pub calls: usize,
    /// Calls that could not be: what they were and why.
    pub skipped: BTreeMap<String, usize>,
    /// Those that would have been decided otherwise.
    pub changed: Vec<Changed>,
}

impl Replay {
    /// Runs one call through the version, and through the other one or beside what was decided.
    ///
    /// # Errors
    /// Where a version cannot be loaded. A call that cannot be run is skipped and counted.
    pub async fn run(
        &mut self,
        new: &mut Side,
        old: Option<&mut Side>,
        call: PastCall,
    ) -> Result<(), RunError> {
        let now = match new.runner.run_given(&new.config, call.given.clone()).await {
            Ok(now) => now,
            Err(error) => return self.skip(error),
        };
        let was = match old {
            Some(old) => match old.runner.run_given(&old.config, call.given).await {
                Ok(was) => Decided::of(&was)?,
                Err(error) => return self.skip(error),
            },
            None => Decided::before(call.denied.as_deref()),
        };
        let only_verdict = was.is_only_a_verdict;
        let now = Decided::of(&now)?;
        self.calls += 1;
        if let Some(how) = now.differs(&was, only_verdict) {
            self.changed.push(Changed {
                call: call.id,
                key: call.key,
                model: call.model,
                tokens: call.tokens,
                cost_micros: call.cost_micros,
                how,
                was: Value::Object(was.values),
                now: Value::Object(now.values),
            });
        }
        Ok(())
    }

    fn skip(&mut self, error: RunError) -> Result<(), RunError> {
        match error {
            RunError::Case(why) => *self.skipped.entry(why).or_default() += 1,
            RunError::Recording { reason, .. } => *self.skipped.entry(reason).or_default() += 1,
            other => return Err(other),
        }
        Ok(())
    }

    /// For a person: how many calls changed how, with their tokens and money, by key and by model.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} calls, {} of them decided otherwise\n",
            self.calls,
            self.changed.len()
        );
        for (why, count) in &self.skipped {
            let _ = writeln!(text, "{count} calls were left out: {why}");
        }
        if self.changed.is_empty() {
            return text;
        }
        for (what, of) in [
            ("how", (|changed| changed.how) as fn(&Changed) -> &str),
            ("key", |changed| &changed.key),
            ("model", |changed| &changed.model),
        ] {
            self.table(&mut text, what, of);
        }
        text
    }

    fn table(&self, text: &mut String, what: &str, of: fn(&Changed) -> &str) {
        let mut rows: BTreeMap<&str, (usize, u64, u64)> = BTreeMap::new();
        for changed in &self.changed {
            let row = rows.entry(of(changed)).or_default();
            row.0 += 1;
            row.1 += changed.tokens;
            row.2 += changed.cost_micros;
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by_key(|(name, (calls, ..))| (std::cmp::Reverse(*calls), *name));
        let _ = writeln!(
            text,
            "\n{what:<28} {:>8} {:>12} {:>14}",
            "calls", "tokens", "money"
        );
        for (name, (calls, tokens, micros)) in rows.iter().take(ROWS_MAX) {
            let (units, rest) = (micros / 1_000_000, micros % 1_000_000);
            let name = if name.is_empty() { "-" } else { name };
            let _ = writeln!(
                text,
                "{name:<28} {calls:>8} {tokens:>12} {units:>7}.{rest:06}"
            );
        }
        if rows.len() > ROWS_MAX {
            let _ = writeln!(text, "and {} more", rows.len() - ROWS_MAX);
        }
    }

    /// A line of JSON for each call that changed.
    pub fn lines(&self) -> String {
        let mut text = String::new();
        for changed in &self.changed {
            text.push_str(&json!(changed).to_string());
            text.push('\n');
        }
        text
    }
}

/// What became of a call.
struct Decided {
    values: Map<String, Value>,
    denied: Option<Value>,
    is_only_a_verdict: bool,
}

impl Decided {
    fn of(results: &Results) -> Result<Self, RunError> {
        if let Some(reasons) = results.values.get("init") {
            return Err(RunError::Case(format!(
                "the configuration is refused: {reasons}"
            )));
        }
        let is_hook = |name: &str| Hook::from_name(name).is_some();
        let values: Map<String, Value> = results
            .values
            .iter()
            .filter(|(name, _)| is_hook(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let denied = results.ended_by.and_then(|hook| values.get(hook).cloned());
        Ok(Self {
            values,
            denied,
            is_only_a_verdict: false,
        })
    }

    /// What the ledger tells: whether the call was refused, and with which code.
    fn before(denied: Option<&str>) -> Self {
        let denied = denied.map(|code| json!({ "deny": { "code": code } }));
        let values = denied
            .iter()
            .map(|denied| ("call".to_owned(), denied.clone()));
        Self {
            values: values.collect(),
            denied: denied.clone(),
            is_only_a_verdict: true,
        }
    }

    /// How it differs from what was.
    fn differs(&self, was: &Decided, only_verdict: bool) -> Option<&'static str> {
        match (&was.denied, &self.denied) {
            (None, Some(now)) if now.get("fail").is_some() => return Some("fails now"),
            (None, Some(_)) => return Some("denied now"),
            (Some(_), None) => return Some("allowed now"),
            (Some(was), Some(now)) => {
                let code = |denied: &Value| denied.pointer("/deny/code").cloned();
                return (code(was) != code(now)).then_some("denied for another reason");
            }
            (None, None) => {}
        }
        if only_verdict {
            return None;
        }
        let differs = |hook: &str| self.values.get(hook) != was.values.get(hook);
        [
            ("rewrite", "sent otherwise"),
            ("limit", "other limits"),
            ("answer", "answered otherwise"),
            ("route", "other channels"),
            ("reply", "another reply"),
            ("events", "another stream"),
            ("audit", "seen otherwise"),
            ("access", "decided otherwise"),
        ]
        .into_iter()
        .find_map(|(hook, how)| differs(hook).then_some(how))
    }
}

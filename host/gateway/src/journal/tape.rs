//! What stands between a policy and the host in a call that is journalled, and in one that is run again:
//! there the host answers and the tape takes it down, here the tape answers. What it is between, call for
//! call, is in `tape/host.rs`.

mod host;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use weir_policy::{CallHost, CallScope, Services, Version};

use super::keep::Keeper;
use super::record::{Record, Step};
use super::told::Told;

/// What stands in a record in place of a secret.
const WITHHELD: &str = "(withheld)";

/// One call of one policy, on its way into the journal or out of it.
pub struct Tape {
    way: Way,
    kept: Mutex<Kept>,
}

enum Way {
    /// The host answers.
    Record {
        call: Arc<dyn CallHost>,
        services: Arc<dyn Services>,
        keeper: Keeper,
        /// Set where the call could not be watched to its end.
        given_up: Arc<AtomicBool>,
    },
    /// The record answers; secrets come from here.
    Play { secrets: BTreeMap<String, String> },
}

struct Kept {
    record: Record,
    /// Bytes of the steps so far, and how many there may be.
    bytes: usize,
    max_bytes: usize,
    /// Secrets that the policy has read.
    secrets: Vec<String>,
    /// The next step, where it plays.
    at: usize,
    /// The first thing that the policy did otherwise.
    difference: Option<String>,
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape").finish_non_exhaustive()
    }
}

impl Tape {
    /// A tape that takes down what these answer. When nobody holds it any more, it goes to `keeper`.
    pub(super) fn recording(
        record: Record,
        max_bytes: usize,
        call: Arc<dyn CallHost>,
        services: Arc<dyn Services>,
        keeper: Keeper,
    ) -> Self {
        let way = Way::Record {
            call,
            services,
            keeper,
            given_up: Arc::default(),
        };
        Self::new(way, record, max_bytes)
    }

    /// A tape that answers what was answered then. Secrets are not in a record: they are these, and
    /// otherwise a placeholder.
    pub fn playing(record: Record, secrets: BTreeMap<String, String>) -> Self {
        Self::new(Way::Play { secrets }, record, usize::MAX)
    }

    fn new(way: Way, record: Record, max_bytes: usize) -> Self {
        Self {
            way,
            kept: Mutex::new(Kept {
                record,
                bytes: 0,
                max_bytes,
                secrets: Vec::new(),
                at: 0,
                difference: None,
            }),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the hooks of this version be taken down.
    pub fn watch(self: &Arc<Self>, scope: &CallScope, version: &Version) {
        let given_up = match &self.way {
            Way::Record { given_up, .. } => Arc::clone(given_up),
            Way::Play { .. } => Arc::default(),
        };
        let call = Arc::<Self>::clone(self);
        scope.watch(version, call, Arc::<Self>::clone(self), given_up);
    }

    /// The host calls a hook of the policy.
    pub fn hook(&self, hook: &str, given: Value) {
        let hook = hook.to_owned();
        self.kept().push(Step::Hook { hook, given });
    }

    /// It is over.
    pub fn answered(&self, verdict: &Value) {
        let mut kept = self.kept();
        let verdict = kept.withheld(verdict.clone());
        kept.push(Step::Answered(verdict));
    }

    /// The next hook of the record: its name and what it was called with. What the policy did not do of
    /// what it did then, in the hook before, is a difference.
    pub fn next_hook(&self) -> Option<(String, Value)> {
        self.kept().next_hook()
    }

    /// The hook is over that [`Tape::next_hook`] told of: compares its answer with the one of then.
    pub fn check(&self, verdict: &Value) {
        self.kept().check(verdict);
    }

    /// What the policy did otherwise first.
    pub fn difference(&self) -> Option<String> {
        self.kept().difference.clone()
    }

    /// One import that answers at once.
    fn ask<T: Told>(
        &self,
        what: &str,
        with: Value,
        real: impl FnOnce(&dyn CallHost, &dyn Services) -> T,
    ) -> T {
        match &self.way {
            Way::Record { call, services, .. } => {
                let answer = real(&**call, &**services);
                let mut kept = self.kept();
                let at = kept.asked(what, with);
                kept.got(at, answer.tell());
                answer
            }
            Way::Play { .. } => self.kept().find(what, with),
        }
    }

    /// One import that the policy may stop waiting for.
    fn wait<'a, T: Told + Send + 'a>(
        &'a self,
        what: &str,
        with: Value,
        real: impl FnOnce(&'a dyn CallHost, &'a dyn Services) -> BoxFuture<'a, T>,
    ) -> BoxFuture<'a, T> {
        match &self.way {
            Way::Record { call, services, .. } => {
                let at = self.kept().asked(what, with);
                let answer = real(&**call, &**services);
                async move {
                    let answer = answer.await;
                    self.kept().got(at, answer.tell());
                    answer
                }
                .boxed()
            }
            Way::Play { .. } => {
                let answer = self.kept().find(what, with);
                async move { answer }.boxed()
            }
        }
    }

    /// A question about the call.
    fn call<T: Told>(&self, what: &str, with: Value, real: impl FnOnce(&dyn CallHost) -> T) -> T {
        self.ask(what, with, |call, _| real(call))
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        if let Way::Record {
            keeper, given_up, ..
        } = &self.way
        {
            if given_up.load(Ordering::Relaxed) {
                keeper.lost();
                return;
            }
            let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
            let bytes = kept.bytes;
            let record = Record {
                steps: std::mem::take(&mut kept.record.steps),
                ..kept.record.clone()
            };
            if !record.steps.is_empty() {
                keeper.keep(record, bytes);
            }
        }
    }
}

impl Kept {
    fn push(&mut self, step: Step) -> Option<usize> {
        let bytes = serde_json::to_string(&step).map_or(0, |text| text.len());
        self.bytes = self.bytes.saturating_add(bytes);
        if self.record.cut || self.bytes > self.max_bytes {
            self.record.cut = true;
            return None;
        }
        self.record.steps.push(step);
        Some(self.record.steps.len() - 1)
    }

    fn asked(&mut self, what: &str, with: Value) -> Option<usize> {
        let (what, with) = (what.to_owned(), self.covered(with));
        let got = None;
        self.push(Step::Asked { what, with, got })
    }

    fn got(&mut self, at: Option<usize>, answer: Value) {
        let answer = self.withheld(answer);
        self.bytes = self.bytes.saturating_add(answer.to_string().len());
        let fits = self.bytes <= self.max_bytes;
        let Some(at) = at else { return };
        if !fits {
            // Without its answer the question cannot be asked again.
            self.record.cut = true;
            self.record.steps.truncate(at);
        } else if let Some(Step::Asked { got, .. }) = self.record.steps.get_mut(at) {
            *got = Some(answer);
        }
    }

    /// The value without any secret that the policy has read.
    fn withheld(&self, value: Value) -> Value {
        if self.secrets.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => {
                let secrets = self.secrets.iter().filter(|secret| !secret.is_empty());
                Value::String(secrets.fold(text, |text, secret| text.replace(&**secret, WITHHELD)))
            }
            Value::Array(items) => items.into_iter().map(|item| self.withheld(item)).collect(),
            Value::Object(fields) => fields
                .into_iter()
                .map(|(name, field)| (name, self.withheld(field)))
                .collect(),
            other => other,
        }
    }

    /// What an import was called with; only a digest of it once the policy has read a secret, which it
    /// may have put into any form.
    fn covered(&self, with: Value) -> Value {
        if self.secrets.is_empty() {
            return with;
        }
        let text = self.withheld(with).to_string();
        json!({ "sha256": hex::encode(Sha256::digest(text)) })
    }

    /// The answer to what the policy asks now. Where it did not ask that then, the answer to the same
    /// question elsewhere in the record, or nothing.
    fn find<T: Told>(&mut self, what: &str, with: Value) -> T {
        let with = self.covered(with);
        if let Some(Step::Asked {
            what: then,
            with: then_with,
            got,
        }) = self.record.steps.get(self.at)
            && *then == what
            && *then_with == with
        {
            self.at += 1;
            let answer = got.as_ref().and_then(T::told);
            return answer.unwrap_or_else(T::unknown);
        }
        self.differs(&format!("it asks {}", question(what, &with)));
        let same = self.record.steps.iter().find_map(|step| match step {
            Step::Asked {
                what: then,
                with: then_with,
                got,
            } if then == what && *then_with == with => got.as_ref().and_then(T::told),
            _ => None,
        });
        same.unwrap_or_else(T::unknown)
    }

    /// Notes what it does, if nothing was noted before; what it did then is the next step.
    fn differs(&mut self, now: &str) {
        if self.difference.is_some() {
            return;
        }
        let steps = self.record.steps.iter().take(self.at + 1);
        let hook = steps.rev().find_map(|step| match step {
            Step::Hook { hook, .. } => Some(hook.as_str()),
            _ => None,
        });
        let then = match self.record.steps.get(self.at) {
            Some(Step::Asked { what, with, .. }) => format!("it asked {}", question(what, with)),
            Some(Step::Answered(verdict)) => format!("it answered {verdict}"),
            Some(Step::Hook { hook, .. }) => format!("{hook} was called"),
            None => "nothing more happened".to_owned(),
        };
        let hook = hook.unwrap_or("the start");
        let difference = format!("{hook}, step {}: {now}; then {then}", self.at + 1);
        self.difference = Some(shortened(difference));
    }

    fn next_hook(&mut self) -> Option<(String, Value)> {
        let rest = self.record.steps.get(self.at..)?;
        let next = rest
            .iter()
            .position(|step| matches!(step, Step::Hook { .. }))?;
        if next > 0 {
            self.differs("it does nothing more");
        }
        self.at += next;
        let Some(Step::Hook { hook, given }) = self.record.steps.get(self.at) else {
            return None;
        };
        let found = (hook.clone(), given.clone());
        self.at += 1;
        Some(found)
    }

    fn check(&mut self, verdict: &Value) {
        let verdict = self.withheld(verdict.clone());
        // Cut off, or the caller hung up: nobody knows what it answered then.
        if self.at >= self.record.steps.len() {
            return;
        }
        if self.record.steps.get(self.at) != Some(&Step::Answered(verdict.clone())) {
            self.differs(&format!("it answers {verdict}"));
            return;
        }
        self.at += 1;
    }
}

fn question(what: &str, with: &Value) -> String {
    match with {
        Value::Null => what.to_owned(),
        with => format!("{what} {with}"),
    }
}

/// Enough to see what it is about.
fn shortened(mut text: String) -> String {
    const MAX_BYTES: usize = 1_000;
    if text.len() > MAX_BYTES {
        text.truncate(text.floor_char_boundary(MAX_BYTES));
        text.push('…');
    }
    text
}

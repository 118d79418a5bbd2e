//! A version that is tried beside the one in force: which calls it sees, and what came of it.
//!
//! A trial is two bindings of one policy. In a shadow trial both see every call, the tried one first,
//! so that it is asked also where the other refuses; it decides nothing. In a canary trial each call
//! sees one of the two, by a stable hash of its key. What both decided is compared when the call is
//! settled.
//!
//! Never does: end a trial (`reload/trials.rs` looks at the figures and does).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use weir_policy::Hook;
use weir_store::{Decision, TrialKind};

/// Differences that are kept for whoever asks; the last ones.
const SAMPLES_MAX: usize = 1_000;
/// A share of the keys is counted in these parts.
const SHARES: u64 = 10_000;

/// Which of the two versions of a trial a binding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The one that decided before the trial.
    InForce,
    /// The one that is tried.
    Tried,
}

/// What a version did in the trial.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SideFigures {
    /// Calls that it was asked about.
    pub calls: u64,
    /// Those of them that it refused.
    pub denials: u64,
    /// Those of them in which a hook of it failed.
    pub failures: u64,
    /// Microseconds that its hooks took, in all of them.
    pub micros: u64,
}

/// A call about which the two versions did not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The call's id.
    pub call: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The public id of its virtual key.
    pub key: Arc<str>,
    /// The model.
    pub model: Arc<str>,
    /// The first hook in which they differed.
    pub hook: &'static str,
    /// What the version in force decided there.
    pub in_force: String,
    /// What the tried version would have decided.
    pub tried: String,
}

/// The figures of a trial.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrialFigures {
    /// The version in force.
    pub in_force: SideFigures,
    /// The tried version.
    pub tried: SideFigures,
    /// Calls about which they did not agree; only a shadow can tell.
    pub differences: u64,
}

/// A trial under way, shared by all workers.
#[derive(Debug)]
pub struct Trial {
    /// The policy's name.
    pub policy: Arc<str>,
    /// The tried version, as the ledger shortens its digest.
    pub digest: Arc<str>,
    /// How it is tried.
    pub kind: TrialKind,
    salt: u64,
    in_force: Side,
    tried: Side,
    differences: AtomicU64,
    samples: Mutex<VecDeque<Difference>>,
}

#[derive(Debug, Default)]
struct Side {
    calls: AtomicU64,
    denials: AtomicU64,
    failures: AtomicU64,
    micros: AtomicU64,
}

/// What a hook's answer was, beside its verdict: a hash of it, to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// Which version answered.
    pub part: Part,
    /// In which hook.
    pub hook: Hook,
    /// The hash.
    pub hash: u64,
}

/// What is told of a call whose decisions are compared.
pub struct Settled<'a> {
    /// What all policies decided.
    pub decisions: &'a [Decision],
    /// The answers of the trials' two versions.
    pub answers: &'a [(Arc<Trial>, Answered)],
    /// The call's id.
    pub call: &'a str,
    /// When it began, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The public id of its virtual key.
    pub key: &'a Arc<str>,
    /// The model.
    pub model: &'a Arc<str>,
}

/// A number for a key that stays the same for ever, on every machine.
pub fn share_of(key: &str) -> u64 {
    let hash = weir_store::sha256(key.as_bytes());
    let (first, _) = hash.split_at(8);
    first
        .iter()
        .fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

impl Trial {
    /// A trial of which nothing is known yet.
    pub fn new(policy: &Arc<str>, digest: Arc<str>, kind: TrialKind) -> Self {
        Self {
            salt: share_of(policy),
            policy: Arc::clone(policy),
            digest,
            kind,
            in_force: Side::default(),
            tried: Side::default(),
            differences: AtomicU64::new(0),
            samples: Mutex::default(),
        }
    }

    /// Whether both versions see every call.
    pub fn is_shadow(&self) -> bool {
        self.kind == TrialKind::Shadow
    }

    /// Whether that version sees the calls of a key; `share` as [`share_of`] tells. With a larger share
    /// it sees those of the same keys and of others.
    pub fn sees(&self, part: Part, share: u64) -> bool {
        let TrialKind::Canary { percent } = self.kind else {
            return true;
        };
        // Another policy's trial has other keys.
        let own = (share ^ self.salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let is_tried = own % SHARES < u64::from(percent) * (SHARES / 100);
        is_tried == (part == Part::Tried)
    }

    /// What came of it so far.
    pub fn figures(&self) -> TrialFigures {
        TrialFigures {
            in_force: self.in_force.figures(),
            tried: self.tried.figures(),
            differences: self.differences.load(Ordering::Relaxed),
        }
    }

    /// The last differences, the newest first.
    pub fn samples(&self) -> Vec<Difference> {
        self.lock().iter().rev().cloned().collect()
    }

    /// A call is over: counts what each version decided, and compares. True where they differed.
    pub fn settled(&self, call: &Settled<'_>) -> bool {
        let of = |part: Part| {
            let decisions = call.decisions.iter();
            decisions.filter(move |decision| {
                let is_tried = decision.by.digest == self.digest;
                *decision.by.policy == *self.policy && is_tried == (part == Part::Tried)
            })
        };
        self.in_force.add(of(Part::InForce));
        self.tried.add(of(Part::Tried));
        if !self.is_shadow() {
            return false;
        }
        let Some(difference) = self.difference(call, of) else {
            return false;
        };
        self.differences.fetch_add(1, Ordering::Relaxed);
        let mut samples = self.lock();
        if samples.len() == SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(difference);
        true
    }

    fn difference<'d, I>(&self, call: &Settled<'_>, of: impl Fn(Part) -> I) -> Option<Difference>
    where
        I: Iterator<Item = &'d Decision>,
    {
        let verdict = |part: Part, hook: &str| {
            let found = of(part).find(|decision| decision.by.hook == hook);
            found.map(|decision| bare(&decision.verdict))
        };
        let hash = |part: Part, hook: Hook| {
            let mut answers = call.answers.iter();
            let found = answers.find(|(trial, answered)| {
                std::ptr::eq(&**trial, self) && answered.part == part && answered.hook == hook
            });
            found.map(|(_, answered)| answered.hash)
        };
        for hook in Hook::ALL {
            let name = hook.as_str();
            let (in_force, tried) = (verdict(Part::InForce, name), verdict(Part::Tried, name));
            // A version without a hook lets everything pass there.
            let (old, new) = (in_force.unwrap_or(ALLOW), tried.unwrap_or(ALLOW));
            let both = in_force.is_some() && tried.is_some();
            let same_answer = !both || hash(Part::InForce, hook) == hash(Part::Tried, hook);
            if old == new && same_answer {
                continue;
            }
            let told = |verdict: &str| match verdict {
                ALLOW if old == new => "allow, with another answer".to_owned(),
                verdict => verdict.to_owned(),
            };
            return Some(Difference {
                call: call.call.to_owned(),
                at_ms: call.at_ms,
                key: Arc::clone(call.key),
                model: Arc::clone(call.model),
                hook: name,
                in_force: old.to_owned(),
                tried: told(new),
            });
        }
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Difference>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const ALLOW: &str = "allow";

/// The verdict without the mark of a shadow.
fn bare(verdict: &str) -> &str {
    verdict.strip_prefix("shadow:").unwrap_or(verdict)
}

impl Side {
    fn add<'d>(&self, decisions: impl Iterator<Item = &'d Decision>) {
        let (mut asked, mut denied, mut failed, mut micros) = (false, false, false, 0);
        for decision in decisions {
            let verdict = bare(&decision.verdict);
            asked = true;
            denied |= verdict.starts_with("deny:");
            failed |= verdict.starts_with("failed:");
            micros += u64::from(decision.micros);
        }
        if asked {
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.denials.fetch_add(denied.into(), Ordering::Relaxed);
            self.failures.fetch_add(failed.into(), Ordering::Relaxed);
            self.micros.fetch_add(micros, Ordering::Relaxed);
        }
    }

    fn figures(&self) -> SideFigures {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        SideFigures {
            calls: read(&self.calls),
            denials: read(&self.denials),
            failures: read(&self.failures),
            micros: read(&self.micros),
        }
    }
}

#[cfg(test)]
mod tests;

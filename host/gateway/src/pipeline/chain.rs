//! The ordered policies that apply to a call, sorted by hook so that a phase walks only its own.

use std::borrow::Cow;
use std::sync::Arc;

use weir_policy::{Hook, Version};
use weir_store::{Decider, Decision};

use super::trial::{Part, Trial};
use crate::journal::Journal;
use crate::telemetry::PolicyMetrics;

/// What becomes of a call whose policy failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The call is refused.
    Deny,
    /// The call goes on as if the policy were not there.
    Allow,
}

/// Whether a policy decides or only shows what it would decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It decides.
    Enforce,
    /// It is asked and recorded, and changes nothing.
    Shadow,
}

/// One policy version at its place in the chain.
#[derive(Debug)]
pub struct Binding {
    /// The policy's name; a tenant's has its tenant in front of it.
    pub name: Arc<str>,
    /// Whether a tenant wrote it for its own calls.
    pub is_tenants: bool,
    /// The compiled version that this snapshot runs.
    pub version: Arc<Version>,
    /// Each hook of that version as the ledger names it, with the digest shortened.
    pub deciders: [Arc<Decider>; Hook::ALL.len()],
    /// What becomes of a call when it fails.
    pub on_failure: OnFailure,
    /// Whether it decides.
    pub mode: Mode,
    /// The trial that it is part of, beside another version of the policy.
    pub trial: Option<(Arc<Trial>, Part)>,
    /// Where some of its calls are kept; none where none are.
    pub journal: Option<Journal>,
    /// Where its metrics go.
    pub metrics: PolicyMetrics,
}

impl Binding {
    /// Whether it sees the calls of a key; `share` as [`super::trial::share_of`] tells.
    fn sees(&self, share: u64) -> bool {
        let trial = self.trial.as_ref();
        trial.is_none_or(|(trial, part)| trial.sees(*part, share))
    }

    /// Whether another version is asked about the same calls, to be compared.
    pub fn is_compared(&self) -> bool {
        self.trial
            .as_ref()
            .is_some_and(|(trial, _)| trial.is_shadow())
    }

    /// What its hook decided.
    pub fn decision(&self, hook: Hook, micros: u32, verdict: Cow<'static, str>) -> Decision {
        #[expect(
            clippy::indexing_slicing,
            reason = "there is one for each hook, by its number"
        )]
        let by = Arc::clone(&self.deciders[hook as usize]);
        let verdict = match self.mode {
            Mode::Enforce => verdict,
            Mode::Shadow => Cow::Owned(format!("shadow:{verdict}")),
        };
        Decision {
            by,
            micros,
            verdict,
        }
    }
}

/// The policies of one tenant's calls, in order.
#[derive(Debug, Default)]
pub struct Chain {
    by_hook: [Vec<Arc<Binding>>; Hook::ALL.len()],
    /// A policy of the tenant that should be asked and cannot be run.
    missing: Option<Arc<str>>,
    trials: Vec<Arc<Trial>>,
}

impl Chain {
    /// A chain of these policies: the operator's, then the tenant's. The operator has the last word
    /// on requests, so there the tenant's come first.
    pub fn new(bindings: &[Arc<Binding>]) -> Self {
        let with = |hook: Hook| {
            let exporting = bindings
                .iter()
                .filter(|binding| binding.version.hooks().contains(hook));
            let mut exporting: Vec<_> = exporting.cloned().collect();
            if hook == Hook::Rewrite {
                exporting.sort_by_key(|binding| !binding.is_tenants);
            }
            exporting
        };
        Self {
            by_hook: Hook::ALL.map(with),
            trials: bindings.iter().filter_map(tried).collect(),
            missing: None,
        }
    }

    /// The same without one that should be in it: calls are refused.
    pub fn missing(self, policy: Arc<str>) -> Self {
        Self {
            missing: Some(policy),
            ..self
        }
    }

    /// A policy that should be asked and cannot be run.
    pub fn missed(&self) -> Option<&Arc<str>> {
        self.missing.as_ref()
    }

    /// The policies that have this hook and see the calls of a key, in order; `share` as
    /// [`super::trial::share_of`] tells.
    pub fn with(&self, hook: Hook, share: u64) -> impl Iterator<Item = &Arc<Binding>> {
        let with = self
            .by_hook
            .get(hook as usize)
            .map_or(&[][..], Vec::as_slice);
        with.iter().filter(move |binding| binding.sees(share))
    }

    /// Whether some policy has this hook.
    pub fn has(&self, hook: Hook) -> bool {
        self.by_hook
            .get(hook as usize)
            .is_some_and(|with| !with.is_empty())
    }

    /// The trials that are under way in it.
    pub fn trials(&self) -> &[Arc<Trial>] {
        &self.trials
    }
}

fn tried(binding: &Arc<Binding>) -> Option<Arc<Trial>> {
    match &binding.trial {
        Some((trial, Part::Tried)) => Some(Arc::clone(trial)),
        _ => None,
    }
}

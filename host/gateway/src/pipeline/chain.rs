//! The ordered policies that apply to a call, sorted by hook so that a phase walks only its own.

use std::borrow::Cow;
use std::sync::Arc;

use weir_policy::{Hook, Version};
use weir_store::{Decider, Decision};

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
    /// The policy's name.
    pub name: Arc<str>,
    /// The compiled version that this snapshot runs.
    pub version: Arc<Version>,
    /// Each hook of that version as the ledger names it, with the digest shortened.
    pub deciders: [Arc<Decider>; Hook::ALL.len()],
    /// What becomes of a call when it fails.
    pub on_failure: OnFailure,
    /// Whether it decides.
    pub mode: Mode,
    /// Where its metrics go.
    pub metrics: PolicyMetrics,
}

impl Binding {
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
}

impl Chain {
    /// A chain of these policies.
    pub fn new(bindings: &[Arc<Binding>]) -> Self {
        let with = |hook: Hook| {
            let exporting = bindings
                .iter()
                .filter(|binding| binding.version.hooks().contains(hook));
            exporting.cloned().collect()
        };
        Self {
            by_hook: Hook::ALL.map(with),
        }
    }

    /// The policies that have this hook, in order.
    pub fn with(&self, hook: Hook) -> &[Arc<Binding>] {
        self.by_hook.get(hook as usize).map_or(&[], Vec::as_slice)
    }
}

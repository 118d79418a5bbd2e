//! Loading side by side what a change will want: two hundred policies at a start do not wait for each other.
//!
//! Never decides anything: what was loaded, or could not be, lies ready for `rebuild.rs`, which comes to
//! the policies one by one. What it does not take is dropped.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use futures_util::StreamExt;
use weir_policy::{LoadError, Version, VersionSpec};

use super::Control;
use super::code::Code;
use super::rebuild::{Cause, State};
use super::wanted::Wanted;

/// The most that are loaded at the same time: each has its bytes and, the first time, a compiler.
const SIDE_BY_SIDE_MAX: usize = 8;

/// What came of loading a policy's code.
pub(super) struct Ahead {
    digest: [u8; 32],
    spec: VersionSpec,
    pub(super) loaded: Result<Arc<Version>, LoadError>,
}

impl Ahead {
    /// Whether it is what came of this code with these settings.
    pub(super) fn is_of(&self, code: &Code, spec: &VersionSpec) -> bool {
        self.digest == code.digest && self.spec == *spec
    }
}

impl Control {
    /// Loads what does not run yet as it is wanted, where that is more than one policy.
    pub(super) async fn load_ahead(&self, state: &mut State, wanted: &[Wanted], cause: Cause) {
        let news: Vec<_> = wanted
            .iter()
            .filter(|wanted| is_new(state, wanted))
            .collect();
        if news.len() < 2 {
            return;
        }
        let known = &*state;
        let loads: Vec<_> = news
            .into_iter()
            .map(|wanted| self.load_one(known, wanted, cause))
            .collect();
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let side_by_side = cores.clamp(2, SIDE_BY_SIDE_MAX);
        let ahead: HashMap<_, _> = futures_util::stream::iter(loads)
            .buffer_unordered(side_by_side)
            .filter_map(std::future::ready)
            .collect()
            .await;
        state.ahead = ahead;
    }

    /// None where there is nothing to load, or its code is not found, which will be told when its turn
    /// comes.
    async fn load_one(
        &self,
        state: &State,
        wanted: &Wanted,
        cause: Cause,
    ) -> Option<(Arc<str>, Ahead)> {
        let name = &wanted.policy.name;
        let active = wanted.state.active.as_deref();
        let code = self.code_of(state, wanted, active).await.ok()??;
        let (digest, spec) = (code.digest, wanted.spec());
        let known = state.policies.get(name);
        if let Some(known) = known {
            let failed = known.failed.as_ref();
            let failed = failed.is_some_and(|(failed, with)| *failed == digest && *with == spec);
            let is_refused = known
                .refused
                .as_ref()
                .is_some_and(|(bad, _)| *bad == digest);
            if is_refused || (failed && cause == Cause::Store) {
                return None;
            }
        }
        let loaded = self.parts.engine.load(code.bytes, spec.clone()).await;
        let ahead = Ahead {
            digest,
            spec,
            loaded,
        };
        Some((Arc::clone(name), ahead))
    }
}

/// Whether nothing runs of a policy, or not with the settings that it should have. New code alone comes
/// one policy at a time.
fn is_new(state: &State, wanted: &Wanted) -> bool {
    let known = state.policies.get(&wanted.policy.name);
    match known.and_then(|known| known.running.as_ref()) {
        Some(running) => *running.version.spec() != wanted.spec(),
        None => true,
    }
}

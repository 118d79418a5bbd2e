//! New versions on probation: one that fails too often goes, and the one before comes back.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use weir_store::PolicyState;

use super::Control;
use super::code::{Layer, Running};
use super::rebuild::{Cause, State, short};

/// How often versions on probation are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What a new version has to prove itself against.
pub(super) struct Probation {
    /// The end of the time during which failures count.
    pub(super) until: Instant,
    /// What ran before, kept loaded.
    pub(super) before: Running,
}

/// Looks at new versions for as long as the control lives.
pub(super) async fn run(control: Weak<Control>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(control) = control.upgrade() else {
            return;
        };
        // While something is being loaded there is time: the next look is soon.
        if let Ok(mut state) = control.state.try_lock() {
            control.look_at_new_versions(&mut state).await;
        }
    }
}

impl Control {
    async fn look_at_new_versions(&self, state: &mut State) {
        let tolerated = u64::from(state.config.runtime.failures_before_rollback);
        let now = Instant::now();
        let mut failing = Vec::new();
        for (name, known) in &mut state.policies {
            let (Some(probation), Some(running)) = (&known.probation, &known.running) else {
                continue;
            };
            if tolerated > 0 && running.version.failures() >= tolerated {
                failing.push(Arc::clone(name));
            } else if probation.until <= now {
                // Proven; the version before may go.
                known.probation = None;
            }
        }
        for name in failing {
            self.take_out(state, &name).await;
        }
    }

    /// Brings back what ran before the version that runs.
    async fn take_out(&self, state: &mut State, name: &Arc<str>) {
        let known = state.known(name);
        let (Some(probation), Some(bad)) = (known.probation.take(), known.running.clone()) else {
            return;
        };
        let before = probation.before;
        let (from, to) = (short(&bad.code.digest), short(&before.code.digest));
        let failures = bad.version.failures();
        // Kept in memory first: the way back must not depend on a database that may be full.
        known.refused = Some((bad.code.digest, before.clone()));
        if bad.code.layer == Layer::Upload {
            let next = PolicyState {
                policy: name.to_string(),
                active: (before.code.layer == Layer::Upload).then(|| before.code.digest_hex()),
                previous: None,
            };
            if let Err(error) = self.parts.store.put(&next).await {
                tracing::error!(policy = %name, %error, "after a restart the version that failed will be back");
            }
        }
        state.preloaded = Some(Arc::clone(&before.version));
        state.way_back = Some(Arc::clone(name));
        let config = Arc::clone(&state.config);
        let rebuilt = self.rebuild(state, config, Cause::Store).await;
        state.way_back = None;
        state.known(name).last_error = Some(format!(
            "version {from} failed {failures} times soon after it was activated: back to {to}"
        ));
        self.show_error(state, name);
        self.parts.metrics.policy_rolled_back(name, &from, &to);
        if let Err(error) = rebuilt {
            tracing::error!(policy = %name, %error, "not everything could be brought back");
        }
    }
}

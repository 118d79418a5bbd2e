//! Versions that fail too often go, and the one before comes back: new ones soon, proven ones where a
//! minute's budget is spent.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::Control;
use super::code::{Layer, Running};
use super::error::ControlError;
use super::rebuild::{Cause, State, short};
use super::trials::quarantine;

/// How often versions on probation are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The time over which a version's budget of failures counts.
const MINUTE: Duration = Duration::from_secs(60);

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
            control.look_at_versions(&mut state).await;
            control.look_at_trials(&mut state).await;
        }
    }
}

/// The failures of a version in the present minute.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Budget {
    /// When the minute began, and the failures until then.
    minute: Option<(Instant, u64)>,
    /// In this minute it was told already.
    told: bool,
}

impl Budget {
    /// Failures in this minute, of `failures` in all.
    fn spent(&mut self, failures: u64, now: Instant) -> u64 {
        match self.minute {
            Some((began, before)) if now.duration_since(began) < MINUTE => {
                failures.saturating_sub(before)
            }
            _ => {
                self.minute = Some((now, failures));
                self.told = false;
                0
            }
        }
    }
}

impl Control {
    async fn look_at_versions(&self, state: &mut State) {
        let tolerated = u64::from(state.config.runtime.failures_before_rollback);
        let budget = u64::from(state.config.runtime.failures_per_minute_max);
        let now = Instant::now();
        let mut failing = Vec::new();
        for (name, known) in &mut state.policies {
            let Some(running) = &known.running else {
                continue;
            };
            let failures = running.version.failures();
            let spent = known.budget.spent(failures, now);
            let is_new = known.probation.is_some();
            if is_new && tolerated > 0 && failures >= tolerated {
                let reason = format!("it failed {failures} times soon after it was activated");
                failing.push((Arc::clone(name), reason));
            } else if budget > 0 && spent >= budget && !known.budget.told {
                known.budget.told = true;
                let reason = format!("it failed {spent} times within a minute");
                failing.push((Arc::clone(name), reason));
            } else if known.probation.as_ref().is_some_and(|one| one.until <= now) {
                // Proven; the version before may go.
                known.probation = None;
            }
        }
        for (name, reason) in failing {
            self.take_out(state, &name, &reason).await;
        }
    }

    /// The version before the one that runs: still loaded, or loaded again.
    async fn before(&self, state: &mut State, name: &Arc<str>) -> Option<Running> {
        let known = state.known(name);
        if let Some(probation) = known.probation.take() {
            return Some(probation.before);
        }
        let (previous, spec) = (known.previous.clone(), known.running.clone()?);
        let wanted = self.find(state, name).await.ok()?;
        let code = match (previous, wanted.state.previous.clone()) {
            (Some(code), _) => code,
            // It ran before the gateway was last started.
            (None, Some(digest)) => self.uploaded(&wanted, &digest).await.ok()?,
            (None, None) => return None,
        };
        let loaded = self
            .load(state, name, &code, spec.version.spec().clone())
            .await;
        let version = loaded.ok()?;
        Some(Running { code, version })
    }

    /// Brings back what ran before the version that runs.
    async fn take_out(&self, state: &mut State, name: &Arc<str>, reason: &str) {
        let Some(bad) = state.known(name).running.clone() else {
            return;
        };
        let (from, now_ms) = (short(&bad.code.digest), self.parts.clock.now_ms());
        let Some(before) = self.before(state, name).await else {
            let reason = format!("{reason}, and there is no version to go back to");
            self.parts
                .metrics
                .policy_failing(name, &from, &reason, now_ms);
            return;
        };
        let to = short(&before.code.digest);
        // Kept in memory first: the way back must not depend on a database that may be full.
        let known = state.known(name);
        known.refused = Some((bad.code.digest, before.clone()));
        known.previous = None;
        if let Err(error) = self
            .note_taken_out(state, name, &bad, &before, reason)
            .await
        {
            tracing::error!(policy = %name, %error, "after a restart the version that failed will be back");
        }
        state.preloaded = Some(Arc::clone(&before.version));
        state.way_back = Some(Arc::clone(name));
        let config = Arc::clone(&state.config);
        let rebuilt = self.rebuild(state, config, Cause::Store).await;
        state.way_back = None;
        state.known(name).last_error = Some(format!(
            "version {from} was taken out, {reason}: back to {to}"
        ));
        self.show_error(state, name);
        self.parts.metrics.policy_rolled_back(name, &from, &to);
        self.parts
            .metrics
            .policy_quarantined(name, &from, reason, now_ms);
        if let Err(error) = rebuilt {
            tracing::error!(policy = %name, %error, "not everything could be brought back");
        }
    }

    async fn note_taken_out(
        &self,
        state: &State,
        name: &Arc<str>,
        bad: &Running,
        before: &Running,
        reason: &str,
    ) -> Result<(), ControlError> {
        let mut next = self.find(state, name).await?.state;
        let digest = bad.code.digest_hex();
        quarantine(&mut next, &digest, reason, self.parts.clock.now_ms());
        if bad.code.layer == Layer::Upload {
            next.active = (before.code.layer == Layer::Upload).then(|| before.code.digest_hex());
            next.previous = None;
        }
        next.trial = None;
        self.parts.store.put(&next).await?;
        Ok(())
    }
}

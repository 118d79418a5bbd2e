//! Trials: a version beside the one in force, as a shadow or for a share of the keys, until someone or
//! its own rules end it.
//!
//! The figures are made in the pipeline (`pipeline/trial.rs`); here they are looked at, every moment,
//! and a trial that breaks its rules, or has proved itself, ends.

use std::sync::Arc;

use weir_policy::{PolicyIdentity, Role, Version};
use weir_store::{PolicyState, Quarantined, Trial as Asked, TrialKind, TrialRules};

use super::Control;
use super::asks;
use super::code::Running;
use super::error::ControlError;
use super::rebuild::{Cause, State, short};
use super::wanted::{Wanted, owner_of};
use crate::pipeline::trial::{Difference, SideFigures, Trial, TrialFigures};
use crate::services::forget_beside;

/// Versions that were taken out that are remembered.
const QUARANTINED_MAX: usize = 20;
/// The share of keys that is all of them.
pub(super) const ALL_PERCENT: u32 = 100;

/// A trial under way.
#[derive(Clone)]
pub(super) struct Tried {
    pub(super) asked: Asked,
    pub(super) version: Arc<Version>,
    /// Its figures; they go on across snapshots.
    pub(super) live: Arc<Trial>,
}

/// A trial as it is shown.
#[derive(Debug, Clone)]
pub struct TrialReport {
    /// What was asked for.
    pub asked: Asked,
    /// What came of it so far.
    pub figures: TrialFigures,
    /// The last calls about which the two versions did not agree, the newest first.
    pub differences: Vec<Difference>,
}

/// What becomes of a trial.
enum Ending {
    TakenOut(String),
    Promoted(u32),
}

impl Control {
    /// Tries an uploaded version beside the one in force, in the place of a trial that was under way.
    ///
    /// # Errors
    /// There is no such policy or version, or nothing is in force that it could be compared with; it
    /// is in force itself; it may do more than the one in force and nobody approved that; it cannot be
    /// run; the store failed.
    pub async fn try_version(
        &self,
        policy: &str,
        digest: &str,
        kind: TrialKind,
        rules: TrialRules,
    ) -> Result<TrialReport, ControlError> {
        let mut state = self.state.lock().await;
        let wanted = self.find(&state, policy).await?;
        let code = self.uploaded(&wanted, digest).await?;
        let name = Arc::clone(&wanted.policy.name);
        let running = state.known(&name).running.clone();
        let Some(running) = running else {
            return Err(ControlError::NothingInForce(policy.to_owned()));
        };
        if running.code.digest == code.digest {
            return Err(ControlError::InForce(digest.to_owned()));
        }
        let version = self
            .load(&mut state, &name, &code, wanted.trial_spec(kind))
            .await?;
        approved(&wanted, &running.version, &version)?;
        let asked = Asked {
            digest: digest.to_owned(),
            kind,
            started_ms: self.parts.clock.now_ms(),
            rules,
        };
        self.set_trial(&mut state, &wanted, Some(asked), version)
            .await?;
        let report = state.known(&name).tried.as_ref().map(Tried::report);
        report.ok_or_else(|| ControlError::NotFound(format!("policy {policy} has no trial")))
    }

    /// What came of the trial of a policy so far.
    ///
    /// # Errors
    /// There is no such policy, or it has no trial.
    pub async fn trial(&self, policy: &str) -> Result<TrialReport, ControlError> {
        let state = self.state.lock().await;
        let known = state.policies.get(policy);
        let tried = known.and_then(|known| known.tried.as_ref());
        let nothing = || ControlError::NotFound(format!("policy {policy} has no trial"));
        tried.map(Tried::report).ok_or_else(nothing)
    }

    /// Ends the trial of a policy; the version stays stored. Returns what came of it.
    ///
    /// # Errors
    /// As for [`Control::trial`], and the store failed.
    pub async fn end_trial(&self, policy: &str) -> Result<TrialReport, ControlError> {
        let report = self.trial(policy).await?;
        let mut state = self.state.lock().await;
        let wanted = self.find(&state, policy).await?;
        self.set_trial(&mut state, &wanted, None, None).await?;
        self.parts.metrics.trial_ended(policy, "stopped", "by hand");
        Ok(report)
    }

    async fn set_trial(
        &self,
        state: &mut State,
        wanted: &Wanted,
        trial: Option<Asked>,
        version: impl Into<Option<Arc<Version>>>,
    ) -> Result<(), ControlError> {
        let next = PolicyState {
            trial,
            ..wanted.state.clone()
        };
        self.parts.store.put(&next).await?;
        state.preloaded = version.into();
        self.forget_layer(&wanted.policy.name);
        let config = Arc::clone(&state.config);
        self.rebuild(state, config, Cause::Store).await
    }

    /// The version that is to be tried beside `running`; none where there is none, or it cannot run.
    pub(super) async fn tried(
        &self,
        state: &mut State,
        wanted: &Wanted,
        running: &Running,
    ) -> Option<Tried> {
        let asked = wanted.state.trial.clone()?;
        let name = &wanted.policy.name;
        let spec = wanted.trial_spec(asked.kind);
        let known = state.known(name).tried.clone();
        let fits = |version: &Arc<Version>| {
            hex::encode(version.digest()) == asked.digest && *version.spec() == spec
        };
        let same = known.as_ref().filter(|known| known.asked == asked);
        let at_hand = known
            .iter()
            .map(|known| &known.version)
            .chain(&state.preloaded);
        let found = at_hand.into_iter().find(|version| fits(version)).cloned();
        let version = match found {
            Some(version) => version,
            None => {
                let loaded = async {
                    let code = self.uploaded(wanted, &asked.digest).await?;
                    self.load(state, name, &code, spec).await
                };
                match loaded.await {
                    Ok(version) => version,
                    Err(error) => {
                        tracing::error!(policy = %name, %error, "the trial of a version cannot go on");
                        return None;
                    }
                }
            }
        };
        // Brought into force meanwhile, it has nothing to be compared with.
        if *version.digest() == running.code.digest {
            return None;
        }
        let live = same.map_or_else(
            || Arc::new(Trial::new(name, short(version.digest()).into(), asked.kind)),
            |known| Arc::clone(&known.live),
        );
        Some(Tried {
            asked,
            version,
            live,
        })
    }

    /// Looks at all trials, and ends those whose rules say so.
    pub(super) async fn look_at_trials(&self, state: &mut State) {
        let now_ms = self.parts.clock.now_ms();
        let over: Vec<(Arc<str>, Ending)> = state
            .policies
            .iter()
            .filter_map(|(name, known)| {
                let ending = ending(known.tried.as_ref()?, now_ms)?;
                Some((Arc::clone(name), ending))
            })
            .collect();
        for (name, ending) in over {
            if let Err(error) = self.end(state, &name, ending).await {
                tracing::error!(policy = %name, %error, "a trial could not be ended; it is tried again");
            }
        }
    }

    async fn end(
        &self,
        state: &mut State,
        name: &Arc<str>,
        ending: Ending,
    ) -> Result<(), ControlError> {
        let Some(tried) = state.known(name).tried.clone() else {
            return Ok(());
        };
        let wanted = self.find(state, name).await?;
        let digest = short(tried.version.digest());
        match ending {
            Ending::TakenOut(reason) => {
                let mut next = wanted.state.clone();
                next.trial = None;
                quarantine(
                    &mut next,
                    &tried.asked.digest,
                    &reason,
                    self.parts.clock.now_ms(),
                );
                self.parts.store.put(&next).await?;
                self.forget_layer(name);
                let config = Arc::clone(&state.config);
                self.rebuild(state, config, Cause::Store).await?;
                self.parts.metrics.trial_ended(name, "taken_out", &reason);
                let now_ms = self.parts.clock.now_ms();
                self.parts
                    .metrics
                    .policy_quarantined(name, &digest, &reason, now_ms);
            }
            Ending::Promoted(ALL_PERCENT..) => {
                let target = Some(tried.asked.digest.clone());
                // The trial's own instances were linked for a trial; this one decides.
                let version = self
                    .load(
                        state,
                        name,
                        &self.uploaded(&wanted, &tried.asked.digest).await?,
                        wanted.spec(),
                    )
                    .await?;
                self.make_active(state, &wanted, target, Some(version))
                    .await?;
                self.parts.metrics.trial_ended(name, "promoted", "in force");
            }
            Ending::Promoted(percent) => {
                let kind = TrialKind::Canary { percent };
                let mut asked = tried.asked.clone();
                asked.kind = kind;
                asked.started_ms = self.parts.clock.now_ms();
                // What comes after a canary is all keys.
                if let Some(promote) = &mut asked.rules.promote {
                    promote.percent = ALL_PERCENT;
                }
                self.set_trial(state, &wanted, Some(asked), None).await?;
                let how = format!("canary with {percent} % of the keys");
                self.parts.metrics.trial_ended(name, "promoted", &how);
            }
        }
        Ok(())
    }

    fn forget_layer(&self, policy: &str) {
        let (tenant, name) = owner_of(policy).unzip();
        let identity = PolicyIdentity {
            name: name.unwrap_or(policy).to_owned(),
            tenant: tenant.map(str::to_owned),
            role: Role::Beside,
        };
        forget_beside(&self.parts.key_values, &identity);
    }
}

/// Whether a version that may do more than the one in force was approved.
pub(super) fn approved(wanted: &Wanted, old: &Version, new: &Version) -> Result<(), ControlError> {
    let digest = hex::encode(new.digest());
    if wanted.state.approved.contains(&digest) {
        return Ok(());
    }
    let more = asks::more(old, new);
    if more.is_empty() {
        return Ok(());
    }
    Err(ControlError::ApprovalNeeded {
        policy: wanted.policy.name.to_string(),
        digest,
        more,
    })
}

/// Writes down that a version was taken out.
pub(super) fn quarantine(state: &mut PolicyState, digest: &str, reason: &str, at_ms: u64) {
    state.quarantined.retain(|old| old.digest != digest);
    let new = Quarantined {
        digest: digest.to_owned(),
        reason: reason.to_owned(),
        at_ms,
    };
    state.quarantined.insert(0, new);
    state.quarantined.truncate(QUARANTINED_MAX);
}

impl Tried {
    fn report(&self) -> TrialReport {
        TrialReport {
            asked: self.asked.clone(),
            figures: self.live.figures(),
            differences: self.live.samples(),
        }
    }
}

/// Whether the rules of a trial say that it is over.
fn ending(tried: &Tried, now_ms: u64) -> Option<Ending> {
    let (rules, figures) = (&tried.asked.rules, tried.live.figures());
    let failures = tried.version.failures();
    if rules.failures_max > 0 && failures >= rules.failures_max {
        return Some(Ending::TakenOut(format!("it failed {failures} times")));
    }
    if figures.tried.calls < rules.calls_min.max(1) || figures.in_force.calls == 0 {
        return None;
    }
    if let Some(reason) = broken(rules, &figures) {
        return Some(Ending::TakenOut(reason));
    }
    let promote = rules.promote.as_ref()?;
    let is_time = now_ms >= tried.asked.started_ms.saturating_add(promote.after_ms);
    is_time.then_some(Ending::Promoted(promote.percent))
}

/// The rule that the figures break.
fn broken(rules: &TrialRules, figures: &TrialFigures) -> Option<String> {
    let permille = |side: &SideFigures| {
        let share = u128::from(side.denials) * 1_000 / u128::from(side.calls.max(1));
        u32::try_from(share).unwrap_or(u32::MAX)
    };
    let (old, new) = (permille(&figures.in_force), permille(&figures.tried));
    if let Some(max) = rules.denials_change_max_permille
        && new.abs_diff(old) > max
    {
        return Some(format!(
            "it refused {new} of 1000 calls, the version in force {old}: {} apart, {max} are allowed",
            new.abs_diff(old)
        ));
    }
    let mean = |side: &SideFigures| side.micros / side.calls.max(1);
    let (old, new) = (mean(&figures.in_force), mean(&figures.tried));
    if let Some(max) = rules.added_max_micros
        && new.saturating_sub(old) > u64::from(max)
    {
        return Some(format!(
            "its hooks took {new} microseconds a call, those of the version in force {old}: {max} more are allowed"
        ));
    }
    None
}

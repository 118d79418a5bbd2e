//! What happens to the program and is worth a log line: each event is one method, which logs it and
//! counts it, so that its fields, its level and its counter are decided in one place.

use weir_base::{Blame, CallId, Fault};

use super::alerts::{Alert, AlertKind};
use super::metrics::Metrics;

impl Metrics {
    /// A call ended with a fault. Faults of Weir's own are errors; the others are everyday life.
    pub fn faulted(&self, call: CallId, fault: &Fault) {
        self.count_refusal(fault);
        let (code, status, message) = (&*fault.code, fault.status, &*fault.message);
        let blame = fault.blame.as_str();
        match fault.blame {
            Blame::Gateway => {
                if let Some(held_back) = self.fault_log.admit() {
                    tracing::error!(%call, code, status, blame, held_back, "{message}");
                }
            }
            Blame::Upstream => tracing::info!(%call, code, status, blame, "{message}"),
            Blame::Client | Blame::Policy => {
                tracing::debug!(%call, code, status, blame, "{message}");
            }
        }
    }

    /// A policy's hook failed: it trapped, took too long, took too much. `kind` is one of a few words.
    pub fn policy_failed(
        &self,
        policy: &str,
        hook: &str,
        kind: &str,
        detail: &dyn std::fmt::Display,
    ) {
        self.policy_failures
            .with_label_values(&[policy, hook, kind])
            .inc();
        if let Some(held_back) = self.failure_log.admit() {
            tracing::warn!(policy, hook, kind, %detail, held_back, "a policy failed");
        }
    }

    /// A finished call was not shown to audit policies, because too many wait.
    pub fn audit_lost(&self) {
        self.audit_lost.inc();
        // Said ever more seldom: a slow policy must not fill the log too.
        let lost = self.audit_lost.get();
        if lost.is_power_of_two() {
            tracing::warn!(
                lost,
                "audit policies are too slow: they do not see all calls"
            );
        }
    }

    /// A call was written to a policy's journal.
    pub fn journal_kept(&self) {
        self.journal_calls.with_label_values(&["kept"]).inc();
    }

    /// A call that should be in a policy's journal is not.
    pub fn journal_lost(&self) {
        self.journal_calls.with_label_values(&["lost"]).inc();
    }

    /// A policy's new version decides from now on.
    pub fn policy_swapped(&self, policy: &str, digest: &str) {
        self.policy_swaps
            .with_label_values(&[policy, "swapped"])
            .inc();
        tracing::info!(
            policy,
            digest,
            "a new version of a policy decides from now on"
        );
    }

    /// A policy's new version was refused, and the one before goes on.
    pub fn policy_version_refused(
        &self,
        policy: &str,
        digest: &str,
        reason: &dyn std::fmt::Display,
    ) {
        self.policy_swaps
            .with_label_values(&[policy, "refused"])
            .inc();
        tracing::error!(policy, digest, %reason, "a new version of a policy was refused");
    }

    /// A policy's new version failed too often, and the one before is back.
    pub fn policy_rolled_back(&self, policy: &str, from_digest: &str, to_digest: &str) {
        self.policy_swaps
            .with_label_values(&[policy, "rolled_back"])
            .inc();
        tracing::error!(
            policy,
            from_digest,
            to_digest,
            "a policy failed too often: rolled back"
        );
    }

    /// A version of a policy was taken out. `at_ms` is in milliseconds since the Unix epoch.
    pub fn policy_quarantined(&self, policy: &str, digest: &str, reason: &str, at_ms: u64) {
        tracing::error!(
            policy,
            digest,
            reason,
            "a version of a policy was taken out"
        );
        let reason = format!("version {digest} was taken out: {reason}");
        self.policy_alert(AlertKind::PolicyQuarantined, policy, reason, at_ms);
    }

    /// A policy fails too often, and stays all the same. `at_ms` is in milliseconds since the Unix epoch.
    pub fn policy_failing(&self, policy: &str, digest: &str, reason: &str, at_ms: u64) {
        tracing::error!(policy, digest, reason, "a policy fails too often");
        let reason = format!("version {digest}: {reason}");
        self.policy_alert(AlertKind::PolicyFailing, policy, reason, at_ms);
    }

    /// A version waits until someone says that it may do more than the one in force. `at_ms` is in
    /// milliseconds since the Unix epoch.
    pub fn policy_version_held(&self, policy: &str, digest: &str, more: &[String], at_ms: u64) {
        let more = more.join("; ");
        tracing::warn!(
            policy,
            digest,
            more,
            "a version of a policy waits for approval"
        );
        let reason = format!("version {digest} waits for approval: {more}");
        self.policy_alert(AlertKind::PolicyHeld, policy, reason, at_ms);
    }

    /// The two versions of a trial did not agree about a call.
    pub fn trial_differed(&self, policy: &str) {
        self.trial_differences.with_label_values(&[policy]).inc();
    }

    /// A trial is over. `how` is one of a few words, `why` is for people.
    pub fn trial_ended(&self, policy: &str, how: &str, why: &str) {
        self.trials_ended.with_label_values(&[policy, how]).inc();
        tracing::info!(policy, how, why, "the trial of a version is over");
    }

    /// New settings are in use.
    pub fn config_reloaded(&self) {
        self.config_reloads.with_label_values(&["applied"]).inc();
        tracing::info!("new settings are in use");
    }

    /// New settings have mistakes, and the old ones stay in use. `errors` shows as a line for each.
    pub fn config_refused(&self, errors: &dyn std::fmt::Display) {
        self.config_reloads.with_label_values(&["refused"]).inc();
        for error in errors.to_string().lines() {
            tracing::error!("new settings were refused: {error}");
        }
    }

    /// A provider does not take a key any more. `key` identifies it and is not the secret.
    /// `at_ms` is in milliseconds since the Unix epoch.
    pub fn provider_key_disabled(&self, channel: &str, key: &str, reason: &str, at_ms: u64) {
        tracing::error!(channel, key, reason, "a provider key was disabled");
        self.alert(AlertKind::KeyDisabled, channel, Some(key), reason, at_ms);
    }

    /// A provider takes a key again that was disabled. `at_ms` is in milliseconds since the Unix epoch.
    pub fn provider_key_restored(&self, channel: &str, key: &str, reason: &str, at_ms: u64) {
        tracing::info!(channel, key, reason, "a provider key is back");
        self.alert(AlertKind::KeyRestored, channel, Some(key), reason, at_ms);
    }

    /// A channel is left alone for a while. `at_ms` is in milliseconds since the Unix epoch.
    pub fn channel_tripped(&self, channel: &str, reason: &str, at_ms: u64) {
        tracing::warn!(channel, reason, "a channel tripped");
        self.alert(AlertKind::ChannelTripped, channel, None, reason, at_ms);
    }

    /// A channel that was left alone for one of its models is still not well.
    pub fn channel_still_tripped(&self, channel: &str, model: &str, for_ms: u64) {
        tracing::info!(channel, model, for_ms, "a channel is still not well");
    }

    /// A channel is used again for a model.
    pub fn channel_recovered(&self, channel: &str, model: &str) {
        tracing::info!(channel, model, "a channel is well again");
    }

    fn alert(&self, kind: AlertKind, channel: &str, key: Option<&str>, reason: &str, at_ms: u64) {
        self.alerts_total.with_label_values(&[kind.as_str()]).inc();
        self.alerts.add(Alert {
            number: 0,
            at_ms,
            kind,
            channel: channel.to_owned(),
            policy: None,
            key: key.map(str::to_owned),
            reason: reason.to_owned(),
        });
    }

    fn policy_alert(&self, kind: AlertKind, policy: &str, reason: String, at_ms: u64) {
        self.alerts_total.with_label_values(&[kind.as_str()]).inc();
        self.alerts.add(Alert {
            number: 0,
            at_ms,
            kind,
            channel: String::new(),
            policy: Some(policy.to_owned()),
            key: None,
            reason,
        });
    }

    /// A key rests.
    pub fn provider_key_cooled(&self, channel: &str, key: &str, for_ms: u64) {
        tracing::info!(channel, key, for_ms, "a provider key rests");
    }

    /// The ledger takes no more calls, so that none escapes it; calls are refused until it does.
    pub fn ledger_stopped(&self, reason: &dyn std::fmt::Display) {
        if self.ledger_accepting.get() != 0 {
            self.ledger_accepting.set(0);
            tracing::error!(%reason, "the ledger takes no more calls: calls are refused");
        }
    }

    /// The ledger takes calls again.
    pub fn ledger_resumed(&self) {
        if self.ledger_accepting.get() == 0 {
            self.ledger_accepting.set(1);
            tracing::info!("the ledger takes calls again");
        }
    }
}

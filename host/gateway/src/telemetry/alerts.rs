//! The last things that an operator should look at, in memory and bounded: what monitoring without a
//! log reads.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Alerts that are remembered; older ones are in the log.
const ALERTS_MAX: usize = 256;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertKind {
    /// A provider does not take a key any more.
    KeyDisabled,
    /// A provider takes a key again.
    KeyRestored,
    /// A channel failed several times in a row, and is left alone for a while.
    ChannelTripped,
    /// A version of a policy was taken out.
    PolicyQuarantined,
    /// A policy fails too often, and there is no version to go back to.
    PolicyFailing,
    /// A version of a policy waits for approval.
    PolicyHeld,
}

impl AlertKind {
    /// The word in the API and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyDisabled => "key_disabled",
            Self::KeyRestored => "key_restored",
            Self::ChannelTripped => "channel_tripped",
            Self::PolicyQuarantined => "policy_quarantined",
            Self::PolicyFailing => "policy_failing",
            Self::PolicyHeld => "policy_held",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Counts up from 1 since the start of the program.
    pub number: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What.
    pub kind: AlertKind,
    /// The channel that it is about; empty where it is about a policy.
    pub channel: String,
    /// The policy that it is about.
    pub policy: Option<String>,
    /// The id of the provider key that it is about.
    pub key: Option<String>,
    /// Why; holds no secret.
    pub reason: String,
}

/// The last alerts.
#[derive(Debug, Default)]
pub(super) struct Alerts(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    raised: u64,
    last: VecDeque<Alert>,
}

impl Alerts {
    /// Remembers an alert, and gives it its number.
    pub(super) fn add(&self, mut alert: Alert) {
        let mut remembered = self.lock();
        remembered.raised += 1;
        alert.number = remembered.raised;
        if remembered.last.len() == ALERTS_MAX {
            remembered.last.pop_front();
        }
        remembered.last.push_back(alert);
    }

    /// Those that are remembered, newest first.
    pub(super) fn newest_first(&self) -> Vec<Alert> {
        self.lock().last.iter().rev().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_ones_are_remembered() {
        let alerts = Alerts::default();
        for at_ms in 0..300 {
            alerts.add(Alert {
                number: 0,
                at_ms,
                kind: AlertKind::KeyDisabled,
                channel: "main".into(),
                policy: None,
                key: None,
                reason: String::new(),
            });
        }
        let last = alerts.newest_first();
        assert_eq!(last.len(), ALERTS_MAX);
        assert_eq!((last[0].number, last[0].at_ms), (300, 299));
    }
}

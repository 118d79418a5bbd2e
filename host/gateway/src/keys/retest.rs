//! When a dead key is tried again.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Pauses between tries of a dead key, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetestPauses {
    /// The first; each further one is twice as long. 0: there are no tries.
    pub first_ms: u64,
    /// The longest.
    pub max_ms: u64,
}

/// The tries of one key.
#[derive(Debug, Default)]
pub(super) struct Retest {
    /// When the next try is due, in milliseconds since the Unix epoch; 0 where that is not set yet.
    due_ms: AtomicU64,
    /// Tries since a call last went well. A key that the provider takes for a list of models and then
    /// refuses for calls (its quota is spent) is tried ever more rarely, too.
    tries: AtomicU32,
}

impl Retest {
    /// Whether the next try is due, for a key that died at `dead_since_ms`.
    pub(super) fn is_due(&self, dead_since_ms: u64, now_ms: u64, pauses: RetestPauses) -> bool {
        if pauses.first_ms == 0 {
            return false;
        }
        match self.due_ms.load(Ordering::Relaxed) {
            0 => now_ms >= dead_since_ms.saturating_add(self.pause_ms(pauses)),
            due_ms => now_ms >= due_ms,
        }
    }

    /// A try is made.
    pub(super) fn tried(&self, now_ms: u64, pauses: RetestPauses) {
        self.tries.fetch_add(1, Ordering::Relaxed);
        let due_ms = now_ms.saturating_add(self.pause_ms(pauses));
        self.due_ms.store(due_ms, Ordering::Relaxed);
    }

    /// The key is back, for now.
    pub(super) fn is_back(&self) {
        self.due_ms.store(0, Ordering::Relaxed);
    }

    /// A call with the key went well.
    pub(super) fn went_well(&self) {
        if self.tries.load(Ordering::Relaxed) != 0 {
            self.tries.store(0, Ordering::Relaxed);
        }
    }

    fn pause_ms(&self, pauses: RetestPauses) -> u64 {
        let doublings = self.tries.load(Ordering::Relaxed).min(30);
        let pause_ms = pauses.first_ms.saturating_mul(1 << doublings);
        pause_ms.min(pauses.max_ms).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSES: RetestPauses = RetestPauses {
        first_ms: 100,
        max_ms: 300,
    };

    #[test]
    fn tries_become_rare_until_a_call_goes_well() {
        let retest = Retest::default();
        let due = |now_ms| retest.is_due(1_000, now_ms, PAUSES);
        assert_eq!((due(1_099), due(1_100)), (false, true));
        retest.tried(1_100, PAUSES);
        assert_eq!((due(1_299), due(1_300)), (false, true));
        retest.tried(1_300, PAUSES);
        assert_eq!((due(1_599), due(1_600)), (false, true));
        retest.is_back();
        assert!(
            !retest.is_due(2_000, 2_299, PAUSES),
            "it died again at once"
        );
        retest.went_well();
        assert!(retest.is_due(2_000, 2_100, PAUSES));
        let never = RetestPauses {
            first_ms: 0,
            ..PAUSES
        };
        assert!(!retest.is_due(0, u64::MAX, never));
    }
}

//! How the last tries with one key went, so that the next call tries what works first.
//!
//! A key (or a channel without keys) that failed is avoided for a while, never left out: where
//! nothing else is left it is tried all the same. When the while is over, one call finds out.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::Cooldown;

/// The longest time that something is avoided, in milliseconds: soon enough to see it mended.
const AVOIDED_MAX_MS: u64 = 30_000;
/// After a failure nothing counts as well for this long, in milliseconds.
const DOUBT_MS: u64 = 1_000;

/// How the last tries went. Shared by all workers; a figure may be a call behind.
#[derive(Debug, Default)]
pub struct Standing {
    avoided_until_ms: AtomicU64,
    failed_at_ms: AtomicU64,
    failures_in_a_row: AtomicU32,
}

impl Standing {
    /// It answered.
    pub fn went_well(&self) {
        // Read first: while all is well the line is only shared, not fought over.
        if self.failures_in_a_row.load(Ordering::Relaxed) != 0 {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
            self.avoided_until_ms.store(0, Ordering::Relaxed);
        }
    }

    /// It failed. `at_once`: so plainly that one failure is enough to avoid it (no connection, no
    /// answer in time); what may be one request's bad luck must come twice.
    pub fn failed(&self, now_ms: u64, at_once: bool, cooldown: Cooldown) {
        self.failed_at_ms.store(now_ms, Ordering::Relaxed);
        let row = self.failures_in_a_row.fetch_add(1, Ordering::Relaxed);
        let Some(doublings) = (row + u32::from(at_once)).checked_sub(1) else {
            return;
        };
        let pause_ms = cooldown
            .first_ms
            .saturating_mul(1 << doublings.min(20))
            .min(cooldown.max_ms)
            .min(AVOIDED_MAX_MS);
        self.avoided_until_ms
            .fetch_max(now_ms.saturating_add(pause_ms), Ordering::Relaxed);
    }

    /// Whether something else should be tried first. After the pause one caller is told no, to find
    /// out, and the others go on avoiding it for `probe_ms`.
    pub fn is_avoided(&self, now_ms: u64, probe_ms: u64) -> bool {
        let until_ms = self.avoided_until_ms.load(Ordering::Relaxed);
        if until_ms == 0 {
            return false;
        }
        let next_ms = now_ms.saturating_add(probe_ms);
        until_ms > now_ms
            || self
                .avoided_until_ms
                .compare_exchange(until_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
    }

    /// It turned a request away that another might take: no failure, but no reason to send it more
    /// than its share at this moment.
    pub fn refused(&self, now_ms: u64) {
        self.failed_at_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Whether nothing speaks against it: its last answer was no failure, and none was in the last
    /// second.
    pub fn is_well(&self, now_ms: u64) -> bool {
        let failed_at_ms = self.failed_at_ms.load(Ordering::Relaxed);
        self.failures_in_a_row.load(Ordering::Relaxed) == 0
            && (failed_at_ms == 0 || failed_at_ms.saturating_add(DOUBT_MS) <= now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOLDOWN: Cooldown = Cooldown {
        first_ms: 1_000,
        max_ms: 300_000,
    };

    #[test]
    fn what_failed_is_avoided_and_then_tried_by_one() {
        let standing = Standing::default();
        assert!(!standing.is_avoided(0, 100) && standing.is_well(0));
        standing.failed(10, false, COOLDOWN);
        assert!(!standing.is_avoided(10, 100), "one failure may be bad luck");
        standing.failed(20, false, COOLDOWN);
        assert!(standing.is_avoided(1_019, 100));
        assert!(!standing.is_avoided(1_020, 100), "one finds out");
        assert!(standing.is_avoided(1_020, 100), "the others wait for it");
        standing.went_well();
        assert!(!standing.is_avoided(1_021, 100));
        standing.failed(5_000, true, COOLDOWN);
        assert!(standing.is_avoided(5_001, 100));
    }

    #[test]
    fn what_failed_is_not_well_until_it_answers() {
        let standing = Standing::default();
        standing.failed(2_000, false, COOLDOWN);
        assert!(!standing.is_well(60_000));
        standing.went_well();
        assert!(!standing.is_well(2_999));
        assert!(standing.is_well(3_000));
        standing.refused(4_000);
        assert!(!standing.is_well(4_999) && standing.is_well(5_000));
    }
}

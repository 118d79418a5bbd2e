//! Computing time that several policies share, by the minute.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is left of it is looked at before a hook, so one hook per worker may go beyond it.
#[derive(Debug)]
pub struct CpuBudget {
    max_micros: u64,
    began: Instant,
    /// Which minute since then is counted, from 1.
    minute: AtomicU64,
    spent_micros: AtomicU64,
    total_micros: AtomicU64,
}

/// Two versions have the same budget where they share it.
impl PartialEq for CpuBudget {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl CpuBudget {
    /// A budget of so many milliseconds in a minute, on all cores together.
    pub fn new(max_ms_per_minute: u64) -> Self {
        Self {
            max_micros: max_ms_per_minute.saturating_mul(1_000),
            began: Instant::now(),
            minute: AtomicU64::new(0),
            spent_micros: AtomicU64::new(0),
            total_micros: AtomicU64::new(0),
        }
    }

    /// Milliseconds in a minute.
    pub fn max_ms(&self) -> u64 {
        self.max_micros / 1_000
    }

    /// Whether nothing is left of it in this minute.
    pub fn is_spent(&self) -> bool {
        self.minute.load(Ordering::Relaxed) == self.minute_of(Instant::now())
            && self.spent_micros.load(Ordering::Relaxed) >= self.max_micros
    }

    /// Microseconds that were spent since it was made.
    pub fn total_micros(&self) -> u64 {
        self.total_micros.load(Ordering::Relaxed)
    }

    /// A hook computed for so long, until `now`.
    pub(crate) fn spend(&self, took: Duration, now: Instant) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let (seen, minute) = (self.minute.load(Ordering::Relaxed), self.minute_of(now));
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        let is_first = seen != minute
            && self
                .minute
                .compare_exchange(seen, minute, success, failure)
                .is_ok();
        if is_first {
            self.spent_micros.store(micros, Ordering::Relaxed);
        } else {
            self.spent_micros.fetch_add(micros, Ordering::Relaxed);
        }
        self.total_micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn minute_of(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs() / 60 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_forgets_the_one_before() {
        let budget = CpuBudget::new(10);
        let (took, began) = (Duration::from_millis(6), budget.began);
        assert!(!budget.is_spent());
        budget.spend(took, began);
        assert!(!budget.is_spent());
        budget.spend(took, began);
        assert!(budget.is_spent());
        budget.spend(took, began + Duration::from_secs(61));
        assert_eq!(budget.spent_micros.load(Ordering::Relaxed), 6_000);
        assert_eq!(budget.total_micros(), 18_000);
    }
}

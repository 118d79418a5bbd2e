//! How many retries there may be beside the calls of the last seconds.
//!
//! Without a bound every failed call becomes several, and a provider that is down gets a multiple
//! of the load under which it went down. Counted over the process, in atomics: two workers that ask
//! at the same moment may both get the last one.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Seconds over which calls and retries are compared.
const WINDOW_SECONDS: usize = 10;

/// What is allowed; from the settings.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// Retries for a hundred calls.
    pub percent: u32,
    /// Retries in the window that are allowed however few calls there are.
    pub floor: u32,
}

/// One second of the window.
#[derive(Debug, Default)]
struct Slot {
    second: AtomicU64,
    calls: AtomicU32,
    retries: AtomicU32,
}

/// Calls and retries of the last seconds.
#[derive(Debug, Default)]
pub struct Budget {
    slots: [Slot; WINDOW_SECONDS],
}

impl Budget {
    /// A call comes.
    pub fn offered(&self, now_ms: u64) {
        if let Some(slot) = self.slot(now_ms) {
            slot.calls.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A retry is made.
    pub fn spend(&self, now_ms: u64) {
        if let Some(slot) = self.slot(now_ms) {
            slot.retries.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether there may be another retry.
    pub fn allows(&self, now_ms: u64, allowance: Allowance) -> bool {
        let oldest = (now_ms / 1_000).saturating_sub(WINDOW_SECONDS as u64 - 1);
        let (mut calls, mut retries) = (0_u64, 0_u64);
        for slot in &self.slots {
            if slot.second.load(Ordering::Relaxed) >= oldest {
                calls += u64::from(slot.calls.load(Ordering::Relaxed));
                retries += u64::from(slot.retries.load(Ordering::Relaxed));
            }
        }
        let share = calls * u64::from(allowance.percent) / 100;
        retries < share.max(u64::from(allowance.floor))
    }

    /// The slot of this second, emptied by whoever comes first in it.
    fn slot(&self, now_ms: u64) -> Option<&Slot> {
        let second = now_ms / 1_000;
        let slot = self
            .slots
            .get(usize::try_from(second % WINDOW_SECONDS as u64).unwrap_or(0))?;
        let seen = slot.second.load(Ordering::Relaxed);
        if seen != second
            && slot
                .second
                .compare_exchange(seen, second, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            slot.calls.store(0, Ordering::Relaxed);
            slot.retries.store(0, Ordering::Relaxed);
        }
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCE: Allowance = Allowance {
        percent: 20,
        floor: 3,
    };

    fn spent(budget: &Budget, now_ms: u64) -> u32 {
        let mut spent = 0;
        while budget.allows(now_ms, ALLOWANCE) {
            budget.spend(now_ms);
            spent += 1;
        }
        spent
    }

    #[test]
    fn retries_are_a_share_of_the_calls_or_the_floor() {
        let budget = Budget::default();
        assert_eq!(spent(&budget, 50_000), 3);
        for _ in 0..100 {
            budget.offered(51_000);
        }
        assert_eq!(spent(&budget, 51_000), 17, "20 with the floor among them");
        assert_eq!(spent(&budget, 61_000), 3, "all of it is forgotten");
    }
}

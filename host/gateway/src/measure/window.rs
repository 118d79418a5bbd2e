//! The calls of the last minute, in slots of ten seconds.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::figures::FailureKind;

/// Milliseconds of one slot.
const SLOT_MS: u64 = 10_000;
/// Slots in the window.
const SLOTS: usize = 6;
/// How far back the window reaches, in milliseconds; the oldest slot falls out as a whole.
pub const WINDOW_MS: u64 = SLOT_MS * SLOTS as u64;

const KINDS: usize = FailureKind::ALL.len();
/// Failures are counted in the upper half of a slot's number, calls in the lower: one write for both.
const ONE_FAILURE: u64 = 1 << 32;

/// Calls of the last minute. `times` says which ten seconds each slot counts.
#[derive(Debug, Default)]
pub(super) struct Window {
    times: [AtomicU64; SLOTS],
    counts: [AtomicU64; SLOTS],
    slow: [AtomicU32; SLOTS],
    kinds: [[AtomicU32; KINDS]; SLOTS],
}

/// What a window holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls, failed ones included.
    pub calls: u32,
    /// Those of them that failed.
    pub failures: u32,
}

impl Counts {
    /// The two together.
    pub fn and(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            failures: self.failures.saturating_add(other.failures),
        }
    }

    /// Failures over calls, 0 to 1; 0 where there are fewer than `samples_min` calls.
    pub fn error_rate(self, samples_min: u32) -> f32 {
        if self.calls < samples_min.max(1) {
            return 0.0;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate of calls in a minute needs no more digits"
        )]
        let rate = self.failures as f32 / self.calls as f32;
        // A reply that breaks off later fails in another slot than it was counted in.
        rate.min(1.0)
    }
}

impl Window {
    /// A call was answered, fast or slow.
    pub(super) fn answered(&self, now_ms: u64, slow: bool) {
        let at = self.slot(now_ms);
        add(&self.counts, at, 1);
        if slow && let Some(slow) = self.slow.get(at) {
            slow.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A call failed. `counted`: it was counted as answered before.
    pub(super) fn failed(&self, now_ms: u64, kind: FailureKind, counted: bool) {
        let at = self.slot(now_ms);
        let failure = if kind.is_of_channel() { ONE_FAILURE } else { 0 };
        add(&self.counts, at, failure + u64::from(!counted));
        let kinds = self.kinds.get(at);
        if let Some(count) = kinds.and_then(|kinds| kinds.get(kind as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn counts(&self, now_ms: u64) -> Counts {
        let (mut calls, mut failures) = (0_u64, 0_u64);
        for (count, _) in self.live(now_ms) {
            let count = count.load(Ordering::Relaxed);
            calls += count & (ONE_FAILURE - 1);
            failures += count >> 32;
        }
        let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Counts {
            calls: narrow(calls),
            failures: narrow(failures),
        }
    }

    /// Answers that were slow.
    pub(super) fn slow(&self, now_ms: u64) -> u32 {
        let slots = self.live(now_ms).filter_map(|(_, at)| self.slow.get(at));
        slots.map(|slow| slow.load(Ordering::Relaxed)).sum()
    }

    /// Failures of each kind, in the order of [`FailureKind::ALL`].
    pub(super) fn kinds(&self, now_ms: u64) -> [u32; KINDS] {
        let mut sums = [0; KINDS];
        for kinds in self.live(now_ms).filter_map(|(_, at)| self.kinds.get(at)) {
            for (sum, count) in sums.iter_mut().zip(kinds) {
                *sum += count.load(Ordering::Relaxed);
            }
        }
        sums
    }

    /// Whether anything was counted in the last minute.
    pub(super) fn is_idle(&self, now_ms: u64) -> bool {
        self.live(now_ms).next().is_none()
    }

    /// Counts from zero again; the kinds of failures stay.
    pub(super) fn restart(&self) {
        for count in &self.counts {
            count.store(0, Ordering::Relaxed);
        }
        for slow in &self.slow {
            slow.store(0, Ordering::Relaxed);
        }
    }

    /// The slots of the last minute, with their places.
    fn live(&self, now_ms: u64) -> impl Iterator<Item = (&AtomicU64, usize)> {
        let oldest = (time_of(now_ms) + 1).saturating_sub(SLOTS as u64);
        let slots = self.times.iter().zip(&self.counts).enumerate();
        slots.filter_map(move |(at, (time, count))| {
            let time = time.load(Ordering::Relaxed);
            (time >= oldest && time != 0).then_some((count, at))
        })
    }

    /// The place of the slot of this moment, emptied by whoever comes first in its ten seconds.
    fn slot(&self, now_ms: u64) -> usize {
        let now = time_of(now_ms);
        let at = usize::try_from(now).unwrap_or(0) % SLOTS;
        let Some(time) = self.times.get(at) else {
            return at;
        };
        let seen = time.load(Ordering::Relaxed);
        if seen != now
            && time
                .compare_exchange(seen, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.empty(at);
        }
        at
    }

    fn empty(&self, at: usize) {
        let zero = |count: &AtomicU32| count.store(0, Ordering::Relaxed);
        if let Some(count) = self.counts.get(at) {
            count.store(0, Ordering::Relaxed);
        }
        self.slow.get(at).into_iter().for_each(zero);
        self.kinds.get(at).into_iter().flatten().for_each(zero);
    }
}

fn add(counts: &[AtomicU64; SLOTS], at: usize, count: u64) {
    if let Some(slot) = counts.get(at) {
        slot.fetch_add(count, Ordering::Relaxed);
    }
}

/// Counts from one, so that a slot that was never used is none of any time.
fn time_of(now_ms: u64) -> u64 {
    now_ms / SLOT_MS + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1_800_000_000_000;

    #[test]
    fn a_window_forgets_slot_by_slot() {
        let window = Window::default();
        assert!(window.is_idle(START_MS));
        for slot in 0..6 {
            let now_ms = START_MS + slot * SLOT_MS;
            window.answered(now_ms, slot == 0);
            window.failed(now_ms, FailureKind::Server, false);
        }
        let counts = |now_ms| {
            let counts = window.counts(now_ms);
            (counts.calls, counts.failures)
        };
        let last_ms = START_MS + 5 * SLOT_MS;
        assert_eq!((counts(last_ms), window.slow(last_ms)), ((12, 6), 1));
        assert_eq!(counts(last_ms + SLOT_MS), (10, 5));
        assert_eq!(window.slow(last_ms + SLOT_MS), 0);
        assert_eq!(counts(last_ms + 5 * SLOT_MS), (2, 1));
        assert_eq!(counts(last_ms + WINDOW_MS), (0, 0));
        assert!(window.is_idle(last_ms + WINDOW_MS));
        // The place of a slot that fell out is used anew, from zero.
        window.answered(START_MS + WINDOW_MS, false);
        assert_eq!(counts(START_MS + WINDOW_MS), (11, 5));
    }

    #[test]
    fn failures_are_told_apart_and_only_the_channels_own_make_its_rate() {
        let window = Window::default();
        for kind in FailureKind::ALL {
            window.failed(START_MS, kind, false);
        }
        window.answered(START_MS, false);
        window.failed(START_MS, FailureKind::Broken, true);
        let counts = window.counts(START_MS);
        assert_eq!((counts.calls, counts.failures), (8, 6));
        assert_eq!(window.kinds(START_MS), [1, 1, 1, 1, 1, 2, 1]);
        assert_eq!((counts.error_rate(8), counts.error_rate(9)), (0.75, 0.0));
        window.restart();
        assert_eq!(window.counts(START_MS), Counts::default());
        assert_eq!(window.kinds(START_MS)[5], 2);
    }
}

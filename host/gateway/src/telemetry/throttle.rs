//! Keeps a fault that repeats ten thousand times a second from filling the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Lines that are let through in a second.
const LINES_PER_SECOND: u64 = 10;

/// Lets a few events a second through, and remembers how many it held back. The bound is not exact
/// when threads race at the turn of a second, which no log reader would notice.
#[derive(Debug)]
pub(super) struct Throttle {
    start: Instant,
    second: AtomicU64,
    seen: AtomicU64,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            second: AtomicU64::new(0),
            seen: AtomicU64::new(0),
        }
    }

    /// `Some` when the event is to be logged, with the number of events that were held back in the
    /// second before it.
    pub(super) fn admit(&self) -> Option<u64> {
        self.admit_at(self.start.elapsed().as_secs())
    }

    fn admit_at(&self, second: u64) -> Option<u64> {
        let mut held_back = 0;
        if self.second.swap(second, Ordering::Relaxed) != second {
            held_back = self
                .seen
                .swap(0, Ordering::Relaxed)
                .saturating_sub(LINES_PER_SECOND);
        }
        let admitted = self.seen.fetch_add(1, Ordering::Relaxed) < LINES_PER_SECOND;
        admitted.then_some(held_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_ten_lines_and_counted() {
        let throttle = Throttle::new();
        let admitted = (0..1_000)
            .filter(|_| throttle.admit_at(0).is_some())
            .count();
        assert_eq!(admitted, 10);
        assert_eq!(throttle.admit_at(1), Some(990));
        assert_eq!(throttle.admit_at(1), Some(0));
    }
}

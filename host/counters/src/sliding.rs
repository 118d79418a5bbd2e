//! The last N seconds, as a ring of sums over short stretches of time ("parts").
//!
//! The window in force covers the part of this moment and as many parts before it as N seconds
//! can touch. The oldest of them counts whole although it is only partly younger than N seconds:
//! that keeps the limit exact on the safe side at the price of 1/60 of the window.

/// Parts that a window is cut into.
const PARTS: u64 = 60;

#[derive(Debug)]
pub(crate) struct Ring {
    part_ms: u64,
    /// The number, since the epoch, of the newest part that the ring holds.
    newest: u64,
    total: u64,
    sums: Box<[u64]>,
}

impl Ring {
    pub(crate) fn new(seconds: u32, now_ms: u64) -> Self {
        let window_ms = u64::from(seconds.max(1)) * 1_000;
        let part_ms = window_ms.div_ceil(PARTS);
        // One part more than the window is long, because the window rarely begins where a part
        // does.
        let parts = usize::try_from(window_ms.div_ceil(part_ms) + 1).unwrap_or(usize::MAX);
        Self {
            part_ms,
            newest: now_ms / part_ms,
            total: 0,
            sums: vec![0; parts].into_boxed_slice(),
        }
    }

    /// What the window holds, as of the last [`Ring::roll`].
    pub(crate) fn used(&self) -> u64 {
        self.total
    }

    /// Lets go of the parts that the window has left.
    ///
    /// A clock that steps back a little changes nothing. One that steps back by more than the
    /// window was set anew, and the ring starts afresh: else it would stand until the clock has
    /// caught up, which may be years.
    pub(crate) fn roll(&mut self, now_ms: u64) {
        // Nearly every call finds its part open already; a product is cheaper than a quotient.
        let since_newest_ms = now_ms.wrapping_sub(self.newest * self.part_ms);
        if since_newest_ms < self.part_ms {
            return;
        }
        let part = now_ms / self.part_ms;
        let parts = self.sums.len() as u64;
        if part.abs_diff(self.newest) >= parts {
            self.sums.fill(0);
            self.total = 0;
            self.newest = part;
        } else {
            while self.newest < part {
                self.newest += 1;
                let newest = self.newest;
                let left = self.sum_mut(newest).map_or(0, std::mem::take);
                self.total = self.total.saturating_sub(left);
            }
        }
    }

    /// Adds to the newest part and returns its number, by which the amount is found again.
    pub(crate) fn add(&mut self, amount: u64) -> u64 {
        self.add_at(self.newest, amount);
        self.newest
    }

    fn add_at(&mut self, part: u64, amount: u64) {
        let headroom = u64::MAX - self.total;
        let amount = amount.min(headroom);
        if let Some(sum) = self.sum_mut(part) {
            *sum += amount;
            self.total += amount;
        }
    }

    /// Replaces an amount in the part it was added to, unless the window has left that part.
    pub(crate) fn replace(&mut self, part: u64, reserved: u64, actual: u64) {
        if actual == reserved || !self.holds(part) {
            return;
        }
        if actual >= reserved {
            self.add_at(part, actual - reserved);
        } else if let Some(sum) = self.sum_mut(part) {
            let less = (reserved - actual).min(*sum);
            *sum -= less;
            self.total -= less;
        }
    }

    /// Milliseconds until at least `excess` has left the window, if nothing is added meanwhile.
    pub(crate) fn freed_after_ms(&self, excess: u64, now_ms: u64) -> Option<u64> {
        let parts = self.sums.len() as u64;
        let mut freed = 0_u64;
        for part in self.oldest()..=self.newest {
            freed = freed.saturating_add(self.sum(part));
            if freed >= excess {
                return Some(
                    ((part + parts) * self.part_ms)
                        .saturating_sub(now_ms)
                        .max(1),
                );
            }
        }
        None
    }

    /// When the window will be empty if nothing is added, in milliseconds since the epoch.
    pub(crate) fn empty_at_ms(&self) -> u64 {
        (self.newest + self.sums.len() as u64) * self.part_ms
    }

    /// The parts that hold something.
    pub(crate) fn parts(&self) -> Vec<(u64, u64)> {
        (self.oldest()..=self.newest)
            .map(|part| (part, self.sum(part)))
            .filter(|(_, sum)| *sum > 0)
            .collect()
    }

    /// Puts back what [`Ring::parts`] gave, as far as the window still holds it.
    pub(crate) fn restore(&mut self, parts: &[(u64, u64)]) {
        for (part, sum) in parts {
            if self.holds(*part) {
                self.add_at(*part, *sum);
            }
        }
    }

    fn oldest(&self) -> u64 {
        (self.newest + 1).saturating_sub(self.sums.len() as u64)
    }

    fn holds(&self, part: u64) -> bool {
        (self.oldest()..=self.newest).contains(&part)
    }

    fn slot(&self, part: u64) -> usize {
        usize::try_from(part % self.sums.len() as u64).unwrap_or(0)
    }

    fn sum(&self, part: u64) -> u64 {
        self.sums.get(self.slot(part)).copied().unwrap_or(0)
    }

    fn sum_mut(&mut self, part: u64) -> Option<&mut u64> {
        let slot = self.slot(part);
        self.sums.get_mut(slot)
    }
}

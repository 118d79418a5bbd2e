//! What a key carried in the last minute: requests and tokens, in a ring of half seconds.
//!
//! Providers count minutes in three ways: by the clock (a new budget each minute), over the last
//! sixty seconds, or with a bucket that holds a minute's budget and refills all the time. A window
//! that slides is safe under all three: what never exceeds the limit in *any* minute does not
//! exceed it in those that the clock cuts, and a bucket of one minute's budget that loses at most
//! that budget in any minute never runs dry, as for every span of time, of k minutes and a rest, at
//! most k+1 budgets were taken while it held one and k came in. It also lets a burst of a whole
//! budget through, which providers do too and an evenly paced limit would not.
//!
//! Requests do not reach the provider as evenly as they leave: two that left sixty seconds apart
//! may arrive closer. So the window is longer than the provider's: what was taken is forgotten after
//! 60.5 to 61 seconds. That costs at most 1.7 % of the limit, well within the 5 % that are left at
//! a load of 95 %.

/// Length of a part of the ring, in milliseconds.
const PART_MS: u64 = 500;
/// Parts of the ring: the one of this moment, and sixty and a half seconds before it.
const PARTS: u64 = 122;

/// An amount of both kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) requests: u64,
    pub(super) tokens: u64,
}

/// The limits of a minute; the highest number where there is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct PerMinute {
    pub(super) requests: u64,
    pub(super) tokens: u64,
}

/// The ring. Not shared by itself: see `meter.rs`.
#[derive(Debug)]
pub(super) struct Window {
    parts: Box<[Used]>,
    /// The number, since the epoch, of the newest part.
    newest: u64,
    /// The sum of all parts.
    used: Used,
}

impl Window {
    pub(super) fn new(now_ms: u64) -> Self {
        let parts = usize::try_from(PARTS).unwrap_or(0);
        Self {
            parts: vec![Used::default(); parts].into_boxed_slice(),
            newest: now_ms / PART_MS,
            used: Used::default(),
        }
    }

    /// Takes a request and its tokens, where both have room; returns the part that has them.
    pub(super) fn take(&mut self, limits: PerMinute, tokens: u64, now_ms: u64) -> Option<u64> {
        self.roll(now_ms);
        let (requests_left, tokens_left) = self.left(limits);
        if requests_left == 0 || tokens_left < tokens {
            return None;
        }
        self.add(Used {
            requests: 1,
            tokens,
        });
        Some(self.newest)
    }

    /// Replaces a call's estimate by what it used. What it used beyond the estimate counts from
    /// now on, as that is when the provider learnt of it; what it did not use is given back to where
    /// it was taken.
    pub(super) fn settle(&mut self, part: u64, reserved: u64, actual: u64, now_ms: u64) {
        self.roll(now_ms);
        if actual > reserved {
            self.add(Used {
                requests: 0,
                tokens: actual - reserved,
            });
        } else {
            self.give_back(part, 0, reserved - actual);
        }
    }

    /// The request that took this was not sent.
    pub(super) fn undo(&mut self, part: u64, tokens: u64, now_ms: u64) {
        self.roll(now_ms);
        self.give_back(part, 1, tokens);
    }

    fn give_back(&mut self, part: u64, requests: u64, tokens: u64) {
        // A part that is too old has been forgotten, and its place is another's.
        if self.newest >= part.saturating_add(PARTS) {
            return;
        }
        let Some(slot) = self.slot_mut(part) else {
            return;
        };
        let (requests, tokens) = (requests.min(slot.requests), tokens.min(slot.tokens));
        slot.requests -= requests;
        slot.tokens -= tokens;
        self.used.requests = self.used.requests.saturating_sub(requests);
        self.used.tokens = self.used.tokens.saturating_sub(tokens);
    }

    /// What is left of the limits.
    fn left(&self, limits: PerMinute) -> (u64, u64) {
        (
            limits.requests.saturating_sub(self.used.requests),
            limits.tokens.saturating_sub(self.used.tokens),
        )
    }

    /// What the last minute took.
    pub(super) fn used(&mut self, now_ms: u64) -> Used {
        self.roll(now_ms);
        self.used
    }

    /// When there will be room for another request of so many tokens, in milliseconds since the
    /// Unix epoch, if nothing else is taken meanwhile.
    pub(super) fn free_at_ms(&mut self, limits: PerMinute, tokens: u64, now_ms: u64) -> u64 {
        self.roll(now_ms);
        let (mut requests_left, mut tokens_left) = self.left(limits);
        // What is over the limit must go too, before anything is left.
        let over = self.used.tokens.saturating_sub(limits.tokens);
        let needed = tokens.saturating_add(over);
        let oldest = (self.newest + 1).saturating_sub(PARTS);
        for part in oldest..=self.newest {
            if requests_left > 0 && tokens_left >= needed {
                return part
                    .saturating_add(PARTS - 1)
                    .saturating_mul(PART_MS)
                    .max(now_ms);
            }
            let freed = self.slot_mut(part).map_or(Used::default(), |slot| *slot);
            requests_left = requests_left.saturating_add(freed.requests);
            tokens_left = tokens_left.saturating_add(freed.tokens);
        }
        (self.newest + PARTS).saturating_mul(PART_MS)
    }

    /// Forgets the parts that are too old. A clock that steps back by more than the window was set
    /// anew, and the ring begins afresh; a smaller step changes nothing.
    fn roll(&mut self, now_ms: u64) {
        // Nearly every call finds its part open already.
        if now_ms.wrapping_sub(self.newest * PART_MS) < PART_MS {
            return;
        }
        let part = now_ms / PART_MS;
        if part.abs_diff(self.newest) >= PARTS {
            self.parts.fill(Used::default());
            self.used = Used::default();
            self.newest = part;
        }
        while self.newest < part {
            self.newest += 1;
            let newest = self.newest;
            let gone = self
                .slot_mut(newest)
                .map_or(Used::default(), std::mem::take);
            self.used.requests = self.used.requests.saturating_sub(gone.requests);
            self.used.tokens = self.used.tokens.saturating_sub(gone.tokens);
        }
    }

    fn add(&mut self, more: Used) {
        let newest = self.newest;
        if let Some(slot) = self.slot_mut(newest) {
            slot.requests += more.requests;
            slot.tokens = slot.tokens.saturating_add(more.tokens);
            self.used.requests += more.requests;
            self.used.tokens = self.used.tokens.saturating_add(more.tokens);
        }
    }

    fn slot_mut(&mut self, part: u64) -> Option<&mut Used> {
        self.parts.get_mut(usize::try_from(part % PARTS).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PerMinute = PerMinute {
        requests: 3,
        tokens: 100,
    };

    #[test]
    fn a_minute_holds_its_limit_and_a_little_longer() {
        let start = 1_000_000;
        let mut window = Window::new(start);
        for at in [0, 10, 20] {
            assert!(window.take(LIMITS, 0, start + at).is_some());
        }
        assert!(window.take(LIMITS, 0, start + 60_400).is_none());
        assert_eq!(window.free_at_ms(LIMITS, 0, start + 1_000), start + 61_000);
        assert!(window.take(LIMITS, 0, start + 61_000).is_some());
    }

    #[test]
    fn tokens_are_given_back_where_they_were_taken() {
        let start = 1_000_000;
        let mut window = Window::new(start);
        let part = window.take(LIMITS, 90, start).unwrap();
        assert!(window.take(LIMITS, 20, start).is_none());
        assert_eq!(window.free_at_ms(LIMITS, 20, start), start + 61_000);
        window.settle(part, 90, 30, start + 5_000);
        assert!(window.take(LIMITS, 70, start + 5_000).is_some());
        // More than was reserved counts from when it is known.
        window.settle(part, 30, 80, start + 30_000);
        let used = window.used(start + 66_500);
        assert_eq!((used.requests, used.tokens), (0, 50));
        assert_eq!(window.used(start + 91_000), Used::default());
    }

    #[test]
    fn a_clock_that_is_set_anew_starts_the_window_anew() {
        let mut window = Window::new(10_000_000);
        assert!(window.take(LIMITS, 100, 10_000_000).is_some());
        assert!(window.take(LIMITS, 1, 9_999_000).is_none());
        assert!(window.take(LIMITS, 1, 1_000_000).is_some());
    }
}

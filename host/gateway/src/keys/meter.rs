//! What one key carries at this moment, shared by all workers: calls under way, and the last minute.
//!
//! Calls under way are an atomic. The minute is behind a lock of its key, because requests and
//! tokens must be taken both or not at all; it is held for some nanoseconds, and only keys that have
//! such a limit have one.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::window::{PerMinute, Used, Window};
use crate::config::KeyTerms;

/// The counters of a key.
#[derive(Debug, Default)]
pub(super) struct Meter {
    in_flight: AtomicU32,
    minute: OnceLock<Mutex<Window>>,
}

/// What a call took of a minute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    part: u64,
    tokens: u64,
}

impl Meter {
    /// Takes a call with so many tokens, where the key's limits have room for it; else nothing. A call that is larger than a whole minute's budget counts as
    /// one of that size, or else it could never run.
    pub(super) fn begin(
        &self,
        terms: &KeyTerms,
        tokens: u64,
        now_ms: u64,
    ) -> Result<Option<Taken>, ()> {
        match terms.in_flight_max {
            None => drop(self.in_flight.fetch_add(1, Ordering::Relaxed)),
            Some(max) => {
                let more = |now: u32| (now < max).then(|| now + 1);
                let (order, failing) = (Ordering::Relaxed, Ordering::Relaxed);
                self.in_flight
                    .fetch_update(order, failing, more)
                    .map_err(|_| ())?;
            }
        }
        let Some(limits) = per_minute(terms) else {
            return Ok(None);
        };
        let tokens = tokens.min(limits.tokens);
        match self.minute(now_ms).take(limits, tokens, now_ms) {
            Some(part) => Ok(Some(Taken { part, tokens })),
            None => {
                self.end();
                Err(())
            }
        }
    }

    /// Takes a call that is made whether or not there is room for it.
    pub(super) fn begin_anyway(&self, terms: &KeyTerms, tokens: u64, now_ms: u64) -> Option<Taken> {
        const ANY: PerMinute = PerMinute {
            requests: u64::MAX,
            tokens: u64::MAX,
        };
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        per_minute(terms)?;
        let part = self.minute(now_ms).take(ANY, tokens, now_ms)?;
        Some(Taken { part, tokens })
    }

    /// The call is over, or was not made.
    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// What the call really used is known.
    pub(super) fn settle(&self, taken: Taken, tokens: u64, now_ms: u64) {
        let Taken {
            part,
            tokens: reserved,
        } = taken;
        if tokens != reserved {
            self.minute(now_ms).settle(part, reserved, tokens, now_ms);
        }
    }

    /// What was taken is given back whole.
    pub(super) fn undo(&self, taken: Taken, now_ms: u64) {
        self.minute(now_ms).undo(taken.part, taken.tokens, now_ms);
    }

    /// Calls under way.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What the last minute took; nothing where nothing is counted.
    pub(super) fn used(&self, now_ms: u64) -> Used {
        let minute = self.minute.get();
        minute.map_or(Used::default(), |minute| lock(minute).used(now_ms))
    }

    /// When there will be room for another call, as far as that can be told.
    pub(super) fn free_at_ms(&self, terms: &KeyTerms, tokens: u64, now_ms: u64) -> u64 {
        let Some(limits) = per_minute(terms) else {
            return now_ms;
        };
        let tokens = tokens.min(limits.tokens);
        self.minute(now_ms).free_at_ms(limits, tokens, now_ms)
    }

    fn minute(&self, now_ms: u64) -> MutexGuard<'_, Window> {
        lock(self.minute.get_or_init(|| Mutex::new(Window::new(now_ms))))
    }
}

fn lock(minute: &Mutex<Window>) -> MutexGuard<'_, Window> {
    minute.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The limits of a minute, where there is one.
fn per_minute(terms: &KeyTerms) -> Option<PerMinute> {
    if terms.rpm.is_none() && terms.tpm.is_none() {
        return None;
    }
    Some(PerMinute {
        requests: terms.rpm.unwrap_or(u64::MAX),
        tokens: terms.tpm.unwrap_or(u64::MAX),
    })
}

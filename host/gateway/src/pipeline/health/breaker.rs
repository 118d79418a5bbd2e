//! A circuit breaker: closed, open, half-open.
//!
//! Closed lets everything through, and opens when the failures say so. Open is to be left alone until
//! its time is over. Then it is half-open: a few calls may try, an answer closes it, a failure opens it
//! for longer. Nothing here refuses a call: whoever has no other channel goes through all the same.
//!
//! The state is one number, so that what two calls find out at one time cannot mix.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::config::{self, Cooldown};
use crate::measure::Counts;

/// For how long a half-open circuit with as many calls as it takes is said to be open, in
/// milliseconds: how its calls end will be known soon.
const HALF_OPEN_AGAIN_MS: u32 = 100;
/// For how long a circuit is said to be open that someone holds open, in milliseconds.
const HELD_MS: u32 = 60_000;
/// The numbers that are no times.
const CLOSED: u64 = 0;
const HELD_CLOSED: u64 = u64::MAX - 1;
const HELD_OPEN: u64 = u64::MAX;

/// When a circuit opens, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Percent of failed calls; 0 for never.
    pub error_rate_percent: u32,
    /// Calls below which a percentage means nothing.
    pub samples_min: u32,
    /// Failures in a row; 0 for never.
    pub consecutive_failures: u32,
    /// Milliseconds to the first byte from which on an answer is slow; 0 for never.
    pub slow_first_byte_ms: u64,
    /// Percent of slow calls.
    pub slow_percent: u32,
    /// Milliseconds that it is open the first time; doubled each time in a row.
    pub open_first_ms: u64,
    /// Most milliseconds that it is open.
    pub open_max_ms: u64,
    /// Calls that may try at one time while it is half-open.
    pub half_open_calls: u32,
    /// Milliseconds between Weir's own questions while it is open; 0 for none.
    pub probe_interval_ms: u64,
    /// The model that these ask; `None` for the one whose circuit it is.
    pub probe_model: Option<String>,
}

impl Terms {
    /// The terms as they are written, with the rests of all channels where they say nothing.
    pub fn of(written: &config::Breaker, cooldown: &Cooldown) -> Self {
        let open_first_ms = written.open_first_ms.unwrap_or(cooldown.first_ms);
        Self {
            error_rate_percent: written.error_rate_percent,
            samples_min: written.min_samples,
            consecutive_failures: written.consecutive_failures,
            slow_first_byte_ms: written.slow_first_byte_ms,
            slow_percent: written.slow_percent,
            open_first_ms,
            open_max_ms: written
                .open_max_ms
                .unwrap_or(cooldown.max_ms)
                .max(open_first_ms),
            half_open_calls: written.half_open_calls,
            probe_interval_ms: written.probe_interval_ms,
            probe_model: written.probe_model.clone(),
        }
    }

    /// The pause after `opened` others.
    fn pause_ms(&self, opened: u32) -> u64 {
        let longer = self.open_first_ms.saturating_mul(1 << opened.min(30));
        longer.min(self.open_max_ms)
    }
}

/// Where a circuit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All is well.
    Closed,
    /// To be left alone until then, in milliseconds since the Unix epoch.
    Open(u64),
    /// A few may try.
    HalfOpen,
    /// Someone holds it open.
    HeldOpen,
    /// Someone holds it closed.
    HeldClosed,
}

/// What an administrator wants of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Open until told otherwise.
    Open,
    /// Closed until told otherwise.
    Closed,
    /// As the calls say, from closed on.
    Auto,
}

/// Why a circuit opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// So many failures in a row.
    Row(u32),
    /// So many of so many calls failed.
    Rate(Counts),
    /// So many answers of so many were slow.
    Slow(Counts),
    /// A call that was to show whether it is well again was not answered, or slowly.
    StillBad,
}

/// A circuit's change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It opened for so many milliseconds.
    Opened(Cause, u64),
    /// It closed.
    Closed,
}

/// A call on its way, and how the circuit stood when it began. To be given back to
/// [`Breaker::leave`].
#[derive(Debug)]
pub struct Pass {
    seen: u64,
    tries: bool,
}

/// A circuit.
#[derive(Debug, Default)]
pub struct Breaker {
    /// Until when it is open, in milliseconds since the Unix epoch, or one of the numbers above.
    until_ms: AtomicU64,
    /// How often it opened since it was last closed.
    opened: AtomicU32,
    /// Calls under way that try it while it is half-open.
    trying: AtomicU32,
    failures_in_a_row: AtomicU32,
}

impl Breaker {
    /// Where it stands.
    pub fn state(&self, now_ms: u64) -> State {
        match self.until_ms.load(Ordering::Relaxed) {
            CLOSED => State::Closed,
            HELD_OPEN => State::HeldOpen,
            HELD_CLOSED => State::HeldClosed,
            until_ms if until_ms > now_ms => State::Open(until_ms),
            _ => State::HalfOpen,
        }
    }

    /// For how many more milliseconds calls are better sent elsewhere; 0 where they are welcome.
    pub fn tripped_ms(&self, now_ms: u64, terms: &Terms) -> u32 {
        match self.state(now_ms) {
            State::Closed | State::HeldClosed => 0,
            State::HeldOpen => HELD_MS,
            State::Open(until_ms) => u32::try_from(until_ms - now_ms).unwrap_or(u32::MAX),
            State::HalfOpen if self.trying.load(Ordering::Relaxed) < terms.half_open_calls => 0,
            State::HalfOpen => HALF_OPEN_AGAIN_MS,
        }
    }

    /// A call begins. The clock is only asked where the circuit is not closed.
    pub fn enter(&self, now_ms: impl FnOnce() -> u64) -> Pass {
        let seen = match self.until_ms.load(Ordering::Relaxed) {
            HELD_OPEN | HELD_CLOSED => CLOSED,
            until_ms => until_ms,
        };
        let tries = seen != CLOSED && seen <= now_ms();
        if tries {
            self.trying.fetch_add(1, Ordering::Relaxed);
        }
        Pass { seen, tries }
    }

    /// How the call ended is known, or nobody waits for it any more.
    pub fn leave(&self, pass: &mut Pass) {
        if std::mem::take(&mut pass.tries) {
            self.trying.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A call was answered, and not slowly.
    pub fn answered(&self, pass: &Pass) -> Option<Change> {
        if self.failures_in_a_row.load(Ordering::Relaxed) != 0 {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
        }
        // What began before the circuit opened says nothing about how it is now.
        if pass.seen == CLOSED || !self.turn(pass.seen, CLOSED) {
            return None;
        }
        self.opened.store(0, Ordering::Relaxed);
        Some(Change::Closed)
    }

    /// A call was answered slowly. `slow`: calls of the last minute, and how many of them were slow.
    pub fn crawled(
        &self,
        pass: &Pass,
        now_ms: u64,
        terms: &Terms,
        slow: impl FnOnce() -> Counts,
    ) -> Option<Change> {
        self.failures_in_a_row.store(0, Ordering::Relaxed);
        if pass.seen != CLOSED {
            return self.still_bad(pass.seen, now_ms, terms);
        }
        let slow = slow();
        if !reaches(slow, terms.slow_percent, terms.samples_min) {
            return None;
        }
        self.open(CLOSED, now_ms, terms, Cause::Slow(slow))
    }

    /// A call failed. `pass`: none for one whose circuit has been told of an answer before.
    pub fn failed(
        &self,
        pass: Option<&Pass>,
        now_ms: u64,
        terms: &Terms,
        counts: impl FnOnce() -> Counts,
    ) -> Option<Change> {
        if let Some(pass) = pass.filter(|pass| pass.seen != CLOSED) {
            return self.still_bad(pass.seen, now_ms, terms);
        }
        let row = self.failures_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        if terms.consecutive_failures != 0 && row >= terms.consecutive_failures {
            return self.open(CLOSED, now_ms, terms, Cause::Row(row));
        }
        let counts = counts();
        if !reaches(counts, terms.error_rate_percent, terms.samples_min) {
            return None;
        }
        self.open(CLOSED, now_ms, terms, Cause::Rate(counts))
    }

    /// Does what an administrator wants.
    pub fn hold(&self, hold: Hold) {
        self.failures_in_a_row.store(0, Ordering::Relaxed);
        self.opened.store(0, Ordering::Relaxed);
        let number = match hold {
            Hold::Open => HELD_OPEN,
            Hold::Closed => HELD_CLOSED,
            Hold::Auto => CLOSED,
        };
        self.until_ms.store(number, Ordering::Relaxed);
    }

    /// A call failed that began while the circuit was open. Before its time is over that is no news.
    fn still_bad(&self, seen: u64, now_ms: u64, terms: &Terms) -> Option<Change> {
        if seen > now_ms {
            return None;
        }
        self.open(seen, now_ms, terms, Cause::StillBad)
    }

    fn open(&self, seen: u64, now_ms: u64, terms: &Terms, cause: Cause) -> Option<Change> {
        let pause_ms = terms.pause_ms(self.opened.load(Ordering::Relaxed));
        if !self.turn(seen, now_ms.saturating_add(pause_ms)) {
            return None;
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.failures_in_a_row.store(0, Ordering::Relaxed);
        Some(Change::Opened(cause, pause_ms))
    }

    /// Of many calls that find out the same one turns the circuit.
    fn turn(&self, seen: u64, next: u64) -> bool {
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        self.until_ms
            .compare_exchange(seen, next, success, failure)
            .is_ok()
    }
}

/// Whether the failures are so many percent of the calls, and the calls enough to tell.
fn reaches(counts: Counts, percent: u32, samples_min: u32) -> bool {
    percent != 0
        && counts.calls >= samples_min
        && u64::from(counts.failures) * 100 >= u64::from(counts.calls) * u64::from(percent)
}

#[cfg(test)]
mod tests;

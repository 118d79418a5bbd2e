//! All limits of the process: reserve all that a call falls under, or none.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use weir_base::Clock;

use crate::counter::{Counter, State, Usage};
use crate::lock;
use crate::period::Period;
use crate::rule::{Amounts, Rule, Unit, Window};
use crate::table::Table;

/// Counters that may exist at once unless [`Limits::with_max_counters`] says otherwise. One costs
/// about 250 bytes and its key, and a sliding one 500 bytes more.
pub const DEFAULT_MAX_COUNTERS: usize = 250_000;

/// Why a call was not admitted. Nothing was taken from any counter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// At least one limit has no room; where several have none, the one to wait for longest.
    #[error("rule {rule}: {used} of {limit} are used, {asked} more do not fit")]
    Exceeded {
        /// Position of the rule in the list that was given.
        rule: usize,
        /// The rule's limit, in its unit.
        limit: u64,
        /// What was used or reserved before this call, in the rule's unit.
        used: u64,
        /// What this call asked for, in the rule's unit.
        asked: u64,
        /// Milliseconds until it would fit if no other call came; none where waiting for a
        /// clock cannot help (lifetime, in flight, or a call that is larger than the limit).
        retry_after_ms: Option<u64>,
    },
    /// A rule names a counter that does not exist yet, and there are too many already.
    #[error(
        "rule {rule}: there are already {max} counters; names of counters must not be made \
             from what clients can choose freely"
    )]
    TooManyCounters {
        /// Position of the rule in the list that was given.
        rule: usize,
        /// The bound on the number of counters.
        max: usize,
    },
}

/// One counter as it is saved and restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterState {
    /// The rule's key, with its namespace.
    pub key: String,
    /// What is counted.
    pub unit: Unit,
    /// Over which time.
    pub window: Window,
    /// The limit of the last rule that used it.
    pub limit: u64,
    /// Used in the window; for a sliding window the sum of `parts`.
    pub used: u64,
    /// Begin of the natural period, in milliseconds since the epoch; else 0.
    pub start_ms: u64,
    /// When the state will have lost its meaning, in milliseconds since the epoch; none for
    /// lifetime.
    pub expires_ms: Option<u64>,
    /// The filled parts of a sliding window: number since the epoch, and sum.
    pub parts: Vec<(u64, u64)>,
}

impl CounterState {
    /// A text that no other counter has.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.unit.as_str(), self.window, self.key)
    }
}

/// One counter as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CounterUsage {
    /// The rule's key, with its namespace.
    pub key: String,
    /// What is counted.
    pub unit: Unit,
    /// Over which time.
    pub window: Window,
    /// Used or reserved in the window that is in force.
    pub used: u64,
    /// The limit of the last rule that used it.
    pub limit: u64,
}

/// The counters of the process.
pub struct Limits {
    table: Table,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}

impl Limits {
    /// No counters yet, at most [`DEFAULT_MAX_COUNTERS`].
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_max_counters(clock, DEFAULT_MAX_COUNTERS)
    }

    /// No counters yet, at most `max_counters`.
    pub fn with_max_counters(clock: Arc<dyn Clock>, max_counters: usize) -> Self {
        Self {
            table: Table::new(max_counters),
            clock,
        }
    }

    /// Takes `estimate` from every counter that `rules` name, or from none of them.
    ///
    /// A rule has room where what is used and reserved, with this call's amount, does not exceed
    /// its limit. Natural periods that this call opens are those of `zone`.
    ///
    /// # Errors
    /// [`Refusal`] where a rule has no room, or where its counter cannot be made.
    pub fn reserve(
        &self,
        rules: &[Rule],
        estimate: &Amounts,
        zone: &TimeZone,
    ) -> Result<Reservation, Refusal> {
        let now_ms = self.clock.now_ms();
        loop {
            let mut held = self.find(rules, estimate, now_ms)?;
            if try_take(&mut held, now_ms, zone)? {
                return Ok(Reservation { held });
            }
            // A counter was swept between finding and locking it. Look again.
        }
    }

    fn find(&self, rules: &[Rule], estimate: &Amounts, now_ms: u64) -> Result<HeldList, Refusal> {
        let mut held = HeldList::new();
        for (index, rule) in rules.iter().enumerate() {
            let Some(counter) = self.table.find_or_make(rule, now_ms) else {
                return Err(Refusal::TooManyCounters {
                    rule: index,
                    max: self.table.max(),
                });
            };
            held.push(Held {
                counter,
                rule: index,
                limit: rule.limit,
                amount: estimate.of(rule.unit),
                mark: 0,
            });
        }
        if held.len() > 1 {
            // One order for every call: two calls that share counters cannot wait for each
            // other. Where a counter is named twice, the strictest limit is the one that matters,
            // and the call counts once.
            held.sort_unstable_by_key(|held| (held.counter.order, held.limit, held.rule));
            held.dedup_by_key(|held| held.counter.order);
        }
        Ok(held)
    }

    /// Drops the counters that hold nothing: no use in their window and no reservation. To be
    /// called every few seconds. Returns how many went.
    pub fn sweep(&self) -> usize {
        let now_ms = self.clock.now_ms();
        self.table.sweep(|counter| {
            let mut state = lock(&counter.state);
            let idle = state.open == 0 && state.used_at(now_ms) == 0;
            state.retired = idle;
            idle
        })
    }

    /// The counters that changed since the last call and are worth saving: natural periods,
    /// lifetime, and sliding windows of at least a minute. Reservations count with their
    /// estimate.
    pub fn snapshot_dirty(&self) -> Vec<CounterState> {
        let mut states = Vec::new();
        self.table.for_each(|counter| {
            if counter.dirty.load(Ordering::Relaxed) {
                // Cleared before reading: a change in between is saved twice rather than never.
                counter.dirty.store(false, Ordering::Relaxed);
                states.push(save(counter, &lock(&counter.state)));
            }
        });
        states
    }

    /// Puts back what was saved, as far as its window is still in force. For start-up, before
    /// the first call. States beyond the bound on counters are left out.
    pub fn restore(&self, states: Vec<CounterState>) {
        let now_ms = self.clock.now_ms();
        for saved in states {
            if saved
                .expires_ms
                .is_some_and(|expires_ms| expires_ms <= now_ms)
            {
                continue;
            }
            let CounterState {
                key,
                unit,
                window,
                limit,
                ..
            } = &saved;
            let rule = Rule {
                key: key.clone(),
                unit: *unit,
                window: *window,
                limit: *limit,
            };
            if let Some(counter) = self.table.find_or_make(&rule, now_ms) {
                load(&mut lock(&counter.state), &saved);
            }
        }
    }

    /// Every counter, in no order. For operators: it looks at each one.
    pub fn usage(&self) -> Vec<CounterUsage> {
        let now_ms = self.clock.now_ms();
        let mut usage = Vec::new();
        self.table.for_each(|counter| {
            let mut state = lock(&counter.state);
            usage.push(CounterUsage {
                key: counter.key.to_string(),
                unit: counter.unit,
                window: counter.window,
                used: state.used_at(now_ms),
                limit: state.limit,
            });
        });
        usage
    }
}

/// What one call takes from one counter.
struct Held {
    counter: Arc<Counter>,
    rule: usize,
    limit: u64,
    amount: u64,
    /// Which bucket of the counter the amount is in, once it was taken.
    mark: u64,
}

/// Four are as many as most chains name; more go to the heap.
type HeldList = SmallVec<[Held; 4]>;

/// Locks every counter, checks every limit and, where all have room, takes from all. False where
/// a counter has left the table. `held` is in locking order and names no counter twice.
fn try_take(held: &mut HeldList, now_ms: u64, zone: &TimeZone) -> Result<bool, Refusal> {
    let mut states: SmallVec<[MutexGuard<'_, State>; 4]> = SmallVec::new();
    let mut refusal = None;
    for held in held.iter() {
        let mut state = lock(&held.counter.state);
        if state.retired {
            return Ok(false);
        }
        state.roll(held.counter.window, now_ms, zone);
        if state.used().saturating_add(held.amount) > held.limit {
            refusal = Some(worse(refusal, exceeded(held, &state, now_ms)));
        }
        states.push(state);
    }
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    let marks: SmallVec<[u64; 4]> = states
        .iter_mut()
        .zip(held.iter())
        .map(|(state, held)| {
            held.counter.mark_dirty();
            state.take(held.amount, held.limit)
        })
        .collect();
    drop(states);
    for (held, mark) in held.iter_mut().zip(marks) {
        held.mark = mark;
    }
    Ok(true)
}

fn exceeded(held: &Held, state: &State, now_ms: u64) -> Refusal {
    Refusal::Exceeded {
        rule: held.rule,
        limit: held.limit,
        used: state.used(),
        asked: held.amount,
        retry_after_ms: state.fits_after_ms(held.amount, held.limit, now_ms),
    }
}

/// The refusal that keeps the caller waiting longer, else the one of the earlier rule.
fn worse(first: Option<Refusal>, second: Refusal) -> Refusal {
    let rank = |refusal: &Refusal| match refusal {
        Refusal::Exceeded {
            rule,
            retry_after_ms,
            ..
        } => (retry_after_ms.unwrap_or(u64::MAX), usize::MAX - rule),
        Refusal::TooManyCounters { rule, .. } => (u64::MAX, usize::MAX - rule),
    };
    match first {
        Some(first) if rank(&first) >= rank(&second) => first,
        _ => second,
    }
}

/// What an admitted call holds of its limits until it settles.
///
/// Dropped unsettled it settles with its estimate, so nothing stays in flight for ever.
#[must_use = "dropping a reservation settles it with its estimate"]
pub struct Reservation {
    held: HeldList,
}

impl Reservation {
    /// Replaces what was reserved by what the call really used, each in the window it was taken
    /// from; a window that has passed meanwhile is left alone. Gives back what counts only while
    /// a call is under way.
    pub fn settle(mut self, actual: &Amounts) {
        for held in self.held.drain(..) {
            let actual = actual.of(held.counter.unit);
            end(&held, actual);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        for held in self.held.drain(..) {
            end(&held, held.amount);
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self
            .held
            .iter()
            .map(|held| (&held.counter.key, held.amount));
        f.debug_map().entries(held).finish()
    }
}

fn end(held: &Held, actual: u64) {
    let counter = &held.counter;
    lock(&counter.state).settle(counter.window, held.mark, held.amount, actual);
    counter.mark_dirty();
}

fn save(counter: &Counter, state: &State) -> CounterState {
    let (used, start_ms, expires_ms, parts) = match &state.usage {
        Usage::Sliding(ring) => (ring.used(), 0, Some(ring.empty_at_ms()), ring.parts()),
        Usage::Period { used, period } => (*used, period.start_ms, Some(period.end_ms), Vec::new()),
        Usage::Plain(used) => (*used, 0, None, Vec::new()),
    };
    CounterState {
        key: counter.key.to_string(),
        unit: counter.unit,
        window: counter.window,
        limit: state.limit,
        used,
        start_ms,
        expires_ms,
        parts,
    }
}

fn load(state: &mut State, saved: &CounterState) {
    match &mut state.usage {
        Usage::Sliding(ring) => ring.restore(&saved.parts),
        Usage::Period { used, period } => {
            *used = saved.used;
            *period = Period {
                start_ms: saved.start_ms,
                end_ms: saved.expires_ms.unwrap_or(u64::MAX),
            };
        }
        Usage::Plain(used) => *used = saved.used,
    }
}

#[cfg(test)]
mod tests;

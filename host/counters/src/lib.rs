//! Limits that calls reserve before they run and settle after, and the policies' key-value store.
//! Both live in this process and are shared by all of its worker threads.
//!
//! Never does: I/O, threads of its own, HTTP, waiting. No lock here guards more than one counter,
//! or one small part of a table, or is held for longer than a few nanoseconds. What must outlast
//! the process leaves through `snapshot_dirty` and comes back through `restore`; who keeps it in
//! between is not this room's business.
//!
//! Read first: [`limits`], then `counter` for what a window is.

mod counter;
pub mod key_value;
pub mod limits;
mod period;
pub mod rule;
mod sliding;
mod table;

pub use key_value::{KeyValue, KeyValueBounds, KeyValueError, KeyValueState};
pub use limits::{CounterState, CounterUsage, DEFAULT_MAX_COUNTERS, Limits, Refusal, Reservation};
pub use rule::{Amounts, Rule, Unit, Window};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nothing in this room can panic half-way through a change, so a poisoned lock guards good data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

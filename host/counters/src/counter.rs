//! One counter: what is used under one key, unit and window.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::tz::TimeZone;

use crate::period::Period;
use crate::rule::{Rule, Unit, Window};
use crate::sliding::Ring;

/// A clock that steps back by less than this stays in the period it was in; one that steps back
/// further was set anew.
const STEP_BACK_MS: u64 = 60_000;

/// Sliding windows at least this long are worth saving across a restart.
const LASTING_SLIDING_SECONDS: u32 = 60;

#[derive(Debug)]
pub(crate) struct Counter {
    /// The order in which counters are locked. No two counters share it.
    pub(crate) order: u64,
    pub(crate) key: Box<str>,
    pub(crate) unit: Unit,
    pub(crate) window: Window,
    /// Changed since the last snapshot.
    pub(crate) dirty: AtomicBool,
    pub(crate) state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    /// The limit that the last rule gave; shown to operators, never used to decide.
    pub(crate) limit: u64,
    /// Reservations that have not settled yet.
    pub(crate) open: u32,
    /// Swept out of the table: whoever still found it must look it up again.
    pub(crate) retired: bool,
    pub(crate) usage: Usage,
}

/// What is used, in the form that the window needs.
#[derive(Debug)]
pub(crate) enum Usage {
    Sliding(Ring),
    Period {
        used: u64,
        period: Period,
    },
    /// Lifetime and call.
    Plain(u64),
}

impl Counter {
    pub(crate) fn new(order: u64, rule: &Rule, now_ms: u64) -> Self {
        let window = rule.effective_window();
        let usage = match window {
            Window::Sliding { seconds } => Usage::Sliding(Ring::new(seconds, now_ms)),
            Window::Day | Window::Week | Window::Month => {
                // An empty period that is over: the first use opens the real one, in the zone
                // of the call that brings it.
                Usage::Period {
                    used: 0,
                    period: Period {
                        start_ms: 0,
                        end_ms: 0,
                    },
                }
            }
            Window::Lifetime | Window::Call => Usage::Plain(0),
        };
        Self {
            order,
            key: rule.key.as_str().into(),
            unit: rule.unit,
            window,
            dirty: AtomicBool::new(false),
            state: Mutex::new(State {
                limit: rule.limit,
                open: 0,
                retired: false,
                usage,
            }),
        }
    }

    pub(crate) fn is_for(&self, key: &str, unit: Unit, window: Window) -> bool {
        self.unit == unit && self.window == window && *self.key == *key
    }

    /// True where the counter is worth saving across a restart.
    pub(crate) fn lasts(&self) -> bool {
        match self.window {
            Window::Sliding { seconds } => seconds >= LASTING_SLIDING_SECONDS,
            Window::Day | Window::Week | Window::Month | Window::Lifetime => true,
            Window::Call => false,
        }
    }

    pub(crate) fn mark_dirty(&self) {
        // Reading first keeps a busy counter's cache line from being written for nothing.
        if self.lasts() && !self.dirty.load(Ordering::Relaxed) {
            self.dirty.store(true, Ordering::Relaxed);
        }
    }
}

impl State {
    /// Moves the window on to `now_ms`.
    pub(crate) fn roll(&mut self, window: Window, now_ms: u64, zone: &TimeZone) {
        match &mut self.usage {
            Usage::Sliding(ring) => ring.roll(now_ms),
            Usage::Period { used, period } => {
                if now_ms >= period.end_ms || now_ms.saturating_add(STEP_BACK_MS) < period.start_ms
                {
                    *period = Period::containing(window, now_ms, zone);
                    *used = 0;
                }
            }
            Usage::Plain(_) => {}
        }
    }

    pub(crate) fn used(&self) -> u64 {
        match &self.usage {
            Usage::Sliding(ring) => ring.used(),
            Usage::Period { used, .. } | Usage::Plain(used) => *used,
        }
    }

    /// Milliseconds until `amount` would fit under `limit`, if waiting can help at all.
    pub(crate) fn fits_after_ms(&self, amount: u64, limit: u64, now_ms: u64) -> Option<u64> {
        if amount > limit {
            return None;
        }
        match &self.usage {
            Usage::Sliding(ring) => {
                let excess = ring.used().saturating_add(amount).saturating_sub(limit);
                ring.freed_after_ms(excess, now_ms)
            }
            Usage::Period { period, .. } => {
                (period.end_ms < u64::MAX).then(|| period.end_ms.saturating_sub(now_ms).max(1))
            }
            Usage::Plain(_) => None,
        }
    }

    /// Takes `amount` and returns the mark of the bucket it was put into.
    pub(crate) fn take(&mut self, amount: u64, limit: u64) -> u64 {
        self.limit = limit;
        self.open = self.open.saturating_add(1);
        match &mut self.usage {
            Usage::Sliding(ring) => ring.add(amount),
            Usage::Period { used, period } => {
                *used = used.saturating_add(amount);
                period.start_ms
            }
            Usage::Plain(used) => {
                *used = used.saturating_add(amount);
                0
            }
        }
    }

    /// Ends one reservation: replaces what it took by what the call really used, in the bucket
    /// named by `mark`; a bucket that is gone is left alone.
    pub(crate) fn settle(&mut self, window: Window, mark: u64, reserved: u64, actual: u64) {
        self.open = self.open.saturating_sub(1);
        match &mut self.usage {
            Usage::Sliding(ring) => ring.replace(mark, reserved, actual),
            Usage::Period { used, period } => {
                if period.start_ms == mark {
                    *used = used.saturating_sub(reserved).saturating_add(actual);
                }
            }
            Usage::Plain(used) => {
                let kept = if window == Window::Call { 0 } else { actual };
                *used = used.saturating_sub(reserved).saturating_add(kept);
            }
        }
    }

    /// What is used at `now_ms`, without moving the window on.
    pub(crate) fn used_at(&mut self, now_ms: u64) -> u64 {
        match &mut self.usage {
            Usage::Sliding(ring) => {
                ring.roll(now_ms);
                ring.used()
            }
            Usage::Period { used, period } => {
                if now_ms >= period.end_ms {
                    0
                } else {
                    *used
                }
            }
            Usage::Plain(used) => *used,
        }
    }
}

//! One coarse clock per worker for every timeout of every exchange.
//!
//! A timer of its own per request and per piece of a stream would cost a clock reading and a
//! change of the timer wheel each. Here a deadline is a number in a slab, extending it is a store,
//! and one task looks through the slab every [`TICK_MS`] while there is anything in it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Milliseconds between two looks at the deadlines.
pub(crate) const TICK_MS: u64 = 20;

/// The clock and the deadlines.
pub(crate) struct Watch {
    started: Instant,
    now_ms: Cell<u64>,
    /// False while the ticking task sleeps without looking, so that `now_ms` may be old.
    ticking: Cell<bool>,
    wake: Notify,
    entries: RefCell<Slab<Entry>>,
}

struct Entry {
    deadline_ms: u64,
    waker: Option<Waker>,
}

impl Watch {
    pub(crate) fn new() -> Rc<Watch> {
        Rc::new(Watch {
            started: Instant::now(),
            now_ms: Cell::new(0),
            ticking: Cell::new(false),
            wake: Notify::new(),
            entries: RefCell::new(Slab::new()),
        })
    }

    /// Milliseconds since the watch was made; old by a tick at most while deadlines exist.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// True if there is no deadline.
    pub(crate) fn is_idle(&self) -> bool {
        self.entries.borrow().is_empty()
    }

    /// A deadline `after_ms` from now.
    pub(crate) fn arm(self: &Rc<Self>, after_ms: u64) -> Deadline {
        if !self.ticking.get() {
            self.read_clock();
            self.ticking.set(true);
            self.stir();
        }
        let deadline_ms = self.now_ms().saturating_add(after_ms);
        let key = self.entries.borrow_mut().insert(Entry {
            deadline_ms,
            waker: None,
        });
        Deadline {
            watch: Rc::clone(self),
            key,
        }
    }

    /// Ends the ticking task's rest.
    pub(crate) fn stir(&self) {
        self.wake.notify_one();
    }

    /// Waits for the next tick: soon while there are deadlines, else until one is armed or
    /// `rest_ms` have passed.
    pub(crate) async fn tick(&self, rest_ms: Option<u64>) {
        if !self.is_idle() {
            tokio::time::sleep(Duration::from_millis(TICK_MS)).await;
        } else {
            self.ticking.set(false);
            match rest_ms {
                Some(rest_ms) => {
                    let rest = Duration::from_millis(rest_ms.max(TICK_MS));
                    tokio::select! {
                        () = tokio::time::sleep(rest) => {}
                        () = self.wake.notified() => {}
                    }
                }
                None => self.wake.notified().await,
            }
            self.ticking.set(true);
        }
        self.read_clock();
        self.fire();
    }

    fn read_clock(&self) {
        let since = self.started.elapsed().as_millis();
        self.now_ms.set(u64::try_from(since).unwrap_or(u64::MAX));
    }

    /// Wakes whoever waits on a deadline that has passed. The wakers are taken out first, because
    /// what they run is not ours.
    fn fire(&self) {
        let now_ms = self.now_ms();
        let mut due = Vec::new();
        for (_, entry) in self.entries.borrow_mut().iter_mut() {
            if entry.deadline_ms <= now_ms {
                due.extend(entry.waker.take());
            }
        }
        for waker in due {
            waker.wake();
        }
    }
}

/// One deadline; forgotten when dropped.
pub(crate) struct Deadline {
    watch: Rc<Watch>,
    key: usize,
}

impl Deadline {
    /// Moves the deadline to `after_ms` from now, but not beyond `end_ms`.
    pub(crate) fn extend(&self, after_ms: u64, end_ms: u64) {
        let deadline_ms = self.watch.now_ms().saturating_add(after_ms).min(end_ms);
        if let Some(entry) = self.watch.entries.borrow_mut().get_mut(self.key) {
            entry.deadline_ms = deadline_ms;
        }
    }

    /// Ready once the deadline has passed. Ask this only after the thing itself was not ready:
    /// data that came in time wins over a thread that was late to look.
    pub(crate) fn poll_passed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut entries = self.watch.entries.borrow_mut();
        let Some(entry) = entries.get_mut(self.key) else {
            return Poll::Pending;
        };
        if entry.deadline_ms <= self.watch.now_ms() {
            return Poll::Ready(());
        }
        match &entry.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => entry.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        // The entry, and with it a waker, is dropped after the borrow has ended.
        let entry = self.watch.entries.borrow_mut().try_remove(self.key);
        drop(entry);
    }
}

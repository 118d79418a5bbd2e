//! Turns: hooks that run long take them, so that all of them together keep a worker from its other
//! calls no longer at a time than one of them would.
//!
//! A hook that ends within an epoch, as nearly all do, takes none. One that runs on gives way at each
//! epoch and goes on only in its turn: one slice of one hook, then everything else that the worker has
//! to do, then the next. Versions take turns, and within a version its hooks, so that those who wait
//! wait most for their own policy. A version whose hooks have run long lately takes its turn before it
//! begins.
//!
//! Never does: stop a hook. What it waits for its turn is time that it waits.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Hooks in a row that must end within an epoch until a version that ran long is taken for quick.
const QUICK_AGAIN: u32 = 16;
/// Versions whose semaphores are kept before those are dropped that nobody holds.
const VERSIONS_KEPT: usize = 64;

thread_local! {
    /// The one slice at a time of this worker.
    static SLICE: Arc<Semaphore> = Arc::new(Semaphore::new(1));
    /// Which of a version's hooks is the one that waits for a slice, by the version's number.
    static VERSIONS: RefCell<HashMap<u64, Weak<Semaphore>, ahash::RandomState>> = RefCell::default();
}

/// How quick a version has been lately. Shared by its instances.
#[derive(Debug)]
pub(crate) struct Pace {
    number: u64,
    /// Quick hooks that are still to come until it is quick again.
    slow: AtomicU32,
}

impl Pace {
    pub(crate) fn new(number: u64) -> Arc<Self> {
        Arc::new(Self {
            number,
            slow: AtomicU32::new(0),
        })
    }

    fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed) > 0
    }

    /// A hook of it has ended within an epoch.
    pub(crate) fn was_quick(&self) {
        let left = self.slow.load(Ordering::Relaxed);
        if left > 0 {
            // A race only makes it quick a little sooner.
            self.slow.store(left - 1, Ordering::Relaxed);
        }
    }

    fn line(&self) -> Arc<Semaphore> {
        VERSIONS.with_borrow_mut(|versions| {
            if let Some(line) = versions.get(&self.number).and_then(Weak::upgrade) {
                return line;
            }
            if versions.len() >= VERSIONS_KEPT {
                versions.retain(|_, line| line.strong_count() > 0);
            }
            let line = Arc::new(Semaphore::new(1));
            versions.insert(self.number, Arc::downgrade(&line));
            line
        })
    }
}

/// What a hook holds while it is its turn: its place in its version's line, and the slice.
type Held = [OwnedSemaphorePermit; 2];

/// One instance's turns.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pace: Arc<Pace>,
    held: Arc<Mutex<Option<Held>>>,
}

pub(crate) type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Turn {
    pub(crate) fn new(pace: &Arc<Pace>) -> Self {
        Self {
            pace: Arc::clone(pace),
            held: Arc::default(),
        }
    }

    /// What a hook waits for before it begins, if it has to.
    pub(crate) fn before(&self) -> Option<Waiting> {
        self.pace.is_slow().then(|| self.next())
    }

    /// An epoch began while a hook ran: it gives way until it is its turn again.
    pub(crate) fn after_epoch(&self) -> Waiting {
        self.pace.slow.store(QUICK_AGAIN, Ordering::Relaxed);
        self.next()
    }

    fn next(&self) -> Waiting {
        let held = Arc::clone(&self.held);
        let (line, slice) = (self.pace.line(), SLICE.with(Arc::clone));
        Box::pin(async move {
            drop(take(&held));
            let first_in_line = line.acquire_owned().await;
            let slice = slice.acquire_owned().await;
            // With the turn in hand, so that between two slices the worker looks at its connections and
            // timers, whoever's slices they are.
            Round::default().await;
            // Neither is ever closed.
            if let (Ok(first_in_line), Ok(slice)) = (first_in_line, slice) {
                let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                *held = Some([first_in_line, slice]);
            }
        })
    }

    /// The hook is over, or waits for something else than its turn.
    pub(crate) fn give_up(&self) {
        drop(take(&self.held));
    }

    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }
}

/// Ready when the worker has looked at its connections and timers once. Tokio's own yield sees to that,
/// which waking the task at once would not; but it ends at the next poll, and hyper may poll a body
/// sixteen times before it lets the worker go on.
#[derive(Default)]
struct Round {
    begun: bool,
    over: Arc<Over>,
}

#[derive(Default)]
struct Over {
    is_over: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Over {
    fn wake(self: Arc<Self>) {
        self.is_over.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Future for Round {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.over.task.register(cx.waker());
        if !std::mem::replace(&mut self.begun, true) {
            let waker = Waker::from(Arc::clone(&self.over));
            // It gives its waker to the runtime, for after the round, and is not needed any more.
            let _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&waker));
        }
        if self.over.is_over.load(Ordering::Acquire) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

fn take(held: &Mutex<Option<Held>>) -> Option<Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_again_at_once_does_not_shorten_the_round() {
        let mut round = Round::default();
        let mut polls = 0;
        std::future::poll_fn(|cx| {
            polls += 1;
            for _ in 0..16 {
                let polled = Pin::new(&mut round).poll(cx);
                assert_eq!(polled.is_ready(), polls > 1, "in round {polls}");
                if polled.is_ready() {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        })
        .await;
        assert_eq!(polls, 2);
    }

    #[tokio::test]
    async fn long_hooks_take_turns_version_by_version() {
        let (one, other) = (Pace::new(1), Pace::new(2));
        let said = Arc::new(Mutex::new(Vec::new()));
        let local = tokio::task::LocalSet::new();
        for (name, pace) in [("a", &one), ("b", &one), ("c", &other)] {
            let (turn, said) = (Turn::new(pace), Arc::clone(&said));
            local.spawn_local(async move {
                for _ in 0..2 {
                    turn.after_epoch().await;
                    said.lock().unwrap().push(name);
                }
                turn.give_up();
            });
        }
        local.await;
        // `a` and `b` are of the same version.
        assert_eq!(*said.lock().unwrap(), ["a", "c", "b", "c", "a", "b"]);
    }

    #[test]
    fn a_version_is_quick_again_after_some_quick_hooks() {
        let pace = Pace::new(1);
        let turn = Turn::new(&pace);
        assert!(turn.before().is_none());
        drop(turn.after_epoch());
        for _ in 0..QUICK_AGAIN {
            assert!(turn.before().is_some());
            pace.was_quick();
        }
        assert!(turn.before().is_none());
    }
}

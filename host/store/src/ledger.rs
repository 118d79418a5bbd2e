//! The face of the ledger that a call sees: put the row down and go on.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use crate::call::CallRow;
use crate::error::StoreError;

/// Puts rows into the ledger. Cheap to clone; each worker keeps one.
///
/// Rows wait in memory for the writing thread, which looks for them by itself every few hundred
/// milliseconds: so recording wakes nobody and costs a few dozen nanoseconds.
#[derive(Clone)]
pub struct Ledger {
    rows: mpsc::Sender<CallRow>,
    shared: Arc<Shared>,
}

/// How the ledger is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerStatus {
    /// Whether new calls may be accepted.
    pub accepting: bool,
    /// Rows that are not in the database yet.
    pub backlog: usize,
    /// Rows recorded after the store was closed, and so lost.
    pub lost: u64,
    /// Why the last write failed; none while writes succeed.
    pub failure: Option<StoreError>,
}

impl Ledger {
    pub(crate) fn new(max_backlog: usize) -> (Self, mpsc::Receiver<CallRow>, Arc<Shared>) {
        let (rows, receiver) = mpsc::channel();
        let shared = Arc::new(Shared {
            accepting: AtomicBool::new(true),
            backlog: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            threshold: max_backlog.saturating_mul(3) / 4,
            failure: Mutex::new(None),
        });
        (
            Self {
                rows,
                shared: Arc::clone(&shared),
            },
            receiver,
            shared,
        )
    }

    /// Puts down the row of a finished call. Never waits and never refuses: what bounds the
    /// backlog is that no new call is accepted while [`Ledger::accepting`] is false.
    pub fn record(&self, row: CallRow) {
        let backlog = self.shared.backlog.fetch_add(1, Ordering::Relaxed) + 1;
        if backlog == self.shared.threshold {
            self.shared.accepting.store(false, Ordering::Relaxed);
        }
        if self.rows.send(row).is_err() {
            self.shared.backlog.fetch_sub(1, Ordering::Relaxed);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether new calls may be accepted: false while the database cannot be written, and while
    /// the backlog is above three quarters of its bound. One relaxed load.
    pub fn accepting(&self) -> bool {
        self.shared.accepting.load(Ordering::Relaxed)
    }

    /// How the ledger is doing, for `/readyz`, metrics and logs.
    pub fn status(&self) -> LedgerStatus {
        LedgerStatus {
            accepting: self.accepting(),
            backlog: self.shared.backlog.load(Ordering::Relaxed),
            lost: self.shared.lost.load(Ordering::Relaxed),
            failure: self.shared.failure().clone(),
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ledger").field(&self.status()).finish()
    }
}

/// What the recording threads and the writing thread share.
pub(crate) struct Shared {
    accepting: AtomicBool,
    backlog: AtomicUsize,
    lost: AtomicU64,
    threshold: usize,
    failure: Mutex<Option<StoreError>>,
}

impl Shared {
    /// Notes that `rows` are in the database.
    pub(crate) fn written(&self, rows: usize) {
        self.backlog.fetch_sub(rows, Ordering::Relaxed);
    }

    /// Notes whether the last write succeeded, and decides anew whether calls are accepted.
    pub(crate) fn judge(&self, failure: Option<StoreError>) {
        let has_room = self.backlog.load(Ordering::Relaxed) < self.threshold;
        self.accepting
            .store(has_room && failure.is_none(), Ordering::Relaxed);
        *self.failure() = failure;
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure().is_some()
    }

    fn failure(&self) -> std::sync::MutexGuard<'_, Option<StoreError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

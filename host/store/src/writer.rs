//! The thread that writes: administrators' changes as they come, the ledger in batches.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::backend::Backend;
use crate::call::CallRow;
use crate::error::StoreError;
use crate::ledger::Shared;

/// Rows in one transaction. More would not be cheaper per row, and hold up changes that wait.
const MAX_BATCH: usize = 4_096;

/// Something to do with the database. Says why the database could not be written, if so.
pub(crate) type Job = Box<dyn FnOnce(&mut dyn Backend) -> Option<StoreError> + Send>;

pub(crate) enum Order {
    Run(Job),
    /// Write every row that was recorded before this order.
    Flush(mpsc::Sender<Result<(), StoreError>>),
    /// The same, then end.
    Close(mpsc::Sender<Result<(), StoreError>>),
}

pub(crate) struct Writer {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) rows: mpsc::Receiver<CallRow>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) flush_every: Duration,
}

impl Writer {
    /// Works until it is told to close, or until no handle is left.
    pub(crate) fn run(mut self) {
        let mut batch = Vec::new();
        let mut next_flush = Instant::now() + self.flush_every;
        loop {
            let wait = next_flush.saturating_duration_since(Instant::now());
            match self.orders.recv_timeout(wait) {
                Ok(Order::Run(job)) => {
                    if let Some(failure) = job(&mut *self.backend) {
                        self.shared.judge(Some(failure));
                    }
                }
                Ok(Order::Flush(done)) => {
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(self.write_rows(&mut batch));
                }
                Ok(Order::Close(done)) => {
                    let result = self.write_rows(&mut batch);
                    self.end();
                    // Gone before the answer: whoever gets it finds the store closed.
                    drop(self);
                    let _ = done.send(result);
                    return;
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    // No one is left to tell.
                    let _ = self.write_rows(&mut batch);
                    self.end();
                    return;
                }
            }
            if Instant::now() >= next_flush {
                // The failure stands in the ledger's status; the rows stay and are tried again.
                let _ = self.write_rows(&mut batch);
                next_flush = Instant::now() + self.flush_every;
            }
        }
    }

    /// Writes all that waits. `batch` holds what was taken from the queue and is not written yet,
    /// so that a failure loses nothing.
    fn write_rows(&mut self, batch: &mut Vec<CallRow>) -> Result<(), StoreError> {
        let mut wrote = false;
        loop {
            let room = MAX_BATCH.saturating_sub(batch.len());
            batch.extend(self.rows.try_iter().take(room));
            if batch.is_empty() {
                break;
            }
            if let Err(error) = self.backend.write_calls(batch) {
                self.shared.judge(Some(error.clone()));
                return Err(error);
            }
            wrote = true;
            self.shared.written(batch.len());
            self.shared.judge(None);
            batch.clear();
        }
        // With no row to try it with, only a probe can tell that a full disk has room again.
        if !wrote && self.shared.has_failed() {
            let probed = self.backend.probe();
            self.shared.judge(probed.err());
        } else if !wrote {
            self.shared.judge(None);
        }
        Ok(())
    }

    fn end(&self) {
        self.shared.judge(Some(StoreError::closed()));
    }
}

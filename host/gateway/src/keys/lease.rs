//! A key in a call's hands. Dropped, it gives back what is only held while a call runs.

use std::ops::Deref;
use std::sync::Arc;

use super::learnt::Mark;
use super::meter::Taken;
use super::pool::ProviderKey;

/// A key that a call uses, and what the call took of its limits.
#[derive(Debug)]
pub struct Lease {
    key: Arc<ProviderKey>,
    taken: Option<Taken>,
    pub(super) mark: Mark,
}

impl Lease {
    pub(super) fn new(key: &Arc<ProviderKey>, taken: Option<Taken>, mark: Mark) -> Self {
        Self {
            key: Arc::clone(key),
            taken,
            mark,
        }
    }

    /// What the call used is known: `tokens` of input and output together, in place of the estimate.
    /// Only the first time counts. Without it the estimate stays, as the provider may have counted it.
    pub fn settle(&mut self, tokens: u64, now_ms: u64) {
        if let Some(taken) = self.taken.take() {
            self.key.state.meter.settle(taken, tokens, now_ms);
        }
    }

    /// The call is not made after all: nothing of it counts.
    pub fn undo(mut self, now_ms: u64) {
        if let Some(taken) = self.taken.take() {
            self.key.state.meter.undo(taken, now_ms);
        }
    }
}

impl Deref for Lease {
    type Target = ProviderKey;

    fn deref(&self) -> &ProviderKey {
        &self.key
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.key.state.meter.end();
    }
}

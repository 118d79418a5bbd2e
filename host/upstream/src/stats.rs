//! Counters of one worker's connections, readable from any thread.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a pool has done and what it holds. One thread writes, any thread may read, so relaxed
/// loads and stores suffice and the request path pays for no locked instruction.
#[derive(Debug, Default)]
pub struct Stats {
    connects: AtomicU64,
    reused: AtomicU64,
    open: AtomicU64,
    idle: AtomicU64,
}

impl Stats {
    /// Connections that were opened since the start.
    pub fn connects(&self) -> u64 {
        self.connects.load(Ordering::Relaxed)
    }

    /// Requests that went out on a connection which had served another one before.
    pub fn reused(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }

    /// Connections that are open now, busy or idle; those being set up included.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// HTTP/1.1 connections that are waiting for a request now.
    pub fn idle(&self) -> u64 {
        self.idle.load(Ordering::Relaxed)
    }

    pub(crate) fn count_connect(&self) {
        add(&self.connects, 1);
    }

    pub(crate) fn count_reuse(&self) {
        add(&self.reused, 1);
    }

    pub(crate) fn opened(&self) {
        add(&self.open, 1);
    }

    pub(crate) fn closed(&self) {
        sub(&self.open, 1);
    }

    pub(crate) fn idle_added(&self) {
        add(&self.idle, 1);
    }

    pub(crate) fn idle_removed(&self, count: u64) {
        sub(&self.idle, count);
    }
}

fn add(counter: &AtomicU64, by: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(by),
        Ordering::Relaxed,
    );
}

fn sub(counter: &AtomicU64, by: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).saturating_sub(by),
        Ordering::Relaxed,
    );
}

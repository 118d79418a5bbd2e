//! The table of counters: found by their parts without building a key, swept when idle, bounded.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ahash::RandomState;
use hashbrown::HashTable;

use crate::counter::Counter;
use crate::rule::{Rule, Unit, Window};

/// The table is cut into this many parts, each with its own lock.
const SHARDS: usize = 64;

type Shard = RwLock<HashTable<Arc<Counter>>>;

pub(crate) struct Table {
    shards: [Shard; SHARDS],
    hasher: RandomState,
    count: AtomicUsize,
    max: usize,
    next_order: AtomicU64,
}

impl Table {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::new(HashTable::new())),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
            max,
            next_order: AtomicU64::new(0),
        }
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// The counter of `rule`, made where there is none; none where the table is full.
    pub(crate) fn find_or_make(&self, rule: &Rule, now_ms: u64) -> Option<Arc<Counter>> {
        let window = rule.effective_window();
        let hash = self.hash(&rule.key, rule.unit, window);
        let shard = self.shard(hash)?;
        let is_it = |counter: &Arc<Counter>| counter.is_for(&rule.key, rule.unit, window);
        {
            let held = shard.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(counter) = held.find(hash, is_it) {
                return Some(Arc::clone(counter));
            }
        }
        let mut held = shard.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = held.find(hash, is_it) {
            return Some(Arc::clone(counter));
        }
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let order = self.next_order.fetch_add(1, Ordering::Relaxed);
        let counter = Arc::new(Counter::new(order, rule, now_ms));
        held.insert_unique(hash, Arc::clone(&counter), |counter| {
            self.hash(&counter.key, counter.unit, counter.window)
        });
        Some(counter)
    }

    /// Removes every counter for which `is_idle` says so and returns how many there were.
    pub(crate) fn sweep(&self, is_idle: impl Fn(&Counter) -> bool) -> usize {
        let mut swept = 0;
        for shard in &self.shards {
            let mut held = shard.write().unwrap_or_else(PoisonError::into_inner);
            let before = held.len();
            held.retain(|counter| !is_idle(counter));
            let gone = before - held.len();
            let room_for = held.len() * 2;
            if gone > 0 && room_for < held.capacity() / 2 {
                held.shrink_to(room_for, |counter| {
                    self.hash(&counter.key, counter.unit, counter.window)
                });
            }
            swept += gone;
        }
        self.count.fetch_sub(swept, Ordering::Relaxed);
        swept
    }

    /// Shows every counter to `see`, one part of the table after the other.
    pub(crate) fn for_each(&self, mut see: impl FnMut(&Counter)) {
        for shard in &self.shards {
            let held = shard.read().unwrap_or_else(PoisonError::into_inner);
            held.iter().for_each(|counter| see(counter));
        }
    }

    fn hash(&self, key: &str, unit: Unit, window: Window) -> u64 {
        self.hasher.hash_one((key, unit, window))
    }

    fn shard(&self, hash: u64) -> Option<&Shard> {
        // The hash table itself uses the lowest bits and the highest seven.
        self.shards.get((hash >> 32) as usize % SHARDS)
    }
}

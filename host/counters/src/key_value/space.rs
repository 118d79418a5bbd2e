//! One namespace: its keys in a few separately locked parts, its size in two atomics.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ahash::RandomState;

use super::{KeyValueBounds, KeyValueError, KeyValueState};
use crate::lock;

/// As many parts as there will be workers on a large machine asking for the same policy's keys.
const PARTS: usize = 8;

const NEVER: u64 = u64::MAX;

/// What happens to one key.
pub(super) enum Change<'a> {
    Set {
        value: &'a [u8],
        ttl_ms: Option<u64>,
    },
    Add {
        by: i64,
        ttl_ms: Option<u64>,
    },
}

#[derive(Default)]
pub(super) struct Space {
    parts: [Mutex<Part>; PARTS],
    hasher: RandomState,
    keys: AtomicUsize,
    bytes: AtomicUsize,
}

struct Part {
    entries: HashMap<Box<str>, Entry, RandomState>,
    /// Keys that were set or removed since the last snapshot.
    changed: HashSet<Box<str>, RandomState>,
    /// Nothing in this part expires earlier. Spares a full namespace from looking through all
    /// of its keys at every refused `set`.
    earliest_ms: u64,
}

impl Default for Part {
    fn default() -> Self {
        Self {
            entries: HashMap::default(),
            changed: HashSet::default(),
            earliest_ms: NEVER,
        }
    }
}

struct Entry {
    value: Arc<[u8]>,
    expires_ms: u64,
}

impl Space {
    pub(super) fn get(&self, key: &str, now_ms: u64) -> Option<Arc<[u8]>> {
        let part = lock(self.part(key)?);
        let entry = part.entries.get(key)?;
        (entry.expires_ms > now_ms).then(|| Arc::clone(&entry.value))
    }

    pub(super) fn remove(&self, key: &str) {
        let Some(part) = self.part(key) else { return };
        let mut part = lock(part);
        if let Some((key, entry)) = part.entries.remove_entry(key) {
            self.give_back(1, key.len() + entry.value.len());
            part.changed.insert(key);
        }
    }

    pub(super) fn clear(&self) {
        for part in &self.parts {
            let mut part = lock(part);
            for (key, entry) in std::mem::take(&mut part.entries) {
                self.give_back(1, key.len() + entry.value.len());
                part.changed.insert(key);
            }
        }
    }

    /// Sets or adds. Returns the sum of an `add`, 0 for a `set`.
    pub(super) fn change(
        &self,
        key: &str,
        change: Change<'_>,
        now_ms: u64,
        bounds: &KeyValueBounds,
    ) -> Result<i64, KeyValueError> {
        match self.try_change(key, &change, now_ms, bounds) {
            Err(KeyValueError::TooManyKeys { .. } | KeyValueError::TooManyBytes { .. })
                if self.purge(now_ms) > 0 =>
            {
                self.try_change(key, &change, now_ms, bounds)
            }
            result => result,
        }
    }

    fn try_change(
        &self,
        key: &str,
        change: &Change<'_>,
        now_ms: u64,
        bounds: &KeyValueBounds,
    ) -> Result<i64, KeyValueError> {
        if key.len() > bounds.key_bytes {
            return Err(KeyValueError::KeyTooLong {
                max_bytes: bounds.key_bytes,
            });
        }
        let Some(part) = self.part(key) else {
            return Ok(0);
        };
        let part = &mut *lock(part);
        let old = part.entries.get_mut(key);
        let live = old.as_deref().filter(|entry| entry.expires_ms > now_ms);
        let (sum, value, expires_ms): (i64, Arc<[u8]>, u64) = match change {
            Change::Set { value, ttl_ms } => {
                if value.len() > bounds.value_bytes {
                    return Err(KeyValueError::ValueTooLong {
                        max_bytes: bounds.value_bytes,
                    });
                }
                (0, Arc::from(*value), expiry(now_ms, *ttl_ms))
            }
            Change::Add { by, ttl_ms } => {
                let before = live.map_or(Ok(0), |entry| number(&entry.value))?;
                let sum = before.checked_add(*by).ok_or(KeyValueError::Overflow)?;
                let expires_ms = live.map_or(expiry(now_ms, *ttl_ms), |entry| entry.expires_ms);
                (sum, Arc::from(sum.to_string().as_bytes()), expires_ms)
            }
        };
        let old_bytes = old.as_deref().map(|entry| key.len() + entry.value.len());
        self.take_room(old_bytes, key.len() + value.len(), bounds)?;
        part.earliest_ms = part.earliest_ms.min(expires_ms);
        match old {
            Some(entry) => *entry = Entry { value, expires_ms },
            None => {
                part.entries.insert(key.into(), Entry { value, expires_ms });
            }
        }
        if !part.changed.contains(key) {
            part.changed.insert(key.into());
        }
        Ok(sum)
    }

    /// Puts back a saved key without marking it as changed.
    pub(super) fn restore(
        &self,
        key: &str,
        value: &[u8],
        ttl_ms: Option<u64>,
        now_ms: u64,
        bounds: &KeyValueBounds,
    ) {
        if self
            .change(key, Change::Set { value, ttl_ms }, now_ms, bounds)
            .is_ok()
            && let Some(part) = self.part(key)
        {
            lock(part).changed.remove(key);
        }
    }

    /// Removes what has expired and returns how many keys that were.
    pub(super) fn purge(&self, now_ms: u64) -> usize {
        let (mut keys, mut bytes) = (0, 0);
        for part in &self.parts {
            let part = &mut *lock(part);
            if part.earliest_ms > now_ms {
                continue;
            }
            let mut earliest_ms = NEVER;
            part.entries.retain(|key, entry| {
                let stays = entry.expires_ms > now_ms;
                if stays {
                    earliest_ms = earliest_ms.min(entry.expires_ms);
                } else {
                    keys += 1;
                    bytes += key.len() + entry.value.len();
                }
                stays
            });
            part.earliest_ms = earliest_ms;
        }
        self.give_back(keys, bytes);
        keys
    }

    pub(super) fn take_changes(&self, namespace: &str, states: &mut Vec<KeyValueState>) {
        for part in &self.parts {
            let part = &mut *lock(part);
            for key in std::mem::take(&mut part.changed) {
                let entry = part.entries.get(&key);
                states.push(KeyValueState {
                    namespace: namespace.to_owned(),
                    key: key.into(),
                    value: entry.map(|entry| entry.value.to_vec()),
                    expires_ms: entry
                        .map(|entry| entry.expires_ms)
                        .filter(|ms| *ms != NEVER),
                });
            }
        }
    }

    /// Accounts for a value that takes the place of `old_bytes`, or is new. Exact: the atomics
    /// never pass a bound, whatever the other parts do at the same time.
    fn take_room(
        &self,
        old_bytes: Option<usize>,
        new_bytes: usize,
        bounds: &KeyValueBounds,
    ) -> Result<(), KeyValueError> {
        let is_new = old_bytes.is_none();
        if is_new && !add_within(&self.keys, 1, bounds.keys) {
            return Err(KeyValueError::TooManyKeys { max: bounds.keys });
        }
        let old_bytes = old_bytes.unwrap_or(0);
        if new_bytes <= old_bytes {
            self.give_back(0, old_bytes - new_bytes);
        } else if !add_within(&self.bytes, new_bytes - old_bytes, bounds.total_bytes) {
            self.give_back(usize::from(is_new), 0);
            return Err(KeyValueError::TooManyBytes {
                max_bytes: bounds.total_bytes,
            });
        }
        Ok(())
    }

    fn give_back(&self, keys: usize, bytes: usize) {
        self.keys.fetch_sub(keys, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn part(&self, key: &str) -> Option<&Mutex<Part>> {
        self.parts
            .get((self.hasher.hash_one(key) >> 32) as usize % PARTS)
    }
}

fn add_within(total: &AtomicUsize, by: usize, max: usize) -> bool {
    total
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            now.checked_add(by).filter(|sum| *sum <= max)
        })
        .is_ok()
}

fn expiry(now_ms: u64, ttl_ms: Option<u64>) -> u64 {
    ttl_ms.map_or(NEVER, |ttl_ms| now_ms.saturating_add(ttl_ms))
}

fn number(value: &[u8]) -> Result<i64, KeyValueError> {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(KeyValueError::NotANumber)
}

//! The policies' key-value store: small values by namespace and key, with a time to live.
//!
//! A namespace is what one policy (or one policy of one tenant) may see; whoever calls builds its
//! name. Each has its own bounds, so that no policy can take memory from another. What has
//! expired is not seen any more and is removed when its room is needed or by
//! [`KeyValue::sweep`].

mod space;

use std::fmt;
use std::sync::Arc;

use ahash::RandomState;
use dashmap::DashMap;
use serde::{Deserialize, Serialize};
use weir_base::Clock;

use space::{Change, Space};

/// What one namespace may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyValueBounds {
    /// Number of keys.
    pub keys: usize,
    /// Bytes of all keys and values together.
    pub total_bytes: usize,
    /// Bytes of one key.
    pub key_bytes: usize,
    /// Bytes of one value.
    pub value_bytes: usize,
}

/// Keys that one namespace may hold, where nobody says otherwise.
pub const KEYS_MAX: usize = 100_000;

/// Bytes of all its keys and values together.
pub const TOTAL_MAX_BYTES: usize = 16 << 20;

impl Default for KeyValueBounds {
    /// Keys of at most 512 bytes, 1 MiB a value.
    fn default() -> Self {
        Self {
            keys: KEYS_MAX,
            total_bytes: TOTAL_MAX_BYTES,
            key_bytes: 512,
            value_bytes: 1 << 20,
        }
    }
}

/// Why a value was not stored. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueError {
    /// The key is longer than allowed.
    #[error("the key has more than {max_bytes} bytes")]
    KeyTooLong {
        /// The bound.
        max_bytes: usize,
    },
    /// The value is longer than allowed.
    #[error("the value has more than {max_bytes} bytes")]
    ValueTooLong {
        /// The bound.
        max_bytes: usize,
    },
    /// The namespace has as many keys as it may have.
    #[error("the store already holds {max} keys; give keys a time to live, or remove some")]
    TooManyKeys {
        /// The bound.
        max: usize,
    },
    /// The namespace has no room for that many bytes.
    #[error(
        "the store already holds close to {max_bytes} bytes; give keys a time to live, or \
             remove some"
    )]
    TooManyBytes {
        /// The bound.
        max_bytes: usize,
    },
    /// `add` met a value that is not a decimal number of 64 bits.
    #[error("the value is not a number")]
    NotANumber,
    /// `add` would leave the range of 64 bits with a sign.
    #[error("the sum does not fit into 64 bits")]
    Overflow,
}

/// One key as it is saved and restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValueState {
    /// The namespace.
    pub namespace: String,
    /// The key in it.
    pub key: String,
    /// The value; none where the key was removed.
    pub value: Option<Vec<u8>>,
    /// When it expires, in milliseconds since the epoch; none for never.
    pub expires_ms: Option<u64>,
}

/// All namespaces of the process.
pub struct KeyValue {
    spaces: DashMap<Box<str>, Arc<Space>, RandomState>,
    bounds: KeyValueBounds,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyValue")
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

impl KeyValue {
    /// An empty store, each of whose namespaces has these bounds.
    pub fn new(clock: Arc<dyn Clock>, bounds: KeyValueBounds) -> Self {
        Self {
            spaces: DashMap::default(),
            bounds,
            clock,
        }
    }

    /// The value of a key that has not expired.
    pub fn get(&self, namespace: &str, key: &str) -> Option<Arc<[u8]>> {
        self.existing(namespace)?.get(key, self.clock.now_ms())
    }

    /// Stores a value, for `ttl_ms` milliseconds or for ever.
    ///
    /// # Errors
    /// [`KeyValueError`] where a bound would be passed.
    pub fn set(
        &self,
        namespace: &str,
        key: &str,
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Result<(), KeyValueError> {
        self.set_within(namespace, key, value, ttl_ms, None)
    }

    /// The same, where the namespace has bounds of its own.
    ///
    /// # Errors
    /// As for [`Self::set`].
    pub fn set_within(
        &self,
        namespace: &str,
        key: &str,
        value: &[u8],
        ttl_ms: Option<u64>,
        bounds: Option<&KeyValueBounds>,
    ) -> Result<(), KeyValueError> {
        let now_ms = self.clock.now_ms();
        let change = Change::Set { value, ttl_ms };
        self.space(namespace)
            .change(key, change, now_ms, bounds.unwrap_or(&self.bounds))
            .map(|_| ())
    }

    /// Removes a key, if it is there.
    pub fn remove(&self, namespace: &str, key: &str) {
        if let Some(space) = self.existing(namespace) {
            space.remove(key);
        }
    }

    /// Removes all keys of a namespace.
    pub fn clear(&self, namespace: &str) {
        if let Some(space) = self.existing(namespace) {
            space.clear();
        }
    }

    /// Adds to a number, kept as decimal text so that `get` and `set` see it too, and returns
    /// the sum. A key that is not there (or has expired) counts as 0 and is made with `ttl_ms`;
    /// one that is there keeps the time to live it has, so that a window of time counted this
    /// way ends.
    ///
    /// # Errors
    /// [`KeyValueError`] where a bound would be passed, the value is not a number, or the sum
    /// does not fit.
    pub fn add(
        &self,
        namespace: &str,
        key: &str,
        by: i64,
        ttl_ms: Option<u64>,
    ) -> Result<i64, KeyValueError> {
        self.add_within(namespace, key, by, ttl_ms, None)
    }

    /// The same, where the namespace has bounds of its own.
    ///
    /// # Errors
    /// As for [`Self::add`].
    pub fn add_within(
        &self,
        namespace: &str,
        key: &str,
        by: i64,
        ttl_ms: Option<u64>,
        bounds: Option<&KeyValueBounds>,
    ) -> Result<i64, KeyValueError> {
        let (now_ms, change) = (self.clock.now_ms(), Change::Add { by, ttl_ms });
        self.space(namespace)
            .change(key, change, now_ms, bounds.unwrap_or(&self.bounds))
    }

    /// Removes what has expired; to be called every few seconds. Returns how many keys went.
    pub fn sweep(&self) -> usize {
        let now_ms = self.clock.now_ms();
        self.spaces.iter().map(|space| space.purge(now_ms)).sum()
    }

    /// The keys that were set, changed or removed since the last call. What merely expired is
    /// not among them: whoever saves the states knows when they expire.
    pub fn snapshot_dirty(&self) -> Vec<KeyValueState> {
        let mut states = Vec::new();
        for space in &self.spaces {
            space.take_changes(space.key(), &mut states);
        }
        states
    }

    /// Puts back what was saved and has not expired. For start-up, before the first call. What
    /// passes a bound is left out.
    pub fn restore(&self, states: Vec<KeyValueState>) {
        let now_ms = self.clock.now_ms();
        for state in states {
            let ttl_ms = state
                .expires_ms
                .map(|expires_ms| expires_ms.saturating_sub(now_ms));
            let (Some(value), true) = (&state.value, ttl_ms != Some(0)) else {
                continue;
            };
            self.space(&state.namespace)
                .restore(&state.key, value, ttl_ms, now_ms, &self.bounds);
        }
    }

    fn existing(&self, namespace: &str) -> Option<Arc<Space>> {
        self.spaces.get(namespace).map(|space| Arc::clone(&space))
    }

    fn space(&self, namespace: &str) -> Arc<Space> {
        if let Some(space) = self.existing(namespace) {
            return space;
        }
        Arc::clone(&self.spaces.entry(namespace.into()).or_default())
    }
}

#[cfg(test)]
mod tests;

//! The pool of one channel's keys and the rotation through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderName, HeaderValue};

use super::state::KeyState;

/// One provider key, ready to be sent.
#[derive(Debug)]
pub struct ProviderKey {
    /// Public: an id from the store, or a fingerprint for a key from the file.
    pub id: Arc<str>,
    /// By what a record of its death finds it again.
    pub fingerprint: [u8; 32],
    /// The header that carries the secret; marked sensitive, so it is never printed.
    pub header: (HeaderName, HeaderValue),
    /// Whether it rests or is dead.
    pub state: Arc<KeyState>,
}

/// The keys of one channel, taken in turn.
#[derive(Debug, Default)]
pub struct KeyPool {
    keys: Vec<Arc<ProviderKey>>,
    next: AtomicUsize,
}

impl KeyPool {
    /// A pool of these keys.
    pub fn new(keys: Vec<Arc<ProviderKey>>) -> Self {
        Self {
            keys,
            next: AtomicUsize::new(0),
        }
    }

    /// The next usable key that is not among `tried`.
    pub fn pick(&self, now_ms: u64, tried: &[Arc<str>]) -> Option<&Arc<ProviderKey>> {
        let count = self.keys.len();
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        (0..count)
            .filter_map(|step| self.keys.get(start.wrapping_add(step) % count))
            .find(|key| key.state.usable(now_ms) && !tried.contains(&key.id))
    }

    /// How many keys neither rest nor are disabled.
    pub fn usable(&self, now_ms: u64) -> u32 {
        let count = self
            .keys
            .iter()
            .filter(|key| key.state.usable(now_ms))
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The share of the keys' known rate limits that is still free, 0 to 1; 1 where there is no key.
    /// A key counts as free that neither rests nor is disabled.
    pub fn headroom(&self, now_ms: u64) -> f32 {
        if self.keys.is_empty() {
            return 1.0;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share of a handful of keys needs no more digits"
        )]
        let share = self.usable(now_ms) as f32 / self.keys.len() as f32;
        share
    }

    /// The earliest time at which a resting key may be used again, in milliseconds since the
    /// Unix epoch; none where every key is disabled or there is no key.
    pub fn next_usable_ms(&self) -> Option<u64> {
        let resting = self
            .keys
            .iter()
            .filter(|key| key.state.disabled().is_none());
        resting.map(|key| key.state.rest.until_ms()).min()
    }

    /// All keys, usable or not.
    pub fn keys(&self) -> &[Arc<ProviderKey>] {
        &self.keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(ids: &[&str]) -> KeyPool {
        let key = |id: &&str| {
            Arc::new(ProviderKey {
                id: Arc::from(*id),
                fingerprint: [0; 32],
                header: (
                    http::header::AUTHORIZATION,
                    HeaderValue::from_static("Bearer x"),
                ),
                state: Arc::default(),
            })
        };
        KeyPool::new(ids.iter().map(key).collect())
    }

    fn picked(pool: &KeyPool, tried: &[Arc<str>]) -> Option<String> {
        pool.pick(0, tried).map(|key| key.id.to_string())
    }

    #[test]
    fn keys_are_taken_in_turn_and_dead_ones_are_passed_over() {
        let pool = pool(&["a", "b", "c"]);
        let round: Vec<_> = (0..4).filter_map(|_| picked(&pool, &[])).collect();
        assert_eq!(round, ["a", "b", "c", "a"]);
        pool.keys()[1].state.disable("revoked", 0);
        assert_eq!(picked(&pool, &[]).as_deref(), Some("c"));
        assert_eq!(pool.usable(0), 2);
        assert_eq!(pool.headroom(0), 2.0 / 3.0);
        assert_eq!(KeyPool::default().headroom(0), 1.0);
        assert_eq!(picked(&pool, &[Arc::from("a"), Arc::from("c")]), None);
    }
}

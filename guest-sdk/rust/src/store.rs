//! A small key-value store, private to the policy (and to the tenant, for a tenant's policy).
//!
//! It outlives instances and versions; the host may evict entries under memory pressure.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::raw::store as raw;

/// The value of a key, if it has one that has not expired.
pub fn get(key: &str) -> Option<Vec<u8>> {
    raw::get(key)
}

/// Sets a value for `ttl_ms` milliseconds, or until it is removed or evicted.
pub fn set(key: &str, value: &[u8], ttl_ms: Option<u32>) -> Result<(), String> {
    raw::set(key, value, ttl_ms)
}

/// Removes a key.
pub fn remove(key: &str) {
    raw::remove(key);
}

/// Adds to an integer atomically and returns the sum. A missing key counts as 0, and `ttl_ms`
/// (milliseconds) applies when the key is made.
pub fn add(key: &str, by: i64, ttl_ms: Option<u32>) -> Result<i64, String> {
    raw::add(key, by, ttl_ms)
}

/// The value of a key, read as JSON; none where it is missing or of another type.
pub fn get_json<T: DeserializeOwned>(key: &str) -> Option<T> {
    serde_json::from_slice(&raw::get(key)?).ok()
}

/// Sets a value as JSON.
pub fn set_json<T: Serialize + ?Sized>(
    key: &str,
    value: &T,
    ttl_ms: Option<u32>,
) -> Result<(), String> {
    raw::set(
        key,
        &serde_json::to_vec(value).map_err(|error| error.to_string())?,
        ttl_ms,
    )
}

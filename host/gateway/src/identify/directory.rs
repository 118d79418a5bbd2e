//! Tenants and their virtual keys, as one snapshot sees them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::tz::TimeZone;

/// An organisation or team.
#[derive(Debug)]
pub struct Tenant {
    /// Its name, unique; what policies and the ledger call it.
    pub id: Arc<str>,
    /// What the operator wrote about it.
    pub labels: BTreeMap<String, String>,
    /// Where its days, weeks and months begin.
    pub time_zone: TimeZone,
    /// A disabled tenant's keys are refused.
    pub disabled: bool,
}

/// What a client sends, as far as Weir knows it.
#[derive(Debug)]
pub struct VirtualKey {
    /// Public id; what policies and the ledger call it.
    pub id: Arc<str>,
    /// Whose key it is.
    pub tenant: Arc<Tenant>,
    /// What the operator wrote about it; a label of the key goes before one of its tenant.
    pub labels: BTreeMap<String, String>,
    /// A disabled key is refused.
    pub disabled: bool,
    /// It opens its tenant's own policies in the admin API, and no calls.
    pub author: bool,
    /// From when on it is refused, in milliseconds since the Unix epoch.
    pub expires_ms: Option<u64>,
}

impl VirtualKey {
    /// A label of the key, else of its tenant.
    pub fn label(&self, name: &str) -> Option<&str> {
        let labels = self
            .labels
            .get(name)
            .or_else(|| self.tenant.labels.get(name));
        labels.map(String::as_str)
    }

    /// Whether the key opens anything now.
    pub fn is_valid(&self, now_ms: u64) -> bool {
        !self.disabled && !self.tenant.disabled && self.expires_ms.is_none_or(|end| now_ms < end)
    }
}

/// All virtual keys by the hash of their secret.
///
/// The look-up compares hashes, never secrets: what its timing could tell is a prefix of a
/// SHA-256, from which no key can be made.
#[derive(Debug, Default)]
pub struct Directory(HashMap<[u8; 32], Arc<VirtualKey>, ahash::RandomState>);

impl Directory {
    /// A directory of these keys.
    pub fn new(keys: impl IntoIterator<Item = ([u8; 32], Arc<VirtualKey>)>) -> Self {
        Self(keys.into_iter().collect())
    }

    /// The key whose secret has this hash.
    pub fn find(&self, hash: &[u8; 32]) -> Option<&Arc<VirtualKey>> {
        self.0.get(hash)
    }
}

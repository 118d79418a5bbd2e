//! Where a policy's `store` is kept, and what a version that is tried beside another sees of it.
//!
//! A version beside another reads what the one that decides has stored, but what it changes is laid
//! over that and seen only by itself; it goes when the trial is over.

use std::borrow::Cow;
use std::sync::Arc;

use weir_counters::{KeyValue, KeyValueBounds, KeyValueError};
use weir_policy::{PolicyIdentity, Role};

/// Policies' names do not hold it, so no name space is another policy's.
const BESIDE: char = '~';
/// In front of a key of the layer above: the key was removed there. No key of a policy is mistaken
/// for such a mark: [`VALUE`] stands in front of each.
const REMOVED: char = '-';
const VALUE: char = '+';

/// The part of the key-value store that is one policy's.
pub(super) struct PolicyStore<'a> {
    values: &'a KeyValue,
    base: Cow<'a, str>,
    /// What is laid over it.
    above: Option<String>,
    /// What it may hold, where that is not what an operator's may.
    bounds: Option<KeyValueBounds>,
}

impl<'a> PolicyStore<'a> {
    pub(super) fn of(
        values: &'a KeyValue,
        policy: &'a PolicyIdentity,
        of_tenants: &KeyValueBounds,
    ) -> Self {
        let base = policy.full_name();
        Self {
            values,
            bounds: policy.tenant.is_some().then_some(*of_tenants),
            above: (policy.role == Role::Beside).then(|| above(&base)),
            base,
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Arc<[u8]>> {
        let Some(above) = &self.above else {
            return self.values.get(&self.base, key);
        };
        if let Some(value) = self.values.get(above, &marked(VALUE, key)) {
            return Some(value);
        }
        match self.values.get(above, &marked(REMOVED, key)) {
            Some(_) => None,
            None => self.values.get(&self.base, key),
        }
    }

    pub(super) fn set(
        &self,
        key: &str,
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Result<(), KeyValueError> {
        let Some(above) = &self.above else {
            return self.put(&self.base, key, value, ttl_ms);
        };
        self.put(above, &marked(VALUE, key), value, ttl_ms)?;
        // Where the value expires, what lies under it stays hidden.
        self.put(above, &marked(REMOVED, key), b"", None)
    }

    pub(super) fn remove(&self, key: &str) {
        let Some(above) = &self.above else {
            return self.values.remove(&self.base, key);
        };
        self.values.remove(above, &marked(VALUE, key));
        // A full layer above cannot hide a key; it then shows what it shows to the other version.
        let _ = self.put(above, &marked(REMOVED, key), b"", None);
    }

    fn put(
        &self,
        space: &str,
        key: &str,
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Result<(), KeyValueError> {
        self.values
            .set_within(space, key, value, ttl_ms, self.bounds.as_ref())
    }

    pub(super) fn add(
        &self,
        key: &str,
        by: i64,
        ttl_ms: Option<u64>,
    ) -> Result<i64, KeyValueError> {
        let Some(above) = &self.above else {
            let bounds = self.bounds.as_ref();
            return self.values.add_within(&self.base, key, by, ttl_ms, bounds);
        };
        let name = marked(VALUE, key);
        if self.values.get(above, &name).is_none()
            && let Some(value) = self.get(key)
        {
            self.set(key, &value, ttl_ms)?;
        }
        self.values
            .add_within(above, &name, by, ttl_ms, self.bounds.as_ref())
    }
}

/// Forgets what versions beside the one that decides have stored. `policy` may have any role.
pub fn forget_beside(values: &KeyValue, policy: &PolicyIdentity) {
    values.clear(&above(&policy.full_name()));
}

fn above(base: &str) -> String {
    format!("{base}{BESIDE}")
}

fn marked(mark: char, key: &str) -> String {
    let mut marked = String::with_capacity(key.len() + 1);
    marked.push(mark);
    marked.push_str(key);
    marked
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_base::ManualClock;

    #[test]
    fn a_version_beside_another_changes_nothing_for_it() {
        let bounds = KeyValueBounds::default();
        let values = KeyValue::new(Arc::new(ManualClock::new(0)), bounds);
        let identity = |role| PolicyIdentity {
            name: "p".to_owned(),
            tenant: None,
            role,
        };
        let (of_one, of_other) = (identity(Role::Decides), identity(Role::Beside));
        let (one, other) = (
            PolicyStore::of(&values, &of_one, &bounds),
            PolicyStore::of(&values, &of_other, &bounds),
        );
        let text = |store: &PolicyStore<'_>, key| {
            let value = store.get(key)?;
            Some(String::from_utf8_lossy(&value).into_owned())
        };
        one.set("a", b"1", None).unwrap();
        one.add("n", 5, None).unwrap();
        assert_eq!(text(&other, "a").as_deref(), Some("1"));
        other.set("a", b"2", None).unwrap();
        assert_eq!(
            (other.add("n", 2, None), one.add("n", 1, None)),
            (Ok(7), Ok(6))
        );
        assert_eq!(
            (text(&one, "a"), text(&other, "a")),
            (Some("1".into()), Some("2".into()))
        );
        other.remove("a");
        assert_eq!(
            (text(&one, "a"), text(&other, "a")),
            (Some("1".into()), None)
        );
        forget_beside(&values, &of_one);
        assert_eq!(text(&other, "n").as_deref(), Some("6"));
        assert_eq!(text(&other, "a").as_deref(), Some("1"));
    }
}

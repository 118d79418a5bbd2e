//! Where a policy's `store` is kept, and what a version that is tried beside another sees of it.
//!
//! A version beside another reads what the one that decides has stored, but what it changes is laid
//! over that and seen only by itself; it goes when the trial is over.

use std::borrow::Cow;
use std::sync::Arc;

use weir_counters::{KeyValue, KeyValueError};
use weir_policy::{PolicyIdentity, Role};

/// Policies' names hold neither of these, so no name space is another policy's.
const OF_TENANT: char = '/';
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
}

impl<'a> PolicyStore<'a> {
    pub(super) fn of(values: &'a KeyValue, policy: &'a PolicyIdentity) -> Self {
        let base = namespace(policy);
        Self {
            values,
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
            return self.values.set(&self.base, key, value, ttl_ms);
        };
        self.values.set(above, &marked(VALUE, key), value, ttl_ms)?;
        // Where the value expires, what lies under it stays hidden.
        self.values.set(above, &marked(REMOVED, key), b"", None)
    }

    pub(super) fn remove(&self, key: &str) {
        let Some(above) = &self.above else {
            return self.values.remove(&self.base, key);
        };
        self.values.remove(above, &marked(VALUE, key));
        // A full layer above cannot hide a key; it then shows what it shows to the other version.
        let _ = self.values.set(above, &marked(REMOVED, key), b"", None);
    }

    pub(super) fn add(
        &self,
        key: &str,
        by: i64,
        ttl_ms: Option<u64>,
    ) -> Result<i64, KeyValueError> {
        let Some(above) = &self.above else {
            return self.values.add(&self.base, key, by, ttl_ms);
        };
        let name = marked(VALUE, key);
        if self.values.get(above, &name).is_none()
            && let Some(value) = self.get(key)
        {
            self.set(key, &value, ttl_ms)?;
        }
        self.values.add(above, &name, by, ttl_ms)
    }
}

/// Forgets what versions beside the one that decides have stored. `policy` may have any role.
pub fn forget_beside(values: &KeyValue, policy: &PolicyIdentity) {
    values.clear(&above(&namespace(policy)));
}

fn namespace(policy: &PolicyIdentity) -> Cow<'_, str> {
    match &policy.tenant {
        None => Cow::Borrowed(&policy.name),
        Some(tenant) => Cow::Owned(format!("{tenant}{OF_TENANT}{}", policy.name)),
    }
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
    use weir_counters::KeyValueBounds;

    #[test]
    fn a_version_beside_another_changes_nothing_for_it() {
        let values = KeyValue::new(Arc::new(ManualClock::new(0)), KeyValueBounds::default());
        let identity = |role| PolicyIdentity {
            name: "p".to_owned(),
            tenant: None,
            role,
        };
        let (of_one, of_other) = (identity(Role::Decides), identity(Role::Beside));
        let (one, other) = (
            PolicyStore::of(&values, &of_one),
            PolicyStore::of(&values, &of_other),
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

//! What is known about one provider key: dead, resting, or fit for use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use sha2::{Digest, Sha256};
use weir_base::Secret;

use super::standing::Standing;

/// How long a key rests after a provider turned it away without saying for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cooldown {
    /// The first pause, in milliseconds; each further refusal in a row doubles it.
    pub first_ms: u64,
    /// The longest pause, in milliseconds. A provider's own `retry-after` is bounded by it too.
    pub max_ms: u64,
}

/// Why a key was taken out of rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disabled {
    /// What the provider said, shortened; holds no secret.
    pub reason: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A pause after refusals: as long as was asked for, else doubling with every refusal in a row.
/// Keys rest when a provider turns them away, channels when they fail.
#[derive(Debug, Default)]
pub struct Rest {
    until_ms: AtomicU64,
    refusals_in_a_row: AtomicU32,
}

impl Rest {
    /// When the pause ends, in milliseconds since the Unix epoch; in the past where there is none.
    pub fn until_ms(&self) -> u64 {
        self.until_ms.load(Ordering::Relaxed)
    }

    /// Another refusal: the pause begins, or grows.
    pub fn begin(&self, now_ms: u64, asked_ms: Option<u64>, cooldown: Cooldown) {
        let row = self
            .refusals_in_a_row
            .fetch_add(1, Ordering::Relaxed)
            .min(30);
        let pause_ms = asked_ms
            .unwrap_or_else(|| cooldown.first_ms.saturating_mul(1 << row))
            .min(cooldown.max_ms);
        self.until_ms
            .fetch_max(now_ms.saturating_add(pause_ms), Ordering::Relaxed);
    }

    /// A call went well: the next pause starts small again.
    pub fn went_well(&self) {
        // Read first: on the data path the line is then shared by all workers, not fought over.
        if self.refusals_in_a_row.load(Ordering::Relaxed) != 0 {
            self.refusals_in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// Ends the pause at once.
    pub fn end(&self) {
        self.until_ms.store(0, Ordering::Relaxed);
        self.refusals_in_a_row.store(0, Ordering::Relaxed);
    }
}

/// The state of one provider key. It outlives reloads, so that a new configuration does not send
/// the next call to a key that was refused a moment ago.
#[derive(Debug, Default)]
pub struct KeyState {
    disabled: ArcSwapOption<Disabled>,
    /// The pause after refusals that did not kill the key.
    pub rest: Rest,
    /// How the last tries with it went.
    pub standing: Standing,
}

impl KeyState {
    /// Whether a call may be sent with this key now.
    pub fn usable(&self, now_ms: u64) -> bool {
        self.rest.until_ms() <= now_ms && self.disabled.load().is_none()
    }

    /// Why the key is out of rotation, where it is.
    pub fn disabled(&self) -> Option<Arc<Disabled>> {
        self.disabled.load_full()
    }

    /// Takes the key out of rotation. True where it was in rotation before, so that of many calls
    /// that fail together one writes the record.
    pub fn disable(&self, reason: &str, now_ms: u64) -> bool {
        let record = Arc::new(Disabled {
            reason: reason.to_owned(),
            at_ms: now_ms,
        });
        self.disabled
            .compare_and_swap(&None::<Arc<Disabled>>, Some(record))
            .is_none()
    }

    /// Puts the key back into rotation.
    pub fn enable(&self) {
        self.disabled.store(None);
        self.rest.end();
    }
}

/// The states of all keys that were ever configured since the start, by channel and fingerprint.
#[derive(Debug, Default)]
pub struct KeyRegistry(Mutex<HashMap<KeyPlace, Arc<KeyState>>>);

/// A channel's name and a key's fingerprint.
type KeyPlace = (String, [u8; 32]);

impl KeyRegistry {
    /// The state of the key with this fingerprint in this channel; made when first asked for.
    pub fn state(&self, channel: &str, fingerprint: &[u8; 32]) -> Arc<KeyState> {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states
            .entry((channel.to_owned(), *fingerprint))
            .or_default()
            .clone()
    }
}

/// Names a secret without telling it: its SHA-256.
pub fn fingerprint(secret: &Secret) -> [u8; 32] {
    Sha256::digest(secret.expose().as_bytes()).into()
}

/// The public id of a key that has none of its own: the first sixteen hexadecimal digits of its
/// fingerprint.
pub fn public_id(fingerprint: &[u8; 32]) -> String {
    format!(
        "pk_{}",
        hex::encode(fingerprint.get(..8).unwrap_or_default())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOLDOWN: Cooldown = Cooldown {
        first_ms: 1_000,
        max_ms: 60_000,
    };

    #[test]
    fn a_refused_key_rests_as_long_as_asked_or_ever_longer() {
        let key = KeyState::default();
        key.rest.begin(0, Some(5_000), COOLDOWN);
        assert_eq!((key.usable(4_999), key.usable(5_000)), (false, true));
        key.rest.begin(5_000, None, COOLDOWN);
        assert_eq!(key.rest.until_ms(), 7_000);
        key.rest.begin(7_000, None, COOLDOWN);
        assert_eq!(key.rest.until_ms(), 11_000);
        key.rest.went_well();
        key.rest.begin(20_000, None, COOLDOWN);
        assert_eq!(key.rest.until_ms(), 21_000);
    }

    #[test]
    fn only_the_first_of_many_failures_disables() {
        let key = KeyState::default();
        assert!(key.disable("revoked", 1));
        assert!(!key.disable("revoked", 2));
        assert!(!key.usable(u64::MAX));
        key.enable();
        assert!(key.usable(3));
    }
}

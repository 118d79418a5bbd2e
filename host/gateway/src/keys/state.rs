//! What is known about one provider key: dead, resting, or fit for use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use weir_base::Secret;

use super::headers::Told;
use super::learnt::Learnt;
use super::lease::Lease;
use super::meter::Meter;
use super::retest::{Retest, RetestPauses};
use super::standing::Standing;
use super::window::Used;
use crate::measure::Figures;

/// How long a key rests after a provider turned it away without saying for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cooldown {
    /// The first pause, in milliseconds; each further refusal in a row doubles it.
    pub first_ms: u64,
    /// The longest pause, in milliseconds. A provider's own `retry-after` is bounded by it too.
    pub max_ms: u64,
}

/// The reason of whoever took a key out by hand; such a key is not tried again by itself.
pub const BY_HAND: &str = "disabled by an administrator";

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
/// the next call to a key that was refused a moment ago, nor forget what the last minute took.
#[derive(Debug, Default)]
pub struct KeyState {
    /// Whether `disabled` holds something: what every call asks.
    is_disabled: AtomicBool,
    disabled: Mutex<Option<Arc<Disabled>>>,
    /// The pause after refusals that did not kill the key.
    pub rest: Rest,
    /// What was measured of its calls.
    pub figures: Figures,
    /// How the last tries with it went.
    pub standing: Standing,
    pub(super) meter: Meter,
    pub(super) learnt: Learnt,
    retest: Retest,
}

impl KeyState {
    /// Whether a call may be sent with this key now.
    pub fn usable(&self, now_ms: u64) -> bool {
        self.rest.until_ms() <= now_ms && !self.is_disabled()
    }

    /// Whether the key is out of rotation.
    pub fn is_disabled(&self) -> bool {
        self.is_disabled.load(Ordering::Relaxed)
    }

    /// Why the key is out of rotation, where it is.
    pub fn disabled(&self) -> Option<Arc<Disabled>> {
        if self.is_disabled() {
            self.record().clone()
        } else {
            None
        }
    }

    fn record(&self) -> std::sync::MutexGuard<'_, Option<Arc<Disabled>>> {
        self.disabled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the key out of rotation. True where it was in rotation before, so that of many calls
    /// that fail together one writes the record.
    pub fn disable(&self, reason: &str, now_ms: u64) -> bool {
        let mut record = self.record();
        if record.is_some() {
            return false;
        }
        *record = Some(Arc::new(Disabled {
            reason: reason.to_owned(),
            at_ms: now_ms,
        }));
        self.is_disabled.store(true, Ordering::Relaxed);
        true
    }

    /// Puts the key back into rotation.
    pub fn enable(&self) {
        let mut record = self.record();
        *record = None;
        self.is_disabled.store(false, Ordering::Relaxed);
        self.retest.is_back();
        self.rest.end();
    }

    /// A call with the key went well.
    pub fn went_well(&self) {
        self.rest.went_well();
        self.retest.went_well();
    }

    /// What a provider's reply to the call of `lease` said of the key's limits for `model`. It is
    /// believed until the provider's own reset, and for `believe_max_ms` at most.
    pub fn hear(&self, lease: &Lease, model: &str, told: &Told, now_ms: u64, believe_max_ms: u64) {
        self.learnt
            .hear(model, lease.mark, told, now_ms, believe_max_ms);
    }

    /// Whether the provider is to be asked again about this key, which is disabled.
    pub fn retest_is_due(&self, now_ms: u64, pauses: RetestPauses) -> bool {
        let record = self.disabled();
        let record = record.filter(|record| record.reason != BY_HAND);
        record.is_some_and(|record| self.retest.is_due(record.at_ms, now_ms, pauses))
    }

    /// The provider is being asked.
    pub fn retested(&self, now_ms: u64, pauses: RetestPauses) {
        self.retest.tried(now_ms, pauses);
    }

    /// Calls under way with the key.
    pub fn in_flight(&self) -> u32 {
        self.meter.in_flight()
    }

    /// What the last minute took, where it is counted.
    pub(super) fn used(&self, now_ms: u64) -> Used {
        self.meter.used(now_ms)
    }

    /// Requests and tokens of the last minute; zero where the key has no such limit.
    pub fn last_minute(&self, now_ms: u64) -> (u64, u64) {
        let used = self.used(now_ms);
        (used.requests, used.tokens)
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

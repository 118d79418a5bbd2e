//! The pool of one channel's keys: which one a call takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderName, HeaderValue};

use super::choose::{Level, Passed, Turn};
use super::lease::Lease;
use super::state::KeyState;
use crate::config::{KeyStrategy, KeyTerms};

/// How long a figure of [`KeyPool::headroom`] is shown before it is measured anew, in milliseconds:
/// it is asked for by every call and every channel, and no decision notices so little.
const HEADROOM_HOLDS_MS: u64 = 50;
/// After how long a key with too many calls under way is worth another look, in milliseconds.
const IN_FLIGHT_AGAIN_MS: u64 = 1_000;

/// One provider key, ready to be sent.
#[derive(Debug)]
pub struct ProviderKey {
    /// Public: an id from the store, or a fingerprint for a key from the file.
    pub id: Arc<str>,
    /// By what a record of its death finds it again.
    pub fingerprint: [u8; 32],
    /// The header that carries the secret; marked sensitive, so it is never printed.
    pub header: (HeaderName, HeaderValue),
    /// How it is used, and how much.
    pub terms: KeyTerms,
    /// Whether it rests or is dead, and what it carries.
    pub state: Arc<KeyState>,
}

/// What a call needs of a key.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The time, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// The model as the provider calls it.
    pub model: &'a str,
    /// An estimate of the prompt's tokens.
    pub input_tokens: u64,
    /// The bound on the output's tokens, or what is assumed where there is none.
    pub output_tokens: u64,
    /// Ids of keys that the call has tried in vain.
    pub tried: &'a [Arc<str>],
}

impl Ask<'_> {
    /// Tokens of both kinds.
    pub fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// The keys of one channel.
#[derive(Debug)]
pub struct KeyPool {
    keys: Vec<Arc<ProviderKey>>,
    /// The same keys, lower levels first.
    levels: Vec<Level>,
    strategy: KeyStrategy,
    /// When and what: the last figure of `headroom`.
    headroom: HeadroomShown,
}

impl KeyPool {
    /// A pool of these keys.
    pub fn new(keys: Vec<Arc<ProviderKey>>, strategy: KeyStrategy) -> Self {
        let mut sorted = keys.clone();
        sorted.sort_by_key(|key| key.terms.level);
        let levels = sorted.chunk_by(|a, b| a.terms.level == b.terms.level);
        Self {
            levels: levels.map(|level| Level::new(level.to_vec())).collect(),
            keys,
            strategy,
            headroom: HeadroomShown::default(),
        }
    }

    /// A key that has not been tried, may be used and has room, from the lowest level that has one.
    /// What the call needs is taken from the key's limits until the lease is settled or dropped.
    /// `caller` is who asks, as a number; it is worked out only where the choice goes by it.
    pub fn pick(&self, ask: &Ask<'_>, caller: impl FnOnce() -> u64) -> Option<Lease> {
        let chooses = self.strategy == KeyStrategy::Sticky && self.keys.len() > 1;
        let caller = if chooses { caller() } else { 0 };
        for level in &self.levels {
            let turn = Turn {
                strategy: self.strategy,
                number: level.next_turn(),
                caller,
            };
            let mut passed = Passed::default();
            while let Some(at) = level.choose(&turn, &passed) {
                if let Some(lease) = level.keys.get(at).and_then(|key| key.lease(ask)) {
                    return Some(lease);
                }
                passed.add(at);
            }
        }
        None
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

    /// The earliest time at which a key may take such a call again, in milliseconds since the Unix
    /// epoch; none where every key is disabled or there is no key.
    pub fn next_usable_ms(&self, ask: &Ask<'_>) -> Option<u64> {
        let in_use = self.keys.iter().filter(|key| !key.state.is_disabled());
        in_use.map(|key| free_at_ms(key, ask)).min()
    }

    /// The share of the keys' known limits that is still free, 0 to 1; 1 where a key that may be
    /// used has no limit that is known. A key that rests or is disabled has nothing free.
    pub fn headroom(&self, now_ms: u64) -> f32 {
        if let Some(shown) = self.headroom.get(now_ms) {
            return shown;
        }
        let headroom = self.measured_headroom(now_ms);
        self.headroom.set(now_ms, headroom);
        headroom
    }

    /// Each key counts for the size of its limit, where all have one in the same measure.
    fn measured_headroom(&self, now_ms: u64) -> f32 {
        let by_requests = self.keys.iter().all(|key| key.terms.rpm.is_some());
        let by_tokens = self.keys.iter().all(|key| key.terms.tpm.is_some());
        let (mut free, mut whole) = (0.0, 0.0);
        for key in &self.keys {
            let size = match (by_requests, by_tokens) {
                (true, _) => key.terms.rpm.unwrap_or(1),
                (false, true) => key.terms.tpm.unwrap_or(1),
                (false, false) => 1,
            };
            #[expect(
                clippy::cast_precision_loss,
                reason = "a share needs no more digits than a float has"
            )]
            let size = size as f32;
            if key.state.usable(now_ms) {
                match key.free_share(now_ms) {
                    Some(share) => free += size * share,
                    None => return 1.0,
                }
            }
            whole += size;
        }
        if whole > 0.0 { free / whole } else { 1.0 }
    }

    /// All keys, usable or not, as they were listed.
    pub fn keys(&self) -> &[Arc<ProviderKey>] {
        &self.keys
    }
}

impl ProviderKey {
    /// This key for a call, where it may be used and has room. What the call needs is taken from its
    /// limits, as by [`KeyPool::pick`].
    pub fn lease(self: &Arc<Self>, ask: &Ask<'_>) -> Option<Lease> {
        let state = &self.state;
        if !state.usable(ask.now_ms) || ask.tried.contains(&self.id) {
            return None;
        }
        let taken = state.meter.begin(&self.terms, ask.tokens(), ask.now_ms);
        let mut lease = Lease::new(self, taken.ok()?, Default::default());
        match state.learnt.begin(ask) {
            Ok(mark) => {
                lease.mark = mark;
                Some(lease)
            }
            Err(_) => {
                lease.undo(ask.now_ms);
                None
            }
        }
    }

    /// This key for a call that is made whether or not the key may be used and has room, such as a
    /// test of it. What the call needs counts towards its limits all the same.
    pub fn lease_anyway(self: &Arc<Self>, ask: &Ask<'_>) -> Lease {
        let taken = self
            .state
            .meter
            .begin_anyway(&self.terms, ask.tokens(), ask.now_ms);
        let mark = self.state.learnt.begin(ask).unwrap_or_default();
        Lease::new(self, taken, mark)
    }

    /// The smallest share that is left of any of its limits, 0 to 1; none where none is known.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share needs no more digits than a float has"
    )]
    pub fn free_share(&self, now_ms: u64) -> Option<f32> {
        let share = |used: u64, limit: u64| 1.0 - (used as f32 / limit.max(1) as f32).min(1.0);
        let KeyTerms {
            rpm,
            tpm,
            in_flight_max,
            ..
        } = self.terms;
        let used = self.state.used(now_ms);
        let shares = [
            rpm.map(|limit| share(used.requests, limit)),
            tpm.map(|limit| share(used.tokens, limit)),
            in_flight_max.map(|max| share(self.state.in_flight().into(), max.into())),
            self.state.learnt.free_share(now_ms),
        ];
        shares.into_iter().flatten().min_by(f32::total_cmp)
    }
}

fn free_at_ms(key: &ProviderKey, ask: &Ask<'_>) -> u64 {
    let state = &key.state;
    let is_full = |max| state.in_flight() >= max;
    let in_flight_ms = match key.terms.in_flight_max.is_some_and(is_full) {
        true => ask.now_ms.saturating_add(IN_FLIGHT_AGAIN_MS),
        false => 0,
    };
    let minute_ms = state.meter.free_at_ms(&key.terms, ask.tokens(), ask.now_ms);
    let told_ms = state.learnt.free_at_ms(ask);
    let rest_ms = state.rest.until_ms();
    rest_ms.max(minute_ms).max(told_ms).max(in_flight_ms)
}

/// A figure and when it was measured, in one number.
#[derive(Debug)]
struct HeadroomShown(AtomicU64);

impl Default for HeadroomShown {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl HeadroomShown {
    fn get(&self, now_ms: u64) -> Option<f32> {
        let shown = self.0.load(Ordering::Relaxed);
        (shown >> 32 == moment(now_ms)).then(|| f32::from_bits((shown & 0xFFFF_FFFF) as u32))
    }

    fn set(&self, now_ms: u64, headroom: f32) {
        let shown = moment(now_ms) << 32 | u64::from(headroom.to_bits());
        self.0.store(shown, Ordering::Relaxed);
    }
}

fn moment(now_ms: u64) -> u64 {
    (now_ms / HEADROOM_HOLDS_MS) & 0xFFFF_FFFF
}

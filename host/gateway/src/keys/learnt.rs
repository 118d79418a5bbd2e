//! What a provider said about the limits of a key, and what was sent since.
//!
//! Providers count per model, so what they say is kept per model, in a few places that a model finds
//! by its hash; a model that needs another's place takes it, and the other is learnt anew.
//!
//! A reply says what was left when its own request was counted. Requests that left after it are not
//! in that number. So each place counts what was ever sent, and a reply moves the count at which
//! nothing will be left: what was sent when its request left, and what the provider said remained.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::choose::caller_hash;
use super::headers::{GAUGES, Told};
use super::pool::Ask;

/// Models of one key that can be told apart.
const PLACES: u64 = 16;
/// Output tokens that a call is taken to need where the provider counts output as it is written, not
/// the bound that the call set.
const OUTPUT_LIKELY: u64 = 1_024;

/// How much was sent when a request left, to be put together with what its reply says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark([u64; GAUGES]);

/// What is known of one limit.
#[derive(Debug, Default)]
struct Gauge {
    /// What was ever sent.
    sent: AtomicU64,
    /// The count of `sent` at which nothing is left.
    empty_at: AtomicU64,
    /// The whole budget; 0 where the provider did not say.
    limit: AtomicU64,
    /// Until when this holds, in milliseconds since the Unix epoch.
    until_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct Place {
    model: AtomicU64,
    gauges: [Gauge; GAUGES],
}

/// What providers said of a key. Empty, and costing one load, until one says something.
#[derive(Debug, Default)]
pub(super) struct Learnt(OnceLock<Box<[Place]>>);

impl Learnt {
    /// Counts a call as sent where it has room; else when it will have.
    pub(super) fn begin(&self, ask: &Ask<'_>) -> Result<Mark, u64> {
        let Some(place) = self.place(ask.model) else {
            return Ok(Mark::default());
        };
        let needs = needs(ask);
        let full = place.gauges.iter().zip(needs);
        let full = full.filter_map(|(gauge, need)| gauge.full_until_ms(need, ask.now_ms));
        if let Some(until_ms) = full.max() {
            return Err(until_ms);
        }
        let mut mark = Mark::default();
        for ((gauge, need), mark) in place.gauges.iter().zip(needs).zip(&mut mark.0) {
            *mark = gauge.sent.fetch_add(need, Ordering::Relaxed) + need;
        }
        Ok(mark)
    }

    /// When the provider will have room for the call; this moment where nothing speaks against it.
    pub(super) fn free_at_ms(&self, ask: &Ask<'_>) -> u64 {
        let Some(place) = self.place(ask.model) else {
            return ask.now_ms;
        };
        let full = place.gauges.iter().zip(needs(ask));
        let full = full.filter_map(|(gauge, need)| gauge.full_until_ms(need, ask.now_ms));
        full.max().unwrap_or(ask.now_ms)
    }

    /// A reply to the call of `mark` said this. It is believed for `believe_max_ms` at most.
    pub(super) fn hear(
        &self,
        model: &str,
        mark: Mark,
        told: &Told,
        now_ms: u64,
        believe_max_ms: u64,
    ) {
        let places = self
            .0
            .get_or_init(|| (0..PLACES).map(|_| Place::default()).collect());
        let hash = hash(model);
        let Some(place) = usize::try_from(hash % PLACES)
            .ok()
            .and_then(|at| places.get(at))
        else {
            return;
        };
        if place.model.swap(hash, Ordering::Relaxed) != hash {
            // Another model's place: what was said of that one says nothing of this one.
            for gauge in &place.gauges {
                gauge.until_ms.store(0, Ordering::Relaxed);
            }
        }
        for ((gauge, told), mark) in place.gauges.iter().zip(&told.0).zip(mark.0) {
            let Some(told) = told else { continue };
            // The first word about a model: nothing was counted when its request left.
            let mark = if mark == 0 {
                gauge.sent.load(Ordering::Relaxed)
            } else {
                mark
            };
            let until_ms = told.until_ms.min(now_ms.saturating_add(believe_max_ms));
            gauge.limit.store(told.limit, Ordering::Relaxed);
            gauge
                .empty_at
                .store(mark.saturating_add(told.remaining), Ordering::Relaxed);
            gauge.until_ms.store(until_ms, Ordering::Relaxed);
        }
    }

    /// The smallest share that is left of any limit that is known and still holds.
    pub(super) fn free_share(&self, now_ms: u64) -> Option<f32> {
        let places = self.0.get()?;
        let gauges = places.iter().flat_map(|place| &place.gauges);
        gauges
            .filter_map(|gauge| gauge.free_share(now_ms))
            .min_by(f32::total_cmp)
    }

    fn place(&self, model: &str) -> Option<&Place> {
        let places = self.0.get()?;
        let hash = hash(model);
        let place = places.get(usize::try_from(hash % PLACES).ok()?)?;
        (place.model.load(Ordering::Relaxed) == hash).then_some(place)
    }
}

impl Gauge {
    /// Until when there is no room for `need`, where there is none. A call that is larger than the
    /// whole budget has room when all of that is left.
    fn full_until_ms(&self, need: u64, now_ms: u64) -> Option<u64> {
        let until_ms = self.until_ms.load(Ordering::Relaxed);
        if until_ms <= now_ms {
            return None;
        }
        let need = match self.limit.load(Ordering::Relaxed) {
            0 => need,
            limit => need.min(limit),
        };
        let sent = self.sent.load(Ordering::Relaxed);
        let fits = sent.saturating_add(need) <= self.empty_at.load(Ordering::Relaxed);
        (!fits).then_some(until_ms)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a share needs no more digits than a float has"
    )]
    fn free_share(&self, now_ms: u64) -> Option<f32> {
        let limit = self.limit.load(Ordering::Relaxed);
        if limit == 0 || self.until_ms.load(Ordering::Relaxed) <= now_ms {
            return None;
        }
        let empty_at = self.empty_at.load(Ordering::Relaxed);
        let left = empty_at.saturating_sub(self.sent.load(Ordering::Relaxed));
        Some((left as f32 / limit as f32).min(1.0))
    }
}

/// What a call counts for in each gauge, in their order: requests, tokens, input, output.
fn needs(ask: &Ask<'_>) -> [u64; GAUGES] {
    [
        1,
        ask.tokens(),
        ask.input_tokens,
        ask.output_tokens.min(OUTPUT_LIKELY),
    ]
}

/// Never zero, which says that a place is free.
fn hash(model: &str) -> u64 {
    caller_hash(model.as_bytes()) | 1 << 63
}

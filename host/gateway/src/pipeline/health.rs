//! What has been measured of one channel, and whether it is to be left alone: for each of its models.
//!
//! Shared by all workers and kept across reloads, by channel name. Atomics only on a call's path: the
//! figures of a model are looked up once for each snapshot and worker, and then remembered.

mod breaker;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::budget::Budget;
use super::channel::Channel;
use crate::keys::Standing;
use crate::measure::{Counts, FailureKind, Figures, Means};
use crate::telemetry::{AttemptOutcome, Metrics};

pub use breaker::{Breaker, Cause, Change, Hold, Pass, State, Terms};

/// Models of a channel that are told apart. Callers choose their names, so there is a bound; what
/// goes beyond it is measured together.
const MODELS_MAX: usize = 64;

/// The measurements of one model of a channel.
#[derive(Debug, Default)]
pub struct ModelHealth {
    /// What was measured.
    pub figures: Figures,
    /// Its circuit.
    pub breaker: Breaker,
    in_flight: AtomicU32,
    /// When Weir last asked by itself, in milliseconds since the Unix epoch; the greatest number
    /// while it asks.
    probed_ms: AtomicU64,
}

impl ModelHealth {
    /// Whether it is time for Weir to ask by itself, as it does every `interval_ms`, and does not
    /// yet. Whoever hears yes asks, and then says so to [`Self::probed`].
    pub fn take_probe(&self, now_ms: u64, interval_ms: u64) -> bool {
        let last_ms = self.probed_ms.load(Ordering::Relaxed);
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        now_ms >= last_ms.saturating_add(interval_ms)
            && self
                .probed_ms
                .compare_exchange(last_ms, u64::MAX, success, failure)
                .is_ok()
    }

    /// Weir has asked by itself.
    pub fn probed(&self, now_ms: u64) {
        self.probed_ms.store(now_ms, Ordering::Relaxed);
    }

    /// The channel is well, as another of its models shows.
    pub fn recovered(&self, mut pass: Pass) -> Option<Change> {
        self.breaker.leave(&mut pass);
        self.changed(self.breaker.answered(&pass))
    }

    /// Calls under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// A call was answered after `first_byte`; `Rejected` is an answer too.
    pub fn answered(
        &self,
        mut pass: Pass,
        now_ms: u64,
        first_byte: Option<Duration>,
        terms: &Terms,
    ) -> Option<Change> {
        self.breaker.leave(&mut pass);
        let slow_from = Duration::from_millis(terms.slow_first_byte_ms);
        let slow =
            terms.slow_first_byte_ms != 0 && first_byte.is_some_and(|took| took >= slow_from);
        self.figures.answered(now_ms, first_byte, slow);
        if slow {
            let slow = || Counts {
                failures: self.figures.slow(now_ms),
                ..self.figures.counts(now_ms)
            };
            return self.changed(self.breaker.crawled(&pass, now_ms, terms, slow));
        }
        self.changed(self.breaker.answered(&pass))
    }

    /// A call failed. `pass`: none where it was answered, and its reply broke off.
    pub fn failed(
        &self,
        mut pass: Option<Pass>,
        now_ms: u64,
        kind: FailureKind,
        terms: &Terms,
    ) -> Option<Change> {
        if let Some(pass) = &mut pass {
            self.breaker.leave(pass);
            self.figures.failed(now_ms, kind);
        } else {
            self.figures.broke(now_ms);
        }
        if !kind.is_of_channel() {
            // Whoever says that a key is used up is there.
            return pass.and_then(|pass| self.changed(self.breaker.answered(&pass)));
        }
        let counts = || self.figures.counts(now_ms);
        self.breaker.failed(pass.as_ref(), now_ms, terms, counts)
    }

    /// Does what an administrator wants of the circuit.
    pub fn hold(&self, hold: Hold) {
        if hold == Hold::Auto {
            self.figures.restart();
        }
        self.breaker.hold(hold);
    }

    /// What was counted before a circuit closed must not open it again.
    fn changed(&self, change: Option<Change>) -> Option<Change> {
        if change == Some(Change::Closed) {
            self.figures.restart();
        }
        change
    }
}

type Models = HashMap<Arc<str>, Arc<ModelHealth>>;

/// The measurements of one channel.
#[derive(Debug, Default)]
pub struct Health {
    in_flight: AtomicU32,
    models: ArcSwap<Models>,
    /// Calls without a model, and of models beyond the bound.
    others: Arc<ModelHealth>,
    /// How the last tries went, for a channel without keys; else each key has its own.
    pub standing: Standing,
    /// Retries at this channel, beside the calls that went to it first.
    pub retries: Budget,
    /// What circuits of models are held at that are not there yet. Locked by whoever adds one.
    hold: Mutex<Option<Hold>>,
}

/// The figures of a channel as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measured {
    /// Calls of the last minute.
    pub counts: Counts,
    /// Means over its models, by their calls in the last minute.
    pub means: Means,
    /// Calls under way.
    pub in_flight: u32,
    /// Circuits that are not closed.
    pub open_circuits: u32,
}

impl Health {
    /// Calls under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// An attempt begins.
    pub fn begin(&self, model: &ModelHealth) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        model.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt, or the relay of its reply, is over.
    pub fn end(&self, model: &ModelHealth) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        model.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// The measurements of `model`, as the provider calls it; those of all others where there are too
    /// many. Not for every call: whoever asks remembers the answer.
    pub fn model(&self, model: &str, now_ms: u64) -> Arc<ModelHealth> {
        if model.is_empty() {
            return Arc::clone(&self.others);
        }
        if let Some(found) = self.models.load().get(model) {
            return Arc::clone(found);
        }
        let hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        let mut models = Models::clone(&self.models.load());
        if models.len() >= MODELS_MAX {
            models.retain(|_, model| !model.is_forgettable(now_ms));
        }
        if models.len() >= MODELS_MAX {
            return Arc::clone(&self.others);
        }
        let entry = models.entry(Arc::from(model)).or_insert_with(|| {
            let new = ModelHealth::default();
            if let Some(hold) = *hold {
                new.hold(hold);
            }
            Arc::new(new)
        });
        let found = Arc::clone(entry);
        self.models.store(Arc::new(models));
        found
    }

    /// The measurements of each model, by name; the others, without a name, come last.
    pub fn models(&self) -> Vec<(Arc<str>, Arc<ModelHealth>)> {
        let models = self.models.load();
        let mut all: Vec<_> = models
            .iter()
            .map(|(name, model)| (Arc::clone(name), Arc::clone(model)))
            .collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all.push((Arc::from(""), Arc::clone(&self.others)));
        all
    }

    /// Does what an administrator wants of one circuit, or of all of them and those to come. False
    /// where there is no such model.
    pub fn hold(&self, model: Option<&str>, hold: Hold) -> bool {
        let mut for_new = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        match model {
            Some(name) => {
                let models = self.models.load();
                let found = models.get(name);
                found.inspect(|model| model.hold(hold)).is_some()
            }
            None => {
                *for_new = Some(hold).filter(|hold| *hold != Hold::Auto);
                for (_, model) in self.models() {
                    model.hold(hold);
                }
                true
            }
        }
    }

    /// The figures of all models together.
    pub fn measured(&self, now_ms: u64) -> Measured {
        let mut all = Measured {
            in_flight: self.in_flight(),
            ..Measured::default()
        };
        let (mut first, mut total, mut speed) = <(Mix, Mix, Mix)>::default();
        for (_, model) in self.models() {
            let (counts, means) = (model.figures.counts(now_ms), model.figures.means());
            all.counts = all.counts.and(counts);
            first.add(means.first_byte_ms, counts.calls);
            total.add(means.total_ms, counts.calls);
            speed.add(means.tokens_per_second, counts.calls);
            if !matches!(
                model.breaker.state(now_ms),
                State::Closed | State::HeldClosed
            ) {
                all.open_circuits += 1;
            }
        }
        all.means = Means {
            first_byte_ms: first.mean(),
            total_ms: total.mean(),
            tokens_per_second: speed.mean(),
        };
        all
    }
}

impl ModelHealth {
    /// Whether nothing is lost when it makes place for another model.
    fn is_forgettable(&self, now_ms: u64) -> bool {
        self.figures.is_idle(now_ms)
            && self.in_flight() == 0
            && self.breaker.state(now_ms) == State::Closed
    }
}

/// A weighted mean of means. One that is not measured does not count.
#[derive(Default)]
struct Mix {
    sum: f32,
    weight: f32,
}

impl Mix {
    fn add(&mut self, mean: f32, calls: u32) {
        if mean > 0.0 {
            #[expect(clippy::cast_precision_loss, reason = "a weight needs no more digits")]
            // One that had no call lately still says what is known.
            let weight = calls as f32 + 0.001;
            self.sum += mean * weight;
            self.weight += weight;
        }
    }

    fn mean(&self) -> f32 {
        if self.weight > 0.0 {
            self.sum / self.weight
        } else {
            0.0
        }
    }
}

/// The kind of failure that an outcome is, where it is one.
pub fn failure(outcome: AttemptOutcome) -> Option<FailureKind> {
    match outcome {
        AttemptOutcome::Success | AttemptOutcome::Rejected | AttemptOutcome::Abandoned => None,
        AttemptOutcome::RateLimited => Some(FailureKind::RateLimited),
        AttemptOutcome::KeyRejected => Some(FailureKind::KeyRefused),
        AttemptOutcome::ServerError => Some(FailureKind::Server),
        AttemptOutcome::Unreachable => Some(FailureKind::Connect),
        AttemptOutcome::TimedOut => Some(FailureKind::TimedOut),
        AttemptOutcome::Broken => Some(FailureKind::Broken),
        AttemptOutcome::BadReply => Some(FailureKind::BadReply),
    }
}

/// Tells the operator of a circuit that changed.
pub fn tell(metrics: &Metrics, channel: &Channel, model: &str, change: Change, now_ms: u64) {
    let (name, of) = (&*channel.name, Subject(model));
    match change {
        Change::Closed => {
            channel.metrics.circuit_changed(false);
            metrics.channel_recovered(name, model);
        }
        Change::Opened(cause, for_ms) => {
            channel.metrics.circuit_changed(true);
            let percent =
                |counts: Counts| counts.failures.saturating_mul(100) / counts.calls.max(1);
            let reason = match cause {
                Cause::Row(count) => format!("{of}{count} failures in a row"),
                Cause::Rate(counts) => format!(
                    "{of}{} % of {} calls in a minute failed",
                    percent(counts),
                    counts.calls
                ),
                Cause::Slow(counts) => format!(
                    "{of}{} % of {} calls in a minute were slow",
                    percent(counts),
                    counts.calls
                ),
                // It has been told of before.
                Cause::StillBad => {
                    metrics.channel_still_tripped(name, model, for_ms);
                    return;
                }
            };
            metrics.channel_tripped(name, &reason, now_ms);
        }
    }
}

/// A model in front of a reason.
struct Subject<'a>(&'a str);

impl std::fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, "{}: ", self.0)
    }
}

#[cfg(test)]
mod tests;

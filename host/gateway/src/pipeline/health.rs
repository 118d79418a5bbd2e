//! What has been measured of one channel: calls in flight, failures, times, tokens per second.
//!
//! Shared by all workers and kept across reloads, by channel name. Atomics only: a figure may be a
//! call behind, which no decision notices.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::budget::Budget;
use crate::keys::{Cooldown, Rest, Standing};

/// Seconds of one bucket of the window.
const BUCKET_SECONDS: u64 = 10;
/// Buckets in the window: failures are counted over the last minute.
const BUCKETS: usize = 6;
/// Below this many calls in the window a failure rate says nothing and is given as zero.
const SAMPLES_MIN: u32 = 10;
/// Failures in a row after which the channel is left alone for a while.
const FAILURES_TO_TRIP: u32 = 3;
/// A reply that was there at once says nothing about how fast its tokens were made.
const STREAM_MIN: Duration = Duration::from_millis(10);
/// How much of a mean a new value makes up.
const NEW_SHARE: f32 = 0.1;

/// One slice of the window. `slot` says which ten seconds it counts.
#[derive(Debug, Default)]
struct Bucket {
    slot: AtomicU64,
    calls: AtomicU32,
    failures: AtomicU32,
}

/// An exponentially weighted mean, 0 until there is one: the bits of an `f32`.
#[derive(Debug, Default)]
struct Mean(AtomicU32);

impl Mean {
    fn get(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }

    fn add(&self, value: f32) {
        let mean = self.get();
        let next = if mean == 0.0 {
            value
        } else {
            mean + (value - mean) * NEW_SHARE
        };
        self.0.store(next.to_bits(), Ordering::Relaxed);
    }
}

/// The measurements of one channel.
#[derive(Debug, Default)]
pub struct Health {
    buckets: [Bucket; BUCKETS],
    in_flight: AtomicU32,
    first_byte_ms: Mean,
    total_ms: Mean,
    tokens_per_second: Mean,
    failures_in_a_row: AtomicU32,
    rest: Rest,
    /// How the last tries went, for a channel without keys; else each key has its own.
    pub standing: Standing,
    /// Retries at this channel, beside the calls that went to it first.
    pub retries: Budget,
}

/// The measurements as a policy sees them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Failures over calls in the last minute, 0 to 1; 0 below the minimum sample.
    pub error_rate: f32,
    /// Calls in the last minute.
    pub samples: u32,
    /// Exponentially weighted mean of the time to the first byte, milliseconds.
    pub first_byte_ms: f32,
    /// The same of the time to the last byte, of replies that came whole, milliseconds.
    pub total_ms: f32,
    /// The same of the output tokens per second after the first byte, of streamed replies.
    pub tokens_per_second: f32,
    /// Calls under way.
    pub in_flight: u32,
    /// For how many more milliseconds the channel, which failed several times in a row, is best
    /// left alone.
    pub tripped_ms: u32,
}

impl Health {
    /// An attempt begins.
    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt, or the relay of its reply, is over.
    pub fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// The channel answered; the provider may still have turned the key or the request away.
    pub fn answered(&self, now_ms: u64, first_byte_ms: f32) {
        let bucket = self.bucket(now_ms);
        bucket.calls.fetch_add(1, Ordering::Relaxed);
        self.first_byte_ms.add(first_byte_ms);
        if self.failures_in_a_row.load(Ordering::Relaxed) != 0 {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
            self.rest.end();
        }
    }

    /// A reply came whole, `total` after its attempt began; `streamed`: the output tokens that its
    /// provider reported, and how long they took to come after the first byte.
    pub fn completed(&self, total: Duration, streamed: Option<(u64, Duration)>) {
        self.total_ms.add(total.as_secs_f32() * 1_000.0);
        if let Some((tokens, took)) = streamed
            && tokens > 0
            && took >= STREAM_MIN
        {
            #[expect(clippy::cast_precision_loss, reason = "a speed needs no more digits")]
            let speed = tokens as f32 / took.as_secs_f32();
            self.tokens_per_second.add(speed);
        }
    }

    /// The channel failed: no connection, no answer in time, a 5xx, a broken reply.
    pub fn failed(&self, now_ms: u64, cooldown: Cooldown) {
        let bucket = self.bucket(now_ms);
        bucket.calls.fetch_add(1, Ordering::Relaxed);
        bucket.failures.fetch_add(1, Ordering::Relaxed);
        if self.failures_in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_TO_TRIP {
            self.rest.begin(now_ms, None, cooldown);
        }
    }

    /// The figures of this moment.
    pub fn measured(&self, now_ms: u64) -> Measured {
        let oldest = slot(now_ms).saturating_sub(BUCKETS as u64 - 1);
        let live = self
            .buckets
            .iter()
            .filter(|bucket| bucket.slot.load(Ordering::Relaxed) >= oldest);
        let (calls, failures) = live.fold((0_u32, 0_u32), |(calls, failures), bucket| {
            (
                calls.saturating_add(bucket.calls.load(Ordering::Relaxed)),
                failures.saturating_add(bucket.failures.load(Ordering::Relaxed)),
            )
        });
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate of calls in a minute needs no more digits"
        )]
        let error_rate = if calls < SAMPLES_MIN {
            0.0
        } else {
            failures as f32 / calls as f32
        };
        Measured {
            error_rate,
            samples: calls,
            first_byte_ms: self.first_byte_ms.get(),
            total_ms: self.total_ms.get(),
            tokens_per_second: self.tokens_per_second.get(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            tripped_ms: u32::try_from(self.rest.until_ms().saturating_sub(now_ms))
                .unwrap_or(u32::MAX),
        }
    }

    /// The bucket of this moment, emptied by whoever comes first in its ten seconds.
    fn bucket(&self, now_ms: u64) -> &Bucket {
        let slot = slot(now_ms);
        #[expect(
            clippy::indexing_slicing,
            reason = "the index is taken modulo the length"
        )]
        let bucket = &self.buckets[usize::try_from(slot).unwrap_or(0) % BUCKETS];
        let seen = bucket.slot.load(Ordering::Relaxed);
        if seen != slot
            && bucket
                .slot
                .compare_exchange(seen, slot, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            bucket.calls.store(0, Ordering::Relaxed);
            bucket.failures.store(0, Ordering::Relaxed);
        }
        bucket
    }
}

fn slot(now_ms: u64) -> u64 {
    now_ms / 1_000 / BUCKET_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOLDOWN: Cooldown = Cooldown {
        first_ms: 1_000,
        max_ms: 60_000,
    };

    #[test]
    fn failures_are_forgotten_after_a_minute() {
        let health = Health::default();
        let start = 1_000_000_000;
        for _ in 0..10 {
            health.answered(start, 20.0);
        }
        for _ in 0..10 {
            health.failed(start, COOLDOWN);
        }
        assert_eq!(
            (
                health.measured(start).error_rate,
                health.measured(start).samples
            ),
            (0.5, 20)
        );
        assert_eq!(health.measured(start + 70_000).samples, 0);
    }

    #[test]
    fn whole_replies_tell_their_time_and_streams_their_speed() {
        let health = Health::default();
        let ms = Duration::from_millis;
        health.completed(ms(100), None);
        let measured = health.measured(0);
        assert_eq!(
            (measured.total_ms, measured.tokens_per_second),
            (100.0, 0.0)
        );
        health.completed(ms(200), Some((50, ms(500))));
        let measured = health.measured(0);
        assert_eq!(
            (measured.total_ms, measured.tokens_per_second),
            (110.0, 100.0)
        );
        health.completed(ms(110), Some((50, ms(5))));
        health.completed(ms(110), Some((0, ms(50))));
        assert_eq!(health.measured(0).tokens_per_second, 100.0);
    }

    #[test]
    fn failures_in_a_row_trip_and_one_answer_mends() {
        let health = Health::default();
        for _ in 0..3 {
            health.failed(5_000, COOLDOWN);
        }
        assert_eq!(health.measured(5_500).tripped_ms, 500);
        assert_eq!(health.measured(6_000).tripped_ms, 0);
        health.answered(6_000, 1.0);
        health.failed(6_001, COOLDOWN);
        assert_eq!(health.measured(6_001).tripped_ms, 0);
    }
}

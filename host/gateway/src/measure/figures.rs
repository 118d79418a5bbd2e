//! What is measured of one thing that answers calls.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::window::{Counts, Window};

/// A reply that was there at once says nothing about how fast its tokens were made.
const STREAM_MIN: Duration = Duration::from_millis(10);
/// How much of a mean a new value makes up.
const NEW_SHARE: f32 = 0.1;

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No connection.
    Connect,
    /// No reply in time.
    TimedOut,
    /// The provider says that it failed.
    Server,
    /// 429, or what means the same: the key is used up for now.
    RateLimited,
    /// The provider does not take the key.
    KeyRefused,
    /// The reply broke off.
    Broken,
    /// What came is no reply to what was asked.
    BadReply,
}

impl FailureKind {
    /// Every kind. `ALL[kind as usize]` is `kind`.
    pub const ALL: [FailureKind; 7] = [
        FailureKind::Connect,
        FailureKind::TimedOut,
        FailureKind::Server,
        FailureKind::RateLimited,
        FailureKind::KeyRefused,
        FailureKind::Broken,
        FailureKind::BadReply,
    ];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::TimedOut => "timed_out",
            Self::Server => "server_error",
            Self::RateLimited => "rate_limited",
            Self::KeyRefused => "key_refused",
            Self::Broken => "broken",
            Self::BadReply => "bad_reply",
        }
    }

    /// Whether it speaks against the channel. What was said about a key was said by a channel that
    /// works.
    pub fn is_of_channel(self) -> bool {
        !matches!(self, Self::RateLimited | Self::KeyRefused)
    }
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

/// Exponentially weighted means; 0 where there is none yet.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Means {
    /// Time to the first byte, in milliseconds.
    pub first_byte_ms: f32,
    /// Time to the last byte of replies that came whole, in milliseconds.
    pub total_ms: f32,
    /// Output tokens per second after the first byte of streamed replies.
    pub tokens_per_second: f32,
}

/// The measurements of one thing.
#[derive(Debug, Default)]
pub struct Figures {
    window: Window,
    first_byte_ms: Mean,
    total_ms: Mean,
    tokens_per_second: Mean,
}

impl Figures {
    /// A call was answered, `first_byte` after it began, where that tells anything. `slow`: later than
    /// whoever owns these figures likes.
    pub fn answered(&self, now_ms: u64, first_byte: Option<Duration>, slow: bool) {
        self.window.answered(now_ms, slow);
        if let Some(first_byte) = first_byte {
            self.first_byte_ms.add(milliseconds(first_byte));
        }
    }

    /// A call failed.
    pub fn failed(&self, now_ms: u64, kind: FailureKind) {
        self.window.failed(now_ms, kind, false);
    }

    /// A reply that was counted as answered broke off.
    pub fn broke(&self, now_ms: u64) {
        self.window.failed(now_ms, FailureKind::Broken, true);
    }

    /// A reply came whole, `total` after its attempt began; `streamed`: the output tokens that its
    /// provider reported, and how long they took to come after the first byte.
    pub fn completed(&self, total: Duration, streamed: Option<(u64, Duration)>) {
        self.total_ms.add(milliseconds(total));
        if let Some((tokens, took)) = streamed
            && tokens > 0
            && took >= STREAM_MIN
        {
            #[expect(clippy::cast_precision_loss, reason = "a speed needs no more digits")]
            let speed = tokens as f32 / took.as_secs_f32();
            self.tokens_per_second.add(speed);
        }
    }

    /// Calls of the last minute.
    pub fn counts(&self, now_ms: u64) -> Counts {
        self.window.counts(now_ms)
    }

    /// Slow answers of the last minute.
    pub fn slow(&self, now_ms: u64) -> u32 {
        self.window.slow(now_ms)
    }

    /// Failures of the last minute by kind, in the order of [`FailureKind::ALL`].
    pub fn kinds(&self, now_ms: u64) -> [u32; FailureKind::ALL.len()] {
        self.window.kinds(now_ms)
    }

    /// The means.
    pub fn means(&self) -> Means {
        Means {
            first_byte_ms: self.first_byte_ms.get(),
            total_ms: self.total_ms.get(),
            tokens_per_second: self.tokens_per_second.get(),
        }
    }

    /// Whether the last minute had no call.
    pub fn is_idle(&self, now_ms: u64) -> bool {
        self.window.is_idle(now_ms)
    }

    /// What was counted so far says nothing about what comes: counting begins again.
    pub fn restart(&self) {
        self.window.restart();
    }
}

fn milliseconds(duration: Duration) -> f32 {
    duration.as_secs_f32() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_list() {
        let mut all = FailureKind::ALL.iter().enumerate();
        assert!(all.all(|(index, kind)| *kind as usize == index));
    }

    #[test]
    fn whole_replies_tell_their_time_and_streams_their_speed() {
        let figures = Figures::default();
        let ms = Duration::from_millis;
        figures.completed(ms(100), None);
        let means = figures.means();
        assert_eq!((means.total_ms, means.tokens_per_second), (100.0, 0.0));
        figures.completed(ms(200), Some((50, ms(500))));
        let means = figures.means();
        assert_eq!((means.total_ms, means.tokens_per_second), (110.0, 100.0));
        figures.completed(ms(110), Some((50, ms(5))));
        figures.completed(ms(110), Some((0, ms(50))));
        assert_eq!(figures.means().tokens_per_second, 100.0);
        figures.answered(0, Some(ms(20)), false);
        figures.answered(0, Some(ms(30)), true);
        assert_eq!(figures.means().first_byte_ms, 21.0);
        assert_eq!((figures.counts(0).calls, figures.slow(0)), (2, 1));
    }
}

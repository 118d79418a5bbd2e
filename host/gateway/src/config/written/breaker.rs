//! `[channel.breaker]`: when a channel is left alone for a while.

use crate::config::schema::settings;

/// What holds where nothing is written.
const USUAL: Breaker = Breaker {
    error_rate_percent: 50,
    min_samples: 20,
    consecutive_failures: 3,
    slow_first_byte_ms: 0,
    slow_percent: 50,
    open_first_ms: None,
    open_max_ms: None,
    half_open_calls: 1,
    probe_interval_ms: 0,
    probe_model: None,
};

impl Default for Breaker {
    fn default() -> Self {
        USUAL
    }
}

settings! {
    /// When a channel is left alone for a while: a circuit breaker for each of its models. While the
    /// circuit of a model is open, calls go elsewhere if there is an elsewhere. Then it is half-open:
    /// a few calls may try, and how they end closes it or opens it for longer.
    #[derive(PartialEq)]
    pub struct Breaker {
        /// Percent of the calls of the last minute that failed (no connection, no reply in time,
        /// status 5xx, a broken or wrong reply) from which on the circuit opens. 0: never.
        error_rate_percent: u32 = USUAL.error_rate_percent, within 0..=100;
        /// Calls in the last minute below which neither `error_rate_percent` nor `slow_percent` means
        /// anything.
        min_samples: u32 = USUAL.min_samples, within 1..=1_000_000;
        /// Failures in a row from which on the circuit opens. 0: never.
        consecutive_failures: u32 = USUAL.consecutive_failures, within 0..=1_000_000;
        /// Time to the first byte from which on an answer is slow. 0: no answer is.
        slow_first_byte_ms: u64 = USUAL.slow_first_byte_ms, within 0..=86_400_000;
        /// Percent of the calls of the last minute that were slow from which on the circuit opens.
        slow_percent: u32 = USUAL.slow_percent, within 1..=100;
        /// How long the circuit is open the first time; each further time in a row is twice as long.
        /// Default: `cooldown.first_ms`.
        open_first_ms: Option<u64>, within 1..=86_400_000;
        /// The longest that it is open. Default: `cooldown.max_ms`.
        open_max_ms: Option<u64>, within 1..=86_400_000;
        /// Calls that may try at one time while the circuit is half-open.
        half_open_calls: u32 = USUAL.half_open_calls, within 1..=10_000;
        /// Pause between questions of Weir's own (a few tokens long) to a channel with an open circuit,
        /// which is closed by an answer. They cost what calls cost. 0: none are asked.
        probe_interval_ms: u64 = USUAL.probe_interval_ms, within 0..=86_400_000;
        /// Model that these ask, as the provider calls it; its answer closes all circuits of the
        /// channel. Default: the model whose circuit is open.
        probe_model: Option<String>;
    }
}

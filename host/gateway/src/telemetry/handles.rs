//! What the data path holds: metrics with their labels already looked up.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use weir_base::{Operation, Usage};

use super::custom::CustomMetrics;
use super::health::{HealthFamilies, HealthMetrics, HealthShown};
use super::metrics::HotFamilies;
use super::phase::Phase;
use super::shards::Sharded;

/// How a call ended, as its caller saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// Status below 400, and the whole reply was delivered.
    Success,
    /// Status 400 to 499.
    ClientError,
    /// Status from 500.
    ServerError,
    /// The caller hung up before the end.
    Aborted,
    /// The reply broke off before its end.
    Broken,
}

impl CallOutcome {
    /// Every outcome. `ALL[outcome as usize]` is `outcome`.
    pub const ALL: [CallOutcome; 5] = [
        CallOutcome::Success,
        CallOutcome::ClientError,
        CallOutcome::ServerError,
        CallOutcome::Aborted,
        CallOutcome::Broken,
    ];

    /// The outcome of a reply that was delivered whole.
    pub fn of_status(status: u16) -> Self {
        match status {
            ..400 => Self::Success,
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }

    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Aborted => "aborted",
            Self::Broken => "broken",
        }
    }
}

/// How an attempt at a channel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// The provider answered, and its answer is the caller's.
    Success,
    /// The provider found fault with the request.
    Rejected,
    /// 429, or what means the same.
    RateLimited,
    /// The provider does not take the key any more.
    KeyRejected,
    /// The provider failed.
    ServerError,
    /// No connection.
    Unreachable,
    /// No reply in time.
    TimedOut,
    /// The reply broke off.
    Broken,
    /// What came is no reply to what was asked.
    BadReply,
    /// Nobody waited for it any more: the caller left, or another attempt was faster.
    Abandoned,
}

impl AttemptOutcome {
    /// Every outcome. `ALL[outcome as usize]` is `outcome`.
    pub const ALL: [AttemptOutcome; 10] = [
        AttemptOutcome::Success,
        AttemptOutcome::Rejected,
        AttemptOutcome::RateLimited,
        AttemptOutcome::KeyRejected,
        AttemptOutcome::ServerError,
        AttemptOutcome::Unreachable,
        AttemptOutcome::TimedOut,
        AttemptOutcome::Broken,
        AttemptOutcome::BadReply,
        AttemptOutcome::Abandoned,
    ];

    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Rejected => "rejected",
            Self::RateLimited => "rate_limited",
            Self::KeyRejected => "key_rejected",
            Self::ServerError => "server_error",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Broken => "broken",
            Self::BadReply => "bad_reply",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The time that calls spend in each phase.
#[derive(Debug, Clone)]
pub struct PhaseMetrics(Sharded<[Histogram; Phase::ALL.len()]>);

impl PhaseMetrics {
    pub(super) fn new(shards: &[HotFamilies]) -> Self {
        let phase =
            |family: &HistogramVec, phase: Phase| family.with_label_values(&[phase.as_str()]);
        Self(Sharded::new(shards.iter().map(|hot| {
            Phase::ALL.map(|name| phase(&hot.phase_seconds, name))
        })))
    }

    /// A call has left `phase` after `elapsed`.
    pub fn observe(&self, phase: Phase, elapsed: Duration) {
        if let Some(histogram) = self.0.mine().and_then(|phases| phases.get(phase as usize)) {
            histogram.observe(elapsed.as_secs_f64());
        }
    }
}

/// Operations that are told apart; `Operation::Other` is the last of them.
const OPERATIONS: usize = Operation::Other as usize + 1;

/// The calls of one dialect. Series appear when they are first counted, so that a dialect that
/// nobody uses costs no space.
#[derive(Debug, Clone)]
pub struct CallMetrics {
    dialect: Arc<str>,
    shards: Sharded<CallShard>,
}

#[derive(Debug)]
struct CallShard {
    family: IntCounterVec,
    cells: [[OnceLock<IntCounter>; CallOutcome::ALL.len()]; OPERATIONS],
}

impl CallMetrics {
    pub(super) fn new(shards: &[HotFamilies], dialect: &str) -> Self {
        let shard = |hot: &HotFamilies| CallShard {
            family: hot.calls.clone(),
            cells: Default::default(),
        };
        Self {
            dialect: dialect.into(),
            shards: Sharded::new(shards.iter().map(shard)),
        }
    }

    /// A call has ended.
    pub fn count(&self, operation: Operation, outcome: CallOutcome) {
        let Some(shard) = self.shards.mine() else {
            return;
        };
        let cells = shard.cells.get(operation as usize);
        if let Some(cell) = cells.and_then(|cells| cells.get(outcome as usize)) {
            let labels = [operation.as_str(), &*self.dialect, outcome.as_str()];
            cell.get_or_init(|| shard.family.with_label_values(&labels))
                .inc();
        }
    }
}

/// The attempts and keys of one channel.
#[derive(Debug, Clone)]
pub struct ChannelMetrics {
    shards: Sharded<ChannelShard>,
    health: HealthMetrics,
    keys_usable: IntGauge,
    keys_cooling: IntGauge,
    keys_disabled: IntGauge,
}

#[derive(Debug)]
struct ChannelShard {
    attempts: [IntCounter; AttemptOutcome::ALL.len()],
    first_byte: Histogram,
    total: Histogram,
    /// What one worker began another may end, so a shard's value can be negative; the sum is right.
    in_flight: IntGauge,
}

impl ChannelMetrics {
    pub(super) fn new(
        shards: &[HotFamilies],
        keys: &IntGaugeVec,
        health: &HealthFamilies,
        channel: &str,
    ) -> Self {
        let shard = |hot: &HotFamilies| ChannelShard {
            attempts: AttemptOutcome::ALL
                .map(|outcome| hot.attempts.with_label_values(&[channel, outcome.as_str()])),
            first_byte: hot.first_byte.with_label_values(&[channel]),
            total: hot.total.with_label_values(&[channel]),
            in_flight: hot.in_flight.with_label_values(&[channel]),
        };
        Self {
            shards: Sharded::new(shards.iter().map(shard)),
            health: HealthMetrics::new(health, channel),
            keys_usable: keys.with_label_values(&[channel, "usable"]),
            keys_cooling: keys.with_label_values(&[channel, "cooling"]),
            keys_disabled: keys.with_label_values(&[channel, "disabled"]),
        }
    }

    /// An attempt begins. Each must be followed by one [`Self::attempt_ended`].
    pub fn attempt_started(&self) {
        if let Some(shard) = self.shards.mine() {
            shard.in_flight.inc();
        }
    }

    /// The head of the reply came, `elapsed` after the request was sent.
    pub fn first_byte(&self, elapsed: Duration) {
        if let Some(shard) = self.shards.mine() {
            shard.first_byte.observe(elapsed.as_secs_f64());
        }
    }

    /// The reply came whole, `elapsed` after the request was sent.
    pub fn completed(&self, elapsed: Duration) {
        if let Some(shard) = self.shards.mine() {
            shard.total.observe(elapsed.as_secs_f64());
        }
    }

    /// The figures of the last minute, and the circuits that are not closed.
    pub fn set_health(&self, shown: &HealthShown) {
        self.health.set(shown);
    }

    /// A circuit of the channel opened, or closed.
    pub fn circuit_changed(&self, opened: bool) {
        self.health.changed(opened);
    }

    /// An attempt has ended.
    pub fn attempt_ended(&self, outcome: AttemptOutcome) {
        if let Some(shard) = self.shards.mine() {
            shard.in_flight.dec();
            if let Some(counter) = shard.attempts.get(outcome as usize) {
                counter.inc();
            }
        }
    }

    /// How many of the channel's keys are in which state.
    pub fn set_keys(&self, usable: usize, cooling: usize, disabled: usize) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.keys_usable.set(gauge(usable));
        self.keys_cooling.set(gauge(cooling));
        self.keys_disabled.set(gauge(disabled));
    }
}

/// One policy's hooks, by their index in the list that the handle was made with, and the metrics
/// that the policy keeps for itself.
#[derive(Debug, Clone)]
pub struct PolicyMetrics {
    shards: Sharded<Box<[HookMetrics]>>,
    custom: Arc<CustomMetrics>,
}

#[derive(Debug)]
struct HookMetrics {
    calls: IntCounter,
    recalls: IntCounter,
    denials: IntCounter,
    seconds: Histogram,
}

impl PolicyMetrics {
    pub(super) fn new(
        shards: &[HotFamilies],
        custom: Arc<CustomMetrics>,
        policy: &str,
        hooks: &[&str],
    ) -> Self {
        let hook = |hot: &HotFamilies, hook: &str| HookMetrics {
            calls: hot.policy_calls.with_label_values(&[policy, hook]),
            recalls: hot.policy_recalls.with_label_values(&[policy, hook]),
            denials: hot.policy_denials.with_label_values(&[policy, hook]),
            seconds: hot.policy_seconds.with_label_values(&[policy, hook]),
        };
        let shard = |hot| hooks.iter().map(|name| hook(hot, name)).collect();
        Self {
            shards: Sharded::new(shards.iter().map(shard)),
            custom,
        }
    }

    /// The hook was called and took `elapsed`, whatever came of it.
    pub fn ran(&self, hook: usize, elapsed: Duration) {
        if let Some(hook) = self.shards.mine().and_then(|hooks| hooks.get(hook)) {
            hook.calls.inc();
            hook.seconds.observe(elapsed.as_secs_f64());
        }
    }

    /// The hook was not called: an answer that it gave before still held.
    pub fn recalled(&self, hook: usize) {
        if let Some(hook) = self.shards.mine().and_then(|hooks| hooks.get(hook)) {
            hook.recalls.inc();
        }
    }

    /// The hook denied the call.
    pub fn denied(&self, hook: usize) {
        if let Some(hook) = self.shards.mine().and_then(|hooks| hooks.get(hook)) {
            hook.denials.inc();
        }
    }

    /// The metrics that the policy keeps for itself.
    pub fn custom(&self) -> &Arc<CustomMetrics> {
        &self.custom
    }
}

/// The tokens and the money of all calls.
#[derive(Debug)]
pub(super) struct UsageMetrics(Sharded<UsageShard>);

#[derive(Debug)]
struct UsageShard {
    input: IntCounter,
    output: IntCounter,
    cached: IntCounter,
    cache_write: IntCounter,
    reasoning: IntCounter,
    cost_micros: IntCounter,
}

impl UsageMetrics {
    pub(super) fn new(shards: &[HotFamilies]) -> Self {
        let shard = |hot: &HotFamilies| UsageShard {
            input: hot.tokens.with_label_values(&["input"]),
            output: hot.tokens.with_label_values(&["output"]),
            cached: hot.tokens.with_label_values(&["cached"]),
            cache_write: hot.tokens.with_label_values(&["cache_write"]),
            reasoning: hot.tokens.with_label_values(&["reasoning"]),
            cost_micros: hot.cost_micros.with_label_values::<&str>(&[]),
        };
        Self(Sharded::new(shards.iter().map(shard)))
    }

    pub(super) fn add(&self, usage: &Usage) {
        let Some(shard) = self.0.mine() else { return };
        shard.input.inc_by(usage.input_tokens);
        shard.output.inc_by(usage.output_tokens);
        // Most calls have none of these, and adding nothing costs as much as adding something.
        let add = |counter: &IntCounter, count: u64| {
            if count > 0 {
                counter.inc_by(count);
            }
        };
        add(&shard.cached, usage.cached_tokens);
        add(&shard.cache_write, usage.cache_write_tokens);
        add(&shard.reasoning, usage.reasoning_tokens);
        add(&shard.cost_micros, usage.cost_micros);
    }
}

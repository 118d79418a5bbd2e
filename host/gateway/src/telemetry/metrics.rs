//! The registry of every metric, and the handles that it gives out.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use prometheus::core::{Collector as _, MetricVec, MetricVecBuilder};
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use weir_base::{Fault, Usage};

use super::alerts::{Alert, Alerts};
use super::custom::CustomRegistry;
use super::handles::{CallMetrics, ChannelMetrics, PhaseMetrics, PolicyMetrics, UsageMetrics};
use super::health::HealthFamilies;
use super::names::{self, Family};
use super::shards::{add_up, shard_count};
use super::throttle::Throttle;

/// Codes that are told apart in `weir_refusals_total`. Policies choose codes freely; those beyond the
/// bound count as `other`.
const REFUSAL_CODES_MAX: usize = 200;

/// Every metric of the program. One for the process, shared behind an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    /// What every call counts, once for each worker.
    hot: Box<[HotFamilies]>,
    phases: PhaseMetrics,
    usage: UsageMetrics,
    /// What is counted now and then, once.
    registry: Registry,
    refusals: IntCounterVec,
    refusal_codes: RwLock<HashSet<String>>,
    pub(super) trial_differences: IntCounterVec,
    pub(super) trials_ended: IntCounterVec,
    tenants_cpu: GaugeVec,
    keys: IntGaugeVec,
    health: HealthFamilies,
    hedges: IntCounterVec,
    continuations: IntCounterVec,
    connections: IntGauge,
    pub(super) audit_lost: IntCounter,
    pub(super) journal_calls: IntCounterVec,
    connections_total: IntCounter,
    custom: CustomRegistry,
    pub(super) alerts: Alerts,
    pub(super) alerts_total: IntCounterVec,
    // What only events count is theirs: see `events.rs`.
    pub(super) policy_failures: IntCounterVec,
    pub(super) policy_versions_live: IntGauge,
    pub(super) policy_instances: IntGauge,
    pub(super) policy_swaps: IntCounterVec,
    pub(super) ledger_backlog: IntGauge,
    pub(super) ledger_accepting: IntGauge,
    pub(super) config_reloads: IntCounterVec,
    pub(super) failure_log: Throttle,
    pub(super) fault_log: Throttle,
}

/// The families of one shard.
#[derive(Debug)]
pub(super) struct HotFamilies {
    registry: Registry,
    pub(super) calls: IntCounterVec,
    pub(super) phase_seconds: HistogramVec,
    pub(super) attempts: IntCounterVec,
    pub(super) first_byte: HistogramVec,
    pub(super) total: HistogramVec,
    pub(super) in_flight: IntGaugeVec,
    pub(super) policy_calls: IntCounterVec,
    pub(super) policy_recalls: IntCounterVec,
    pub(super) policy_denials: IntCounterVec,
    pub(super) policy_seconds: HistogramVec,
    pub(super) tokens: IntCounterVec,
    pub(super) cost_micros: IntCounterVec,
}

impl HotFamilies {
    fn new() -> prometheus::Result<Self> {
        let make = Maker(Registry::new());
        Ok(Self {
            calls: make.counters(&names::CALLS)?,
            phase_seconds: make.histograms(&names::PHASE_SECONDS, &names::PHASE_BUCKETS)?,
            attempts: make.counters(&names::ATTEMPTS)?,
            first_byte: make.histograms(&names::FIRST_BYTE_SECONDS, &names::FIRST_BYTE_BUCKETS)?,
            total: make.histograms(&names::TOTAL_SECONDS, &names::FIRST_BYTE_BUCKETS)?,
            in_flight: make.gauges(&names::IN_FLIGHT)?,
            policy_calls: make.counters(&names::POLICY_CALLS)?,
            policy_recalls: make.counters(&names::POLICY_RECALLS)?,
            policy_denials: make.counters(&names::POLICY_DENIALS)?,
            policy_seconds: make.histograms(&names::POLICY_SECONDS, &names::POLICY_BUCKETS)?,
            tokens: make.counters(&names::TOKENS)?,
            cost_micros: make.counters(&names::COST_MICROS)?,
            registry: make.0,
        })
    }
}

/// Makes families and registers them.
struct Maker(Registry);

impl Maker {
    fn counters(&self, family: &Family) -> prometheus::Result<IntCounterVec> {
        let vec = IntCounterVec::new(Opts::new(family.name, family.help), family.labels)?;
        self.0.register(Box::new(vec.clone()))?;
        Ok(vec)
    }

    fn gauges(&self, family: &Family) -> prometheus::Result<IntGaugeVec> {
        let vec = IntGaugeVec::new(Opts::new(family.name, family.help), family.labels)?;
        self.0.register(Box::new(vec.clone()))?;
        Ok(vec)
    }

    fn floats(&self, family: &Family) -> prometheus::Result<GaugeVec> {
        let vec = GaugeVec::new(Opts::new(family.name, family.help), family.labels)?;
        self.0.register(Box::new(vec.clone()))?;
        Ok(vec)
    }

    fn histograms(&self, family: &Family, buckets: &[f64]) -> prometheus::Result<HistogramVec> {
        let opts = HistogramOpts::new(family.name, family.help).buckets(buckets.to_vec());
        let vec = HistogramVec::new(opts, family.labels)?;
        self.0.register(Box::new(vec.clone()))?;
        Ok(vec)
    }

    fn counter(&self, family: &Family) -> prometheus::Result<IntCounter> {
        self.counters(family)?
            .get_metric_with_label_values::<&str>(&[])
    }

    fn gauge(&self, family: &Family) -> prometheus::Result<IntGauge> {
        self.gauges(family)?
            .get_metric_with_label_values::<&str>(&[])
    }
}

impl Metrics {
    /// Makes and registers every metric. `version` is the program's.
    ///
    /// # Errors
    /// Two metrics have one name, or a name is malformed: a mistake in `names.rs`.
    pub fn new(version: &str) -> prometheus::Result<Self> {
        let shards = (0..shard_count()).map(|_| HotFamilies::new());
        let hot = shards.collect::<prometheus::Result<Box<[_]>>>()?;
        let make = Maker(Registry::new());
        make.gauges(&names::BUILD_INFO)?
            .with_label_values(&[version])
            .set(1);
        let metrics = Self {
            phases: PhaseMetrics::new(&hot),
            usage: UsageMetrics::new(&hot),
            hot,
            refusals: make.counters(&names::REFUSALS)?,
            refusal_codes: RwLock::default(),
            trial_differences: make.counters(&names::TRIAL_DIFFERENCES)?,
            trials_ended: make.counters(&names::TRIALS_ENDED)?,
            tenants_cpu: make.floats(&names::TENANTS_CPU)?,
            keys: make.gauges(&names::KEYS)?,
            health: HealthFamilies {
                error_ratio: make.floats(&names::ERROR_RATIO)?,
                tokens_per_second: make.floats(&names::TOKENS_PER_SECOND)?,
                open_circuits: make.gauges(&names::OPEN_CIRCUITS)?,
                circuit_changes: make.counters(&names::CIRCUIT_CHANGES)?,
            },
            hedges: make.counters(&names::HEDGES)?,
            continuations: make.counters(&names::CONTINUATIONS)?,
            connections: make.gauge(&names::CONNECTIONS)?,
            audit_lost: make.counter(&names::AUDIT_LOST)?,
            journal_calls: make.counters(&names::JOURNAL_CALLS)?,
            connections_total: make.counter(&names::CONNECTIONS_TOTAL)?,
            custom: CustomRegistry::new(make.counters(&names::CUSTOM_DROPPED)?),
            alerts: Alerts::default(),
            alerts_total: make.counters(&names::ALERTS)?,
            policy_failures: make.counters(&names::POLICY_FAILURES)?,
            policy_versions_live: make.gauge(&names::POLICY_VERSIONS_LIVE)?,
            policy_instances: make.gauge(&names::POLICY_INSTANCES)?,
            policy_swaps: make.counters(&names::POLICY_SWAPS)?,
            ledger_backlog: make.gauge(&names::LEDGER_BACKLOG)?,
            ledger_accepting: make.gauge(&names::LEDGER_ACCEPTING)?,
            config_reloads: make.counters(&names::CONFIG_RELOADS)?,
            failure_log: Throttle::new(),
            fault_log: Throttle::new(),
            registry: make.0,
        };
        metrics.ledger_accepting.set(1);
        Ok(metrics)
    }

    /// Every metric in the Prometheus text format (`text/plain; version=0.0.4`).
    pub fn render(&self) -> String {
        let mut families = add_up(self.hot.iter().flat_map(|hot| hot.registry.gather()));
        families.extend(self.registry.gather());
        families.extend(self.custom.families());
        // Encoding fails only for a family without metrics, and none of the sources gives out one.
        TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_default()
    }

    /// The time that calls spend in each phase.
    pub fn phases(&self) -> &PhaseMetrics {
        &self.phases
    }

    /// The calls in a dialect. To be taken once for each dialect.
    pub fn calls(&self, dialect: &str) -> CallMetrics {
        CallMetrics::new(&self.hot, dialect)
    }

    /// The attempts and keys of a channel. Handles of one name share their counters.
    pub fn channel(&self, channel: &str) -> ChannelMetrics {
        ChannelMetrics::new(&self.hot, &self.keys, &self.health, channel)
    }

    /// Stops reporting a channel that is gone. Handles that are still in use go on counting unseen.
    pub fn forget_channel(&self, channel: &str) {
        for hot in &self.hot {
            forget(&hot.attempts, "channel", channel);
            forget(&hot.first_byte, "channel", channel);
            forget(&hot.total, "channel", channel);
            forget(&hot.in_flight, "channel", channel);
        }
        forget(&self.keys, "channel", channel);
        forget(&self.health.error_ratio, "channel", channel);
        forget(&self.health.tokens_per_second, "channel", channel);
        forget(&self.health.open_circuits, "channel", channel);
        forget(&self.health.circuit_changes, "channel", channel);
    }

    /// The hooks of a policy; later the handle is asked by their index in `hooks`. Handles of one name
    /// share their counters, so a new version goes on where the old one was.
    pub fn policy(&self, policy: &str, hooks: &[&str]) -> PolicyMetrics {
        PolicyMetrics::new(&self.hot, self.custom.of_policy(policy), policy, hooks)
    }

    /// Stops reporting a policy that is gone. Handles that are still in use go on counting unseen.
    pub fn forget_policy(&self, policy: &str) {
        for hot in &self.hot {
            forget(&hot.policy_calls, "policy", policy);
            forget(&hot.policy_recalls, "policy", policy);
            forget(&hot.policy_denials, "policy", policy);
            forget(&hot.policy_seconds, "policy", policy);
        }
        forget(&self.policy_failures, "policy", policy);
        forget(&self.policy_swaps, "policy", policy);
        forget(&self.trial_differences, "policy", policy);
        forget(&self.trials_ended, "policy", policy);
        self.custom.forget(policy);
    }

    /// What tenants' policies computed so far, in seconds. Others are reported no more.
    pub fn set_tenants_cpu(&self, seconds: &[(std::sync::Arc<str>, f64)]) {
        self.tenants_cpu.reset();
        for (tenant, seconds) in seconds {
            self.tenants_cpu.with_label_values(&[tenant]).set(*seconds);
        }
    }

    /// A call's usage is known.
    pub fn used(&self, usage: &Usage) {
        self.usage.add(usage);
    }

    /// A try that began beside a slow one is over; `won`: it was the faster one.
    pub fn hedged(&self, won: bool) {
        let result = if won { "won" } else { "lost" };
        self.hedges.with_label_values(&[result]).inc();
    }

    /// A reply broke off after its first words; `went_on`: another attempt goes on with it.
    pub fn continued(&self, went_on: bool) {
        let result = if went_on { "went_on" } else { "failed" };
        self.continuations.with_label_values(&[result]).inc();
    }

    /// What an operator should look at, newest first; only the last few hundred.
    pub fn alerts(&self) -> Vec<Alert> {
        self.alerts.newest_first()
    }

    /// A caller's connection was accepted. Each must be followed by [`Self::connection_closed`].
    pub fn connection_opened(&self) {
        self.connections.inc();
        self.connections_total.inc();
    }

    /// A caller's connection is gone.
    pub fn connection_closed(&self) {
        self.connections.dec();
    }

    /// Finished calls that wait to be written.
    pub fn set_ledger_backlog(&self, rows: usize) {
        self.ledger_backlog
            .set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// Policy versions and instances in memory.
    pub fn set_policies_live(&self, versions: usize, instances: usize) {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.policy_versions_live.set(number(versions));
        self.policy_instances.set(number(instances));
    }

    /// Counts a refusal. Takes a read lock: refusals are no part of the path that must be fast.
    pub(super) fn count_refusal(&self, fault: &Fault) {
        let code = if self.is_known_code(&fault.code) {
            &*fault.code
        } else {
            "other"
        };
        self.refusals
            .with_label_values(&[code, fault.blame.as_str()])
            .inc();
    }

    fn is_known_code(&self, code: &str) -> bool {
        let known = self
            .refusal_codes
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if known.contains(code) {
            return true;
        }
        let full = known.len() >= REFUSAL_CODES_MAX;
        drop(known);
        if full || code.len() > 64 {
            return false;
        }
        let mut known = self
            .refusal_codes
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // Another thread may have filled it, or put the code in, since the lock was let go.
        if known.len() < REFUSAL_CODES_MAX {
            known.insert(code.to_owned());
        }
        known.contains(code)
    }
}

/// Removes every series of `family` whose `label` is `value`.
fn forget<T: MetricVecBuilder>(family: &MetricVec<T>, label: &str, value: &str) {
    for metric in family
        .collect()
        .iter()
        .flat_map(|family| family.get_metric())
    {
        let pairs = metric.get_label().iter();
        let labels: HashMap<&str, &str> = pairs.map(|pair| (pair.name(), pair.value())).collect();
        if labels.get(label) == Some(&value) {
            let _ = family.remove(&labels);
        }
    }
}

#[cfg(test)]
mod tests;

//! Every metric of the program: its name, what it counts, its labels and its buckets.
//!
//! All label values are bounded: by an enum, by the operator's own settings, or by a cap.

/// A metric family's name, help and label names.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) labels: &'static [&'static str],
}

const fn family(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Family {
    Family { name, help, labels }
}

pub(super) const BUILD_INFO: Family = family(
    "weir_build_info",
    "Always 1; the version is a label.",
    &["version"],
);

pub(super) const CALLS: Family = family(
    "weir_calls_total",
    "Calls that ended, by how they ended.",
    &["operation", "dialect", "outcome"],
);
pub(super) const REFUSALS: Family = family(
    "weir_refusals_total",
    "Calls that Weir refused or failed, by code and by whose doing it was.",
    &["code", "blame"],
);
pub(super) const AUDIT_LOST: Family = family(
    "weir_audit_lost_total",
    "Finished calls that no audit policy saw, because too many waited.",
    &[],
);
pub(super) const JOURNAL_CALLS: Family = family(
    "weir_journal_calls_total",
    "Calls for the journals of policies: kept, or lost because too many waited or a file could not be written.",
    &["outcome"],
);
pub(super) const PHASE_SECONDS: Family = family(
    "weir_phase_seconds",
    "Time that calls spent in a phase.",
    &["phase"],
);

pub(super) const ATTEMPTS: Family = family(
    "weir_attempts_total",
    "Attempts at a channel, by how they ended.",
    &["channel", "outcome"],
);
pub(super) const HEDGES: Family = family(
    "weir_hedges_total",
    "Tries that began beside a slow one, by whether they answered first.",
    &["result"],
);
pub(super) const CONTINUATIONS: Family = family(
    "weir_continuations_total",
    "Replies that broke off after their first words, by whether another attempt went on with them (went_on, failed). Only where that was tried.",
    &["result"],
);
pub(super) const FIRST_BYTE_SECONDS: Family = family(
    "weir_channel_first_byte_seconds",
    "Time from sending a request to the head of the reply.",
    &["channel"],
);
pub(super) const TOTAL_SECONDS: Family = family(
    "weir_channel_total_seconds",
    "Time from sending a request to the end of the reply, of replies that came whole.",
    &["channel"],
);
pub(super) const ERROR_RATIO: Family = family(
    "weir_channel_error_ratio",
    "Failures of the channel over its calls, in the last minute.",
    &["channel"],
);
pub(super) const TOKENS_PER_SECOND: Family = family(
    "weir_channel_tokens_per_second",
    "Mean output tokens per second of streamed replies; 0 where there is none yet.",
    &["channel"],
);
pub(super) const OPEN_CIRCUITS: Family = family(
    "weir_channel_open_circuits",
    "Models of the channel whose circuit is open or half-open.",
    &["channel"],
);
pub(super) const CIRCUIT_CHANGES: Family = family(
    "weir_channel_circuit_changes_total",
    "Circuits of the channel that opened (again) or closed.",
    &["channel", "to"],
);
pub(super) const TRIAL_DIFFERENCES: Family = family(
    "weir_policy_trial_differences_total",
    "Calls about which a version in force and one that shadows it did not agree.",
    &["policy"],
);
pub(super) const TRIALS_ENDED: Family = family(
    "weir_policy_trials_ended_total",
    "Trials of policies' versions that are over, by how: promoted, taken_out, stopped.",
    &["policy", "how"],
);
pub(super) const TENANTS_CPU: Family = family(
    "weir_tenant_policies_cpu_seconds",
    "Computing time of a tenant's own policies, since the start or a change of the quota.",
    &["tenant"],
);
pub(super) const IN_FLIGHT: Family = family(
    "weir_channel_in_flight",
    "Attempts under way.",
    &["channel"],
);
pub(super) const KEYS: Family = family(
    "weir_channel_keys",
    "Provider keys of a channel, by state.",
    &["channel", "state"],
);

pub(super) const ALERTS: Family = family(
    "weir_alerts_total",
    "Things that an operator should look at, see GET /admin/v1/alerts.",
    &["kind"],
);

pub(super) const POLICY_CALLS: Family = family(
    "weir_policy_calls_total",
    "Hooks that were called.",
    &["policy", "hook"],
);
pub(super) const POLICY_RECALLS: Family = family(
    "weir_policy_recalls_total",
    "Hooks that were not called, because an answer that the policy gave before still held.",
    &["policy", "hook"],
);
pub(super) const POLICY_DENIALS: Family = family(
    "weir_policy_denials_total",
    "Hooks that denied the call.",
    &["policy", "hook"],
);
pub(super) const POLICY_FAILURES: Family = family(
    "weir_policy_failures_total",
    "Hooks that failed, by kind of failure.",
    &["policy", "hook", "kind"],
);
pub(super) const POLICY_SECONDS: Family = family(
    "weir_policy_seconds",
    "Time that hooks took.",
    &["policy", "hook"],
);
pub(super) const POLICY_VERSIONS_LIVE: Family = family(
    "weir_policy_versions_live",
    "Policy versions in memory: the current ones, and old ones that calls still finish on.",
    &[],
);
pub(super) const POLICY_INSTANCES: Family = family(
    "weir_policy_instances",
    "Instances of policies in memory, idle ones included; those that nobody used for a minute go.",
    &[],
);
pub(super) const POLICY_SWAPS: Family = family(
    "weir_policy_swaps_total",
    "New policy versions, by what became of them.",
    &["policy", "result"],
);
pub(super) const CUSTOM_DROPPED: Family = family(
    "weir_policy_custom_dropped_total",
    "Values of a policy's own metrics that were dropped: bad names or too many series.",
    &["policy"],
);
/// What the names of policies' own metrics begin with.
pub(super) const CUSTOM_PREFIX: &str = "weir_policy_custom_";

pub(super) const TOKENS: Family = family(
    "weir_tokens_total",
    "Tokens of finished calls. Cached and cache_write are parts of input, reasoning of output.",
    &["kind"],
);
pub(super) const COST_MICROS: Family = family(
    "weir_cost_micros_total",
    "Cost of finished calls, in millionths of the currency unit.",
    &[],
);

pub(super) const CONNECTIONS: Family = family(
    "weir_connections",
    "Connections of callers that are open.",
    &[],
);
pub(super) const CONNECTIONS_TOTAL: Family = family(
    "weir_connections_total",
    "Connections of callers that were accepted.",
    &[],
);

pub(super) const LEDGER_BACKLOG: Family = family(
    "weir_ledger_backlog",
    "Finished calls that wait to be written.",
    &[],
);
pub(super) const LEDGER_ACCEPTING: Family = family(
    "weir_ledger_accepting",
    "1 while the ledger takes calls, else 0.",
    &[],
);

pub(super) const CONFIG_RELOADS: Family = family(
    "weir_config_reloads_total",
    "Reloads of the settings, by result.",
    &["result"],
);

/// Phases last from a microsecond (a hook) to minutes (a long stream).
pub(super) const PHASE_BUCKETS: [f64; 14] = [
    1e-6, 5e-6, 2.5e-5, 1e-4, 5e-4, 2.5e-3, 1e-2, 5e-2, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0,
];

/// From half a microsecond, a native policy with nothing to do, to the longest usual deadline.
pub(super) const POLICY_BUCKETS: [f64; 17] = [
    0.5e-6, 1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2,
    5e-2, 0.1,
];

/// Providers answer after tens of milliseconds to minutes.
pub(super) const FIRST_BYTE_BUCKETS: [f64; 13] = [
    1e-3, 5e-3, 2.5e-2, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
];

/// Nobody knows what a policy measures, so three steps a decade over seven decades.
pub(super) const CUSTOM_BUCKETS: [f64; 22] = [
    1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0,
    250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4,
];

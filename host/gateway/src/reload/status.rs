//! What operators are told about policies.

use serde::Serialize;
use utoipa::ToSchema;
use weir_policy::Version;

/// What validation found out about a version, and whether it decides now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct VersionReport {
    /// The policy's name.
    pub policy: String,
    /// SHA-256 of the file, in hexadecimal digits.
    pub digest: String,
    /// Bytes of the file.
    pub size_bytes: usize,
    /// The hooks that it has, in the order of a call's phases.
    pub hooks: Vec<&'static str>,
    /// The version of the interface `weir:policy` that it needs, for example `0.2`.
    pub interface: &'static str,
    /// The interfaces that it imports: all that it can do.
    pub imports: Vec<String>,
    /// Whether it decides now.
    pub active: bool,
    /// What it may do that the version in force may not, in plain words: why it waits for approval.
    /// Empty where it does not wait.
    pub waits_for: Vec<String>,
}

impl VersionReport {
    pub(super) fn new(policy: &str, version: &Version, active: bool) -> Self {
        Self {
            policy: policy.to_owned(),
            digest: hex::encode(version.digest()),
            size_bytes: version.size_bytes(),
            hooks: hooks(version),
            interface: version.interface().as_str(),
            imports: version.imports().to_vec(),
            active,
            waits_for: Vec::new(),
        }
    }
}

pub(super) fn hooks(version: &Version) -> Vec<&'static str> {
    version
        .hooks()
        .iter()
        .map(weir_policy::Hook::as_str)
        .collect()
}

/// One policy of the chain. Without a digest nothing of it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PolicyStatus {
    /// The policy's name.
    pub name: String,
    /// Its place in the chain, from 0.
    pub position: usize,
    /// Where the running code comes from: `builtin:NAME`, `file:PATH` or `upload`.
    pub source: String,
    /// The file that declares the policy; then its settings are read-only in the API.
    pub declared_in: Option<String>,
    /// SHA-256 of the running version.
    pub digest: Option<String>,
    /// Bytes of the running version's file.
    pub size_bytes: Option<usize>,
    /// The hooks of the running version.
    pub hooks: Vec<&'static str>,
    /// The version of the interface `weir:policy` that the running version needs, for example `0.2`.
    pub interface: Option<&'static str>,
    /// The interfaces that the running version imports.
    pub imports: Vec<String>,
    /// `enforce` or `shadow`.
    pub mode: String,
    /// `deny` or `allow`.
    pub on_failure: String,
    /// Hook calls of the running version that failed.
    pub failures: u64,
    /// Microseconds that the running version computed since it was loaded; null for an operator's policy,
    /// whose time is in `weir_policy_seconds`.
    pub cpu_micros: Option<u64>,
    /// Its instances, in all workers.
    pub instances: u32,
    /// What last went wrong: a version that was refused or taken out.
    pub last_error: Option<String>,
    /// The uploaded version to which a rollback returns.
    pub previous_digest: Option<String>,
}

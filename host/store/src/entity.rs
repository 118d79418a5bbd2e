//! What administrators make: plain structs, each stored whole.
//!
//! The store checks of them only what it needs for itself (ids, names, digests). Whether a
//! dialect exists or a time zone is known is for whoever made the value to say.

pub(crate) mod document;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use weir_base::Secret;

pub use document::{Entity, Kind};

/// An organisation or team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// ASCII letters, digits, `-`, `_` and `.`; at most 64.
    pub id: String,
    /// For people.
    pub name: String,
    /// What policies can ask for.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// IANA name; none means the gateway's default.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// Its keys are refused.
    #[serde(default)]
    pub disabled: bool,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// Milliseconds since the epoch; set by the store at each update.
    pub updated_ms: u64,
}

/// What a client sends, without the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualKey {
    /// Public; begins with `key_`.
    pub id: String,
    /// The tenant's id. The tenant may be one that the configuration file declares.
    pub tenant: String,
    /// For people; unique within the tenant.
    pub name: String,
    /// SHA-256 of the secret. Not for showing.
    #[serde(with = "hex::serde")]
    pub hash: [u8; 32],
    /// The first characters of the secret, to recognise it by.
    pub prefix: String,
    /// What policies can ask for; looked up before the tenant's.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The key is refused.
    #[serde(default)]
    pub disabled: bool,
    /// It opens the tenant's own policies in the admin API, and no calls.
    #[serde(default)]
    pub author: bool,
    /// Refused from then on, in milliseconds since the epoch.
    #[serde(default)]
    pub expires_ms: Option<u64>,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// Milliseconds since the epoch; set by the store at each update.
    pub updated_ms: u64,
}

/// One way to a provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// Its id. ASCII letters, digits, `-`, `_` and `.`; at most 64.
    pub name: String,
    /// The wire format it speaks.
    pub dialect: String,
    /// Where requests go.
    pub base_url: String,
    /// Patterns of the models it serves.
    #[serde(default)]
    pub models: Vec<String>,
    /// From the caller's name of a model to the provider's.
    #[serde(default)]
    pub model_map: BTreeMap<String, String>,
    /// For the routing policy; higher is tried first.
    #[serde(default)]
    pub priority: u32,
    /// For the routing policy.
    #[serde(default)]
    pub weight: u32,
    /// What only some dialects or versions of Weir need.
    #[serde(default)]
    pub settings: serde_json::Value,
    /// Never chosen.
    #[serde(default)]
    pub disabled: bool,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// Milliseconds since the epoch; set by the store at each update.
    pub updated_ms: u64,
}

/// The secret that a channel sends upstream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProviderKey {
    /// Public.
    pub id: String,
    /// The channel's name. The channel may be one that the configuration file declares.
    pub channel: String,
    /// For people.
    #[serde(default)]
    pub label: String,
    /// How it is used, and how much.
    #[serde(default)]
    pub terms: KeyTerms,
    /// Encrypted in the database, and never part of the JSON.
    #[serde(skip, default = "no_secret")]
    pub secret: Secret,
    /// Why it is out of use; none while it is in use.
    #[serde(default)]
    pub disabled_reason: Option<String>,
    /// Since when, in milliseconds since the epoch.
    #[serde(default)]
    pub disabled_ms: Option<u64>,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
}

/// How a provider key is used; what is not said is as the gateway has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTerms {
    /// Share among the keys of its level.
    #[serde(default)]
    pub weight: Option<u32>,
    /// Lower levels are tried first.
    #[serde(default)]
    pub level: Option<u32>,
    /// Most requests in a minute.
    #[serde(default)]
    pub rpm: Option<u64>,
    /// Most tokens in a minute.
    #[serde(default)]
    pub tpm: Option<u64>,
    /// Most calls under way.
    #[serde(default)]
    pub in_flight_max: Option<u32>,
}

fn no_secret() -> Secret {
    Secret::new(String::new())
}

/// A provider key of the configuration file that was found dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisabledKey {
    /// The channel's name.
    pub channel: String,
    /// SHA-256 of the secret.
    #[serde(with = "hex::serde")]
    pub fingerprint: [u8; 32],
    /// Why.
    pub reason: String,
    /// Since when, in milliseconds since the epoch.
    pub disabled_ms: u64,
}

impl DisabledKey {
    /// The id of the entry about this key.
    pub fn id_of(channel: &str, fingerprint: &[u8; 32]) -> String {
        format!("{channel}/{}", hex::encode(fingerprint))
    }
}

/// One file that a policy was or is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// The policy's name.
    pub policy: String,
    /// SHA-256 of `bytes` in lower-case hexadecimal digits.
    pub digest: String,
    /// The file. Empty in lists: read one entry to get it.
    #[serde(skip)]
    pub bytes: Vec<u8>,
    /// Length of the file.
    pub size_bytes: u64,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// Where it came from.
    pub source: String,
    /// What validation found.
    #[serde(default)]
    pub report: serde_json::Value,
}

impl PolicyVersion {
    /// The id of the entry for this version.
    pub fn id_of(policy: &str, digest: &str) -> String {
        format!("{policy}@{digest}")
    }
}

/// Which version of a policy is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyState {
    /// The policy's name.
    pub policy: String,
    /// The digest in force.
    pub active: Option<String>,
    /// The digest in force before, which a rollback returns to.
    #[serde(default)]
    pub previous: Option<String>,
    /// The version that is tried beside the one in force.
    #[serde(default)]
    pub trial: Option<Trial>,
    /// Versions that were taken out because they did not prove themselves, the last first.
    #[serde(default)]
    pub quarantined: Vec<Quarantined>,
    /// Digests of versions that were in force once, the last first.
    #[serde(default)]
    pub retired: Vec<String>,
    /// Digests of versions that may do more than those before them, because someone said so.
    #[serde(default)]
    pub approved: Vec<String>,
}

impl PolicyState {
    /// Nothing uploaded was ever in force.
    pub fn new(policy: impl Into<String>) -> Self {
        Self {
            policy: policy.into(),
            active: None,
            previous: None,
            trial: None,
            quarantined: Vec::new(),
            retired: Vec::new(),
            approved: Vec::new(),
        }
    }
}

/// A version that is tried beside the one in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Which.
    pub digest: String,
    /// How.
    pub kind: TrialKind,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// When it ends by itself, and how.
    pub rules: TrialRules,
}

/// How a version is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialKind {
    /// It sees the same calls and decides none.
    Shadow,
    /// It decides the calls of some keys.
    Canary {
        /// Their share, 1 to 99.
        percent: u32,
    },
}

/// When a trial ends by itself, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialRules {
    /// Calls that the tried version must have seen before anything but its failures counts.
    pub calls_min: u64,
    /// Failures from which on it is taken out; 0 for never.
    pub failures_max: u64,
    /// By how many of a thousand calls the refusals may differ from those of the version in force,
    /// either way, before it is taken out; none for any number.
    pub denials_change_max_permille: Option<u32>,
    /// By how many microseconds a call the time of its hooks may be longer, in the mean, before it is
    /// taken out; none for any time.
    pub added_max_micros: Option<u32>,
    /// What becomes of it where none of these happened in time.
    pub promote: Option<Promote>,
}

/// What becomes of a tried version that proved itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promote {
    /// Milliseconds that the trial lasts at least.
    pub after_ms: u64,
    /// The share of the keys for which it decides then; 100 puts it in force.
    pub percent: u32,
}

/// A version that was taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Which.
    pub digest: String,
    /// Why.
    pub reason: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// The settings of a policy that the API made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicySetting {
    /// The policy's name.
    pub name: String,
    /// Its place in the chain.
    pub position: i64,
    /// Configuration, failure rule, deadline, memory, isolation, mode, tenants and grants, in
    /// the gateway's own form.
    pub settings: serde_json::Value,
}

/// An address that is kept out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// The address.
    pub ip: IpAddr,
    /// Until when, in milliseconds since the epoch.
    pub until_ms: u64,
    /// Why.
    pub reason: String,
}

/// Everything that a start or reload needs. Policy versions are left out: they are read one by
/// one, for their bytes.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is its own name")]
pub struct Entities {
    pub tenants: Vec<Tenant>,
    pub keys: Vec<VirtualKey>,
    pub channels: Vec<Channel>,
    pub provider_keys: Vec<ProviderKey>,
    pub disabled_keys: Vec<DisabledKey>,
    pub policy_states: Vec<PolicyState>,
    /// In the order of the chain.
    pub policy_settings: Vec<PolicySetting>,
    /// Only those that are still in force.
    pub bans: Vec<Ban>,
}

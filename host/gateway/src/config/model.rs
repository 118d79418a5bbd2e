//! What runs: the compiled settings. Plain data with secrets in it; nothing here is open or alive.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Uri};
use ipnet::IpNet;
use weir_base::{Operation, Secret};
use weir_upstream::{Proxy, Tls};

use super::types::{Globs, PolicySource, StickyBy};
use super::written::{
    BalanceSource, Breaker, ChannelDialect, Cooldown, FailureRule, Fake, Fallback, Http2,
    Isolation, Journals, KeyRole, KeyStrategy, Ledger, Limits, Log, Mode, Pins, Prefill, Retry,
    Runtime, TenantPolicies, Upstream,
};

/// The settings that the program runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The settings file, if there is one.
    pub file: Option<PathBuf>,
    /// Address for callers, and for the admin API where `admin_listen` is `None`.
    pub listen: SocketAddr,
    /// Address of the admin API.
    pub admin_listen: Option<SocketAddr>,
    /// Folder for what the program keeps.
    pub data_dir: PathBuf,
    /// Folder that is watched for policies. It need not exist.
    pub policies_dir: Option<PathBuf>,
    /// Proxies whose word about the caller's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Threads that serve calls; 0 for one for each core.
    pub workers: usize,
    /// Milliseconds that calls under way get when the program stops.
    pub drain_timeout_ms: u64,
    /// URL under which callers reach Weir, where set. No slash at its end.
    pub public_url: Option<Uri>,
    /// What is logged, and how.
    pub log: Log,
    /// Bounds on callers.
    pub limits: Limits,
    /// Connections to providers.
    pub upstream: Upstream,
    /// The record of calls.
    pub ledger: Ledger,
    /// What policies may use.
    pub runtime: Runtime,
    /// Journals of policies.
    pub journals: Journals,
    /// What tenants may do with policies of their own.
    pub tenant_policies: TenantPolicies,
    /// Rests after failures.
    pub cooldown: Cooldown,
    /// What is tried again.
    pub retry: Retry,
    /// How long it is remembered who made what a provider keeps.
    pub pins: Pins,
    /// Other models for calls that a model does not serve. The first that matches counts.
    pub fallbacks: Vec<Fallback>,
    /// The channels of the file, disabled ones included. Names are unique.
    pub channels: Vec<Channel>,
    /// The tenants of the file, disabled ones included. Names are unique.
    pub tenants: Vec<Tenant>,
    /// The operator's chain, in order: that of the file, or the default one. Names are unique.
    pub policies: Vec<Policy>,
    /// Prices of the file. The last that matches counts.
    pub prices: Vec<Price>,
    /// Secrets for policies, by the name that grants refer to.
    pub secrets: BTreeMap<Arc<str>, Secret>,
    pub(super) redacted: serde_json::Value,
}

/// A way to a provider.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Unique name.
    pub name: Arc<str>,
    /// The provider's API.
    pub dialect: ChannelDialect,
    /// Where the provider is, without a slash at its end; `None` for the `fake` dialect only.
    pub base_url: Option<Uri>,
    /// The provider's keys, in the order of the file. May be empty, and is for a disabled channel.
    pub keys: Vec<ChannelKey>,
    /// Which of the keys a call takes.
    pub key_strategy: KeyStrategy,
    /// What the strategy `sticky` goes by.
    pub sticky_by: StickyBy,
    /// Models that the channel serves, as callers name them.
    pub models: Globs,
    /// Tenants whose calls it serves.
    pub tenants: Globs,
    /// The provider's names for models that callers name otherwise.
    pub model_map: BTreeMap<String, String>,
    /// Facts for policies.
    pub labels: BTreeMap<String, String>,
    /// Higher is tried first.
    pub priority: u32,
    /// Share among channels of the same priority.
    pub weight: u32,
    /// Out of use.
    pub disabled: bool,
    /// Keys, files and so on that could not be fetched, where it is out of use; else that is an error.
    pub lacks: Option<String>,
    /// Headers for every request, marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Ask for usage at the end of streams.
    pub stream_usage: bool,
    /// HTTP/2 to the provider.
    pub http2: Http2,
    /// Milliseconds until a reply begins; `None` for `upstream.first_byte_timeout_ms`.
    pub first_byte_timeout_ms: Option<u64>,
    /// Where its provider tells what is left on the account.
    pub balance: BalanceSource,
    /// Times for all calls or for some kinds; a later one counts before an earlier one.
    pub timeouts: Vec<ChannelTimeout>,
    /// The proxy on the way to the provider.
    pub proxy: Option<Proxy>,
    /// Certificates of its own; `None` for those of all channels.
    pub tls: Option<Tls>,
    /// Whether the provider is another Weir.
    pub cascade: bool,
    /// How it is asked to go on with a reply that broke off; `None` where it is not.
    pub prefill: Option<Prefill>,
    /// When it is left alone for a while.
    pub breaker: Breaker,
    /// How it answers; `Some` for the `fake` dialect only.
    pub fake: Option<Fake>,
}

/// A key of a provider.
#[derive(Debug, Clone)]
pub struct ChannelKey {
    /// The key itself.
    pub secret: Secret,
    /// For people.
    pub name: Option<Arc<str>>,
    /// How it is used.
    pub terms: KeyTerms,
}

impl ChannelKey {
    /// A key of which nothing more is said.
    pub fn plain(secret: Secret) -> Self {
        Self {
            secret,
            name: None,
            terms: KeyTerms::default(),
        }
    }
}

/// How a provider key is used, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyTerms {
    /// Share among the keys of its level; from 1.
    pub weight: u32,
    /// Lower levels are tried first; from 1.
    pub level: u32,
    /// Most requests in a minute.
    pub rpm: Option<u64>,
    /// Most tokens in a minute.
    pub tpm: Option<u64>,
    /// Most calls under way.
    pub in_flight_max: Option<u32>,
}

impl Default for KeyTerms {
    fn default() -> Self {
        Self {
            weight: 1,
            level: 1,
            rpm: None,
            tpm: None,
            in_flight_max: None,
        }
    }
}

/// Times of a channel, in milliseconds, where they are not those of all channels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelTimeout {
    /// The kinds of calls for which this holds; empty for all.
    pub operations: Vec<Operation>,
    /// Name lookup, TCP and the proxy's tunnel.
    pub connect_ms: Option<u64>,
    /// The TLS handshake.
    pub tls_ms: Option<u64>,
    /// Until a reply begins.
    pub first_byte_ms: Option<u64>,
    /// The longest pause within a reply.
    pub idle_stream_ms: Option<u64>,
    /// The whole attempt.
    pub total_ms: Option<u64>,
}

/// An organisation or team that calls Weir.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Unique name.
    pub name: Arc<str>,
    /// Facts for policies.
    pub labels: BTreeMap<String, String>,
    /// IANA name of the zone in which its days begin; known to exist.
    pub time_zone: String,
    /// Refuses all calls.
    pub disabled: bool,
    /// The tenant's keys. Names are unique within the tenant, secrets within the file.
    pub keys: Vec<VirtualKey>,
}

/// What a caller sends.
#[derive(Debug, Clone)]
pub struct VirtualKey {
    /// Name, unique within its tenant.
    pub name: Arc<str>,
    /// The key itself; `None` where the admin API is to make it.
    pub secret: Option<Secret>,
    /// Facts for policies.
    pub labels: BTreeMap<String, String>,
    /// Refuses all calls.
    pub disabled: bool,
    /// What it is for.
    pub role: KeyRole,
    /// From when on the key is refused, in milliseconds since the Unix epoch.
    pub expires_unix_ms: Option<u64>,
}

/// A policy of the operator's chain.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Unique name.
    pub name: Arc<str>,
    /// Where its code comes from. A builtin exists; a file may not.
    pub source: PolicySource,
    /// What happens to a call when it fails.
    pub on_failure: FailureRule,
    /// Milliseconds for one hook.
    pub deadline_ms: u64,
    /// Milliseconds that one hook may wait for the host.
    pub wait_max_ms: u64,
    /// Bytes of memory for one instance; at most `runtime.memory_max_bytes`.
    pub memory_max_bytes: usize,
    /// Which calls share an instance.
    pub isolation: Isolation,
    /// Whether its decisions count.
    pub mode: Mode,
    /// Tenants whose calls it sees.
    pub tenants: Globs,
    /// What it may reach.
    pub grants: Grants,
    /// Of a thousand calls, how many its journal keeps.
    pub journal_per_thousand: u32,
    /// Its own configuration; always an object.
    pub config: serde_json::Value,
}

/// What a policy may reach besides the call.
#[derive(Debug, Clone)]
pub struct Grants {
    /// `host`, `host:port` or `*.host`, in lower case.
    pub http: Vec<String>,
    /// Names that exist in [`Config::secrets`].
    pub secrets: Vec<String>,
    /// Models that it may ask.
    pub models: Globs,
    /// Whether it may ban addresses.
    pub firewall: bool,
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            http: Vec::new(),
            secrets: Vec::new(),
            models: Globs::nothing(),
            firewall: false,
        }
    }
}

/// The price of a model, in millionths of the currency unit for a million tokens.
#[derive(Debug, Clone)]
pub struct Price {
    /// Models, as the provider names them.
    pub model: Globs,
    /// Channels for which it holds.
    pub channel: Globs,
    /// Tenants for which it holds.
    pub tenant: Globs,
    /// Input tokens.
    pub input_micros_per_million: u64,
    /// Output tokens.
    pub output_micros_per_million: u64,
    /// Input tokens read from the provider's cache.
    pub cached_micros_per_million: u64,
    /// Input tokens written to the provider's cache.
    pub cache_write_micros_per_million: u64,
    /// When the price was looked up, in milliseconds since the Unix epoch.
    pub date_unix_ms: Option<u64>,
    /// Where the price was looked up.
    pub source: Option<String>,
}

impl Config {
    /// The settings as an operator may see them: every setting by its name, secrets hidden.
    pub fn redacted(&self) -> &serde_json::Value {
        &self.redacted
    }

    /// The paths of the settings outside of `[[…]]` tables and `[secrets]` that differ from `other`'s,
    /// for a reload to say which of them wait for a restart.
    pub fn changed_settings(&self, other: &Config) -> Vec<String> {
        let mut changed = Vec::new();
        collect_changes("", &self.redacted, &other.redacted, &mut changed);
        changed
    }
}

fn collect_changes(
    section: &str,
    one: &serde_json::Value,
    other: &serde_json::Value,
    changed: &mut Vec<String>,
) {
    const TABLES: [&str; 5] = ["channel", "tenant", "policy", "price", "secrets"];
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else {
        return;
    };
    for (name, value) in one {
        let against = other.get(name).unwrap_or(&serde_json::Value::Null);
        if section.is_empty() && TABLES.contains(&name.as_str()) {
            continue;
        }
        if value.is_object() {
            collect_changes(name, value, against, changed);
        } else if value != against {
            changed.push(super::node::join(section, name));
        }
    }
}

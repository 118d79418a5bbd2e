//! Every setting, defined once: what may be written. [`super::compile`] makes of it what runs.
//!
//! The doc comments are the documentation that users read in SETTINGS.md. Units are part of the
//! names. Sections that need no compiling (numbers and words) run as they were written.

mod breaker;
mod channel;
mod policy;
mod sections;
mod tenant;
mod tenant_policies;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use http::Uri;
use ipnet::IpNet;

use super::schema::settings;
use super::setting::At;
use super::types::SecretRef;

pub use breaker::Breaker;
pub(super) use channel::Channel;
pub(super) use channel::ChannelTimeout;
pub use channel::{BalanceSource, CallKind, ChannelDialect, Fake, Http2, KeyStrategy, Prefill};
pub use policy::{FailureRule, Isolation, Mode};
pub(super) use policy::{Grants, Policy, Price};
pub use sections::{
    Cooldown, Fallback, FallbackCause, Journals, Ledger, Limits, Log, LogFormat, Pins, Retry,
    Runtime, Upstream,
};
pub use tenant::KeyRole;
pub(super) use tenant::{Tenant, VirtualKey};
pub use tenant_policies::TenantPolicies;

settings! {
    /// Settings that stand before the first section.
    pub(super) struct Root {
        /// Address on which callers are served, and the admin API too unless `admin_listen` is set.
        listen: At<SocketAddr> = at_default(SocketAddr::from(([127, 0, 0, 1], 8080)));
        /// Address for the admin API, its metrics and its documentation, kept apart from callers.
        admin_listen: Option<At<SocketAddr>>;
        /// Folder for the database, compiled policies and generated keys. Made if it does not exist.
        data_dir: PathBuf = PathBuf::from("./weir-data");
        /// Folder that is watched for policies: a `.wasm` file that appears there is a policy version.
        /// It need not exist. Empty: no folder is watched.
        policies_dir: PathBuf = PathBuf::from("./policies.d");
        /// Proxies whose `x-forwarded-for` header is believed. From all other addresses it says nothing
        /// about the caller.
        trusted_proxies: Vec<IpNet>;
        /// Threads that serve calls. 0: one for each core.
        workers: usize = 0, within 0..=1_024;
        /// Time that calls under way get to finish when the program is told to stop.
        drain_timeout_ms: u64 = 30_000, within 0..=3_600_000;
        /// URL under which callers reach Weir, where that differs from `listen`; used in what is
        /// shown to people.
        public_url: Option<Uri>;
        /// Without any `[[policy]]`, run the four policies that come with Weir (permissions, limits,
        /// aliases, router), which as they stand allow every call of a valid key. With `false` and no
        /// `[[policy]]`, no policy runs at all.
        default_chain: bool = true;
        /// What is logged, and how. Logs go to standard error.
        log: Log;
        /// Bounds on what callers may send and how long they may take.
        limits: Limits;
        /// Connections to providers. Numbers of connections hold for each worker and each provider
        /// address.
        upstream: Upstream;
        /// The durable record of calls.
        ledger: Ledger;
        /// What policies may use of the machine: all of them together, unless it says otherwise.
        runtime: Runtime;
        /// Journals of policies.
        journals: Journals;
        /// What tenants may do with policies of their own.
        tenant_policies: TenantPolicies;
        /// How long a channel or provider key rests after it failed, where the provider does not say.
        cooldown: At<Cooldown>;
        /// What is tried again when a provider fails, and for how long.
        retry: Retry;
        /// How long it is remembered who made what a provider keeps: files, batches, responses.
        pins: Pins;
        /// Other models for calls that a model does not serve. The first that matches counts.
        fallback: Vec<At<Fallback>>;
        /// A way to a provider. Order in the file has no meaning; `priority` and `weight` have.
        channel: Vec<At<Channel>>;
        /// An organisation or team that calls Weir.
        tenant: Vec<At<Tenant>>;
        /// A policy of the operator. Order in the file is order in the chain.
        policy: Vec<At<Policy>>;
        /// The price of a model, in millionths of the currency unit for a million tokens: 2.50 a million
        /// is 2500000. The last entry that matches counts, and any entry here counts before
        /// the prices that come with Weir.
        price: Vec<At<Price>>;
        /// Secrets that policies may be granted (`grants.secrets`), by name.
        secrets: BTreeMap<String, At<SecretRef>>;
    }
}

/// A default, as if it were written nowhere.
fn at_default<T>(value: T) -> At<T> {
    let origin = super::report::Origin::CommandLine("default".into());
    At {
        value,
        origin,
        path: String::new(),
    }
}

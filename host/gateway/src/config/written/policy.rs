//! `[[policy]]` and `[[price]]`.

use crate::config::schema::{settings, words};
use crate::config::setting::At;
use crate::config::types::{FreeTable, Globs, Moment, Name, PolicySource};

words! {
    /// What happens to a call when a policy fails.
    pub enum FailureRule {
        /// The call is refused.
        Deny = "deny",
        /// The call goes on as if the policy were not there.
        Allow = "allow",
    }
}

words! {
    /// Which calls share an instance of a policy.
    pub enum Isolation {
        /// Instances are reused from call to call.
        Shared = "shared",
        /// Every call gets a new one.
        Call = "call",
    }
}

words! {
    /// Whether a policy's decisions count.
    pub enum Mode {
        /// They do.
        Enforce = "enforce",
        /// It decides, is logged and measured, and changes nothing.
        Shadow = "shadow",
    }
}

settings! {
    /// A policy of the operator. Order in the file is order in the chain.
    pub(in crate::config) struct Policy {
        /// Name in logs, metrics and the admin API.
        name: At<Name>;
        /// `builtin:NAME` (permissions, limits, aliases, router) or `file:PATH`, a component or core
        /// module of WebAssembly. A file is watched: when it changes, that is a new version.
        source: At<PolicySource>;
        /// What happens to a call when the policy fails: a trap, a deadline, too much memory.
        on_failure: FailureRule = FailureRule::Deny;
        /// Time for one hook, waiting for the host not counted.
        deadline_ms: u64 = 20, within 1..=10_000;
        /// Time that one hook may wait for the host: for HTTP and models.
        wait_max_ms: u64 = 1_000, within 0..=600_000;
        /// Memory of one instance. Default: 33554432, or `runtime.memory_max_bytes` where that is less.
        memory_max_bytes: Option<At<usize>>, within 65_536..=4_294_967_296;
        /// `shared`: instances are reused from call to call. `call`: every call gets a new one.
        isolation: Isolation = Isolation::Shared;
        /// `enforce`, or `shadow`: decides, is logged and measured, and changes nothing.
        mode: Mode = Mode::Enforce;
        /// Tenants whose calls the policy sees.
        tenants: Globs = Globs::everything();
        /// What the policy may reach besides the call. Nothing, unless it stands here.
        grants: Grants;
        /// Of a thousand calls, how many are kept in the policy's journal with every answer that the host gave
        /// the policy, so that `weir policy replay` runs them again as they were. It holds what callers
        /// said, as far as the policy looked at it.
        journal_per_thousand: u32 = 0, within 0..=1_000;
        /// Goes to the policy as JSON; what may stand here is the policy's to say.
        config: FreeTable;
    }
}

settings! {
    /// What a policy may reach besides the call.
    pub(in crate::config) struct Grants {
        /// Hosts that it may call, by `http` or `wasi:http`: `api.example.com`, `api.example.com:8443`, `*.example.com`.
        http: Vec<At<String>>;
        /// Names of `[secrets]` that it may read.
        secrets: Vec<At<String>>;
        /// Models that it may ask.
        models: Globs = Globs::nothing();
        /// Whether it may ban addresses.
        firewall: bool = false;
    }
}

settings! {
    /// The price of a model.
    pub(in crate::config) struct Price {
        /// Models, as the provider names them.
        model: Globs;
        /// Channels for which the price holds.
        channel: Globs = Globs::everything();
        /// Tenants for which the price holds.
        tenant: Globs = Globs::everything();
        /// Input tokens.
        input_micros_per_million: u64, within 0..=1_000_000_000_000_000;
        /// Output tokens.
        output_micros_per_million: u64, within 0..=1_000_000_000_000_000;
        /// Input tokens that the provider read from its cache. Default: the price of input tokens.
        cached_micros_per_million: Option<u64>, within 0..=1_000_000_000_000_000;
        /// Input tokens that the provider wrote to its cache. Default: the price of input tokens.
        cache_write_micros_per_million: Option<u64>, within 0..=1_000_000_000_000_000;
        /// When the price was looked up.
        date: Option<Moment>;
        /// Where the price was looked up.
        source: Option<String>;
    }
}

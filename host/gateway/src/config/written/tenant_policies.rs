//! `[tenant_policies]`: what tenants may do with policies of their own.

use crate::config::schema::settings;
use crate::config::types::Globs;

settings! {
    /// What each tenant may do with policies of its own. Tenants make them with keys of the role
    /// `author`; without such a key there are none.
    pub struct TenantPolicies {
        /// Policies of one tenant.
        policies_max: usize = 8, within 0..=1_000;
        /// Stored versions of one policy; the oldest that are not in use make room for new ones.
        versions_max: usize = 20, within 2..=1_000;
        /// Largest file of a policy.
        size_max_bytes: usize = 8_388_608, within 1_024..=1_073_741_824;
        /// Most memory of one instance.
        memory_max_bytes: usize = 16_777_216, within 65_536..=4_294_967_296;
        /// Longest time for one hook, waiting for the host not counted.
        deadline_max_ms: u64 = 10, within 1..=10_000;
        /// Longest time that one hook may wait for the host.
        wait_max_ms: u64 = 1_000, within 0..=600_000;
        /// Time that all policies of a tenant may compute within a minute, on all cores together.
        /// A call beyond it is treated as if the policy had failed.
        cpu_max_ms_per_minute: u64 = 6_000, within 1..=6_000_000;
        /// Bytes of keys and values that one policy may keep in its store.
        store_max_bytes: usize = 1_048_576, within 0..=1_073_741_824;
        /// Keys that one policy may keep in its store.
        store_keys_max: usize = 10_000, within 0..=10_000_000;
        /// Lines that all policies of a tenant may write to the log within a minute.
        log_lines_per_minute: u32 = 600, within 0..=1_000_000;
        /// Requests and questions to models that all policies of a tenant may send within a minute.
        outgoing_per_minute: u32 = 600, within 0..=1_000_000;
        /// Of a thousand calls, how many a tenant's policy may keep in its journal, which the tenant's authors
        /// read. 0: tenants' policies have none.
        journal_per_thousand_max: u32 = 0, within 0..=1_000;
        /// Hosts that a tenant may grant its policies: `api.example.com`, `*.example.com`, or `*` for
        /// every host with a public address. Private addresses are never reached.
        http: Vec<String>;
        /// Models that a tenant may grant its policies to ask; the tenant pays for what they ask.
        models: Globs = Globs::nothing();
    }
}

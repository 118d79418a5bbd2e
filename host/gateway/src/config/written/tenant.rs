//! `[[tenant]]` and its `[[tenant.key]]`s: who may call.

use std::collections::BTreeMap;

use crate::config::schema::{settings, words};
use crate::config::setting::At;
use crate::config::types::{Moment, Name, SecretRef};

settings! {
    /// An organisation or team that calls Weir.
    pub(in crate::config) struct Tenant {
        /// Name in logs, metrics and the admin API.
        name: At<Name>;
        /// Facts for policies: `{ plan = "pro" }`.
        labels: BTreeMap<String, String>;
        /// Time zone in which the tenant's days and months begin, like `Europe/Berlin`.
        time_zone: At<String> = super::at_default("UTC".to_owned());
        /// Refuses all calls of the tenant.
        disabled: bool = false;
        /// A virtual key of the tenant.
        key: Vec<At<VirtualKey>>;
    }
}

words! {
    /// What a virtual key is for.
    pub enum KeyRole {
        /// Calls.
        Caller = "caller",
        /// The tenant's own policies, through the admin API; no calls.
        Author = "author",
    }
}

settings! {
    /// A virtual key: what a caller sends.
    pub(in crate::config) struct VirtualKey {
        /// Name in logs and the admin API.
        name: At<Name>;
        /// What the caller sends. Without it the key cannot be used until the admin API gives it one.
        secret: Option<At<SecretRef>>;
        /// Facts for policies; they come before the tenant's labels of the same name.
        labels: BTreeMap<String, String>;
        /// Refuses all calls with the key.
        disabled: bool = false;
        /// `caller`, or `author`: the key opens the tenant's own policies in the admin API, and no calls.
        role: KeyRole = KeyRole::Caller;
        /// From when on the key is refused.
        expires: Option<Moment>;
    }
}

//! What must last: tenants, keys, channels, policies, bans, counters' states and the ledger.
//!
//! One thread writes, in batches; one thread reads. Whoever asks gets a future, and whoever
//! records a call gets its thread back at once.
//!
//! Never does: make a request wait, keep a secret in the clear, know HTTP, dialects or what a
//! counter means. No row of an accepted call is given up while the process lives: with the disk
//! full, rows wait in memory and [`Ledger::accepting`] tells the gateway to take no new calls.
//!
//! Read first: [`store`] for the handle and its threads, [`backend`] for what a database must
//! offer, then [`ledger`].

pub mod backend;
pub mod call;
pub mod entity;
pub mod error;
pub mod ledger;
pub mod master_key;
pub mod query;
pub mod sqlite;
pub mod store;
mod writer;

pub use call::{AttemptMore, AttemptRow, CallRow, Decider, Decision, Ended, REMEMBERED};
pub use entity::{
    Ban, Channel, DisabledKey, Entities, Entity, KeyTerms, Kind, PolicySetting, PolicyState,
    PolicyVersion, Promote, ProviderKey, Quarantined, Tenant, Trial, TrialKind, TrialRules,
    VirtualKey,
};
pub use error::StoreError;
pub use ledger::{Ledger, LedgerStatus};
pub use master_key::{MasterKey, sha256};
pub use query::{CallFilter, Group, ListQuery, Page, StateKind, StateRow, UsageQuery, UsageRow};
pub use store::{Store, StoreSettings};

#[cfg(test)]
mod tests;

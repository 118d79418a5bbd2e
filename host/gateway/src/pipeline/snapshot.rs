//! All that a call needs to know, as it stood when the call came in.
//!
//! A call holds one snapshot from identify to settle, so no reload can split it. Whatever must
//! outlive a reload (health, the states of keys, counters) hangs in it by reference.

use std::collections::HashMap;
use std::sync::Arc;

use super::chain::Chain;
use super::channel::Channel;
use crate::config::Config;
use crate::identify::Directory;
use crate::usage::PriceBook;

/// One state of the configuration: file, database and policies together.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts up with every change; shown by the admin API.
    pub generation: u64,
    /// The settings of the file, environment and command line.
    pub config: Arc<Config>,
    /// Virtual keys and tenants.
    pub directory: Arc<Directory>,
    /// The ways to providers.
    pub channels: Arc<Vec<Arc<Channel>>>,
    /// Channels that are switched off: no call goes there, but they can be tested; or what they lack
    /// for that.
    pub disabled: HashMap<Arc<str>, Result<Arc<Channel>, String>>,
    /// Those in use by their numbers, as policies name them.
    pub by_number: HashMap<u32, Arc<Channel>, ahash::RandomState>,
    /// The operator's chain, for tenants that no policy leaves out.
    pub chain: Arc<Chain>,
    /// The chains of tenants that some policy leaves out.
    pub chains: HashMap<Arc<str>, Arc<Chain>>,
    /// Whether some channel goes on with replies that broke off.
    pub goes_on: bool,
    /// What models cost.
    pub prices: Arc<PriceBook>,
}

impl Snapshot {
    /// The chain of a tenant's calls.
    pub fn chain_of(&self, tenant: &str) -> &Arc<Chain> {
        self.chains.get(tenant).unwrap_or(&self.chain)
    }

    /// The channel of this name.
    pub fn channel(&self, name: &str) -> Option<&Arc<Channel>> {
        self.channels.iter().find(|channel| &*channel.name == name)
    }

    /// The channel with this number.
    pub fn numbered(&self, number: u32) -> Option<&Arc<Channel>> {
        self.by_number.get(&number)
    }
}

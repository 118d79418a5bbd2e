//! What channels are called and which rules name them: asked of the host once per channel.

use std::collections::BTreeMap;

use weir_sdk::channels;

use crate::Router;
use crate::draw::hash;
use crate::rules::Rules;
use crate::strategy::Strategy;

/// What was found out about a channel. A bit per rule.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known {
    /// By the name, which is the same on every node and after every start; the number is not.
    pub(crate) name_hash: u64,
    pub(crate) preferred: u64,
    pub(crate) only: u64,
    pub(crate) avoided: u64,
}

/// By the channel's number, which never becomes another channel's.
pub(crate) type Facts = BTreeMap<u32, Known>;

/// Reloads give changed channels new numbers; the old ones are forgotten now and then.
const FACTS_MAX: usize = 4_096;

impl Router {
    /// What is known of a channel, found out at its first call.
    pub(crate) fn known(&self, channel: u32) -> Known {
        let mut facts = self.facts.borrow_mut();
        if let Some(known) = facts.get(&channel) {
            return *known;
        }
        if facts.len() >= FACTS_MAX {
            facts.clear();
        }
        let known = find_out(channel, &self.rules, &self.strategy);
        facts.insert(channel, known);
        known
    }
}

fn find_out(channel: u32, rules: &Rules, strategy: &Strategy) -> Known {
    let mut known = rules.naming(channel);
    if matches!(strategy, Strategy::Affinity(_)) {
        known.name_hash = hash(channels::name(channel).as_bytes());
    }
    known
}

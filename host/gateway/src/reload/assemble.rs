//! A snapshot from its ingredients: file, store, registries and loaded policies.
//!
//! Pure: nothing here fails, waits or is remembered. What cannot be used is left out and warned of.

mod channels;
mod registry;
mod tenants;

use std::collections::HashMap;
use std::sync::Arc;

use weir_store::Entities;

use crate::config::{Config, Environment, Globs};
use crate::identify::Directory;
use crate::keys::KeyRegistry;
use crate::pipeline::chain::{Binding, Chain};
use crate::pipeline::snapshot::Snapshot;
use crate::telemetry::Metrics;
use crate::usage::{Price, PriceBook, PriceRule};

pub(super) use registry::ChannelRegistry;

/// All that a snapshot is made from.
pub(super) struct Ingredients<'a> {
    pub(super) generation: u64,
    pub(super) config: &'a Arc<Config>,
    pub(super) entities: &'a Entities,
    pub(super) environment: &'a Environment,
    /// The policies that run, in order, and the tenants whose calls each one sees.
    pub(super) bindings: &'a [(Globs, Arc<Binding>)],
    pub(super) keys: &'a KeyRegistry,
    pub(super) metrics: &'a Metrics,
    pub(super) now_ms: u64,
}

/// A snapshot, and a sentence for everything that was left out of it.
pub(super) fn snapshot(
    from: &Ingredients<'_>,
    registry: &mut ChannelRegistry,
) -> (Snapshot, Vec<String>) {
    let mut warnings = Vec::new();
    let tenants = tenants::all(from, &mut warnings);
    let keys = tenants::keys(from, &tenants, &mut warnings);
    let (channels, disabled) = channels::all(from, registry, &mut warnings);
    let all: Vec<_> = from
        .bindings
        .iter()
        .map(|(_, binding)| Arc::clone(binding))
        .collect();
    let snapshot = Snapshot {
        generation: from.generation,
        config: Arc::clone(from.config),
        directory: Arc::new(Directory::new(keys)),
        by_number: channels
            .iter()
            .map(|channel| (channel.number, Arc::clone(channel)))
            .collect(),
        goes_on: from.config.retry.continuations_max > 0
            && channels.iter().any(|channel| channel.prefill.is_some()),
        channels: Arc::new(channels),
        disabled,
        chain: Arc::new(Chain::new(&all)),
        chains: chains(from.bindings, tenants.keys()),
        prices: Arc::new(PriceBook::new(prices(from.config))),
    };
    (snapshot, warnings)
}

/// The chains of the tenants that some policy leaves out. Tenants with the same policies share one.
fn chains<'t>(
    bindings: &[(Globs, Arc<Binding>)],
    tenants: impl Iterator<Item = &'t Arc<str>>,
) -> HashMap<Arc<str>, Arc<Chain>> {
    let mut shared: HashMap<Vec<bool>, Arc<Chain>> = HashMap::new();
    let mut chains = HashMap::new();
    for tenant in tenants {
        let seen: Vec<bool> = bindings
            .iter()
            .map(|(tenants, _)| tenants.is_match(tenant))
            .collect();
        if seen.iter().all(|sees| *sees) {
            continue;
        }
        let chain = shared.entry(seen).or_insert_with_key(|seen| {
            let kept = bindings.iter().zip(seen).filter(|(_, sees)| **sees);
            let kept: Vec<_> = kept.map(|((_, binding), _)| Arc::clone(binding)).collect();
            Arc::new(Chain::new(&kept))
        });
        chains.insert(Arc::clone(tenant), Arc::clone(chain));
    }
    chains
}

/// In the file the last price that matches counts, in the book the first.
fn prices(config: &Config) -> Vec<PriceRule> {
    let rule = |price: &crate::config::Price| PriceRule {
        model: price.model.clone(),
        channel: price.channel.clone(),
        tenant: price.tenant.clone(),
        price: Price {
            input_micros_per_million: price.input_micros_per_million,
            output_micros_per_million: price.output_micros_per_million,
            cached_micros_per_million: price.cached_micros_per_million,
            cache_write_micros_per_million: price.cache_write_micros_per_million,
        },
    };
    config.prices.iter().rev().map(rule).collect()
}

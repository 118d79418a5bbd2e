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
    /// The policies that run, in order, and whose calls each one sees.
    pub(super) bindings: &'a [Placed],
    /// Tenants' policies that should run and cannot: tenant and policy.
    pub(super) missing: &'a [(Arc<str>, Arc<str>)],
    pub(super) keys: &'a KeyRegistry,
    pub(super) metrics: &'a Metrics,
    pub(super) now_ms: u64,
}

/// A policy and whose calls it sees.
pub(super) struct Placed {
    pub(super) tenants: Sees,
    pub(super) binding: Arc<Binding>,
}

/// Whose calls a policy sees.
#[derive(Clone)]
pub(super) enum Sees {
    /// An operator's: those of some tenants.
    Some(Globs),
    /// A tenant's own: that tenant's.
    Own(Arc<str>),
}

impl Placed {
    fn sees(&self, tenant: &str) -> bool {
        match &self.tenants {
            Sees::Some(tenants) => tenants.is_match(tenant),
            Sees::Own(own) => **own == *tenant,
        }
    }
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
        .filter(|placed| matches!(placed.tenants, Sees::Some(_)))
        .map(|placed| Arc::clone(&placed.binding))
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
        chains: chains(from, tenants.keys()),
        prices: Arc::new(PriceBook::new(prices(from.config))),
    };
    (snapshot, warnings)
}

/// The chains of the tenants that some policy leaves out, or that have policies of their own. Tenants
/// with the same policies share one.
fn chains<'t>(
    from: &Ingredients<'_>,
    tenants: impl Iterator<Item = &'t Arc<str>>,
) -> HashMap<Arc<str>, Arc<Chain>> {
    let mut shared: HashMap<Vec<usize>, Arc<Chain>> = HashMap::new();
    let mut chains = HashMap::new();
    let of_operator = |placed: &&Placed| matches!(placed.tenants, Sees::Some(_));
    let usual: Vec<usize> = numbered(from.bindings, |placed| of_operator(&placed));
    for tenant in tenants {
        let seen = numbered(from.bindings, |placed| placed.sees(tenant));
        let missing = from.missing.iter().find(|(of, _)| of == tenant);
        if let Some((_, policy)) = missing {
            let chain = Chain::new(&kept(from.bindings, &seen)).missing(Arc::clone(policy));
            chains.insert(Arc::clone(tenant), Arc::new(chain));
            continue;
        }
        if seen == usual {
            continue;
        }
        let chain = shared
            .entry(seen)
            .or_insert_with_key(|seen| Arc::new(Chain::new(&kept(from.bindings, seen))));
        chains.insert(Arc::clone(tenant), Arc::clone(chain));
    }
    chains
}

/// The places of the policies that fit.
fn numbered(bindings: &[Placed], fits: impl Fn(&Placed) -> bool) -> Vec<usize> {
    let numbered = bindings.iter().enumerate();
    let fitting = numbered.filter(|(_, placed)| fits(placed));
    fitting.map(|(at, _)| at).collect()
}

fn kept(bindings: &[Placed], places: &[usize]) -> Vec<Arc<Binding>> {
    let placed = places.iter().filter_map(|at| bindings.get(*at));
    placed.map(|placed| Arc::clone(&placed.binding)).collect()
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

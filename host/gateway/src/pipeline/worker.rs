//! What a worker thread has for itself, and what all workers share.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use http::HeaderValue;
use weir_base::Clock;
use weir_counters::Limits;
use weir_policy::Engine;
use weir_store::{Ledger, Store};
use weir_upstream::{Pool, PoolSettings, Tls};
use weir_wire::dialect::{Dialect, Family};

use super::audit::AuditQueue;
use super::budget::Budget;
use super::offer::{self, Offers};
use super::pins::Pins;
use super::snapshot::Snapshot;
use crate::identify::Bans;
use crate::telemetry::{CallMetrics, Metrics};
use crate::usage::Price;

/// The most answers of each kind that a worker remembers; a caller that makes up names cannot fill
/// the memory.
const REMEMBERED_MAX: usize = 4_096;
/// The same for offers, which are as long as there are channels.
const OFFERS_MAX: usize = 1_024;

/// What all workers share. Read without a lock on the path of a call.
pub struct Shared {
    /// The name of this gateway among others, made anew by every start.
    pub node: HeaderValue,
    /// The present state of the configuration.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The counters behind all limits.
    pub limits: Arc<Limits>,
    /// The record of every call.
    pub ledger: Ledger,
    /// For the rare writes that a call causes: a provider key that died.
    pub store: Store,
    /// Everything that is counted.
    pub metrics: Arc<Metrics>,
    /// Addresses that are kept out.
    pub bans: Arc<Bans>,
    /// Calls and retries of the whole gateway.
    pub retries: Budget,
    /// Who made what providers keep.
    pub pins: Pins,
    /// Where finished calls go to be seen by `audit` policies.
    pub audit: AuditQueue,
    /// The runtime for work that is not on a call's path.
    pub background: tokio::runtime::Handle,
}

/// Answers that cost a walk through patterns, for one snapshot. Found by the hash of what was asked,
/// so that asking again makes no key; what was asked is kept beside and compared.
#[derive(Default)]
struct Remembered {
    generation: u64,
    hasher: ahash::RandomState,
    offers: HashMap<u64, (OfferKey, Offers), ahash::RandomState>,
    prices: HashMap<u64, (PriceKey, Option<Price>), ahash::RandomState>,
}

/// Tenant, channel and model.
type PriceKey = (Box<str>, Option<Box<str>>, Box<str>);

/// Family, tenant and model.
type OfferKey = (Family, Box<str>, Box<str>);

impl Remembered {
    /// Forgets what another snapshot said, and everything where there is too much of it.
    fn keep_to(&mut self, generation: u64) {
        let full = self.prices.len() >= REMEMBERED_MAX || self.offers.len() >= OFFERS_MAX;
        if self.generation != generation || full {
            self.offers.clear();
            self.prices.clear();
            self.generation = generation;
        }
    }
}

/// One worker: a thread with its own connections and its own policy instances.
pub struct Worker {
    /// What it has in common with the others.
    pub shared: Arc<Shared>,
    /// Its policy instances.
    pub policies: weir_policy::Worker,
    /// Its connections to providers.
    pub upstream: Pool,
    snapshot: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    remembered: RefCell<Remembered>,
    call_metrics: [CallMetrics; Dialect::ALL.len()],
}

impl Worker {
    /// A worker for this thread, which must run a local runtime.
    pub fn new(shared: Arc<Shared>, engine: Arc<Engine>, tls: Tls, pool: PoolSettings) -> Self {
        Self {
            policies: weir_policy::Worker::new(engine),
            upstream: Pool::new(pool, tls),
            snapshot: RefCell::new(Cache::new(Arc::clone(&shared.snapshot))),
            remembered: RefCell::default(),
            call_metrics: Dialect::ALL.map(|dialect| shared.metrics.calls(dialect.as_str())),
            shared,
        }
    }

    /// The configuration as it stands now. A call takes it once and keeps it.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(self.snapshot.borrow_mut().load())
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.shared.clock.now_ms()
    }

    /// The counters of calls in `dialect`.
    pub fn call_metrics(&self, dialect: Dialect) -> Option<&CallMetrics> {
        self.call_metrics.get(dialect as usize)
    }

    /// What the channels of `snapshot` offer to callers of `family` in `tenant` for `model`.
    pub fn offers(&self, snapshot: &Snapshot, family: Family, tenant: &str, model: &str) -> Offers {
        let mut remembered = self.remembered.borrow_mut();
        remembered.keep_to(snapshot.generation);
        let hash = remembered.hasher.hash_one((family, tenant, model));
        let same = |(of, t, m): &OfferKey| *of == family && **t == *tenant && **m == *model;
        if let Some((_, found)) = remembered.offers.get(&hash).filter(|(key, _)| same(key)) {
            return Rc::clone(found);
        }
        let found = offer::offers(snapshot, family, tenant, model, self.now_ms());
        let key = (family, Box::from(tenant), Box::from(model));
        remembered.offers.insert(hash, (key, Rc::clone(&found)));
        found
    }

    /// What `model` costs over `channel` for `tenant`, where it is known.
    pub fn price(
        &self,
        snapshot: &Snapshot,
        tenant: &str,
        channel: Option<&str>,
        model: &str,
    ) -> Option<Price> {
        let mut remembered = self.remembered.borrow_mut();
        remembered.keep_to(snapshot.generation);
        let hash = remembered.hasher.hash_one((tenant, channel, model));
        let same =
            |(t, c, m): &PriceKey| **t == *tenant && c.as_deref() == channel && **m == *model;
        if let Some((_, price)) = remembered.prices.get(&hash).filter(|(key, _)| same(key)) {
            return *price;
        }
        let price = snapshot.prices.find(tenant, channel, model);
        let key = (Box::from(tenant), channel.map(Box::from), Box::from(model));
        remembered.prices.insert(hash, (key, price));
        price
    }
}

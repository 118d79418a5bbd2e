//! What a worker thread has for itself, and what all workers share.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use weir_base::Clock;
use weir_counters::Limits;
use weir_policy::Engine;
use weir_store::{Ledger, Store};
use weir_upstream::{Pool, PoolSettings, Tls};
use weir_wire::dialect::{Dialect, Family};

use super::audit::AuditQueue;
use super::channel::Channel;
use super::snapshot::Snapshot;
use crate::identify::Bans;
use crate::telemetry::{CallMetrics, Metrics};

/// The most models whose channels a worker remembers; a caller that makes up names cannot fill
/// the memory.
const REMEMBERED_MODELS_MAX: usize = 4_096;

/// What all workers share. Read without a lock on the path of a call.
pub struct Shared {
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
    /// Where finished calls go to be seen by `audit` policies.
    pub audit: AuditQueue,
    /// The runtime for work that is not on a call's path.
    pub background: tokio::runtime::Handle,
}

/// Channels by what is asked for, for one snapshot.
struct Remembered {
    generation: u64,
    channels: HashMap<(Family, Box<str>), Serving, ahash::RandomState>,
}

/// The channels that serve one model.
type Serving = Rc<[Arc<Channel>]>;

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
            remembered: RefCell::new(Remembered {
                generation: 0,
                channels: HashMap::default(),
            }),
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

    /// The channels of `snapshot` that serve `model` to callers of `family`.
    pub fn channels(&self, snapshot: &Snapshot, family: Family, model: &str) -> Serving {
        let mut remembered = self.remembered.borrow_mut();
        let stale = remembered.generation != snapshot.generation;
        if stale || remembered.channels.len() >= REMEMBERED_MODELS_MAX {
            remembered.channels.clear();
            remembered.generation = snapshot.generation;
        }
        let wanted = (family, Box::from(model));
        let found = remembered.channels.entry(wanted).or_insert_with(|| {
            snapshot
                .channels
                .iter()
                .filter(|channel| channel.serves(family, model))
                .cloned()
                .collect()
        });
        Rc::clone(found)
    }
}

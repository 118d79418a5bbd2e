//! Finished calls on their way to the policies that look at them afterwards.
//!
//! Off the request path: a thread of its own with its own policy instances takes them from a
//! bounded queue and sorts them by tenant, so that a slow policy delays the audit of its own tenant's
//! calls and no other. When audit policies are slower than the traffic, calls are lost to them and
//! counted; the ledger has them all the same.
//!
//! Never does: wait on the request path.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use weir_base::Usage;
use weir_policy::{CallHost, CallScope, Engine, Hook, Outcome};

use super::call::Call;
use super::chain::Chain;
use super::hook::{self, Facts};
use crate::journal::record;
use crate::journal::shape::Verdict;
use crate::telemetry::Metrics;

/// Finished calls on their way to the thread at most.
const QUEUE_MAX: usize = 10_000;
/// Finished calls of one tenant that wait for their audit at most.
const LANE_MAX: usize = 2_000;
/// Bytes of the bodies of all that wait: policies may look at what was asked.
const QUEUE_MAX_BYTES: usize = 64 << 20;
/// The same of those of one tenant, so that large calls of one do not push out another's.
const LANE_MAX_BYTES: usize = 16 << 20;
/// Counted for each beside its body.
const CALL_BYTES: usize = 2 << 10;
/// Calls of one tenant in a row, before it is the others' turn.
const IN_A_ROW: usize = 32;

/// What is told of a finished call.
#[derive(Debug)]
pub struct Finished {
    /// The call, as policies may look at it.
    pub call: Arc<Call>,
    /// The policies that applied to it.
    pub chain: Arc<Chain>,
    /// Which share of the keys its key is in, for trials.
    pub share: u64,
    /// What its hooks were told.
    pub facts: Facts,
    /// The channel that served it.
    pub channel: Option<Arc<str>>,
    /// The status that the caller got.
    pub status: u16,
    /// The code of the refusal, where it was refused.
    pub denied: Option<Cow<'static, str>>,
    /// Tries made.
    pub attempts: u32,
    /// Milliseconds to the first byte of the reply.
    pub first_byte_ms: u32,
    /// Milliseconds to its end.
    pub total_ms: u32,
    /// What it used.
    pub usage: Usage,
}

/// A finished call in the queue.
#[derive(Debug)]
pub struct Queued {
    finished: Finished,
    bytes: usize,
    waiting_bytes: Arc<AtomicUsize>,
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.waiting_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The near end of the queue.
#[derive(Debug, Clone)]
pub struct AuditQueue {
    sender: mpsc::Sender<Queued>,
    waiting_bytes: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl AuditQueue {
    /// A queue and its far end.
    pub fn new(metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<Queued>) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let queue = Self {
            sender,
            waiting_bytes: Arc::default(),
            metrics,
        };
        (queue, receiver)
    }

    /// Hands over a finished call; never waits.
    pub fn push(&self, finished: Finished) {
        let bytes = finished.call.request().body.len() + CALL_BYTES;
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let queued = Queued {
            finished,
            bytes,
            waiting_bytes: Arc::clone(&self.waiting_bytes),
        };
        // One is always let in, however large.
        let fits = before == 0 || before.saturating_add(bytes) <= QUEUE_MAX_BYTES;
        if !fits || self.sender.try_send(queued).is_err() {
            self.metrics.audit_lost();
        }
    }
}

/// Finished calls of one tenant that wait.
#[derive(Debug, Default)]
struct Lane {
    queued: VecDeque<Queued>,
    bytes: usize,
}

impl Lane {
    /// False where it is full. One is always let in, however large.
    fn push(&mut self, queued: Queued) -> bool {
        let bytes = self.bytes.saturating_add(queued.bytes);
        let fits = self.queued.len() < LANE_MAX && bytes <= LANE_MAX_BYTES;
        let goes_in = fits || self.queued.is_empty();
        if goes_in {
            self.bytes = bytes;
            self.queued.push_back(queued);
        }
        goes_in
    }

    fn pop(&mut self) -> Option<Queued> {
        let queued = self.queued.pop_front()?;
        self.bytes = self.bytes.saturating_sub(queued.bytes);
        Some(queued)
    }
}

/// The tenants of whom finished calls wait.
type Lanes = RefCell<HashMap<Arc<str>, Lane>>;

/// Shows finished calls to the audit policies until the queue is closed. Needs a local runtime.
pub async fn run(engine: Arc<Engine>, metrics: Arc<Metrics>, mut queue: mpsc::Receiver<Queued>) {
    let worker = Rc::new(weir_policy::Worker::new(engine));
    let lanes = Rc::new(Lanes::default());
    let mut running = JoinSet::new();
    while let Some(queued) = queue.recv().await {
        while running.try_join_next().is_some() {}
        let tenant = Arc::clone(&queued.finished.call.key.tenant.id);
        let mut all = lanes.borrow_mut();
        match all.get_mut(&tenant) {
            Some(lane) => {
                if !lane.push(queued) {
                    metrics.audit_lost();
                }
            }
            None => {
                all.entry(Arc::clone(&tenant)).or_default().push(queued);
                let (worker, metrics) = (Rc::clone(&worker), Arc::clone(&metrics));
                running.spawn_local(drain(worker, metrics, Rc::clone(&lanes), tenant));
            }
        }
    }
    while running.join_next().await.is_some() {}
}

/// Shows the calls of one tenant, one after the other, until none waits.
async fn drain(
    worker: Rc<weir_policy::Worker>,
    metrics: Arc<Metrics>,
    lanes: Rc<Lanes>,
    tenant: Arc<str>,
) {
    for shown in 1_usize.. {
        let next = lanes.borrow_mut().get_mut(&tenant).and_then(Lane::pop);
        let Some(queued) = next else {
            lanes.borrow_mut().remove(&tenant);
            return;
        };
        show(&worker, &metrics, &queued.finished).await;
        if shown.is_multiple_of(IN_A_ROW) {
            tokio::task::yield_now().await;
        }
    }
}

async fn show(worker: &weir_policy::Worker, metrics: &Metrics, finished: &Finished) {
    let call = &finished.call;
    let scope = CallScope::new(Arc::<Call>::clone(call));
    let outcome = Outcome {
        call: finished.facts.summary(),
        channel: finished.channel.as_deref(),
        status: finished.status,
        denied: finished.denied.as_deref(),
        attempts: finished.attempts,
        first_byte_ms: finished.first_byte_ms,
        total_ms: finished.total_ms,
        usage: hook::usage(&finished.usage),
    };
    for binding in finished.chain.with(Hook::Audit, finished.share) {
        let tape = binding.journal.as_ref().and_then(|journal| {
            let call: Arc<dyn CallHost> = Arc::<Call>::clone(call);
            journal.begin(finished.call.id, &call, &scope, &binding.version)
        });
        if let Some(tape) = &tape {
            let finished = record::value(&record::Finished::of(&outcome));
            tape.hook(Hook::Audit.as_str(), json!({ "outcome": finished }));
        }
        let started = Instant::now();
        let result = worker.finished(&binding.version, &scope, &outcome).await;
        binding.metrics.ran(Hook::Audit as usize, started.elapsed());
        if let Some(tape) = &tape {
            tape.answered(&result.verdict());
        }
        if let Err(failure) = result {
            metrics.policy_failed(
                &binding.name,
                Hook::Audit.as_str(),
                failure.code(),
                &failure,
            );
        }
    }
}

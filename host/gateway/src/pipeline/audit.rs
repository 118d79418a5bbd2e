//! Finished calls on their way to the policies that look at them afterwards.
//!
//! Off the request path: a thread of its own with its own policy instances takes them from a
//! bounded queue. When audit policies are slower than the traffic, calls are dropped from the
//! queue and counted; the ledger has them all the same.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::mpsc;
use weir_base::Usage;
use weir_policy::{CallScope, Engine, Hook, Outcome};

use super::call::Call;
use super::chain::Chain;
use super::hook::{self, Facts};
use crate::telemetry::Metrics;

/// Finished calls that wait for audit at most.
const QUEUE_MAX: usize = 10_000;

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

/// The near end of the queue.
#[derive(Debug, Clone)]
pub struct AuditQueue {
    sender: mpsc::Sender<Finished>,
    dropped: Arc<AtomicU64>,
}

impl AuditQueue {
    /// A queue and its far end.
    pub fn new() -> (Self, mpsc::Receiver<Finished>) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        (
            Self {
                sender,
                dropped: Arc::default(),
            },
            receiver,
        )
    }

    /// Hands over a finished call; never waits.
    pub fn push(&self, finished: Finished) {
        if self.sender.try_send(finished).is_ok() {
            return;
        }
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        // Said ever more seldom: a slow policy must not fill the log too.
        if dropped.is_power_of_two() {
            tracing::warn!(
                dropped,
                "audit policies are too slow: they do not see all calls"
            );
        }
    }
}

/// Shows finished calls to the audit policies until the queue is closed. Needs a local runtime.
pub async fn run(engine: Arc<Engine>, metrics: Arc<Metrics>, mut queue: mpsc::Receiver<Finished>) {
    let worker = weir_policy::Worker::new(engine);
    while let Some(finished) = queue.recv().await {
        show(&worker, &metrics, &finished).await;
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
        let started = Instant::now();
        let result = worker.finished(&binding.version, &scope, &outcome).await;
        binding.metrics.ran(Hook::Audit as usize, started.elapsed());
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

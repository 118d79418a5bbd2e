//! A call under way: all that it owes. Whatever ends it, dropping this settles it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use weir_base::Usage;
use weir_counters::{Amounts, Reservation};
use weir_policy::CallScope;
use weir_store::{AttemptRow, Decision, Ended};
use weir_upstream::Body as UpstreamBody;

use super::call::Call;
use super::chain::Chain;
use super::channel::Channel;
use super::hook::Facts;
use super::settle;
use super::worker::Worker;
use crate::keys::Lease;
use crate::telemetry::{AttemptOutcome, Phase};

/// How a call ended, as far as it has.
#[derive(Debug)]
pub struct Outcome {
    /// The status that the caller got.
    pub status: u16,
    /// Who ended it.
    pub ended: Ended,
    /// The code of the refusal.
    pub denied: Option<std::borrow::Cow<'static, str>>,
    /// The channel of the last attempt.
    pub channel: Option<Arc<Channel>>,
    /// The model as that channel calls it.
    pub upstream_model: Option<Arc<str>>,
    /// The id of the key of the last attempt.
    pub provider_key: Option<Arc<str>>,
    /// Milliseconds to the first byte of the reply.
    pub first_byte_ms: Option<u32>,
    /// What the provider reported.
    pub usage: Option<Usage>,
    /// Whether what it reported covers the whole reply.
    pub usage_is_final: bool,
    /// Bytes of generated text that were seen, to estimate from.
    pub output_text_bytes: u64,
}

/// An attempt that is being answered. The channel counts it as in flight until this is dropped.
pub struct Serving {
    channel: Arc<Channel>,
    /// How it went.
    pub outcome: AttemptOutcome,
    /// The provider key that it uses, from its answer on.
    pub lease: Option<Lease>,
}

impl Serving {
    /// Begins an attempt at `channel`.
    pub fn new(channel: &Arc<Channel>) -> Self {
        channel.health.begin();
        channel.metrics.attempt_started();
        Self {
            channel: Arc::clone(channel),
            outcome: AttemptOutcome::Abandoned,
            lease: None,
        }
    }

    /// What the call used is known: it takes the place of what the key had reserved for it.
    pub fn settle(&mut self, tokens: u64, now_ms: u64) {
        if let Some(lease) = &mut self.lease {
            lease.settle(tokens, now_ms);
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.channel.health.end();
        self.channel.metrics.attempt_ended(self.outcome);
    }
}

/// A call under way.
pub struct Open {
    /// The worker that it runs on.
    pub worker: Rc<Worker>,
    /// What was asked.
    pub call: Arc<Call>,
    /// The policies that apply to it.
    pub chain: Arc<Chain>,
    /// The call as hooks see it, and the instances that are its own.
    pub scope: CallScope,
    /// What hooks are told.
    pub facts: Facts,
    /// What policies decided so far.
    pub decisions: Vec<Decision>,
    /// What was tried so far.
    pub attempts: Vec<AttemptRow>,
    /// What it took from its limits.
    pub reservation: Option<Reservation>,
    /// The same as amounts.
    pub estimate: Amounts,
    /// The attempt under way.
    pub serving: Option<Serving>,
    /// How it ended, so far.
    pub outcome: Outcome,
    /// A reply that is being read; dropped before the call is settled, so that the provider hears
    /// at once that nobody listens.
    pub upstream: Option<UpstreamBody>,
    phase_began: Instant,
}

impl Open {
    /// The call begins.
    pub fn new(worker: &Rc<Worker>, call: Arc<Call>, facts: Facts) -> Self {
        let chain = if call.internal {
            Arc::default()
        } else {
            Arc::clone(call.snapshot.chain_of(&call.key.tenant.id))
        };
        Self {
            worker: Rc::clone(worker),
            scope: CallScope::new(Arc::<Call>::clone(&call)),
            chain,
            facts,
            decisions: Vec::new(),
            attempts: Vec::new(),
            reservation: None,
            estimate: Amounts::default(),
            serving: None,
            // Until something else is known: the caller went away.
            outcome: Outcome {
                status: 499,
                ended: Ended::ClientClosed,
                denied: None,
                channel: None,
                upstream_model: None,
                provider_key: None,
                first_byte_ms: None,
                usage: None,
                usage_is_final: false,
                output_text_bytes: 0,
            },
            upstream: None,
            phase_began: call.started,
            call,
        }
    }

    /// A phase is over; the next begins.
    pub fn passed(&mut self, phase: Phase) {
        let now = Instant::now();
        self.worker
            .shared
            .metrics
            .phases()
            .observe(phase, now.duration_since(self.phase_began));
        self.phase_began = now;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        drop(self.upstream.take());
        settle::settle(self);
    }
}

//! A call under way: all that it owes. Whatever ends it, dropping this settles it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use weir_base::Usage;
use weir_counters::{Amounts, Reservation};
use weir_policy::{CallHost, CallScope, Caller, Version};
use weir_store::{AttemptRow, Decision, Ended};
use weir_upstream::Body as UpstreamBody;

use super::attempt::Unheard;
use super::call::Call;
use super::chain::{Binding, Chain};
use super::channel::Channel;
use super::health::{self, Change, ModelHealth, Pass, failure};
use super::hook::Facts;
use super::route::Planned;
use super::settle;
use super::trial::{Answered, Trial, share_of};
use super::worker::Worker;
use crate::config::FallbackCause;
use crate::journal::Tape;
use crate::keys::{Lease, ProviderKey};
use crate::measure::FailureKind;
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

/// Another model that is asked in place of the call's, and why.
#[derive(Debug)]
pub struct Instead {
    /// The model that the call is about.
    pub asked: Arc<str>,
    /// What led to the other one.
    pub cause: FallbackCause,
}

/// A reply that broke off after its first words and is gone on with.
#[derive(Debug, Default)]
pub struct Resumed {
    /// What the caller has of its text.
    pub said: String,
    /// The tokens of that.
    pub said_tokens: u64,
    /// What all attempts that broke off used.
    pub used: Usage,
}

/// Versions with a journal, each with what takes this call down where it goes into it.
type Tapes = RefCell<Vec<(Arc<Version>, Option<Arc<Tape>>)>>;

/// An attempt that is being answered. The channel counts it as in flight until this is dropped.
pub struct Serving {
    channel: Arc<Channel>,
    health: Arc<ModelHealth>,
    /// Its way through the circuit, until it is known how it went.
    pass: Option<Pass>,
    began: Instant,
    /// From then to the first byte.
    pub first_byte: Duration,
    /// How it went.
    pub outcome: AttemptOutcome,
    /// The provider key that it uses, from its answer on.
    pub lease: Option<Lease>,
}

impl Serving {
    /// Begins an attempt.
    pub fn new(worker: &Worker, planned: &Planned) -> Self {
        let (channel, health) = (&planned.channel, &planned.health);
        channel.health.begin(health);
        channel.metrics.attempt_started();
        Self {
            pass: Some(health.breaker.enter(|| worker.now_ms())),
            channel: Arc::clone(channel),
            health: Arc::clone(health),
            began: Instant::now(),
            first_byte: Duration::ZERO,
            outcome: AttemptOutcome::Abandoned,
            lease: None,
        }
    }

    /// It is known how it went, as far as another attempt could have gone better.
    fn landed(
        &mut self,
        outcome: AttemptOutcome,
        key: Option<&ProviderKey>,
        now_ms: u64,
    ) -> Option<Change> {
        self.outcome = outcome;
        let (pass, terms) = (self.pass.take()?, &self.channel.breaker);
        let figures = key.map(|key| &key.state.figures);
        if let Some(kind) = failure(outcome) {
            figures.inspect(|figures| figures.failed(now_ms, kind));
            return self.health.failed(Some(pass), now_ms, kind, terms);
        }
        // A refusal comes faster than any answer: its time says nothing.
        let first_byte = (outcome == AttemptOutcome::Success).then_some(self.first_byte);
        figures.inspect(|figures| figures.answered(now_ms, first_byte, false));
        self.health.answered(pass, now_ms, first_byte, terms)
    }

    /// Its reply broke off after it had begun.
    fn broke(&mut self, now_ms: u64) -> Option<Change> {
        self.outcome = AttemptOutcome::Broken;
        if let Some(lease) = &self.lease {
            lease.state.figures.broke(now_ms);
        }
        let (pass, terms) = (self.pass.take(), &self.channel.breaker);
        self.health.failed(pass, now_ms, FailureKind::Broken, terms)
    }

    /// What the call used is known: it takes the place of what the key had reserved for it.
    pub fn settle(&mut self, tokens: u64, now_ms: u64) {
        if let Some(lease) = &mut self.lease {
            lease.settle(tokens, now_ms);
        }
    }

    /// When it began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Its reply came whole, and ended `now`. `streamed_tokens`: the output tokens that its provider
    /// reported, where it was a stream.
    pub fn completed(&self, now: Instant, streamed_tokens: Option<u64>) {
        let total = now.saturating_duration_since(self.began);
        let took = total.saturating_sub(self.first_byte);
        let streamed = streamed_tokens.map(|tokens| (tokens, took));
        self.health.figures.completed(total, streamed);
        if let Some(lease) = &self.lease {
            lease.state.figures.completed(total, streamed);
        }
        self.channel.metrics.completed(total);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(pass) = &mut self.pass {
            self.health.breaker.leave(pass);
        }
        self.channel.health.end(&self.health);
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
    /// What they answered, those of them that are part of a trial.
    pub answers: Vec<(Arc<Trial>, Answered)>,
    /// Of each policy with a journal, whether this call goes into it.
    tapes: Tapes,
    /// Which share of the keys the call's is in, for trials; 0 where there is none.
    pub share: u64,
    /// The numbers of channels that route policies were offered and left out.
    pub left_out: SmallVec<[u32; 4]>,
    /// What was tried so far.
    pub attempts: Vec<AttemptRow>,
    /// What it took from its limits.
    pub reservation: Option<Reservation>,
    /// The same as amounts.
    pub estimate: Amounts,
    /// The attempt under way.
    pub serving: Option<Serving>,
    /// Set while `facts.model` is another model than the call's.
    pub instead: Option<Instead>,
    /// How it ended, so far.
    pub outcome: Outcome,
    /// Whether its reply may be gone on with, should it break off.
    pub may_go_on: bool,
    /// The other model that answers it, where one does.
    pub answered_by: Option<Arc<str>>,
    /// Set once its reply broke off.
    pub resumed: Option<Box<Resumed>>,
    /// What was read of streams that were given up before anything of them was handed on.
    pub unheard: Unheard,
    /// A reply that is being read; dropped before the call is settled, so that the provider hears
    /// at once that nobody listens.
    pub upstream: Option<UpstreamBody>,
    phase_began: Instant,
    /// When the clock was last looked at.
    seen_at: Instant,
}

impl Open {
    /// The call begins.
    pub fn new(worker: &Rc<Worker>, call: Arc<Call>, facts: Facts) -> Self {
        let chain = Arc::clone(call.snapshot.chain_of(&call.key.tenant.id));
        let caller = Caller {
            generation: call.snapshot.generation,
            key: Arc::clone(&call.key.id),
            client: call.client,
            dialect: call.dialect.as_str(),
        };
        Self {
            worker: Rc::clone(worker),
            tapes: RefCell::default(),
            scope: CallScope::of_caller(Arc::<Call>::clone(&call), caller),
            share: if chain.trials().is_empty() {
                0
            } else {
                share_of(&call.key.id)
            },
            chain,
            facts,
            decisions: Vec::new(),
            answers: Vec::new(),
            left_out: SmallVec::new(),
            attempts: Vec::new(),
            reservation: None,
            estimate: Amounts::default(),
            serving: None,
            instead: None,
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
            may_go_on: false,
            answered_by: None,
            resumed: None,
            unheard: Unheard::default(),
            upstream: None,
            phase_began: call.started,
            seen_at: call.started,
            call,
        }
    }

    /// It is known how the attempt under way went, with `key`: what is measured of its channel and
    /// its key takes note.
    pub fn landed(&mut self, outcome: AttemptOutcome, key: Option<&ProviderKey>, now_ms: u64) {
        if let Some(serving) = &mut self.serving {
            let change = serving.landed(outcome, key, now_ms);
            self.tell(change, now_ms);
        }
    }

    /// The reply of the attempt under way broke off after it had begun.
    pub fn broke(&mut self) {
        let now_ms = self.worker.now_ms();
        if let Some(serving) = &mut self.serving {
            let change = serving.broke(now_ms);
            self.tell(change, now_ms);
        }
    }

    fn tell(&self, change: Option<Change>, now_ms: u64) {
        if let (Some(change), Some(channel)) = (change, &self.outcome.channel) {
            let model = self.outcome.upstream_model.as_deref().unwrap_or_default();
            health::tell(&self.worker.shared.metrics, channel, model, change, now_ms);
        }
    }

    /// When the clock was last looked at. Between two hooks next to nothing happens, so the end of
    /// one is the begin of the next.
    pub fn seen_at(&self) -> Instant {
        self.seen_at
    }

    /// Milliseconds since the Unix epoch, as of the last look at the clock.
    pub fn now_ms(&self) -> u64 {
        let since = self.seen_at.duration_since(self.call.started);
        let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.call.started_ms.saturating_add(since_ms)
    }

    /// Looks at the clock.
    pub fn looked_at_clock(&mut self) -> Instant {
        self.seen_at = Instant::now();
        self.seen_at
    }

    /// What takes down what this policy does in this call, where its journal wants it.
    pub fn tape(&self, binding: &Binding) -> Option<Arc<Tape>> {
        let journal = binding.journal.as_ref()?;
        let mut tapes = self.tapes.borrow_mut();
        let mut known = tapes.iter();
        if let Some((_, tape)) = known.find(|(of, _)| Arc::ptr_eq(of, &binding.version)) {
            return tape.clone();
        }
        let call: Arc<dyn CallHost> = Arc::<Call>::clone(&self.call);
        let tape = journal.begin(self.call.id, &call, &self.scope, &binding.version);
        tapes.push((Arc::clone(&binding.version), tape.clone()));
        tape
    }

    /// A phase is over; the next begins.
    pub fn passed(&mut self, phase: Phase) {
        self.looked_at_clock();
        self.decided(phase);
    }

    /// A phase is over that ended with the last look at the clock, because all that it does is ask
    /// policies. One without policies took no time and is not measured.
    pub fn decided(&mut self, phase: Phase) {
        if self.seen_at == self.phase_began {
            return;
        }
        let elapsed = self.seen_at.duration_since(self.phase_began);
        self.worker.shared.metrics.phases().observe(phase, elapsed);
        self.phase_began = self.seen_at;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        drop(self.upstream.take());
        settle::settle(self);
    }
}

//! What every hook call has in common: what it is told, and what becomes of its answer.

use std::borrow::Cow;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use weir_base::{Blame, Fault, Operation};
use weir_policy::worker::Answer;
use weir_policy::{CallScope, Denial, Failure, Hook, Rules, Summary};

use super::call::{Call, Request};
use super::chain::{Binding, Mode, OnFailure};
use super::open::Open;
use super::trial::Answered;
use super::worker::Worker;
use crate::journal::Tape;
use crate::journal::record::{self, Called};
use crate::journal::shape::Verdict;

/// The facts that every hook is handed, kept in the shape that the record of them borrows from. Who
/// calls is not among them: a policy asks for it, see `host.rs`.
#[derive(Debug, Clone)]
pub struct Facts {
    operation: Operation,
    /// The model as the caller asked, or as `rewrite` left it.
    pub model: Arc<str>,
    /// Whether a stream is asked for.
    pub streaming: bool,
    /// The estimate of the prompt's tokens.
    pub input_tokens: u32,
    /// The bound that the call sets on its output; 0 for none.
    pub max_output_tokens: u32,
}

impl Facts {
    /// The facts of `call` as its request stands.
    pub fn of(call: &Call, request: &Request) -> Self {
        Self {
            operation: call.operation,
            model: Arc::from(request.model.as_str()),
            streaming: request.head.stream,
            input_tokens: request.head.input_tokens_estimate,
            max_output_tokens: request.head.max_output_tokens.unwrap_or(0),
        }
    }

    /// After `rewrite`: what it may have changed.
    pub fn refresh(&mut self, request: &Request) {
        if *self.model != *request.model {
            self.model = Arc::from(request.model.as_str());
        }
        self.streaming = request.head.stream;
        self.input_tokens = request.head.input_tokens_estimate;
        self.max_output_tokens = request.head.max_output_tokens.unwrap_or(0);
    }

    /// The record for a hook.
    pub fn summary(&self) -> Summary<'_> {
        Summary {
            operation: operation(self.operation),
            model: &self.model,
            streaming: self.streaming,
            input_tokens: self.input_tokens,
            max_output_tokens: self.max_output_tokens,
        }
    }
}

/// What the policy answered to such a call a while ago, where it said that this still holds. It is
/// recorded like an answer, and costs nothing of the policy's time.
pub fn recalled(worker: &Worker, open: &mut Open, binding: &Binding, hook: Hook) -> Option<Rules> {
    // Two versions are only compared where both are asked.
    if binding.mode == Mode::Shadow || binding.is_compared() {
        return None;
    }
    let (summary, now) = (open.facts.summary(), open.seen_at());
    let rules = worker
        .policies
        .recall(&binding.version, &open.scope, hook, &summary, now)?;
    binding.metrics.recalled(hook as usize);
    let verdict = Cow::Borrowed(weir_store::REMEMBERED);
    open.decisions.push(binding.decision(hook, 0, verdict));
    Some(rules)
}

/// One hook call about to be made: the policy, and the moment.
pub struct Running<'a> {
    binding: &'a Binding,
    hook: Hook,
    started: Instant,
    /// What the policy sees where it must not change anything: a copy of the call.
    copy: Option<(CallScope, Arc<Call>)>,
    /// What takes it down.
    tape: Option<Arc<Tape>>,
}

impl<'a> Running<'a> {
    /// Begins a hook call.
    pub fn new(open: &Open, binding: &'a Binding, hook: Hook) -> Self {
        Self::given(open, binding, hook, |call| json!({ "call": call }))
    }

    /// The same of a hook that is given more than the call; `given` is all of it, for the journal.
    pub fn given(
        open: &Open,
        binding: &'a Binding,
        hook: Hook,
        given: impl FnOnce(Value) -> Value,
    ) -> Self {
        // Only an edit could tell a shadow from the policy that it shadows.
        let copies = binding.mode == Mode::Shadow && hook == Hook::Rewrite;
        let copy = copies.then(|| {
            let copy = open.call.shadow();
            (CallScope::new(Arc::<Call>::clone(&copy)), copy)
        });
        let tape = match binding.mode {
            Mode::Enforce => open.tape(binding),
            Mode::Shadow => None,
        };
        if let Some(tape) = &tape {
            let name = match hook {
                Hook::Events => "events.open",
                other => other.as_str(),
            };
            let called = record::value(&Called::of(&open.facts.summary()));
            tape.hook(name, given(called));
        }
        Self {
            binding,
            hook,
            started: open.seen_at(),
            copy,
            tape,
        }
    }

    /// What takes down what the policy does in this call, where that is wanted.
    pub fn tape(&self) -> Option<&Arc<Tape>> {
        self.tape.as_ref()
    }

    /// What the policy sees: the call, or a copy of it where it must not change anything.
    pub fn scope<'s>(&'s self, open: &'s Open) -> &'s CallScope {
        self.copy.as_ref().map_or(&open.scope, |(scope, _)| scope)
    }

    /// How long it has been running.
    pub fn elapsed(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    /// Records the answer. None where the policy has no say: it failed and its failures are
    /// allowed, or it only shadows.
    pub fn judge<T: Debug + Verdict>(
        self,
        open: &mut Open,
        answer: Answer<T>,
    ) -> Result<Option<T>, Fault> {
        let Self {
            binding,
            hook,
            started,
            copy,
            tape,
        } = self;
        if let Some(tape) = tape {
            tape.answered(&answer.verdict());
        }
        let elapsed = open.looked_at_clock().duration_since(started);
        binding.metrics.ran(hook as usize, elapsed);
        let (result, verdict) = match answer {
            Ok(Ok(value)) => (Ok(Some(value)), Cow::Borrowed("allow")),
            Ok(Err(denial)) => {
                binding.metrics.denied(hook as usize);
                let verdict = Cow::Owned(format!("deny:{}", denial.code));
                (Err(refusal(denial)), verdict)
            }
            Err(failure) => {
                open.worker.shared.metrics.policy_failed(
                    &binding.name,
                    hook.as_str(),
                    failure.code(),
                    &failure,
                );
                (
                    failed(binding, &failure),
                    Cow::Owned(format!("failed:{}", failure.code())),
                )
            }
        };
        let micros = u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX);
        open.decisions.push(binding.decision(hook, micros, verdict));
        if let Some((trial, part)) = binding.trial.as_ref().filter(|_| binding.is_compared()) {
            let call = copy.as_ref().map_or(&open.call, |(_, copy)| copy);
            let answered = Answered {
                part: *part,
                hook,
                hash: answer_hash(hook, &result, call),
            };
            open.answers.push((Arc::clone(trial), answered));
        }
        match binding.mode {
            Mode::Enforce => result,
            Mode::Shadow => Ok(None),
        }
    }
}

/// The same number for two answers that do the same.
fn answer_hash<T: Debug>(hook: Hook, answer: &Result<Option<T>, Fault>, call: &Call) -> u64 {
    let mut hasher = DefaultHasher::new();
    match answer {
        // What it answered is what it made of the request.
        Ok(_) if hook == Hook::Rewrite => call.request().hash_sent(&mut hasher),
        Ok(value) => format!("{value:?}").hash(&mut hasher),
        Err(_) => {}
    }
    hasher.finish()
}

/// A policy's refusal as a fault. Its status was checked by the runtime.
pub fn refusal(denial: Denial) -> Fault {
    let fault = Fault::new(Blame::Policy, denial.status, denial.code, denial.message);
    match denial.retry_after_ms {
        Some(after_ms) => fault.retry_after_ms(u64::from(after_ms)),
        None => fault,
    }
}

fn failed<T>(binding: &Binding, failure: &Failure) -> Result<Option<T>, Fault> {
    match binding.on_failure {
        OnFailure::Allow => Ok(None),
        OnFailure::Deny => Err(failure_fault(binding, failure)),
    }
}

/// The refusal of a call whose policy failed and is set to deny then.
pub fn failure_fault(binding: &Binding, failure: &Failure) -> Fault {
    let message = format!(
        "The policy `{}` failed ({}) and is set to deny then; try again, or tell the operator of this gateway.",
        binding.name,
        failure.code()
    );
    Fault::new(Blame::Gateway, 503, "policy_failed", message)
}

/// What a policy is told of a call's usage.
pub fn usage(usage: &weir_base::Usage) -> weir_policy::Usage {
    weir_policy::Usage {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cached_tokens: usage.cached_tokens,
        cache_write_tokens: usage.cache_write_tokens,
        reasoning_tokens: usage.reasoning_tokens,
        cost_micros: usage.cost_micros,
        estimated: usage.estimated,
    }
}

/// The operation in the interface's own enumeration.
pub fn operation(operation: Operation) -> weir_policy::Operation {
    use weir_policy::Operation as Wit;
    match operation {
        Operation::Chat => Wit::Chat,
        Operation::Completion => Wit::Completion,
        Operation::Embedding => Wit::Embedding,
        Operation::Image => Wit::Image,
        Operation::Speech => Wit::Speech,
        Operation::Transcription => Wit::Transcription,
        Operation::Moderation => Wit::Moderation,
        Operation::Rerank => Wit::Rerank,
        Operation::Video => Wit::Video,
        Operation::Realtime => Wit::Realtime,
        Operation::File => Wit::File,
        Operation::Batch => Wit::Batch,
        Operation::Models => Wit::Models,
        Operation::CountTokens => Wit::CountTokens,
        Operation::ToolCall => Wit::ToolCall,
        Operation::Other => Wit::Other,
    }
}

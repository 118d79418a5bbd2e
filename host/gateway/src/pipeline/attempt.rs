//! attempt: tries channels and keys in order until one answers.
//!
//! What a failure means is decided here and nowhere else: a key that is dead leaves the rotation, a
//! key that was turned away rests, a channel that fails is counted and the next one tried. No byte
//! has reached the caller yet, so everything may be tried again. When nothing is left, the caller
//! gets the last provider's own error, unchanged.

pub(super) mod send;
mod verdict;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use weir_base::{Blame, Fault};
use weir_store::AttemptRow;
use weir_upstream::Body as UpstreamBody;

use super::channel::Channel;
use super::open::{Open, Serving};
use super::route::Planned;
use super::worker::Worker;
use crate::keys::{Cooldown, ProviderKey};
use crate::telemetry::AttemptOutcome;
use send::Failed;
use verdict::{Verdict, judge};

/// A reply to be relayed.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, as the provider sent them.
    pub headers: HeaderMap,
    /// Where its body comes from.
    pub source: Source,
    /// Whether a policy made it, in the provider's place.
    pub by_policy: bool,
}

/// Where the body of a reply comes from.
#[expect(
    clippy::large_enum_variant,
    reason = "one lives for each call, and nearly all are the large one"
)]
pub enum Source {
    /// A provider, piece by piece. `hides_usage`: the event that holds only the usage was asked for
    /// by Weir and is not for the caller.
    Upstream {
        body: UpstreamBody,
        hides_usage: bool,
    },
    /// The built-in provider, piece by piece; the same goes for it.
    Fake {
        body: Box<send::FakeBody>,
        hides_usage: bool,
    },
    /// It is here already.
    Whole(Bytes),
}

pub use send::FakeBody;

/// Why the last try brought nothing, to say the right thing when none is left.
#[expect(
    clippy::large_enum_variant,
    reason = "one lives for each call that fails"
)]
enum LastFailure {
    /// A provider answered, with an error.
    Answered(Reply),
    /// No answer came.
    Unanswered(Fault),
}

/// Tries the plan until a provider answers.
pub async fn run(worker: &Rc<Worker>, open: &mut Open, plan: Vec<Planned>) -> Result<Reply, Fault> {
    let mut left = open.call.snapshot.config.limits.attempts_max;
    let mut last = None;
    for planned in &plan {
        let mut tried: Vec<Arc<str>> = Vec::new();
        while left > 0 {
            let Ok(key) = pick(&planned.channel, worker.now_ms(), &tried) else {
                break;
            };
            left -= 1;
            let (failure, verdict) = match once(worker, open, planned, key.as_deref()).await? {
                Tried::Answered(reply) => return Ok(reply),
                Tried::Failed(failure, verdict) => (failure, verdict),
            };
            tried.extend(key.iter().map(|key| Arc::clone(&key.id)));
            last = Some(failure);
            // A channel without keys has nothing else to try.
            if verdict == Verdict::NextChannel || key.is_none() {
                break;
            }
        }
    }
    open.serving = None;
    match last {
        Some(LastFailure::Answered(reply)) => Ok(reply),
        Some(LastFailure::Unanswered(fault)) => Err(fault),
        None => Err(no_usable_key(worker, &plan)),
    }
}

enum Tried {
    Answered(Reply),
    Failed(LastFailure, Verdict),
}

/// A key for the next try: none for a channel that needs none, an error where no key is left.
fn pick(
    channel: &Channel,
    now_ms: u64,
    tried: &[Arc<str>],
) -> Result<Option<Arc<ProviderKey>>, ()> {
    if channel.keys.keys().is_empty() {
        return if tried.is_empty() { Ok(None) } else { Err(()) };
    }
    channel
        .keys
        .pick(now_ms, tried)
        .cloned()
        .map(Some)
        .ok_or(())
}

/// One try at one channel with one key.
async fn once(
    worker: &Rc<Worker>,
    open: &mut Open,
    planned: &Planned,
    key: Option<&ProviderKey>,
) -> Result<Tried, Fault> {
    let channel = &planned.channel;
    let model = Arc::from(channel.upstream_model(&open.facts.model));
    open.serving = Some(Serving::new(channel));
    open.outcome.channel = Some(Arc::clone(channel));
    open.outcome.upstream_model = Some(Arc::clone(&model));
    open.outcome.provider_key = key.map(|key| Arc::clone(&key.id));
    let sent = send::send(worker, open, planned, key, &model).await?;
    let elapsed = answered(open);
    let mut row = AttemptRow {
        channel: Arc::clone(&channel.name),
        key: key.map(|key| Arc::clone(&key.id)),
        status: None,
        failure: None,
        ms: u32::try_from(elapsed.as_millis()).unwrap_or(u32::MAX),
    };
    let now_ms = worker.now_ms();
    let cooldown = cooldown(open);
    match sent {
        Ok(got) => {
            row.status = Some(got.status);
            channel.metrics.first_byte(elapsed);
            let verdict = judge(&got);
            consequences(worker, open, channel, key, &verdict, now_ms);
            if verdict.is_answer() {
                channel
                    .health
                    .answered(now_ms, elapsed.as_secs_f32() * 1_000.0);
                mark(
                    open,
                    if got.status < 400 {
                        AttemptOutcome::Success
                    } else {
                        AttemptOutcome::Rejected
                    },
                );
                open.attempts.push(row);
                return Ok(Tried::Answered(got.into_reply()));
            }
            if verdict == Verdict::NextChannel {
                channel.health.failed(now_ms, cooldown);
            } else {
                channel
                    .health
                    .answered(now_ms, elapsed.as_secs_f32() * 1_000.0);
            }
            row.failure = Some(Cow::Owned(verdict.as_str().to_owned()));
            open.attempts.push(row);
            mark(open, verdict.outcome());
            Ok(Tried::Failed(
                LastFailure::Answered(got.into_reply()),
                verdict,
            ))
        }
        Err(failed) => {
            row.failure = Some(Cow::Borrowed(failed.code()));
            open.attempts.push(row);
            channel.health.failed(now_ms, cooldown);
            mark(open, failed.outcome());
            Ok(Tried::Failed(
                LastFailure::Unanswered(unanswered(&failed, channel)),
                Verdict::NextChannel,
            ))
        }
    }
}

/// What a provider's word means for the key: dead, resting, or well.
fn consequences(
    worker: &Worker,
    open: &Open,
    channel: &Channel,
    key: Option<&ProviderKey>,
    verdict: &Verdict,
    now_ms: u64,
) {
    let Some(key) = key else { return };
    match verdict {
        Verdict::DeadKey(reason) => {
            if key.state.disable(reason, now_ms) {
                worker
                    .shared
                    .metrics
                    .provider_key_disabled(&channel.name, &key.id, reason);
                remember(worker, channel, key, reason, now_ms);
            }
        }
        Verdict::KeyRests(asked_ms) => {
            key.state.rest.begin(now_ms, *asked_ms, cooldown(open));
            let rests_ms = key.state.rest.until_ms().saturating_sub(now_ms);
            worker
                .shared
                .metrics
                .provider_key_cooled(&channel.name, &key.id, rests_ms);
        }
        Verdict::Answer => key.state.rest.went_well(),
        Verdict::OtherKey | Verdict::NextChannel => {}
    }
}

/// Writes down that a key died, so that a restart does not try it again.
fn remember(worker: &Worker, channel: &Channel, key: &ProviderKey, reason: &str, now_ms: u64) {
    let store = worker.shared.store.clone();
    let row = weir_store::DisabledKey {
        channel: channel.name.to_string(),
        fingerprint: key.fingerprint,
        reason: reason.to_owned(),
        disabled_ms: now_ms,
    };
    worker.shared.background.spawn(async move {
        if let Err(error) = store.put(&row).await {
            tracing::warn!(channel = row.channel, %error, "a dead key could not be written down; it will be tried again after a restart");
        }
    });
}

fn mark(open: &mut Open, outcome: AttemptOutcome) {
    if let Some(serving) = &mut open.serving {
        serving.outcome = outcome;
    }
}

/// The first byte is here, or nothing is: how long it took since the attempt began.
fn answered(open: &mut Open) -> Duration {
    let Some(serving) = &mut open.serving else {
        return Duration::ZERO;
    };
    serving.first_byte = serving.elapsed();
    serving.first_byte
}

fn cooldown(open: &Open) -> Cooldown {
    let settings = &open.call.snapshot.config.cooldown;
    Cooldown {
        first_ms: settings.first_ms,
        max_ms: settings.max_ms,
    }
}

fn unanswered(failed: &Failed, channel: &Channel) -> Fault {
    let name = &channel.name;
    let (status, code, message) = match failed {
        Failed::Send(error) if error.is_timeout() => (
            504,
            "provider_timeout",
            format!(
                "The provider behind channel `{name}` did not answer in time ({error}); try again later."
            ),
        ),
        Failed::Send(error) => (
            502,
            "provider_unreachable",
            format!(
                "The provider behind channel `{name}` could not be reached ({error}); try again later."
            ),
        ),
        Failed::Reply(problem) => (
            502,
            "provider_broken",
            format!(
                "The provider behind channel `{name}` sent a reply that broke off ({problem}); try again later."
            ),
        ),
    };
    Fault::new(Blame::Upstream, status, code, message)
}

fn no_usable_key(worker: &Worker, plan: &[Planned]) -> Fault {
    let fault = Fault::new(
        Blame::Upstream,
        503,
        "no_usable_key",
        "No channel for this model has a provider key that may be used now; try again later, or tell the operator of this gateway.",
    );
    let soonest = plan
        .iter()
        .filter_map(|planned| planned.channel.keys.next_usable_ms())
        .min();
    match soonest {
        Some(at_ms) => fault.retry_after_ms(at_ms.saturating_sub(worker.now_ms())),
        None => fault,
    }
}

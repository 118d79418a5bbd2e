//! attempt: tries channels and keys until one answers.
//!
//! What a failure means is decided here and nowhere else: a key that is dead leaves the rotation, a
//! key that was turned away rests, a channel that fails is counted and the next one tried. No byte
//! has reached the caller yet, so everything may be tried again, within the retry budget and the
//! call's deadline. When nothing is left, the caller gets the last provider's own error, unchanged.
//!
//! Read first: `fly_plan`; what comes next is chosen in `attempt/tries.rs`.

mod failure;
mod fallback;
mod flight;
mod hedge;
mod hold;
mod key;
mod send;
mod steer;
mod tries;
mod unheard;
mod verdict;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use weir_base::Fault;
use weir_store::AttemptRow;
use weir_upstream::Body as UpstreamBody;
use weir_wire::kept;

use super::chain::Chain;
use super::channel::Channel;
use super::open::Open;
use super::route::{self, Planned};
use super::settle::cost_micros;
use super::target::is_event_stream;
use super::worker::Worker;
use crate::keys::{Lease, ProviderKey};
use crate::telemetry::AttemptOutcome;
use failure::Failed;
use flight::Flight;
use key::{consequences, cooldown};
use send::Got;
use tries::{Tries, standing};
use verdict::{Verdict, judge};

pub use hold::Held;
pub use send::FakeBody;
pub use unheard::Unheard;

/// What callers send to wait less long than the settings say.
const TIMEOUT_HEADER: &str = "x-weir-timeout-ms";

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
    /// A provider, piece by piece, after what was held back. `hides_usage`: the event that holds
    /// only the usage was asked for by Weir and is not for the caller.
    Upstream {
        body: UpstreamBody,
        held: Held,
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

/// How the tries of a plan ended.
#[expect(
    clippy::large_enum_variant,
    reason = "one lives for each call, and nearly all are the large one"
)]
enum Ending {
    /// A provider's reply; true where it is an answer, false where it is the last failure.
    Reply(Reply, bool),
    /// No reply came.
    Fault(Fault),
}

impl Ending {
    /// Whether a provider did what was asked.
    fn is_success(&self) -> bool {
        matches!(self, Ending::Reply(reply, true) if reply.status < 400)
    }
}

/// Tries the plan until a provider answers. `chain`: the policies that route other models, where the
/// call falls back on one.
pub async fn run(
    worker: &Rc<Worker>,
    open: &mut Open,
    mut plan: Vec<Planned>,
    chain: &Chain,
) -> Result<Reply, Fault> {
    let steered = steer::steer(worker, open, &mut plan)?;
    open.may_go_on = open.call.snapshot.goes_on && !steered.fixed;
    let left = open.call.snapshot.config.limits.attempts_max;
    let may_fall_back = !steered.fixed && !open.call.snapshot.config.fallbacks.is_empty();
    if may_fall_back && fallback::goes_by_cost(open) {
        Box::pin(fallback::within_bound(worker, open, chain, &mut plan)).await;
    }
    let flown = fly_plan(worker, open, &plan, steered.key, left, false).await;
    let ending = match flown {
        Ok((ending, left)) if may_fall_back && !ending.is_success() => {
            Ok(Box::pin(fallback::instead(worker, open, chain, ending, left)).await)
        }
        flown => flown.map(|(ending, _)| ending),
    };
    match fallback::named(open, ending)? {
        Ending::Reply(reply, _) => Ok(reply),
        Ending::Fault(fault) => Err(fault),
    }
}

/// Asks for the rest of a reply that broke off, of which `open.resumed` has the beginning: another
/// channel first, and none that is not to be asked for that.
pub async fn go_on(worker: &Rc<Worker>, open: &mut Open) -> Option<Reply> {
    let chain = Arc::clone(&open.chain);
    let broken = open.outcome.channel.clone();
    let model = open.answered_by.clone();
    let model = model.unwrap_or_else(|| Arc::clone(&open.facts.model));
    let asked = std::mem::replace(&mut open.facts.model, model);
    open.looked_at_clock();
    let mut plan = route::run(worker, open, &chain).await.unwrap_or_default();
    plan.retain(|planned| planned.channel.prefill.is_some());
    let is_broken = |planned: &Planned| {
        broken
            .as_ref()
            .is_some_and(|it| it.name == planned.channel.name)
    };
    plan.sort_by_key(is_broken);
    let most = open.call.snapshot.config.limits.attempts_max;
    let left = most.saturating_sub(open.attempts.len());
    let flown = fly_plan(worker, open, &plan, None, left, true).await;
    open.facts.model = asked;
    match flown {
        Ok((Ending::Reply(reply, true), _))
            if reply.status < 400 && is_event_stream(&reply.headers) =>
        {
            Some(reply)
        }
        _ => {
            open.serving = None;
            None
        }
    }
}

/// Tries one plan; also says how many tries are left.
async fn fly_plan(
    worker: &Rc<Worker>,
    open: &mut Open,
    plan: &[Planned],
    prefers: Option<Arc<str>>,
    left: usize,
    is_retry: bool,
) -> Result<(Ending, usize), Fault> {
    let until = deadline(open);
    let mut tries = Tries::new(plan, prefers, left, is_retry);
    let mut last = None;
    while let Some(target) = tries.next(worker, open, worker.now_ms()) {
        if !pause(target.pause_ms, until).await {
            if let Some(lease) = target.lease {
                lease.undo(worker.now_ms());
            }
            last.get_or_insert_with(|| Ending::Fault(failure::out_of_time()));
            break;
        }
        let Some(flight) = Flight::new(open, &tries, target, until) else {
            break;
        };
        open.outcome.channel = Some(Arc::clone(flight.channel()));
        open.outcome.upstream_model = Some(Arc::clone(&flight.model));
        open.outcome.provider_key = flight.key_id();
        let hedged = flight
            .hedge_after_ms()
            .filter(|_| hedge::may_run_twice(open.call.operation));
        let (landing, then) = match hedged {
            None => {
                let sent = flight.fly(worker, open).await?;
                ((flight, Some(sent)), None)
            }
            // A race is rare and its future large: it does not make every call's larger.
            Some(after_ms) => {
                Box::pin(hedge::race(worker, open, &mut tries, flight, after_ms)).await?
            }
        };
        let mut go_on = true;
        for landing in [Some(landing), then].into_iter().flatten() {
            match land(worker, open, &mut tries, landing) {
                Landed::Answer(reply) => return Ok((Ending::Reply(reply, true), tries.left())),
                Landed::Lost => {}
                Landed::Failed(ending, more) => {
                    last = Some(ending);
                    go_on = more;
                }
            }
        }
        if !go_on {
            break;
        }
    }
    open.serving = None;
    let none = || Ending::Fault(failure::no_usable_key(worker, open, plan));
    Ok((last.unwrap_or_else(none), tries.left()))
}

enum Landed {
    /// It is for the caller.
    Answer(Reply),
    /// The other flight was faster.
    Lost,
    /// It failed; false where nothing else may be tried.
    Failed(Ending, bool),
}

/// Writes down how a flight ended, with all that follows from it.
fn land(
    worker: &Rc<Worker>,
    open: &mut Open,
    tries: &mut Tries<'_>,
    (mut flight, sent): hedge::Landing,
) -> Landed {
    let key_id = flight.key_id();
    let mut lease = flight.target.lease.take();
    let channel = flight.channel();
    let elapsed = flight.began.elapsed();
    let mut row = AttemptRow {
        channel: Arc::clone(&channel.name),
        key: key_id.clone(),
        status: None,
        failure: None,
        ms: u32::try_from(elapsed.as_millis()).unwrap_or(u32::MAX),
        more: fallback::more(open),
    };
    let Some(sent) = sent else {
        row.failure = Some(Cow::Borrowed("hedge_lost"));
        spent_in_vain(open, &flight, lease.as_mut(), &mut row, worker.now_ms());
        open.attempts.push(row);
        return Landed::Lost;
    };
    open.outcome.channel = Some(Arc::clone(channel));
    open.outcome.upstream_model = Some(Arc::clone(&flight.model));
    open.outcome.provider_key = key_id.clone();
    open.serving = flight.serving.take();
    if let Some(serving) = &mut open.serving {
        serving.first_byte = elapsed;
    }
    let now_ms = worker.now_ms();
    let mut got = match sent {
        Ok(got) => got,
        Err(failed) => {
            row.failure = Some(Cow::Borrowed(failed.code()));
            spent_in_vain(open, &flight, lease.as_mut(), &mut row, now_ms);
            open.attempts.push(row);
            tries.channel_failed(flight.target.at, key_id, !failed.is_timeout());
            return unanswered(open, channel, lease.as_deref(), &failed, now_ms);
        }
    };
    row.status = Some(got.status);
    channel.metrics.first_byte(elapsed);
    let mut verdict = judge(&got);
    key::refused(open, lease.as_mut(), &got, &mut verdict, now_ms);
    let key = lease.as_deref();
    let standing = standing(channel, key);
    consequences(worker, open, channel, key, &verdict, now_ms);
    if verdict == Verdict::NextChannel {
        standing.failed(now_ms, false, cooldown(open));
        tries.channel_failed(flight.target.at, key_id, true);
    }
    if verdict == Verdict::OtherKey {
        standing.refused(now_ms);
    }
    if !verdict.is_answer() {
        row.failure = Some(Cow::Owned(verdict.as_str().to_owned()));
        open.attempts.push(row);
        open.landed(verdict.outcome(), key, now_ms);
        return Landed::Failed(Ending::Reply(got.into_reply(), false), true);
    }
    standing.went_well();
    let outcome = if got.status < 400 {
        note(worker, open, channel, key, &mut got);
        AttemptOutcome::Success
    } else {
        AttemptOutcome::Rejected
    };
    open.landed(outcome, key, now_ms);
    open.attempts.push(row);
    if let Some(serving) = &mut open.serving {
        serving.lease = lease;
    }
    Landed::Answer(got.into_reply())
}

/// What an attempt without an answer used, as far as its provider said: for the ledger, and in place
/// of the estimate for its key.
fn spent_in_vain(
    open: &mut Open,
    flight: &Flight,
    lease: Option<&mut Lease>,
    row: &mut AttemptRow,
    now_ms: u64,
) {
    let Some(mut usage) = open.unheard.take(flight.began, open.call.dialect) else {
        return;
    };
    if let Some(lease) = lease {
        lease.settle(usage.total_tokens(), now_ms);
    }
    usage.cost_micros = cost_micros(open, Some(flight.channel()), Some(&flight.model), &usage);
    row.more.get_or_insert_default().usage = Some(usage);
}

/// No answer came, or none that is one.
fn unanswered(
    open: &mut Open,
    channel: &Channel,
    key: Option<&ProviderKey>,
    failed: &Failed,
    now_ms: u64,
) -> Landed {
    let at_once = matches!(failed, Failed::Send(_) | Failed::Silent);
    standing(channel, key).failed(now_ms, at_once, cooldown(open));
    open.landed(failed.outcome(), key, now_ms);
    // What may have had its effect must not have it twice.
    let more = !failed.may_have_worked() || may_be_repeated(open);
    Landed::Failed(Ending::Fault(failed.fault(channel)), more)
}

/// Remembers who made what the reply says was made.
fn note(worker: &Worker, open: &Open, channel: &Channel, key: Option<&ProviderKey>, got: &mut Got) {
    let Source::Upstream { held, .. } = &mut got.source else {
        return;
    };
    let call = &*open.call;
    if call.method != http::Method::POST || !kept::makes(call.dialect) {
        return;
    }
    if let Some(id) = kept::made(call.dialect, held.beginning()) {
        let settings = &call.snapshot.config.pins;
        worker.shared.pins.note(call, id, channel, key, settings);
    }
}

/// The same of what a stream says only at its end.
pub fn made_later(open: &Open, id: &str) {
    let (call, pins) = (&*open.call, &open.worker.shared.pins);
    let key = open.serving.as_ref();
    let key = key.and_then(|serving| serving.lease.as_deref());
    if let Some(channel) = &open.outcome.channel {
        pins.note(call, id, channel, key, &call.snapshot.config.pins);
    }
}

/// A reply that had begun broke off: its channel and key are avoided like others that fail.
pub fn broke_later(open: &mut Open) {
    open.broke();
    let Some(channel) = &open.outcome.channel else {
        return;
    };
    let now_ms = open.worker.now_ms();
    let keys = channel.keys.keys();
    let key = keys
        .iter()
        .find(|key| Some(&key.id) == open.outcome.provider_key.as_ref());
    standing(channel, key.map(|key| &**key)).failed(now_ms, true, cooldown(open));
}

/// Whether the call may be made again when nobody knows whether it had its effect.
fn may_be_repeated(open: &Open) -> bool {
    use weir_base::Operation::{Batch, File, Other, Realtime, ToolCall, Video};
    let changes = matches!(
        open.call.operation,
        Batch | File | Other | Realtime | ToolCall | Video
    );
    !changes || open.call.method == http::Method::GET
}

/// When the call's time is over: as the settings say, or earlier where the caller wants it so.
fn deadline(open: &Open) -> Instant {
    let longest_ms = open.call.snapshot.config.retry.call_deadline_ms;
    if open.resumed.is_some() {
        // It was in time once.
        return Instant::now() + Duration::from_millis(longest_ms);
    }
    let asked_ms = open
        .call
        .request()
        .headers
        .get(TIMEOUT_HEADER)
        .and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok())
        .unwrap_or(u64::MAX);
    open.call.started + Duration::from_millis(longest_ms.min(asked_ms))
}

/// Waits before a try; false where the time is over, or would be.
async fn pause(pause_ms: u64, until: Instant) -> bool {
    let pause = Duration::from_millis(pause_ms);
    if Instant::now() + pause >= until {
        return false;
    }
    if pause_ms > 0 {
        tokio::time::sleep(pause).await;
    }
    true
}

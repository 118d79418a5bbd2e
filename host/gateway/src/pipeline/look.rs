//! Replies that policies look into: whole ones and streams, event by event.
//!
//! Part of relay; only calls whose chain has a `reply` or `events` hook come here. The provider's
//! own bytes are kept wherever no policy changed what they say.

use std::borrow::Cow;
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::Response;
use serde_json::{Value, json};
use weir_base::{Blame, Fault};
use weir_policy::{Failure, Hook, Stream, WholeReply};
use weir_store::{Decision, Ended};
use weir_wire::error::stream_error;
use weir_wire::events::{Action, Event, Output, View};
use weir_wire::sse::{self, Splitter};

use super::answer::to_headers;
use super::attempt::{FakeBody, Held, Reply, Source};
use super::body::{Broken, ReplyBody};
use super::chain::{Binding, Mode, OnFailure};
use super::hook::{Running, refusal};
use super::open::Open;
use super::relay::{self, Reading, poll_data};
use super::trial::{Answered, Trial};
use super::worker::Worker;
use super::{fault, neutral, target};
use crate::journal::Tape;
use crate::journal::record::{self, Called};
use crate::journal::shape::{self, Verdict};

/// Shows a whole reply to the reply policies; each sees what the ones before it made.
pub async fn whole(worker: &Rc<Worker>, mut open: Box<Open>, reply: Reply) -> Response<ReplyBody> {
    match shown_whole(worker, &mut open, reply).await {
        Ok((status, headers, body)) => relay::whole(open, status, headers, body),
        Err(fault) => fault::to_caller(open, &fault),
    }
}

/// The reply as the reply policies leave it, read to its end.
pub async fn shown_whole(
    worker: &Rc<Worker>,
    open: &mut Open,
    reply: Reply,
) -> Result<(u16, http::HeaderMap, Bytes), Fault> {
    let (mut status, mut headers) = (reply.status, target::reply_headers(reply.headers, false));
    let max_bytes = open.call.snapshot.config.limits.reply_buffer_max_bytes;
    let mut body = collect(reply.source, max_bytes).await?;
    relay::read_usage(open, &body);
    let chain = Arc::clone(&open.chain);
    for binding in chain.with(Hook::Reply, open.share) {
        open.looked_at_clock();
        let (running, answer) = {
            let pairs: Vec<(String, String)> = headers
                .iter()
                .map(|(name, value)| {
                    (
                        name.as_str().to_owned(),
                        String::from_utf8_lossy(value.as_bytes()).into_owned(),
                    )
                })
                .collect();
            let borrowed: Vec<(&str, &str)> = pairs
                .iter()
                .map(|(name, value)| (&**name, &**value))
                .collect();
            let shown = WholeReply {
                status,
                headers: &borrowed,
                body: &body,
            };
            let running = Running::given(
                open,
                binding,
                Hook::Reply,
                |call| json!({ "call": call, "reply": shape::whole(&shown) }),
            );
            let answer = worker
                .policies
                .reply(&binding.version, &open.scope, &open.facts.summary(), &shown)
                .await;
            (running, answer)
        };
        if let Some(Some(changed)) = running.judge(open, answer)? {
            (status, headers, body) = (
                changed.status,
                to_headers(&changed.headers),
                changed.body.into(),
            );
        }
    }
    Ok((status, headers, body))
}

/// Reads a reply to its end.
pub async fn collect(source: Source, max_bytes: usize) -> Result<Bytes, Fault> {
    let mut pieces = Pieces::of(source);
    let mut whole = BytesMut::new();
    while let Some(piece) = pieces.next(None).await {
        let piece = piece.map_err(|reason| {
            let message =
                format!("The provider broke off in the middle of its reply ({reason}); try again.");
            Fault::new(Blame::Upstream, 502, "provider_broken", message)
        })?;
        if whole.len() + piece.len() > max_bytes {
            let message = format!(
                "The reply is larger than the {max_bytes} bytes that policies may look into; ask for less."
            );
            return Err(Fault::new(Blame::Gateway, 502, "reply_too_large", message));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// Where the pieces of a reply come from.
pub enum Pieces {
    Upstream(Held, Box<weir_upstream::Body>),
    Fake(Box<FakeBody>),
    Whole(Option<Bytes>),
    /// The call holds the provider's body, so that it is let go of first.
    InCall(Held),
}

impl Pieces {
    /// The pieces of a source.
    fn of(source: Source) -> Self {
        match source {
            Source::Upstream { body, held, .. } => Pieces::Upstream(held, Box::new(body)),
            Source::Fake { body, .. } => Pieces::Fake(body),
            Source::Whole(bytes) => Pieces::Whole(Some(bytes)),
        }
    }

    /// The same, where the call holds the provider's body. Also whether the usage is to be hidden.
    pub fn in_call(open: &mut Open, source: Source) -> (Self, bool) {
        let hides = matches!(
            source,
            Source::Upstream {
                hides_usage: true,
                ..
            } | Source::Fake {
                hides_usage: true,
                ..
            }
        );
        let pieces = match Pieces::of(source) {
            Pieces::Upstream(held, body) => {
                open.upstream = Some(*body);
                Pieces::InCall(held)
            }
            other => other,
        };
        (pieces, hides)
    }

    /// The next piece; `open` is the call, which may hold the body.
    pub async fn next(&mut self, open: Option<&mut Open>) -> Option<Result<Bytes, String>> {
        match self {
            Pieces::Upstream(held, body) => match held.pop() {
                Some(piece) => Some(Ok(piece)),
                None => poll_fn(|cx| poll_data(body, cx)).await,
            },
            Pieces::Fake(body) => poll_fn(|cx| body.poll_next(cx)).await,
            Pieces::Whole(bytes) => bytes.take().map(Ok),
            Pieces::InCall(held) => match held.pop() {
                Some(piece) => Some(Ok(piece)),
                None => {
                    let body = open?.upstream.as_mut()?;
                    poll_fn(|cx| poll_data(body, cx)).await
                }
            },
        }
    }
}

/// One policy that looks into this stream.
pub struct Looker {
    binding: Arc<Binding>,
    stream: Option<Stream>,
    spent: Duration,
    verdict: Cow<'static, str>,
    /// True where its stream was closed as one that is over is.
    closed: bool,
    /// How it failed, if it did.
    failure: Option<Failure>,
    /// What it made of each event, where that is compared with what another version did.
    actions: DefaultHasher,
    /// What takes it down.
    tape: Option<Arc<Tape>>,
}

/// Asks the events policies which of them want to see this stream. None of them: it goes through
/// as it is.
pub async fn open(worker: &Rc<Worker>, open: &mut Open) -> Result<Vec<Looker>, Fault> {
    let chain = Arc::clone(&open.chain);
    let mut lookers = Vec::new();
    if View::new(open.call.dialect).is_none() {
        return Ok(lookers);
    }
    for binding in chain.with(Hook::Events, open.share) {
        open.looked_at_clock();
        let running = Running::new(open, binding, Hook::Events);
        let opened = worker
            .policies
            .open_stream(&binding.version, &open.scope, &open.facts.summary())
            .await;
        if let (Some(tape), true) = (running.tape(), opened.is_ok()) {
            tape.answered(&opened.verdict());
        }
        match opened {
            Ok(Some(stream)) => lookers.push(Looker {
                binding: Arc::clone(binding),
                stream: Some(stream),
                spent: running.elapsed(),
                verdict: Cow::Borrowed("allow"),
                closed: false,
                failure: None,
                actions: DefaultHasher::new(),
                tape: running.tape().cloned(),
            }),
            Ok(None) => {}
            Err(failure) => {
                running.judge::<()>(open, Err(failure))?;
            }
        }
    }
    Ok(lookers)
}

/// Sends a stream that policies look into.
pub fn events(mut open: Box<Open>, reply: Reply, lookers: Vec<Looker>) -> Response<ReplyBody> {
    let (family, id) = (open.call.dialect.family(), open.call.id_header.clone());
    let (pieces, hides_usage) = Pieces::in_call(&mut open, reply.source);
    let looking = Looking {
        view: View::new(open.call.dialect),
        reading: Reading::new(open, true),
        pieces,
        hider: hides_usage.then(relay::UsageHider::default),
        splitter: Splitter::new(),
        lookers,
        state: State::Running,
    };
    let body = ReplyBody::made(stream::unfold(looking, Looking::next));
    relay::response(
        reply.status,
        target::reply_headers(reply.headers, false),
        family,
        &id,
        body,
    )
}

enum State {
    Running,
    /// An error event was handed out: let it leave, then cut.
    Flush(String),
    Over,
}

/// A stream under way through the policies.
struct Looking {
    reading: Reading,
    pieces: Pieces,
    hider: Option<relay::UsageHider>,
    splitter: Splitter,
    view: Option<View>,
    lookers: Vec<Looker>,
    state: State,
}

impl Looking {
    /// The next bytes for the caller.
    async fn next(mut self) -> Option<(Result<Bytes, Broken>, Self)> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return None,
                State::Flush(reason) => {
                    tokio::task::yield_now().await;
                    return Some((Err(Broken(reason)), self));
                }
                State::Running => {}
            }
            let mut out = BytesMut::new();
            match self.pieces.next(self.reading.open()).await {
                Some(Ok(piece)) => self.piece(&piece, &mut out).await,
                Some(Err(reason)) => {
                    self.finish(&mut out, true).await;
                    if let Some(open) = self.reading.open() {
                        out.extend_from_slice(&relay::broken_event(open, &reason));
                    }
                    self.over(Ended::UpstreamBroke);
                    self.state = State::Flush(reason);
                }
                None => {
                    self.finish(&mut out, false).await;
                    self.over(Ended::Complete);
                }
            }
            if !out.is_empty() {
                return Some((Ok(out.freeze()), self));
            }
        }
    }

    /// One piece of the provider's stream.
    async fn piece(&mut self, piece: &Bytes, out: &mut BytesMut) {
        self.reading.saw(piece);
        let shown = match &mut self.hider {
            Some(hider) => hider.push(piece),
            None => piece.clone(),
        };
        let mut events = Vec::new();
        self.splitter
            .push(&shown, |event| events.push(Owned::of(&event)));
        self.state = State::Running;
        for event in &events {
            if let Err(fault) = self.event(event, out).await {
                self.refuse(&fault, out);
                return;
            }
        }
    }

    /// What was left at the end of the stream, then what policies held back.
    async fn finish(&mut self, out: &mut BytesMut, broke: bool) {
        let mut events = Vec::new();
        if let Some(hider) = self.hider.take() {
            self.splitter
                .push(&hider.rest(), |event| events.push(Owned::of(&event)));
        }
        std::mem::take(&mut self.splitter).finish(|event| events.push(Owned::of(&event)));
        for event in events.iter().filter(|_| !broke) {
            if let Err(fault) = self.event(event, out).await {
                self.refuse(&fault, out);
                return;
            }
        }
        match self.held().await {
            Ok(held) => self.make(&held, out),
            Err(fault) if !broke => {
                self.refuse(&fault, out);
                return;
            }
            Err(_) => {}
        }
        if let Some(view) = self.view.take() {
            out.extend_from_slice(&view.close());
        }
    }

    /// One event of the provider's stream, through all policies.
    async fn event(&mut self, event: &Owned, out: &mut BytesMut) -> Result<(), Fault> {
        let event = event.borrowed();
        let Some(view) = &mut self.view else {
            return Ok(());
        };
        let seen = view.decode(&event);
        let is_closing = view.is_closing();
        if is_closing && seen.iter().any(is_content) {
            self.reopen().await?;
        }
        let mut actions = Vec::with_capacity(seen.len());
        for part in &seen {
            actions.push(self.through(part.clone(), 0).await?);
        }
        // What goes on after an end ends once more.
        if is_closing && (!seen.iter().any(is_content) || seen.iter().any(is_end)) {
            let held = self.held().await?;
            if seen.is_empty() {
                self.make(&held, out);
            } else {
                put_before_end(held, &seen, &mut actions);
            }
        }
        let Some(view) = &mut self.view else {
            return Ok(());
        };
        match view.apply(&event, &seen, actions) {
            Output::Pass => out.extend_from_slice(event.raw),
            Output::Send(bytes) => out.extend_from_slice(&bytes),
        }
        Ok(())
    }

    /// Sends one part through the policies from the `first` on.
    async fn through(&mut self, part: Event, first: usize) -> Result<Action, Fault> {
        let (mut parts, mut changed) = (vec![part], false);
        for looker in self.lookers.iter_mut().skip(first) {
            let mut next = Vec::with_capacity(parts.len());
            for part in parts {
                match looker.push(&part).await? {
                    None => next.push(part),
                    Some(instead) => {
                        changed = true;
                        next.extend(instead);
                    }
                }
            }
            parts = next;
        }
        Ok(if changed {
            Action::Replace(parts)
        } else {
            Action::Keep
        })
    }

    /// The reply goes on after the event with which it seemed to close: one of several choices had
    /// ended, or the provider is odd. Whoever looked must see the rest too, as a stream of its own.
    async fn reopen(&mut self) -> Result<(), Fault> {
        let Some(open) = self.reading.open() else {
            return Ok(());
        };
        for looker in self.lookers.iter_mut().filter(|looker| looker.closed) {
            looker.closed = false;
            let version = &looker.binding.version;
            let summary = open.facts.summary();
            let policies = &open.worker.policies;
            let started = Instant::now();
            let called = || json!({ "call": record::value(&Called::of(&summary)) });
            looker.hook("events.open", called);
            let opened = policies.open_stream(version, &open.scope, &summary).await;
            looker.ran(started);
            looker.answered_with(&opened);
            match opened {
                Ok(stream) => looker.stream = stream,
                Err(failure) => looker.failed(failure)?,
            }
        }
        Ok(())
    }

    /// What the policies held back: what each did goes through the ones after it. A refusal of any of
    /// them ends the stream, as one in the middle does: it must not look whole without what was held
    /// back.
    async fn held(&mut self) -> Result<Vec<Event>, Fault> {
        let mut held = Vec::new();
        for at in 0..self.lookers.len() {
            let Some(looker) = self.lookers.get_mut(at) else {
                continue;
            };
            for part in looker.close().await? {
                match self.through(part.clone(), at + 1).await? {
                    Action::Keep => held.push(part),
                    Action::Replace(parts) => held.extend(parts),
                }
            }
        }
        Ok(held)
    }

    /// Sends events of the policies' own.
    fn make(&mut self, events: &[Event], out: &mut BytesMut) {
        if let Some(view) = self.view.as_mut().filter(|_| !events.is_empty()) {
            out.extend_from_slice(&view.make(events));
        }
    }

    /// A policy refused the rest of the stream.
    fn refuse(&mut self, fault: &Fault, out: &mut BytesMut) {
        if let Some(open) = self.reading.open() {
            open.worker.shared.metrics.faulted(open.call.id, fault);
            out.extend_from_slice(&stream_error(open.call.dialect, fault, open.call.id_text()));
            open.outcome.denied = Some(fault.code.clone());
        }
        self.over(Ended::Refused);
        self.state = State::Flush("a policy ended the stream".to_owned());
    }

    /// Writes down what the policies decided, and settles the call.
    fn over(&mut self, ended: Ended) {
        if let Some(open) = self.reading.open() {
            for looker in &self.lookers {
                if let Some(failure) = &looker.failure {
                    let (name, hook) = (&looker.binding.name, failure.hook.as_str());
                    let metrics = &open.worker.shared.metrics;
                    metrics.policy_failed(name, hook, failure.code(), failure);
                }
                open.decisions.push(looker.decision());
                open.answers.extend(looker.answered());
            }
        }
        self.reading.end(ended);
    }
}

/// Whether the reply itself is in it, rather than something about the reply.
/// Whether it is a part of the answer.
pub fn is_content(part: &Event) -> bool {
    matches!(
        part,
        Event::Text(_) | Event::Reasoning(_) | Event::ToolCall(_)
    )
}

/// Whether an answer ends with it.
pub fn is_end(part: &Event) -> bool {
    matches!(part, Event::Finish(_))
}

/// Puts what was held back behind the content of the event with which a reply closes, and ahead of
/// what says that it closes.
pub fn put_before_end(mut held: Vec<Event>, seen: &[Event], actions: &mut [Action]) {
    let end = seen.iter().zip(actions).find(|(part, _)| !is_content(part));
    let Some((part, action)) = end.filter(|_| !held.is_empty()) else {
        return;
    };
    match std::mem::replace(action, Action::Keep) {
        Action::Keep => held.push(part.clone()),
        Action::Replace(parts) => held.extend(parts),
    }
    *action = Action::Replace(held);
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.over(Ended::ClientClosed);
    }
}

impl Looker {
    /// What this policy makes of a part; none where it stays as it is.
    async fn push(&mut self, part: &Event) -> Result<Option<Vec<Event>>, Fault> {
        let Some(stream) = &mut self.stream else {
            return Ok(None);
        };
        let started = Instant::now();
        if let Some(tape) = &self.tape {
            tape.hook(
                "events.push",
                json!({ "event": shape::event(&neutral::shown(part)) }),
            );
        }
        let answer = stream.push(&neutral::shown(part)).await;
        self.ran(started);
        self.answered_with(&answer);
        let enforced = self.binding.mode == Mode::Enforce;
        match answer {
            Ok(Ok(action)) => {
                if self.binding.is_compared() {
                    format!("{action:?}").hash(&mut self.actions);
                }
                Ok(neutral::taken(action).filter(|_| enforced))
            }
            Ok(Err(denial)) => {
                self.binding.metrics.denied(Hook::Events as usize);
                self.verdict = Cow::Owned(format!("deny:{}", denial.code));
                self.stream = None;
                if enforced {
                    Err(refusal(denial))
                } else {
                    Ok(None)
                }
            }
            Err(failure) => self.failed(failure).map(|()| None),
        }
    }

    /// The policy failed: the rest of the stream goes on without it, or not at all.
    fn failed(&mut self, failure: Failure) -> Result<(), Fault> {
        self.stream = None;
        self.verdict = Cow::Owned(format!("failed:{}", failure.code()));
        let enforced = self.binding.mode == Mode::Enforce;
        let denies = enforced && self.binding.on_failure == OnFailure::Deny;
        let fault = denies.then(|| super::hook::failure_fault(&self.binding, &failure));
        self.failure = Some(failure);
        fault.map_or(Ok(()), Err)
    }

    /// The stream is over for this policy: what it held back.
    async fn close(&mut self) -> Result<Vec<Event>, Fault> {
        let Some(stream) = self.stream.take() else {
            return Ok(Vec::new());
        };
        let started = Instant::now();
        self.hook("events.close", || json!({}));
        let held = stream.close().await;
        self.ran(started);
        self.answered_with(&held);
        self.closed = held.is_ok();
        match held {
            Ok(held) if self.binding.mode == Mode::Enforce => {
                Ok(held.into_iter().map(neutral::made).collect())
            }
            Ok(_) => Ok(Vec::new()),
            Err(failure) => self.failed(failure).map(|()| Vec::new()),
        }
    }

    /// Takes down what is called, where that is wanted.
    fn hook(&self, hook: &str, given: impl FnOnce() -> Value) {
        if let Some(tape) = &self.tape {
            tape.hook(hook, given());
        }
    }

    fn answered_with(&self, answer: &impl Verdict) {
        if let Some(tape) = &self.tape {
            tape.answered(&answer.verdict());
        }
    }

    fn ran(&mut self, started: Instant) {
        let elapsed = started.elapsed();
        self.spent += elapsed;
        self.binding.metrics.ran(Hook::Events as usize, elapsed);
    }

    /// What it made of all events, where that is compared.
    fn answered(&self) -> Option<(Arc<Trial>, Answered)> {
        let (trial, part) = self.binding.trial.as_ref()?;
        let answered = Answered {
            part: *part,
            hook: Hook::Events,
            hash: self.actions.finish(),
        };
        Some((Arc::clone(trial), answered))
    }

    /// One line for the whole stream.
    fn decision(&self) -> Decision {
        let micros = u32::try_from(self.spent.as_micros()).unwrap_or(u32::MAX);
        self.binding
            .decision(Hook::Events, micros, self.verdict.clone())
    }
}

/// An event that outlives the piece it came in, because policies are asked about it.
struct Owned {
    kind: sse::Kind,
    name: Option<String>,
    data: Vec<u8>,
    raw: Vec<u8>,
}

impl Owned {
    fn of(event: &sse::Event<'_>) -> Self {
        Self {
            kind: event.kind,
            name: event.name.map(str::to_owned),
            data: event.data.to_vec(),
            raw: event.raw.to_vec(),
        }
    }

    fn borrowed(&self) -> sse::Event<'_> {
        sse::Event {
            kind: self.kind,
            name: self.name.as_deref(),
            data: &self.data,
            raw: &self.raw,
        }
    }
}

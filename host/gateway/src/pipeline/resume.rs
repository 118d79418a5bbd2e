//! Going on with a stream that broke off after its first words, where channels allow it (`prefill`).
//!
//! Part of relay, and only where it is switched on. The stream is read event by event, so that no part
//! of one has gone out when it breaks; then another attempt is asked for the rest of the answer, and its
//! stream goes on where the first one stopped: no word is said twice, nothing is sent twice after
//! the answer has ended. Where that is not possible, the stream ends as any that breaks.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::Response;
use weir_base::Usage;
use weir_store::Ended;
use weir_wire::Dialect;
use weir_wire::events::{Action, Event, Output, TextDelta, View};
use weir_wire::opening::{Said, said};
use weir_wire::prefill::{self, Fitted, Form, Join};
use weir_wire::sse::{self, Splitter};

use super::attempt::{self, Reply};
use super::body::{Broken, ReplyBody};
use super::look::Pieces;
use super::open::{Open, Resumed};
use super::relay::{self, Reading, UsageHider};
use super::worker::Worker;
use super::{settle, target};

/// Most bytes of an answer that are kept to be gone on with.
const SAID_MAX_BYTES: usize = 1 << 20;

/// Whether the reply of this call, a stream, is to be gone on with should it break off.
pub fn may(open: &Open) -> bool {
    use Dialect::{AnthropicMessages, GeminiGenerate, OpenaiChat};
    let speaks = matches!(
        open.call.dialect,
        AnthropicMessages | GeminiGenerate | OpenaiChat
    );
    open.may_go_on && speaks
}

/// Sends a stream that may be gone on with.
pub fn events(worker: &Rc<Worker>, mut open: Box<Open>, reply: Reply) -> Response<ReplyBody> {
    let (dialect, id) = (open.call.dialect, open.call.id_header.clone());
    let (pieces, hides_usage) = Pieces::in_call(&mut open, reply.source);
    let left = open.call.snapshot.config.retry.continuations_max;
    let going = Going {
        worker: Rc::clone(worker),
        reading: Reading::new(open, true),
        pieces,
        hider: hides_usage.then(UsageHider::default),
        splitter: Splitter::new(),
        follow: Follow {
            dialect,
            view: View::new(dialect),
            said: String::new(),
            may_go_on: true,
            over: false,
            join: None,
            before: Usage::default(),
            failed: None,
        },
        left,
        state: State::Running,
    };
    let body = ReplyBody::made(stream::unfold(going, Going::next));
    let headers = target::reply_headers(reply.headers, false);
    relay::response(reply.status, headers, dialect.family(), &id, body)
}

enum State {
    Running,
    /// It broke off, for this reason; what came before is out.
    Broke(Break),
    /// An error event was handed out: let it leave, then cut.
    Flush(String),
    Over,
}

/// How a stream breaks off.
enum Break {
    /// The connection did, or nothing came for too long.
    Off(String),
    /// It says so in an event: these bytes.
    Said(Vec<u8>),
    /// It ended, and its answer had not.
    Early,
    /// It says again what was said.
    Again,
}

/// A stream on its way.
struct Going {
    worker: Rc<Worker>,
    reading: Reading,
    pieces: Pieces,
    hider: Option<UsageHider>,
    splitter: Splitter,
    follow: Follow,
    /// Times that it may still be gone on with.
    left: u32,
    state: State,
}

impl Going {
    /// The next bytes for the caller.
    async fn next(mut self) -> Option<(Result<Bytes, Broken>, Self)> {
        loop {
            let mut out = BytesMut::new();
            match std::mem::replace(&mut self.state, State::Running) {
                State::Over => return None,
                State::Flush(reason) => {
                    tokio::task::yield_now().await;
                    self.state = State::Over;
                    return Some((Err(Broken(reason)), self));
                }
                State::Broke(how) => {
                    if !self.go_on(&how).await {
                        self.end_broken(how, &mut out);
                    }
                }
                State::Running => match self.pieces.next(self.reading.open()).await {
                    Some(Ok(piece)) => self.piece(&piece, &mut out),
                    Some(Err(reason)) => self.state = State::Broke(Break::Off(reason)),
                    None => self.ended(&mut out),
                },
            }
            if !out.is_empty() {
                return Some((Ok(out.freeze()), self));
            }
        }
    }

    fn piece(&mut self, piece: &Bytes, out: &mut BytesMut) {
        self.reading.saw(piece);
        let shown = match &mut self.hider {
            Some(hider) => hider.push(piece),
            None => piece.clone(),
        };
        let follow = &mut self.follow;
        self.splitter
            .push(&shown, |event| follow.event(&event, out));
        if let Some(how) = self.follow.failed.take() {
            self.state = State::Broke(how);
        }
    }

    /// The provider's stream came to its end, whether or not its answer did.
    fn ended(&mut self, out: &mut BytesMut) {
        if self.may_still() {
            self.state = State::Broke(Break::Early);
            return;
        }
        if let Some(hider) = self.hider.take() {
            let follow = &mut self.follow;
            self.splitter
                .push(&hider.rest(), |event| follow.event(&event, out));
        }
        let follow = &mut self.follow;
        std::mem::take(&mut self.splitter).finish(|event| follow.event(&event, out));
        follow.close(out);
        self.reading.end(Ended::Complete);
        self.state = State::Over;
    }

    fn may_still(&self) -> bool {
        self.left > 0 && self.follow.may_go_on && !self.follow.over
    }

    /// Asks for the rest. False where that cannot be, or nobody has it.
    async fn go_on(&mut self, how: &Break) -> bool {
        if !self.may_still() || matches!(how, Break::Again) {
            return false;
        }
        let may_be_asked = self.reading.open().is_some_and(|open| {
            let request = open.call.request();
            prefill::may_go_on(open.call.dialect, &request.body)
        });
        let Some(mut open) = may_be_asked.then(|| self.reading.pause()).flatten() else {
            return false;
        };
        self.left -= 1;
        write_down(&mut open, &self.follow.said);
        // From here on the call is in this future's hands: dropped, it is settled as one whose caller
        // went away.
        let reply = attempt::go_on(&self.worker, &mut open).await;
        self.worker.shared.metrics.continued(reply.is_some());
        let went_on = reply.is_some();
        if let Some(reply) = reply {
            let (pieces, hides_usage) = Pieces::in_call(&mut open, reply.source);
            self.pieces = pieces;
            self.hider = hides_usage.then(UsageHider::default);
            self.splitter = Splitter::new();
            let form = open.outcome.channel.as_ref();
            let form = form.and_then(|channel| channel.prefill);
            let before = open.resumed.as_ref().map(|resumed| resumed.used);
            self.follow.resume(form, before.unwrap_or_default());
        } else {
            // The attempts that failed used nothing that anybody told.
            open.outcome.usage = Some(Usage::default());
            open.outcome.usage_is_final = true;
        }
        self.reading.go_on(open, went_on);
        went_on
    }

    /// Ends a stream that nobody goes on with.
    fn end_broken(&mut self, how: Break, out: &mut BytesMut) {
        self.follow.may_go_on = false;
        let reason = match how {
            Break::Off(reason) => reason,
            // In the provider's own words, and as far as it goes on behind them. Where its body was let
            // go of, that is the end.
            Break::Said(event) => {
                self.follow.close(out);
                out.extend_from_slice(&event);
                if self
                    .reading
                    .open()
                    .is_some_and(|open| open.upstream.is_none())
                {
                    self.reading.end(Ended::UpstreamBroke);
                    self.state = State::Flush("the provider gave up".to_owned());
                }
                return;
            }
            Break::Early => "it ended before its answer did".to_owned(),
            Break::Again => "its rest began anew".to_owned(),
        };
        self.follow.close(out);
        if let Some(open) = self.reading.open() {
            out.extend_from_slice(&relay::broken_event(open, &reason));
        }
        self.reading.end(Ended::UpstreamBroke);
        self.state = State::Flush(reason);
    }
}

/// The attempt whose reply broke off is over: what it used goes to its key and the ledger.
fn write_down(open: &mut Open, said: &str) {
    attempt::broke_later(open);
    open.upstream = None;
    let used = settle::used_until_broken(open);
    if let Some(row) = open.attempts.last_mut() {
        row.failure = Some("broken_stream".into());
        row.more.get_or_insert_default().usage = Some(used);
    }
    let resumed: &mut Resumed = open.resumed.get_or_insert_default();
    resumed.said.clear();
    resumed.said.push_str(said);
    resumed.used = resumed.used.plus(&used);
    resumed.said_tokens = resumed.used.output_tokens;
}

/// What is known of the answer so far, and how its events go out.
struct Follow {
    dialect: Dialect,
    view: Option<View>,
    /// The text that the caller has.
    said: String,
    /// It is only text, and not too much.
    may_go_on: bool,
    /// The answer has ended, whatever else may come.
    over: bool,
    /// Set while another provider goes on.
    join: Option<Join>,
    /// What the attempts before that used.
    before: Usage,
    /// It broke off in the midst of a piece.
    failed: Option<Break>,
}

impl Follow {
    fn event(&mut self, event: &sse::Event<'_>, out: &mut BytesMut) {
        match &mut self.failed {
            None => {}
            Some(Break::Said(rest)) => return rest.extend_from_slice(event.raw),
            Some(_) => return,
        }
        let watches = self.may_go_on && !self.over;
        if watches && said(self.dialect, event) == Said::Failure {
            self.failed = Some(Break::Said(event.raw.to_vec()));
            return;
        }
        let Some(mut view) = self.view.take() else {
            return out.extend_from_slice(event.raw);
        };
        let parts = view.decode(event);
        let mut actions = Vec::with_capacity(parts.len());
        actions.extend(parts.iter().map(|part| self.part(part)));
        self.over |= view.is_closing();
        if self.failed.is_none() {
            match view.apply(event, &parts, actions) {
                Output::Pass => out.extend_from_slice(event.raw),
                Output::Send(bytes) => out.extend_from_slice(&bytes),
            }
        }
        self.view = Some(view);
    }

    fn part(&mut self, part: &Event) -> Action {
        match (part, &mut self.join) {
            (Event::Text(delta), None) if delta.choice == 0 => self.say(&delta.text),
            (Event::Text(delta), Some(join)) if delta.choice == 0 => match join.push(&delta.text) {
                Fitted::New(text) => {
                    self.say(&text);
                    if text == delta.text {
                        return Action::Keep;
                    }
                    let new = (!text.is_empty()).then(|| text_event(text));
                    return Action::Replace(new.into_iter().collect());
                }
                Fitted::Again => self.failed = Some(Break::Again),
            },
            (Event::Usage(usage), Some(_)) => {
                return Action::Replace(vec![Event::Usage(usage.plus(&self.before))]);
            }
            (Event::Finish(_), Some(join)) => {
                let rest = join.rest();
                if !rest.is_empty() {
                    return Action::Replace(vec![text_event(rest), part.clone()]);
                }
            }
            (Event::Usage(_) | Event::Finish(_), None) => {}
            _ => self.may_go_on = false,
        }
        Action::Keep
    }

    fn say(&mut self, text: &str) {
        if self.said.len() + text.len() > SAID_MAX_BYTES {
            self.may_go_on = false;
        } else {
            self.said.push_str(text);
        }
    }

    /// From now on another provider goes on. `before`: what the attempts before it used.
    fn resume(&mut self, form: Option<Form>, before: Usage) {
        if let Some(view) = &mut self.view {
            view.resume();
        }
        self.join = Some(Join::new(&self.said, form.unwrap_or(Form::Plain)));
        self.before = before;
    }

    /// What the view held back.
    fn close(&mut self, out: &mut BytesMut) {
        if let Some(view) = self.view.take() {
            out.extend_from_slice(&view.close());
        }
    }
}

fn text_event(text: String) -> Event {
    Event::Text(TextDelta { choice: 0, text })
}

//! The beginning of a reply, held back until there is something in it.
//!
//! As long as nothing has gone to the caller, another attempt can take over unseen. So a stream
//! waits for its first words (what comes before is ceremony), and a whole reply for its end, where
//! it is small and comes soon; both within bounds of time and bytes, after which what is there goes
//! out. A whole reply is judged by its first and last byte: that finds pages and halves for nothing,
//! and a tree of every reply would cost more than the rest of the call.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use weir_base::Operation;
use weir_upstream::Body as UpstreamBody;
use weir_wire::Dialect;
use weir_wire::opening::{Said, said};
use weir_wire::sse::Splitter;

use super::failure::Failed;
use super::unheard::Unheard;
use crate::pipeline::call::Call;
use crate::pipeline::relay::poll_data;

/// Pieces that are held as they came. Nearly every reply has something in the first or second.
const PIECES_MAX: usize = 4;
/// Bytes of a piece that are looked at first: an answer's first words are near its beginning.
const LOOK_BYTES: usize = 4_096;
/// Bytes of a provider's error event that are told on.
const TOLD_BYTES: usize = 300;

/// Pieces of a reply that have not been handed on yet.
#[derive(Debug, Default)]
pub struct Held {
    pieces: [Bytes; PIECES_MAX],
    /// Bytes in all of them.
    bytes: usize,
}

impl Held {
    fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        self.bytes += piece.len();
        let free = self.pieces.iter().position(Bytes::is_empty);
        if let Some(slot) = free.and_then(|at| self.pieces.get_mut(at)) {
            *slot = piece;
            return;
        }
        let mut all = BytesMut::with_capacity(self.bytes * 2);
        for piece in &mut self.pieces {
            all.extend_from_slice(&std::mem::take(piece));
        }
        all.extend_from_slice(&piece);
        if let Some(first) = self.pieces.first_mut() {
            *first = all.freeze();
        }
    }

    /// The next piece, in order.
    pub fn pop(&mut self) -> Option<Bytes> {
        let piece = self.pieces.iter_mut().find(|piece| !piece.is_empty())?;
        self.bytes -= piece.len();
        Some(std::mem::take(piece))
    }

    /// Whether all of it was handed on.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// What came first; where it came in several pieces, they are joined.
    pub fn beginning(&mut self) -> &[u8] {
        if self.pieces.get(1).is_some_and(|second| !second.is_empty()) {
            let mut all = BytesMut::with_capacity(self.bytes);
            for piece in &mut self.pieces {
                all.extend_from_slice(&std::mem::take(piece));
            }
            if let Some(first) = self.pieces.first_mut() {
                *first = all.freeze();
            }
        }
        self.pieces.first().map_or(&[], |first| first)
    }

    fn first_byte(&self) -> Option<u8> {
        let mut bytes = self.pieces.iter().flatten();
        bytes
            .find(|byte| !byte.is_ascii_whitespace() && !b"\xEF\xBB\xBF".contains(byte))
            .copied()
    }

    fn last_byte(&self) -> Option<u8> {
        let mut bytes = self
            .pieces
            .iter()
            .rev()
            .flat_map(|piece| piece.iter().rev());
        bytes.find(|byte| !byte.is_ascii_whitespace()).copied()
    }
}

/// What a reply should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A stream of events: held until it says something.
    Events(Dialect),
    /// One JSON value: held until its end.
    Whole,
    /// JSON in pieces: held until it begins.
    Begun,
    /// Anything.
    Anything,
}

/// What a reply with this head should be.
pub fn expected(
    call: &Call,
    streaming: bool,
    status: u16,
    headers: &HeaderMap,
) -> Result<Expected, Failed> {
    if !(200..300).contains(&status) || status == 204 || call.method == http::Method::HEAD {
        return Ok(Expected::Anything);
    }
    use Operation::{Chat, Completion, CountTokens, Embedding, Moderation, Rerank};
    let speaks = matches!(
        call.operation,
        Chat | Completion | Embedding | Moderation | Rerank | CountTokens
    );
    let kind = headers
        .get(CONTENT_TYPE)
        .map_or(&b""[..], |value| value.as_bytes());
    let is = |word: &[u8]| {
        kind.windows(word.len())
            .any(|part| part.eq_ignore_ascii_case(word))
    };
    Ok(if is(b"event-stream") {
        Expected::Events(call.dialect)
    } else if is(b"json") && !is(b"jsonl") && !is(b"ndjson") {
        if streaming {
            Expected::Begun
        } else {
            Expected::Whole
        }
    } else if !speaks {
        Expected::Anything
    } else if is(b"html") || is(b"xml") {
        let kind = String::from_utf8_lossy(kind).into_owned();
        return Err(Failed::Wrong(format!("its type is {kind}")));
    } else if streaming {
        Expected::Begun
    } else {
        Expected::Whole
    })
}

/// How long and how much may be held.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// When the try began.
    pub began: Instant,
    /// Milliseconds from then until something must have come.
    pub first_byte_ms: u64,
    /// Milliseconds that the ceremony of a stream may be held; 0 where nothing is.
    pub hold_ms: u64,
    /// Milliseconds without a piece after which a reply has broken off.
    pub idle_ms: u64,
    /// Bytes that may be held.
    pub max_bytes: usize,
}

enum Next {
    Piece(Bytes),
    End,
    Broke(String),
    /// The time is over, and the body is still good.
    Waited,
}

/// Reads the beginning of a reply. What was read of a stream that is given up goes to `unheard`.
pub async fn begin(
    body: &mut UpstreamBody,
    expected: Expected,
    bounds: Bounds,
    unheard: &Unheard,
) -> Result<Held, Failed> {
    if expected == Expected::Anything {
        return Ok(Held::default());
    }
    let mut splitter = Splitter::with_max_event_bytes(bounds.max_bytes.max(LOOK_BYTES));
    let is_stream = matches!(expected, Expected::Events(_));
    let mut waits = Waits::No;
    let mut holding = Holding {
        held: Held::default(),
        began: bounds.began,
        unheard: is_stream.then_some(unheard),
    };
    let held = &mut holding.held;
    loop {
        match next(body, &mut waits, held, is_stream, bounds).await {
            Next::Piece(piece) => {
                let goes = match expected {
                    Expected::Events(dialect) => speaks(dialect, &mut splitter, &piece),
                    Expected::Whole | Expected::Begun | Expected::Anything => Ok(false),
                };
                held.push(piece);
                let goes = goes?;
                let begun = expected == Expected::Begun && begins_well(held)?;
                if goes || begun || held.bytes > bounds.max_bytes {
                    break;
                }
            }
            Next::Broke(problem) => return Err(Failed::Reply(problem)),
            Next::Waited if held.is_empty() => return Err(Failed::Silent),
            Next::Waited => break,
            Next::End => {
                ended(expected, held)?;
                break;
            }
        }
    }
    if waits != Waits::No {
        body.wait_as_usual();
    }
    Ok(std::mem::take(held))
}

/// What is held while a stream begins. Dropped before it is handed on, it was given up, by whoever
/// waits for it or because it failed: what its provider said of its tokens is still worth knowing.
struct Holding<'u> {
    held: Held,
    began: Instant,
    unheard: Option<&'u Unheard>,
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        if let Some(unheard) = self.unheard.filter(|_| !self.held.is_empty()) {
            unheard.keep(self.began, std::mem::take(&mut self.held));
        }
    }
}

/// What is being waited for.
#[derive(PartialEq, Eq)]
enum Waits {
    No,
    First,
    More,
}

async fn next(
    body: &mut UpstreamBody,
    waits: &mut Waits,
    held: &Held,
    is_stream: bool,
    bounds: Bounds,
) -> Next {
    poll_fn(|cx| match poll_data(body, cx) {
        Poll::Ready(Some(Ok(piece))) => Poll::Ready(Next::Piece(piece)),
        Poll::Ready(Some(Err(problem))) => Poll::Ready(Next::Broke(problem)),
        Poll::Ready(None) => Poll::Ready(Next::End),
        // Only now is there anything to wait for; most replies come in one piece with their head.
        Poll::Pending => {
            if held.is_empty() && *waits == Waits::No {
                *waits = Waits::First;
                let gone_ms = u64::try_from(bounds.began.elapsed().as_millis()).unwrap_or(u64::MAX);
                body.wait_at_most(bounds.first_byte_ms.saturating_sub(gone_ms));
            } else if !held.is_empty() && *waits != Waits::More {
                *waits = Waits::More;
                // Half a JSON value is of use to nobody: only the usual pause ends the wait for the
                // rest. The ceremony of a stream shows that somebody is there, so it goes out.
                if is_stream && bounds.hold_ms < bounds.idle_ms {
                    body.wait_at_most(bounds.hold_ms);
                } else {
                    body.wait_as_usual();
                }
            }
            body.poll_waited(cx).map(|()| Next::Waited)
        }
    })
    .await
}

/// Whether a stream says something in this piece.
fn speaks(dialect: Dialect, splitter: &mut Splitter, piece: &Bytes) -> Result<bool, Failed> {
    let (head, tail) = piece.split_at_checked(LOOK_BYTES).unwrap_or((piece, &[]));
    for part in [head, tail] {
        let (mut speaks, mut failure) = (false, None);
        splitter.push(part, |event| {
            if speaks || failure.is_some() {
                return;
            }
            match said(dialect, &event) {
                Said::Opening => {}
                Said::Content => speaks = true,
                Said::Failure => {
                    let told = event.data.get(..TOLD_BYTES).unwrap_or(event.data);
                    failure = Some(String::from_utf8_lossy(told).into_owned());
                }
            }
        });
        if let Some(failure) = failure {
            return Err(Failed::ErrorEvent(failure));
        }
        if speaks {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether JSON, or events under another name, have begun.
fn begins_well(held: &Held) -> Result<bool, Failed> {
    match held.first_byte() {
        None => Ok(false),
        Some(b'{' | b'[' | b':' | b'd' | b'e' | b'i' | b'r') => Ok(true),
        Some(_) => Err(not_json()),
    }
}

/// A reply that came to its end while it was held.
fn ended(expected: Expected, held: &Held) -> Result<(), Failed> {
    match expected {
        Expected::Events(_) => Err(Failed::Reply("it ended before it said anything".to_owned())),
        Expected::Anything => Ok(()),
        Expected::Whole | Expected::Begun => match (held.first_byte(), held.last_byte()) {
            (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) => Ok(()),
            (None, _) => Err(Failed::Wrong("its body is empty".to_owned())),
            (Some(b'{' | b'['), _) => Err(Failed::Wrong("it ends in the middle".to_owned())),
            _ => Err(not_json()),
        },
    }
}

fn not_json() -> Failed {
    Failed::Wrong("its body is not JSON".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&'static str]) -> Held {
        let mut held = Held::default();
        for piece in pieces {
            held.push(Bytes::from_static(piece.as_bytes()));
        }
        held
    }

    #[test]
    fn pieces_come_out_as_they_came_however_many() {
        let pieces = ["a", "bc", "", "d", "ef", "g", "h"];
        for count in 0..=pieces.len() {
            let mut held = of(&pieces[..count]);
            let mut out = Vec::new();
            while let Some(piece) = held.pop() {
                out.extend_from_slice(&piece);
            }
            assert_eq!(out, pieces[..count].concat().as_bytes());
            assert!(held.is_empty());
            let mut held = of(&pieces[..count]);
            assert_eq!(held.beginning(), pieces[..count].concat().as_bytes());
        }
    }

    #[test]
    fn halves_and_pages_are_no_replies() {
        let judged = |pieces: &[&'static str]| ended(Expected::Whole, &of(pieces)).is_ok();
        assert!(judged(&["\n {\"a\":", " 1}\n"]));
        assert!(judged(&["[]"]));
        assert!(!judged(&["{\"a\": \"b"]));
        assert!(!judged(&["<html></html>"]));
        assert!(!judged(&["  \n"]));
    }
}

//! Server-sent events, split on the bytes as they arrive.
//!
//! Every byte of the stream belongs to exactly one [`Event`], in order, so that a relay which
//! forwards every `raw` forwards the stream. An event that lies in one chunk is borrowed from it;
//! only one that is cut by a chunk's end is copied. How the stream is cut changes nothing about
//! which events come out (beyond the pieces of one that is too big).

use memchr::memchr2;

/// An event larger than this many bytes is passed on unread, unless the splitter was told otherwise.
pub const DEFAULT_MAX_EVENT_BYTES: usize = 4 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What a reader should make of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Carries data.
    Message,
    /// Comments, keep-alive blank lines, fields without data: nothing to read, still to be passed on.
    Silent,
    /// A piece of an event that is larger than the bound. Its `data` is empty.
    Opaque,
}

/// One event, or one piece of an oversized one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// What it is.
    pub kind: Kind,
    /// The value of the last `event:` line. None where there is none or it is not UTF-8.
    pub name: Option<&'a str>,
    /// The `data:` lines, joined by line feeds.
    pub data: &'a [u8],
    /// The bytes of the stream that make this event, its closing blank line included.
    pub raw: &'a [u8],
}

/// Splits a stream into events. Holds at most one event's bytes, and never more than its bound.
#[derive(Debug)]
pub struct Splitter {
    max_event_bytes: usize,
    /// The beginning of an event whose end has not come yet.
    carry: Vec<u8>,
    /// What is known of the event in `carry`.
    block: Block,
    /// Set while the rest of an oversized event goes by.
    opaque: Option<OpaqueLine>,
    /// The first line of a stream may begin with a byte order mark.
    at_stream_start: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new()
    }
}

impl Splitter {
    /// A splitter with the default bound.
    pub fn new() -> Self {
        Self::with_max_event_bytes(DEFAULT_MAX_EVENT_BYTES)
    }

    /// A splitter that reads no event larger than `max_event_bytes`, and never holds more than that.
    pub fn with_max_event_bytes(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            carry: Vec::new(),
            block: Block::default(),
            opaque: None,
            at_stream_start: true,
        }
    }

    /// True while bytes are held that belong to an event whose end has not come yet.
    pub fn is_mid_event(&self) -> bool {
        !self.carry.is_empty() || self.opaque.is_some()
    }

    /// Takes the next bytes of the stream and hands every event that they complete to `each`.
    pub fn push(&mut self, chunk: &[u8], mut each: impl FnMut(Event<'_>)) {
        let mut rest = chunk;
        while !rest.is_empty() {
            rest = if self.opaque.is_some() {
                self.push_opaque(rest, &mut each)
            } else if self.carry.is_empty() {
                self.push_direct(rest, &mut each)
            } else {
                self.push_carried(rest, &mut each)
            };
        }
    }

    /// Ends the stream: what is left counts as an event, closed or not. Some providers leave out
    /// the last blank line; a reader that must tell a cut stream looks for the dialect's own end.
    pub fn finish(mut self, mut each: impl FnMut(Event<'_>)) {
        if self.carry.is_empty() {
            return;
        }
        if self.carry.len() > self.max_event_bytes {
            return each(opaque(&self.carry));
        }
        let mut block = self.block;
        block.finish(&self.carry, self.at_stream_start);
        emit(&block, &self.carry, &mut self.at_stream_start, &mut each);
    }

    /// Events that lie in the chunk as a whole. What is left of it goes to `carry`.
    fn push_direct<'a>(&mut self, chunk: &'a [u8], each: &mut impl FnMut(Event<'_>)) -> &'a [u8] {
        let mut rest = chunk;
        loop {
            while let Some((data, raw, after)) = one_line(rest, self.max_event_bytes) {
                self.at_stream_start = false;
                each(Event {
                    kind: Kind::Message,
                    name: None,
                    data,
                    raw,
                });
                rest = after;
            }
            if rest.is_empty() {
                return rest;
            }
            let mut block = Block::default();
            let Some((raw, after)) = block
                .scan(rest, None, self.at_stream_start)
                .and_then(|end| rest.split_at_checked(end))
            else {
                self.block = block;
                self.hold(rest, each);
                return &[];
            };
            if raw.len() > self.max_event_bytes {
                each(opaque(raw));
                self.at_stream_start = false;
            } else {
                emit(&block, raw, &mut self.at_stream_start, each);
            }
            rest = after;
            if rest.is_empty() {
                return rest;
            }
        }
    }

    /// Completes the event in `carry`, line by line, so that no byte beyond it is copied.
    fn push_carried<'a>(&mut self, chunk: &'a [u8], each: &mut impl FnMut(Event<'_>)) -> &'a [u8] {
        let mut rest = chunk;
        // A carriage return at the end of `carry` waits for the byte after it.
        let mut waits_for_lf = self.carry.last() == Some(&b'\r') && rest.first() == Some(&b'\n');
        let mut take = usize::from(waits_for_lf);
        loop {
            let (head, after) = rest.split_at_checked(take).unwrap_or((rest, &[]));
            // The line feed of a pair is let in, so that the event ends before it is given up.
            let over = self.carry.len() + head.len() > self.max_event_bytes;
            if over && !std::mem::take(&mut waits_for_lf) {
                self.go_opaque(each);
                return rest;
            }
            waits_for_lf = false;
            self.carry.extend_from_slice(head);
            rest = after;
            let end = self
                .block
                .scan(&self.carry, rest.first().copied(), self.at_stream_start);
            if end.is_some() {
                let block = std::mem::take(&mut self.block);
                if self.carry.len() > self.max_event_bytes {
                    each(opaque(&self.carry));
                    self.at_stream_start = false;
                } else {
                    emit(&block, &self.carry, &mut self.at_stream_start, each);
                }
                self.carry.clear();
                return rest;
            }
            if rest.is_empty() {
                return rest;
            }
            take = line_len(rest);
        }
    }

    /// Keeps the beginning of an event, or gives it up where it is too big already.
    fn hold(&mut self, part: &[u8], each: &mut impl FnMut(Event<'_>)) {
        self.carry.extend_from_slice(part);
        if self.carry.len() > self.max_event_bytes {
            self.go_opaque(each);
        }
    }

    fn go_opaque(&mut self, each: &mut impl FnMut(Event<'_>)) {
        each(opaque(&self.carry));
        let after_cr = self.carry.last() == Some(&b'\r');
        self.opaque = Some(OpaqueLine {
            at_line_start: matches!(self.carry.last(), Some(b'\n' | b'\r')),
            after_cr,
            ended_by_cr: after_cr && self.block.line_start + 1 == self.carry.len(),
        });
        // The buffer of an oversized event is given back, not kept for the stream's life.
        self.carry = Vec::new();
        self.block = Block::default();
        self.at_stream_start = false;
    }

    fn push_opaque<'a>(&mut self, chunk: &'a [u8], each: &mut impl FnMut(Event<'_>)) -> &'a [u8] {
        let Some(mut line) = self.opaque.take() else {
            return chunk;
        };
        let (taken, ended) = line.skip(chunk);
        if !ended {
            self.opaque = Some(line);
        }
        let (raw, rest) = chunk.split_at_checked(taken).unwrap_or((chunk, &[]));
        if !raw.is_empty() {
            each(opaque(raw));
        }
        rest
    }
}

/// The event that nearly all are: one `data:` line and an empty one, ended by line feeds. Returns
/// its data, its bytes, and what follows. Everything else is left to [`Block`].
fn one_line(bytes: &[u8], max_event_bytes: usize) -> Option<(&[u8], &[u8], &[u8])> {
    let value = bytes.strip_prefix(b"data:")?;
    let end = memchr2(b'\n', b'\r', value)?;
    let (line, after) = value.split_at_checked(end)?;
    let after = after.strip_prefix(b"\n\n")?;
    let raw = bytes
        .get(..bytes.len() - after.len())
        .filter(|raw| raw.len() <= max_event_bytes)?;
    Some((line.strip_prefix(b" ").unwrap_or(line), raw, after))
}

fn opaque(raw: &[u8]) -> Event<'_> {
    Event {
        kind: Kind::Opaque,
        name: None,
        data: &[],
        raw,
    }
}

/// Bytes up to and including the next line end, or all of them. A carriage return and the line feed
/// behind it stay together.
fn line_len(bytes: &[u8]) -> usize {
    match memchr2(b'\n', b'\r', bytes) {
        None => bytes.len(),
        Some(at) => {
            at + if bytes.get(at..at + 2) == Some(b"\r\n") {
                2
            } else {
                1
            }
        }
    }
}

fn emit(block: &Block, raw: &[u8], at_stream_start: &mut bool, each: &mut impl FnMut(Event<'_>)) {
    let had_mark = std::mem::take(at_stream_start);
    let name = block
        .name
        .and_then(|(from, to)| raw.get(from..to))
        .and_then(|name| std::str::from_utf8(name).ok());
    match block.data {
        Data::None => each(Event {
            kind: Kind::Silent,
            name,
            data: &[],
            raw,
        }),
        Data::One(from, to) => {
            let data = raw.get(from..to).unwrap_or(&[]);
            each(Event {
                kind: Kind::Message,
                name,
                data,
                raw,
            });
        }
        Data::Several => {
            let joined = join_data(raw, had_mark);
            each(Event {
                kind: Kind::Message,
                name,
                data: &joined,
                raw,
            });
        }
    }
}

/// The rare event with more than one `data:` line.
fn join_data(raw: &[u8], at_stream_start: bool) -> Vec<u8> {
    let mut joined = Vec::with_capacity(raw.len());
    let mut block = Block::default();
    let mut rest = if at_stream_start {
        raw.strip_prefix(BYTE_ORDER_MARK).unwrap_or(raw)
    } else {
        raw
    };
    let mut first = true;
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(line_len(rest)).unwrap_or((rest, &[]));
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        block.data = Data::None;
        block.field(text, 0);
        if let Data::One(from, to) = block.data {
            if !first {
                joined.push(b'\n');
            }
            first = false;
            joined.extend_from_slice(text.get(from..to).unwrap_or(&[]));
        }
        rest = after;
    }
    joined
}

/// What has been seen of one event so far. Offsets are from its first byte, so that they stay true
/// when the event moves to the carry buffer.
#[derive(Debug, Default, Clone)]
struct Block {
    line_start: usize,
    /// No line end lies between `line_start` and here.
    searched: usize,
    name: Option<(usize, usize)>,
    data: Data,
}

#[derive(Debug, Default, Clone, Copy)]
enum Data {
    #[default]
    None,
    One(usize, usize),
    Several,
}

impl Block {
    /// Reads on to the blank line and returns the offset behind it. `next` is the byte after `bytes`,
    /// where it is known: a last carriage return cannot be judged without it.
    fn scan(&mut self, bytes: &[u8], next: Option<u8>, at_stream_start: bool) -> Option<usize> {
        loop {
            let unread = bytes.get(self.searched..)?;
            let Some(found) = memchr2(b'\n', b'\r', unread) else {
                self.searched = bytes.len();
                return None;
            };
            let end = self.searched + found;
            let after = if bytes.get(end) == Some(&b'\r') {
                match bytes.get(end + 1).copied().or(next) {
                    Some(b'\n') if end + 1 < bytes.len() => end + 2,
                    Some(b'\n') | None => {
                        self.searched = end;
                        return None;
                    }
                    Some(_) => end + 1,
                }
            } else {
                end + 1
            };
            if self.line(bytes, end, at_stream_start) {
                return Some(after);
            }
            self.line_start = after;
            self.searched = after;
        }
    }

    /// The stream ended: the unfinished line is a line.
    fn finish(&mut self, bytes: &[u8], at_stream_start: bool) {
        let end = bytes.len() - usize::from(bytes.last() == Some(&b'\r'));
        if self.line_start < end {
            self.line(bytes, end, at_stream_start);
        }
    }

    /// Takes the line up to `end`; true where it is blank.
    fn line(&mut self, bytes: &[u8], end: usize, at_stream_start: bool) -> bool {
        let mut start = self.line_start;
        let mut line = bytes.get(start..end).unwrap_or(&[]);
        if at_stream_start && start == 0 && line.starts_with(BYTE_ORDER_MARK) {
            start += BYTE_ORDER_MARK.len();
            line = bytes.get(start..end).unwrap_or(&[]);
        }
        if line.is_empty() {
            return true;
        }
        self.field(line, start);
        false
    }

    /// Notes where the value of a `data` or `event` line lies. `start` is the line's offset.
    fn field(&mut self, line: &[u8], start: usize) {
        let end = start + line.len();
        let value_at = |name: &[u8]| {
            let rest = line.strip_prefix(name)?;
            match rest {
                [] => Some(end),
                [b':', b' ', ..] => Some(start + name.len() + 2),
                [b':', ..] => Some(start + name.len() + 1),
                _ => None,
            }
        };
        if let Some(from) = value_at(b"data") {
            self.data = match self.data {
                Data::None => Data::One(from, end),
                Data::One(..) | Data::Several => Data::Several,
            };
        } else if let Some(from) = value_at(b"event") {
            self.name = Some((from, end));
        }
    }
}

/// Where in a line the bytes of an oversized event are.
#[derive(Debug, Clone, Copy)]
struct OpaqueLine {
    at_line_start: bool,
    after_cr: bool,
    /// The blank line is there; all that may still belong to it is the second half of its end.
    ended_by_cr: bool,
}

impl OpaqueLine {
    /// How many bytes belong to the event, and whether its blank line is among them.
    fn skip(&mut self, bytes: &[u8]) -> (usize, bool) {
        if self.ended_by_cr {
            return (usize::from(bytes.first() == Some(&b'\n')), true);
        }
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let is_second_half = byte == b'\n' && std::mem::take(&mut self.after_cr);
            if is_second_half {
                at += 1;
                continue;
            }
            self.after_cr = byte == b'\r';
            if byte == b'\n' || byte == b'\r' {
                let len = line_len(bytes.get(at..).unwrap_or(&[]));
                self.after_cr = byte == b'\r' && len == 1;
                at += len;
                if self.at_line_start {
                    self.ended_by_cr = self.after_cr && at == bytes.len();
                    return (at, !self.ended_by_cr);
                }
                self.at_line_start = true;
            } else {
                self.at_line_start = false;
                at += memchr2(b'\n', b'\r', bytes.get(at..).unwrap_or(&[]))
                    .unwrap_or(bytes.len() - at);
            }
        }
        (bytes.len(), false)
    }
}

#[cfg(test)]
mod tests;

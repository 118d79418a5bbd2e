//! The usage of a stream, and whether the stream came to its proper end.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::{self, Finder};
use weir_base::Usage;

use super::counts::Counts;
use super::envelope::{self, Envelope};
use super::text;
use super::values::Values;
use crate::dialect::Dialect;
use crate::{kept, sse};

/// What was seen of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamReport {
    /// What the provider reported; None where it reported nothing.
    pub usage: Option<Usage>,
    /// Bytes of generated text, as written in JSON, for an estimate where there is no usage.
    pub output_text_bytes: u64,
    /// How many events carried data.
    pub events: u64,
    /// True where the dialect's own end was seen. A stream that ends without it broke.
    pub finished: bool,
    /// True where the provider reported a failure inside the stream.
    pub error: bool,
}

/// Reads the usage of a stream as it goes by.
#[derive(Debug)]
pub struct StreamUsage {
    framing: Framing,
    reader: Reader,
}

#[derive(Debug)]
enum Framing {
    /// Nothing but white space so far.
    Unknown,
    Events(sse::Splitter),
    Values(Values),
}

impl StreamUsage {
    /// A reader for a stream of this dialect, in whichever framing it comes.
    pub fn new(dialect: Dialect) -> Self {
        let reader = Reader {
            dialect,
            counts: None,
            pending: Vec::new(),
            pattern: Pattern::default(),
            report: StreamReport::default(),
            made: None,
        };
        Self {
            framing: Framing::Unknown,
            reader,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, chunk: &[u8]) {
        let reader = &mut self.reader;
        loop {
            match &mut self.framing {
                Framing::Events(splitter) => {
                    return splitter.push(chunk, |event| reader.sse_event(&event));
                }
                Framing::Values(values) => {
                    return values.push(chunk, |value| reader.event(None, value));
                }
                Framing::Unknown => match chunk.trim_ascii_start().first() {
                    None => return,
                    Some(b'{' | b'[') => {
                        let values = Values::new(sse::DEFAULT_MAX_EVENT_BYTES);
                        self.framing = Framing::Values(values);
                    }
                    Some(_) => self.framing = Framing::Events(sse::Splitter::new()),
                },
            }
        }
    }

    /// The id of what the provider keeps of this reply, where it says so only at the end: Anthropic's
    /// containers.
    pub fn made(&self) -> Option<&str> {
        self.reader.made.as_deref()
    }

    /// What was seen, once the stream has ended in whichever way.
    pub fn finish(self) -> StreamReport {
        let mut reader = self.reader;
        if let Framing::Events(splitter) = self.framing {
            splitter.finish(|event| reader.sse_event(&event));
        }
        reader.settle()
    }
}

// Searches that are made for every event are prepared once.
static FINISH_REASON: LazyLock<Finder<'static>> =
    LazyLock::new(|| Finder::new("\"finish_reason\""));
static STOP_REASON: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"stop_reason\""));
static FINISH_REASON_GEMINI: LazyLock<Finder<'static>> =
    LazyLock::new(|| Finder::new("\"finishReason\""));
static BLOCK_REASON: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"blockReason\""));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"error\""));
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"usage\""));
static USAGE_METADATA: LazyLock<Finder<'static>> =
    LazyLock::new(|| Finder::new("\"usageMetadata\""));
static TEXT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"text\":"));
static DELTA_STRING: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"delta\":"));
static OBFUSCATION: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"obfuscation\":\""));
static COMPLETION: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"completion\":"));

#[derive(Debug)]
struct Reader {
    dialect: Dialect,
    counts: Option<Counts>,
    /// The latest event with usage, unparsed, where every event repeats it.
    pending: Vec<u8>,
    pattern: Pattern,
    report: StreamReport,
    made: Option<Box<str>>,
}

impl Reader {
    fn sse_event(&mut self, event: &sse::Event<'_>) {
        match event.kind {
            sse::Kind::Message => self.event(event.name, event.data),
            sse::Kind::Silent | sse::Kind::Opaque => {}
        }
    }

    fn event(&mut self, name: Option<&str>, data: &[u8]) {
        self.report.events += 1;
        if data == b"[DONE]" {
            self.report.finished = true;
            return;
        }
        if name == Some("error") {
            self.report.error = true;
        }
        match self.dialect {
            Dialect::OpenaiChat => self.openai(data, text::in_deltas),
            Dialect::OpenaiCompletions => self.openai(data, |data| text::in_strings(data, &TEXT)),
            Dialect::OpenaiResponses => self.responses(name, data),
            Dialect::OpenaiEmbeddings | Dialect::OpenaiOther => self.openai_other(name, data),
            Dialect::AnthropicMessages | Dialect::AnthropicOther => self.anthropic(name, data),
            Dialect::GeminiGenerate => self.gemini(data),
            Dialect::GeminiOther => self.gemini_other(name, data),
        }
    }

    fn openai(&mut self, data: &[u8], text_in: impl Fn(&[u8]) -> text::Found) {
        if let Some(len) = self.pattern.text_len(data) {
            self.report.output_text_bytes += len;
            return;
        }
        let found = text_in(data);
        self.report.output_text_bytes += found.bytes;
        let reports = has_object(data, &USAGE);
        if reports {
            self.latest(data);
        }
        let finishes = text::has_reason(data, &FINISH_REASON);
        self.report.finished |= finishes;
        let fails = ERROR.find(data).is_some();
        if fails {
            self.look_for_error(data);
        }
        if let Some(text) = found.only()
            && !(reports || finishes || fails)
        {
            self.pattern.learn(data, text);
        }
    }

    /// Transcriptions, images, speech, assistants: told apart by the event's kind.
    fn openai_other(&mut self, name: Option<&str>, data: &[u8]) {
        let envelope = Envelope::read(data);
        self.counts = envelope.counts.or(self.counts);
        self.report.error |= envelope.error;
        let kind = name.or(envelope.kind.as_deref()).unwrap_or("");
        if kind.ends_with("text.delta") {
            self.report.output_text_bytes += text::in_strings(data, &DELTA_STRING).bytes;
        }
        if kind.ends_with("text.segment") {
            self.report.output_text_bytes += text::in_strings(data, &TEXT).bytes;
        }
        let ended = kind.ends_with(".completed")
            || kind.ends_with("text.done")
            || kind == "speech.audio.done";
        self.report.finished |= ended;
    }

    fn responses(&mut self, name: Option<&str>, data: &[u8]) {
        let found = if name.is_some() {
            None
        } else {
            kind_in(data, b"\"type\":\"response.")
        };
        let read;
        let kind = match name.or(found) {
            Some(kind) => kind,
            None => {
                read = Envelope::read(data).kind.unwrap_or_default();
                &read
            }
        };
        match kind.strip_prefix("response.").unwrap_or(kind) {
            "completed" | "incomplete" | "failed" => {
                self.counts = envelope::counts_in(self.dialect, data).or(self.counts);
                self.report.finished = true;
                self.report.error |= kind.ends_with("failed");
            }
            "error" => self.report.error = true,
            delta if delta.ends_with(".delta") && delta != "audio.delta" => {
                self.report.output_text_bytes += text::in_strings(data, &DELTA_STRING).bytes;
            }
            _ => {}
        }
    }

    fn anthropic(&mut self, name: Option<&str>, data: &[u8]) {
        let read;
        let kind = match name {
            Some(kind) => kind,
            None => {
                read = Envelope::read(data).kind.unwrap_or_default();
                &read
            }
        };
        match kind {
            "content_block_delta" => self.report.output_text_bytes += text::in_deltas(data).bytes,
            "message_start" | "message_delta" => {
                if let Some(new) = envelope::counts_in(self.dialect, data) {
                    self.counts = Some(self.counts.map_or(new, |old| old.updated_by(new)));
                }
                if kind == "message_delta" {
                    self.made = kept::made(self.dialect, data).map(Into::into);
                }
            }
            "message_stop" => self.report.finished = true,
            "completion" => {
                self.report.output_text_bytes += text::in_strings(data, &COMPLETION).bytes;
                self.report.finished |= text::has_reason(data, &STOP_REASON);
            }
            "error" => self.report.error = true,
            _ => {}
        }
    }

    fn gemini(&mut self, data: &[u8]) {
        if has_object(data, &USAGE_METADATA) {
            self.latest(data);
        }
        self.report.output_text_bytes += text::in_strings(data, &TEXT).bytes;
        let reported = &mut self.report.finished;
        *reported = *reported
            || text::has_reason(data, &FINISH_REASON_GEMINI)
            || text::has_reason(data, &BLOCK_REASON);
        if ERROR.find(data).is_some() {
            self.look_for_error(data);
        }
    }

    fn gemini_other(&mut self, name: Option<&str>, data: &[u8]) {
        let envelope = Envelope::read(data);
        self.counts = envelope.counts.or(self.counts);
        self.report.error |= envelope.error;
        self.report.output_text_bytes += text::in_strings(data, &TEXT).bytes;
        let kind = name.or(envelope.kind.as_deref()).unwrap_or("");
        self.report.finished |= matches!(kind, "interaction.completed" | "interaction.complete");
    }

    /// Usage that may come again in every event, each time larger: the last one counts. The first
    /// is read at once, the others are only kept, so that no more than two are ever parsed.
    fn latest(&mut self, data: &[u8]) {
        if self.counts.is_none() {
            self.counts = envelope::counts_in(self.dialect, data);
        } else {
            self.pending.clear();
            self.pending.extend_from_slice(data);
        }
    }

    /// An `error` may stand anywhere in an event; only at its top it is the stream's.
    fn look_for_error(&mut self, data: &[u8]) {
        self.report.error |= Envelope::read(data).error;
    }

    fn settle(mut self) -> StreamReport {
        if !self.pending.is_empty() {
            self.counts = envelope::counts_in(self.dialect, &self.pending).or(self.counts);
        }
        self.report.usage = self
            .counts
            .and_then(|counts| counts.usage(self.dialect.family()));
        self.report
    }
}

/// The last event that carried text and nothing else. The next one is mostly the same but for its
/// text, and then nothing in it need be searched for.
#[derive(Debug, Default)]
struct Pattern {
    event: Vec<u8>,
    /// Where the text lies.
    text: Range<usize>,
    /// Where the random padding lies that OpenAI adds against guessing texts by their length. Empty,
    /// at the end, where there is none.
    padding: Range<usize>,
}

impl Pattern {
    fn learn(&mut self, event: &[u8], text: Range<usize>) {
        self.event.clear();
        self.event.extend_from_slice(event);
        let tail = event.get(text.end..).unwrap_or(&[]);
        self.padding = match OBFUSCATION.find(tail) {
            Some(at) => {
                let from = text.end + at + OBFUSCATION.needle().len();
                from..from + text::string_len(event.get(from..).unwrap_or(&[]))
            }
            None => event.len()..event.len(),
        };
        self.text = text;
    }

    /// The length of the text, if `event` differs in nothing else.
    fn text_len(&self, event: &[u8]) -> Option<u64> {
        if self.event.is_empty() {
            return None;
        }
        let rest = event.strip_prefix(self.event.get(..self.text.start)?)?;
        let len = text::string_len(rest);
        let between = self.event.get(self.text.end..self.padding.start)?;
        let rest = rest.get(len..)?.strip_prefix(between)?;
        let behind = self.event.get(self.padding.end..)?;
        let same = if behind.is_empty() {
            rest.is_empty()
        } else {
            rest.get(text::string_len(rest)..) == Some(behind)
        };
        same.then_some(len as u64)
    }
}

/// True where an object stands under the key, and not the null that most events carry.
fn has_object(data: &[u8], key: &Finder<'_>) -> bool {
    let mut rest = data;
    while let Some(at) = key.find(rest) {
        rest = rest.get(at + key.needle().len()..).unwrap_or(&[]);
        let value = rest
            .trim_ascii_start()
            .strip_prefix(b":")
            .map(<[u8]>::trim_ascii_start);
        if value.is_some_and(|value| value.first() == Some(&b'{')) {
            return true;
        }
    }
    false
}

/// The string that begins behind the last quote of `start`'s key: `response.…` in
/// `"type":"response.…"`.
fn kind_in<'d>(data: &'d [u8], start: &[u8]) -> Option<&'d str> {
    let at = memmem::find(data, start)? + b"\"type\":\"".len();
    let inside = data.get(at..)?;
    std::str::from_utf8(inside.get(..text::string_len(inside))?).ok()
}

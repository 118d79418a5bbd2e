//! How many bytes of an event are generated text. Escapes count as written, which is near enough
//! for an estimate of a reply whose client hung up.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memchr2;
use memchr::memmem::Finder;

static DELTA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"delta\":"));

/// Members of a delta whose strings the model wrote.
const TEXT_KEYS: [&[u8]; 9] = [
    b"content",
    b"text",
    b"reasoning_content",
    b"reasoning",
    b"thinking",
    b"refusal",
    b"arguments",
    b"transcript",
    b"partial_json",
];

/// Generated text in an event.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Bytes of it, in all.
    pub(super) bytes: u64,
    /// How many strings it is in.
    strings: usize,
    /// Where the last of them lies, without its quotes.
    last: Range<usize>,
}

impl Found {
    /// Where the text lies, if it is one string.
    pub(super) fn only(&self) -> Option<Range<usize>> {
        (self.strings == 1).then(|| self.last.clone())
    }

    fn add(&mut self, from: usize, len: usize) {
        self.bytes += len as u64;
        self.strings += 1;
        self.last = from..from + len;
    }
}

/// The text in every object under a `"delta"` key.
pub(super) fn in_deltas(data: &[u8]) -> Found {
    let mut found = Found::default();
    let mut at = 0;
    while let Some(next) = data.get(at..).and_then(|rest| DELTA.find(rest)) {
        at = in_object(data, at + next + DELTA.needle().len(), &mut found);
    }
    found
}

/// The text in every string under `key`, which is given with its quotes and colon.
pub(super) fn in_strings(data: &[u8], key: &Finder<'_>) -> Found {
    let mut found = Found::default();
    let mut at = 0;
    while let Some(next) = data.get(at..).and_then(|rest| key.find(rest)) {
        at += next + key.needle().len();
        let rest = data.get(at..).unwrap_or(&[]);
        let inside = rest.trim_ascii_start().strip_prefix(b"\"");
        if let Some(inside) = inside {
            at += rest.len() - inside.len();
            let len = string_len(inside);
            found.add(at, len);
            at += len;
        }
    }
    found
}

/// True where a reason stands under `key`, given with its quotes: a string that is not empty, or a
/// number other than zero, as Gemini writes its enumerations for some clients.
pub(super) fn has_reason(data: &[u8], key: &Finder<'_>) -> bool {
    let mut rest = data;
    while let Some(at) = key.find(rest) {
        rest = rest.get(at + key.needle().len()..).unwrap_or(&[]);
        let value = rest
            .trim_ascii_start()
            .strip_prefix(b":")
            .map(<[u8]>::trim_ascii_start);
        if matches!(value, Some([b'"', first, ..]) if *first != b'"')
            || matches!(value, Some([b'1'..=b'9', ..]))
        {
            return true;
        }
    }
    false
}

/// Walks the object that begins at `at`; returns where it ends.
fn in_object(data: &[u8], mut at: usize, found: &mut Found) -> usize {
    let mut depth = 0usize;
    let mut wanted = false;
    // OpenRouter repeats the reasoning in these, with a copy of the same text.
    let mut skipped_below = None;
    while let Some(&byte) = data.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if skipped_below == Some(depth) {
                    skipped_below = None;
                }
            }
            b'"' => {
                let inside = data.get(at..).unwrap_or(&[]);
                let len = string_len(inside);
                let (string, after) = inside.split_at_checked(len).unwrap_or((inside, &[]));
                if after.get(1..).unwrap_or(&[]).trim_ascii_start().first() == Some(&b':') {
                    wanted = TEXT_KEYS.contains(&string);
                    if string == b"reasoning_details" {
                        skipped_below = skipped_below.or(Some(depth));
                    }
                } else if wanted && skipped_below.is_none() {
                    found.add(at, len);
                }
                at += len + 1;
            }
            _ => {}
        }
        if depth == 0 && !byte.is_ascii_whitespace() {
            break;
        }
    }
    at
}

/// Bytes up to the closing quote of a string, from behind its opening quote.
pub(super) fn string_len(inside: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr2(b'"', b'\\', inside.get(at..).unwrap_or(&[])) {
        at += found;
        if inside.get(at) == Some(&b'"') {
            return at;
        }
        at += 2;
    }
    inside.len()
}

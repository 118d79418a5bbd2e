//! Streams that are no server-sent events: JSON values one after the other, on lines of their own or
//! as the elements of one array.

use memchr::memchr2;

/// Splits such a stream into its values. Holds at most one value, up to a bound.
#[derive(Debug)]
pub(super) struct Values {
    max_value_bytes: usize,
    carry: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The first bracket opened an array around all values.
    in_array: bool,
    started: bool,
    oversized: bool,
}

impl Values {
    pub(super) fn new(max_value_bytes: usize) -> Self {
        Self {
            max_value_bytes,
            carry: Vec::new(),
            depth: 0,
            in_string: false,
            escaped: false,
            in_array: false,
            started: false,
            oversized: false,
        }
    }

    /// Hands every object that `chunk` completes to `each`.
    pub(super) fn push(&mut self, chunk: &[u8], mut each: impl FnMut(&[u8])) {
        let mut from = 0;
        let mut at = 0;
        while let Some(&byte) = chunk.get(at) {
            if self.in_string {
                at += self.through_string(chunk.get(at..).unwrap_or(&[]));
                continue;
            }
            at += 1;
            match byte {
                b'"' => self.in_string = true,
                b'[' if !self.started => {
                    self.in_array = true;
                    from = at;
                }
                b'{' | b'[' => {
                    if self.depth == 0 {
                        from = at - 1;
                    }
                    self.depth += 1;
                }
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.complete(chunk.get(from..at).unwrap_or(&[]), &mut each);
                        from = at;
                    }
                }
                _ => {}
            }
            self.started |= !byte.is_ascii_whitespace();
        }
        if self.depth > 0 {
            self.hold(chunk.get(from..).unwrap_or(&[]));
        }
    }

    /// How many bytes belong to the string that is open.
    fn through_string(&mut self, bytes: &[u8]) -> usize {
        if std::mem::take(&mut self.escaped) {
            return 1;
        }
        let Some(found) = memchr2(b'"', b'\\', bytes) else {
            return bytes.len();
        };
        if bytes.get(found) == Some(&b'"') {
            self.in_string = false;
        } else {
            self.escaped = true;
        }
        found + 1
    }

    fn complete(&mut self, rest: &[u8], each: &mut impl FnMut(&[u8])) {
        if std::mem::take(&mut self.oversized) {
            return;
        }
        if self.carry.is_empty() {
            each(rest);
            return;
        }
        self.carry.extend_from_slice(rest);
        each(&self.carry);
        self.carry.clear();
    }

    fn hold(&mut self, part: &[u8]) {
        if self.oversized {
            return;
        }
        if self.carry.len() + part.len() > self.max_value_bytes {
            self.oversized = true;
            self.carry = Vec::new();
            return;
        }
        self.carry.extend_from_slice(part);
    }
}

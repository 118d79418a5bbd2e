//! A value inside a JSON text: where it begins and ends, and what is in it. Found by walking.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

use super::{JsonError, MAX_DEPTH};

/// What a value may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    Array,
    /// Strings, numbers, booleans, null.
    Scalar,
}

/// One value of a text.
#[derive(Debug, Clone)]
pub(crate) struct Node<'b> {
    body: &'b [u8],
    start: usize,
    end: usize,
}

/// One key of an object and its value.
#[derive(Debug, Clone)]
pub(crate) struct Member<'b> {
    /// Where the key begins, its quote included.
    key_start: usize,
    pub(crate) key: Cow<'b, str>,
    pub(crate) value: Node<'b>,
}

impl<'b> Node<'b> {
    /// The value that the whole text is. Spaces around it are no part of it.
    pub(crate) fn root(body: &'b [u8]) -> Result<Self, JsonError> {
        let mut walk = Walk::new(body, 0);
        let node = walk.value()?;
        if walk.is_at_end() {
            Ok(node)
        } else {
            Err(walk.malformed())
        }
    }

    pub(crate) fn span(&self) -> Range<usize> {
        self.start..self.end
    }

    pub(crate) fn shape(&self) -> Shape {
        match self.body.get(self.start) {
            Some(b'{') => Shape::Object,
            Some(b'[') => Shape::Array,
            _ => Shape::Scalar,
        }
    }

    pub(crate) fn bytes(&self) -> &'b [u8] {
        self.body.get(self.span()).unwrap_or(&[])
    }

    /// The value's own JSON text.
    pub(crate) fn text(&self) -> Result<&'b str, JsonError> {
        std::str::from_utf8(self.bytes()).map_err(|error| JsonError::Malformed {
            at: self.start + error.valid_up_to(),
        })
    }

    pub(crate) fn is_null(&self) -> bool {
        self.bytes() == b"null"
    }

    /// The text of a string value, unescaped; None for every other value.
    pub(crate) fn string(&self) -> Result<Option<Cow<'b, str>>, JsonError> {
        if self.body.get(self.start) != Some(&b'"') {
            return Ok(None);
        }
        unescape(self.body, self.span()).map(Some)
    }

    /// The members of an object, in their order; nothing for every other value.
    pub(crate) fn members(&self) -> Members<'b> {
        Members {
            inner: Items::new(self, Shape::Object),
        }
    }

    /// The elements of an array, in their order; nothing for every other value.
    pub(crate) fn elements(&self) -> Elements<'b> {
        Elements {
            inner: Items::new(self, Shape::Array),
        }
    }

    /// The last member with this key: the one that counts.
    pub(crate) fn last_member(&self, key: &str) -> Result<Option<Member<'b>>, JsonError> {
        let mut found = None;
        for member in self.members() {
            let member = member?;
            if member.key == key {
                found = Some(member);
            }
        }
        Ok(found)
    }

    /// The value of the last member with this key, unless it is null.
    pub(crate) fn value(&self, key: &str) -> Result<Option<Node<'b>>, JsonError> {
        let member = self.last_member(key)?;
        Ok(member
            .map(|member| member.value)
            .filter(|value| !value.is_null()))
    }

    pub(crate) fn element(&self, index: usize) -> Result<Option<Node<'b>>, JsonError> {
        self.elements().nth(index).transpose()
    }

    /// The body with one more member at the end of this object.
    pub(crate) fn with_member(&self, key: &str, value: &[u8]) -> Result<Vec<u8>, JsonError> {
        let empty = self.members().next().transpose()?.is_none();
        let comma: &[u8] = if empty { b"" } else { b"," };
        let key = super::string(key);
        Ok(self.before_close(&[comma, key.as_bytes(), b":", value]))
    }

    /// The body with one more element at the end of this array.
    pub(crate) fn with_appended(&self, value: &[u8]) -> Result<Vec<u8>, JsonError> {
        let empty = self.elements().next().transpose()?.is_none();
        let comma: &[u8] = if empty { b"" } else { b"," };
        Ok(self.before_close(&[comma, value]))
    }

    fn before_close(&self, parts: &[&[u8]]) -> Vec<u8> {
        let (head, tail) = self
            .body
            .split_at_checked(self.end - 1)
            .unwrap_or((self.body, &[]));
        let new: usize = parts.iter().map(|part| part.len()).sum();
        let mut out = Vec::with_capacity(self.body.len() + new);
        out.extend_from_slice(head);
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(tail);
        out
    }

    /// The body without any member of this key: were one left, it would count.
    pub(crate) fn without_member(&self, key: &str) -> Result<Vec<u8>, JsonError> {
        let mut spans = Vec::new();
        let mut drop = Vec::new();
        for member in self.members() {
            let member = member?;
            drop.push(member.key == key);
            spans.push(member.key_start..member.value.end);
        }
        Ok(self.without(&spans, &drop))
    }

    /// The body without the element at `index`.
    pub(crate) fn without_element(&self, index: usize) -> Result<Vec<u8>, JsonError> {
        let spans = self
            .elements()
            .map(|element| element.map(|element| element.span()))
            .collect::<Result<Vec<_>, _>>()?;
        let drop: Vec<bool> = (0..spans.len()).map(|at| at == index).collect();
        Ok(self.without(&spans, &drop))
    }

    /// The body without the items that `drop` marks.
    pub(crate) fn without(&self, items: &[Range<usize>], drop: &[bool]) -> Vec<u8> {
        let cuts = cuts(items, drop);
        let mut out = Vec::with_capacity(self.body.len());
        let mut from = 0;
        for cut in cuts {
            out.extend_from_slice(self.body.get(from..cut.start).unwrap_or(&[]));
            from = cut.end;
        }
        out.extend_from_slice(self.body.get(from..).unwrap_or(&[]));
        out
    }
}

/// The bytes to cut so that the items that `drop` marks are gone and the commas between the others
/// still fit: an item goes with the comma behind it, the last ones with the comma before them.
pub(crate) fn cuts(items: &[Range<usize>], drop: &[bool]) -> Vec<Range<usize>> {
    let mut cuts: Vec<Range<usize>> = Vec::new();
    let mut kept_end = None;
    for (at, (item, dropped)) in items.iter().zip(drop).enumerate() {
        if !dropped {
            kept_end = Some(item.end);
            continue;
        }
        let later_kept = drop.iter().skip(at + 1).any(|dropped| !dropped);
        let next_start = items.get(at + 1).map(|next| next.start);
        match (later_kept, next_start, kept_end) {
            (true, Some(next_start), _) => cuts.push(item.start..next_start),
            // Nothing is kept behind this item: it goes with all before it back to the last kept.
            (_, _, Some(kept_end)) => match cuts.last_mut() {
                Some(last) if last.start == kept_end => last.end = item.end,
                _ => cuts.push(kept_end..item.end),
            },
            (_, _, None) => match cuts.last_mut() {
                Some(last) => last.end = item.end,
                None => cuts.push(item.clone()),
            },
        }
    }
    cuts
}

/// See [`Node::members`].
pub(crate) struct Members<'b> {
    inner: Items<'b>,
}

impl<'b> Iterator for Members<'b> {
    type Item = Result<Member<'b>, JsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.inner.next_with(Walk::member)
    }
}

/// See [`Node::elements`].
pub(crate) struct Elements<'b> {
    inner: Items<'b>,
}

impl<'b> Iterator for Elements<'b> {
    type Item = Result<Node<'b>, JsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.inner.next_with(Walk::value)
    }
}

/// The walk from item to item of one container.
struct Items<'b> {
    walk: Walk<'b>,
    /// Where the container's closing bracket is. Walking stops there.
    close: usize,
    first: bool,
}

impl<'b> Items<'b> {
    fn new(node: &Node<'b>, shape: Shape) -> Self {
        let is_it = node.shape() == shape;
        let at = if is_it { node.start + 1 } else { node.end };
        let close = if is_it { node.end - 1 } else { node.end };
        Self {
            walk: Walk {
                body: node.body,
                at,
            },
            close,
            first: true,
        }
    }

    fn next_with<T>(
        &mut self,
        item: impl FnOnce(&mut Walk<'b>) -> Result<T, JsonError>,
    ) -> Option<Result<T, JsonError>> {
        self.walk.space();
        if self.walk.at >= self.close {
            return None;
        }
        let comma = self.first || self.walk.eat(b',');
        self.first = false;
        if !comma {
            return self.fail(self.walk.malformed());
        }
        match item(&mut self.walk) {
            Ok(found) if self.walk.at <= self.close => Some(Ok(found)),
            Ok(_) => self.fail(self.walk.malformed()),
            Err(error) => self.fail(error),
        }
    }

    fn fail<T>(&mut self, error: JsonError) -> Option<Result<T, JsonError>> {
        self.walk.at = self.close;
        Some(Err(error))
    }
}

/// A position that moves over tokens.
pub(crate) struct Walk<'b> {
    body: &'b [u8],
    at: usize,
}

impl<'b> Walk<'b> {
    pub(crate) fn new(body: &'b [u8], at: usize) -> Self {
        Self { body, at }
    }

    /// True where nothing but white space is left.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.space();
        self.at >= self.body.len()
    }

    fn malformed(&self) -> JsonError {
        JsonError::Malformed { at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Moves over white space, and over `byte` if that is next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Moves behind the next key and its value.
    pub(crate) fn member(&mut self) -> Result<Member<'b>, JsonError> {
        self.space();
        let key_start = self.at;
        self.string()?;
        let key = unescape(self.body, key_start..self.at)?;
        if !self.eat(b':') {
            return Err(self.malformed());
        }
        Ok(Member {
            key_start,
            key,
            value: self.value()?,
        })
    }

    /// Moves behind the next value.
    pub(crate) fn value(&mut self) -> Result<Node<'b>, JsonError> {
        self.space();
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'{' | b'[') => self.container()?,
            _ => self.scalar()?,
        }
        Ok(Node {
            body: self.body,
            start,
            end: self.at,
        })
    }

    fn scalar(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(
            self.peek(),
            Some(b'0'..=b'9' | b'a'..=b'z' | b'E' | b'-' | b'+' | b'.')
        ) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.malformed())
        } else {
            Ok(())
        }
    }

    fn string(&mut self) -> Result<(), JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.malformed());
        }
        self.at += 1;
        loop {
            let rest = self.body.get(self.at..).unwrap_or(&[]);
            let Some(found) = memchr2(b'"', b'\\', rest) else {
                self.at = self.body.len();
                return Err(self.malformed());
            };
            self.at += found + 1;
            if rest.get(found) == Some(&b'"') {
                return Ok(());
            }
            self.at += 1;
        }
    }

    /// Moves behind an array or object without recursion: one bit per open bracket says which.
    fn container(&mut self) -> Result<(), JsonError> {
        let mut open: u128 = 0;
        let mut depth = 0;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(bracket @ (b'{' | b'[')) => {
                    if depth == MAX_DEPTH {
                        return Err(JsonError::TooDeep);
                    }
                    open = open << 1 | u128::from(bracket == b'{');
                    depth += 1;
                }
                Some(bracket @ (b'}' | b']')) => {
                    if (open & 1 == 1) != (bracket == b'}') {
                        return Err(self.malformed());
                    }
                    open >>= 1;
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                Some(_) => {}
                None => return Err(self.malformed()),
            }
            self.at += 1;
        }
    }
}

/// The text of the string at `span`, which includes the quotes.
fn unescape(body: &[u8], span: Range<usize>) -> Result<Cow<'_, str>, JsonError> {
    let at = span.start;
    let bytes = body.get(span).unwrap_or(&[]);
    let inner = bytes.get(1..bytes.len().saturating_sub(1)).unwrap_or(&[]);
    if memchr::memchr(b'\\', inner).is_none() {
        return std::str::from_utf8(inner)
            .map(Cow::Borrowed)
            .map_err(|error| JsonError::Malformed {
                at: at + 1 + error.valid_up_to(),
            });
    }
    serde_json::from_slice(bytes)
        .map(Cow::Owned)
        .map_err(|_| JsonError::Malformed { at })
}

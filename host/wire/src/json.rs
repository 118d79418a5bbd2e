//! Reading and changing JSON where it lies, by RFC 6901 pointer.
//!
//! No tree is built: a value is found by walking to it, and a change is a splice, so that every
//! byte that no one asked to change stays as the caller sent it (numbers keep their digits, keys
//! their order, spaces their place). Where an object names a key twice, the last one counts, as it
//! does for most servers.
//!
//! The walk checks structure, not every token: run [`crate::scan::scan`] (or any parser) over a
//! body from outside first. On malformed bytes the functions here return an error or a meaningless
//! value, and never panic. Nesting is followed to [`MAX_DEPTH`].

use std::ops::Range;

use serde::de::IgnoredAny;

pub(crate) mod node;

use node::{Node, Shape};

/// How deep arrays and objects may be nested, and how many steps a pointer may have.
pub const MAX_DEPTH: usize = 128;

/// Why JSON could not be read or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The body is not well-formed.
    #[error("the body is not valid JSON at byte {at}")]
    Malformed {
        /// Offset of the byte that does not fit.
        at: usize,
    },
    /// The body nests deeper than [`MAX_DEPTH`], or the pointer has more steps.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// The pointer is neither empty nor begins with a slash, or has a bad `~` escape.
    #[error("`{0}` is not an RFC 6901 pointer")]
    BadPointer(String),
    /// A step of the pointer leads into a value that is neither an object nor an array.
    #[error("`{0}` leads into a value that is neither an object nor an array")]
    NotAContainer(String),
    /// A step into an array is no index of it (to append, the last step is `-`).
    #[error("`{0}` names no element of the array")]
    NoSuchIndex(String),
    /// The new value is not JSON.
    #[error("the new value is not valid JSON")]
    BadValue,
    /// The dialect has no prompt that can be read or changed in this way.
    #[error("{0} has no prompt to do this with")]
    NoPrompt(&'static str),
    /// There is no message with this index.
    #[error("there is no message {0}")]
    NoSuchMessage(usize),
}

/// The raw JSON text at `pointer`, or None where there is nothing.
pub fn get<'b>(body: &'b [u8], pointer: &str) -> Result<Option<&'b str>, JsonError> {
    let mut node = Node::root(body)?;
    for step in steps(pointer)? {
        let step = step?;
        let next = match node.shape() {
            Shape::Object => node.last_member(&step)?.map(|member| member.value),
            Shape::Array => match index(&step) {
                Some(index) => node.element(index)?,
                None => None,
            },
            Shape::Scalar => None,
        };
        match next {
            Some(next) => node = next,
            None => return Ok(None),
        }
    }
    node.text().map(Some)
}

/// The body with the value at `pointer` set to `json`. Replaces what is there, else adds the key to
/// its object (creating objects on the way) or, with a last step of `-`, appends to the array.
pub fn set(body: &[u8], pointer: &str, json: &str) -> Result<Vec<u8>, JsonError> {
    check_value(json)?;
    let mut node = Node::root(body)?;
    let mut steps = steps(pointer)?;
    while let Some(step) = steps.next() {
        let step = step?;
        match node.shape() {
            Shape::Scalar => return Err(JsonError::NotAContainer(pointer.to_owned())),
            Shape::Array if step == "-" && steps.remaining() == 0 => {
                return node.with_appended(json.as_bytes());
            }
            Shape::Array => {
                let element = index(&step)
                    .map(|index| node.element(index))
                    .transpose()?
                    .flatten();
                node = element.ok_or_else(|| JsonError::NoSuchIndex(pointer.to_owned()))?;
            }
            Shape::Object => match node.last_member(&step)? {
                Some(member) => node = member.value,
                None => {
                    let value = nest(steps, json)?;
                    return node.with_member(&step, value.as_bytes());
                }
            },
        }
    }
    Ok(replace_span(body, node.span(), json))
}

/// The body without the value at `pointer`. Where nothing is there, the body as it was.
pub fn remove(body: &[u8], pointer: &str) -> Result<Vec<u8>, JsonError> {
    let mut all = steps(pointer)?;
    let mut parent = Node::root(body)?;
    let mut last = all
        .next()
        .ok_or_else(|| JsonError::NotAContainer(pointer.to_owned()))??;
    for step in all {
        let step = step?;
        let next = match parent.shape() {
            Shape::Object => parent.last_member(&last)?.map(|member| member.value),
            Shape::Array => index(&last)
                .map(|index| parent.element(index))
                .transpose()?
                .flatten(),
            Shape::Scalar => None,
        };
        match next {
            Some(next) => parent = next,
            None => return Ok(body.to_vec()),
        }
        last = step;
    }
    match parent.shape() {
        Shape::Object => parent.without_member(&last),
        Shape::Array => match index(&last) {
            Some(index) => parent.without_element(index),
            None => Ok(body.to_vec()),
        },
        Shape::Scalar => Ok(body.to_vec()),
    }
}

/// The body with the bytes of `span` replaced by `json`, unchecked. A span that lies outside of the
/// body is cut to it.
pub fn replace_span(body: &[u8], span: Range<usize>, json: &str) -> Vec<u8> {
    let head = body.get(..span.start).unwrap_or(body);
    let tail = body.get(span.end.max(span.start)..).unwrap_or(&[]);
    [head, json.as_bytes(), tail].concat()
}

/// `text` as a JSON string, quotes included.
pub fn string(text: &str) -> String {
    // Writing a string to memory has no way to fail; an empty string is what is left if it did.
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

fn check_value(json: &str) -> Result<(), JsonError> {
    serde_json::from_str::<IgnoredAny>(json)
        .map(|_| ())
        .map_err(|_| JsonError::BadValue)
}

/// Objects around `json`, one for each step that is left.
fn nest(steps: Steps<'_>, json: &str) -> Result<String, JsonError> {
    let mut out = String::new();
    let mut depth = 0;
    for step in steps {
        out.push('{');
        out.push_str(&string(&step?));
        out.push(':');
        depth += 1;
    }
    out.push_str(json);
    out.extend(std::iter::repeat_n('}', depth));
    Ok(out)
}

/// An array index as RFC 6901 writes it: digits without leading zeros.
fn index(step: &str) -> Option<usize> {
    let plain = step == "0" || !step.starts_with('0');
    (plain && step.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| step.parse().ok())
        .flatten()
}

/// The steps of a pointer, decoded.
struct Steps<'p> {
    pointer: &'p str,
    rest: Option<&'p str>,
}

fn steps(pointer: &str) -> Result<Steps<'_>, JsonError> {
    if pointer.matches('/').count() > MAX_DEPTH {
        return Err(JsonError::TooDeep);
    }
    if pointer.is_empty() {
        return Ok(Steps {
            pointer,
            rest: None,
        });
    }
    let rest = pointer
        .strip_prefix('/')
        .ok_or_else(|| JsonError::BadPointer(pointer.to_owned()))?;
    Ok(Steps {
        pointer,
        rest: Some(rest),
    })
}

impl Steps<'_> {
    fn remaining(&self) -> usize {
        self.rest.map_or(0, |rest| rest.matches('/').count() + 1)
    }
}

impl Iterator for Steps<'_> {
    type Item = Result<String, JsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (step, rest) = match self.rest? {
            rest if rest.contains('/') => rest
                .split_once('/')
                .map(|(step, rest)| (step, Some(rest)))?,
            rest => (rest, None),
        };
        self.rest = rest;
        let mut out = String::with_capacity(step.len());
        let mut pieces = step.split('~');
        out.push_str(pieces.next().unwrap_or(""));
        for piece in pieces {
            let decoded = piece.strip_prefix('0').map(|rest| ('~', rest));
            let Some((char, rest)) =
                decoded.or_else(|| piece.strip_prefix('1').map(|rest| ('/', rest)))
            else {
                return Some(Err(JsonError::BadPointer(self.pointer.to_owned())));
            };
            out.push(char);
            out.push_str(rest);
        }
        Some(Ok(out))
    }
}

#[cfg(test)]
mod tests;

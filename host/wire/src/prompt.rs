//! The prompt of a request in one view for every dialect, and the edits that this view allows.
//!
//! The view is a list of messages with a role and a text. A system prompt that the dialect keeps
//! apart comes first, with the role `system`. What a tool returned is a message with the role
//! `tool`, also where the dialect puts it inside another message. Gemini's role `model` is
//! `assistant`. Images, sound, files and the model's calls of tools are left out; a message of
//! nothing else has an empty text, so that positions stay true.
//!
//! Edits are splices: what a message holds beside its text stays, with every byte.

use std::borrow::Cow;

use crate::dialect::Dialect;
use crate::edit::Patch;
use crate::json::node::{Node, Shape, cuts};
use crate::json::{JsonError, string};

mod slots;
mod system;

pub use system::prepend_system;

/// One message of the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`, or what the dialect has beside these (`developer`).
    pub role: String,
    /// The text parts, joined by line feeds.
    pub text: String,
}

/// The messages of a request body.
pub fn messages(dialect: Dialect, body: &[u8]) -> Result<Vec<Message>, JsonError> {
    let slots = slots::slots(dialect, &Node::root(body)?)?;
    slots
        .iter()
        .map(|slot| {
            Ok(Message {
                role: slot.role.to_string(),
                text: slot.text()?,
            })
        })
        .collect()
}

/// The body with another text for message `index` of [`messages`]. Its first text part gets the
/// text, its other text parts go, and everything else in it stays.
pub fn set_message_text(
    dialect: Dialect,
    body: &[u8],
    index: usize,
    text: &str,
) -> Result<Vec<u8>, JsonError> {
    let slots = slots::slots(dialect, &Node::root(body)?)?;
    let slot = slots.get(index).ok_or(JsonError::NoSuchMessage(index))?;
    slot.with_text(body, text)
}

/// Where the text of one message lies.
#[derive(Debug)]
struct Slot<'b> {
    role: Cow<'b, str>,
    place: Place<'b>,
    /// How a new text part looks here.
    part: PartForm,
}

#[derive(Debug)]
enum Place<'b> {
    /// A value that is the text, or null.
    Value(Node<'b>),
    /// A list of parts.
    Parts(Node<'b>),
    /// A key that is missing from an object.
    Missing(Node<'b>, &'static str),
}

/// How a dialect writes a part that is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PartForm {
    /// `{"type":"text","text":…}`
    Text,
    /// `{"type":"input_text","text":…}`
    InputText,
    /// `{"type":"output_text","text":…}`
    OutputText,
    /// `{"text":…}`
    Bare,
}

impl PartForm {
    fn new_part(self, text: &str) -> String {
        let text = string(text);
        match self {
            PartForm::Text => format!(r#"{{"type":"text","text":{text}}}"#),
            PartForm::InputText => format!(r#"{{"type":"input_text","text":{text}}}"#),
            PartForm::OutputText => format!(r#"{{"type":"output_text","text":{text}}}"#),
            PartForm::Bare => format!(r#"{{"text":{text}}}"#),
        }
    }
}

impl<'b> Slot<'b> {
    fn text(&self) -> Result<String, JsonError> {
        match &self.place {
            Place::Value(value) => Ok(value.string()?.unwrap_or_default().into_owned()),
            Place::Missing(..) => Ok(String::new()),
            Place::Parts(list) => {
                let mut texts = Vec::new();
                for part in list.elements() {
                    if let Some(value) = text_value(&part?)? {
                        texts.extend(value.string()?);
                    }
                }
                Ok(texts.join("\n"))
            }
        }
    }

    fn with_text(&self, body: &[u8], text: &str) -> Result<Vec<u8>, JsonError> {
        let list = match &self.place {
            Place::Missing(object, key) => return object.with_member(key, string(text).as_bytes()),
            Place::Value(value) => {
                let mut patch = Patch::default();
                patch.replace(value.span(), string(text));
                return Ok(patch.apply(body));
            }
            Place::Parts(list) => list,
        };
        let mut patch = Patch::default();
        let (mut spans, mut drop) = (Vec::new(), Vec::new());
        let mut replaced = false;
        for part in list.elements() {
            let part = part?;
            let value = text_value(&part)?;
            spans.push(part.span());
            drop.push(value.is_some() && replaced);
            if let Some(value) = value.filter(|_| !replaced) {
                patch.replace(value.span(), string(text));
                replaced = true;
            }
        }
        if !replaced {
            return Ok(with_first_part(
                body,
                list,
                &self.part.new_part(text),
                spans.is_empty(),
            ));
        }
        for cut in cuts(&spans, &drop) {
            patch.replace(cut, "");
        }
        Ok(patch.apply(body))
    }
}

/// The body with one more element at the beginning of a list.
fn with_first_part(body: &[u8], list: &Node<'_>, part: &str, list_is_empty: bool) -> Vec<u8> {
    let at = list.span().start + 1;
    let comma = if list_is_empty { "" } else { "," };
    let mut patch = Patch::default();
    patch.replace(at..at, format!("{part}{comma}"));
    patch.apply(body)
}

/// The value that holds a part's text; None for a part that is no text.
fn text_value<'b>(part: &Node<'b>) -> Result<Option<Node<'b>>, JsonError> {
    if part.string()?.is_some() {
        return Ok(Some(part.clone()));
    }
    if part.shape() != Shape::Object {
        return Ok(None);
    }
    let key = match part.value("type")? {
        None => "text",
        Some(kind) => match kind.string()?.as_deref() {
            Some("text" | "input_text" | "output_text") => "text",
            Some("refusal") => "refusal",
            _ => return Ok(None),
        },
    };
    let value = part.value(key)?;
    Ok(match value {
        Some(value) if value.string()?.is_some() => Some(value),
        _ => None,
    })
}

#[cfg(test)]
mod tests;

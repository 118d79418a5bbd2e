//! Where each dialect keeps the texts of its messages.

use std::borrow::Cow;

use super::{PartForm, Place, Slot};
use crate::dialect::Dialect;
use crate::json::JsonError;
use crate::json::node::{Node, Shape};

/// The slots of a body, in the order of the view.
pub(super) fn slots<'b>(dialect: Dialect, body: &Node<'b>) -> Result<Vec<Slot<'b>>, JsonError> {
    let mut slots = Vec::new();
    match dialect {
        Dialect::OpenaiChat => chat(body, &mut slots)?,
        Dialect::OpenaiResponses => responses(body, &mut slots)?,
        Dialect::OpenaiCompletions | Dialect::OpenaiEmbeddings | Dialect::OpenaiOther => {
            plain(body, "prompt", &mut slots)?;
            plain(body, "input", &mut slots)?;
        }
        Dialect::AnthropicMessages => anthropic(body, &mut slots)?,
        Dialect::AnthropicOther => plain(body, "prompt", &mut slots)?,
        Dialect::GeminiGenerate | Dialect::GeminiOther => gemini(body, &mut slots)?,
    }
    Ok(slots)
}

/// Where a system prompt that stands apart is kept in a Gemini body. Both spellings are accepted.
pub(super) fn gemini_system_key(body: &Node<'_>) -> Result<&'static str, JsonError> {
    let is_snake = body.last_member("system_instruction")?.is_some();
    Ok(if is_snake {
        "system_instruction"
    } else {
        "systemInstruction"
    })
}

fn chat<'b>(body: &Node<'b>, slots: &mut Vec<Slot<'b>>) -> Result<(), JsonError> {
    for message in list(body, "messages")? {
        slots.push(message_slot(&message, PartForm::Text)?);
    }
    Ok(())
}

/// A message with a `role` and a `content` that is a string or a list of parts.
fn message_slot<'b>(message: &Node<'b>, part: PartForm) -> Result<Slot<'b>, JsonError> {
    let role = role(message)?;
    let place = match message.last_member("content")? {
        Some(content) => place_of(content.value),
        None if message.shape() == Shape::Object => Place::Missing(message.clone(), "content"),
        None => Place::Value(message.clone()),
    };
    Ok(Slot { role, place, part })
}

fn place_of(value: Node<'_>) -> Place<'_> {
    if value.shape() == Shape::Array {
        Place::Parts(value)
    } else {
        Place::Value(value)
    }
}

fn role<'b>(message: &Node<'b>) -> Result<Cow<'b, str>, JsonError> {
    let role = message
        .value("role")?
        .map(|role| role.string())
        .transpose()?
        .flatten();
    Ok(role.unwrap_or(Cow::Borrowed("user")))
}

fn responses<'b>(body: &Node<'b>, slots: &mut Vec<Slot<'b>>) -> Result<(), JsonError> {
    if let Some(instructions) = body.value("instructions")? {
        slots.push(value_slot("system", instructions));
    }
    let Some(input) = body.value("input")? else {
        return Ok(());
    };
    if input.shape() != Shape::Array {
        slots.push(value_slot("user", input));
        return Ok(());
    }
    for item in input.elements() {
        let item = item?;
        let kind = item
            .value("type")?
            .map(|kind| kind.string())
            .transpose()?
            .flatten();
        match kind.as_deref() {
            None | Some("message") => {
                let mut slot = message_slot(&item, PartForm::InputText)?;
                if slot.role == "assistant" {
                    slot.part = PartForm::OutputText;
                }
                slots.push(slot);
            }
            Some("function_call_output" | "custom_tool_call_output") => {
                if let Some(output) = item.value("output")? {
                    let role = Cow::Borrowed("tool");
                    slots.push(Slot {
                        role,
                        place: place_of(output),
                        part: PartForm::InputText,
                    });
                }
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// A key with one text, or a list of them. Lists of token numbers are no text.
fn plain<'b>(body: &Node<'b>, key: &str, slots: &mut Vec<Slot<'b>>) -> Result<(), JsonError> {
    let Some(value) = body.value(key)? else {
        return Ok(());
    };
    if value.string()?.is_some() {
        slots.push(value_slot("user", value));
        return Ok(());
    }
    for element in value.elements() {
        let element = element?;
        if element.string()?.is_some() {
            slots.push(value_slot("user", element));
        }
    }
    Ok(())
}

fn value_slot<'b>(role: &'static str, value: Node<'b>) -> Slot<'b> {
    Slot {
        role: Cow::Borrowed(role),
        place: place_of(value),
        part: PartForm::Text,
    }
}

fn anthropic<'b>(body: &Node<'b>, slots: &mut Vec<Slot<'b>>) -> Result<(), JsonError> {
    if let Some(system) = body.value("system")? {
        slots.push(value_slot("system", system));
    }
    for message in list(body, "messages")? {
        let own = message_slot(&message, PartForm::Text)?;
        let Place::Parts(parts) = &own.place else {
            slots.push(own);
            continue;
        };
        let mut holds_more = parts.elements().next().is_none();
        for part in parts.elements() {
            let part = part?;
            let kind = part
                .value("type")?
                .map(|kind| kind.string())
                .transpose()?
                .flatten();
            if kind.as_deref() != Some("tool_result") {
                holds_more = true;
            } else if let Some(content) = part.value("content")? {
                slots.push(value_slot("tool", content));
            }
        }
        if holds_more {
            slots.push(own);
        }
    }
    Ok(())
}

fn gemini<'b>(body: &Node<'b>, slots: &mut Vec<Slot<'b>>) -> Result<(), JsonError> {
    if let Some(system) = body.value(gemini_system_key(body)?)? {
        slots.extend(gemini_slot(&system, Cow::Borrowed("system"))?);
    }
    for key in ["contents", "content"] {
        for content in list(body, key)? {
            let role = match role(&content)? {
                role if role == "model" => Cow::Borrowed("assistant"),
                role => role,
            };
            slots.extend(gemini_slot(&content, role)?);
        }
    }
    Ok(())
}

/// A content object: its `parts` are a list, or one part alone.
fn gemini_slot<'b>(content: &Node<'b>, role: Cow<'b, str>) -> Result<Option<Slot<'b>>, JsonError> {
    let part = PartForm::Bare;
    let place = match content.value("parts")? {
        Some(parts) if parts.shape() == Shape::Array => Place::Parts(parts),
        Some(only) => match only.value("text")? {
            Some(text) => Place::Value(text),
            None => return Ok(None),
        },
        None if content.shape() == Shape::Object => return Ok(None),
        None => Place::Value(content.clone()),
    };
    Ok(Some(Slot { role, place, part }))
}

/// The elements of the list under `key`. Gemini takes one object in the place of a list of one.
fn list<'b>(body: &Node<'b>, key: &str) -> Result<Vec<Node<'b>>, JsonError> {
    match body.value(key)? {
        Some(list) if list.shape() == Shape::Array => list.elements().collect(),
        Some(only) if only.shape() == Shape::Object => Ok(vec![only]),
        _ => Ok(Vec::new()),
    }
}

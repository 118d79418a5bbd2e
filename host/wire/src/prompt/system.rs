//! Putting a system instruction ahead of a prompt, in each dialect's own way.

use super::slots::gemini_system_key;
use super::{PartForm, text_value, with_first_part};
use crate::dialect::Dialect;
use crate::edit::Patch;
use crate::json::node::{Node, Shape};
use crate::json::{JsonError, set, string};

/// The body with `text` as a system instruction ahead of the prompt. One that is there already stays
/// behind it, an empty line between them; a list of blocks gets one more at its beginning, so that
/// the others keep their marks (cache control).
pub fn prepend_system(dialect: Dialect, body: &[u8], text: &str) -> Result<Vec<u8>, JsonError> {
    let root = Node::root(body)?;
    match dialect {
        Dialect::OpenaiChat => chat(body, &root, text),
        Dialect::OpenaiResponses => key(body, &root, "instructions", PartForm::InputText, text),
        Dialect::OpenaiCompletions => completions(body, &root, text),
        Dialect::AnthropicMessages => key(body, &root, "system", PartForm::Text, text),
        Dialect::GeminiGenerate => gemini(body, &root, text),
        Dialect::OpenaiEmbeddings
        | Dialect::OpenaiOther
        | Dialect::AnthropicOther
        | Dialect::GeminiOther => Err(JsonError::NoPrompt(dialect.as_str())),
    }
}

/// A system message that comes first already takes the text in: many open models' templates refuse
/// a second one.
fn chat(body: &[u8], root: &Node<'_>, text: &str) -> Result<Vec<u8>, JsonError> {
    let no_prompt = || JsonError::NoPrompt(Dialect::OpenaiChat.as_str());
    let messages = root.value("messages")?.ok_or_else(no_prompt)?;
    if messages.shape() != Shape::Array {
        return Err(no_prompt());
    }
    let first = messages.elements().next().transpose()?;
    if let Some(first) = &first {
        let role = first
            .value("role")?
            .map(|role| role.string())
            .transpose()?
            .flatten();
        let content = first.value("content")?;
        if let (Some("system" | "developer"), Some(content)) = (role.as_deref(), content) {
            return ahead_of(body, &content, PartForm::Text, text);
        }
    }
    let message = format!(r#"{{"role":"system","content":{}}}"#, string(text));
    Ok(with_first_part(body, &messages, &message, first.is_none()))
}

fn completions(body: &[u8], root: &Node<'_>, text: &str) -> Result<Vec<u8>, JsonError> {
    let no_prompt = || JsonError::NoPrompt(Dialect::OpenaiCompletions.as_str());
    let prompt = root.value("prompt")?.ok_or_else(no_prompt)?;
    if prompt.shape() != Shape::Array {
        return ahead_of(body, &prompt, PartForm::Text, text);
    }
    let mut patch = Patch::default();
    for one in prompt.elements() {
        let one = one?;
        // A list of token numbers cannot be prepended to without the model's tokenizer.
        let old = one.string()?.ok_or_else(no_prompt)?;
        patch.replace(one.span(), string(&join(text, &old)));
    }
    Ok(patch.apply(body))
}

/// The system prompt under a key at the top of the body.
fn key(
    body: &[u8],
    root: &Node<'_>,
    key: &str,
    part: PartForm,
    text: &str,
) -> Result<Vec<u8>, JsonError> {
    match root.value(key)? {
        Some(old) => ahead_of(body, &old, part, text),
        None => set(body, &format!("/{key}"), &string(text)),
    }
}

fn gemini(body: &[u8], root: &Node<'_>, text: &str) -> Result<Vec<u8>, JsonError> {
    let key = gemini_system_key(root)?;
    let part = PartForm::Bare.new_part(text);
    let system = root.value(key)?;
    let parts = system
        .as_ref()
        .map(|system| system.value("parts"))
        .transpose()?
        .flatten();
    match (system, parts) {
        (_, Some(parts)) if parts.shape() == Shape::Array => {
            ahead_of(body, &parts, PartForm::Bare, text)
        }
        (_, Some(only)) => {
            let mut patch = Patch::default();
            patch.replace(only.span(), format!("[{part},{}]", only.text()?));
            Ok(patch.apply(body))
        }
        (Some(plain), None) if plain.string()?.is_some() => {
            ahead_of(body, &plain, PartForm::Bare, text)
        }
        (_, None) => set(
            body,
            &format!("/{key}"),
            &format!(r#"{{"parts":[{part}]}}"#),
        ),
    }
}

/// A string gets the text ahead of it, a list a part.
fn ahead_of(body: &[u8], old: &Node<'_>, part: PartForm, text: &str) -> Result<Vec<u8>, JsonError> {
    if old.shape() == Shape::Array {
        let empty = old.elements().next().transpose()?.is_none();
        return Ok(with_first_part(body, old, &part.new_part(text), empty));
    }
    let value = text_value(old)?.unwrap_or_else(|| old.clone());
    let new = value
        .string()?
        .map_or_else(|| text.to_owned(), |old| join(text, &old));
    let mut patch = Patch::default();
    patch.replace(value.span(), string(&new));
    Ok(patch.apply(body))
}

fn join(text: &str, old: &str) -> String {
    format!("{text}\n\n{old}")
}

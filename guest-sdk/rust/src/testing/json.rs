//! Edits of a JSON value at RFC 6901 pointers.

use serde_json::{Map, Value};

/// Sets the value at a pointer, making the last step, and objects on the way, where they are missing.
pub(super) fn set(root: &mut Value, pointer: &str, value: Value) -> Result<(), String> {
    make_way(root, pointer);
    let Some((parent, last)) = parent(root, pointer)? else {
        *root = value;
        return Ok(());
    };
    match parent {
        Value::Object(map) => {
            map.insert(last, value);
        }
        Value::Array(list) if last == "-" || last.parse() == Ok(list.len()) => list.push(value),
        Value::Array(list) => {
            let slot = last
                .parse::<usize>()
                .ok()
                .and_then(|index| list.get_mut(index));
            *slot.ok_or_else(|| format!("nothing at {pointer}"))? = value;
        }
        _ => return Err(format!("nothing at {pointer}")),
    }
    Ok(())
}

/// Removes the value at a pointer; nothing happens where there is none.
pub(super) fn remove(root: &mut Value, pointer: &str) -> Result<(), String> {
    match parent(root, pointer) {
        Ok(None) => return Err("the whole body cannot be removed".to_owned()),
        Ok(Some((Value::Object(map), last))) => {
            map.remove(&last);
        }
        Ok(Some((Value::Array(list), last))) => {
            if let Some(index) = last.parse().ok().filter(|index| *index < list.len()) {
                list.remove(index);
            }
        }
        Ok(Some(_)) | Err(_) => {}
    }
    Ok(())
}

/// Puts a system instruction ahead of the prompt, where the dialect keeps it.
pub(super) fn prepend_system(root: &mut Value, dialect: &str, text: &str) -> Result<(), String> {
    let map = root
        .as_object_mut()
        .ok_or("the body is not a JSON object")?;
    match dialect {
        "anthropic.messages" => join(map, "system", text),
        "openai.responses" => join(map, "instructions", text),
        _ => {
            let list = map
                .entry("messages")
                .or_insert_with(|| Value::Array(Vec::new()));
            let list = list.as_array_mut().ok_or("`messages` is not a list")?;
            list.insert(0, serde_json::json!({ "role": "system", "content": text }));
        }
    }
    Ok(())
}

/// Replaces the text of a message by its index in the neutral view.
pub(super) fn set_message_text(root: &mut Value, index: u32, text: &str) -> Result<(), String> {
    let mut index = index as usize;
    if let Some(system) = root.get_mut("system") {
        if index == 0 {
            *system = text.into();
            return Ok(());
        }
        index -= 1;
    }
    let message = root
        .get_mut("messages")
        .and_then(|list| list.get_mut(index));
    let message = message.and_then(Value::as_object_mut);
    message
        .ok_or("no such message")?
        .insert("content".to_owned(), text.into());
    Ok(())
}

fn join(map: &mut Map<String, Value>, name: &str, text: &str) {
    let old = map.get(name).and_then(Value::as_str).unwrap_or_default();
    let new = if old.is_empty() {
        text.to_owned()
    } else {
        format!("{text}\n\n{old}")
    };
    map.insert(name.to_owned(), new.into());
}

/// Makes the objects that are missing on the way to the last step.
fn make_way(root: &mut Value, pointer: &str) {
    let mut steps: Vec<&str> = pointer.split('/').skip(1).collect();
    steps.pop();
    let mut node = root;
    for step in steps {
        let step = step.replace("~1", "/").replace("~0", "~");
        let next = match node {
            Value::Object(map) => Some(map.entry(step).or_insert_with(|| Map::new().into())),
            Value::Array(list) => step.parse::<usize>().ok().and_then(|at| list.get_mut(at)),
            _ => None,
        };
        let Some(next) = next else { return };
        node = next;
    }
}

/// The value that holds the last step of a pointer, and that step; none for the empty pointer.
fn parent<'a>(
    root: &'a mut Value,
    pointer: &str,
) -> Result<Option<(&'a mut Value, String)>, String> {
    if pointer.is_empty() {
        return Ok(None);
    }
    let (parents, last) = pointer
        .rsplit_once('/')
        .ok_or("a pointer begins with `/`")?;
    let parent = root
        .pointer_mut(parents)
        .ok_or_else(|| format!("nothing at {parents}"))?;
    Ok(Some((parent, last.replace("~1", "/").replace("~0", "~"))))
}

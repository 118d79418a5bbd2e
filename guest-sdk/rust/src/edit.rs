//! Changes to the request, from `rewrite` only. An error is the host's sentence about why the
//! change was refused; the call goes on without it unless the policy denies it.

use serde::Serialize;

use crate::raw::edit as raw;

/// Asks for another model, wherever the dialect keeps its name.
pub fn set_model(model: &str) -> Result<(), String> {
    raw::set_model(model)
}

/// Sets a header, replacing all of that name. Credentials and hop-by-hop headers are refused.
pub fn set_header(name: &str, value: &str) -> Result<(), String> {
    raw::set_header(name, value)
}

/// Removes all headers of that name.
pub fn remove_header(name: &str) -> Result<(), String> {
    raw::remove_header(name)
}

/// Sets the value at an RFC 6901 pointer to this JSON text, making the last step if need be.
pub fn set_json(pointer: &str, json: &str) -> Result<(), String> {
    raw::set_json(pointer, json)
}

/// Sets the value at an RFC 6901 pointer.
pub fn set_value<T: Serialize + ?Sized>(pointer: &str, value: &T) -> Result<(), String> {
    raw::set_json(
        pointer,
        &serde_json::to_string(value).map_err(|error| error.to_string())?,
    )
}

/// Removes the value at an RFC 6901 pointer.
pub fn remove_json(pointer: &str) -> Result<(), String> {
    raw::remove_json(pointer)
}

/// Puts a system instruction ahead of the prompt, in whatever dialect it is.
pub fn prepend_system(text: &str) -> Result<(), String> {
    raw::prepend_system(text)
}

/// Replaces the text of the message at this index of `call::messages`.
pub fn set_message_text(index: u32, text: &str) -> Result<(), String> {
    raw::set_message_text(index, text)
}

/// Replaces the whole body.
pub fn replace_body(body: &[u8]) -> Result<(), String> {
    raw::replace_body(body)
}

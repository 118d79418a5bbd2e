//! The call that the running hook is about, piece by piece: pay only for what you look at.
//!
//! Each function is one call into the host, a tenth of a microsecond and up with the size of
//! what it returns. What the `Summary` has needs none.

use serde::de::DeserializeOwned;

use crate::raw::call as raw;
use crate::types::Message;

/// The request id that the caller sees in `x-request-id`.
pub fn id() -> String {
    raw::id()
}

/// For example `openai.chat`, `openai.responses`, `anthropic.messages`, `gemini.generate`.
pub fn dialect() -> String {
    raw::dialect()
}

/// The HTTP method, in upper case.
pub fn method() -> String {
    raw::method()
}

/// The path as the caller asked for it, without the query.
pub fn path() -> String {
    raw::path()
}

/// The parameters of the query, decoded and in order; never a credential. Needs a gateway that runs
/// version 0.2 of the interface.
pub fn query() -> Vec<(String, String)> {
    raw::query()
}

/// The name of the tenant that the virtual key belongs to.
pub fn tenant() -> String {
    raw::tenant()
}

/// The public id of the virtual key, never its secret.
pub fn key() -> String {
    raw::key()
}

/// The caller's address, as text; empty where it is not known.
pub fn client_ip() -> String {
    raw::client_ip()
}

/// The answer of this hook holds for that many milliseconds, a minute at most, for every call of this
/// key, from this address, in this dialect, with this operation, model and streaming: the gateway may
/// use it again without asking. For `authorize` where it allows, and for the rules of `limits`; not for
/// an answer that depends on headers, the body, tokens, the time or the store.
pub fn remember(for_ms: u32) {
    raw::remember(for_ms);
}

/// A label of the key, else of its tenant.
pub fn label(name: &str) -> Option<String> {
    raw::label(name)
}

/// The first header of that name, in any case; never a credential.
pub fn header(name: &str) -> Option<String> {
    raw::header(name)
}

/// All headers in order, names in lower case, without credentials.
pub fn headers() -> Vec<(String, String)> {
    raw::headers()
}

/// The JSON text at an RFC 6901 pointer into the body; the empty pointer is the whole body.
pub fn json(pointer: &str) -> Option<String> {
    raw::json(pointer)
}

/// The value at a pointer, read into a type; none where it is missing or of another type.
pub fn json_as<T: DeserializeOwned>(pointer: &str) -> Option<T> {
    serde_json::from_str(&raw::json(pointer)?).ok()
}

/// The prompt in the dialect-neutral view, system instructions first.
pub fn messages() -> Vec<Message> {
    raw::messages()
}

/// The bytes of the request's body.
pub fn body() -> Vec<u8> {
    raw::body()
}

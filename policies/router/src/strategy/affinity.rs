//! Calls that share a prompt go to the same channel, where the provider has it cached.
//!
//! Rendezvous hashing: each call orders all channels in its own way, so that of a channel that
//! leaves only the calls move, evenly, and they return when it does.

use weir_sdk::call;

use crate::draw::{hash, mix, unit};

/// What makes calls belong together.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum StickyBy {
    Key,
    Tenant,
    Label(String),
    Header(String),
    /// An RFC 6901 pointer into the body.
    Json(String),
    /// The first so many bytes of the system prompt.
    System(usize),
}

impl TryFrom<String> for StickyBy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (word, rest) = text.split_once(':').unwrap_or((text.as_str(), ""));
        let bytes = rest.parse::<usize>().ok();
        match (word, bytes) {
            _ if text.starts_with('/') => Ok(StickyBy::Json(text)),
            ("key", _) if rest.is_empty() => Ok(StickyBy::Key),
            ("tenant", _) if rest.is_empty() => Ok(StickyBy::Tenant),
            ("label", _) if !rest.is_empty() => Ok(StickyBy::Label(rest.to_owned())),
            ("header", _) if !rest.is_empty() => Ok(StickyBy::Header(rest.to_owned())),
            ("system", Some(1..)) => Ok(StickyBy::System(bytes.unwrap_or(1))),
            _ => Err(format!(
                "`{text}` is none of key, tenant, label:NAME, header:NAME, system:BYTES and a JSON pointer such as /prompt_cache_key"
            )),
        }
    }
}

/// The hash of the first of these that the call has.
pub(crate) fn sticky(sticky_by: &[StickyBy]) -> Option<u64> {
    let mut found = sticky_by.iter().filter_map(|by| match by {
        StickyBy::Key => some(call::key()),
        StickyBy::Tenant => some(call::tenant()),
        StickyBy::Label(name) => call::label(name).and_then(some),
        StickyBy::Header(name) => call::header(name).and_then(some),
        StickyBy::Json(pointer) => call::json(pointer)
            .filter(|text| text != "null")
            .and_then(some),
        StickyBy::System(bytes) => system(*bytes),
    });
    found.next()
}

fn some(text: String) -> Option<u64> {
    (!text.is_empty()).then(|| hash(text.as_bytes()))
}

fn system(bytes: usize) -> Option<u64> {
    let messages = call::messages();
    let first = messages.first()?;
    if !matches!(first.role.as_str(), "system" | "developer") || first.text.is_empty() {
        return None;
    }
    let text = first.text.as_bytes();
    Some(hash(text.get(..bytes).unwrap_or(text)))
}

/// Lower is nearer. Dividing the logarithm of an even draw by the weight gives each channel its
/// weight's share of all calls.
pub(crate) fn score(sticky: u64, channel: u64, weight: u32) -> f32 {
    let even = unit(mix(sticky ^ mix(channel))).max(f32::MIN_POSITIVE);
    -even.ln() / super::weighted::share(weight.max(1))
}

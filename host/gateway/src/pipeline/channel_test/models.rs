//! Which models a test asks, where nobody named any.

use serde_json::Value;
use weir_wire::dialect::Family;

use crate::pipeline::channel::Channel;

/// Models of a provider's own list that are asked at most: a test of all hundred would cost money
/// that nobody meant to spend.
pub(super) const LISTED_MAX: usize = 5;

/// Words in the names of models that neither chat nor make vectors of text.
const OTHER_KINDS: [&str; 18] = [
    "audio",
    "dall-e",
    "dictation",
    "flux",
    "image",
    "imagen",
    "moderation",
    "ocr",
    "realtime",
    "rerank",
    "sora",
    "speech",
    "stable-diffusion",
    "transcribe",
    "tts",
    "veo",
    "video",
    "whisper",
];

/// The models that the channel itself names: patterns without a wildcard, and what it maps.
pub(super) fn named(channel: &Channel) -> Vec<String> {
    let literal = |pattern: &&String| !pattern.contains(['*', '?', '[', '{', '\\']);
    let patterns = channel.models.patterns().iter().filter(literal);
    let mut names: Vec<String> = patterns.chain(channel.model_map.keys()).cloned().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The first models of a provider's list that can be asked and that the channel serves; none where
/// it is no list.
pub(super) fn listed(family: Family, channel: &Channel, body: &[u8]) -> Option<Vec<String>> {
    let list: Value = serde_json::from_slice(body).ok()?;
    let (entries, name) = match family {
        Family::Openai | Family::Anthropic => (list.get("data")?, "id"),
        Family::Gemini => (list.get("models")?, "name"),
    };
    let name = |entry: &Value| {
        let name = entry.get(name)?.as_str()?;
        Some(name.strip_prefix("models/").unwrap_or(name).to_owned())
    };
    let names = entries
        .as_array()?
        .iter()
        .filter(|entry| can_be_asked(entry))
        .filter_map(name)
        .filter(|name| is_askable(name) && channel.models.is_match(name));
    Some(names.take(LISTED_MAX).collect())
}

fn is_askable(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !OTHER_KINDS.iter().any(|word| name.contains(word))
}

/// Gemini's list says what a model can do; an entry that says nothing can be asked.
fn can_be_asked(entry: &Value) -> bool {
    let methods = entry
        .get("supportedGenerationMethods")
        .and_then(Value::as_array);
    methods.is_none_or(|methods| {
        methods.iter().any(|method| {
            matches!(
                method.as_str(),
                Some("generateContent" | "embedContent" | "streamGenerateContent")
            )
        })
    })
}

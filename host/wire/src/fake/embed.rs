//! Vectors that mean nothing but are always the same for the same text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::options::Options;
use super::prompt::words_of;
use super::{Content, Request};

/// The length of a vector where the request names none.
pub(super) const DIMENSIONS_DEFAULT: u64 = 256;
/// The longest vector.
const DIMENSIONS_MAX: u64 = 4096;
/// The most inputs of one request, as with OpenAI.
const INPUTS_MAX: usize = 2048;

/// `POST /v1/embeddings`.
pub(super) fn openai(request: &Request<'_>, body: &Value, options: &Options) -> Content {
    let none = Value::Null;
    let input = body.get("input").unwrap_or(&none);
    let inputs: Vec<&Value> = match input.as_array() {
        // A list of numbers is one text in tokens.
        Some(all) if !all.first().is_some_and(Value::is_number) => {
            all.iter().take(INPUTS_MAX).collect()
        }
        _ => vec![input],
    };
    let dimensions = body.get("dimensions").and_then(Value::as_u64);
    let packed = body.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = vector(text, dimensions);
            let embedding = if packed {
                pack(&vector).into()
            } else {
                floats(&vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let tokens = options.input_tokens.unwrap_or(words_of(input).max(1));
    Content::Json(json!({
        "object": "list",
        "data": data,
        "model": request.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }))
}

/// The vector of `text`, of length one, in JSON numbers.
pub(super) fn values(text: &Value, dimensions: Option<u64>) -> Value {
    floats(&vector(text, dimensions))
}

fn floats(vector: &[f32]) -> Value {
    vector.iter().map(|number| json!(number)).collect()
}

/// Little-endian 32-bit floats in base64, as OpenAI's SDKs ask for by default.
fn pack(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    STANDARD.encode(bytes)
}

fn vector(text: &Value, dimensions: Option<u64>) -> Vec<f32> {
    let dimensions = dimensions
        .unwrap_or(DIMENSIONS_DEFAULT)
        .clamp(1, DIMENSIONS_MAX);
    let mut state = fnv1a(text.to_string().as_bytes());
    let raw: Vec<f32> = (0..dimensions).map(|_| unit(next(&mut state))).collect();
    let length = raw.iter().map(|number| number * number).sum::<f32>().sqrt();
    let scale = if length > 0.0 { length.recip() } else { 1.0 };
    raw.iter().map(|number| number * scale).collect()
}

/// FNV-1a, 64 bits: enough to tell texts apart, and the same on every machine.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The next number of the SplitMix64 sequence.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A number from -1 up to 1, from the top 16 bits, which a 32-bit float holds exactly.
fn unit(bits: u64) -> f32 {
    let top = u16::try_from(bits >> 48).unwrap_or(u16::MAX);
    f32::from(top) / 32768.0 - 1.0
}

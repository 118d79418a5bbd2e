//! How many tokens a text is, by the tokenizer of the model that is named.

use tiktoken_rs::CoreBPE;
use tiktoken_rs::tokenizer::{Tokenizer, get_tokenizer};

/// Bytes that are really tokenized. A tokenizer's time can grow faster than its text, and policies
/// choose the text; the rest counts in proportion.
const EXACT_MAX_BYTES: usize = 256 << 10;

/// Tokens of `text`. Models of other makers count as OpenAI's newer ones do, which is close.
/// Takes milliseconds, the first time for each tokenizer some hundreds: not for a worker's thread.
pub(super) fn count(model: &str, text: &str) -> u32 {
    let exact = text
        .get(..text.floor_char_boundary(EXACT_MAX_BYTES))
        .unwrap_or(text);
    let tokens = tokenizer(model).encode_ordinary(exact).len() as u64;
    let all = tokens * text.len() as u64 / (exact.len() as u64).max(1);
    u32::try_from(all).unwrap_or(u32::MAX)
}

fn tokenizer(model: &str) -> &'static CoreBPE {
    // Aggregators put the maker before the model.
    let bare = model.rsplit('/').next().unwrap_or(model);
    match get_tokenizer(bare) {
        Some(Tokenizer::Cl100kBase) => tiktoken_rs::cl100k_base_singleton(),
        _ => tiktoken_rs::o200k_base_singleton(),
    }
}

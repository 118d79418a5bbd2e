//! What a call used, in one shape for every dialect.

use serde::{Deserialize, Serialize};

/// Tokens and money of one call. What a provider did not report is zero.
///
/// `input_tokens` and `output_tokens` are totals: the cached and cache-write tokens are parts of
/// the input, the reasoning tokens a part of the output, whichever way the provider splits them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// All tokens of the prompt, cached ones included.
    pub input_tokens: u64,
    /// All tokens that were generated, reasoning included.
    pub output_tokens: u64,
    /// The part of the input that the provider read from its prompt cache.
    pub cached_tokens: u64,
    /// The part of the input that the provider wrote to its prompt cache.
    pub cache_write_tokens: u64,
    /// The part of the output that was reasoning.
    pub reasoning_tokens: u64,
    /// Millionths of the ledger's currency unit.
    pub cost_micros: u64,
    /// True where the host had to estimate because the provider reported nothing.
    pub estimated: bool,
}

impl Usage {
    /// This and another together.
    #[must_use]
    pub fn plus(&self, other: &Usage) -> Usage {
        Usage {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cached_tokens: self.cached_tokens.saturating_add(other.cached_tokens),
            cache_write_tokens: self
                .cache_write_tokens
                .saturating_add(other.cache_write_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            cost_micros: self.cost_micros.saturating_add(other.cost_micros),
            estimated: self.estimated || other.estimated,
        }
    }

    /// Input and output together.
    pub fn total_tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

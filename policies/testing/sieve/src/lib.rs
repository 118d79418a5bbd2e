//! A policy for tests of swaps and trials: denies the calls whose model holds a word, and the word is
//! in the code. Tests write another one over it ([`WORD`]) and so have another version.

use weir_sdk::prelude::*;

/// Eight letters after the colon, filled up with `-`. With `!` in front the policy traps instead.
const WORD: &str = "sieve-word:--------";

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Sieve {}

impl Access for Sieve {
    fn authorize(&self, call: &Summary) -> Result<(), Denial> {
        // Otherwise the compiler would know the word, and what follows from it.
        let word = std::hint::black_box(WORD).trim_end_matches('-');
        let (_, word) = word.split_once(':').unwrap_or_default();
        let (word, traps) = match word.strip_prefix('!') {
            Some(word) => (word, true),
            None => (word, false),
        };
        if word.is_empty() || !call.model.contains(word) {
            return Ok(());
        }
        assert!(!traps, "told to trap");
        Err(Denial::forbidden(
            "sieved",
            "This model is not let through; ask for another.",
        ))
    }
}

weir_sdk::export!(Sieve: access);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::Host;

    #[test]
    fn without_a_word_it_lets_everything_through() {
        let sieve = Sieve::configure("{}").unwrap();
        assert!(Host::new().run(|call| sieve.authorize(call)).0.is_ok());
    }
}

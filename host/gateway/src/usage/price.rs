//! The catalogue of prices and the arithmetic on it.

use serde::Deserialize;
use weir_base::Usage;

use crate::config::Globs;

/// What a million tokens cost, in millionths of the currency unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Price {
    /// Prompt tokens that were not cached.
    pub input_micros_per_million: u64,
    /// Generated tokens.
    pub output_micros_per_million: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached_micros_per_million: u64,
    /// Prompt tokens written to the provider's cache.
    pub cache_write_micros_per_million: u64,
}

impl Price {
    /// What `usage` costs, in micros, rounded to the nearest.
    pub fn cost_micros(&self, usage: &Usage) -> u64 {
        let apart = usage.cached_tokens.saturating_add(usage.cache_write_tokens);
        let parts = [
            (
                usage.input_tokens.saturating_sub(apart),
                self.input_micros_per_million,
            ),
            (usage.cached_tokens, self.cached_micros_per_million),
            (
                usage.cache_write_tokens,
                self.cache_write_micros_per_million,
            ),
            (usage.output_tokens, self.output_micros_per_million),
        ];
        let total: u128 = parts
            .iter()
            .map(|&(tokens, price)| u128::from(tokens) * u128::from(price))
            .sum();
        u64::try_from((total + 500_000) / 1_000_000).unwrap_or(u64::MAX)
    }
}

/// One price and the calls it applies to.
#[derive(Debug)]
pub struct PriceRule {
    /// Models, with `*`.
    pub model: Globs,
    /// Channels, with `*`.
    pub channel: Globs,
    /// Tenants, with `*`.
    pub tenant: Globs,
    /// The price.
    pub price: Price,
}

/// All prices: what the operator wrote first, then the catalogue that comes with Weir. The first
/// rule that fits a call gives its price.
#[derive(Debug, Default)]
pub struct PriceBook(Vec<PriceRule>);

impl PriceBook {
    /// The operator's rules, then the built-in catalogue. Where several rules of the catalogue fit
    /// a model the longest pattern wins, so that `gpt-4o-mini*` stands before `gpt-4o*`.
    pub fn new(mut operators: Vec<PriceRule>) -> Self {
        operators.extend(catalogue());
        Self(operators)
    }

    /// The price of `model` over `channel` for `tenant`, where one is known. `channel` is absent
    /// before a call has been routed.
    pub fn find(&self, tenant: &str, channel: Option<&str>, model: &str) -> Option<Price> {
        let fits = |rule: &&PriceRule| {
            rule.model.is_match(model)
                && rule.tenant.is_match(tenant)
                && (rule.channel.is_everything()
                    || channel.is_some_and(|name| rule.channel.is_match(name)))
        };
        self.0.iter().find(fits).map(|rule| rule.price)
    }
}

/// The entries of `prices.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    price: Vec<Entry>,
}

/// One entry of the catalogue; `date` and `source` say where the figure is from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    model: String,
    input: u64,
    output: u64,
    cached: Option<u64>,
    cache_write: Option<u64>,
    #[expect(dead_code, reason = "kept beside each figure for whoever checks it")]
    date: String,
    #[expect(dead_code, reason = "kept beside each figure for whoever checks it")]
    source: String,
}

fn catalogue() -> Vec<PriceRule> {
    let parsed = toml::from_str::<Catalogue>(include_str!("prices.toml"));
    // The file is part of the program and a test reads it, so a failure cannot reach a user.
    let mut entries = parsed.map(|catalogue| catalogue.price).unwrap_or_default();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.model.len()));
    let rule = |entry: Entry| {
        let price = Price {
            input_micros_per_million: entry.input,
            output_micros_per_million: entry.output,
            cached_micros_per_million: entry.cached.unwrap_or(entry.input),
            cache_write_micros_per_million: entry.cache_write.unwrap_or(entry.input),
        };
        let model = Globs::new(vec![entry.model]).ok()?;
        Some(PriceRule {
            model,
            channel: Globs::everything(),
            tenant: Globs::everything(),
            price,
        })
    };
    entries.into_iter().filter_map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_read_and_the_longest_pattern_wins() {
        assert!(catalogue().len() > 10);
        let book = PriceBook::new(Vec::new());
        let price = |model| {
            book.find("t", None, model)
                .map(|price| price.input_micros_per_million)
        };
        assert_eq!(price("gpt-4o-mini"), Some(150_000));
        assert_eq!(price("gpt-4o-2024-08-06"), Some(2_500_000));
        assert_eq!(price("nobody-knows"), None);
    }

    #[test]
    fn cached_tokens_are_not_paid_for_twice() {
        let price = Price {
            input_micros_per_million: 1_000_000,
            output_micros_per_million: 2_000_000,
            cached_micros_per_million: 100_000,
            cache_write_micros_per_million: 1_250_000,
        };
        let usage = Usage {
            input_tokens: 100,
            cached_tokens: 50,
            cache_write_tokens: 20,
            output_tokens: 10,
            ..Usage::default()
        };
        assert_eq!(price.cost_micros(&usage), 30 + 5 + 25 + 20);
    }

    #[test]
    fn the_operators_price_comes_first() {
        let own = PriceRule {
            model: Globs::new(vec!["gpt-4o*".into()]).unwrap(),
            channel: Globs::new(vec!["cheap".into()]).unwrap(),
            tenant: Globs::everything(),
            price: Price {
                input_micros_per_million: 1,
                ..Price::default()
            },
        };
        let book = PriceBook::new(vec![own]);
        assert_eq!(
            book.find("t", Some("cheap"), "gpt-4o-mini")
                .unwrap()
                .input_micros_per_million,
            1
        );
        assert_eq!(
            book.find("t", None, "gpt-4o-mini")
                .unwrap()
                .input_micros_per_million,
            150_000
        );
    }
}

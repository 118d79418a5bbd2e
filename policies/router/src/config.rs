//! The configuration of the router.

use std::cell::RefCell;

use weir_sdk::prelude::*;

use crate::facts::Facts;
use crate::rules::Rules;
use crate::strategy::Strategy;
use crate::strategy::affinity::StickyBy;
use crate::strategy::least_cost;

/// The policy: its settings, checked.
#[derive(Debug)]
pub struct Router {
    pub(crate) strategy: Strategy,
    pub(crate) rules: Rules,
    /// What was asked of the host about channels. An instance has one thread.
    pub(crate) facts: RefCell<Facts>,
    pub(crate) explore: f32,
    pub(crate) headroom_min: f32,
    pub(crate) max_attempts: usize,
    pub(crate) error_impact: f32,
    pub(crate) latency_impact: f32,
    pub(crate) drops_unusable: bool,
    pub(crate) retry_after_ms: u32,
    pub(crate) first_byte_timeout_ms: Option<u32>,
    pub(crate) hedge_after_ms: Option<u32>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    strategy: Name,
    latency_max_ms: Option<u32>,
    output_tokens: u32,
    sticky_by: OneOrMore,
    explore: f32,
    headroom_min: f32,
    rules: Rules,
    max_attempts: u32,
    error_impact: f32,
    latency_impact: f32,
    unusable: Unusable,
    retry_after_ms: u32,
    first_byte_timeout_ms: Option<u32>,
    hedge_after_ms: Option<u32>,
}

#[derive(serde::Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Name {
    Weighted,
    LeastLatency,
    LeastCost,
    TwoChoices,
    Affinity,
}

#[derive(serde::Deserialize)]
#[serde(try_from = "Written")]
struct OneOrMore(Vec<StickyBy>);

/// `"key"` or `["/prompt_cache_key", "key"]`.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Written {
    One(String),
    More(Vec<String>),
}

impl TryFrom<Written> for OneOrMore {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let entries = match written {
            Written::One(entry) => vec![entry],
            Written::More(entries) => entries,
        };
        let read = entries.into_iter().map(StickyBy::try_from);
        read.collect::<Result<_, _>>().map(OneOrMore)
    }
}

#[derive(serde::Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Unusable {
    Last,
    Drop,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            strategy: Name::Weighted,
            latency_max_ms: None,
            output_tokens: 500,
            sticky_by: OneOrMore(vec![StickyBy::Key]),
            explore: 0.02,
            headroom_min: 0.05,
            rules: Rules::default(),
            max_attempts: 3,
            error_impact: 0.9,
            latency_impact: 0.5,
            unusable: Unusable::Last,
            retry_after_ms: 5_000,
            first_byte_timeout_ms: None,
            hedge_after_ms: None,
        }
    }
}

impl Config {
    fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if self.max_attempts == 0 {
            errors.push("max_attempts: is 0, and so no call could be made".to_owned());
        }
        for (name, value) in [
            ("error_impact", self.error_impact),
            ("latency_impact", self.latency_impact),
            ("explore", self.explore),
            ("headroom_min", self.headroom_min),
        ] {
            if !(0.0..=1.0).contains(&value) {
                errors.push(format!("{name}: {value} is not between 0 and 1"));
            }
        }
        for (name, value) in [
            ("latency_max_ms", self.latency_max_ms),
            ("first_byte_timeout_ms", self.first_byte_timeout_ms),
            ("hedge_after_ms", self.hedge_after_ms),
        ] {
            if value == Some(0) {
                errors.push(format!("{name}: is 0; leave it out for none"));
            }
        }
        if self.latency_max_ms.is_some() && self.strategy != Name::LeastCost {
            errors.push("latency_max_ms: is for the strategy least_cost only".to_owned());
        }
        if self.sticky_by.0.is_empty() {
            errors.push("sticky_by: is empty; leave it out for the virtual key".to_owned());
        }
        errors.extend(self.rules.errors());
        errors
    }
}

impl Policy for Router {
    fn configure(config: &str) -> Result<Self, Vec<String>> {
        let config: Config = weir_sdk::config::parse(config)?;
        let errors = config.errors();
        if !errors.is_empty() {
            return Err(errors);
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a bound on a mean of milliseconds"
        )]
        let latency_max_ms = config.latency_max_ms.map_or(f32::INFINITY, |ms| ms as f32);
        let strategy = match config.strategy {
            Name::Weighted => Strategy::Weighted,
            Name::LeastLatency => Strategy::LeastLatency,
            Name::LeastCost => Strategy::LeastCost(least_cost::Settings {
                latency_max_ms,
                output_tokens: config.output_tokens,
            }),
            Name::TwoChoices => Strategy::TwoChoices,
            Name::Affinity => Strategy::Affinity(config.sticky_by.0),
        };
        Ok(Router {
            strategy,
            rules: config.rules,
            facts: RefCell::default(),
            explore: config.explore,
            headroom_min: config.headroom_min,
            max_attempts: config.max_attempts as usize,
            error_impact: config.error_impact,
            latency_impact: config.latency_impact,
            drops_unusable: config.unusable == Unusable::Drop,
            retry_after_ms: config.retry_after_ms,
            first_byte_timeout_ms: config.first_byte_timeout_ms,
            hedge_after_ms: config.hedge_after_ms,
        })
    }
}

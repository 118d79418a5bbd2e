//! The configuration of the router.

use weir_sdk::prelude::*;

/// The policy: its settings, checked.
#[derive(Debug)]
pub struct Router {
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
    max_attempts: u32,
    error_impact: f32,
    latency_impact: f32,
    unusable: Unusable,
    retry_after_ms: u32,
    first_byte_timeout_ms: Option<u32>,
    hedge_after_ms: Option<u32>,
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

impl Policy for Router {
    fn configure(config: &str) -> Result<Self, Vec<String>> {
        let config: Config = weir_sdk::config::parse(config)?;
        let mut errors = Vec::new();
        if config.max_attempts == 0 {
            errors.push("max_attempts: is 0, and so no call could be made".to_owned());
        }
        for (name, value) in [
            ("error_impact", config.error_impact),
            ("latency_impact", config.latency_impact),
        ] {
            if !(0.0..=1.0).contains(&value) {
                errors.push(format!("{name}: {value} is not between 0 and 1"));
            }
        }
        for (name, value) in [
            ("first_byte_timeout_ms", config.first_byte_timeout_ms),
            ("hedge_after_ms", config.hedge_after_ms),
        ] {
            if value == Some(0) {
                errors.push(format!("{name}: is 0; leave it out for none"));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Router {
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

//! One way to a provider, as one snapshot sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use weir_base::{Operation, Secret};
use weir_upstream::{Origin, Timeouts};
use weir_wire::dialect::Family;
use weir_wire::fake;
use weir_wire::prefill::Form;

use super::health::{Health, Terms};
use crate::config::{BalanceSource, Globs, StickyBy};
use crate::keys::KeyPool;
use crate::telemetry::ChannelMetrics;

/// Where a channel's calls go.
#[derive(Debug)]
pub enum Target {
    /// A provider that speaks `family`, at an origin, below a path.
    Http {
        /// The dialects that it speaks.
        family: Family,
        /// Where it is.
        origin: Origin,
        /// The path of its base URL.
        base_path: String,
    },
    /// The built-in provider, which answers in every dialect.
    Fake(Box<fake::Options>),
}

/// The times of a channel, by kind of call.
#[derive(Debug)]
pub struct ChannelTimeouts {
    /// Those of all kinds that are not below.
    pub usual: Timeouts,
    /// Those of kinds that have their own; few or none.
    pub special: Vec<(Operation, Timeouts)>,
}

impl ChannelTimeouts {
    /// The times for calls of this kind.
    pub fn of(&self, operation: Operation) -> &Timeouts {
        let special = self.special.iter().find(|(kind, _)| *kind == operation);
        special.map_or(&self.usual, |(_, timeouts)| timeouts)
    }
}

/// One way to a provider: dialect, address, models, and a pool of provider keys.
#[derive(Debug)]
pub struct Channel {
    /// Unique name.
    pub name: Arc<str>,
    /// What policies call it: the same across reloads as long as its settings are.
    pub number: u32,
    /// Facts for policies.
    pub labels: BTreeMap<String, String>,
    /// The word of the configuration for its dialect.
    pub provider: &'static str,
    /// Where its calls go.
    pub target: Target,
    /// The models it serves, with `*`.
    pub models: Globs,
    /// Tenants whose calls it serves.
    pub tenants: Globs,
    /// Other names for its models: what the caller asks for, and what the provider calls it.
    pub model_map: BTreeMap<String, String>,
    /// Channels of a higher priority are tried first.
    pub priority: u32,
    /// Share of the traffic among channels of one priority.
    pub weight: u32,
    /// Headers that every request to it carries.
    pub headers: HeaderMap,
    /// Its provider keys.
    pub keys: KeyPool,
    /// What its keys' strategy goes by, where that is `sticky`.
    pub sticky_by: StickyBy,
    /// Whether to ask for the usage of streams whose caller did not ask for it.
    pub stream_usage: bool,
    /// Bounds of one attempt.
    pub timeouts: ChannelTimeouts,
    /// Where its provider tells what is left on the account.
    pub balance: BalanceSource,
    /// Whether the provider is another Weir, which is told where the call has been.
    pub cascade: bool,
    /// How it is asked to go on with a reply that broke off; none where it is not.
    pub prefill: Option<Form>,
    /// When it is left alone for a while.
    pub breaker: Terms,
    /// What has been measured; outlives this snapshot.
    pub health: Arc<Health>,
    /// Where its metrics go.
    pub metrics: ChannelMetrics,
}

impl Channel {
    /// Whether a call of `tenant` in a dialect of `family` for `model` can go here. A call without a
    /// model (files, lists) can go to any channel of its family.
    pub fn serves(&self, family: Family, tenant: &str, model: &str) -> bool {
        let speaks = match &self.target {
            Target::Http { family: own, .. } => *own == family,
            Target::Fake(_) => true,
        };
        speaks
            && self.tenants.is_match(tenant)
            && (model.is_empty()
                || self.model_map.contains_key(model)
                || self.models.is_match(model))
    }

    /// How many of its keys may be used now. A channel that needs no key counts as one that has one.
    pub fn usable_keys(&self, now_ms: u64) -> u32 {
        if self.keys.keys().is_empty() {
            1
        } else {
            self.keys.usable(now_ms)
        }
    }

    /// What the provider calls `model`.
    pub fn upstream_model<'a>(&'a self, model: &'a str) -> &'a str {
        self.model_map.get(model).map_or(model, String::as_str)
    }
}

/// Joins a channel's base path and the path that the caller asked for.
///
/// A base URL is written as the provider's SDK wants it. OpenAI's ends in the version or in
/// whatever stands for it (`/v1`, `/openai/v1`, `/api/paas/v4`), so it takes the place of the
/// caller's `/v1`; Anthropic's and Gemini's come without it, and where one is written all the same
/// it is not doubled.
pub fn upstream_path(family: Family, base_path: &str, path: &str) -> String {
    let base = base_path.trim_end_matches('/');
    let version_end = path
        .get(1..)
        .and_then(|rest| rest.find('/'))
        .map_or(path.len(), |at| at + 1);
    let (version, rest) = path.split_at(version_end);
    let replaces = match family {
        Family::Openai => !base.is_empty(),
        Family::Anthropic | Family::Gemini => base.ends_with(version),
    };
    let tail = if replaces { rest } else { path };
    [base, tail].concat()
}

/// The header in which providers of `family` take their key.
pub fn key_header(family: Family, secret: &Secret) -> Option<(HeaderName, HeaderValue)> {
    let (name, text) = match family {
        Family::Openai => (
            http::header::AUTHORIZATION,
            format!("Bearer {}", secret.expose()),
        ),
        Family::Anthropic => (
            HeaderName::from_static("x-api-key"),
            secret.expose().to_owned(),
        ),
        Family::Gemini => (
            HeaderName::from_static("x-goog-api-key"),
            secret.expose().to_owned(),
        ),
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_joined_as_each_sdk_writes_them() {
        let cases = [
            (
                Family::Openai,
                "/v1",
                "/v1/chat/completions",
                "/v1/chat/completions",
            ),
            (
                Family::Openai,
                "/openai/v1/",
                "/v1/models",
                "/openai/v1/models",
            ),
            (Family::Openai, "", "/v1/models", "/v1/models"),
            (
                Family::Openai,
                "/v1beta/openai",
                "/v1/chat/completions",
                "/v1beta/openai/chat/completions",
            ),
            (Family::Anthropic, "", "/v1/messages", "/v1/messages"),
            (Family::Anthropic, "/v1", "/v1/messages", "/v1/messages"),
            (
                Family::Anthropic,
                "/anthropic",
                "/v1/messages",
                "/anthropic/v1/messages",
            ),
            (
                Family::Gemini,
                "/v1beta",
                "/v1beta/models/g:generateContent",
                "/v1beta/models/g:generateContent",
            ),
            (Family::Gemini, "", "/v1beta/models", "/v1beta/models"),
        ];
        for (family, base, path, expected) in cases {
            assert_eq!(
                upstream_path(family, base, path),
                expected,
                "{base} + {path}"
            );
        }
    }
}

//! Rules: for some calls, some channels come first, alone, or last.

use std::collections::BTreeMap;

use weir_sdk::hours::Hours;
use weir_sdk::prelude::*;
use weir_sdk::select::{Caller, Patterns, Scope};
use weir_sdk::{channels, clock};

use crate::draw::{hash, mix, unit};
use crate::facts::Known;

/// A bit for each in a `u64`.
pub(crate) const RULES_MAX: usize = 64;

/// The rules in the order of the configuration.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default, rename = "match")]
    scope: Scope,
    percent: Option<f32>,
    input_tokens_min: Option<u32>,
    input_tokens_max: Option<u32>,
    hours: Option<Hours>,
    prefer: Option<Target>,
    only: Option<Target>,
    avoid: Option<Target>,
}

/// Channels: each setting that is there must hold.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Target {
    channels: Option<Patterns>,
    providers: Option<Patterns>,
    labels: BTreeMap<String, Patterns>,
}

/// How a channel stands with the rules that apply; the number is its place in a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Preferred = 0,
    Neutral = 1,
    Avoided = 2,
}

/// The rules that apply to a call, a bit each.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Applying {
    all: u64,
    /// Those with `only`.
    narrowing: u64,
}

impl Applying {
    pub(crate) fn is_none(self) -> bool {
        self.all == 0
    }

    /// How the channel stands; none where a rule leaves it out. Of the rules that name it, the last
    /// one decides, and `avoid` where one rule says both.
    pub(crate) fn standing(self, known: Known) -> Option<Standing> {
        if self.narrowing & !known.only != 0 {
            return None;
        }
        let (preferred, avoided) = (self.all & known.preferred, self.all & known.avoided);
        Some(if preferred | avoided == 0 {
            Standing::Neutral
        } else if preferred.leading_zeros() < avoided.leading_zeros() {
            Standing::Preferred
        } else {
            Standing::Avoided
        })
    }
}

impl Rules {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with them, a sentence each.
    pub(crate) fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if self.0.len() > RULES_MAX {
            errors.push(format!(
                "rules: {} are too many; at most {RULES_MAX}",
                self.0.len()
            ));
        }
        for (index, rule) in self.0.iter().enumerate() {
            if rule.prefer.is_none() && rule.only.is_none() && rule.avoid.is_none() {
                errors.push(format!("rules[{index}]: needs prefer, only or avoid"));
            }
            if let Some(percent) = rule.percent
                && !(0.0..=100.0).contains(&percent)
            {
                errors.push(format!(
                    "rules[{index}].percent: {percent} is not between 0 and 100"
                ));
            }
            let targets = [&rule.prefer, &rule.only, &rule.avoid];
            if targets.into_iter().flatten().any(Target::is_everything) {
                errors.push(format!(
                    "rules[{index}]: a target needs channels, providers or labels"
                ));
            }
        }
        errors
    }

    /// The rules that are for this call.
    pub(crate) fn applying(&self, call: &Summary) -> Applying {
        let mut applying = Applying::default();
        if self.0.is_empty() {
            return applying;
        }
        let caller = Caller::new();
        for (rule, index) in self.0.iter().zip(0..RULES_MAX) {
            if rule.applies(call, &caller) {
                applying.all |= 1 << index;
                applying.narrowing |= u64::from(rule.only.is_some()) << index;
            }
        }
        applying
    }

    /// Which rules name the channel.
    pub(crate) fn naming(&self, channel: u32) -> Known {
        let mut known = Known::default();
        for (rule, index) in self.0.iter().zip(0..RULES_MAX) {
            let bit = |target: &Option<Target>| {
                let named = target.as_ref().is_some_and(|target| target.names(channel));
                u64::from(named) << index
            };
            known.preferred |= bit(&rule.prefer);
            known.only |= bit(&rule.only);
            known.avoided |= bit(&rule.avoid);
        }
        known
    }
}

impl Rule {
    /// What costs a call into the host is looked at last.
    fn applies(&self, call: &Summary, caller: &Caller) -> bool {
        self.input_tokens_min
            .is_none_or(|min| call.input_tokens >= min)
            && self
                .input_tokens_max
                .is_none_or(|max| call.input_tokens <= max)
            && self.scope.matches(call, caller)
            && self
                .percent
                .is_none_or(|percent| place(caller.key()) < percent)
            && self
                .hours
                .as_ref()
                .is_none_or(|hours| hours.contains(clock::now_ms()))
    }
}

/// Where a virtual key stands among all, 0 to 100: a larger share holds all of a smaller one.
fn place(key: &str) -> f32 {
    unit(mix(hash(key.as_bytes()))) * 100.0
}

impl Target {
    fn is_everything(&self) -> bool {
        self.channels.is_none() && self.providers.is_none() && self.labels.is_empty()
    }

    fn names(&self, channel: u32) -> bool {
        let holds = |list: &Option<Patterns>, value: fn(u32) -> String| {
            list.as_ref()
                .is_none_or(|list| list.matches(&value(channel)))
        };
        holds(&self.channels, channels::name)
            && holds(&self.providers, channels::provider)
            && self.labels.iter().all(|(name, values)| {
                channels::label(channel, name).is_some_and(|value| values.matches(&value))
            })
    }
}

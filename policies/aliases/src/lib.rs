//! The aliases policy: model names, parameter defaults, caps and removals, a system prompt.
//!
//! README.md documents the configuration. Values and pointers are made ready at `init`; a call for
//! which there is nothing to do does not ask the host anything. Never here: denying, except where
//! the host refuses an edit.

mod changes;
mod names;

use std::collections::BTreeMap;

use changes::{Changes, Written};
use serde_json::Value;
use weir_sdk::prelude::*;
use weir_sdk::select::{Caller, Scope};

/// The policy: what is done to every call, and rules for some.
pub struct Aliases {
    everywhere: Changes,
    rules: Vec<(Scope, Changes)>,
}

/// The configuration. serde cannot both flatten and refuse unknown settings, so the five settings
/// stand twice.
#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Config {
    aliases: BTreeMap<String, String>,
    defaults: BTreeMap<String, Value>,
    caps: BTreeMap<String, f64>,
    remove: Vec<String>,
    system: Option<String>,
    rules: Vec<RuleConfig>,
}

#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RuleConfig {
    #[serde(rename = "match")]
    scope: Scope,
    aliases: BTreeMap<String, String>,
    defaults: BTreeMap<String, Value>,
    caps: BTreeMap<String, f64>,
    remove: Vec<String>,
    system: Option<String>,
}

impl Policy for Aliases {
    fn configure(config: &str) -> Result<Self, Vec<String>> {
        let Config {
            aliases,
            defaults,
            caps,
            remove,
            system,
            rules,
        } = weir_sdk::config::parse(config)?;
        let mut errors = Vec::new();
        let mut compile = |at: &str, written: Written| {
            written.compile().unwrap_or_else(|error| {
                errors.push(format!("{at}{error}"));
                Changes::default()
            })
        };
        let everywhere = compile(
            "",
            Written {
                aliases,
                defaults,
                caps,
                remove,
                system,
            },
        );
        let mut compiled = Vec::with_capacity(rules.len());
        for (index, rule) in rules.into_iter().enumerate() {
            let RuleConfig {
                scope,
                aliases,
                defaults,
                caps,
                remove,
                system,
            } = rule;
            let written = Written {
                aliases,
                defaults,
                caps,
                remove,
                system,
            };
            compiled.push((scope, compile(&format!("rules[{index}]."), written)));
        }
        if errors.is_empty() {
            Ok(Aliases {
                everywhere,
                rules: compiled,
            })
        } else {
            Err(errors)
        }
    }
}

impl Rewrite for Aliases {
    fn rewrite(&self, call: &Summary) -> Result<(), Denial> {
        let caller = Caller::new();
        let (mut untouched, mut renamed) = (true, false);
        for (scope, changes) in &self.rules {
            if !changes.is_nothing_for(call, renamed) && scope.matches(call, &caller) {
                renamed |= changes.apply(call, untouched, renamed).map_err(refused)?;
                untouched = false;
            }
        }
        if !self.everywhere.is_nothing_for(call, renamed) {
            self.everywhere
                .apply(call, untouched, renamed)
                .map_err(refused)?;
        }
        Ok(())
    }
}

/// The host refused an edit: without it the call is not what the operator wants it to be.
fn refused(error: String) -> Denial {
    Denial::bad_request(
        "request_not_editable",
        format!("The request cannot be adapted: {error}."),
    )
}

weir_sdk::export!(Aliases: rewrite);

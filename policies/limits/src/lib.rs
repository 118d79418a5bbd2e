//! The limits policy: which limits a call falls under. The host counts; this names the counters.
//!
//! README.md documents the configuration, `config.rs` turns it into `Rule`s that a hook only has
//! to fill in with the call's own names. Never here: counting, and refusing for want of a limit.

mod config;

use config::{Compiled, Dimension};
use weir_sdk::prelude::*;
use weir_sdk::select::Caller;

/// The policy: the limits in the order of the configuration.
pub struct Limits {
    limits: Vec<Compiled>,
}

impl Policy for Limits {
    fn configure(config: &str) -> Result<Self, Vec<String>> {
        Ok(Limits {
            limits: config::compile(weir_sdk::config::parse(config)?)?,
        })
    }
}

impl Limit for Limits {
    fn limits(&self, call: &Summary) -> Result<Vec<Rule>, Denial> {
        let caller = Caller::new();
        let mut rules = Vec::with_capacity(self.limits.len());
        for limit in &self.limits {
            if !limit.scope.matches(call, &caller) {
                continue;
            }
            if let Some(bound) = limit.bound() {
                let key = limit.key(call, &caller);
                rules.push(Rule {
                    key,
                    unit: limit.unit,
                    window: limit.window,
                    limit: bound,
                });
            }
        }
        // All that a limit depends on stays the same for this key.
        weir_sdk::call::remember(REMEMBER_MS);
        Ok(rules)
    }
}

/// For how long the gateway may use the rules of a call for others like it.
const REMEMBER_MS: u32 = 60_000;

impl Compiled {
    /// How much of the unit the window holds; none where the limit is not for this call.
    fn bound(&self) -> Option<u64> {
        match &self.by_label {
            None => self.limit,
            Some((label, values)) => {
                let value = weir_sdk::call::label(label);
                value
                    .and_then(|value| values.get(value.as_str()).copied())
                    .or(self.limit)
            }
        }
    }

    /// The counter's name: what the limit is, then whose it is. The model stands last because the
    /// caller chooses it: no name of a model can end up in another's place.
    fn key(&self, call: &Summary, caller: &Caller) -> String {
        let part = |dimension| match dimension {
            Dimension::Tenant => caller.tenant(),
            Dimension::Key => caller.key(),
            Dimension::Model => call.model.as_str(),
        };
        let length: usize = self
            .per
            .iter()
            .map(|dimension| part(*dimension).len() + 1)
            .sum();
        let mut key = String::with_capacity(self.prefix.len() + length);
        key.push_str(&self.prefix);
        for dimension in &self.per {
            key.push('/');
            key.push_str(part(*dimension));
        }
        key
    }
}

weir_sdk::export!(Limits: limit);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::{Call, Host};

    #[test]
    fn keys_hold_no_room_to_spare() {
        let config = r#"{"limits":[{"per":["key","model"],"unit":"requests","window":"minute","limit":1},
                {"match":{"keys":["key_1"]},"per":["key"],"unit":"requests","window":"day","limit":9}]}"#;
        let policy = Limits::configure(config).unwrap();
        let (rules, seen) = Host::new()
            .call(Call::chat("a/b"))
            .run(|call| policy.limits(call));
        let rules = rules.unwrap();
        let rule = &rules[0];
        assert_eq!(rule.key, "requests:60s:key,model/key_1/a/b");
        assert_eq!(rule.key.capacity(), rule.key.len());
        assert_eq!((rules.len(), seen.imports), (2, 1), "the key, once");
    }
}

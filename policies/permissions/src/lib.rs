//! The permissions policy: which models, operations, client addresses and times a call may have.
//!
//! README.md documents the configuration. Everything is read and normalised at `init`; the hook
//! compares, and calls into the host only for what the configuration names: addresses, hours, and
//! whose calls a rule is for. Never here: counting (that is `limits`), changing the call (that is `aliases`).

mod addresses;

use addresses::Addresses;
use weir_sdk::hours::Hours;
use weir_sdk::prelude::*;
use weir_sdk::select::{Caller, Patterns, Scope};

/// The policy: what holds for every call, and rules that narrow it for some.
#[derive(Debug, serde::Deserialize)]
#[serde(from = "Config")]
pub struct Permissions {
    everywhere: Lists,
    rules: Vec<(Scope, Lists)>,
    /// Some list is one of hours, so that an answer holds for now only.
    depends_on_time: bool,
}

/// For how long the gateway may let calls like one that was allowed pass without asking.
const REMEMBER_MS: u32 = 60_000;

/// The configuration as it is written. serde cannot both flatten and refuse unknown settings, so
/// the four lists stand twice.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Config {
    models: Option<Patterns>,
    operations: Option<Operations>,
    addresses: Option<Addresses>,
    hours: Option<Hours>,
    rules: Vec<RuleConfig>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleConfig {
    #[serde(default, rename = "match")]
    scope: Scope,
    models: Option<Patterns>,
    operations: Option<Operations>,
    addresses: Option<Addresses>,
    hours: Option<Hours>,
}

impl From<Config> for Permissions {
    fn from(config: Config) -> Self {
        let Config {
            models,
            operations,
            addresses,
            hours,
            rules,
        } = config;
        let rules = rules.into_iter().map(|rule| {
            let RuleConfig {
                scope,
                models,
                operations,
                addresses,
                hours,
            } = rule;
            (
                scope,
                Lists {
                    models,
                    operations,
                    addresses,
                    hours,
                },
            )
        });
        let everywhere = Lists {
            models,
            operations,
            addresses,
            hours,
        };
        let rules: Vec<(Scope, Lists)> = rules.collect();
        let depends_on_time =
            everywhere.hours.is_some() || rules.iter().any(|(_, lists)| lists.hours.is_some());
        Permissions {
            depends_on_time,
            everywhere,
            rules,
        }
    }
}

/// What a call must have to pass; what is not there is not asked.
#[derive(Debug)]
struct Lists {
    models: Option<Patterns>,
    operations: Option<Operations>,
    addresses: Option<Addresses>,
    hours: Option<Hours>,
}

/// The allowed operations, one bit each.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(try_from = "Vec<String>")]
struct Operations(u32);

impl TryFrom<Vec<String>> for Operations {
    type Error = String;

    fn try_from(entries: Vec<String>) -> Result<Self, String> {
        let list = Patterns::new(&entries)?;
        for entry in &entries {
            // A misspelt operation would silently allow or deny nothing.
            let one = Patterns::new(&[entry.trim_start_matches('-')])?;
            if !Operation::ALL
                .iter()
                .any(|operation| one.matches(operation.as_str()))
            {
                return Err(format!("no operation is called `{entry}`"));
            }
        }
        let allowed = Operation::ALL
            .iter()
            .filter(|operation| list.matches(operation.as_str()));
        Ok(Operations(
            allowed.fold(0, |bits, operation| bits | 1 << *operation as u32),
        ))
    }
}

impl Access for Permissions {
    fn authorize(&self, call: &Summary) -> Result<(), Denial> {
        let caller = Caller::new();
        self.everywhere.check(call, &caller)?;
        for (scope, lists) in &self.rules {
            // The scope last: it may ask the host who calls, and most calls pass anyway.
            if let Err(refusal) = lists.check(call, &caller)
                && scope.matches(call, &caller)
            {
                return Err(refusal.into());
            }
        }
        if !self.depends_on_time {
            weir_sdk::call::remember(REMEMBER_MS);
        }
        Ok(())
    }
}

/// Which list a call did not pass; it becomes a sentence only when the call is denied by it.
enum Refusal<'a> {
    Model(&'a str),
    Operation(Operation),
    Address(&'a str),
    Time,
}

impl Lists {
    fn check<'a>(&self, call: &'a Summary, caller: &'a Caller) -> Result<(), Refusal<'a>> {
        if self
            .operations
            .is_some_and(|list| list.0 & (1 << call.operation as u32) == 0)
        {
            return Err(Refusal::Operation(call.operation));
        }
        // An operation without a model (files, the list of models) is for `operations` to keep out.
        if !call.model.is_empty()
            && self
                .models
                .as_ref()
                .is_some_and(|list| !list.matches(&call.model))
        {
            return Err(Refusal::Model(&call.model));
        }
        if self
            .addresses
            .as_ref()
            .is_some_and(|list| !list.contains(caller.client_ip()))
        {
            return Err(Refusal::Address(caller.client_ip()));
        }
        if self
            .hours
            .as_ref()
            .is_some_and(|hours| !hours.contains(weir_sdk::clock::now_ms()))
        {
            return Err(Refusal::Time);
        }
        Ok(())
    }
}

impl From<Refusal<'_>> for Denial {
    fn from(refusal: Refusal<'_>) -> Denial {
        let (code, message) = match refusal {
            Refusal::Model(model) => (
                "model_not_allowed",
                format!("This key may not use the model `{model}`; ask for one that it may use."),
            ),
            Refusal::Operation(operation) => (
                "operation_not_allowed",
                format!(
                    "This key may not make calls of the kind `{}`.",
                    operation.as_str()
                ),
            ),
            Refusal::Address(address) => (
                "address_not_allowed",
                format!("This key may not be used from the address {address}."),
            ),
            Refusal::Time => (
                "time_not_allowed",
                "This key may not be used at this time.".to_owned(),
            ),
        };
        Denial::forbidden(code, message)
    }
}

weir_sdk::export!(Permissions: access);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::{Call, Cases, Host};

    #[test]
    fn cases() {
        Cases::<Permissions>::of("cases").access().check();
    }

    #[test]
    fn the_host_is_asked_only_for_what_the_configuration_names() {
        let config = r#"{"models":["gpt-*"],"operations":["chat"],"rules":[
            {"match":{"keys":["key_*"],"labels":{"plan":"free"}},"models":["*-mini"]},
            {"match":{"keys":["key_9"]},"models":["*-nano"]}]}"#;
        let imports = |config: &str, model| {
            let policy = Permissions::configure(config).unwrap();
            let mut host = Host::new().call(Call::chat(model).label("plan", "pro"));
            let (result, seen) = host.run(|call| policy.authorize(call));
            result.unwrap();
            seen.imports
        };
        assert_eq!(
            imports(config, "gpt-4o-mini"),
            1,
            "of a rule whose lists the call passes nothing is asked; the other asks for the key"
        );
        assert_eq!(
            imports(config, "gpt-4o"),
            2,
            "the key for both rules, and a label"
        );
        let addresses = r#"{"addresses":["192.0.2.0/24"],"rules":[{"addresses":["192.0.2.1"]}]}"#;
        assert_eq!(imports(addresses, "gpt-4o"), 1, "the address, once");
    }
}

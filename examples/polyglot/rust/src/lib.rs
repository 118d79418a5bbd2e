//! The policy of `../README.md` in Rust.

use std::collections::BTreeMap;

use weir_sdk::prelude::*;
use weir_sdk::select::Pattern;
use weir_sdk::{call, channels, clock, edit};

const HOUR_MS: u64 = 3_600_000;

#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    open_hour: u64,
    close_hour: u64,
    exempt_plan: String,
    denied_models: Vec<String>,
    requests_per_minute: u64,
    instruction: String,
    region: String,
    replace: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            open_hour: 0,
            close_hour: 24,
            exempt_plan: String::new(),
            denied_models: Vec::new(),
            requests_per_minute: 0,
            instruction: String::new(),
            region: String::new(),
            replace: BTreeMap::new(),
        }
    }
}

/// The settings, as the hooks want them.
#[derive(serde::Deserialize)]
#[serde(try_from = "Settings")]
struct Guard {
    settings: Settings,
    denied: Vec<Pattern>,
}

impl TryFrom<Settings> for Guard {
    type Error = String;

    fn try_from(settings: Settings) -> Result<Self, String> {
        if settings.open_hour > 23 {
            return Err("open_hour: must be from 0 to 23".to_owned());
        }
        if settings.close_hour <= settings.open_hour || settings.close_hour > 24 {
            return Err("close_hour: must be from open_hour + 1 to 24".to_owned());
        }
        let models = settings.denied_models.iter();
        let denied = models.map(|model| Pattern::new(model)).collect();
        Ok(Guard { settings, denied })
    }
}

impl Access for Guard {
    fn authorize(&self, call: &Summary) -> Result<(), Denial> {
        if self.denied.iter().any(|model| model.matches(&call.model)) {
            let message = format!("The model `{}` may not be used here.", call.model);
            return Err(Denial::forbidden("model_denied", message));
        }
        let Settings {
            open_hour,
            close_hour,
            exempt_plan,
            ..
        } = &self.settings;
        if (*open_hour, *close_hour) == (0, 24) {
            return Ok(());
        }
        if !exempt_plan.is_empty() && call::label("plan").as_ref() == Some(exempt_plan) {
            return Ok(());
        }
        let now_ms = clock::now_ms();
        let hour = now_ms / HOUR_MS % 24;
        if (*open_hour..*close_hour).contains(&hour) {
            return Ok(());
        }
        let wait_hours = (open_hour + 24 - hour) % 24;
        let message = format!("Calls are allowed from {open_hour} to {close_hour} o'clock UTC.");
        Err(Denial {
            retry_after_ms: u32::try_from(wait_hours * HOUR_MS - now_ms % HOUR_MS).ok(),
            ..Denial::forbidden("closed", message)
        })
    }
}

impl Rewrite for Guard {
    fn rewrite(&self, _: &Summary) -> Result<(), Denial> {
        let instruction = &self.settings.instruction;
        if instruction.is_empty() {
            return Ok(());
        }
        edit::prepend_system(instruction)
            .and_then(|()| edit::set_header("x-guard", "rust"))
            .map_err(|error| {
                let message = format!("The instruction could not be added: {error}");
                Denial::bad_request("not_changed", message)
            })
    }
}

impl Limit for Guard {
    fn limits(&self, _: &Summary) -> Result<Vec<Rule>, Denial> {
        if self.settings.requests_per_minute == 0 {
            return Ok(Vec::new());
        }
        Ok(vec![Rule {
            key: format!("key:{}", call::key()),
            unit: Unit::Requests,
            window: Window::Sliding(60),
            limit: self.settings.requests_per_minute,
        }])
    }
}

impl Route for Guard {
    fn route(&self, _: &Summary, mut candidates: Vec<Candidate>) -> Result<Vec<Attempt>, Denial> {
        let region = &self.settings.region;
        candidates.retain(|one| {
            region.is_empty() || channels::label(one.channel, "region").as_ref() == Some(region)
        });
        if candidates.is_empty() {
            let message = format!("No channel of the region `{region}` serves this model.");
            return Err(Denial::new(503, "no_channel", message));
        }
        // Channels that cannot be used now come last; within each group the highest priority first.
        candidates.sort_by_key(|one| (!one.is_usable(), std::cmp::Reverse(one.priority)));
        Ok(candidates
            .iter()
            .map(|one| Attempt::at(one.channel))
            .collect())
    }
}

impl Events for Guard {
    /// Nothing has to be remembered between events.
    type Stream = ();

    fn open(&self, _: &Summary) -> Option<()> {
        (!self.settings.replace.is_empty()).then_some(())
    }

    fn push(&self, (): &mut (), event: Event) -> Result<Action, Denial> {
        let Event::Text(mut delta) = event else {
            return Ok(Action::Pass);
        };
        let mut text = delta.text.clone();
        for (word, instead) in &self.settings.replace {
            text = text.replace(word, instead);
        }
        if text == delta.text {
            return Ok(Action::Pass);
        }
        delta.text = text;
        Ok(Action::Replace(vec![Event::Text(delta)]))
    }
}

weir_sdk::export!(Guard: access, rewrite, limit, route, events);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::{Call, Host};

    fn guard(config: &str) -> Guard {
        Guard::configure(config).unwrap()
    }

    #[test]
    fn a_denied_model() {
        let policy = guard(r#"{"denied_models": ["gpt-4-*", "o1"]}"#);
        let ask = |model| {
            let mut host = Host::new().call(Call::chat(model));
            host.run(|call| policy.authorize(call)).0
        };
        assert!(ask("gpt-4o").is_ok());
        assert_eq!(ask("gpt-4-32k").unwrap_err().code, "model_denied");
        assert_eq!(ask("o1").unwrap_err().code, "model_denied");
    }

    #[test]
    fn outside_the_hours_only_the_exempt_plan_passes() {
        let policy = guard(r#"{"open_hour": 8, "close_hour": 18, "exempt_plan": "pro"}"#);
        let ask = |plan, after_ms| {
            let mut host = Host::new().call(Call::chat("gpt-4o").label("plan", plan));
            host.advance_ms(after_ms);
            host.run(|call| policy.authorize(call)).0
        };
        assert!(ask("free", 0).is_ok());
        let denial = ask("free", 17 * HOUR_MS / 2).unwrap_err();
        assert_eq!(denial.code, "closed");
        assert_eq!(denial.retry_after_ms, Some(41_400_000));
        assert!(ask("pro", 17 * HOUR_MS / 2).is_ok());
    }

    #[test]
    fn words_of_a_stream() {
        let policy = guard(r#"{"replace": {"secret": "[redacted]"}}"#);
        let event = Event::text("a secret");
        let instead = Action::Replace(vec![Event::text("a [redacted]")]);
        assert_eq!(policy.push(&mut (), event), Ok(instead));
        assert_eq!(policy.push(&mut (), Event::text("plain")), Ok(Action::Pass));
    }

    #[test]
    fn mistakes_in_the_configuration() {
        let errors = |config| Guard::configure(config).err().unwrap().concat();
        assert!(
            errors(r#"{"open_hour": 9, "close_hour": 9}"#)
                .contains("close_hour: must be from open_hour + 1 to 24")
        );
        assert!(errors(r#"{"regoin": "eu"}"#).contains("regoin"));
    }
}

//! Checks what the API is given by the rules of the settings file.
//!
//! There is one definition of what a tenant, channel or policy may be: that of `config`. So what
//! comes as JSON is written as the section of a settings file that it would be, and loaded.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};

use super::error::ApiError;
use crate::config::{self, Config, Loaded, Sources};

/// Checks `entry` as if it stood in the settings file as `[[section]]`, beside the secrets and bounds
/// of `config`. Returns what was loaded.
pub(super) fn check(
    section: &str,
    entry: &impl Serialize,
    config: &Config,
) -> Result<Loaded, ApiError> {
    let value = serde_json::to_value(entry).unwrap_or_default();
    let Value::Object(entry) = value else {
        return Err(ApiError::field("", "must be an object"));
    };
    let mut text = format!(
        "[runtime]\nmemory_max_bytes = {}\n[secrets]\n",
        config.runtime.memory_max_bytes
    );
    for name in config.secrets.keys() {
        // Only that there is such a name matters here.
        let _ = writeln!(text, "{} = \"plain:x\"", quoted(name));
    }
    let _ = writeln!(text, "[[{section}]]");
    for (name, value) in present(&entry) {
        let _ = write!(text, "{} = ", quoted(name));
        write_value(&mut text, value);
        text.push('\n');
    }
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    config::load(&Sources::of_entry(&text, &environment.collect()))
        .map_err(|errors| refusal(section, &errors))
}

/// The mistakes, by the names that the API has for the fields.
fn refusal(section: &str, errors: &config::ConfigErrors) -> ApiError {
    let (place, prefix) = (format!(" in [{section}[0]]"), format!("{section}[0]."));
    let mistake = |error: &config::ConfigError| {
        let field = error.path.strip_prefix(&prefix).unwrap_or_default();
        (field.to_owned(), error.message.replace(&place, ""))
    };
    ApiError::fields(errors.0.iter().map(mistake).collect())
}

fn present(entry: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    entry.iter().filter(|(_, value)| !value.is_null())
}

fn write_value(text: &mut String, value: &Value) {
    match value {
        Value::String(string) => text.push_str(&quoted(string)),
        Value::Array(items) => {
            text.push('[');
            // TOML has no null, and a policy's own configuration is not judged here.
            for item in items.iter().filter(|item| !item.is_null()) {
                write_value(text, item);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(entries) => {
            text.push('{');
            for (index, (name, value)) in present(entries).enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                let _ = write!(text, "{}=", quoted(name));
                write_value(text, value);
            }
            text.push('}');
        }
        other => {
            let _ = write!(text, "{other}");
        }
    }
}

/// A JSON string is a basic string of TOML, but for one character that TOML wants escaped.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

/// Where what is not in the database is declared.
pub(super) fn declared_in(config: &Config) -> String {
    let file = config.file.as_ref().map(|file| file.display().to_string());
    file.unwrap_or_else(|| "the settings that weir started with".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> Config {
        config::load(&Sources::of_text("[secrets]\nmine = \"plain:abc\""))
            .unwrap()
            .config
    }

    #[test]
    fn what_the_file_may_say_the_api_may_say() {
        let policy = json!({
            "name": "p", "source": "builtin:limits", "deadline_ms": 5, "tenants": ["a*"], "on_failure": null,
            "grants": { "secrets": ["mine"], "firewall": true },
            "config": { "odd \"name\"\u{7f}\n": [1, 2.5, -3e300, true, { "a": {} }], "none": null },
        });
        let loaded = check("policy", &policy, &config())
            .map_err(|error| format!("{error:?}"))
            .unwrap();
        let policy = &loaded.config.policies[0];
        assert_eq!(
            (policy.deadline_ms, &*policy.name, policy.grants.firewall),
            (5, "p", true)
        );
        assert_eq!(policy.config["odd \"name\"\u{7f}\n"][2], json!(-3e300));
    }

    #[test]
    fn every_mistake_is_named() {
        let policy = json!({ "name": "p", "source": "builtin:limits", "deadline_ms": 0, "dedline_ms": 1, "grants": { "secrets": ["none"] } });
        let error = format!("{:?}", check("policy", &policy, &config()).unwrap_err());
        for part in [
            "deadline_ms: must be from 1 to 10000",
            "unknown setting",
            "did you mean",
            "[secrets] has no",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}

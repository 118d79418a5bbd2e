//! What the admin API stored, read as if it stood in the settings file.
//!
//! A channel or policy of the API has the same settings, bounds and defaults as a `[[channel]]` or
//! `[[policy]]` of the file, because it goes through the same reader: there is one definition of
//! every setting.

use serde_json::{Map, Value, json};
use weir_store as store;

use crate::config::{self, Config, ConfigErrors, Environment, Sources};

/// Stands in a policy's `source` where its code comes from uploads alone.
pub(super) const UPLOAD: &str = "upload";

/// Reads the settings of a policy of the API: the table of a `[[policy]]` without `name`. `source`
/// may be left out or be `"upload"`; then the policy runs what is uploaded. `memory_max_bytes` is the
/// most that any instance may have. Returns the policy and whether it has a source below uploads.
///
/// # Errors
/// Every mistake, with paths that begin with `policy[0]`.
pub fn policy(
    name: &str,
    settings: &Value,
    memory_max_bytes: usize,
) -> Result<(config::Policy, bool), ConfigErrors> {
    let mut table = settings.as_object().cloned().unwrap_or_default();
    table.insert("name".to_owned(), json!(name));
    let source = table
        .get("source")
        .and_then(Value::as_str)
        .unwrap_or(UPLOAD);
    let has_source = source != UPLOAD;
    if !has_source {
        // The reader wants to know a source; nothing ever opens this one.
        table.insert("source".to_owned(), json!("file:upload"));
    }
    // Whether a granted secret exists is known when it is asked for: secrets live in the file.
    let granted = table
        .get("grants")
        .and_then(|grants| grants.get("secrets"))
        .and_then(Value::as_array);
    let secrets = granted.into_iter().flatten().filter_map(Value::as_str);
    let secrets: Map<_, _> = secrets
        .map(|name| (name.to_owned(), json!("plain:unused")))
        .collect();
    let runtime = json!({ "memory_max_bytes": memory_max_bytes });
    let root = json!({ "policy": [table], "secrets": secrets, "runtime": runtime });
    let loaded = load(&root, &Environment::new())?;
    let policy = loaded.policies.into_iter().next();
    policy
        .map(|policy| (policy, has_source))
        .ok_or_else(|| ConfigErrors(Vec::new()))
}

/// Reads a channel of the API, without its keys. What the entity has no field for stands in its
/// `settings` under the name that it has in a `[[channel]]`: `labels`, `headers`, `proxy`, `ca_file`
/// and so on. `config` and `environment` are those that the program runs with: certificates of all
/// channels, and what `env:NAME` means.
///
/// # Errors
/// Every mistake, with paths that begin with `channel[0]`.
pub fn channel(
    channel: &store::Channel,
    config: &Config,
    environment: &Environment,
) -> Result<config::Channel, ConfigErrors> {
    let mut table = channel.settings.as_object().cloned().unwrap_or_default();
    let mut set = |name: &str, value: Value| drop(table.insert(name.to_owned(), value));
    set("name", json!(channel.name));
    set("dialect", json!(channel.dialect));
    if !channel.base_url.is_empty() {
        set("base_url", json!(channel.base_url));
    }
    if !channel.models.is_empty() {
        set("models", json!(channel.models));
    }
    set("model_map", json!(channel.model_map));
    set("priority", json!(channel.priority));
    set("weight", json!(channel.weight));
    set("disabled", json!(channel.disabled));
    let upstream = json!({ "ca_files": config.upstream.ca_files });
    let root = json!({ "channel": [table], "upstream": upstream });
    let loaded = load(&root, environment)?;
    loaded
        .channels
        .into_iter()
        .next()
        .ok_or_else(|| ConfigErrors(Vec::new()))
}

/// How a key of the API is used. What is not said is as in the settings file.
pub fn key_terms(terms: &store::KeyTerms) -> config::KeyTerms {
    let default = config::KeyTerms::default();
    config::KeyTerms {
        weight: terms.weight.unwrap_or(default.weight).max(1),
        level: terms.level.unwrap_or(default.level).max(1),
        rpm: terms.rpm,
        tpm: terms.tpm,
        in_flight_max: terms.in_flight_max,
    }
}

fn load(root: &Value, environment: &Environment) -> Result<Config, ConfigErrors> {
    let mut text = String::new();
    for (name, value) in root.as_object().into_iter().flatten() {
        text.push_str(name);
        text.push_str(" = ");
        write_toml(value, &mut text);
        text.push('\n');
    }
    config::load(&Sources::of_entry(&text, environment)).map(|loaded| loaded.config)
}

/// JSON as inline TOML. The two differ in tables, in null, which TOML has not and which is left out
/// here as if it had not been written, and in one control character.
fn write_toml(value: &Value, out: &mut String) {
    match value {
        Value::Object(table) => {
            out.push_str("{ ");
            for (index, (name, value)) in table
                .iter()
                .filter(|(_, value)| !value.is_null())
                .enumerate()
            {
                out.push_str(if index == 0 { "" } else { ", " });
                write_toml(&json!(name), out);
                out.push_str(" = ");
                write_toml(value, out);
            }
            out.push_str(" }");
        }
        Value::Array(items) => {
            out.push('[');
            for value in items.iter().filter(|value| !value.is_null()) {
                write_toml(value, out);
                out.push_str(", ");
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string().replace('\u{7f}', "\\u007f")),
    }
}

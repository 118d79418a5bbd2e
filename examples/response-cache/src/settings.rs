//! The settings, checked once.

use weir_sdk::select::{Patterns, Scope};

/// Who is answered with what others were answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// Nobody: each key has answers of its own.
    Key,
    /// The keys of a tenant.
    Tenant,
    /// All callers of the gateway.
    Everyone,
}

#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    ttl_ms: u32,
    entry_max_bytes: u32,
    share: Share,
    operations: Patterns,
    temperature_max: f64,
    without_temperature: bool,
    tools: bool,
    streams: bool,
    ignore: Vec<String>,
    vary_headers: Vec<String>,
    label: String,
    #[serde(rename = "match")]
    scope: Scope,
}

impl Default for Written {
    fn default() -> Self {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Written {
            ttl_ms: 300_000,
            entry_max_bytes: 262_144,
            share: Share::Key,
            operations: Patterns::new(&["chat", "completion", "embedding"])
                .unwrap_or_else(|_| unreachable!()),
            temperature_max: 0.0,
            without_temperature: false,
            tools: false,
            streams: true,
            ignore: list(&[
                "/user",
                "/metadata",
                "/safety_identifier",
                "/prompt_cache_key",
            ]),
            vary_headers: list(&["anthropic-version", "anthropic-beta", "openai-beta"]),
            label: "cache".to_owned(),
            scope: Scope::default(),
        }
    }
}

/// The settings as the hooks want them; README.md says what each means.
#[derive(serde::Deserialize)]
#[serde(try_from = "Written")]
pub struct Settings {
    pub ttl_ms: u32,
    pub entry_max_bytes: usize,
    pub share: Share,
    pub operations: Patterns,
    pub temperature_max: f64,
    pub without_temperature: bool,
    pub tools: bool,
    pub streams: bool,
    pub ignore: Vec<String>,
    pub vary_headers: Vec<String>,
    pub label: Option<String>,
    pub scope: Scope,
}

impl TryFrom<Written> for Settings {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        if !(1000..=86_400_000).contains(&written.ttl_ms) {
            return Err("ttl_ms: must be from 1000 to 86400000".to_owned());
        }
        if !(1024..=1_000_000).contains(&written.entry_max_bytes) {
            return Err("entry_max_bytes: must be from 1024 to 1000000".to_owned());
        }
        if !(0.0..=2.0).contains(&written.temperature_max) {
            return Err("temperature_max: must be from 0 to 2".to_owned());
        }
        if let Some(at) = written
            .ignore
            .iter()
            .position(|pointer| !pointer.starts_with('/'))
        {
            return Err(format!(
                "ignore[{at}]: must be a JSON pointer like \"/user\""
            ));
        }
        Ok(Settings {
            ttl_ms: written.ttl_ms,
            entry_max_bytes: written.entry_max_bytes as usize,
            share: written.share,
            operations: written.operations,
            temperature_max: written.temperature_max,
            without_temperature: written.without_temperature,
            tools: written.tools,
            streams: written.streams,
            ignore: written.ignore,
            vary_headers: written
                .vary_headers
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
            label: Some(written.label).filter(|label| !label.is_empty()),
            scope: written.scope,
        })
    }
}

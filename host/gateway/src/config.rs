//! Settings: what was written becomes what runs, or a list of every mistake.
//!
//! Every setting is defined once, in `config/written.rs` and the files under it. From a definition
//! come its reader, its bounds, its environment variable, the right name for a typing mistake, and
//! its line in SETTINGS.md. [`load`] reads all sources into one tree, the tree into what was written,
//! and compiles that into a [`Config`]: plain data, with secrets fetched and references checked.
//!
//! Never does: open a connection, watch a file, keep a client, change a running program. It imports
//! no other module of the gateway.
//! Read first: `config/written.rs`, then `config/compile.rs`.

mod compile;
mod doc;
mod model;
mod node;
mod project;
mod report;
mod schema;
mod setting;
mod sources;
mod starter;
mod types;
mod written;

#[cfg(test)]
mod tests;

pub use doc::settings_markdown;
pub use model::{
    Channel, ChannelKey, ChannelTimeout, Config, Grants, KeyTerms, Policy, Price, Tenant,
    VirtualKey,
};
pub use project::{
    HookName, Language, PROJECT_FILE, Project, ScriptEngine, check_name, read_project,
};
pub use report::{ConfigError, ConfigErrors, Origin};
pub use sources::{Environment, Overrides, SettingsFile, Sources, UnreadableFile};
pub use starter::starter_channels;
pub use types::{Globs, LogLevel, PolicySource, StickyBy};
pub use written::{
    BalanceSource, Breaker, ChannelDialect, Cooldown, FailureRule, Fake, Fallback, FallbackCause,
    Http2, Isolation, KeyRole, KeyStrategy, Ledger, Limits, Log, LogFormat, Mode, Pins, Prefill,
    Retry, Runtime, TenantPolicies, Upstream,
};

use report::Report;
use setting::{Kind, Setting};

/// The policies that come with Weir, in the order of the default chain.
pub const BUILTIN_POLICIES: [&str; 4] = ["permissions", "limits", "aliases", "router"];

/// Settings without a mistake, and what is odd about them.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// One sentence each, for the log.
    pub warnings: Vec<String>,
}

/// Reads, checks and compiles the settings of all sources. Reads the files that secrets refer to and
/// those with certificates, and no other.
///
/// # Errors
/// Every mistake of every source. Where the file is not TOML, its syntax errors come without the
/// mistakes that its values may hold.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let mut report = Report::new(&sources.environment, sources.base_dir());
    let fields = root_fields();
    let root = sources
        .tree(&fields, &mut report)
        .and_then(|tree| written::Root::read(&tree, &mut report));
    let config = root.map(|root| compile::compile(root, sources, &mut report));
    let warnings = report.finish()?;
    // Without a tree or a root there is an error, so `finish` has returned by now.
    let config = config.ok_or_else(|| ConfigErrors(Vec::new()))?;
    Ok(Loaded { config, warnings })
}

fn root_fields() -> Vec<schema::Field> {
    match written::Root::kind() {
        Kind::Section(fields) => fields,
        _ => Vec::new(),
    }
}

//! What is wrong with the settings: every mistake, with the place where it was written.

use std::cmp::Ordering;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::sources::Environment;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In the settings file. Line and column count from 1, columns in characters.
    File {
        /// The file's name as it was given.
        name: Arc<str>,
        /// Line, from 1.
        line: u32,
        /// Column, from 1.
        column: u32,
    },
    /// In this environment variable.
    Environment(Arc<str>),
    /// On the command line, with this flag.
    CommandLine(Arc<str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Origin::Environment(name) | Origin::CommandLine(name) => f.write_str(name),
        }
    }
}

/// One mistake in the settings. Its text holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// Where the mistake was written.
    pub origin: Origin,
    /// The setting's path, like `limits.body_max_bytes`; empty where no setting is meant.
    pub path: String,
    /// What is wrong, and where that is known what would be right.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Every mistake that was found, in the order of the file, then the environment's, then the command
/// line's. Shows as one line for each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(error, f)?;
        }
        Ok(())
    }
}

/// Collects what is found while settings are read and compiled, and holds what reading needs to
/// know about the world: the environment, and the folder that relative paths of the file start in.
pub(super) struct Report<'a> {
    pub(super) environment: &'a Environment,
    pub(super) base_dir: PathBuf,
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
}

impl<'a> Report<'a> {
    pub(super) fn new(environment: &'a Environment, base_dir: PathBuf) -> Self {
        Self {
            environment,
            base_dir,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn error(&mut self, origin: &Origin, path: &str, message: impl Into<String>) {
        self.errors.push(ConfigError {
            origin: origin.clone(),
            path: path.to_owned(),
            message: message.into(),
        });
    }

    pub(super) fn warning(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }

    /// Whether the setting at `path` was written, but wrongly.
    pub(super) fn has_error_at(&self, path: &str) -> bool {
        self.errors.iter().any(|error| error.path == path)
    }

    /// The warnings, or every error in the order in which a reader meets them.
    pub(super) fn finish(mut self) -> Result<Vec<String>, ConfigErrors> {
        if self.errors.is_empty() {
            return Ok(self.warnings);
        }
        self.errors
            .sort_by(|one, other| match one.origin.cmp(&other.origin) {
                Ordering::Equal => one.path.cmp(&other.path),
                order => order,
            });
        self.errors.dedup();
        Err(ConfigErrors(self.errors))
    }
}

/// The name among `known` that `written` most likely stands for, if one is close enough.
pub(super) fn nearest<'k>(
    written: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    // Long input is no typing mistake, and the comparison takes time in both lengths.
    if written.len() > 100 {
        return None;
    }
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(written, name), name))
        .filter(|(likeness, _)| *likeness > 0.82)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}

/// `; did you mean "name"?`, or nothing.
pub(super) fn suggestion<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    nearest(written, known)
        .map(|name| format!("; did you mean \"{name}\"?"))
        .unwrap_or_default()
}

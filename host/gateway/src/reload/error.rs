//! Why a change was refused. Nothing that ran before has changed then.

use weir_policy::LoadError;
use weir_store::StoreError;

use crate::config::{ConfigErrors, UnreadableFile};

/// Why a change was refused.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such thing; the text says what.
    #[error("{0}")]
    NotFound(String),
    /// A file decides it, and only a change of the file changes it.
    #[error("{what} is set by {file}; change it there")]
    ReadOnly {
        /// What was to be changed.
        what: String,
        /// The file.
        file: String,
    },
    /// The settings have mistakes.
    #[error("{0}")]
    Config(ConfigErrors),
    /// The settings file cannot be read.
    #[error("{file}: {}", file.source)]
    Unreadable {
        /// Which, and why.
        file: UnreadableFile,
    },
    /// A policy's version cannot be run.
    #[error("policy {policy}: {error}")]
    Load {
        /// The policy.
        policy: String,
        /// Why.
        error: LoadError,
    },
    /// A policy's code cannot be read from where it should be.
    #[error("policy {policy}: {reason}")]
    Source {
        /// The policy.
        policy: String,
        /// Why.
        reason: String,
    },
    /// There is nothing to go back to.
    #[error("policy {0} has no version before this one")]
    NoPrevious(String),
    /// A version may do more than the one before it, and nobody has said that it may.
    #[error("version {digest} of policy {policy} waits for approval, because it may do more than the one in force: {}", .more.join("; "))]
    ApprovalNeeded {
        /// The policy.
        policy: String,
        /// The version.
        digest: String,
        /// What it may do more, a line for each.
        more: Vec<String>,
    },
    /// Nothing runs that a version could be tried beside.
    #[error("policy {0} has no version in force that another could be compared with; activate one")]
    NothingInForce(String),
    /// The version that is to be tried is in force.
    #[error("version {0} is in force: there is nothing to try")]
    InForce(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The program is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

impl ControlError {
    /// Stable, machine-readable, snake_case.
    pub fn code(&self) -> &'static str {
        match self {
            ControlError::NotFound(_) | ControlError::Store(StoreError::NotFound) => "not_found",
            ControlError::ReadOnly { .. } => "read_only",
            ControlError::Config(_) => "config_refused",
            ControlError::Unreadable { .. } => "config_unreadable",
            ControlError::Load { error, .. } => error.code(),
            ControlError::Source { .. } => "policy_source_unreadable",
            ControlError::NoPrevious(_) => "no_previous_version",
            ControlError::ApprovalNeeded { .. } => "approval_needed",
            ControlError::NothingInForce(_) => "nothing_in_force",
            ControlError::InForce(_) => "version_in_force",
            ControlError::Store(StoreError::Conflict(_)) => "conflict",
            ControlError::Store(StoreError::Invalid(_)) => "invalid",
            ControlError::Store(StoreError::Full(_)) => "store_full",
            ControlError::Store(_) => "store_unavailable",
            ControlError::Stopping => "stopping",
        }
    }

    /// The HTTP status that says it.
    pub fn status(&self) -> u16 {
        match self {
            ControlError::NotFound(_) | ControlError::Store(StoreError::NotFound) => 404,
            ControlError::ReadOnly { .. }
            | ControlError::NoPrevious(_)
            | ControlError::ApprovalNeeded { .. }
            | ControlError::NothingInForce(_)
            | ControlError::InForce(_)
            | ControlError::Store(StoreError::Conflict(_)) => 409,
            ControlError::Config(_)
            | ControlError::Unreadable { .. }
            | ControlError::Load { .. }
            | ControlError::Source { .. }
            | ControlError::Store(StoreError::Invalid(_)) => 422,
            ControlError::Store(_) | ControlError::Stopping => 503,
        }
    }
}

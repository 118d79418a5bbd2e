//! Why a policy version was refused. Each reason has its own code and a sentence that names
//! the interface or the setting to look at.

use crate::bounds;
use crate::failure::Failure;
use crate::release::Release;

/// A reason as it may stand in a log: a policy chooses names that are in it, so it has a bound, and is
/// one line.
pub(crate) fn short(mut reason: String) -> String {
    if reason.len() > bounds::REASON_MAX_BYTES {
        let cut = reason.floor_char_boundary(bounds::REASON_MAX_BYTES);
        reason.truncate(cut);
        reason.push_str(" [cut]");
    }
    if reason.contains(char::is_control) {
        reason = reason.replace(char::is_control, " ");
    }
    reason
}

/// Why a version was refused. Nothing that ran before has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file is larger than the setting allows.
    #[error("the policy has {size_bytes} bytes, more than the {max_bytes} that are allowed")]
    TooLarge {
        /// Its size.
        size_bytes: usize,
        /// The most that is accepted.
        max_bytes: usize,
    },
    /// The file is no WebAssembly.
    #[error("the file is neither a WebAssembly component nor a core module")]
    NotWasm,
    /// A core module that cannot be turned into a component.
    #[error("the core module is not one that wit-bindgen made for a policy: {reason}")]
    NotComponentizable {
        /// What is wrong with it.
        reason: String,
    },
    /// The component does not hold together.
    #[error("the component is not valid: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// It imports something that no policy has.
    #[error(
        "the policy imports `{interface}`, which Weir does not have; it has `weir:policy` in the \
         versions {} and WASI 0.2",
        Release::list()
    )]
    UnknownImport {
        /// What it imports.
        interface: String,
    },
    /// It imports something that this policy was not granted.
    #[error("the policy imports `{interface}`, which needs a grant: set `grants.{grant}`")]
    NotGranted {
        /// What it imports.
        interface: String,
        /// The setting under `grants` that would allow it.
        grant: &'static str,
    },
    /// It imports or exports an interface of Weir in a version that this Weir does not have.
    #[error(
        "the policy uses `{interface}`; this Weir runs the versions {} of `weir:policy`",
        Release::list()
    )]
    UnknownVersion {
        /// What it uses.
        interface: String,
    },
    /// It exports no hook, so it would never be called.
    #[error(
        "the policy exports no hook of `weir:policy` in the versions {}, which this Weir runs; it has \
         to export at least one of {hooks}",
        Release::list()
    )]
    NoHook {
        /// The hooks that exist, as one would write them.
        hooks: String,
    },
    /// It exports or imports an interface with other types than Weir's.
    #[error("`{interface}` does not have the types that Weir has in wit/: {reason}")]
    WrongType {
        /// The interface.
        interface: String,
        /// Which type differs.
        reason: String,
    },
    /// It does not compile.
    #[error("the policy does not compile: {reason}")]
    Compile {
        /// What the compiler said.
        reason: String,
    },
    /// It takes too long to compile.
    #[error("compiling the policy took longer than {timeout_ms} ms")]
    CompileTimeout {
        /// The bound, in milliseconds.
        timeout_ms: u32,
    },
    /// The first instance failed before it could say anything.
    #[error("the policy does not start: {0}")]
    Start(Failure),
    /// The policy refused its configuration.
    #[error("the policy refuses its configuration: {}", .errors.join("; "))]
    Config {
        /// What the policy said, a sentence each.
        errors: Vec<String>,
    },
}

impl LoadError {
    /// What a policy said about its configuration, bounded.
    pub(crate) fn config(mut errors: Vec<String>) -> Self {
        errors.truncate(bounds::CONFIG_ERRORS_MAX);
        let errors = errors.into_iter().map(short).collect();
        LoadError::Config { errors }
    }

    /// Stable, machine-readable, snake_case.
    pub fn code(&self) -> &'static str {
        match self {
            LoadError::TooLarge { .. } => "policy_too_large",
            LoadError::NotWasm => "policy_not_wasm",
            LoadError::NotComponentizable { .. } => "policy_not_componentizable",
            LoadError::Invalid { .. } => "policy_invalid",
            LoadError::UnknownImport { .. } => "policy_unknown_import",
            LoadError::NotGranted { .. } => "policy_not_granted",
            LoadError::UnknownVersion { .. } => "policy_unknown_version",
            LoadError::NoHook { .. } => "policy_no_hook",
            LoadError::WrongType { .. } => "policy_wrong_type",
            LoadError::Compile { .. } => "policy_compile_failed",
            LoadError::CompileTimeout { .. } => "policy_compile_timeout",
            LoadError::Start(_) => "policy_start_failed",
            LoadError::Config { .. } => "policy_config_refused",
        }
    }
}

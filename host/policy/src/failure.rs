//! How a hook call can fail, as opposed to how it can deny.
//!
//! A failure says nothing about the caller's request: whether it lets the call through or denies
//! it is the policy's `on_failure` setting, which the gateway applies.

use std::fmt;

use crate::hook::Hook;

/// A hook call that came to no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub kind: FailureKind,
    /// The hook that was called.
    pub hook: Hook,
    /// True where the instance is gone, and with it whatever the policy kept in memory.
    pub instance_dropped: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureKind {
    /// The guest trapped, exited or went over a bound of [`crate::bounds`]; with the reason.
    Trap(String),
    /// The policy's own code ran longer than its deadline.
    Deadline {
        /// The deadline that it had, in milliseconds of its own running.
        deadline_ms: u32,
    },
    /// The guest asked for more memory than it may have, and could not go on without.
    Memory {
        /// What it may have.
        max_bytes: usize,
    },
    /// The hook, waiting for the host included, took longer than it may.
    Waited {
        /// What it may take, in milliseconds of wall time.
        wait_max_ms: u32,
    },
    /// No instance became free in time, or too many hook calls wait for one already.
    PoolFull,
    /// The policies that share a budget of computing time have spent it for this minute.
    CpuSpent {
        /// The budget, in milliseconds.
        max_ms: u64,
    },
    /// A new instance did not accept the configuration that the version was loaded with.
    Init(String),
    /// The hook answered something that is not a valid answer; with the reason.
    BadAnswer(String),
    /// The call that used the same instance was dropped in the middle of a hook.
    Dropped,
}

impl Failure {
    /// Stable, machine-readable, snake_case.
    pub fn code(&self) -> &'static str {
        match self.kind {
            FailureKind::Trap(_) => "policy_trapped",
            FailureKind::Deadline { .. } => "policy_deadline",
            FailureKind::Memory { .. } => "policy_memory",
            FailureKind::Waited { .. } => "policy_waited",
            FailureKind::PoolFull => "policy_pool_full",
            FailureKind::CpuSpent { .. } => "policy_cpu_spent",
            FailureKind::Init(_) => "policy_init_failed",
            FailureKind::BadAnswer(_) => "policy_bad_answer",
            FailureKind::Dropped => "policy_dropped",
        }
    }
}

impl std::error::Error for Failure {}

/// One line for a log. Holds nothing of the request.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hook `{}`: {}", self.hook, self.kind)
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FailureKind::Trap(reason) => write!(f, "trapped: {reason}"),
            FailureKind::Deadline { deadline_ms } => {
                write!(f, "ran longer than its {deadline_ms} ms")
            }
            FailureKind::Memory { max_bytes } => {
                write!(f, "needed more than its {max_bytes} bytes of memory")
            }
            FailureKind::Waited { wait_max_ms } => {
                write!(f, "took longer than {wait_max_ms} ms, waiting included")
            }
            FailureKind::PoolFull => f.write_str("no instance became free in time"),
            FailureKind::CpuSpent { max_ms } => write!(
                f,
                "the {max_ms} ms of computing time of this minute are spent"
            ),
            FailureKind::Init(reason) => write!(f, "a new instance did not start: {reason}"),
            FailureKind::BadAnswer(reason) => write!(f, "answered badly: {reason}"),
            FailureKind::Dropped => {
                f.write_str("the call that shared its instance was dropped in a hook")
            }
        }
    }
}

/// Why the host stopped a guest, as the error that unwinds it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the deadline is over")]
    Deadline,
    #[error("{0}")]
    Bound(&'static str),
}

/// Turns what wasmtime reports into what happened. `memory_refused` tells whether the limiter
/// said no before: a guest that gets no memory mostly aborts, which looks like any trap.
pub(crate) fn from_wasmtime(
    error: &wasmtime::Error,
    deadline_ms: u32,
    memory_refused: bool,
    memory_max_bytes: usize,
) -> FailureKind {
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return FailureKind::PoolFull;
    }
    match error.downcast_ref::<Stop>() {
        Some(Stop::Deadline) => return FailureKind::Deadline { deadline_ms },
        Some(Stop::Bound(bound)) => return FailureKind::Trap((*bound).to_owned()),
        None => {}
    }
    if memory_refused {
        return FailureKind::Memory {
            max_bytes: memory_max_bytes,
        };
    }
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return FailureKind::Trap(format!("exited with status {}", exit.0));
    }
    FailureKind::Trap(describe(error))
}

/// The root cause first, then where in the guest it happened, on one line.
pub(crate) fn describe(error: &wasmtime::Error) -> String {
    let mut text = error.root_cause().to_string();
    if let Some(trace) = error.downcast_ref::<wasmtime::WasmBacktrace>() {
        let mut names = trace
            .frames()
            .iter()
            .filter_map(wasmtime::FrameInfo::func_name)
            .take(8);
        if let Some(first) = names.next() {
            text.push_str(" in ");
            text.push_str(first);
            for name in names {
                text.push_str(" < ");
                text.push_str(name);
            }
        }
    }
    // A policy chooses its own function names, so even this is bounded.
    if text.len() > 1000 {
        let cut = text.floor_char_boundary(1000);
        text.truncate(cut);
    }
    text.retain(|c| !c.is_control());
    text
}

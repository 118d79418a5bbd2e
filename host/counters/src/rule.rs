//! What a limit is: a key, what is counted under it, over which time, and how much is allowed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Calls; each counts one.
    Requests,
    /// Tokens of prompts.
    InputTokens,
    /// Generated tokens.
    OutputTokens,
    /// Input and output tokens together.
    TotalTokens,
    /// Money, in millionths of the ledger's currency unit.
    CostMicros,
    /// Calls that are under way at the same time. Always over [`Window::Call`], whichever
    /// window the rule names, because nothing else has a meaning.
    InFlight,
}

impl Unit {
    /// The name in configuration, metrics and WIT.
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Requests => "requests",
            Unit::InputTokens => "input-tokens",
            Unit::OutputTokens => "output-tokens",
            Unit::TotalTokens => "total-tokens",
            Unit::CostMicros => "cost-micros",
            Unit::InFlight => "in-flight",
        }
    }
}

/// The time over which a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Window {
    /// The last N seconds, sliding; 0 means 1. Kept in 60 parts: an amount counts for at least
    /// N seconds and at most N × 61/60 (rounded up to whole milliseconds per part), so that no
    /// stretch of N seconds, wherever it begins, ever admits more than the limit.
    Sliding {
        /// Length of the window in seconds.
        seconds: u32,
    },
    /// The natural day in the time zone of the call that opens it.
    Day,
    /// The natural week, from Monday, in the time zone of the call that opens it.
    Week,
    /// The natural month in the time zone of the call that opens it.
    Month,
    /// Never resets.
    Lifetime,
    /// As long as the call is under way: its amount is given back when it settles.
    Call,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Window::Sliding { seconds } => write!(f, "sliding-{seconds}s"),
            Window::Day => f.write_str("day"),
            Window::Week => f.write_str("week"),
            Window::Month => f.write_str("month"),
            Window::Lifetime => f.write_str("lifetime"),
            Window::Call => f.write_str("call"),
        }
    }
}

/// One limit that a call falls under.
///
/// Rules that share key, unit and window share the counter, whatever their limits are. Where one
/// list names a counter twice, the call counts once in it and must satisfy both limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Names the counter; the caller has already put its namespace in front.
    pub key: String,
    /// What is counted.
    pub unit: Unit,
    /// Over which time.
    pub window: Window,
    /// The most that may be used in one window, in the unit.
    pub limit: u64,
}

impl Rule {
    /// The window that the rule really has.
    pub(crate) fn effective_window(&self) -> Window {
        match (self.unit, self.window) {
            (Unit::InFlight, _) => Window::Call,
            (_, Window::Sliding { seconds: 0 }) => Window::Sliding { seconds: 1 },
            (_, window) => window,
        }
    }
}

/// What a call is expected to use, or has used. It is always one request and one in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Generated tokens.
    pub output_tokens: u64,
    /// Millionths of the ledger's currency unit.
    pub cost_micros: u64,
}

impl Amounts {
    /// The part of the amounts that `unit` counts.
    pub(crate) fn of(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests | Unit::InFlight => 1,
            Unit::InputTokens => self.input_tokens,
            Unit::OutputTokens => self.output_tokens,
            Unit::TotalTokens => self.input_tokens.saturating_add(self.output_tokens),
            Unit::CostMicros => self.cost_micros,
        }
    }
}

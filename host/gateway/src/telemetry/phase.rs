//! The phases of a call, by the names that they have everywhere.

/// A phase of a call, in the order in which a call goes through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Who calls, and what for.
    Identify,
    /// May they?
    Access,
    /// The request is changed.
    Rewrite,
    /// Limits are reserved.
    Limit,
    /// A policy may answer by itself.
    Answer,
    /// Channels are put in order.
    Route,
    /// A provider is asked; one observation for each attempt.
    Attempt,
    /// The reply goes back.
    Relay,
    /// Usage is booked.
    Settle,
    /// Policies see how it ended.
    Audit,
}

impl Phase {
    /// Every phase, in order. `ALL[phase as usize]` is `phase`.
    pub const ALL: [Phase; 10] = [
        Phase::Identify,
        Phase::Access,
        Phase::Rewrite,
        Phase::Limit,
        Phase::Answer,
        Phase::Route,
        Phase::Attempt,
        Phase::Relay,
        Phase::Settle,
        Phase::Audit,
    ];

    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Identify => "identify",
            Phase::Access => "access",
            Phase::Rewrite => "rewrite",
            Phase::Limit => "limit",
            Phase::Answer => "answer",
            Phase::Route => "route",
            Phase::Attempt => "attempt",
            Phase::Relay => "relay",
            Phase::Settle => "settle",
            Phase::Audit => "audit",
        }
    }
}

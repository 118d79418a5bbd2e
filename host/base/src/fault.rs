//! What went wrong, whose fault it is, and whether another attempt could help.
//!
//! A fault is data: how it is worded for the caller's dialect is the wire room's business, and
//! which response it becomes is decided in one file of the gateway.

use std::borrow::Cow;

/// Whose doing a failure is. It decides the metric it counts under and whether anyone is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The caller asked for something that cannot be done as asked.
    Client,
    /// A policy, or the rule that an operator or tenant configured in it, said no.
    Policy,
    /// The provider, or the way to it, failed.
    Upstream,
    /// Weir itself: a bug, a full disk, a pool that is exhausted.
    Gateway,
}

impl Blame {
    /// The word used in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Blame::Client => "client",
            Blame::Policy => "policy",
            Blame::Upstream => "upstream",
            Blame::Gateway => "gateway",
        }
    }
}

/// A refusal or failure that ends a call before any byte of a reply was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Fault {
    /// Whose doing it is.
    pub blame: Blame,
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// Stable, machine-readable, snake_case.
    pub code: Cow<'static, str>,
    /// One sentence that says what to do about it. Holds no secret.
    pub message: Cow<'static, str>,
    /// Milliseconds after which the same call may succeed.
    pub retry_after_ms: Option<u64>,
}

impl Fault {
    /// A fault with the given parts and no hint about retrying.
    pub fn new(
        blame: Blame,
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            blame,
            status,
            code: code.into(),
            message: message.into(),
            retry_after_ms: None,
        }
    }

    /// The same fault, with the time after which to try again.
    #[must_use]
    pub fn retry_after_ms(mut self, after_ms: u64) -> Self {
        self.retry_after_ms = Some(after_ms);
        self
    }
}

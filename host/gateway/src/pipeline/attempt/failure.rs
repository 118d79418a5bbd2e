//! Why a try brought nothing, and what a caller is told when none is left.

use weir_base::{Blame, Fault};
use weir_upstream::SendError;

use super::key;
use crate::pipeline::channel::Channel;
use crate::pipeline::open::Open;
use crate::pipeline::route::Planned;
use crate::pipeline::worker::Worker;
use crate::telemetry::AttemptOutcome;

/// Why no answer came.
pub enum Failed {
    /// The request was not sent, or no head came back.
    Send(SendError),
    /// The head came; the body broke off before there was anything to hand on.
    Reply(String),
    /// The head came, and nothing after it in time.
    Silent,
    /// What came is not what was asked for: a page, half a reply.
    Wrong(String),
    /// A stream that begins with an error.
    ErrorEvent(String),
}

impl Failed {
    /// The word in the ledger.
    pub fn code(&self) -> &'static str {
        match self {
            Failed::Send(error) => error.kind.as_str(),
            Failed::Reply(_) => "broken_reply",
            Failed::Silent => "no_first_byte",
            Failed::Wrong(_) => "wrong_reply",
            Failed::ErrorEvent(_) => "error_event",
        }
    }

    /// The word in the metrics.
    pub fn outcome(&self) -> AttemptOutcome {
        match self {
            Failed::Send(error) if error.is_timeout() => AttemptOutcome::TimedOut,
            Failed::Silent => AttemptOutcome::TimedOut,
            Failed::Send(_) => AttemptOutcome::Unreachable,
            Failed::Reply(_) => AttemptOutcome::Broken,
            Failed::Wrong(_) => AttemptOutcome::BadReply,
            Failed::ErrorEvent(_) => AttemptOutcome::ServerError,
        }
    }

    /// Whether time ran out.
    pub fn is_timeout(&self) -> bool {
        match self {
            Failed::Send(error) => error.is_timeout(),
            Failed::Silent => true,
            Failed::Reply(_) | Failed::Wrong(_) | Failed::ErrorEvent(_) => false,
        }
    }

    /// Whether the provider may have done what was asked all the same.
    pub fn may_have_worked(&self) -> bool {
        match self {
            Failed::Send(error) => error.sent,
            Failed::Reply(_) | Failed::Silent => true,
            Failed::Wrong(_) | Failed::ErrorEvent(_) => false,
        }
    }

    /// What the caller is told when this was the last try.
    pub fn fault(&self, channel: &Channel) -> Fault {
        let name = &channel.name;
        let (status, code, what) = match self {
            Failed::Send(error) if error.is_timeout() => (
                504,
                "provider_timeout",
                format!("did not answer in time ({error})"),
            ),
            Failed::Silent => (
                504,
                "provider_timeout",
                "began a reply and said nothing in time".to_owned(),
            ),
            Failed::Send(error) => (
                502,
                "provider_unreachable",
                format!("could not be reached ({error})"),
            ),
            Failed::Reply(problem) => (
                502,
                "provider_broken",
                format!("sent a reply that broke off ({problem})"),
            ),
            Failed::Wrong(problem) => (
                502,
                "provider_wrong_reply",
                format!("sent something else than a reply ({problem})"),
            ),
            Failed::ErrorEvent(said) => (
                502,
                "provider_error",
                format!("began its stream with an error ({said})"),
            ),
        };
        let message = format!("The provider behind channel `{name}` {what}; try again later.");
        Fault::new(Blame::Upstream, status, code, message)
    }
}

/// There was nothing to try.
pub fn no_usable_key(worker: &Worker, open: &Open, plan: &[Planned]) -> Fault {
    let now_ms = worker.now_ms();
    let fault = Fault::new(
        Blame::Upstream,
        503,
        "no_usable_key",
        "No channel for this model has a provider key that may be used now; try again later, or tell the operator of this gateway.",
    );
    let soonest = plan
        .iter()
        .filter_map(|planned| key::next_usable_ms(open, &planned.channel, now_ms))
        .min();
    match soonest {
        Some(at_ms) => fault.retry_after_ms(at_ms.saturating_sub(now_ms)),
        None => fault,
    }
}

/// The call's own time is over.
pub fn out_of_time() -> Fault {
    Fault::new(
        Blame::Upstream,
        504,
        "deadline_exceeded",
        "No provider answered within the time that this call has; allow more with `x-weir-timeout-ms`, or try again later.",
    )
}

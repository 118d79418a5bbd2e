//! One trait per hook, and the one that turns configuration into a policy.
//!
//! Hooks take `&self`: an instance is shared by many calls, one at a time. What must outlast the
//! instance belongs into `store`; what must only be remembered between the events of one stream
//! is the `Stream` of `Events`.

use serde::de::DeserializeOwned;

use crate::types::{Action, Attempt, Candidate, Denial, Event, Outcome, Response, Rule, Summary};

/// What `[policy.config]` of weir.toml becomes.
///
/// Every type that derives `serde::Deserialize` is one already, and its errors name the setting
/// (`rules[2].limit: …`). Implement it by hand for a policy that checks its settings or prepares
/// something from them; `config::parse` does the reading.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be made from configuration",
    note = "derive `serde::Deserialize` for it, or implement `weir_sdk::Policy` by hand"
)]
pub trait Policy: Sized + 'static {
    /// Makes the policy from its configuration, JSON text. Each error is a sentence that names
    /// the setting it is about; any error refuses the policy version.
    fn configure(config: &str) -> Result<Self, Vec<String>>;
}

impl<T: DeserializeOwned + 'static> Policy for T {
    fn configure(config: &str) -> Result<Self, Vec<String>> {
        crate::config::parse(config)
    }
}

/// May this caller make this call at all?
pub trait Access {
    /// Ok lets the call go on to the next policy; a denial ends it.
    fn authorize(&self, call: &Summary) -> Result<(), Denial>;
}

/// Change the request before it is counted, routed and sent, with `edit`.
pub trait Rewrite {
    /// Ok keeps the edits that were made; a denial ends the call.
    fn rewrite(&self, call: &Summary) -> Result<(), Denial>;
}

/// Which limits does this call fall under?
pub trait Limit {
    /// The rules; the host reserves all of them or none. An empty list means no limit.
    fn limits(&self, call: &Summary) -> Result<Vec<Rule>, Denial>;
}

/// Answer without calling a provider.
pub trait Answer {
    /// `None` lets the call go on; a response ends it.
    fn answer(&self, call: &Summary) -> Result<Option<Response>, Denial>;
}

/// Which channels are tried, and in which order?
pub trait Route {
    /// The attempts in order; candidates left out are not tried.
    fn route(&self, call: &Summary, candidates: Vec<Candidate>) -> Result<Vec<Attempt>, Denial>;
}

/// Change a whole (not streamed) reply.
pub trait Reply {
    /// `None` leaves the reply as it is.
    fn reply(&self, call: &Summary, response: Response) -> Result<Option<Response>, Denial>;
}

/// Change a streamed reply, event by event.
pub trait Events {
    /// What the policy remembers of one stream from its first event to its last.
    type Stream: 'static;

    /// A stream begins. `None`: it is none of the policy's business and runs untouched.
    fn open(&self, call: &Summary) -> Option<Self::Stream>;

    /// The next event. A denial ends the stream with an error.
    fn push(&self, stream: &mut Self::Stream, event: Event) -> Result<Action, Denial>;

    /// The stream ends, also where the caller hung up: what the policy still holds back.
    fn close(&self, stream: Self::Stream) -> Vec<Event> {
        drop(stream);
        Vec::new()
    }
}

/// See every finished call, allowed or refused, off the request path.
pub trait Audit {
    /// The call is over and settled.
    fn finished(&self, outcome: &Outcome);
}

//! A double of the gateway, so that `cargo test` tests a policy natively and in microseconds.
//!
//! ```
//! use weir_sdk::testing::{Call, Host};
//! use weir_sdk::{call, edit};
//!
//! let call = Call::chat("gpt-4o").label("env", "prod").body(serde_json::json!({"temperature": 2}));
//! let (result, seen) = Host::new().call(call).run(|call| {
//!     assert_eq!(call::label("env").as_deref(), Some("prod"));
//!     edit::set_json("/temperature", "1")
//! });
//! assert!(result.is_ok());
//! assert_eq!(seen.json(), serde_json::json!({"temperature": 1}));
//! ```
//!
//! It answers the imports as the gateway does, with two differences that tests live well with:
//! `edit` works in every hook, and nothing is evicted from the store. Native targets only.

mod call;
mod channel;
pub(crate) mod double;
mod json;

use std::collections::HashMap;

use crate::http::Request;
use crate::log::Level;
use crate::models::Completion;
use crate::types::{Candidate, Message, Response, Summary};

pub use call::Call;
pub use channel::Channel;

/// The gateway's place in a test. The store and the clock last from one `run` to the next.
pub struct Host {
    state: State,
}

type HttpScript = Box<dyn FnMut(&Request) -> Result<Response, String>>;
type ModelScript = Box<dyn FnMut(&str, &[Message]) -> Result<Completion, String>>;

/// What the imports read and write while a hook runs.
struct State {
    call: Call,
    /// A channel's number is its place, from 1.
    channels: Vec<Channel>,
    store: HashMap<String, Entry>,
    now_ms: u64,
    secrets: HashMap<String, String>,
    http: HttpScript,
    models: ModelScript,
    seen: Seen,
}

struct Entry {
    value: Vec<u8>,
    expires_ms: Option<u64>,
}

/// What one run of a hook left behind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// How many calls into the host the hook made; each costs a tenth of a microsecond and up.
    pub imports: u32,
    /// For how long the answer holds, in milliseconds; 0 where the policy did not say.
    pub remember_ms: u32,
    /// The edits in order, also those that changed nothing.
    pub edits: Vec<Edit>,
    /// The model after the edits.
    pub model: String,
    /// The headers after the edits.
    pub headers: Vec<(String, String)>,
    /// The body after the edits.
    pub body: Vec<u8>,
    /// The lines that were logged.
    pub logs: Vec<(Level, String)>,
    /// The metrics, counters and observations alike.
    pub metrics: Vec<Metric>,
    /// The bans: address, milliseconds, reason.
    pub bans: Vec<(String, u32, String)>,
}

/// One call of a `metrics` function.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "named after the arguments")]
pub struct Metric {
    pub name: String,
    pub value: f64,
    pub labels: Vec<(String, String)>,
}

/// One call of an `edit` function.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "named after the functions of edit, with their arguments"
)]
pub enum Edit {
    SetModel(String),
    SetHeader(String, String),
    RemoveHeader(String),
    SetJson(String, String),
    RemoveJson(String),
    PrependSystem(String),
    SetMessageText(u32, String),
    ReplaceBody(Vec<u8>),
}

impl Seen {
    /// The body after the edits, as JSON; null where it is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Host {
    /// A gateway with an empty store, no channels, no secrets, a chat call to `gpt-4o`, the clock at
    /// 2026-01-05T12:00:00Z (a Monday), and nobody at the other end of `http` and `models`.
    pub fn new() -> Host {
        Host {
            state: State {
                call: Call::chat("gpt-4o"),
                channels: Vec::new(),
                store: HashMap::new(),
                now_ms: 1_767_614_400_000,
                secrets: HashMap::new(),
                http: Box::new(|request| Err(format!("{} was not granted", request.url))),
                models: Box::new(|model, _| Err(format!("{model} was not granted"))),
                seen: Seen::default(),
            },
        }
    }

    /// The call that the next hooks are about.
    pub fn call(mut self, call: Call) -> Host {
        self.set_call(call);
        self
    }

    /// The call that the next hooks are about, for a host that is kept over several runs.
    pub fn set_call(&mut self, call: Call) {
        self.state.call = call;
    }

    /// The channels of the gateway, numbered from 1 in this order.
    pub fn channels(mut self, channels: Vec<Channel>) -> Host {
        self.state.channels = channels;
        self
    }

    /// All channels as the candidates of a `route` hook.
    pub fn candidates(&self) -> Vec<Candidate> {
        let numbered = self.state.channels.iter().zip(1..);
        numbered
            .map(|(channel, number)| channel.build(number))
            .collect()
    }

    /// The name of the channel with this number, as an attempt has it.
    pub fn channel_name(&self, number: u32) -> Option<&str> {
        let channel = self.state.channel(number)?;
        Some(&channel.channel)
    }

    /// Sets the clock, milliseconds since the Unix epoch.
    pub fn now_ms(mut self, now_ms: u64) -> Host {
        self.state.now_ms = now_ms;
        self
    }

    /// Moves the clock on by that many milliseconds.
    pub fn advance_ms(&mut self, by_ms: u64) {
        self.state.now_ms += by_ms;
    }

    /// Grants a secret.
    pub fn secret(mut self, name: &str, value: &str) -> Host {
        self.state.secrets.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Puts a value into the store.
    pub fn stored(mut self, key: &str, value: &[u8]) -> Host {
        let entry = Entry {
            value: value.to_vec(),
            expires_ms: None,
        };
        self.state.store.insert(key.to_owned(), entry);
        self
    }

    /// What the store holds under a key now.
    pub fn store(&self, key: &str) -> Option<&[u8]> {
        let entry = self.state.store.get(key)?;
        entry.is_alive(self.state.now_ms).then_some(&entry.value)
    }

    /// Answers what the policy sends by `http`.
    pub fn http(
        mut self,
        answer: impl FnMut(&Request) -> Result<Response, String> + 'static,
    ) -> Host {
        self.state.http = Box::new(answer);
        self
    }

    /// Answers what the policy asks of `models`.
    pub fn models(
        mut self,
        answer: impl FnMut(&str, &[Message]) -> Result<Completion, String> + 'static,
    ) -> Host {
        self.state.models = Box::new(answer);
        self
    }

    /// Runs a hook (or anything that uses the imports) with this host in the gateway's place.
    pub fn run<R>(&mut self, hook: impl FnOnce(&Summary) -> R) -> (R, Seen) {
        let summary = self.state.call.summary();
        let state = std::mem::replace(&mut self.state, Host::new().state);
        let (result, mut state) = double::with(state, || hook(&summary));
        let mut seen = std::mem::take(&mut state.seen);
        seen.model.clone_from(&state.call.summary.model);
        seen.headers.clone_from(&state.call.headers);
        seen.body.clone_from(&state.call.body);
        self.state = state;
        (result, seen)
    }
}

impl Default for Host {
    fn default() -> Self {
        Host::new()
    }
}

impl State {
    fn channel(&self, number: u32) -> Option<&Channel> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        self.channels.get(place)
    }
}

impl Entry {
    fn is_alive(&self, now_ms: u64) -> bool {
        self.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)
    }
}

#[cfg(test)]
mod tests;

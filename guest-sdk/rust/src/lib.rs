//! What a policy author writes against, in Rust.
//!
//! Never does: decide anything, or let a policy reach what it did not import. Read first: the
//! example here, then `hooks.rs`, one trait for each hook.
//!
//! A policy is a type that holds its configuration, one trait implementation per hook, and one
//! macro call. This one denies models whose name does not begin with a prefix:
//!
//! ```
//! use weir_sdk::prelude::*;
//!
//! #[derive(serde::Deserialize)]
//! struct OnlyGpt { prefix: String }
//!
//! impl Access for OnlyGpt {
//!     fn authorize(&self, call: &Summary) -> Result<(), Denial> {
//!         if call.model.starts_with(&self.prefix) { return Ok(()); }
//!         Err(Denial::forbidden("model_not_allowed", "Ask for a model of the GPT family."))
//!     }
//! }
//! weir_sdk::export!(OnlyGpt: access);
//!
//! // In a unit test, natively, with a double in the gateway's place:
//! use weir_sdk::testing::{Call, Host};
//! let policy = OnlyGpt { prefix: "gpt-".into() };
//! let (result, _) = Host::new().call(Call::chat("claude-sonnet-4")).run(|call| policy.authorize(call));
//! assert_eq!(result.unwrap_err().code, "model_not_allowed");
//! ```
//!
//! Build the crate (`crate-type = ["cdylib"]`) with `cargo build --release --target
//! wasm32-unknown-unknown` and drop the file into the gateway's `policies.d`: no further tool, and
//! no WASI. What the policy imports is what it calls: a policy that uses `store` needs the store,
//! one that uses nothing needs nothing but `log`, which carries the message of a panic.
//!
//! - Hooks: [`Access`], [`Rewrite`], [`Limit`], [`Answer`], [`Route`], [`Reply`], [`Events`],
//!   [`Audit`]; configuration: [`Policy`] and [`config`].
//! - What a policy may call: [`call`], [`channels`], [`edit`], [`log`], [`store`], [`metrics`], [`clock`],
//!   [`secrets`], [`firewall`], [`models`], [`http`].
//! - What policies share: [`select`], wildcards and scopes for configuration; [`hours`], times of the day.
//! - Tests without WebAssembly: [`testing`].
//!
//! Never here: anything of the gateway's own crates. `wit/` is a link to the interface in the
//! repository, and is copied into the package when it is published. Read `hooks.rs` first.

// The bindings and `export!` name this crate by its name, also from within it.
extern crate self as weir_sdk;

#[doc(hidden)]
pub mod bindings;
pub mod call;
pub mod channels;
pub mod config;
pub mod edit;
mod export;
mod hooks;
pub mod hours;
mod instance;
pub mod log;
pub mod select;
mod services;
pub mod store;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod types;

pub use hooks::{Access, Answer, Audit, Events, Limit, Policy, Reply, Rewrite, Route};
pub use services::{clock, firewall, http, metrics, models, secrets};
pub use types::{
    Action, Attempt, Candidate, Denial, Event, Message, Operation, Outcome, RawEvent, Response,
    Rule, Summary, TextDelta, ToolCallDelta, Unit, Usage, Window,
};

/// What nearly every policy needs: `use weir_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Access, Action, Answer, Attempt, Audit, Candidate, Denial, Event, Events, Limit, Operation,
        Outcome, Policy, Reply, Response, Rewrite, Route, Rule, Summary, Unit, Window,
    };
}

/// The functions behind the wrappers: the host's in WebAssembly, the double's elsewhere.
mod raw {
    #[cfg(target_arch = "wasm32")]
    pub(crate) use crate::bindings::imports::weir::policy::{
        call, channels, clock, edit, firewall, http, log, metrics, models, secrets, store,
    };
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) use crate::testing::double::{
        call, channels, clock, edit, firewall, http, log, metrics, models, secrets, store,
    };
}

#[doc(hidden)]
pub use wit_bindgen as __wit_bindgen;

#[doc(hidden)]
pub mod __private {
    pub use crate::instance::{Instance, Streams};
}

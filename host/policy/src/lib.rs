//! The policy runtime: compiles, loads, contains and calls policies. The only room that sees
//! wasmtime.
//!
//! Never does: HTTP, dialects, storage. What policies ask of the host goes through two traits
//! that the gateway implements ([`services`]); what the gateway asks of policies goes through
//! [`Worker`]. Whether a failure lets a call through or denies it is the gateway's decision.
//!
//! Read first: [`Engine::load`] for how a version comes to be, then [`worker`] for how a hook is
//! called.

pub mod bounds;
pub mod budget;
pub mod compile;
pub mod engine;
pub mod failure;
pub mod hook;
pub mod load_error;
pub mod release;
pub mod remembered;
pub mod services;
pub mod spec;
pub mod types;
pub mod version;
mod wasi_http;
pub mod worker;

mod answers;
mod artefact;
mod bindings;
mod candidate;
mod describe;
mod encode;
mod grants;
mod guests;
mod imports;
mod inspect;
mod instance;
mod link;
mod load;
mod slot;
mod state;
mod stdio;
mod stream;
mod turn;

pub use budget::CpuBudget;
pub use compile::{CompileMode, compile_main};
pub use describe::Description;
pub use encode::Encoding;
pub use engine::{Engine, EngineError, EngineSettings};
pub use failure::{Failure, FailureKind};
pub use grants::Grants;
pub use hook::{Hook, HookSet};
pub use load_error::LoadError;
pub use release::Release;
pub use remembered::{Caller, Rules};
pub use services::{CallHost, Fixed, PolicyIdentity, Role, Services, Who};
pub use spec::{Isolation, Recycle, VersionSpec};
pub use stream::Stream;
pub use types::*;
pub use version::{Compiled, Version};
pub use worker::{Answer, CallScope, Worker};

//! The harness of the integration tests: the real `weir` program as a child process, a client, and
//! a provider that does what a test tells it.
//!
//! Nothing here shares code with the gateway: what a test sees is what a caller, an operator or a
//! provider would see. All calls block, so that a test reads from top to bottom.
//! Never does: look into the gateway's files other than those that interface.md promises.
//! Read first: [`Gateway`], then [`Provider`]; `tests/it/keys.rs` shows them together.

mod client;
mod gateway;
mod policies;
mod provider;
mod raw;
mod recording;
mod script;
mod usage;
mod wait;

pub use client::{Client, Reply, Stream};
pub use gateway::{ADMIN_KEY, Gateway, KEY, Setup, compiled_cache, program};
pub use policies::{built_policy, digest, is_digest_of, policy, policy_file, sieve, version_of};
pub use provider::{Provider, Seen};
pub use raw::Raw;
pub use recording::{Recording, recordings};
pub use script::{Answer, End};
pub use usage::{Counts, counts};
pub use wait::{Over, eventually, parallel};

use std::sync::LazyLock;

/// Runs the client's and the providers' connections of all tests of the process.
pub(crate) static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
});

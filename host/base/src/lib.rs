//! The words that every room shares: ids, operations, usage and money, time, secrets, faults.
//!
//! Never does: I/O, threads, HTTP, JSON of any dialect. It knows no other room.
//! Read first: [`fault`], because what a failure means decides what the pipeline does next.

pub mod clock;
pub mod fault;
pub mod id;
pub mod operation;
pub mod secret;
pub mod usage;

pub use clock::{Clock, ManualClock, SystemClock};
pub use fault::{Blame, Fault};
pub use id::CallId;
pub use operation::Operation;
pub use secret::Secret;
pub use usage::Usage;

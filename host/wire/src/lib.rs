//! The wire formats of the providers: which endpoint a path means, what a request asks for, how to
//! edit it, and what a reply used. Everything works on the bytes as they came; what no one asked to
//! change stays as it was, byte for byte.
//!
//! Never does: I/O, time, threads, HTTP types. Nothing here can fail for a reason outside its input.
//! Read first: [`dialect`] for the names, [`scan`] for how a request is read without a tree, and
//! [`usage`] for how a stream is read on the way.

pub mod dialect;
pub mod edit;
pub mod endpoint;
pub mod error;
pub mod estimate;
pub mod events;
pub mod fake;
pub mod json;
pub mod kept;
pub mod opening;
pub mod prefill;
pub mod prompt;
pub mod scan;
pub mod sse;
pub mod usage;

pub use dialect::{Dialect, Family};

//! Policies without a running gateway, but in its own engine: their cases, and how long their hooks
//! take.
//!
//! A case says what a call looks like, what the time is and what the host answers, and what the
//! policy is to make of it; so it comes out the same for ever. Never does: any network, any look at
//! the machine's clock but to measure, any writing but of expectations that it was asked to renew.
//!
//! Read first: [`written`] for what a case file says, then [`run`] for what becomes of it.

pub mod again;
pub mod bench;
pub mod compare;
pub mod read;
pub mod replay;
pub mod report;
pub mod run;
pub mod update;
pub mod written;

mod call;
mod call_edits;
mod host;
mod past;
mod shape;
mod stream;

pub use read::{CaseError, CaseFile, read_all};
pub use run::{RunError, Runner};

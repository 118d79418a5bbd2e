//! The crate against recorded traffic of real providers: `tests/fixtures/traffic` of the workspace,
//! and every recording under `$WEIR_TRAFFIC` where that is set.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by panic, in its helpers too"
)]

mod corpus;
mod oracle;
mod prompt;
mod requests;
mod usage;

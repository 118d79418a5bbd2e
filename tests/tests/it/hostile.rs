//! Policies that mean harm: whatever they do, it is their own tenant's calls that suffer.
//!
//! One more case is three lines in a table: `deeds.rs` (what a policy does in a hook), `modules.rs`
//! (what only hand-written WebAssembly can do) or `bombs.rs` (what must be refused when it is loaded).
//! `arena.rs` says what "nobody else suffers" means.

mod arena;
mod audit;
mod bombs;
mod deeds;
pub(crate) mod guests;
mod modules;
mod reach;
mod suite;

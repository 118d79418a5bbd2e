//! Measurements of whatever answers calls: a model of a channel, a provider key.
//!
//! Sliding windows and weighted means out of atomics, so that all workers write to them without a
//! lock. A figure may be a call behind, which no decision notices.
//!
//! Never does: decide what a figure means, know a channel, look at the clock.
//! Read first: [`Figures`].

mod figures;
mod window;

pub use figures::{FailureKind, Figures, Means};
pub use window::{Counts, WINDOW_MS};

//! The channels by the numbers that a `Candidate` has: names, providers, labels.
//!
//! A channel keeps its number for as long as the gateway runs and the channel's settings do not
//! change, so what is asked here may be remembered by the number. Each function is one call into the
//! host; where no channel has the number, everything is empty.

use crate::raw::channels as raw;

/// The channel's name in the configuration.
pub fn name(channel: u32) -> String {
    raw::name(channel)
}

/// The provider behind it, for example `openai`.
pub fn provider(channel: u32) -> String {
    raw::provider(channel)
}

/// What the channel calls the model of the running call.
pub fn model(channel: u32) -> String {
    raw::model(channel)
}

/// A label of the channel, for example its region.
pub fn label(channel: u32, name: &str) -> Option<String> {
    raw::label(channel, name)
}

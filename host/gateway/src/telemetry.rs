//! Logs and metrics: what the program tells its operator about itself.
//!
//! [`Metrics`] owns every metric of the program, each named in `telemetry/names.rs`. The data path
//! takes handles from it once ([`PhaseMetrics`], [`ChannelMetrics`], [`PolicyMetrics`],
//! [`CallMetrics`]) and then counts without a lookup, a lock or a cache line that another worker
//! writes to. What is both counted and logged is
//! one method in `telemetry/events.rs`.
//!
//! Never does: decide anything, call any other module of the gateway, hold a label whose values a
//! caller could multiply, see a secret.
//! Read first: `telemetry/names.rs`, then `telemetry/metrics.rs`.

pub mod logging;

mod alerts;
mod custom;
mod events;
mod handles;
mod health;
mod metrics;
mod names;
mod phase;
mod shards;
mod throttle;

pub use alerts::{Alert, AlertKind};
pub use custom::CustomMetrics;
pub use handles::{
    AttemptOutcome, CallMetrics, CallOutcome, ChannelMetrics, PhaseMetrics, PolicyMetrics,
};
pub use health::HealthShown;
pub use metrics::Metrics;
pub use phase::Phase;

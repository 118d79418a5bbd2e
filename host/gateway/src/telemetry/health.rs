//! What is shown of the health of channels.

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// The families, for all channels.
#[derive(Debug)]
pub(super) struct HealthFamilies {
    pub(super) error_ratio: GaugeVec,
    pub(super) tokens_per_second: GaugeVec,
    pub(super) open_circuits: IntGaugeVec,
    pub(super) circuit_changes: IntCounterVec,
}

/// Figures of a channel at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HealthShown {
    /// Failures over calls of the last minute, 0 to 1.
    pub error_ratio: f32,
    /// Mean output tokens per second of streamed replies; 0 where there is none.
    pub tokens_per_second: f32,
    /// Models whose circuit is not closed.
    pub open_circuits: u32,
}

/// Those of one channel.
#[derive(Debug, Clone)]
pub(super) struct HealthMetrics {
    error_ratio: Gauge,
    tokens_per_second: Gauge,
    open_circuits: IntGauge,
    opened: IntCounter,
    closed: IntCounter,
}

impl HealthMetrics {
    pub(super) fn new(families: &HealthFamilies, channel: &str) -> Self {
        let changes = &families.circuit_changes;
        Self {
            error_ratio: families.error_ratio.with_label_values(&[channel]),
            tokens_per_second: families.tokens_per_second.with_label_values(&[channel]),
            open_circuits: families.open_circuits.with_label_values(&[channel]),
            opened: changes.with_label_values(&[channel, "open"]),
            closed: changes.with_label_values(&[channel, "closed"]),
        }
    }

    pub(super) fn set(&self, shown: &HealthShown) {
        self.error_ratio.set(f64::from(shown.error_ratio));
        self.tokens_per_second
            .set(f64::from(shown.tokens_per_second));
        self.open_circuits.set(i64::from(shown.open_circuits));
    }

    pub(super) fn changed(&self, opened: bool) {
        if opened {
            self.opened.inc();
        } else {
            self.closed.inc();
        }
    }
}

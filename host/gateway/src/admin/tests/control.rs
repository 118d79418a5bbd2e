//! A control as the program makes it, without a policy of its own.

use std::path::Path;
use std::sync::Arc;

use weir_base::Clock;
use weir_store::Store;

use crate::config::{Config, Sources};
use crate::identify::Bans;
use crate::reload::{Control, ControlParts};
use crate::telemetry::Metrics;

pub(super) struct Parts<'a> {
    pub(super) dir: &'a Path,
    pub(super) store: &'a Store,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) bans: &'a Arc<Bans>,
}

pub(super) async fn start(parts: Parts<'_>, config: Config, sources: Sources) -> Arc<Control> {
    let _ = (parts.dir, parts.bans);
    let parts = ControlParts { store: parts.store.clone(), metrics: parts.metrics.clone(), clock: parts.clock.clone() };
    Control::start(parts, config, sources).await.unwrap()
}

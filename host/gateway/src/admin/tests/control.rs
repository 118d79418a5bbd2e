//! A control as the program makes it.

use std::path::Path;
use std::sync::Arc;

use weir_base::Clock;
use weir_counters::{KeyValue, KeyValueBounds, Limits};
use weir_policy::{CompileMode, Engine, EngineSettings};
use weir_store::Store;

use crate::config::{Config, Sources};
use crate::identify::Bans;
use crate::journal::keep::Keeper;
use crate::reload::{Control, ControlParts};
use crate::services::{HostServices, ServiceParts};
use crate::telemetry::Metrics;

pub(super) struct Parts<'a> {
    pub(super) dir: &'a Path,
    pub(super) store: &'a Store,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) bans: &'a Arc<Bans>,
}

pub(super) async fn start(from: Parts<'_>, config: Config, sources: Sources) -> Arc<Control> {
    let clock = Arc::clone(from.clock);
    let key_values = Arc::new(KeyValue::new(Arc::clone(&clock), KeyValueBounds::default()));
    let (services, _) = HostServices::new(ServiceParts {
        clock: Arc::clone(&clock),
        key_values: Arc::clone(&key_values),
        bans: Arc::clone(from.bans),
        store: from.store.clone(),
        background: tokio::runtime::Handle::current(),
    })
    .unwrap();
    let cache_dir = from.dir.join("compiled");
    let mut settings = EngineSettings::new(cache_dir, [7; 32], CompileMode::ThisProcess);
    settings.instances_max = 4;
    let parts = ControlParts {
        engine: Engine::new(settings, Arc::<HostServices>::clone(&services)).unwrap(),
        services,
        store: from.store.clone(),
        limits: Arc::new(Limits::new(Arc::clone(&clock))),
        key_values,
        bans: Arc::clone(from.bans),
        metrics: Arc::clone(from.metrics),
        journals: Keeper::start(from.dir.join("journals"), Arc::clone(from.metrics)).unwrap(),
        clock,
    };
    Control::start(parts, config, sources).await.unwrap()
}

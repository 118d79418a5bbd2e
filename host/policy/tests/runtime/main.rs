//! The runtime from the outside: loading, hooks, streams, pools, and what a bad policy cannot do.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test may fail loudly"
)]

mod containment;
mod guests;
mod hooks;
mod host;
mod loading;
mod pools;
mod releases;
mod streams;

use std::sync::Arc;

use weir_policy::{CallScope, CompileMode, Engine, EngineSettings, Version, VersionSpec, Worker};

use crate::host::{TestCall, TestServices};

/// Everything that a test needs, with the temporary directory that it lives in.
pub(crate) struct Bench {
    pub(crate) engine: Arc<Engine>,
    pub(crate) services: Arc<TestServices>,
    pub(crate) dir: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut EngineSettings)) -> Self {
        Self::in_dir(tempfile::tempdir().unwrap(), |settings| {
            // Shared by all tests and test runs, or most of their time would go into compiling
            // the probe again.
            settings.cache_dir = concat!(env!("CARGO_TARGET_TMPDIR"), "/policies-compiled").into();
            change(settings);
        })
    }

    pub(crate) fn in_dir(dir: tempfile::TempDir, change: impl FnOnce(&mut EngineSettings)) -> Self {
        let services = Arc::new(TestServices::default());
        let cache_dir = dir.path().join("compiled");
        let mut settings = EngineSettings::new(cache_dir, [7; 32], CompileMode::ThisProcess);
        settings.instances_max = 16;
        change(&mut settings);
        let engine = Engine::new(settings, services.clone()).unwrap();
        Self {
            engine,
            services,
            dir,
        }
    }

    pub(crate) fn worker(&self) -> Worker {
        Worker::new(self.engine.clone())
    }

    /// The probe, told this.
    pub(crate) async fn probe(&self, config: &str) -> Arc<Version> {
        self.load(
            guests::built("testing-probe"),
            VersionSpec::new("probe", config),
        )
        .await
    }

    pub(crate) async fn load(&self, bytes: Vec<u8>, spec: VersionSpec) -> Arc<Version> {
        self.engine.load(bytes, spec).await.unwrap()
    }
}

pub(crate) fn scope() -> CallScope {
    CallScope::new(Arc::new(TestCall::default()))
}

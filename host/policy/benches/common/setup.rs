//! What the benches share: an engine, a worker, and processor time.

#[path = "../../tests/runtime/guests.rs"]
#[allow(dead_code, reason = "shared with the tests")]
pub(crate) mod guests;
#[path = "../../tests/runtime/host.rs"]
pub(crate) mod host;

use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use tokio::runtime::Runtime;
use weir_policy::{
    CallScope, CompileMode, Engine, EngineSettings, Isolation, Version, VersionSpec, Worker,
};

use self::host::{TestCall, TestServices};

/// A worker with an engine, and the scope of a call.
pub(crate) struct Setup {
    pub(crate) runtime: Runtime,
    engine: Arc<Engine>,
    pub(crate) worker: Worker,
    pub(crate) scope: CallScope,
    _dir: tempfile::TempDir,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let compile = CompileMode::ThisProcess;
        let settings = EngineSettings::new(dir.path().join("compiled"), [7; 32], compile);
        let engine = Engine::new(settings, Arc::new(TestServices::default())).unwrap();
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            worker: Worker::new(engine.clone()),
            engine,
            scope: scope(),
            _dir: dir,
        }
    }

    /// A version of a policy that comes with Weir or its tests.
    pub(crate) fn load(&self, name: &str, config: &str, isolation: Isolation) -> Arc<Version> {
        self.load_bytes(name, guests::built(name), config, isolation)
    }

    pub(crate) fn load_bytes(
        &self,
        name: &str,
        bytes: Vec<u8>,
        config: &str,
        isolation: Isolation,
    ) -> Arc<Version> {
        let mut spec = VersionSpec::new(name, config);
        spec.isolation = isolation;
        self.runtime
            .block_on(self.engine.load(bytes, spec))
            .unwrap()
    }

    /// Tells what the hook costs.
    pub(crate) fn measure(&self, criterion: &mut Criterion, name: &str, hook: impl AsyncFn()) {
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                self.runtime.block_on(async {
                    let started = cpu_time();
                    for _ in 0..count {
                        hook().await;
                    }
                    cpu_time() - started
                })
            });
        });
    }
}

/// Of this thread: what a busy machine does to others' time is not the policy's cost.
pub(crate) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

/// The scope of a call.
pub(crate) fn scope() -> CallScope {
    CallScope::new(Arc::new(TestCall::default()))
}

//! The one engine: how policies are compiled and run, what all of them together may take, and
//! the clock that interrupts them.
//!
//! Loading is in `load.rs`, running in `worker.rs`. Never on the data path: anything
//! in this file.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmFeatures,
};

use crate::artefact::{self, Cache};
use crate::compile::CompileMode;
use crate::services::Services;
use crate::state::State;
use crate::{bounds, link};

/// What an engine is made of.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Instances alive at the same time, idle ones included, over all workers and policies.
    pub instances_max: u32,
    /// The most linear memory that one memory of an instance can be given, in bytes. A version
    /// may be given less.
    pub memory_max_bytes: usize,
    /// Milliseconds between two epochs: the grain of deadlines and of yielding.
    pub epoch_ms: u32,
    /// The most milliseconds for which a policy may let the host remember an answer; a longer time
    /// counts as this, and 0 remembers nothing.
    pub remember_max_ms: u32,
    /// The largest component or module that is accepted, in bytes.
    pub component_max_bytes: usize,
    /// The largest body that a policy may hand to the host, in bytes.
    pub body_max_bytes: usize,
    /// Where compiled components are kept. Made with mode 0700 if it is missing.
    pub cache_dir: PathBuf,
    /// The key that authenticates them. Who has it can run native code.
    pub cache_key: [u8; 32],
    /// Where compilation runs.
    pub compile: CompileMode,
}

impl EngineSettings {
    /// The defaults around the things that have none.
    pub fn new(cache_dir: PathBuf, cache_key: [u8; 32], compile: CompileMode) -> Self {
        Self {
            instances_max: 256,
            memory_max_bytes: 128 << 20,
            epoch_ms: 2,
            remember_max_ms: 60_000,
            component_max_bytes: 32 << 20,
            body_max_bytes: 32 << 20,
            cache_dir,
            cache_key,
            compile,
        }
    }
}

/// The engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refused the settings, or the machine the memory.
    #[error("the WebAssembly engine does not start: {0}")]
    Start(String),
    /// The directory for compiled components cannot be used.
    #[error("the directory for compiled policies, {path}, cannot be used: {reason}")]
    CacheDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
}

/// Compiles, loads and runs policies. One per program.
pub struct Engine {
    pub(crate) wasm: wasmtime::Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) services: Arc<dyn Services>,
    pub(crate) cache: Cache,
    pub(crate) settings: EngineSettings,
    /// One permit per living instance of a worker.
    pub(crate) permits: Arc<Semaphore>,
    /// The same for the instances that loading makes, so that a full pool cannot stop a swap.
    pub(crate) load_permits: Arc<Semaphore>,
    /// Compilers, of which each may take what a policy's compiling may take.
    pub(crate) compiling: Semaphore,
    /// Hooks that wait for a permit: idle instances should make room.
    pub(crate) pressed: AtomicUsize,
    /// Grows with every version that is let go of, so that workers notice.
    pub(crate) retirements: AtomicU64,
    pub(crate) numbers: AtomicU64,
    pub(crate) live_versions: AtomicUsize,
}

/// Instances that loading may have beside those of the workers.
const LOADING_MAX: u32 = 2;

impl Engine {
    /// Starts the engine and its clock, which stops when the engine is dropped.
    ///
    /// # Errors
    /// Where the cache directory cannot be made, or wasmtime cannot reserve the pool.
    pub fn new(
        settings: EngineSettings,
        services: Arc<dyn Services>,
    ) -> Result<Arc<Self>, EngineError> {
        let cache = Cache::open(&settings.cache_dir, settings.cache_key).map_err(|reason| {
            EngineError::CacheDir {
                path: settings.cache_dir.clone(),
                reason,
            }
        })?;
        let start = |error: wasmtime::Error| EngineError::Start(format!("{error:#}"));
        let mut config = compile_config();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(&settings)));
        let wasm = wasmtime::Engine::new(&config).map_err(start)?;
        let linker = link::linker(&wasm).map_err(start)?;
        start_clock(&wasm, settings.epoch_ms)
            .map_err(|error| EngineError::Start(format!("no thread for its clock: {error}")))?;
        let permits = Semaphore::new(usize::try_from(settings.instances_max).unwrap_or(1));
        Ok(Arc::new(Self {
            wasm,
            linker,
            services,
            cache,
            settings,
            permits: Arc::new(permits),
            load_permits: Arc::new(Semaphore::new(LOADING_MAX as usize)),
            compiling: Semaphore::new(bounds::COMPILING_MAX),
            pressed: AtomicUsize::new(0),
            retirements: AtomicU64::new(0),
            numbers: AtomicU64::new(0),
            live_versions: AtomicUsize::new(0),
        }))
    }

    /// Versions whose code is in memory: loaded ones, and retired ones that a call, a stream or
    /// an idle instance still holds. A number that only grows is a leak.
    pub fn live_versions(&self) -> usize {
        self.live_versions.load(Ordering::Relaxed)
    }

    /// Instances alive in all workers, idle ones included.
    pub fn live_instances(&self) -> usize {
        usize::try_from(self.settings.instances_max)
            .unwrap_or(usize::MAX)
            .saturating_sub(self.permits.available_permits())
    }

    /// Removes the compiled code of all components but those with these digests; returns how many files
    /// went. What is in memory stays there. Not to be called while a component is loaded, whose code would
    /// be compiled again by the next start. Blocks.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn prune(&self, keep: impl IntoIterator<Item = [u8; 32]>) -> std::io::Result<usize> {
        let name = |digest| artefact::name(&self.wasm, &digest);
        self.cache.prune(&keep.into_iter().map(name).collect())
    }

    /// How many epochs `ms` milliseconds are, at least one.
    pub(crate) fn epochs(&self, ms: u32) -> u32 {
        ms.div_ceil(self.settings.epoch_ms.max(1)).max(1)
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

/// Everything that compiled code depends on, alike in the engine and in the compiling child.
pub(crate) fn compile_config() -> Config {
    let mut config = Config::new();
    config
        // Three times cheaper calls; no function of the interface is async.
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(512 << 10)
        .async_stack_size(1 << 20)
        .memory_init_cow(true)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(20))
        // No guest toolchain needs these, so they are only attack surface. Multi-memory stays:
        // without it a composed component panics the compiler.
        .wasm_features(
            WasmFeatures::GC
                | WasmFeatures::EXCEPTIONS
                | WasmFeatures::FUNCTION_REFERENCES
                | WasmFeatures::MEMORY64
                | WasmFeatures::TAIL_CALL
                | WasmFeatures::RELAXED_SIMD
                | WasmFeatures::SIMD
                | WasmFeatures::THREADS,
            false,
        )
        .wasm_features(WasmFeatures::MULTI_MEMORY, true);
    config
}

/// Room for every instance, and for the largest that toolchains make: composed components have
/// three memories and tables and up to eight core instances.
fn pool(settings: &EngineSettings) -> PoolingAllocationConfig {
    let instances = settings.instances_max.saturating_add(LOADING_MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_memories(instances.saturating_mul(3))
        .total_tables(instances.saturating_mul(3))
        .total_core_instances(instances.saturating_mul(8))
        .max_memory_size(settings.memory_max_bytes)
        .table_elements(20_000)
        .max_core_instances_per_component(50)
        .max_memories_per_component(8)
        .max_tables_per_component(16)
        .max_component_instance_size(2 << 20)
        .max_core_instance_size(2 << 20)
        // With the scan only pages that were touched are reset; without it (Linux before 6.7) the
        // whole of this is written over each time, so it stays small. For a Rust policy 64 KiB to
        // 4 MiB measured alike (14.1 microseconds for a fresh instance with one hook).
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(64 << 10)
        .max_unused_warm_slots(instances.min(100));
    pool
}

/// The thread that begins a new epoch every `epoch_ms` for as long as the engine lives.
fn start_clock(engine: &wasmtime::Engine, epoch_ms: u32) -> std::io::Result<()> {
    let engine = engine.weak();
    let pause = Duration::from_millis(u64::from(epoch_ms.max(1)));
    std::thread::Builder::new()
        .name("policy-epochs".to_owned())
        .stack_size(64 << 10)
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(pause);
            }
        })?;
    Ok(())
}

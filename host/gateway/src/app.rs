//! Puts the parts together, in order, and takes them apart again.
//!
//! Never does: any work of its own. The only place that names every concrete type.
//! Read first: [`App::start`].

mod data_dir;
mod first_start;
mod threads;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::{Builder, Runtime};
use weir_base::{Clock, SystemClock};
use weir_counters::{KeyValue, KeyValueBounds, Limits};
use weir_policy::{CompileMode, Engine, EngineSettings};
use weir_store::{Store, StoreSettings};
use weir_upstream::{PoolSettings, Tls, TlsSettings};

use crate::admin::{self, AdminState};
use crate::config::{self, Config, Loaded, LogFormat, Overrides, Sources};
use crate::identify::Bans;
use crate::journal::keep::Keeper;
use crate::pipeline::Shared;
use crate::pipeline::audit::AuditQueue;
use crate::pipeline::budget::Budget;
use crate::pipeline::channel_test::Tests;
use crate::pipeline::pins::Pins;
use crate::pipeline::retest::Retests;
use crate::reload::{Control, ControlParts};
use crate::server::{Server, ServerParts};
use crate::services::{HostServices, ServiceParts};
use crate::telemetry::{Metrics, logging};
use data_dir::DataDir;
use threads::{SideThreads, SideWork};

/// Milliseconds that the ledger gets to write its last rows when the program stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Threads for what is not on a call's path.
const BACKGROUND_THREADS: usize = 2;

/// Serves calls until the system says stop.
pub fn serve(file: Option<PathBuf>, overrides: Overrides) -> Result<()> {
    let sources = Sources::of_process(file.as_deref(), overrides)?;
    let loaded = config::load(&sources).map_err(|errors| anyhow::anyhow!("{errors}"))?;
    let format = match loaded.config.log.format {
        LogFormat::Auto => logging::Format::Auto,
        LogFormat::Human => logging::Format::Human,
        LogFormat::Json => logging::Format::Json,
    };
    logging::init(format, loaded.config.log.level.as_str())?;
    let app = App::start(loaded, sources)?;
    first_start::show(&app);
    app.wait_and_stop()
}

/// The running program.
pub struct App {
    /// Where callers are served.
    pub address: SocketAddr,
    /// Where the admin API is served.
    pub admin_address: SocketAddr,
    control: Arc<Control>,
    data_dir: DataDir,
    server: Server,
    side: SideThreads,
    store: Store,
    background: Runtime,
}

impl App {
    /// Starts everything. When it returns, calls are served.
    pub fn start(loaded: Loaded, sources: Sources) -> Result<Self> {
        let Loaded { config, warnings } = loaded;
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let background = Builder::new_multi_thread()
            .worker_threads(BACKGROUND_THREADS)
            .thread_name("weir-background")
            .enable_all()
            .build()?;
        let data_dir = DataDir::open(&config.data_dir)?;
        data_dir.forget_addresses();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = open_store(&config, &data_dir, &clock)?;
        background.block_on(first_start::prepare(&config, &data_dir, &store, &*clock))?;

        let settings = Settings::of(&config);
        let Core {
            engine,
            control,
            shared,
            retests,
            tests,
            work,
        } = Core::start(&background, &data_dir, &store, &clock, config, sources)?;
        let tls = Tls::new(&TlsSettings {
            extra_ca_files: settings.ca_files.clone(),
            ..TlsSettings::default()
        })?;
        let side = SideThreads::start(&shared, &engine, &tls, settings.pool, work)?;
        let admin = admin::router(AdminState {
            control: Arc::clone(&control),
            store: store.clone(),
            metrics: Arc::clone(&shared.metrics),
            bans: Arc::clone(&shared.bans),
            clock,
            retests,
            tests,
            admin_key_hash: weir_store::sha256(data_dir.admin_key()?.expose().as_bytes()),
            open_metrics: settings.admin_listen.is_some(),
            workers: settings.workers,
            writes: Arc::default(),
        });
        let admin_address = match settings.admin_listen {
            Some(address) => Some(background.block_on(serve_admin(address, admin.clone()))?),
            None => None,
        };
        let server = Server::start(ServerParts {
            listen: settings.listen,
            workers: settings.workers,
            shared,
            engine,
            tls,
            pool: settings.pool,
            admin,
            serves_admin: admin_address.is_none(),
            background: background.handle().clone(),
        })
        .with_context(|| {
            format!(
                "{} cannot be listened on; is another program there?",
                settings.listen
            )
        })?;
        let address = server.address;
        let admin_address = admin_address.unwrap_or(address);
        data_dir.tell_addresses(&address.to_string(), &admin_address.to_string())?;
        tracing::info!(%address, %admin_address, workers = settings.workers, "serving");
        Ok(Self {
            address,
            admin_address,
            control,
            data_dir,
            server,
            side,
            store,
            background,
        })
    }

    /// Waits for SIGTERM or SIGINT, lets calls under way end, writes down what is left. SIGHUP
    /// reads the settings again.
    fn wait_and_stop(self) -> Result<()> {
        let control = Arc::clone(&self.control);
        self.background.block_on(until_told(control))?;
        self.stop();
        Ok(())
    }

    /// Stops in order: no new calls, the calls under way, what watches and saves, the ledger.
    pub fn stop(self) {
        let drain_timeout = Duration::from_millis(self.control.config().drain_timeout_ms);
        self.data_dir.forget_addresses();
        tracing::info!("stopping: no new calls are taken");
        if !self.server.drain(drain_timeout) {
            tracing::warn!("some calls did not end in time and were cut off");
        }
        self.background.block_on(self.control.shutdown());
        self.side.stop();
        if let Err(error) = self.store.close(CLOSE_TIMEOUT) {
            tracing::error!(%error, "the ledger could not be written to its end");
        }
        tracing::info!("stopped");
    }
}

/// What decides and counts, before anything listens.
struct Core {
    engine: Arc<Engine>,
    control: Arc<Control>,
    shared: Arc<Shared>,
    retests: Retests,
    tests: Tests,
    work: SideWork,
}

impl Core {
    /// Loads the chain and publishes the first snapshot.
    fn start(
        background: &Runtime,
        data_dir: &DataDir,
        store: &Store,
        clock: &Arc<dyn Clock>,
        config: Config,
        sources: Sources,
    ) -> Result<Self> {
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"))?);
        let limits = Arc::new(Limits::new(Arc::clone(clock)));
        let key_values = Arc::new(KeyValue::new(Arc::clone(clock), KeyValueBounds::default()));
        let bans = Arc::new(Bans::default());
        let (services, questions) = HostServices::new(ServiceParts {
            clock: Arc::clone(clock),
            key_values: Arc::clone(&key_values),
            bans: Arc::clone(&bans),
            store: store.clone(),
            background: background.handle().clone(),
        })?;
        let engine = Engine::new(
            engine_settings(&config, data_dir)?,
            Arc::<HostServices>::clone(&services),
        )?;
        let parts = ControlParts {
            engine: Arc::clone(&engine),
            services,
            store: store.clone(),
            limits: Arc::clone(&limits),
            key_values: Arc::clone(&key_values),
            bans: Arc::clone(&bans),
            metrics: Arc::clone(&metrics),
            journals: Keeper::start(data_dir.journals(), Arc::clone(&metrics))?,
            clock: Arc::clone(clock),
        };
        let control = background.block_on(Control::start(parts, config, sources))?;

        let (audit, finished) = AuditQueue::new(Arc::clone(&metrics));
        let (retests, asked) = Retests::new();
        let (tests, orders) = Tests::new();
        let shared = Arc::new(Shared {
            node: node()?,
            snapshot: control.published(),
            clock: Arc::clone(clock),
            limits,
            ledger: store.ledger(),
            store: store.clone(),
            metrics,
            bans,
            retries: Budget::default(),
            pins: Pins::new(key_values),
            audit,
            background: background.handle().clone(),
        });
        Ok(Self {
            engine,
            control,
            shared,
            retests,
            tests,
            work: SideWork {
                questions,
                asked,
                orders,
                finished,
            },
        })
    }
}

/// What is needed of the settings after the control has taken them.
struct Settings {
    listen: SocketAddr,
    admin_listen: Option<SocketAddr>,
    workers: usize,
    ca_files: Vec<PathBuf>,
    pool: PoolSettings,
}

impl Settings {
    fn of(config: &Config) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let upstream = &config.upstream;
        Self {
            listen: config.listen,
            admin_listen: config.admin_listen,
            workers: if config.workers == 0 {
                cores
            } else {
                config.workers
            },
            ca_files: upstream.ca_files.clone(),
            pool: PoolSettings {
                idle_per_origin_max: upstream.idle_connections_max,
                idle_ms: upstream.idle_connection_ms,
                connections_per_origin_max: upstream.connections_max,
                head_max_bytes: upstream.header_max_bytes,
                http2_ping_ms: upstream.http2_ping_ms,
                dns_cache_ms: upstream.dns_cache_ms,
                connection_max_age_ms: upstream.connection_max_age_ms,
            },
        }
    }
}

/// The name of this gateway among others.
fn node() -> Result<http::HeaderValue> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
    Ok(http::HeaderValue::try_from(hex::encode(bytes))?)
}

fn open_store(config: &Config, data_dir: &DataDir, clock: &Arc<dyn Clock>) -> Result<Store> {
    let settings = StoreSettings {
        flush_ms: config.ledger.flush_ms,
        max_backlog: config.ledger.queue_max_rows,
        clock: Arc::clone(clock),
        ..StoreSettings::default()
    };
    let path = data_dir.database();
    Store::open(&path, &data_dir.master_key()?, settings)
        .with_context(|| format!("the database {} cannot be opened", path.display()))
}

/// Where compiled policies are kept in a folder of their own, which is made where it is missing, and
/// what authenticates them; for commands that need no gateway.
pub fn compiled_in(folder: &Path) -> Result<(PathBuf, [u8; 32])> {
    let folder = DataDir::open(folder)?;
    Ok((folder.compiled(), folder.compiled_key()?))
}

fn engine_settings(config: &Config, data_dir: &DataDir) -> Result<EngineSettings> {
    let runtime = &config.runtime;
    let compile = CompileMode::Child {
        program: std::env::current_exe()?,
        args: vec!["internal-compile".to_owned()],
        memory_max_bytes: runtime.compile_memory_max_bytes as u64,
        timeout_ms: u32::try_from(runtime.compile_timeout_ms).unwrap_or(u32::MAX),
    };
    Ok(EngineSettings {
        instances_max: u32::try_from(runtime.instances_max).unwrap_or(u32::MAX),
        memory_max_bytes: runtime.memory_max_bytes,
        remember_max_ms: u32::try_from(runtime.remember_max_ms).unwrap_or(u32::MAX),
        component_max_bytes: runtime.policy_size_max_bytes,
        body_max_bytes: config.limits.body_max_bytes,
        ..EngineSettings::new(data_dir.compiled(), data_dir.compiled_key()?, compile)
    })
}

/// The admin API on an address of its own.
async fn serve_admin(address: SocketAddr, router: axum::Router) -> Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| {
            format!("{address} cannot be listened on for the admin API; is another program there?")
        })?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the admin API stopped");
        }
    });
    Ok(address)
}

async fn until_told(control: Arc<Control>) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int, mut hup) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
    );
    loop {
        tokio::select! {
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
            _ = hup.recv() => {
                // What is wrong with the settings has been logged.
                let _ = control.reload_config().await;
            }
        }
    }
}

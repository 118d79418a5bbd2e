//! What runs, and how it changes while calls do: settings, entities and policies become snapshots.
//!
//! Every change, whoever wants it (the settings file, the admin API, a file in `policies_dir`, a
//! version that fails), goes through [`Control`], one at a time: gather, load, build, publish. A
//! change that fails on the way leaves everything as it was.
//!
//! Which code a policy runs: a file in `policies_dir`, before the version that the API activated,
//! before the source that its settings name. Never does: serve a call, or change a snapshot that
//! was published.
//! Read first: `Control::rebuild` in `reload/rebuild.rs`.

mod ahead;
mod asks;
mod assemble;
mod builtin;
mod code;
mod config_file;
mod error;
mod probation;
mod rebuild;
mod room;
mod status;
mod trials;
mod upkeep;
mod versions;
mod wanted;
mod watch;
pub mod written;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use arc_swap::ArcSwap;
use tokio::task::JoinSet;
use weir_base::Clock;
use weir_counters::{KeyValue, Limits};
use weir_policy::{Engine, Version};
use weir_store::Store;

use crate::config::{Config, Sources};
use crate::identify::Bans;
use crate::journal::keep::Keeper;
use crate::pipeline::snapshot::Snapshot;
use crate::services::HostServices;
use crate::telemetry::Metrics;
use upkeep::Unsaved;
use watch::Watch;

pub use error::ControlError;
pub use status::{PolicyStatus, VersionReport};
pub use trials::TrialReport;
pub use wanted::{may_grant, owner_of};

/// What the control is made of.
pub struct ControlParts {
    /// Loads policies.
    pub engine: Arc<Engine>,
    /// Told of secrets, grants and metrics with every snapshot.
    pub services: Arc<HostServices>,
    /// What the API made, and where counters last.
    pub store: Store,
    /// The counters behind limits; restored and saved.
    pub limits: Arc<Limits>,
    /// The policies' stores; restored and saved.
    pub key_values: Arc<KeyValue>,
    /// Addresses that are kept out; restored.
    pub bans: Arc<Bans>,
    /// Everything that is counted.
    pub metrics: Arc<Metrics>,
    /// Where the journals of policies go.
    pub journals: Keeper,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Brings about every change of what runs.
pub struct Control {
    parts: ControlParts,
    published: Arc<ArcSwap<Snapshot>>,
    /// Held for the whole of a change.
    state: tokio::sync::Mutex<rebuild::State>,
    /// What the chain is made of, for operators.
    policies: ArcSwap<Vec<Listed>>,
    unsaved: tokio::sync::Mutex<Unsaved>,
    /// Folders that are watched; none in between two changes of them.
    watch: std::sync::Mutex<Option<Watch>>,
    tasks: std::sync::Mutex<JoinSet<()>>,
    stopping: AtomicBool,
    /// True while there may be compiled code that nobody needs.
    wasteful: AtomicBool,
}

/// A line of the list of policies; its failures are read when it is shown.
struct Listed {
    status: PolicyStatus,
    version: Option<Arc<Version>>,
}

impl Control {
    /// Restores counters, bans and the policies' stores, loads the whole chain, publishes the first
    /// snapshot and begins to watch. `sources` are what `config` was loaded from. To be called on
    /// the background runtime, where its tasks will run; before the first call.
    ///
    /// # Errors
    /// The store cannot be read, or a policy cannot be run: all of them must, for a gateway that
    /// starts without one of its policies would allow what that policy denies.
    pub async fn start(
        parts: ControlParts,
        config: Config,
        sources: Sources,
    ) -> Result<Arc<Self>, ControlError> {
        let config = Arc::new(config);
        upkeep::restore(&parts).await?;
        let control = Arc::new(Self {
            published: Arc::new(ArcSwap::from_pointee(rebuild::nothing(&config))),
            state: tokio::sync::Mutex::new(rebuild::State::new(Arc::clone(&config), sources)),
            policies: ArcSwap::default(),
            unsaved: tokio::sync::Mutex::default(),
            watch: std::sync::Mutex::new(None),
            tasks: std::sync::Mutex::new(JoinSet::new()),
            stopping: AtomicBool::new(false),
            // What another start left behind.
            wasteful: AtomicBool::new(true),
            parts,
        });
        {
            let mut state = control.state.lock().await;
            control
                .rebuild(&mut state, config, rebuild::Cause::Start)
                .await?;
            control.begin_watch();
            control.watch_folders(&state);
        }
        let mut tasks = control.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(upkeep::run(Arc::downgrade(&control)));
        tasks.spawn(probation::run(Arc::downgrade(&control)));
        drop(tasks);
        Ok(control)
    }

    /// Where snapshots are published; for the workers.
    pub fn published(&self) -> Arc<ArcSwap<Snapshot>> {
        Arc::clone(&self.published)
    }

    /// What runs now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.published.load_full()
    }

    /// The present settings of the file, environment and command line.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.published.load().config)
    }

    /// Where the journals of policies are.
    pub fn journals(&self) -> Keeper {
        self.parts.journals.clone()
    }

    /// Every policy of the chain in order, with what runs, what failed last and where it comes from.
    pub fn policies(&self) -> Vec<PolicyStatus> {
        let shown = |listed: &Listed| {
            let mut status = listed.status.clone();
            if let Some(version) = &listed.version {
                status.failures = version.failures();
                status.cpu_micros = version.cpu_micros();
                status.instances = version.instances();
            }
            status
        };
        self.policies.load().iter().map(shown).collect()
    }

    /// Whether calls can be served: a chain is loaded (or there would be no control) and the ledger
    /// takes rows. For `/readyz`.
    pub fn ready(&self) -> bool {
        !self.stopping.load(Ordering::Relaxed) && self.parts.store.ledger().accepting()
    }

    /// Something in the store changed: publishes a snapshot of file and store as they are now.
    ///
    /// # Errors
    /// The store cannot be read or holds settings with mistakes: nothing has changed. Or a policy
    /// does not take its new settings: it goes on with those it had, the rest is published.
    pub async fn refresh(&self) -> Result<(), ControlError> {
        let mut state = self.state.lock().await;
        let config = Arc::clone(&state.config);
        let result = self
            .rebuild(&mut state, config, rebuild::Cause::Store)
            .await;
        self.watch_folders(&state);
        result
    }

    /// Ends watching and saves what only memory holds. The store stays open: calls that end later
    /// are still recorded, and whoever opened it closes it.
    pub async fn shutdown(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .abort_all();
        drop(
            self.watch
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        self.save_states().await;
    }
}

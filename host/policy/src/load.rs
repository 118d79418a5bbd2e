//! From bytes to a version that can be called: the part of the swap protocol that may fail.
//!
//! Read [`Engine::load`] top to bottom. Nothing here touches what runs; a version that fails any
//! step leaves no trace but perhaps a compiled file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::component::{Component, InstancePre};

use crate::artefact;
use crate::compile::compile;
use crate::engine::{Engine, hostcall_fuel};
use crate::failure::{Failure, FailureKind};
use crate::guests::Indices;
use crate::hook::{Hook, HookSet};
use crate::inspect::{self, Inspected};
use crate::instance::Instance;
use crate::load_error::LoadError;
use crate::release::Release;
use crate::spec::VersionSpec;
use crate::state::State;
use crate::version::{Compiled, Core, Version};

/// What the blocking part found out about a file.
struct Prepared {
    digest: [u8; 32],
    component: Vec<u8>,
    inspected: Inspected,
}

impl Engine {
    /// Loads a component, or a core module made by wit-bindgen, as a policy version.
    ///
    /// Takes from milliseconds (compiled before) to seconds (a large guest); call it on a
    /// background runtime with time enabled.
    ///
    /// # Errors
    /// The first step that fails; see [`LoadError`].
    pub async fn load(
        self: &Arc<Self>,
        bytes: impl Into<Vec<u8>>,
        spec: VersionSpec,
    ) -> Result<Arc<Version>, LoadError> {
        let bytes = bytes.into();
        let size_bytes = bytes.len();
        let max_bytes = self.settings.component_max_bytes;
        if size_bytes > max_bytes {
            return Err(LoadError::TooLarge {
                size_bytes,
                max_bytes,
            });
        }
        let grants = Arc::new(spec.grants.clone());
        let prepared = {
            let grants = Arc::clone(&grants);
            blocking(move || {
                let digest = Sha256::digest(&bytes).into();
                let component = inspect::componentize(bytes)?;
                let inspected = inspect::inspect(&component, &grants)?;
                Ok(Prepared {
                    digest,
                    component,
                    inspected,
                })
            })
            .await?
        };
        let Prepared {
            digest,
            component,
            inspected,
        } = prepared;
        let Inspected {
            exports,
            imports,
            release,
        } = inspected;
        let hooks: HookSet = exports.iter().map(|(hook, _)| *hook).collect();
        let (component, compiled) = self.compiled(&digest, component).await?;
        let (pre, indices) = self.link(&component, &exports)?;
        let hands_over_bodies = [Hook::Rewrite, Hook::Answer, Hook::Reply]
            .into_iter()
            .any(|hook| hooks.contains(hook))
            || imports
                .iter()
                .any(|import| import.starts_with("weir:policy/http"));
        self.live_versions.fetch_add(1, Ordering::Relaxed);
        let core = Arc::new(Core {
            number: self.next_number(),
            engine: Arc::clone(self),
            identity: Arc::new(spec.identity.clone()),
            grants,
            ticks_max: self.epochs(spec.deadline_ms),
            init_ticks_max: self.epochs(spec.init_deadline_ms),
            handed_max_bytes: hostcall_fuel(&self.settings, hands_over_bodies),
            spec,
            digest,
            size_bytes,
            hooks,
            release,
            imports,
            compiled,
            pre,
            indices,
            retired: AtomicBool::new(false),
            remembers: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            cpu_micros: AtomicU64::new(0),
            instances: AtomicU32::new(0),
        });
        self.start_once(&core).await?;
        Ok(Arc::new(Version { core }))
    }

    /// The compiled component: kept from before, or compiled now.
    async fn compiled(
        self: &Arc<Self>,
        digest: &[u8; 32],
        component: Vec<u8>,
    ) -> Result<(Component, Compiled), LoadError> {
        let name = artefact::name(&self.wasm, digest);
        let cached = {
            let (engine, name) = (Arc::clone(self), name.clone());
            blocking(move || {
                Ok(engine
                    .cache
                    .read(&name)
                    .and_then(|kept| kept.open(&engine.wasm).ok()))
            })
            .await?
        };
        if let Some(component) = cached {
            return Ok((component, Compiled::Cached));
        }
        let made = compile(&self.settings.compile, &self.wasm, Arc::new(component)).await?;
        let engine = Arc::clone(self);
        blocking(move || {
            let component = made
                .open(&engine.wasm)
                .map_err(|error| LoadError::Compile {
                    reason: format!("{error:#}"),
                })?;
            let compiled = match engine.cache.write(&name, &made) {
                Ok(()) => Compiled::Stored,
                Err(error) => Compiled::NotStored(error.to_string()),
            };
            Ok((component, compiled))
        })
        .await
    }

    /// Resolves imports and finds hooks, once for all instances to come.
    fn link(
        &self,
        component: &Component,
        exports: &[(Hook, Release)],
    ) -> Result<(InstancePre<State>, Indices), LoadError> {
        // So that the first instance on the data path need not do it.
        component
            .initialize_copy_on_write_image()
            .map_err(|error| LoadError::Invalid {
                reason: format!("{error:#}"),
            })?;
        let pre = self.linker.instantiate_pre(component).map_err(|error| {
            let reason = format!("{error:#}");
            // wasmtime names the import between backticks.
            let interface = reason.split('`').nth(1).unwrap_or("an import").to_owned();
            LoadError::WrongType { interface, reason }
        })?;
        let indices = Indices::find(component, exports)?;
        Ok((pre, indices))
    }

    /// Starts one instance and lets it take its configuration, then throws it away: workers make
    /// their own.
    async fn start_once(&self, core: &Arc<Core>) -> Result<(), LoadError> {
        let full = LoadError::Start(Failure {
            kind: FailureKind::PoolFull,
            hook: Hook::Lifecycle,
            instance_dropped: false,
        });
        let permit = Arc::clone(&self.load_permits).acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout(Duration::from_secs(30), permit).await else {
            return Err(full);
        };
        Instance::start(core, permit).await.map(drop)
    }
}

/// Runs what takes long on another thread. What panics there was fed something hostile.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(LoadError::Invalid {
            reason: "reading it made a library panic".to_owned(),
        })
    })
}

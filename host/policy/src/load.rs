//! From bytes to a version that can be called: the part of the swap protocol that may fail.
//!
//! Read [`Engine::load`] top to bottom. Nothing here touches what runs; a version that fails any
//! step leaves no trace but perhaps a compiled file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::component::{Component, InstancePre};

use crate::artefact;
use crate::compile::{Order, blocking, compile};
use crate::engine::Engine;
use crate::failure::{Failure, FailureKind};
use crate::grants::Grants;
use crate::guests::Indices;
use crate::hook::{Hook, HookSet};
use crate::inspect::{self, Inspected};
use crate::instance::Instance;
use crate::load_error::{LoadError, short};
use crate::release::Release;
use crate::spec::VersionSpec;
use crate::state::State;
use crate::turn::Pace;
use crate::version::{Compiled, Core, Version};

/// A policy that only has to be linked.
struct Ready {
    digest: [u8; 32],
    component: Component,
    compiled: Compiled,
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
        let bytes = self.fitting(bytes.into())?;
        let size_bytes = bytes.len();
        let grants = Arc::new(spec.grants.clone());
        let Ready {
            digest,
            component,
            compiled,
            inspected,
        } = self.ready(bytes, &grants).await?;
        let Inspected {
            exports,
            imports,
            release,
        } = inspected;
        let hooks: HookSet = exports.iter().map(|(hook, _)| *hook).collect();
        let (pre, indices) = self.link(&component, &exports)?;
        let sends_bodies = imports.iter().any(|import| {
            import.starts_with("weir:policy/http") || import.starts_with("wasi:http")
        });
        self.live_versions.fetch_add(1, Ordering::Relaxed);
        let number = self.next_number();
        let core = Arc::new(Core {
            number,
            pace: Pace::new(number),
            engine: Arc::clone(self),
            identity: Arc::new(spec.identity.clone()),
            grants,
            ticks_max: self.epochs(spec.deadline_ms),
            init_ticks_max: self.epochs(spec.init_deadline_ms),
            sends_bodies,
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
            memory_peak_bytes: AtomicUsize::new(0),
            instances: AtomicU32::new(0),
        });
        self.start_once(&core).await?;
        Ok(Arc::new(Version { core }))
    }

    /// Compiles a policy and keeps it, so that loading it soon takes no time. Does nothing for one
    /// that is kept already.
    ///
    /// # Errors
    /// As for [`Engine::load`], of the steps that do not need the policy's settings.
    pub async fn prepare(self: &Arc<Self>, bytes: impl Into<Vec<u8>>) -> Result<(), LoadError> {
        let everything = Arc::new(Grants::everything());
        let bytes = self.fitting(bytes.into())?;
        self.ready(bytes, &everything).await.map(drop)
    }

    fn fitting(&self, bytes: Vec<u8>) -> Result<Vec<u8>, LoadError> {
        let (size_bytes, max_bytes) = (bytes.len(), self.settings.component_max_bytes);
        if size_bytes > max_bytes {
            return Err(LoadError::TooLarge {
                size_bytes,
                max_bytes,
            });
        }
        Ok(bytes)
    }

    /// The compiled component: kept from before, or compiled now. What it may not have refuses it
    /// before.
    async fn ready(
        self: &Arc<Self>,
        bytes: Vec<u8>,
        grants: &Arc<Grants>,
    ) -> Result<Ready, LoadError> {
        inspect::check_magic(&bytes)?;
        let cached = {
            let (engine, grants) = (Arc::clone(self), Arc::clone(grants));
            blocking(move || {
                let digest = Sha256::digest(&bytes).into();
                let name = artefact::name(&engine.wasm, &digest);
                let kept = engine.cache.read(&name).and_then(|kept| {
                    let component = kept.open(&engine.wasm).ok()?;
                    Some((kept.facts()?, component))
                });
                let Some((facts, component)) = kept else {
                    return Ok(Err((bytes, digest, name)));
                };
                Ok(Ok(Ready {
                    digest,
                    component,
                    compiled: Compiled::Cached,
                    inspected: inspect::check(facts, &grants)?,
                }))
            })
            .await?
        };
        let (bytes, digest, name) = match cached {
            Ok(ready) => return Ok(ready),
            Err(parts) => parts,
        };
        let turn = self.compiling.acquire().await;
        let order = Order {
            mode: &self.settings.compile,
            engine: &self.wasm,
            file: Arc::new(bytes),
        };
        let mut inspected = None;
        let made = compile(order, |facts| {
            inspected = Some(inspect::check(facts.clone(), grants)?);
            Ok(())
        })
        .await?;
        drop(turn);
        let inspected = inspected.ok_or_else(|| LoadError::Compile {
            reason: "the compiler did not say what it compiled".to_owned(),
        })?;
        let engine = Arc::clone(self);
        blocking(move || {
            let component = made
                .open(&engine.wasm)
                .map_err(|error| LoadError::Compile {
                    reason: short(format!("{error:#}")),
                })?;
            let compiled = match engine.cache.write(&name, &made) {
                Ok(()) => Compiled::Stored,
                Err(error) => Compiled::NotStored(error.to_string()),
            };
            Ok(Ready {
                digest,
                component,
                compiled,
                inspected,
            })
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
                reason: short(format!("{error:#}")),
            })?;
        let pre = self.linker.instantiate_pre(component).map_err(|error| {
            let reason = format!("{error:#}");
            // wasmtime names the import between backticks.
            let interface = reason.split('`').nth(1).unwrap_or("an import").to_owned();
            LoadError::WrongType {
                interface: short(interface),
                reason: short(reason),
            }
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
        Instance::start(core, None, permit).await.map(drop)
    }
}

//! A loaded version of a policy: compiled, linked, tried once, ready to be called.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use wasmtime::component::InstancePre;

use crate::bounds;
use crate::engine::Engine;
use crate::grants::Grants;
use crate::guests::Indices;
use crate::hook::{Hook, HookSet};
use crate::inspect;
use crate::release::Release;
use crate::services::PolicyIdentity;
use crate::spec::VersionSpec;
use crate::state::State;
use crate::turn::Pace;

/// A loaded version of a policy. Held in an `Arc` by the chain and by every call that began with
/// it; when the last of them lets go, workers drop its instances and its code is unloaded.
pub struct Version {
    pub(crate) core: Arc<Core>,
}

/// What a version's instances hold on to, beside the version itself.
pub(crate) struct Core {
    pub(crate) number: u64,
    pub(crate) engine: Arc<Engine>,
    pub(crate) identity: Arc<PolicyIdentity>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) spec: VersionSpec,
    pub(crate) digest: [u8; 32],
    pub(crate) size_bytes: usize,
    pub(crate) hooks: HookSet,
    pub(crate) release: Release,
    pub(crate) imports: Vec<String>,
    pub(crate) compiled: Compiled,
    pub(crate) pre: InstancePre<State>,
    pub(crate) indices: Indices,
    /// `deadline_ms` and `init_deadline_ms` in epochs.
    pub(crate) ticks_max: u32,
    pub(crate) init_ticks_max: u32,
    /// Whether it may send requests, which have bodies, in any hook.
    pub(crate) sends_bodies: bool,
    pub(crate) pace: Arc<Pace>,
    pub(crate) retired: AtomicBool,
    /// True once the policy has let the host remember an answer.
    pub(crate) remembers: AtomicBool,
    pub(crate) failures: AtomicU64,
    /// Microseconds that it computed, where that is measured.
    pub(crate) cpu_micros: AtomicU64,
    /// The most linear memory of an instance that is gone.
    pub(crate) memory_peak_bytes: AtomicUsize,
    /// Instances that there are, in all workers.
    pub(crate) instances: AtomicU32,
}

impl Core {
    /// Bytes that the guest may hand over at once while this hook runs.
    pub(crate) fn handed_max_bytes(&self, hook: Hook) -> usize {
        let hands_over = matches!(hook, Hook::Rewrite | Hook::Answer | Hook::Reply);
        if hands_over || self.sends_bodies {
            let body_max_bytes = self.engine.settings.body_max_bytes;
            body_max_bytes.saturating_add(bounds::HANDED_MAX_BYTES)
        } else {
            bounds::HANDED_MAX_BYTES
        }
    }
}

/// Where a version's code came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compiled {
    /// From the directory of compiled components.
    Cached,
    /// It was compiled and kept.
    Stored,
    /// It was compiled but could not be kept, for this reason; the next start compiles it again.
    NotStored(String),
}

impl Version {
    /// The settings that it was loaded with.
    pub fn spec(&self) -> &VersionSpec {
        &self.core.spec
    }

    /// SHA-256 of the file as it was given.
    pub fn digest(&self) -> &[u8; 32] {
        &self.core.digest
    }

    /// Bytes of the file as it was given.
    pub fn size_bytes(&self) -> usize {
        self.core.size_bytes
    }

    /// The hooks that it has.
    #[inline]
    pub fn hooks(&self) -> HookSet {
        self.core.hooks
    }

    /// The version of `weir:policy` that it needs: the newest of which it imports or exports
    /// anything.
    pub fn interface(&self) -> Release {
        self.core.release
    }

    /// The interfaces that it imports, sorted: all that it can do.
    pub fn imports(&self) -> &[String] {
        &self.core.imports
    }

    /// The settings under `grants` without which it is not loaded, sorted.
    pub fn needed_grants(&self) -> Vec<&'static str> {
        inspect::needed_grants(&self.core.imports)
    }

    /// Where its code came from.
    pub fn compiled(&self) -> &Compiled {
        &self.core.compiled
    }

    /// Microseconds that it computed since it was loaded, in all workers; none where no budget is set
    /// for that.
    pub fn cpu_micros(&self) -> Option<u64> {
        let measured = self.core.spec.cpu.is_some();
        measured.then(|| self.core.cpu_micros.load(Ordering::Relaxed))
    }

    /// The most linear memory, in bytes, that an instance had which is gone by now.
    pub fn memory_peak_bytes(&self) -> usize {
        self.core.memory_peak_bytes.load(Ordering::Relaxed)
    }

    /// Instances that there are now, in all workers.
    pub fn instances(&self) -> u32 {
        self.core.instances.load(Ordering::Relaxed)
    }

    /// Hook calls that failed by its own fault, in all workers, since it was loaded. Denials are not
    /// failures, and a machine that was full is not its fault.
    pub fn failures(&self) -> u64 {
        self.core.failures.load(Ordering::Relaxed)
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        self.core.retired.store(true, Ordering::Relaxed);
        self.core.engine.retirements.fetch_add(1, Ordering::Release);
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.engine.live_versions.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version")
            .field("policy", &self.core.identity)
            .field("digest", &hex::encode(self.core.digest))
            .field("hooks", &self.core.hooks)
            .finish_non_exhaustive()
    }
}

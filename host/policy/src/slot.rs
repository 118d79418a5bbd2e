//! Where a worker keeps its instances: a slot for each, a pool of slots for each version.
//!
//! A hook takes the instance out of its slot for as long as it runs, so that nothing can enter
//! it twice. What is dropped in between, or fails, never goes back: the slot is dead, and the
//! streams that live there learn why. All of it belongs to one worker and needs no lock.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;
use wasmtime::Store;

use crate::bounds;
use crate::engine::Engine;
use crate::failure::{Failure, FailureKind};
use crate::guests::Guests;
use crate::hook::Hook;
use crate::instance::Instance;
use crate::load_error::LoadError;
use crate::remembered::Remembered;
use crate::services::{CallHost, Services};
use crate::state::State;
use crate::version::Core;

/// How long a hook waits for one of its version's instances before it looks whether there may be more.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Sweeps (of which there are four a second) without use after which a version's instances go.
const IDLE_SWEEPS: u32 = 240;

/// One instance's place.
pub(crate) struct Slot {
    /// None while a hook has it, and for good once the slot is dead.
    instance: RefCell<Option<Box<Instance>>>,
    dead: RefCell<Option<FailureKind>>,
    /// Streams of this instance that wait for it, and how they are told.
    waiting: Cell<u32>,
    freed: Notify,
    /// Streams that are open in the instance.
    pub(crate) streams: Cell<u32>,
    pub(crate) next_stream: Cell<u32>,
    /// Streams that were dropped unclosed; the instance still has to forget them.
    pub(crate) orphans: RefCell<Vec<u32>>,
    /// True while the pool has it on its list of idle ones.
    listed: Cell<bool>,
}

impl Slot {
    fn empty() -> Rc<Self> {
        Rc::new(Self {
            instance: RefCell::new(None),
            dead: RefCell::new(None),
            waiting: Cell::new(0),
            freed: Notify::new(),
            streams: Cell::new(0),
            next_stream: Cell::new(0),
            orphans: RefCell::new(Vec::new()),
            listed: Cell::new(false),
        })
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.borrow().is_some()
    }

    fn kill(&self, kind: FailureKind) {
        *self.dead.borrow_mut() = Some(kind);
        self.freed.notify_waiters();
    }

    /// Takes the instance where no other hook has it.
    pub(crate) fn try_take(self: &Rc<Self>, pool: Option<&Rc<Pool>>) -> Option<Lease> {
        let instance = self.instance.borrow_mut().take()?;
        Some(Lease::new(self, pool, instance))
    }

    /// Waits until no other hook has the instance, and takes it.
    pub(crate) async fn take(
        self: &Rc<Self>,
        pool: Option<&Rc<Pool>>,
        wait_max_ms: u32,
    ) -> Result<Lease, FailureKind> {
        let until = Instant::now() + Duration::from_millis(u64::from(wait_max_ms));
        loop {
            if let Some(kind) = &*self.dead.borrow() {
                return Err(kind.clone());
            }
            if let Some(lease) = self.try_take(pool) {
                return Ok(lease);
            }
            let _waiting = Count::up(&self.waiting);
            let freed = self.freed.notified();
            if tokio::time::timeout_at(until, freed).await.is_err() {
                return Err(FailureKind::Waited { wait_max_ms });
            }
        }
    }
}

/// Counts somebody for as long as it lives.
struct Count<'a>(&'a Cell<u32>);

impl<'a> Count<'a> {
    fn up(count: &'a Cell<u32>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// An instance that a hook has for itself.
pub(crate) struct Lease {
    slot: Rc<Slot>,
    /// None for an instance that belongs to one call.
    pool: Option<Rc<Pool>>,
    /// Some until the hook is over.
    instance: Option<Box<Instance>>,
}

impl Lease {
    fn new(slot: &Rc<Slot>, pool: Option<&Rc<Pool>>, instance: Box<Instance>) -> Self {
        Self {
            slot: Rc::clone(slot),
            pool: pool.cloned(),
            instance: Some(instance),
        }
    }

    /// An instance that only one call uses, in a slot of its own.
    pub(crate) fn of_call(instance: Box<Instance>) -> Self {
        Self {
            slot: Slot::empty(),
            pool: None,
            instance: Some(instance),
        }
    }

    pub(crate) fn has_orphans(&self) -> bool {
        !self.slot.orphans.borrow().is_empty()
    }

    pub(crate) fn slot(&self) -> &Rc<Slot> {
        &self.slot
    }

    /// Lets the instance forget the streams that were dropped unclosed.
    pub(crate) async fn close_orphans(&mut self) -> Result<(), FailureKind> {
        loop {
            let Some(stream) = self.slot.orphans.borrow_mut().pop() else {
                return Ok(());
            };
            self.run(Hook::Events, None, async |store, guests| {
                match &guests.events {
                    Some(guest) => guest.call_close(store, stream).await.map(drop),
                    None => Ok(()),
                }
            })
            .await?;
        }
    }

    /// Runs a hook. After an error the instance is gone and the slot dead.
    pub(crate) async fn run<R>(
        &mut self,
        hook: Hook,
        call: Option<Arc<dyn CallHost>>,
        body: impl AsyncFnOnce(&mut Store<State>, &Guests) -> wasmtime::Result<R>,
    ) -> Result<R, FailureKind> {
        let Some(mut instance) = self.instance.take() else {
            return Err(FailureKind::Dropped);
        };
        // Until the hook is over the instance belongs to this future, and dies with it.
        let unfinished = Unfinished(Some(&self.slot));
        let ended = instance.run(hook, call, body).await;
        unfinished.finish();
        match &ended {
            Ok(_) => self.instance = Some(instance),
            Err(kind) => self.slot.kill(kind.clone()),
        }
        ended
    }
}

impl Lease {
    /// The epochs that began while the hook ran.
    pub(crate) fn ticks(&self) -> u32 {
        self.instance
            .as_ref()
            .map_or(0, |instance| instance.ticks())
    }

    /// For how many milliseconds the answer of the hook that ran may be used again.
    pub(crate) fn remember_ms(&self) -> u32 {
        self.instance
            .as_ref()
            .map_or(0, |instance| instance.remember_ms())
    }
}

/// Gives the instance back to whoever may use it next.
impl Drop for Lease {
    fn drop(&mut self) {
        let Some(instance) = self.instance.take() else {
            return;
        };
        let slot = &self.slot;
        let keep = match &self.pool {
            Some(pool) => pool.may_keep(&instance),
            None => true,
        };
        if !keep && slot.streams.get() == 0 {
            return;
        }
        *slot.instance.borrow_mut() = Some(instance);
        let waiting = slot.waiting.get() > 0;
        if let Some(pool) = &self.pool
            && keep
        {
            pool.list(slot, waiting);
        }
        if waiting {
            slot.freed.notify_one();
        }
    }
}

/// Marks the slot as dead where the future of a hook is dropped before the hook is over.
struct Unfinished<'a>(Option<&'a Slot>);

impl Unfinished<'_> {
    fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.kill(FailureKind::Dropped);
        }
    }
}

/// One worker's instances of one version.
pub(crate) struct Pool {
    pub(crate) core: Arc<Core>,
    /// The last one in is the first one out, and stays warm in the caches.
    idle: RefCell<Vec<Rc<Slot>>>,
    waiting: Cell<u32>,
    listed: Notify,
    /// Sweeps since an instance was last taken.
    unused_sweeps: Cell<u32>,
    /// Answers that hold for a while.
    pub(crate) remembered: Remembered,
}

impl Pool {
    pub(crate) fn new(core: &Arc<Core>) -> Rc<Self> {
        Rc::new(Self {
            core: Arc::clone(core),
            idle: RefCell::new(Vec::new()),
            waiting: Cell::new(0),
            listed: Notify::new(),
            unused_sweeps: Cell::new(0),
            remembered: Remembered::default(),
        })
    }

    /// An idle instance, if there is one; `for_stream` if one more stream fits into it.
    pub(crate) fn try_take(self: &Rc<Self>, for_stream: bool) -> Option<Lease> {
        self.unused_sweeps.set(0);
        let mut idle = self.idle.borrow_mut();
        let mut at = idle.len();
        while let Some(index) = at.checked_sub(1) {
            at = index;
            let fits = idle.get(index).is_some_and(|slot| {
                !for_stream || slot.streams.get() < bounds::STREAMS_PER_INSTANCE_MAX
            });
            if !fits {
                continue;
            }
            let slot = idle.remove(index);
            slot.listed.set(false);
            let instance = slot.instance.borrow_mut().take();
            // One that is not there is with a stream's event, which lists it again when it is over.
            if let Some(instance) = instance {
                return Some(Lease::new(&slot, Some(self), instance));
            }
        }
        None
    }

    /// A new instance, in a new slot.
    pub(crate) async fn start(
        self: &Rc<Self>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Lease, FailureKind> {
        let instance = start(&self.core, None, permit).await?;
        Ok(Lease::new(&Slot::empty(), Some(self), instance))
    }

    /// Ends when an instance was put on the list.
    pub(crate) async fn wait(&self) -> Result<(), FailureKind> {
        if self.waiting.get() >= self.core.spec.waiting_max {
            return Err(FailureKind::PoolFull);
        }
        let _waiting = Count::up(&self.waiting);
        self.listed.notified().await;
        Ok(())
    }

    /// The same, and fails at `until`. Looks again now and then: an instance that another worker gave
    /// up is listed nowhere.
    pub(crate) async fn wait_until(&self, until: Instant) -> Result<(), FailureKind> {
        let next = Instant::now() + LOOK_AGAIN;
        match tokio::time::timeout_at(until.min(next), self.wait()).await {
            Ok(waited) => waited,
            Err(_) if Instant::now() >= until => Err(FailureKind::PoolFull),
            Err(_) => Ok(()),
        }
    }

    fn list(&self, slot: &Rc<Slot>, last: bool) {
        if !slot.listed.replace(true) {
            let mut idle = self.idle.borrow_mut();
            if last {
                // A stream waits for this one, so others take it only where there is no other.
                idle.insert(0, Rc::clone(slot));
            } else {
                idle.push(Rc::clone(slot));
            }
        }
        if self.waiting.get() > 0 {
            self.listed.notify_one();
        }
    }

    fn may_keep(&self, instance: &Instance) -> bool {
        let needed_elsewhere =
            self.core.engine.pressed.load(Ordering::Relaxed) > 0 && self.waiting.get() == 0;
        !instance.is_worn() && !self.core.retired.load(Ordering::Relaxed) && !needed_elsewhere
    }

    /// For how many sweeps none of its instances was taken.
    pub(crate) fn unused_sweeps(&self) -> u32 {
        self.unused_sweeps.get()
    }

    /// How many instances are idle.
    pub(crate) fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Drops one idle instance that has no streams, the one that was idle longest.
    pub(crate) fn drop_one(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        let Some(index) = idle.iter().position(|slot| slot.streams.get() == 0) else {
            return false;
        };
        drop(idle.remove(index));
        true
    }

    /// Counts a sweep without use; there are four a second.
    pub(crate) fn rest(&self) {
        let unused = self.unused_sweeps.get().saturating_add(1);
        self.unused_sweeps.set(unused);
    }

    /// Drops idle instances that are old, or all of them, also where none was used for a minute. Those
    /// with streams only leave the list: their streams end on them.
    pub(crate) fn sweep(&self, all: bool) {
        let all = all || self.unused_sweeps.get() > IDLE_SWEEPS;
        self.idle.borrow_mut().retain(|slot| {
            let old = slot
                .instance
                .borrow()
                .as_ref()
                .is_some_and(|instance| instance.is_old());
            let keep = !(all || old || slot.is_dead());
            slot.listed.set(keep);
            keep
        });
    }
}

/// A new instance, for the data path; with services of its own where there are some.
pub(crate) async fn start(
    core: &Arc<Core>,
    services: Option<Arc<dyn Services>>,
    permit: OwnedSemaphorePermit,
) -> Result<Box<Instance>, FailureKind> {
    Instance::start(core, services, permit)
        .await
        .map_err(|error| match error {
            LoadError::Start(Failure {
                kind: FailureKind::PoolFull,
                ..
            }) => FailureKind::PoolFull,
            LoadError::Start(failure) => FailureKind::Init(failure.kind.to_string()),
            other => FailureKind::Init(other.to_string()),
        })
}

/// Tells all workers that an instance is needed, for as long as it lives.
pub(crate) struct Pressure<'a>(&'a Engine);

impl<'a> Pressure<'a> {
    pub(crate) fn on(engine: &'a Engine) -> Self {
        engine.pressed.fetch_add(1, Ordering::Relaxed);
        Self(engine)
    }
}

impl Drop for Pressure<'_> {
    fn drop(&mut self) {
        self.0.pressed.fetch_sub(1, Ordering::Relaxed);
    }
}

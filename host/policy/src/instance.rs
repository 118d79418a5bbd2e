//! One instance of a version: started, called, and worn out.
//!
//! [`Instance::run`] is the frame around every hook: what is set up before, what bounds it while
//! it runs and how its end is told apart. It knows nothing of pools.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use wasmtime::Store;

use crate::bounds;
use crate::failure::{self, Failure, FailureKind};
use crate::guests::Guests;
use crate::hook::Hook;
use crate::load_error::LoadError;
use crate::services::{CallHost, Services};
use crate::spec::Recycle;
use crate::state::{State, on_epoch};
use crate::turn::Turn;
use crate::version::Core;

/// A running component. Dropping it gives back its memory and its place in the pool.
pub(crate) struct Instance {
    // Before the permit: a place is free when the memory is.
    store: Store<State>,
    guests: Guests,
    turn: Turn,
    pub(crate) core: Arc<Core>,
    marks: Recycle,
    calls: u32,
    born: Instant,
    _counted: Counted,
    _permit: OwnedSemaphorePermit,
}

/// An instance of a version, for as long as it lives.
struct Counted(Arc<Core>);

impl Counted {
    fn new(core: &Arc<Core>) -> Self {
        core.instances.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(core))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.instances.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let bytes = self.store.data().memory.bytes;
        self.core
            .memory_peak_bytes
            .fetch_max(bytes, Ordering::Relaxed);
    }
}

/// Hook calls between two looks at the clock for an instance's age.
const AGE_CHECK_CALLS: u32 = 256;

impl Instance {
    /// Makes an instance and hands it its configuration; without services of its own it has the
    /// engine's.
    pub(crate) async fn start(
        core: &Arc<Core>,
        services: Option<Arc<dyn Services>>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Box<Self>, LoadError> {
        let turn = Turn::new(&core.pace);
        let mut store = new_store(core, services, turn.clone());
        let failed = |kind| {
            let hook = Hook::Lifecycle;
            LoadError::Start(Failure {
                kind,
                hook,
                instance_dropped: true,
            })
        };
        let counted = Counted::new(core);
        let started = bounded(
            core,
            &turn,
            wait_ms(core, true),
            pin!(core.pre.instantiate_async(&mut store)),
        )
        .await;
        let instance = match started {
            Some(Ok(instance)) => instance,
            Some(Err(error)) => return Err(failed(explain(core, &store, &error, true))),
            None => return Err(failed(waited(core, true))),
        };
        let guests = core.indices.bind(&mut store, &instance)?;
        let mut instance = Box::new(Self {
            store,
            guests,
            turn,
            core: Arc::clone(core),
            marks: core.spec.recycle.draw(core.engine.next_number()),
            calls: 0,
            born: Instant::now(),
            _counted: counted,
            _permit: permit,
        });
        if core.hooks.contains(Hook::Lifecycle) {
            let config = core.spec.config.as_str();
            let taken = instance
                .run(Hook::Lifecycle, None, async |store, guests| {
                    match &guests.lifecycle {
                        Some(guest) => guest.call_init(store, config).await,
                        None => Ok(Ok(())),
                    }
                })
                .await
                .map_err(failed)?;
            taken.map_err(LoadError::config)?;
        }
        Ok(instance)
    }

    /// Runs one hook. After an error the instance must be dropped: it cannot be entered again.
    pub(crate) async fn run<R>(
        &mut self,
        hook: Hook,
        call: Option<Arc<dyn CallHost>>,
        body: impl AsyncFnOnce(&mut Store<State>, &Guests) -> wasmtime::Result<R>,
    ) -> Result<R, FailureKind> {
        let init = hook == Hook::Lifecycle;
        let ticks_max = if init {
            self.core.init_ticks_max
        } else {
            self.core.ticks_max
        };
        self.store.data_mut().begin(hook, call, ticks_max);
        let handed_max_bytes = self.core.handed_max_bytes(hook);
        self.store.set_hostcall_fuel(handed_max_bytes);
        // The first epoch to begin may be microseconds away, so it does not count.
        self.store.set_epoch_deadline(2);
        self.calls += 1;
        let waiting = self.store.data_mut().wait_for_turn();
        let ended = {
            let hook = pin!(async {
                if let Some(turn) = waiting {
                    turn.await;
                }
                body(&mut self.store, &self.guests).await
            });
            bounded(&self.core, &self.turn, wait_ms(&self.core, init), hook).await
        };
        self.store.data_mut().end();
        match ended {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(explain(&self.core, &self.store, &error, init)),
            None => Err(waited(&self.core, init)),
        }
    }

    /// For how many milliseconds the answer of the last hook may be used again.
    pub(crate) fn remember_ms(&self) -> u32 {
        self.store.data().spent.remember_ms
    }

    /// The epochs that began while its last hook ran.
    pub(crate) fn ticks(&self) -> u32 {
        self.store.data().ticks()
    }

    /// True when it is time for a new one.
    pub(crate) fn is_worn(&self) -> bool {
        self.calls >= self.marks.calls
            || self.store.data().memory.bytes > self.marks.memory_bytes
            || (self.calls.is_multiple_of(AGE_CHECK_CALLS) && self.is_old())
    }

    /// True when it has reached its age.
    pub(crate) fn is_old(&self) -> bool {
        self.born.elapsed() >= Duration::from_millis(u64::from(self.marks.age_ms))
    }
}

fn new_store(core: &Core, services: Option<Arc<dyn Services>>, turn: Turn) -> Store<State> {
    let state = State::new(
        Arc::clone(&core.identity),
        Arc::clone(&core.grants),
        services.unwrap_or_else(|| Arc::clone(&core.engine.services)),
        turn,
        core.spec.memory_max_bytes,
        core.spec.wait_max_ms,
    );
    let mut store = Store::new(&core.engine.wasm, state);
    store.limiter(|state| &mut state.memory);
    store.epoch_deadline_callback(on_epoch);
    store.set_hostcall_fuel(core.handed_max_bytes(Hook::Lifecycle));
    store.set_max_component_handles(bounds::HANDLES_MAX);
    store
        .data_mut()
        .begin(Hook::Lifecycle, None, core.init_ticks_max);
    store.set_epoch_deadline(2);
    store
}

fn explain(core: &Core, store: &Store<State>, error: &wasmtime::Error, init: bool) -> FailureKind {
    let deadline_ms = if init {
        core.spec.init_deadline_ms
    } else {
        core.spec.deadline_ms
    };
    let refused = store.data().memory.refused;
    failure::from_wasmtime(error, deadline_ms, refused, core.spec.memory_max_bytes)
}

/// Milliseconds of wall time: a start may use its own deadline besides.
fn wait_ms(core: &Core, init: bool) -> u32 {
    let init_ms = if init { core.spec.init_deadline_ms } else { 0 };
    core.spec.wait_max_ms.saturating_add(init_ms)
}

fn waited(core: &Core, init: bool) -> FailureKind {
    FailureKind::Waited {
        wait_max_ms: wait_ms(core, init),
    }
}

/// Drives a hook to its end, or to none when `wait_max_ms` are over. The timer is
/// only made when the hook does not end at once, which most do.
///
/// The hook is pinned by whoever calls this: moving it in would double the size of every future
/// above.
async fn bounded<R>(
    core: &Core,
    turn: &Turn,
    wait_max_ms: u32,
    mut hook: Pin<&mut impl Future<Output = wasmtime::Result<R>>>,
) -> Option<wasmtime::Result<R>> {
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    std::future::poll_fn(|cx| {
        let polled = match &core.spec.cpu {
            None => hook.as_mut().poll(cx),
            // Between two polls others run: only what passes within one is this policy's.
            Some(cpu) => {
                let began = Instant::now();
                let polled = hook.as_mut().poll(cx);
                let now = Instant::now();
                let took = now.duration_since(began);
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                core.cpu_micros.fetch_add(micros, Ordering::Relaxed);
                cpu.spend(took, now);
                polled
            }
        };
        if let Poll::Ready(ended) = polled {
            return Poll::Ready(Some(ended));
        }
        // What it waits for now, it does not need its turn for.
        turn.give_up();
        let timer = timer.get_or_insert_with(|| {
            let wait_max = Duration::from_millis(u64::from(wait_max_ms));
            Box::pin(tokio::time::sleep(wait_max))
        });
        timer.as_mut().poll(cx).map(|()| None)
    })
    .await
}

//! What the host keeps beside each instance: the call that its hook is about, what is left of
//! the hook's bounds, the memory limiter, and WASI with nothing granted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::bounds;
use crate::failure::Stop;
use crate::grants::Grants;
use crate::hook::Hook;
use crate::services::{CallHost, Fixed, PolicyIdentity, Services, Who};
use crate::stdio::Stdio;
use crate::turn::{Turn, Waiting};
use crate::wasi_http::WasiOutgoing;

/// The data of one instance's store.
pub(crate) struct State {
    pub(crate) identity: Arc<PolicyIdentity>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) services: Arc<dyn Services>,
    pub(crate) hook: Hook,
    pub(crate) call: Option<Arc<dyn CallHost>>,
    pub(crate) spent: Spent,
    pub(crate) memory: Memory,
    pub(crate) turn: Turn,
    wait_max_ms: u32,
    wasi: Option<Box<Wasi>>,
}

struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    stdio: Arc<Stdio>,
    http: WasiHttpCtx,
    outgoing: WasiOutgoing,
}

/// What the running hook has used of its bounds.
#[derive(Default)]
pub(crate) struct Spent {
    /// Epochs that began while the guest itself ran.
    ticks: u32,
    ticks_max: u32,
    /// Set by a host call that waited: the epochs of the wait are not the guest's.
    waited: bool,
    /// When the hook first waited for the host.
    first_wait: Option<Instant>,
    host_calls: u32,
    pub(crate) store_calls: u32,
    pub(crate) log_bytes: usize,
    pub(crate) metrics: u32,
    outbound: u32,
    answered_bytes: usize,
    /// For how long the answer may be used again.
    pub(crate) remember_ms: u32,
}

impl State {
    pub(crate) fn new(
        identity: Arc<PolicyIdentity>,
        grants: Arc<Grants>,
        services: Arc<dyn Services>,
        turn: Turn,
        memory_max_bytes: usize,
        wait_max_ms: u32,
    ) -> Self {
        Self {
            identity,
            grants,
            services,
            hook: Hook::Lifecycle,
            call: None,
            spent: Spent::default(),
            memory: Memory {
                max_bytes: memory_max_bytes,
                bytes: 0,
                elements: 0,
                refused: false,
            },
            turn,
            wait_max_ms,
            wasi: None,
        }
    }

    /// Makes everything ready for one hook. Called for every hook of every call: keep it small.
    pub(crate) fn begin(&mut self, hook: Hook, call: Option<Arc<dyn CallHost>>, ticks_max: u32) {
        self.hook = hook;
        self.call = call;
        self.spent = Spent {
            ticks_max,
            ..Spent::default()
        };
        self.memory.refused = false;
        if let Some(wasi) = &mut self.wasi {
            wasi.outgoing.sent = 0;
            wasi.stdio.begin();
        }
    }

    /// Lets go of the call, so that it does not live as long as an idle instance, and of its turn.
    pub(crate) fn end(&mut self) {
        self.call = None;
        if self.spent.ticks == 0 {
            self.turn.pace().was_quick();
        }
        self.turn.give_up();
        if let Some(wasi) = &self.wasi {
            wasi.stdio.flush();
        }
    }

    pub(crate) fn who(&self) -> Who<'_> {
        Who {
            policy: &self.identity,
            call: self.call.as_deref(),
        }
    }

    /// One more import was called.
    pub(crate) fn charge(&mut self) -> wasmtime::Result<()> {
        self.spent.host_calls += 1;
        if self.spent.host_calls > bounds::HOST_CALLS_MAX {
            return Err(Stop::Bound("called more imports than one hook may").into());
        }
        Ok(())
    }

    /// One more use of the store.
    pub(crate) fn charge_store(&mut self) -> wasmtime::Result<()> {
        self.charge()?;
        self.spent.store_calls += 1;
        if self.spent.store_calls > bounds::STORE_CALLS_MAX {
            return Err(Stop::Bound("used the store more often than one hook may").into());
        }
        Ok(())
    }

    /// One more thing that leaves the process; false where the hook has had its share.
    pub(crate) fn charge_outbound(&mut self) -> wasmtime::Result<bool> {
        self.charge()?;
        self.spent.outbound += 1;
        let other_way = self.wasi.as_ref().map_or(0, |wasi| wasi.outgoing.sent);
        Ok(self.spent.outbound + other_way <= bounds::OUTBOUND_MAX)
    }

    /// Bytes that the guest is about to get.
    pub(crate) fn charge_bytes(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.spent.answered_bytes = self.spent.answered_bytes.saturating_add(bytes);
        if self.spent.answered_bytes > bounds::ANSWERED_MAX_BYTES {
            return Err(Stop::Bound("read more bytes than one hook may").into());
        }
        Ok(())
    }

    /// The host is about to wait for something on the guest's behalf. Returns how long it may
    /// wait, with a little left for the guest to deal with a time-out itself.
    pub(crate) fn begin_wait(&mut self) -> Duration {
        self.spent.waited = true;
        let first = *self.spent.first_wait.get_or_insert_with(Instant::now);
        let whole = Duration::from_millis(u64::from(self.wait_max_ms));
        whole
            .saturating_sub(whole / 20)
            .saturating_sub(first.elapsed())
    }

    /// What the hook waits for before it begins, if it has to.
    pub(crate) fn wait_for_turn(&mut self) -> Option<Waiting> {
        let waiting = self.turn.before();
        // The epochs until then are not the guest's.
        self.spent.waited = waiting.is_some();
        waiting
    }

    /// The epochs that began while the guest ran.
    pub(crate) fn ticks(&self) -> u32 {
        self.spent.ticks
    }

    /// The wait is over.
    pub(crate) fn end_wait(&mut self) {
        self.spent.waited = true;
    }
}

/// Called when an epoch began while the guest ran. Yields, so that the worker's other tasks run;
/// after as many epochs as the hook may use, stops the guest.
pub(crate) fn on_epoch(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let spent = &mut store.data_mut().spent;
    if std::mem::take(&mut spent.waited) {
        return Ok(UpdateDeadline::Continue(1));
    }
    spent.ticks += 1;
    if spent.ticks >= spent.ticks_max {
        return Err(Stop::Deadline.into());
    }
    Ok(UpdateDeadline::YieldCustom(
        1,
        store.data().turn.after_epoch(),
    ))
}

/// Counts an instance's linear memory and tables and refuses to go over their bound.
pub(crate) struct Memory {
    max_bytes: usize,
    /// All memories of the instance together.
    pub(crate) bytes: usize,
    elements: usize,
    /// A growth was refused in the running hook.
    pub(crate) refused: bool,
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.bytes.saturating_sub(current).saturating_add(desired);
        if total > self.max_bytes {
            // The guest sees a failed growth, which it may survive.
            self.refused = true;
            return Ok(false);
        }
        self.bytes = total;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .elements
            .saturating_sub(current)
            .saturating_add(desired);
        if total > bounds::TABLE_ELEMENTS_MAX {
            return Ok(false);
        }
        self.elements = total;
        Ok(true)
    }
}

impl State {
    /// Made when the guest first uses WASI; most never do.
    fn wasi(&mut self) -> &mut Wasi {
        let Self {
            wasi,
            identity,
            grants,
            services,
            ..
        } = self;
        wasi.get_or_insert_with(|| {
            let stdio = Arc::new(Stdio::new(identity.clone(), services.clone()));
            let mut table = ResourceTable::new();
            table.set_max_capacity(bounds::HANDLES_MAX);
            let mut http = WasiHttpCtx::new();
            http.set_field_size_limit(bounds::WASI_HTTP_FIELDS_MAX_BYTES);
            Box::new(Wasi {
                ctx: nothing_granted(&stdio, services.fixed()),
                table,
                stdio,
                http,
                outgoing: WasiOutgoing::new(identity.clone(), grants.clone(), services.clone()),
            })
        })
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView {
            ctx: &mut wasi.ctx,
            table: &mut wasi.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let left = bounds::OUTBOUND_MAX.saturating_sub(self.spent.outbound);
        let timeout = Duration::from_millis(u64::from(self.wait_max_ms));
        let wasi = self.wasi();
        wasi.outgoing.left = left;
        wasi.outgoing.timeout = timeout;
        WasiHttpCtxView {
            hooks: &mut wasi.outgoing,
            table: &mut wasi.table,
            ctx: &mut wasi.http,
        }
    }
}

/// WASI without files, environment, arguments or network. Its clocks tell the host's time,
/// its random numbers are random, and what is written to standard output is a log line.
fn nothing_granted(stdio: &Arc<Stdio>, fixed: Option<Fixed>) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder
        .stdout(stdio.stream())
        .stderr(stdio.stream())
        .wall_clock(stdio.wall_clock())
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(bounds::RANDOM_MAX_BYTES);
    if let Some(Fixed { seed }) = fixed {
        builder
            .monotonic_clock(stdio.wall_clock())
            .secure_random(Deterministic::new(repeatable(seed, 0)))
            .insecure_random(Deterministic::new(repeatable(seed, 1)))
            .insecure_random_seed(u128::from(seed));
    }
    builder.build()
}

/// Bytes that look like chance and are the same for a seed for ever; they repeat after 4 KiB.
fn repeatable(seed: u64, stream: u8) -> Vec<u8> {
    let block = |number: u8| {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update([stream, number]);
        hash.finalize()
    };
    (0..128).flat_map(block).collect()
}

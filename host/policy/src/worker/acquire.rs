//! How a hook comes by an instance: an idle one, a new one, or one to wait for, in that order.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::{CallScope, NEAR_POOLS, Worker};
use crate::failure::FailureKind;
use crate::slot::{self, Lease, Pool, Pressure};
use crate::spec::Isolation;
use crate::version::Core;

impl Worker {
    /// An instance for one hook of this call. Mostly one is idle; all that may wait is boxed, so
    /// that the futures of hooks stay small and cheap to move.
    pub(super) async fn lease(
        &self,
        core: &Arc<Core>,
        scope: &CallScope,
        for_stream: bool,
    ) -> Result<Lease, FailureKind> {
        if self.seen_retirements.get() != self.engine.retirements.load(Ordering::Relaxed) {
            self.let_go();
        }
        if let Some(cpu) = core.spec.cpu.as_ref().filter(|cpu| cpu.is_spent()) {
            return Err(FailureKind::CpuSpent {
                max_ms: cpu.max_ms(),
            });
        }
        if scope.isolation(core) == Isolation::Call
            && let Some(lease) = Box::pin(self.lease_own(core, scope)).await?
        {
            return Ok(lease);
        }
        let pool = self.pool(core);
        match pool.try_take(for_stream) {
            Some(lease) if !lease.has_orphans() => Ok(lease),
            taken => Box::pin(self.lease_shared(pool, taken, for_stream)).await,
        }
    }

    /// One of the pool's; a new one where none is idle; one that comes back where no more may be
    /// made.
    async fn lease_shared(
        &self,
        pool: Rc<Pool>,
        mut taken: Option<Lease>,
        for_stream: bool,
    ) -> Result<Lease, FailureKind> {
        let until = wait_until(&pool.core);
        loop {
            if let Some(mut lease) = taken {
                // Where closing what others left open ends the instance, this call takes another.
                if lease.close_orphans().await.is_ok() {
                    return Ok(lease);
                }
            } else if is_full(&pool.core) {
                // No other policy's instance makes room for one of this version.
                pool.wait_until(until).await?;
            } else if let Some(permit) = self.try_permit() {
                return pool.start(permit).await;
            } else if let Some(permit) = self.wait(&pool, until).await? {
                return pool.start(permit).await;
            }
            taken = pool.try_take(for_stream);
        }
    }

    /// The call's own instance. None where it is only to be watched and there is no room for that now:
    /// then it is not, and shares one like any other call.
    async fn lease_own(
        &self,
        core: &Arc<Core>,
        scope: &CallScope,
    ) -> Result<Option<Lease>, FailureKind> {
        let own = scope
            .own
            .borrow()
            .iter()
            .find(|(number, slot)| *number == core.number && !slot.is_dead())
            .map(|(_, slot)| Rc::clone(slot));
        if let Some(slot) = own {
            return slot.take(None, core.spec.wait_max_ms).await.map(Some);
        }
        let only_watched = core.spec.isolation == Isolation::Shared;
        let full = is_full(core);
        let permit = match self.try_permit().filter(|_| !full) {
            Some(permit) => permit,
            None if only_watched => {
                scope.watch_no_more(core);
                return Ok(None);
            }
            None if full => return Err(FailureKind::PoolFull),
            None => self.wait_for_permit(wait_until(core)).await?,
        };
        let services = scope.services_for(core);
        let lease = Lease::of_call(slot::start(core, services, permit).await?);
        let mut own = scope.own.borrow_mut();
        own.retain(|(number, _)| *number != core.number);
        own.push((core.number, Rc::clone(lease.slot())));
        Ok(Some(lease))
    }

    /// A place for one more instance, if need be that of an idle one of this worker.
    fn try_permit(&self) -> Option<OwnedSemaphorePermit> {
        let permits = &self.engine.permits;
        if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
            return Some(permit);
        }
        let pools = self.pools.borrow();
        let idle = pools.values().filter(|pool| pool.idle() > 0);
        // The one that was not used for longest; among those in use, the one with the most.
        let coldest = idle.max_by_key(|pool| (pool.unused_sweeps(), pool.idle()))?;
        // It may hold nothing but instances with streams.
        if coldest.drop_one() || pools.values().any(|pool| pool.drop_one()) {
            Arc::clone(permits).try_acquire_owned().ok()
        } else {
            None
        }
    }

    async fn wait_for_permit(&self, until: Instant) -> Result<OwnedSemaphorePermit, FailureKind> {
        let _pressure = Pressure::on(&self.engine);
        let permit = Arc::clone(&self.engine.permits).acquire_owned();
        match tokio::time::timeout_at(until, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(FailureKind::PoolFull),
        }
    }

    /// Waits for a permit, or (none) until an instance of this pool is idle again.
    async fn wait(
        &self,
        pool: &Rc<Pool>,
        until: Instant,
    ) -> Result<Option<OwnedSemaphorePermit>, FailureKind> {
        tokio::select! {
            biased;
            waited = pool.wait() => waited.map(|()| None),
            permit = self.wait_for_permit(until) => permit.map(Some),
        }
    }

    pub(super) fn pool(&self, core: &Arc<Core>) -> Rc<Pool> {
        let mut near = self.near.borrow_mut();
        #[expect(
            clippy::indexing_slicing,
            reason = "the index is taken modulo the length"
        )]
        let place = &mut near[usize::try_from(core.number).unwrap_or(0) % NEAR_POOLS];
        if let Some(pool) = place
            && pool.core.number == core.number
        {
            return Rc::clone(pool);
        }
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(core.number).or_insert_with(|| Pool::new(core));
        *place = Some(Rc::clone(pool));
        Rc::clone(pool)
    }
}

/// Whether the version has as many instances as it may have.
fn is_full(core: &Core) -> bool {
    core.instances.load(Ordering::Relaxed) >= core.spec.instances_max
}

/// When a wait for an instance ends that begins now.
fn wait_until(core: &Core) -> Instant {
    Instant::now() + Duration::from_millis(u64::from(core.spec.wait_max_ms))
}

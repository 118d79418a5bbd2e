//! One streamed reply in one policy: its events go to the same instance from open to close, and
//! between them that instance serves other calls and streams.

use std::rc::Rc;
use std::sync::Arc;

use crate::answers;
use crate::bounds;
use crate::failure::{Failure, FailureKind};
use crate::hook::Hook;
use crate::services::CallHost;
use crate::slot::{Lease, Pool, Slot};
use crate::types::{Action, NewEvent, StreamEvent, Summary};
use crate::version::Version;
use crate::worker::Answer;

/// A streamed reply that a policy wanted to see. Close it when the stream ends, however it ends;
/// one that is dropped instead is closed later, and what the policy held back is lost.
pub struct Stream {
    // Keeps the version from being retired while the stream runs.
    version: Arc<Version>,
    call: Arc<dyn CallHost>,
    pool: Option<Rc<Pool>>,
    slot: Rc<Slot>,
    number: u32,
    /// Epochs that its hooks have used.
    ticks: u32,
    closed: bool,
}

impl Stream {
    pub(crate) async fn open(
        version: &Arc<Version>,
        call: Arc<dyn CallHost>,
        pool: Option<Rc<Pool>>,
        mut lease: Lease,
        summary: &Summary<'_>,
    ) -> Result<Option<Self>, FailureKind> {
        let slot = Rc::clone(lease.slot());
        let number = slot.next_stream.get();
        slot.next_stream.set(number.wrapping_add(1));
        let wanted = lease
            .run(
                Hook::Events,
                Some(Arc::clone(&call)),
                async |store, guests| match &guests.events {
                    Some(guest) => guest.call_open(store, number, summary.clone()).await,
                    None => Ok(false),
                },
            )
            .await?;
        if !wanted {
            return Ok(None);
        }
        slot.streams.set(slot.streams.get() + 1);
        let version = Arc::clone(version);
        Ok(Some(Self {
            version,
            call,
            pool,
            slot,
            number,
            ticks: 0,
            closed: false,
        }))
    }

    /// The version that sees this stream.
    pub fn version(&self) -> &Arc<Version> {
        &self.version
    }

    /// What becomes of the next event. A denial ends the stream with an error.
    ///
    /// # Errors
    /// As every hook; also where another call or stream ended the instance. The stream cannot go
    /// on in this policy then.
    pub async fn push(&mut self, event: &StreamEvent<'_>) -> Answer<Action> {
        let core = &self.version.core;
        let fail = |kind| core.fail(Hook::Events, kind);
        let number = self.number;
        let mut lease = self.lease().await.map_err(fail)?;
        let answer = lease
            .run(
                Hook::Events,
                Some(Arc::clone(&self.call)),
                async |store, guests| match &guests.events {
                    Some(guest) => guest.call_push(store, number, event.clone()).await,
                    None => Ok(Ok(Action::Pass)),
                },
            )
            .await
            .map_err(fail)?;
        self.ticks = self.ticks.saturating_add(lease.ticks());
        if self.ticks > core.ticks_max.saturating_mul(bounds::STREAM_DEADLINES) {
            let deadline_ms = core
                .spec
                .deadline_ms
                .saturating_mul(bounds::STREAM_DEADLINES);
            return Err(fail(FailureKind::Deadline { deadline_ms }));
        }
        core.checked(Hook::Events, answer, answers::check_action)
    }

    /// Ends the stream; returns what the policy still held back.
    ///
    /// # Errors
    /// As [`Stream::push`].
    pub async fn close(mut self) -> Result<Vec<NewEvent>, Failure> {
        let fail = |kind| self.version.core.fail(Hook::Events, kind);
        let number = self.number;
        let mut lease = self.lease().await.map_err(fail)?;
        let held_back = lease
            .run(
                Hook::Events,
                Some(Arc::clone(&self.call)),
                async |store, guests| match &guests.events {
                    Some(guest) => guest.call_close(store, number).await,
                    None => Ok(Vec::new()),
                },
            )
            .await
            .map_err(fail)?;
        // Before the lease ends: a worn instance goes with its last stream.
        self.slot
            .streams
            .set(self.slot.streams.get().saturating_sub(1));
        self.closed = true;
        match answers::check_events(&held_back) {
            Ok(()) => Ok(held_back),
            Err(reason) => Err(fail(FailureKind::BadAnswer(reason))),
        }
    }

    async fn lease(&self) -> Result<Lease, FailureKind> {
        let pool = self.pool.as_ref();
        match self.slot.try_take(pool) {
            Some(lease) => Ok(lease),
            None => Box::pin(self.slot.take(pool, self.version.core.spec.wait_max_ms)).await,
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.closed {
            self.slot
                .streams
                .set(self.slot.streams.get().saturating_sub(1));
            if !self.slot.is_dead() {
                self.slot.orphans.borrow_mut().push(self.number);
            }
        }
    }
}

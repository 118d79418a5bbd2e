//! One try under way.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_base::Fault;

use super::failure::Failed;
use super::hold::Bounds;
use super::send::{self, Got};
use super::tries::{Target, Tries};
use crate::pipeline::channel::Channel;
use crate::pipeline::open::{Open, Serving};
use crate::pipeline::route::Planned;
use crate::pipeline::worker::Worker;

/// A try at one channel with one key. Dropped, it is given up and counts as abandoned.
pub struct Flight {
    /// What is tried.
    pub target: Target,
    /// The provider's name for the model.
    pub model: Arc<str>,
    /// When it began.
    pub began: Instant,
    /// When the call's own time is over.
    pub until: Instant,
    /// The call as the channel's count of what is in flight.
    pub serving: RefCell<Option<Serving>>,
    planned: Planned,
}

impl Flight {
    /// Begins a try. None where the plan has no such place.
    pub fn new(open: &Open, tries: &Tries<'_>, target: Target, until: Instant) -> Option<Self> {
        let planned = tries.planned(target.at)?.clone();
        let model = Arc::from(planned.channel.upstream_model(&open.facts.model));
        let serving = Serving::new(&open.worker, &planned);
        Some(Self {
            began: serving.began(),
            serving: RefCell::new(Some(serving)),
            target,
            model,
            until,
            planned,
        })
    }

    /// Where it goes.
    pub fn channel(&self) -> &Arc<Channel> {
        &self.planned.channel
    }

    /// The id of its key.
    pub fn key_id(&self) -> Option<Arc<str>> {
        let lease = self.target.lease.as_ref()?;
        Some(Arc::clone(&lease.id))
    }

    /// Milliseconds after which another try may begin beside it.
    pub fn hedge_after_ms(&self) -> Option<u32> {
        self.planned.hedge_after_ms
    }

    /// Sends it and brings what comes back.
    pub async fn fly(
        &self,
        worker: &Rc<Worker>,
        open: &Open,
    ) -> Result<Result<Got, Failed>, Fault> {
        let retry = &open.call.snapshot.config.retry;
        let timeouts = self.planned.channel.timeouts.of(open.call.operation);
        let left = self.until.saturating_duration_since(self.began);
        let by_policy = self
            .planned
            .first_byte_timeout_ms
            .map_or(u64::MAX, u64::from);
        let bounds = Bounds {
            began: self.began,
            first_byte_ms: milliseconds(left)
                .min(timeouts.first_byte_ms)
                .min(by_policy),
            hold_ms: retry.hold_ms,
            idle_ms: timeouts.idle_stream_ms,
            max_bytes: retry.hold_max_bytes,
        };
        let lease = self.target.lease.as_ref();
        send::send(worker, open, &self.planned, lease, &self.model, bounds).await
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! Journals: every answer that the host gave to a policy in a call, so that the call can be run again,
//! bit for bit, in the same engine.
//!
//! A policy has one where its settings say so (`journal_per_thousand`), for a sample of its calls. In a
//! call of the sample the policy's hooks have a new instance for themselves ([`CallScope::watch`]), whose
//! random numbers come from a seed, and a [`Tape`] stands between it and the host: nothing that it does
//! depends on anything that is not on the tape. What is kept, and for how long, is bounded ([`keep`]).
//!
//! Never does: wait, or touch a file, on a call's path; keep the value of a secret.
//! Read first: [`record`] for what is kept, then [`tape`] for how it comes about and is played.

pub mod keep;
pub mod record;
pub mod shape;
pub mod tape;
mod told;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use weir_base::CallId;
use weir_policy::{CallHost, CallScope, Services, Version};

use keep::Keeper;
use record::Record;
pub use tape::Tape;

const THOUSAND: u64 = 1_000;
const MINUTE_MS: u64 = 60_000;
/// The lower half of a minute's word counts calls, the upper half is the minute.
const COUNT_BITS: u32 = 32;

/// What one policy's journal takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Of a thousand calls, how many.
    pub per_thousand: u32,
    /// Calls of one minute at most.
    pub per_minute_max: u32,
    /// Bytes of one call at most; what comes after is left out.
    pub call_max_bytes: usize,
}

/// The journal of one version of a policy.
pub struct Journal {
    /// The policy's name in the gateway.
    policy: Arc<str>,
    bounds: Bounds,
    services: Arc<dyn Services>,
    keeper: Keeper,
    /// The minute, and how many of its calls were taken.
    minute: AtomicU64,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("policy", &self.policy)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// A journal of the policy with this name, kept by `keeper`.
    pub fn new(
        policy: Arc<str>,
        bounds: Bounds,
        services: Arc<dyn Services>,
        keeper: Keeper,
    ) -> Self {
        Self {
            policy,
            bounds,
            services,
            keeper,
            minute: AtomicU64::new(0),
        }
    }

    /// A tape of this call, if it is one of the sample and the journal has room for it this minute. From
    /// then on the hooks of `version` are on it, in this scope.
    pub fn begin(
        &self,
        id: CallId,
        call: &Arc<dyn CallHost>,
        scope: &CallScope,
        version: &Version,
    ) -> Option<Arc<Tape>> {
        if !in_sample(id, self.bounds.per_thousand) || !self.has_room() {
            return None;
        }
        let record = Record::of(&self.policy, id, self.services.now_ms(), version)?;
        let tape = Arc::new(Tape::recording(
            record,
            self.bounds.call_max_bytes,
            Arc::clone(call),
            Arc::clone(&self.services),
            self.keeper.clone(),
        ));
        tape.watch(scope, version);
        Some(tape)
    }

    fn has_room(&self) -> bool {
        let minute = self.services.now_ms() / MINUTE_MS;
        let taken = self
            .minute
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
                let (of, count) = (word >> COUNT_BITS, word & u64::from(u32::MAX));
                let count = if of == minute { count } else { 0 };
                let next = (minute << COUNT_BITS) | (count + 1);
                (count < u64::from(self.bounds.per_minute_max)).then_some(next)
            });
        taken.is_ok()
    }
}

/// Whether a call is in the sample: the same calls for all hooks and threads, and whatever its caller
/// does, since the gateway makes the id.
fn in_sample(id: CallId, per_thousand: u32) -> bool {
    let [.., a, b, c, d] = id.to_bytes();
    u64::from(u32::from_le_bytes([a, b, c, d])) % THOUSAND < u64::from(per_thousand)
}

#[cfg(test)]
mod tests;

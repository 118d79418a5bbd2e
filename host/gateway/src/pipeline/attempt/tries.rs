//! What is tried next: which channel, with which key, and whether that may be tried at all.
//!
//! First whatever has not failed lately, in the order of the plan, one key of each channel before
//! the second key of any; then whatever is left; where there was one target alone, after a pause, the
//! same once more. Each
//! try but the first must fit into the retry budget, unless nothing speaks against its target: what
//! is down is known to be after a call or two, so such retries multiply no outage, and without them a
//! spent budget would fail calls that a healthy key could serve.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use smallvec::SmallVec;

use super::key::{pick, take};
use crate::keys::{Lease, ProviderKey, Standing};
use crate::pipeline::budget::Allowance;
use crate::pipeline::channel::Channel;
use crate::pipeline::open::Open;
use crate::pipeline::route::Planned;
use crate::pipeline::worker::Worker;

/// What is to be tried.
#[derive(Debug)]
pub struct Target {
    /// Its place in the plan.
    pub at: usize,
    /// The key, where the channel has any, and what the try took of its limits.
    pub lease: Option<Lease>,
    /// Milliseconds to wait before.
    pub pause_ms: u64,
}

/// How choosy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// What has not failed lately.
    Well,
    /// Whatever was not tried yet.
    Any,
    /// What was tried.
    Again,
}

/// The tries of one plan.
pub struct Tries<'p> {
    plan: &'p [Planned],
    /// A key that is taken before any other: what is asked for lives there.
    prefers: Option<Arc<str>>,
    at: usize,
    level: Level,
    tried: SmallVec<[(usize, Option<Arc<str>>); 4]>,
    /// What may be tried once more: its place in the plan, and its key.
    again: Option<(usize, Option<Arc<str>>)>,
    agains: u32,
    left: usize,
    is_retry: bool,
}

/// How a channel, with a key or without, does.
pub fn standing<'c>(channel: &'c Channel, key: Option<&'c ProviderKey>) -> &'c Standing {
    key.map_or(&channel.health.standing, |key| &key.state.standing)
}

impl<'p> Tries<'p> {
    /// The tries of `plan`, `left` at most. `is_retry`: another plan was tried before it.
    pub fn new(
        plan: &'p [Planned],
        prefers: Option<Arc<str>>,
        left: usize,
        is_retry: bool,
    ) -> Self {
        Self {
            plan,
            prefers,
            at: 0,
            level: Level::Well,
            tried: SmallVec::new(),
            again: None,
            agains: 0,
            left,
            is_retry,
        }
    }

    /// A place of the plan.
    pub fn planned(&self, at: usize) -> Option<&'p Planned> {
        self.plan.get(at)
    }

    /// The tries that are still allowed.
    pub fn left(&self) -> usize {
        self.left
    }

    /// The next try, if there is one. Counts it.
    pub fn next(&mut self, worker: &Worker, open: &Open, now_ms: u64) -> Option<Target> {
        let target = self.find(worker, open, now_ms)?;
        self.take(worker, &target, now_ms);
        Some(target)
    }

    /// A try beside the one under way. It is never needed, so it must fit into the budget.
    pub fn beside(&mut self, worker: &Worker, open: &Open, now_ms: u64) -> Option<Target> {
        let at = self.at;
        if self.left == 0 || self.level == Level::Again || !within(worker, open, None, now_ms) {
            return None;
        }
        self.at = at + 1;
        let target = self.find_untried(worker, open, now_ms, Level::Well, true);
        match &target {
            Some(target) => self.take(worker, target, now_ms),
            None => self.at = at,
        }
        target
    }

    /// The channel at this place failed with this key: others come first. `again`: it may be tried
    /// once more.
    pub fn channel_failed(&mut self, at: usize, key: Option<Arc<str>>, again: bool) {
        self.at = at + 1;
        if again && self.again.is_none() {
            self.again = Some((at, key));
        }
    }

    fn take(&mut self, worker: &Worker, target: &Target, now_ms: u64) {
        self.left = self.left.saturating_sub(1);
        self.at = target.at;
        let id = target.lease.as_ref().map(|lease| Arc::clone(&lease.id));
        let health = self
            .plan
            .get(target.at)
            .map(|planned| &planned.channel.health);
        if self.is_retry {
            worker.shared.retries.spend(now_ms);
            health.inspect(|health| health.retries.spend(now_ms));
        } else {
            worker.shared.retries.offered(now_ms);
            health.inspect(|health| health.retries.offered(now_ms));
        }
        self.is_retry = true;
        self.tried.push((target.at, id));
    }

    fn find(&mut self, worker: &Worker, open: &Open, now_ms: u64) -> Option<Target> {
        if self.left == 0 {
            return None;
        }
        for level in [Level::Well, Level::Any] {
            if self.level == level {
                if let Some(target) = self.find_untried(worker, open, now_ms, level, false) {
                    return Some(target);
                }
                self.level = if level == Level::Well {
                    Level::Any
                } else {
                    Level::Again
                };
                self.at = 0;
            }
        }
        self.once_more(worker, open, now_ms)
    }

    /// `never_needed`: what does not fit into the budget is left, however well it is.
    fn find_untried(
        &self,
        worker: &Worker,
        open: &Open,
        now_ms: u64,
        level: Level,
        never_needed: bool,
    ) -> Option<Target> {
        let count = self.plan.len();
        let steps = (0..count).map(|step| (self.at + step) % count);
        for at in steps {
            let planned = self.plan.get(at)?;
            let channel = &*planned.channel;
            if level == Level::Well && planned.is_tripped(now_ms) {
                continue;
            }
            let only_well = self.is_retry
                && !(within(worker, open, None, now_ms)
                    && within(worker, open, Some(channel), now_ms));
            if only_well && never_needed {
                continue;
            }
            if let Some(lease) = self.key_of(at, channel, open, now_ms, level, only_well) {
                return Some(Target {
                    at,
                    lease,
                    pause_ms: 0,
                });
            }
        }
        None
    }

    /// A key of this channel, if it has one to try. The inner option is none where it needs none.
    #[expect(
        clippy::option_option,
        reason = "nothing to try, or something to try without a key"
    )]
    fn key_of(
        &self,
        at: usize,
        channel: &Channel,
        open: &Open,
        now_ms: u64,
        level: Level,
        only_well: bool,
    ) -> Option<Option<Lease>> {
        let first_ms = open.call.snapshot.config.cooldown.first_ms;
        let fits = |standing: &Standing| {
            (level != Level::Well || !standing.is_avoided(now_ms, first_ms))
                && (!only_well || standing.is_well(now_ms))
        };
        let was_tried = |id: Option<&Arc<str>>| {
            self.tried
                .iter()
                .any(|(place, tried)| *place == at && tried.as_ref() == id)
        };
        let keys = channel.keys.keys();
        if keys.is_empty() {
            let fits = !was_tried(None) && fits(&channel.health.standing);
            return fits.then_some(None);
        }
        if let Some(wanted) = &self.prefers {
            let is_it = |key: &&Arc<ProviderKey>| key.id == *wanted && !was_tried(Some(&key.id));
            let wanted = keys.iter().find(is_it);
            if let Some(lease) = wanted.and_then(|key| take(open, channel, key, now_ms)) {
                return Some(Some(lease));
            }
        }
        // Nearly always empty: nothing was tried, nothing failed.
        let passed_over: SmallVec<[Arc<str>; 8]> = keys
            .iter()
            .filter(|key| was_tried(Some(&key.id)) || !fits(&key.state.standing))
            .map(|key| Arc::clone(&key.id))
            .collect();
        pick(open, channel, now_ms, &passed_over).ok()
    }

    /// The same once more, later.
    fn once_more(&mut self, worker: &Worker, open: &Open, now_ms: u64) -> Option<Target> {
        let retry = &open.call.snapshot.config.retry;
        let (at, id) = self.again.take()?;
        let is_other = |tried: &(usize, Option<Arc<str>>)| tried.0 != at || tried.1 != id;
        if self.tried.iter().any(is_other) {
            return None;
        }
        let channel = &*self.plan.get(at)?.channel;
        if self.agains >= retry.same_target_max
            || !within(worker, open, None, now_ms)
            || !within(worker, open, Some(channel), now_ms)
        {
            return None;
        }
        let lease = match id {
            None => None,
            Some(id) => {
                let key = channel.keys.keys().iter().find(|key| key.id == id)?;
                Some(take(open, channel, key, now_ms)?)
            }
        };
        let pause_ms = jittered(
            retry.backoff_ms.saturating_mul(1 << self.agains),
            open,
            self.left,
        );
        self.agains += 1;
        Some(Target {
            at,
            lease,
            pause_ms,
        })
    }
}

/// Whether another retry fits into the budget of the gateway, or of a channel.
fn within(worker: &Worker, open: &Open, channel: Option<&Channel>, now_ms: u64) -> bool {
    let retry = &open.call.snapshot.config.retry;
    let allowance = Allowance {
        percent: retry.budget_percent,
        floor: retry.budget_floor,
    };
    let budget = channel.map_or(&worker.shared.retries, |channel| &channel.health.retries);
    budget.allows(now_ms, allowance)
}

/// Between half and one and a half of `pause_ms`, so that calls that failed together do not come
/// back together. Call ids are random.
fn jittered(pause_ms: u64, open: &Open, number: usize) -> u64 {
    let hash =
        BuildHasherDefault::<DefaultHasher>::default().hash_one((open.call.id.to_bytes(), number));
    pause_ms / 2 + hash % pause_ms.max(1)
}

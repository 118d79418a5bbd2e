//! How hooks are called: one method per hook, over the instances of this worker.
//!
//! Every worker of the gateway has one, on its own thread; nothing here is shared but the
//! engine's count of instances. A hook that runs long or waits yields, so that the worker's other
//! calls go on.
//!
//! Drop the future of a hook only where the whole program ends: a hook that is dropped in the
//! middle takes its instance with it, and the streams of other calls on that instance. A caller
//! that hung up is no reason; let the hook end, it is bounded.

mod acquire;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wasmtime::Store;

use crate::answers;
use crate::engine::Engine;
use crate::failure::{Failure, FailureKind};
use crate::guests::Guests;
use crate::hook::Hook;
use crate::remembered::{Caller, Rules};
use crate::services::{CallHost, Services};
use crate::slot::{Pool, Slot};
use crate::spec::Isolation;
use crate::state::State;
use crate::stream::Stream;
use crate::types::{
    Candidate, Denial, LimitRule, Outcome, Response, RouteAttempt, Summary, WholeReply,
};
use crate::version::{Core, Version};

/// What a hook answered: its value, or a denial that ends the call.
pub type Answer<T> = Result<Result<T, Denial>, Failure>;

/// One worker's instances. Not `Send`: it stays on the thread of its runtime, whose timers must
/// be enabled.
pub struct Worker {
    engine: Arc<Engine>,
    pools: RefCell<HashMap<u64, Rc<Pool>, ahash::RandomState>>,
    /// The pools that were used last, by the lowest bits of the version's number: a chain of a few
    /// policies finds its own without hashing.
    near: RefCell<[Option<Rc<Pool>>; NEAR_POOLS]>,
    seen_retirements: Cell<u64>,
}

const NEAR_POOLS: usize = 16;

/// One call, for as long as hooks are called for it: what policies see of it, and the instances
/// that are its own where a policy is isolated by call.
pub struct CallScope {
    call: Arc<dyn CallHost>,
    /// None where no answer is remembered.
    caller: Option<Caller>,
    own: RefCell<Vec<(u64, Rc<Slot>)>>,
    watched: RefCell<Vec<Watched>>,
}

/// What the hooks of one version get to see of the world in one call, in place of the usual.
struct Watched {
    version: u64,
    call: Arc<dyn CallHost>,
    services: Arc<dyn Services>,
    given_up: Arc<AtomicBool>,
}

impl CallScope {
    /// The scope of a new call, whose policies are asked every time.
    pub fn new(call: Arc<dyn CallHost>) -> Self {
        Self {
            call,
            caller: None,
            own: RefCell::new(Vec::new()),
            watched: RefCell::new(Vec::new()),
        }
    }

    /// The same for a call of this caller, for whom answers are remembered where policies allow it.
    pub fn of_caller(call: Arc<dyn CallHost>, caller: Caller) -> Self {
        Self {
            caller: Some(caller),
            ..Self::new(call)
        }
    }

    /// From now on this version's hooks see this call and these services, in a new instance that they
    /// have for themselves: nothing of what they do depends on a call before, or on anything that does
    /// not go through the two. Where there is no room for that instance, the hooks see the usual after
    /// all, and `given_up` becomes true: calls do not fail for being watched.
    pub fn watch(
        &self,
        version: &Version,
        call: Arc<dyn CallHost>,
        services: Arc<dyn Services>,
        given_up: Arc<AtomicBool>,
    ) {
        self.watched.borrow_mut().push(Watched {
            version: version.core.number,
            call,
            services,
            given_up,
        });
    }

    fn watch_no_more(&self, core: &Core) {
        self.watched.borrow_mut().retain(|one| {
            let stays = one.version != core.number;
            if !stays {
                one.given_up.store(true, Ordering::Relaxed);
            }
            stays
        });
    }

    /// The call as the hooks of this version see it.
    fn call_for(&self, core: &Core) -> Arc<dyn CallHost> {
        let watched = self.watched.borrow();
        let watched = watched.iter().find(|one| one.version == core.number);
        Arc::clone(watched.map_or(&self.call, |one| &one.call))
    }

    /// The services of the hooks of this version, where they are not the usual.
    fn services_for(&self, core: &Core) -> Option<Arc<dyn Services>> {
        let watched = self.watched.borrow();
        let watched = watched.iter().find(|one| one.version == core.number);
        watched.map(|one| Arc::clone(&one.services))
    }

    /// Whether the hooks of this version have an instance for themselves in this call.
    fn isolation(&self, core: &Core) -> Isolation {
        let watched = self.watched.borrow();
        if watched.iter().any(|one| one.version == core.number) {
            return Isolation::Call;
        }
        core.spec.isolation
    }
}

impl Worker {
    /// A worker without any instance yet.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            pools: RefCell::default(),
            near: RefCell::default(),
            seen_retirements: Cell::new(0),
        }
    }

    /// What the policy answered to such a call a while ago, if it said that this holds until now:
    /// for `access` that it allows, for `limit` its rules.
    pub fn recall(
        &self,
        version: &Version,
        scope: &CallScope,
        hook: Hook,
        summary: &Summary<'_>,
        now: Instant,
    ) -> Option<Rules> {
        let core = &version.core;
        if !core.remembers.load(Ordering::Relaxed) {
            return None;
        }
        let caller = scope.caller.as_ref()?;
        self.pool(core).remembered.find(hook, caller, summary, now)
    }

    /// Keeps what the hook answered, where it said for how long.
    fn remember(
        &self,
        core: &Arc<Core>,
        scope: &CallScope,
        hook: Hook,
        summary: &Summary<'_>,
        (for_ms, rules): (u32, impl FnOnce() -> Rules),
    ) {
        let Some(caller) = scope.caller.as_ref().filter(|_| for_ms > 0) else {
            return;
        };
        let for_ms = for_ms.min(core.engine.settings.remember_max_ms);
        if for_ms == 0 {
            return;
        }
        core.remembers.store(true, Ordering::Relaxed);
        let until = Instant::now() + Duration::from_millis(u64::from(for_ms));
        let pool = self.pool(core);
        pool.remembered.keep(hook, caller, summary, until, rules());
    }

    /// May this call be made? A version without the hook lets it go on, here as below.
    pub async fn authorize(
        &self,
        version: &Version,
        scope: &CallScope,
        summary: &Summary<'_>,
    ) -> Answer<()> {
        let (answer, for_ms) = self
            .run_remembering(
                version,
                scope,
                Hook::Access,
                async |store, guests| match &guests.access {
                    Some(guest) => guest.call_authorize(store, summary.clone()).await,
                    None => Ok(Ok(())),
                },
            )
            .await?;
        if answer.is_ok() {
            let kept = (for_ms, || Rules::from([]));
            self.remember(&version.core, scope, Hook::Access, summary, kept);
        }
        version.core.checked(Hook::Access, answer, |()| Ok(()))
    }

    /// Lets the policy change the request through [`CallHost`]. Where it fails or denies, edits
    /// may have been made already.
    pub async fn rewrite(
        &self,
        version: &Version,
        scope: &CallScope,
        summary: &Summary<'_>,
    ) -> Answer<()> {
        let answer = self
            .run(
                version,
                scope,
                Hook::Rewrite,
                async |store, guests| match &guests.rewrite {
                    Some(guest) => guest.call_rewrite(store, summary.clone()).await,
                    None => Ok(Ok(())),
                },
            )
            .await?;
        version.core.checked(Hook::Rewrite, answer, |()| Ok(()))
    }

    /// The limits that the call falls under.
    pub async fn limits(
        &self,
        version: &Version,
        scope: &CallScope,
        summary: &Summary<'_>,
    ) -> Answer<Vec<LimitRule>> {
        let (answer, for_ms) = self
            .run_remembering(
                version,
                scope,
                Hook::Limit,
                async |store, guests| match &guests.limit {
                    Some(guest) => guest.call_limits(store, summary.clone()).await,
                    None => Ok(Ok(Vec::new())),
                },
            )
            .await?;
        let core = &version.core;
        let answer = core.checked(Hook::Limit, answer, |rules| answers::check_rules(rules))?;
        if let Ok(rules) = &answer {
            let kept = (for_ms, || Rules::from(rules.as_slice()));
            self.remember(core, scope, Hook::Limit, summary, kept);
        }
        Ok(answer)
    }

    /// The policy's own answer, if it has one.
    pub async fn answer(
        &self,
        version: &Version,
        scope: &CallScope,
        summary: &Summary<'_>,
    ) -> Answer<Option<Response>> {
        let answer = self
            .run(
                version,
                scope,
                Hook::Answer,
                async |store, guests| match &guests.answer {
                    Some(guest) => guest.call_answer(store, summary.clone()).await,
                    None => Ok(Ok(None)),
                },
            )
            .await?;
        version.core.checked(Hook::Answer, answer, check_some)
    }

    /// The attempts to make, in order; each is at one of the candidates. A version without the
    /// hook tries them as they come.
    pub async fn route(
        &self,
        version: &Version,
        scope: &CallScope,
        summary: &Summary<'_>,
        candidates: &[Candidate],
    ) -> Answer<Vec<RouteAttempt>> {
        let answer = self
            .run(
                version,
                scope,
                Hook::Route,
                async |store, guests| match &guests.route {
                    Some(guest) => guest.call_route(store, summary.clone(), candidates).await,
                    None => Ok(Ok(candidates.iter().map(as_it_comes).collect())),
                },
            )
            .await?;
        version.core.checked(Hook::Route, answer, |attempts| {
            answers::check_attempts(attempts, candidates)
        })
    }

    /// The reply that the caller gets instead of this one, if the policy changes it.
    pub async fn reply(
        &self,
        version: &Version,
        scope: &CallScope,
        summary: &Summary<'_>,
        reply: &WholeReply<'_>,
    ) -> Answer<Option<Response>> {
        let answer = self
            .run(
                version,
                scope,
                Hook::Reply,
                async |store, guests| match &guests.reply {
                    Some(guest) => {
                        guest
                            .call_reply(store, summary.clone(), reply.clone())
                            .await
                    }
                    None => Ok(Ok(None)),
                },
            )
            .await?;
        version.core.checked(Hook::Reply, answer, check_some)
    }

    /// Shows the policy a finished call.
    ///
    /// # Errors
    /// As every hook; there is nobody to deny any more.
    pub async fn finished(
        &self,
        version: &Version,
        scope: &CallScope,
        outcome: &Outcome<'_>,
    ) -> Result<(), Failure> {
        self.run(
            version,
            scope,
            Hook::Audit,
            async |store, guests| match &guests.audit {
                Some(guest) => guest.call_finished(store, outcome.clone()).await,
                None => Ok(()),
            },
        )
        .await
    }

    /// Offers a streamed reply to the policy; none where it has no `events` or is not interested.
    ///
    /// # Errors
    /// As every hook.
    pub async fn open_stream(
        &self,
        version: &Arc<Version>,
        scope: &CallScope,
        summary: &Summary<'_>,
    ) -> Result<Option<Stream>, Failure> {
        let core = &version.core;
        if !core.hooks.contains(Hook::Events) {
            return Ok(None);
        }
        let fail = |kind| core.fail(Hook::Events, kind);
        let lease = self.lease(core, scope, true).await.map_err(fail)?;
        let pool = match scope.isolation(core) {
            Isolation::Shared => Some(self.pool(core)),
            Isolation::Call => None,
        };
        Stream::open(version, scope.call_for(core), pool, lease, summary)
            .await
            .map_err(fail)
    }

    /// Makes instances of this version until `count` are idle, so that the first calls after a
    /// swap need not. Stops early where the pool is full or they are not to be kept warm.
    ///
    /// # Errors
    /// Where an instance does not start.
    pub async fn warm(&self, version: &Version, count: usize) -> Result<(), Failure> {
        let core = &version.core;
        if core.spec.isolation == Isolation::Call {
            return Ok(());
        }
        let pool = self.pool(core);
        let mut leases = Vec::new();
        while pool.idle() + leases.len() < count {
            let Ok(permit) = Arc::clone(&self.engine.permits).try_acquire_owned() else {
                break;
            };
            let started = pool.start(permit).await;
            leases.push(started.map_err(|kind| core.fail(Hook::Lifecycle, kind))?);
        }
        Ok(())
    }

    /// Drops the idle instances of versions that nobody holds any more, those that are old or were not
    /// used for a minute, and all of them while another worker waits for one. Calls do the first by
    /// themselves; a worker should do this four times a second, which is how it tells a minute.
    pub fn sweep(&self) {
        for pool in self.pools.borrow().values() {
            pool.rest();
        }
        self.let_go();
    }

    /// The same, at a time that says nothing: swaps come as they please, and must not make a minute short.
    fn let_go(&self) {
        self.seen_retirements
            .set(self.engine.retirements.load(Ordering::Acquire));
        let all = self.engine.pressed.load(Ordering::Relaxed) > 0;
        *self.near.borrow_mut() = Default::default();
        self.pools.borrow_mut().retain(|_, pool| {
            let live = !pool.core.retired.load(Ordering::Relaxed);
            pool.sweep(all || !live);
            live
        });
    }

    async fn run<R>(
        &self,
        version: &Version,
        scope: &CallScope,
        hook: Hook,
        body: impl AsyncFnOnce(&mut Store<State>, &Guests) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        let answer = self.run_remembering(version, scope, hook, body).await;
        answer.map(|(answer, _)| answer)
    }

    /// The same, with the milliseconds for which the answer may be used again.
    async fn run_remembering<R>(
        &self,
        version: &Version,
        scope: &CallScope,
        hook: Hook,
        body: impl AsyncFnOnce(&mut Store<State>, &Guests) -> wasmtime::Result<R>,
    ) -> Result<(R, u32), Failure> {
        let core = &version.core;
        let fail = |kind| core.fail(hook, kind);
        let mut lease = self.lease(core, scope, false).await.map_err(fail)?;
        let answer = lease.run(hook, Some(scope.call_for(core)), body).await;
        answer
            .map(|answer| (answer, lease.remember_ms()))
            .map_err(fail)
    }
}

impl Core {
    /// A failure of a hook; counted where the version is to blame and not what else runs.
    pub(crate) fn fail(&self, hook: Hook, kind: FailureKind) -> Failure {
        use FailureKind::{BadAnswer, CpuSpent, Dropped, PoolFull};
        if !matches!(kind, PoolFull | CpuSpent { .. } | Dropped) {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        let instance_dropped = !matches!(kind, PoolFull | CpuSpent { .. } | BadAnswer(_));
        Failure {
            kind,
            hook,
            instance_dropped,
        }
    }

    /// The answer, if it is one.
    pub(crate) fn checked<T>(
        &self,
        hook: Hook,
        answer: Result<T, Denial>,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Answer<T> {
        let checked = match &answer {
            Ok(value) => check(value),
            Err(denial) => answers::check_denial(denial),
        };
        match checked {
            Ok(()) => Ok(answer),
            Err(reason) => Err(self.fail(hook, FailureKind::BadAnswer(reason))),
        }
    }
}

#[expect(clippy::ref_option, reason = "the shape that `Core::checked` calls")]
fn check_some(response: &Option<Response>) -> Result<(), String> {
    response.as_ref().map_or(Ok(()), answers::check_response)
}

fn as_it_comes(candidate: &Candidate) -> RouteAttempt {
    RouteAttempt {
        channel: candidate.channel,
        first_byte_timeout_ms: None,
        hedge_after_ms: None,
    }
}

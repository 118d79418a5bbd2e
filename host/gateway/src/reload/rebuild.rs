//! The one way to a new snapshot: gather what is wanted, load what is new, build, publish.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use weir_policy::{Failure, FailureKind, Hook, LoadError, Version, VersionSpec};
use weir_store::{Decider, Entities};

use super::ahead::Ahead;
use super::assemble::{self, ChannelRegistry, Ingredients, Placed, Sees};
use super::builtin::builtin;
use super::code::{self, Code, Layer, Running, read_whole};
use super::error::ControlError;
use super::probation::{Budget, Probation};
use super::status::{PolicyStatus, hooks};
use super::trials::Tried;
use super::wanted::{self, Base, Lasting, Wanted};
use super::watch::{SeenFile, seen_files};
use super::{Control, Listed};
use crate::config::{self, Config, FailureRule, Journals, Mode, Sources};
use crate::identify::Directory;
use crate::journal::{self, Journal};
use crate::keys::KeyRegistry;
use crate::pipeline::chain::{self, Binding, Chain, OnFailure};
use crate::pipeline::snapshot::Snapshot;
use crate::pipeline::trial::{Part, Trial};
use crate::services::{HostServices, PolicyFacts, PolicyView};
use crate::usage::PriceBook;

/// Digits of a digest that the ledger and the log show.
pub(super) const SHORT_DIGEST: usize = 12;

/// Why a snapshot is built, which decides what a policy that does not load means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The program starts: any policy that does not load stops it.
    Start,
    /// New settings: one of their policies that does not load refuses them as a whole.
    Settings,
    /// Anything else: a policy that does not load goes on as it was.
    Store,
}

/// What a change may change, besides what is published.
pub(super) struct State {
    pub(super) config: Arc<Config>,
    /// The settings that the program started with: some wait for a restart.
    pub(super) started_with: Arc<Config>,
    pub(super) sources: Sources,
    /// The text of the file when it was last looked at, also where it was refused.
    pub(super) seen_text: Option<String>,
    pub(super) policies: HashMap<Arc<str>, Known>,
    /// A version that was loaded to see whether it can be, for the change that wants it.
    pub(super) preloaded: Option<Arc<Version>>,
    /// What was loaded side by side, by policy, until the change comes to it.
    pub(super) ahead: HashMap<Arc<str>, Ahead>,
    /// The policy whose version before is being brought back.
    pub(super) way_back: Option<Arc<str>>,
    /// The files of policies as they looked before they were last read.
    pub(super) seen_files: Vec<SeenFile>,
    keys: KeyRegistry,
    channels: ChannelRegistry,
    pub(super) lasting: Arc<Lasting>,
    generation: u64,
    warned: Vec<String>,
}

/// What is known about a policy beyond what is wanted of it.
#[derive(Default)]
pub(super) struct Known {
    pub(super) running: Option<Running>,
    pub(super) probation: Option<Probation>,
    /// The version that is tried beside it.
    pub(super) tried: Option<Tried>,
    /// The code that ran before, to go back to.
    pub(super) previous: Option<Code>,
    /// The failures of this minute.
    pub(super) budget: Budget,
    /// Code that was taken out, and what runs in its place as long as nothing else is found.
    pub(super) refused: Option<([u8; 32], Running)>,
    /// What did not load, so that it is not tried again and again.
    pub(super) failed: Option<([u8; 32], VersionSpec)>,
    /// What is wrong right now, where what is wanted does not run.
    failing: Option<String>,
    pub(super) last_error: Option<String>,
}

impl State {
    pub(super) fn new(config: Arc<Config>, sources: Sources) -> Self {
        Self {
            started_with: Arc::clone(&config),
            config,
            seen_text: sources.file.as_ref().map(|file| file.text.clone()),
            sources,
            policies: HashMap::new(),
            preloaded: None,
            ahead: HashMap::new(),
            way_back: None,
            seen_files: Vec::new(),
            keys: KeyRegistry::default(),
            lasting: Arc::default(),
            channels: ChannelRegistry::default(),
            generation: 0,
            warned: Vec::new(),
        }
    }

    pub(super) fn known(&mut self, policy: &Arc<str>) -> &mut Known {
        self.policies.entry(Arc::clone(policy)).or_default()
    }
}

/// The snapshot before the first: no key opens anything.
pub(super) fn nothing(config: &Arc<Config>) -> Snapshot {
    Snapshot {
        generation: 0,
        config: Arc::clone(config),
        directory: Arc::new(Directory::default()),
        channels: Arc::default(),
        disabled: HashMap::new(),
        by_number: HashMap::default(),
        chain: Arc::new(Chain::default()),
        chains: HashMap::new(),
        goes_on: false,
        prices: Arc::new(PriceBook::new(Vec::new())),
    }
}

/// What becomes of one wanted policy.
struct Chosen {
    wanted: Wanted,
    running: Option<Running>,
    tried: Option<Tried>,
    /// It is not what ran before.
    is_new: bool,
}

impl Control {
    /// Builds a snapshot of `config` and the store as it is, and publishes it.
    pub(super) async fn rebuild(
        &self,
        state: &mut State,
        config: Arc<Config>,
        cause: Cause,
    ) -> Result<(), ControlError> {
        state.seen_files = seen_files(&config);
        let (entities, wanted) = self.wanted(&config, &state.lasting).await?;
        // Before loading: a policy may read its secrets when it starts.
        let before = self
            .parts
            .services
            .publish(Arc::new(self.view(&config, &wanted)));
        let (chosen, refused) = match self.choose(state, wanted, cause).await {
            Ok(chosen) => chosen,
            Err(error) => {
                self.parts.services.publish(before);
                return Err(error);
            }
        };
        state.preloaded = None;
        state.ahead.clear();
        // From here on nothing fails.
        let bindings: Vec<_> = chosen
            .iter()
            .flat_map(|chosen| self.bindings(chosen, &config.journals))
            .collect();
        let missing: Vec<_> = chosen
            .iter()
            .filter_map(|chosen| missing(state, chosen))
            .collect();
        let ingredients = Ingredients {
            generation: state.generation + 1,
            config: &config,
            entities: &entities,
            environment: &state.sources.environment,
            bindings: &bindings,
            missing: &missing,
            keys: &state.keys,
            metrics: &self.parts.metrics,
            now_ms: self.parts.clock.now_ms(),
        };
        let (snapshot, warnings) = assemble::snapshot(&ingredients, &mut state.channels);
        state.generation += 1;
        state.config = config;
        let gone = self.published.swap(Arc::new(snapshot));
        self.forget_channels(&gone);
        for warning in warnings
            .iter()
            .filter(|warning| !state.warned.contains(warning))
        {
            tracing::warn!("{warning}");
        }
        state.warned = warnings;
        self.note(state, chosen, cause);
        refused.map_or(Ok(()), Err)
    }

    /// What the store holds, and the policies that there should be.
    pub(super) async fn wanted(
        &self,
        config: &Arc<Config>,
        lasting: &Arc<Lasting>,
    ) -> Result<(Entities, Vec<Wanted>), ControlError> {
        let (store, config) = (self.parts.store.clone(), Arc::clone(config));
        let lasting = Arc::clone(lasting);
        let gathered = tokio::task::spawn_blocking(move || {
            let entities = store.load_all()?;
            let dropped = code::dropped(config.policies_dir.as_deref());
            let wanted = wanted::list(&config, &entities, dropped, &lasting)?;
            Ok((entities, wanted))
        });
        gathered.await.unwrap_or(Err(ControlError::Stopping))
    }

    fn view(&self, config: &Config, wanted: &[Wanted]) -> PolicyView {
        let facts = |wanted: &Wanted| {
            let metrics = Arc::clone(self.parts.metrics.policy(&wanted.policy.name, &[]).custom());
            let http = wanted.policy.grants.http.clone();
            (
                Arc::clone(&wanted.policy.name),
                PolicyFacts { metrics, http },
            )
        };
        PolicyView {
            secrets: config.secrets.clone(),
            policies: wanted.iter().map(facts).collect(),
            models_depth_max: config.runtime.models_depth_max,
            tenants: Some(config.tenant_policies.clone()),
        }
    }

    /// Finds and loads the code of every wanted policy. The second part of the result is the first
    /// policy that did not load where that is no reason to give up.
    async fn choose(
        &self,
        state: &mut State,
        wanted: Vec<Wanted>,
        cause: Cause,
    ) -> Result<(Vec<Chosen>, Option<ControlError>), ControlError> {
        let (mut all, mut refused) = (Vec::new(), None);
        self.load_ahead(state, &wanted, cause).await;
        for wanted in wanted {
            let known = state.known(&wanted.policy.name);
            let (before, told) = (known.running.clone(), known.failing.take());
            let result = self.version_of(state, &wanted, cause).await;
            let running = match result {
                Ok(running) => running,
                Err(error) => {
                    let decides = wanted.owner.is_none()
                        && match cause {
                            Cause::Start => true,
                            Cause::Settings => wanted.declared_in.is_some(),
                            Cause::Store => false,
                        };
                    if decides {
                        return Err(error);
                    }
                    // What was wrong before this change is not the change's fault.
                    let failing = Some(error.to_string());
                    // A start, or the operator's settings, do not hang on what a tenant wrote.
                    let is_told = wanted.owner.is_none() || cause == Cause::Store;
                    if failing != told && is_told {
                        refused.get_or_insert(error);
                    }
                    state.known(&wanted.policy.name).failing = failing;
                    before.clone()
                }
            };
            let same = |old: &Running, new: &Running| Arc::ptr_eq(&old.version, &new.version);
            let is_new = match (&before, &running) {
                (Some(old), Some(new)) => !same(old, new),
                (None, new) => new.is_some(),
                (Some(_), None) => false,
            };
            let tried = match &running {
                Some(running) => self.tried(state, &wanted, running).await,
                None => None,
            };
            all.push(Chosen {
                wanted,
                running,
                tried,
                is_new,
            });
        }
        Ok((all, refused))
    }

    /// The version that a policy should run now; none where it has no code yet.
    async fn version_of(
        &self,
        state: &mut State,
        wanted: &Wanted,
        cause: Cause,
    ) -> Result<Option<Running>, ControlError> {
        let name = &wanted.policy.name;
        let found = self
            .code_of(state, wanted, wanted.state.active.as_deref())
            .await;
        let code = match found {
            Ok(Some(code)) => code,
            Ok(None) => return Ok(None),
            Err(error) => {
                state.known(name).last_error = Some(error.to_string());
                return Err(error);
            }
        };
        let spec = wanted.spec();
        let preloaded = state.preloaded.clone();
        let known = state.known(name);
        let fallback = match &known.refused {
            Some((digest, fallback)) if *digest == code.digest => Some(fallback.clone()),
            // The file has changed, or another version was activated: it gets its chance.
            _ => {
                known.refused = None;
                None
            }
        };
        let code = fallback
            .as_ref()
            .map_or(code, |fallback| fallback.code.clone());
        let fits =
            |version: &Arc<Version>| *version.digest() == code.digest && *version.spec() == spec;
        let at_hand = [known.running.as_ref(), fallback.as_ref()]
            .into_iter()
            .flatten()
            .map(|running| &running.version);
        let found = at_hand.chain(&preloaded).find(|version| fits(version));
        if let Some(version) = found.map(Arc::clone) {
            // Should what failed be wanted again, whoever wants it is to hear of it again.
            known.failed = None;
            return Ok(Some(Running { version, code }));
        }
        // New settings must know of it again: they are refused because of it.
        if cause == Cause::Store && known.failed.as_ref() == Some(&(code.digest, spec.clone())) {
            return Ok(known.running.clone());
        }
        let version = self.load(state, name, &code, spec).await?;
        Ok(Some(Running { version, code }))
    }

    /// Loads code as a version of a policy, and remembers why it could not be.
    pub(super) async fn load(
        &self,
        state: &mut State,
        policy: &Arc<str>,
        code: &Code,
        spec: VersionSpec,
    ) -> Result<Arc<Version>, ControlError> {
        // Whatever becomes of it, it leaves a compiled file.
        self.wasteful.store(true, Ordering::Relaxed);
        let ahead = state.ahead.remove(policy);
        let result = match ahead.filter(|ahead| ahead.is_of(code, &spec)) {
            Some(ahead) => ahead.loaded,
            None => {
                let engine = &self.parts.engine;
                engine.load(code.bytes.clone(), spec.clone()).await
            }
        };
        result.map_err(|error| self.refused(state, policy, code, spec, error))
    }

    /// Remembers why code could not be loaded as a version of a policy.
    pub(super) fn refused(
        &self,
        state: &mut State,
        policy: &Arc<str>,
        code: &Code,
        spec: VersionSpec,
        error: LoadError,
    ) -> ControlError {
        let known = state.known(policy);
        known.last_error = Some(format!("{} was refused: {error}", code.layer));
        // What may be the machine's fault and not the policy's is tried again next time.
        let may_pass = matches!(
            error,
            LoadError::CompileTimeout { .. }
                | LoadError::Start(Failure {
                    kind: FailureKind::PoolFull,
                    ..
                })
        );
        known.failed = (!may_pass).then_some((code.digest, spec));
        self.parts
            .metrics
            .policy_version_refused(policy, &short(&code.digest), &error);
        ControlError::Load {
            policy: policy.to_string(),
            error,
        }
    }

    /// The code that a policy would run if the API had activated `active`.
    pub(super) async fn code_of(
        &self,
        state: &State,
        wanted: &Wanted,
        active: Option<&str>,
    ) -> Result<Option<Code>, ControlError> {
        let name = &wanted.policy.name;
        let unreadable = |reason: String| ControlError::Source {
            policy: name.to_string(),
            reason,
        };
        if let Some(path) = &wanted.dropped {
            let bytes = read_whole(path).await.map_err(unreadable)?;
            return Ok(Some(Code::new(bytes, Layer::Dropped(path.clone()))));
        }
        if let Some(digest) = active {
            let known = state.policies.get(name);
            let running = known.and_then(|known| known.running.as_ref());
            if let Some(running) = running.filter(|running| running.code.digest_hex() == digest) {
                return Ok(Some(Code {
                    layer: Layer::Upload,
                    ..running.code.clone()
                }));
            }
            return Ok(Some(self.uploaded(wanted, digest).await?));
        }
        match &wanted.base {
            Base::Nothing => Ok(None),
            Base::Builtin(builtin_name) => {
                let bytes = builtin(builtin_name);
                let bytes = bytes.ok_or_else(|| {
                    unreadable(format!("no policy {builtin_name} comes with Weir"))
                })?;
                Ok(Some(Code::new(
                    bytes::Bytes::from_static(bytes),
                    Layer::Builtin(Arc::clone(builtin_name)),
                )))
            }
            Base::File(path) => {
                let bytes = read_whole(path).await.map_err(unreadable)?;
                Ok(Some(Code::new(bytes, Layer::File(path.clone()))))
            }
        }
    }

    /// The policy at its place in the chain. The version that is tried comes first, so that it is
    /// asked also where the other refuses.
    fn bindings(&self, chosen: &Chosen, journals: &Journals) -> Vec<Placed> {
        let policy = &chosen.wanted.policy;
        let Some(running) = &chosen.running else {
            return Vec::new();
        };
        let mode = match policy.mode {
            Mode::Enforce => chain::Mode::Enforce,
            Mode::Shadow => chain::Mode::Shadow,
        };
        let binding = |version: &Arc<Version>, mode, trial: Option<(Arc<Trial>, Part)>| {
            let digest: Arc<str> = short(version.digest()).into();
            let metrics_name = match &trial {
                Some((trial, Part::Tried)) => Cow::Owned(trial_name(&trial.policy)),
                _ => Cow::Borrowed(&*policy.name),
            };
            let binding = Binding {
                name: Arc::clone(&policy.name),
                is_tenants: chosen.wanted.owner.is_some(),
                version: Arc::clone(version),
                deciders: Hook::ALL.map(|hook| {
                    Arc::new(Decider {
                        hook: Cow::Borrowed(hook.as_str()),
                        policy: Arc::clone(&policy.name),
                        digest: Arc::clone(&digest),
                    })
                }),
                on_failure: match policy.on_failure {
                    FailureRule::Deny => OnFailure::Deny,
                    FailureRule::Allow => OnFailure::Allow,
                },
                mode,
                trial,
                journal: self.journal(policy, journals),
                metrics: self
                    .parts
                    .metrics
                    .policy(&metrics_name, &Hook::ALL.map(Hook::as_str)),
            };
            Placed {
                tenants: match &chosen.wanted.owner {
                    Some(owner) => Sees::Own(Arc::clone(&owner.tenant)),
                    None => Sees::Some(policy.tenants.clone()),
                },
                binding: Arc::new(binding),
            }
        };
        let Some(tried) = &chosen.tried else {
            return vec![binding(&running.version, mode, None)];
        };
        let part = |part| Some((Arc::clone(&tried.live), part));
        let tried_mode = if tried.live.is_shadow() {
            chain::Mode::Shadow
        } else {
            mode
        };
        vec![
            binding(&tried.version, tried_mode, part(Part::Tried)),
            binding(&running.version, mode, part(Part::InForce)),
        ]
    }

    /// The policy's journal, where it has one.
    fn journal(&self, policy: &config::Policy, journals: &Journals) -> Option<Journal> {
        let per_thousand = policy.journal_per_thousand;
        let services = || Arc::<HostServices>::clone(&self.parts.services);
        let bounds = journal::Bounds {
            per_thousand,
            per_minute_max: journals.calls_per_minute_max,
            call_max_bytes: journals.call_max_bytes,
        };
        let keeper = || self.parts.journals.within(journals.max_bytes);
        let make = || Journal::new(Arc::clone(&policy.name), bounds, services(), keeper());
        (per_thousand > 0).then(make)
    }

    /// Remembers what runs now, and tells of what is new. The snapshot is published already.
    fn note(&self, state: &mut State, chosen: Vec<Chosen>, cause: Cause) {
        let window = Duration::from_millis(state.config.runtime.rollback_window_ms);
        let mut listed = Vec::with_capacity(chosen.len());
        let mut kept = HashMap::with_capacity(chosen.len());
        for (position, chosen) in chosen.into_iter().enumerate() {
            let name = Arc::clone(&chosen.wanted.policy.name);
            let mut known = state.policies.remove(&name).unwrap_or_default();
            if let Some(running) = chosen.running.as_ref().filter(|_| chosen.is_new) {
                let before = known.running.take();
                known.failed = None;
                known.last_error = None;
                let is_way_back = state.way_back.as_ref() == Some(&name);
                known.budget = Budget::default();
                known.previous = before
                    .as_ref()
                    .map(|before| before.code.clone())
                    .filter(|before| before.digest != running.code.digest && !is_way_back);
                // Other settings for the same code are no version to go back from.
                let before = before
                    .filter(|before| before.code.digest != running.code.digest && !is_way_back);
                known.probation = before.map(|before| Probation {
                    until: Instant::now() + window,
                    before,
                });
                if cause != Cause::Start && !is_way_back {
                    self.parts
                        .metrics
                        .policy_swapped(&name, &short(&running.code.digest));
                }
            }
            known.running = chosen.running;
            if known.tried.is_some() && chosen.tried.is_none() {
                self.parts.metrics.forget_policy(&trial_name(&name));
            }
            known.tried = chosen.tried;
            listed.push(list(position, &chosen.wanted, &known));
            kept.insert(name, known);
        }
        if !state.policies.is_empty() {
            self.wasteful.store(true, Ordering::Relaxed);
        }
        for gone in state.policies.keys() {
            self.parts.metrics.forget_policy(gone);
            self.parts.metrics.forget_policy(&trial_name(gone));
        }
        state.policies = kept;
        self.policies.store(Arc::new(listed));
    }

    fn forget_channels(&self, gone: &Snapshot) {
        let now = self.published.load();
        for channel in gone
            .channels
            .iter()
            .filter(|channel| now.channel(&channel.name).is_none())
        {
            self.parts.metrics.forget_channel(&channel.name);
        }
    }

    /// Shows a policy's last error at once, without a new snapshot.
    pub(super) fn show_error(&self, state: &State, policy: &Arc<str>) {
        let mut listed = Vec::new();
        for line in self.policies.load().iter() {
            let mut status = line.status.clone();
            if status.name == **policy {
                status.last_error = state
                    .policies
                    .get(policy)
                    .and_then(|known| known.last_error.clone());
            }
            listed.push(Listed {
                status,
                version: line.version.clone(),
            });
        }
        self.policies.store(Arc::new(listed));
    }
}

/// The policy of a tenant that should run, does not, and is set to deny then.
fn missing(state: &State, chosen: &Chosen) -> Option<(Arc<str>, Arc<str>)> {
    let owner = chosen.wanted.owner.as_ref()?;
    let policy = &chosen.wanted.policy;
    let fails = state.policies.get(&policy.name)?.failing.is_some();
    let denies = policy.on_failure == FailureRule::Deny && policy.mode == Mode::Enforce;
    (chosen.running.is_none() && fails && denies)
        .then(|| (Arc::clone(&owner.tenant), Arc::clone(&policy.name)))
}

fn list(position: usize, wanted: &Wanted, known: &Known) -> Listed {
    let version = known
        .running
        .as_ref()
        .map(|running| Arc::clone(&running.version));
    let running = known.running.as_ref();
    let status = PolicyStatus {
        name: wanted.policy.name.to_string(),
        position,
        source: running.map_or_else(
            || wanted.source_text(),
            |running| running.code.layer.to_string(),
        ),
        declared_in: wanted.declared_in.clone(),
        digest: running.map(|running| running.code.digest_hex()),
        size_bytes: version.as_ref().map(|version| version.size_bytes()),
        hooks: version.as_deref().map(hooks).unwrap_or_default(),
        interface: version.as_ref().map(|version| version.interface().as_str()),
        imports: version
            .as_ref()
            .map(|version| version.imports().to_vec())
            .unwrap_or_default(),
        mode: wanted.policy.mode.as_str().to_owned(),
        on_failure: wanted.policy.on_failure.as_str().to_owned(),
        failures: 0,
        cpu_micros: None,
        instances: 0,
        last_error: known.last_error.clone(),
        previous_digest: wanted.state.previous.clone(),
    };
    Listed { status, version }
}

/// What metrics call the version of a policy that is tried.
fn trial_name(policy: &str) -> String {
    format!("{policy}~trial")
}

pub(super) fn short(digest: &[u8; 32]) -> String {
    let mut text = hex::encode(digest);
    text.truncate(SHORT_DIGEST);
    text
}

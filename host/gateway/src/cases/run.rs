//! What becomes of a case: the policy is loaded as a gateway loads it, and its hooks are called in
//! the order of a call, until one refuses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use weir_policy::{
    Answer, CallScope, CompileMode, Engine, EngineSettings, Failure, Grants, Hook, HookSet,
    Isolation, LoadError, Outcome, Summary, Version, VersionSpec, WholeReply, Worker,
};

use super::call::{Call, Recorded, text_of};
use super::host::Host;
use super::shape;
use super::stream::{self, Streamed};
use super::written::{self, Case, File, Given};
use crate::journal::record::Record;
use crate::pipeline::hook::operation;

/// Milliseconds that a hook of a case may run in the guest: enough for any that a gateway would let
/// run, so that a busy machine changes no result.
const DEADLINE_MS: u32 = 5_000;
/// The same for starting an instance.
const INIT_DEADLINE_MS: u32 = 30_000;
/// Bytes of memory of an instance: the most that a gateway gives by default.
const MEMORY_MAX_BYTES: usize = 128 << 20;

/// A case could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The case contradicts itself.
    #[error("{0}")]
    Case(String),
    /// Its recording cannot be used.
    #[error("the recording {path}: {reason}")]
    Recording {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The policy cannot be loaded; with the reason that a gateway would give.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The engine does not start.
    #[error("{0}")]
    Engine(String),
}

/// What the policy made of a case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Results {
    /// By the names that may stand under `expect`.
    pub values: Map<String, Value>,
    /// How many imports were called.
    pub imports: u32,
    /// The result that ended the call: a denial or a failure.
    pub ended_by: Option<&'static str>,
    /// How long each hook took, in the order in which they ran; of `events`, how long each event did.
    pub took: Vec<(Hook, Duration)>,
}

/// Runs cases of one policy.
pub struct Runner {
    engine: Arc<Engine>,
    worker: Worker,
    host: Arc<Host>,
    bytes: Vec<u8>,
    isolation: Isolation,
    versions: BTreeMap<(String, String), Arc<Version>>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

impl Runner {
    /// Runs cases of the policy whose component this is. Compiled components are kept in
    /// `cache_dir`, authenticated with `cache_key`. With [`Isolation::Call`] nothing that a case leaves
    /// in memory is there in the next.
    ///
    /// # Errors
    /// Where the engine does not start.
    pub fn new(
        bytes: Vec<u8>,
        cache_dir: PathBuf,
        cache_key: [u8; 32],
        compile: CompileMode,
        isolation: Isolation,
    ) -> Result<Self, RunError> {
        let host = Arc::new(Host::default());
        let settings = EngineSettings {
            instances_max: 4,
            remember_max_ms: 0,
            ..EngineSettings::new(cache_dir, cache_key, compile)
        };
        let services: Arc<Host> = Arc::clone(&host);
        let engine =
            Engine::new(settings, services).map_err(|error| RunError::Engine(error.to_string()))?;
        Ok(Self {
            worker: Worker::new(Arc::clone(&engine)),
            engine,
            host,
            bytes,
            isolation,
            versions: BTreeMap::new(),
        })
    }

    /// From now on a call finds in the store what the one before left there.
    pub fn let_the_store_last(&self) {
        self.host.let_the_store_last();
    }

    /// The hooks of the policy; none before it was loaded.
    pub fn hooks(&self) -> HookSet {
        let version = self.versions.values().next();
        version.map(|version| version.hooks()).unwrap_or_default()
    }

    /// The most linear memory, in bytes, that any instance had; they all end.
    pub fn memory_peak_bytes(self) -> usize {
        drop(self.worker);
        let versions = self.versions.values();
        versions
            .map(|version| version.memory_peak_bytes())
            .max()
            .unwrap_or_default()
    }

    /// The policy with a configuration and everything granted, as `weir policy check` wants it.
    ///
    /// # Errors
    /// As a gateway would refuse it.
    pub async fn load(&mut self, config: &Value) -> Result<Arc<Version>, RunError> {
        self.host.begin(&Given::default())?;
        let given = Given::default();
        self.version(config, granted(None, &given)).await
    }

    /// The policy as it was when a call of it was journalled.
    pub(super) async fn journalled(&mut self, record: &Record) -> Result<Arc<Version>, RunError> {
        let grants = Grants::from(record.grants.clone());
        let placeholder = |name: &String| (name.clone(), String::new());
        // For the instance with which loading tries it; the call has its own answers.
        self.host.begin(&Given {
            secrets: Some(grants.secrets.iter().map(placeholder).collect()),
            clock: Some(written::Clock::Ms(record.time_ms)),
            ..Given::default()
        })?;
        self.load_as(record.config.clone(), grants, record.memory_max_bytes)
            .await
    }

    pub(super) fn worker(&self) -> &Worker {
        &self.worker
    }

    async fn version(&mut self, config: &Value, grants: Grants) -> Result<Arc<Version>, RunError> {
        self.load_as(config.to_string(), grants, MEMORY_MAX_BYTES)
            .await
    }

    async fn load_as(
        &mut self,
        config: String,
        grants: Grants,
        memory_max_bytes: usize,
    ) -> Result<Arc<Version>, RunError> {
        let known = (config.clone(), format!("{grants:?} {memory_max_bytes}"));
        if let Some(version) = self.versions.get(&known) {
            return Ok(Arc::clone(version));
        }
        let spec = VersionSpec {
            grants,
            deadline_ms: DEADLINE_MS,
            init_deadline_ms: INIT_DEADLINE_MS,
            wait_max_ms: DEADLINE_MS,
            memory_max_bytes,
            isolation: self.isolation,
            ..VersionSpec::new("policy", config)
        };
        let version = self.engine.load(self.bytes.clone(), spec).await?;
        self.versions.insert(known, Arc::clone(&version));
        Ok(version)
    }

    /// Runs one case of a file that stands in `folder`.
    ///
    /// # Errors
    /// Where the case says what cannot be, or the policy cannot be loaded for another reason than its
    /// configuration.
    pub async fn run(
        &mut self,
        folder: &Path,
        file: &File,
        case: &Case,
    ) -> Result<Results, RunError> {
        let given = case.given.clone().over(&file.given);
        let config = case.config.as_ref().or(file.config.as_ref());
        let grants = case.grants.as_ref().or(file.grants.as_ref());
        let grants = granted(grants, &given);
        self.run_call(folder, config.unwrap_or(&json!({})), grants, given)
            .await
    }

    /// Runs one call of which this is given, with everything granted.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub async fn run_given(&mut self, config: &Value, given: Given) -> Result<Results, RunError> {
        let grants = granted(None, &given);
        self.run_call(Path::new("."), config, grants, given).await
    }

    async fn run_call(
        &mut self,
        folder: &Path,
        config: &Value,
        grants: Grants,
        mut given: Given,
    ) -> Result<Results, RunError> {
        self.host.begin(&given)?;
        let mut results = Results::default();
        let version = match self.version(config, grants).await {
            Ok(version) => version,
            Err(RunError::Load(LoadError::Config { errors })) => {
                results.values.insert("init".to_owned(), json!(errors));
                results.ended_by = Some("init");
                return Ok(results);
            }
            Err(other) => return Err(other),
        };
        // What the instance wrote with which loading tried it is not the case's.
        self.host.begin(&given)?;
        let recorded = given.recording.as_ref();
        let recorded = recorded.map(|path| Recorded::load(&folder.join(path)));
        let recorded = recorded.transpose()?.unwrap_or_default();
        let request = given.request.clone().unwrap_or(recorded.request);
        let call = Arc::new(Call::new(&given, request)?);
        if given.reply.is_none() && given.events.is_none() && given.stream.is_none() {
            (given.reply, given.stream) = (recorded.reply, recorded.stream);
        }
        let mut running = Running::new(&self.worker, &version, call);
        running.hooks(&given).await?;
        let about_the_call = running.call.imports.load(Ordering::Relaxed);
        let mut results = running.results;
        self.what_was_done(about_the_call, &mut results);
        Ok(results)
    }

    fn what_was_done(&self, about_the_call: u32, results: &mut Results) {
        let done = self.host.done();
        results.imports = done.imports + about_the_call;
        let mut put = |name: &str, value: Value, anything: bool| {
            if anything {
                results.values.insert(name.to_owned(), value);
            }
        };
        put("log", json!(done.log), !done.log.is_empty());
        put("metrics", json!(done.metrics), !done.metrics.is_empty());
        put("http", json!(done.http), !done.http.is_empty());
        put("models", json!(done.models), !done.models.is_empty());
        put("bans", json!(done.bans), !done.bans.is_empty());
        put("store", json!(done.store), done.wrote);
    }
}

/// What a case grants; everything where it says nothing, as there is nothing to protect.
fn granted(grants: Option<&written::Grants>, given: &Given) -> Grants {
    match grants.cloned() {
        Some(grants) => Grants {
            http: grants.http,
            secrets: grants.secrets,
            models: grants.models,
            firewall: grants.firewall,
        },
        None => Grants {
            http: vec!["*".to_owned()],
            // That there is one at all lets the policy import `secrets`.
            secrets: std::iter::once(String::new())
                .chain(given.secrets.iter().flatten().map(|(name, _)| name.clone()))
                .collect(),
            models: vec!["*".to_owned()],
            firewall: true,
        },
    }
}

/// One call on its way through the hooks.
struct Running<'r> {
    worker: &'r Worker,
    version: &'r Arc<Version>,
    scope: CallScope,
    call: Arc<Call>,
    results: Results,
    /// When the hook that runs began.
    since: Instant,
}

/// The facts of a call that a summary borrows from.
struct Facts {
    model: String,
    streaming: bool,
    input_tokens: u32,
    max_output_tokens: u32,
}

impl<'r> Running<'r> {
    fn new(worker: &'r Worker, version: &'r Arc<Version>, call: Arc<Call>) -> Self {
        Self {
            worker,
            version,
            scope: CallScope::new(Arc::<Call>::clone(&call)),
            call,
            results: Results::default(),
            since: Instant::now(),
        }
    }

    /// What a hook is told; it begins now.
    fn begin<'f>(&mut self, facts: &'f Facts) -> Summary<'f> {
        self.since = Instant::now();
        self.summary(facts)
    }

    fn has(&self, hook: Hook) -> bool {
        self.version.hooks().contains(hook)
    }

    fn facts(&self) -> Facts {
        let asked = self.call.asked();
        Facts {
            model: asked.model.clone(),
            streaming: asked.head.stream,
            input_tokens: asked.head.input_tokens_estimate,
            max_output_tokens: asked.head.max_output_tokens.unwrap_or(0),
        }
    }

    fn summary<'f>(&self, facts: &'f Facts) -> Summary<'f> {
        Summary {
            operation: operation(self.call.operation),
            model: &facts.model,
            streaming: facts.streaming,
            input_tokens: facts.input_tokens,
            max_output_tokens: facts.max_output_tokens,
        }
    }

    /// Notes what a hook answered; none where it ended the call.
    fn note<T>(
        &mut self,
        hook: Hook,
        answer: Answer<T>,
        shape: impl FnOnce(&Self, &T) -> Value,
    ) -> Option<T> {
        self.results.took.push((hook, self.since.elapsed()));
        let (value, ended, answer) = match answer {
            Ok(Ok(answer)) => (shape(self, &answer), false, Some(answer)),
            Ok(Err(denial)) => (shape::denial(&denial), true, None),
            Err(failure) => (failed(&failure), true, None),
        };
        self.results.values.insert(hook.as_str().to_owned(), value);
        if ended {
            self.results.ended_by = Some(hook.as_str());
        }
        answer
    }

    /// All hooks that the policy has and the case gives something to.
    async fn hooks(&mut self, given: &Given) -> Result<(), RunError> {
        let facts = self.facts();
        if self.has(Hook::Access) {
            let summary = self.begin(&facts);
            let answer = self
                .worker
                .authorize(self.version, &self.scope, &summary)
                .await;
            if self
                .note(Hook::Access, answer, |_, ()| json!("allow"))
                .is_none()
            {
                return self.audited(given).await;
            }
        }
        if self.has(Hook::Rewrite) {
            let before = self.call.asked().clone();
            let summary = self.begin(&facts);
            let answer = self
                .worker
                .rewrite(self.version, &self.scope, &summary)
                .await;
            let edits = |running: &Self, (): &()| shape::edits(&before, &running.call.asked());
            if self.note(Hook::Rewrite, answer, edits).is_none() {
                return self.audited(given).await;
            }
            self.call.understand().map_err(RunError::Case)?;
        }
        let facts = self.facts();
        if self.has(Hook::Limit) {
            let summary = self.begin(&facts);
            let answer = self
                .worker
                .limits(self.version, &self.scope, &summary)
                .await;
            let answer = self.note(Hook::Limit, answer, |_, rules| shape::rules(rules));
            if answer.is_none() {
                return self.audited(given).await;
            }
        }
        if self.has(Hook::Answer) {
            let summary = self.begin(&facts);
            let answer = self
                .worker
                .answer(self.version, &self.scope, &summary)
                .await;
            let own = self.note(Hook::Answer, answer, |_, own| {
                own.as_ref().map_or(json!("none"), shape::response)
            });
            if !matches!(own, Some(None)) {
                return self.audited(given).await;
            }
        }
        if self.has(Hook::Route) && given.channels.is_some() {
            let candidates = self.call.candidates();
            let summary = self.begin(&facts);
            let answer = self
                .worker
                .route(self.version, &self.scope, &summary, &candidates)
                .await;
            let shape = |running: &Self, plan: &Vec<_>| shape::attempts(&running.call, plan);
            if self.note(Hook::Route, answer, shape).is_none() {
                return self.audited(given).await;
            }
        }
        self.replies(given, &facts).await;
        self.audited(given).await
    }

    async fn replies(&mut self, given: &Given, facts: &Facts) {
        if let Some(reply) = given.reply.as_ref().filter(|_| self.has(Hook::Reply)) {
            let body = text_of(&reply.body);
            let mut headers: Vec<(&str, &str)> = reply
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            if headers.is_empty() {
                headers.push(("content-type", "application/json"));
            }
            let shown = WholeReply {
                status: reply.status.unwrap_or(200),
                headers: &headers,
                body: body.as_bytes(),
            };
            let summary = self.begin(facts);
            let answer = self
                .worker
                .reply(self.version, &self.scope, &summary, &shown)
                .await;
            self.note(Hook::Reply, answer, |_, own| {
                own.as_ref().map_or(json!("unchanged"), shape::response)
            });
        }
        if self.has(Hook::Events) && (given.events.is_some() || given.stream.is_some()) {
            self.since = Instant::now();
            let streamed = self.streamed(given, facts).await;
            self.note_stream(streamed);
        }
    }

    /// None where the policy is not interested in the stream.
    async fn streamed(&self, given: &Given, facts: &Facts) -> Result<Option<Streamed>, Failure> {
        let facts = Facts {
            streaming: true,
            model: facts.model.clone(),
            ..*facts
        };
        let summary = self.summary(&facts);
        let open = async || {
            self.worker
                .open_stream(self.version, &self.scope, &summary)
                .await
        };
        let Some(opened) = open().await? else {
            return Ok(None);
        };
        let streamed = match (&given.stream, &given.events) {
            (Some(text), _) => stream::on_the_wire(opened, open, self.call.dialect, text).await?,
            (None, events) => {
                let events = events.as_deref().unwrap_or_default();
                stream::in_the_neutral_view(opened, open, events).await?
            }
        };
        Ok(Some(streamed))
    }

    fn note_stream(&mut self, streamed: Result<Option<Streamed>, Failure>) {
        let shown = match &streamed {
            Ok(Some(streamed)) => streamed.shown.max(1),
            _ => 1,
        };
        let each = self.since.elapsed() / shown;
        self.results.took.push((Hook::Events, each));
        let mut put = |name: &str, value| self.results.values.insert(name.to_owned(), value);
        let streamed = match streamed {
            Ok(Some(streamed)) => streamed,
            Ok(None) => {
                put("events", json!("not interested"));
                return;
            }
            Err(failure) => {
                put("events", failed(&failure));
                self.results.ended_by = Some("events");
                return;
            }
        };
        if let Some(bytes) = &streamed.bytes {
            put("stream", json!(String::from_utf8_lossy(bytes)));
        }
        if streamed.untouched {
            put("events", json!("unchanged"));
            return;
        }
        let mut events = streamed.events;
        if let Some(denial) = &streamed.denied {
            events.push(shape::denial(denial));
        }
        put("events", Value::Array(events));
    }

    async fn audited(&mut self, given: &Given) -> Result<(), RunError> {
        let Some(outcome) = given.outcome.as_ref().filter(|_| self.has(Hook::Audit)) else {
            return Ok(());
        };
        let facts = self.facts();
        let shown = Outcome {
            call: self.summary(&facts),
            channel: outcome.channel.as_deref(),
            status: outcome.status.unwrap_or(200),
            denied: outcome.denied.as_deref(),
            attempts: outcome.attempts.unwrap_or(1),
            first_byte_ms: outcome.first_byte_ms,
            total_ms: outcome.total_ms,
            usage: stream::usage_of(&outcome.usage),
        };
        self.since = Instant::now();
        let answer = self
            .worker
            .finished(self.version, &self.scope, &shown)
            .await;
        self.note(Hook::Audit, answer.map(Ok), |_, ()| json!("seen"));
        Ok(())
    }
}

fn failed(failure: &Failure) -> Value {
    json!({ "fail": { "code": failure.code(), "reason": failure.kind.to_string() } })
}

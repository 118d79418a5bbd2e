//! The whole of it: a store, an engine, real policies, files that change.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use weir_base::{Clock, SystemClock};
use weir_counters::{KeyValue, KeyValueBounds, Limits};
use weir_policy::{
    CallHost, CallScope, CompileMode, Engine, EngineSettings, Hook, Message, Operation, Summary,
    Worker,
};
use weir_store::{MasterKey, PolicySetting, Store, StoreSettings};

use crate::config::{self, SettingsFile, Sources};
use crate::identify::Bans;
use crate::journal::keep::Keeper;
use crate::reload::{Control, ControlError, ControlParts, PolicyStatus};
use crate::services::{HostServices, ServiceParts};
use crate::telemetry::Metrics;

const PROBE: &str = "testing-probe";
const DENIES: &str = r#"{ "access": { "do": [{ "deny": { "status": 403, "code": "no" } }] } }"#;

/// A gateway's inside, without its outside.
struct Bench {
    dir: tempfile::TempDir,
    control: Arc<Control>,
    engine: Arc<Engine>,
    store: Store,
}

/// A policy that `policies/build.sh` left beside those that `build.rs` embeds.
fn wasm(name: &str) -> Bytes {
    let (builtin, _) = super::super::builtin::BUILTIN[0];
    assert_eq!(builtin, "permissions");
    let out_dir = Path::new(env!("OUT_DIR"));
    let found = out_dir
        .ancestors()
        .map(|dir| dir.join("policies").join(name).with_extension("wasm"))
        .find(|path| path.exists());
    let path = found.unwrap_or_else(|| {
        Path::new(&std::env::var("WEIR_EMBED_DIR").unwrap())
            .join(name)
            .with_extension("wasm")
    });
    std::fs::read(path).unwrap().into()
}

/// The same policy with other bytes: a custom section that means nothing.
fn another(bytes: &Bytes, mark: u8) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes.extend_from_slice(&[0, 3, 1, b'x', mark]);
    bytes.into()
}

impl Bench {
    async fn start(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::start_in(dir, settings).await.unwrap()
    }

    async fn start_in(dir: tempfile::TempDir, settings: &str) -> Result<Self, ControlError> {
        let path = dir.path().join("weir.toml");
        std::fs::write(&path, settings).unwrap();
        let text = settings.to_owned();
        let sources = Sources {
            file: Some(SettingsFile { path, text }),
            ..Sources::default()
        };
        let config = config::load(&sources).unwrap().config;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let master_key = MasterKey::from_hex(&"07".repeat(32)).unwrap();
        let store = Store::open(
            &dir.path().join("weir.db"),
            &master_key,
            StoreSettings::default(),
        )
        .unwrap();
        let (bans, metrics) = (
            Arc::new(Bans::default()),
            Arc::new(Metrics::new("test").unwrap()),
        );
        let key_values = Arc::new(KeyValue::new(Arc::clone(&clock), KeyValueBounds::default()));
        let parts = ServiceParts {
            clock: Arc::clone(&clock),
            key_values: Arc::clone(&key_values),
            bans: Arc::clone(&bans),
            store: store.clone(),
            background: tokio::runtime::Handle::current(),
        };
        let (services, _) = HostServices::new(parts).unwrap();
        let mut settings = EngineSettings::new(
            dir.path().join("compiled"),
            [7; 32],
            CompileMode::ThisProcess,
        );
        settings.instances_max = 16;
        let engine = Engine::new(settings, Arc::<HostServices>::clone(&services)).unwrap();
        let parts = ControlParts {
            engine: Arc::clone(&engine),
            services,
            store: store.clone(),
            limits: Arc::new(Limits::new(Arc::clone(&clock))),
            key_values,
            bans,
            journals: Keeper::start(dir.path().join("journals"), Arc::clone(&metrics)).unwrap(),
            metrics,
            clock,
        };
        let control = Control::start(parts, config, sources).await?;
        Ok(Self {
            dir,
            control,
            engine,
            store,
        })
    }

    fn policy(&self, name: &str) -> PolicyStatus {
        self.control
            .policies()
            .into_iter()
            .find(|policy| policy.name == name)
            .unwrap()
    }

    fn digest(&self, name: &str) -> Option<String> {
        self.policy(name).digest
    }

    async fn make(&self, name: &str, settings: serde_json::Value) {
        let setting = PolicySetting {
            name: name.into(),
            position: 0,
            settings,
        };
        self.store.put(&setting).await.unwrap();
        self.control.refresh().await.unwrap();
    }

    /// Waits for something that another task brings about.
    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..800 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{what} did not happen: {:#?}", self.control.policies());
    }

    /// What the chain's `access` hooks say to a call.
    async fn ask(&self, name: &str) -> &'static str {
        let snapshot = self.control.snapshot();
        let mut bindings = snapshot.chain.with(Hook::Access, 0);
        let binding = bindings.find(|binding| &*binding.name == name);
        let binding = Arc::clone(binding.unwrap());
        let engine = Arc::clone(&self.engine);
        // A worker needs a thread of its own.
        tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                let worker = Worker::new(engine);
                let scope = CallScope::new(Arc::new(TestCall));
                match worker.authorize(&binding.version, &scope, &summary()).await {
                    Ok(Ok(())) => "allowed",
                    Ok(Err(_)) => "denied",
                    Err(_) => "failed",
                }
            })
        })
        .await
        .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_chain_starts_and_garbage_changes_nothing() {
    let bench = Bench::start("").await;
    let names: Vec<_> = bench
        .control
        .policies()
        .into_iter()
        .map(|policy| (policy.name, policy.source))
        .collect();
    assert_eq!(
        names[0],
        ("permissions".to_owned(), "builtin:permissions".to_owned())
    );
    assert_eq!(names.len(), 4);
    assert!(bench.control.ready());
    assert_eq!(bench.ask("permissions").await, "allowed");
    let before = (
        bench.digest("permissions"),
        bench.control.snapshot().generation,
    );
    let error = bench
        .control
        .upload("permissions", Bytes::from_static(b"garbage"), true, true)
        .await
        .unwrap_err();
    assert_eq!((error.code(), error.status()), ("policy_not_wasm", 422));
    assert_eq!(
        (
            bench.digest("permissions"),
            bench.control.snapshot().generation
        ),
        before
    );
    assert!(bench.policy("permissions").last_error.is_some());
    let error = bench
        .control
        .upload("nobody", wasm(PROBE), true, true)
        .await
        .unwrap_err();
    assert_eq!((error.code(), error.status()), ("not_found", 404));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_decide_and_rollbacks_bring_back() {
    let bench = Bench::start("").await;
    bench
        .make(
            "mine",
            json!({ "config": serde_json::from_str::<serde_json::Value>(DENIES).unwrap() }),
        )
        .await;
    assert_eq!(bench.digest("mine"), None);
    assert_eq!(
        bench.control.rollback("mine").await.unwrap_err().code(),
        "no_previous_version"
    );
    let (one, two) = (wasm(PROBE), another(&wasm(PROBE), 2));
    let first = bench.control.upload("mine", one, true, true).await.unwrap();
    assert!(first.active && first.hooks.contains(&"access"));
    assert_eq!(bench.digest("mine"), Some(first.digest.clone()));
    assert_eq!(bench.ask("mine").await, "denied");
    // A call that began before keeps what it began with.
    let held = bench.control.snapshot();
    let second = bench
        .control
        .upload("mine", two, false, true)
        .await
        .unwrap();
    assert!(!second.active && bench.digest("mine") == Some(first.digest.clone()));
    bench
        .control
        .activate("mine", &second.digest)
        .await
        .unwrap();
    assert_eq!(bench.digest("mine"), Some(second.digest.clone()));
    assert_eq!(
        hex::encode(
            held.chain
                .with(Hook::Access, 0)
                .last()
                .unwrap()
                .version
                .digest()
        ),
        first.digest
    );
    bench.control.rollback("mine").await.unwrap();
    assert_eq!(bench.digest("mine"), Some(first.digest));
    assert_eq!(
        bench
            .control
            .activate("mine", "00")
            .await
            .unwrap_err()
            .status(),
        404
    );
    // An upload over a builtin, and back to the builtin.
    let builtin = bench.digest("limits");
    bench
        .control
        .upload("limits", wasm("limits"), true, true)
        .await
        .unwrap();
    bench
        .control
        .upload("limits", another(&wasm("limits"), 9), true, true)
        .await
        .unwrap();
    assert_eq!(bench.policy("limits").source, "upload");
    bench.control.rollback("limits").await.unwrap();
    assert_eq!(bench.digest("limits"), builtin);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_versions_make_room_and_their_code_goes() {
    let bench = Bench::start("default_chain = false\n[runtime]\nversions_max = 4").await;
    bench.make("mine", json!({})).await;
    let mut digests = Vec::new();
    for mark in 0..9 {
        let wasm = another(&wasm(PROBE), mark);
        // The second is the last that is in force: the others are only stored.
        let uploaded = bench.control.upload("mine", wasm, mark < 2, true).await;
        digests.push(uploaded.unwrap().digest);
    }
    let query = weir_store::ListQuery {
        parent: Some("mine".to_owned()),
        ..weir_store::ListQuery::default()
    };
    let stored = bench.store.list::<weir_store::PolicyVersion>(query).await;
    let mut stored: Vec<_> = stored
        .unwrap()
        .items
        .into_iter()
        .map(|version| version.digest)
        .collect();
    // The one before, the one in force, and the newest.
    let mut expected = [&digests[..2], &digests[7..]].concat();
    stored.sort();
    expected.sort();
    assert_eq!(stored, expected);
    let compiled = || {
        let files = std::fs::read_dir(bench.dir.path().join("compiled")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut digests: Vec<_> = names.map(|name| name[..64].to_owned()).collect();
        digests.sort();
        digests
    };
    assert_eq!(compiled().len(), 9);
    Arc::clone(&bench.control).prune_compiled().await;
    assert_eq!(compiled(), expected);
    bench.control.rollback("mine").await.unwrap();
    assert_eq!(bench.digest("mine"), Some(digests[0].clone()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_file_goes_before_an_upload_and_is_read_only() {
    let bench = Bench::start("policies_dir = 'policies.d'").await;
    bench.make("mine", json!({})).await;
    let uploaded = bench
        .control
        .upload("mine", wasm(PROBE), true, true)
        .await
        .unwrap()
        .digest;
    // The folder did not exist when the program started.
    let folder = bench.dir.path().join("policies.d");
    std::fs::create_dir(&folder).unwrap();
    let dropped = another(&wasm(PROBE), 1);
    std::fs::write(folder.join("mine.wasm.part"), &dropped).unwrap();
    std::fs::rename(folder.join("mine.wasm.part"), folder.join("mine.wasm")).unwrap();
    bench
        .until("the file", |bench| {
            bench.policy("mine").source.starts_with("file:")
        })
        .await;
    let error = bench
        .control
        .upload("mine", wasm(PROBE), true, true)
        .await
        .unwrap_err();
    assert_eq!((error.code(), error.status()), ("read_only", 409));
    assert!(error.to_string().contains("mine.wasm"));
    // A file that is no policy leaves the old version; one without settings joins the chain.
    std::fs::write(folder.join("mine.wasm"), b"rubbish").unwrap();
    std::fs::write(folder.join("alone.wasm"), wasm("aliases")).unwrap();
    bench
        .until("the refusal", |bench| {
            bench.policy("mine").last_error.is_some()
        })
        .await;
    bench
        .until("the new policy", |bench| {
            bench.control.policies().len() == 6
        })
        .await;
    assert_eq!(
        bench.digest("mine"),
        Some(hex::encode(weir_store::sha256(&dropped)))
    );
    std::fs::remove_file(folder.join("mine.wasm")).unwrap();
    bench
        .until("the way back", |bench| {
            bench.digest("mine") == Some(uploaded.clone())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_taken_over_whole_or_not_at_all() {
    let settings = |code: &str, more: &str| {
        format!(
            "[[policy]]\nname = 'p'\nsource = 'file:{code}'\n[policy.config]\n{more}\n[[tenant]]\nname = 'acme'"
        )
    };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.wasm"), wasm(PROBE)).unwrap();
    let bench = Bench::start_in(dir, &settings("p.wasm", "")).await.unwrap();
    let file = bench.dir.path().join("weir.toml");
    assert_eq!(bench.ask("p").await, "allowed");
    let generation = bench.control.snapshot().generation;
    for (text, code) in [
        (settings("p.wasm", "[[nonsense]]"), "config_refused"),
        (settings("p.wasm", "nonsense = 1"), "policy_config_refused"),
        (settings("q.wasm", ""), "policy_source_unreadable"),
    ] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(
            bench.control.reload_config().await.unwrap_err().code(),
            code
        );
        assert_eq!(bench.control.snapshot().generation, generation);
    }
    // The watcher finds good settings by itself, and the file of a policy that they name.
    std::fs::write(
        &file,
        settings(
            "p.wasm",
            "access = { do = [{ deny = { status = 403, code = 'no' } }] }",
        ),
    )
    .unwrap();
    bench
        .until("new settings", |bench| {
            bench.control.snapshot().generation > generation
        })
        .await;
    assert_eq!(bench.ask("p").await, "denied");
    let replaced = another(&wasm(PROBE), 5);
    std::fs::write(bench.dir.path().join("p.wasm"), &replaced).unwrap();
    let digest = Some(hex::encode(weir_store::sha256(&replaced)));
    bench
        .until("new code", |bench| bench.digest("p") == digest)
        .await;
    assert_eq!(
        bench.policy("p").declared_in,
        Some(file.display().to_string())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_fails_too_often_goes_by_itself() {
    // The settings make the probe trap; the builtin that runs first knows nothing of them.
    let traps = json!({ "access": { "do": ["trap"] } });
    let bench = Bench::start("[runtime]\nfailures_before_rollback = 2").await;
    bench.make("mine", json!({ "config": traps })).await;
    let empty = bench
        .control
        .upload("mine", wasm("testing-empty"), true, true)
        .await;
    assert_eq!(empty.unwrap_err().code(), "policy_no_hook");
    let good = bench
        .control
        .upload("mine", wasm(PROBE), true, true)
        .await
        .unwrap()
        .digest;
    let bad = bench
        .control
        .upload("mine", another(&wasm(PROBE), 6), true, true)
        .await
        .unwrap()
        .digest;
    for _ in 0..2 {
        assert_eq!(bench.digest("mine"), Some(bad.clone()));
        assert_eq!(bench.ask("mine").await, "failed");
    }
    bench
        .until("the way back", |bench| {
            bench.digest("mine") == Some(good.clone())
        })
        .await;
    assert!(
        bench
            .policy("mine")
            .last_error
            .unwrap()
            .contains("failed 2 times")
    );
    // It stays the better version's turn, whatever else changes; until somebody asks for the other.
    bench.control.refresh().await.unwrap();
    assert_eq!(bench.digest("mine"), Some(good));
    bench.control.activate("mine", &bad).await.unwrap();
    assert_eq!(bench.digest("mine"), Some(bad));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_policies_store_outlives_the_program() {
    let bench = Bench::start("").await;
    bench
        .control
        .parts
        .key_values
        .set("mine", "k", b"v", None)
        .unwrap();
    bench
        .control
        .parts
        .bans
        .ban(IpAddr::from([192, 0, 2, 1]), u64::MAX, 0);
    bench.control.shutdown().await;
    bench.store.close(Duration::from_secs(5)).unwrap();
    let Bench {
        dir,
        control,
        engine,
        store,
    } = bench;
    drop((control, engine, store));
    let again = Bench::start_in(dir, "").await.unwrap();
    assert_eq!(
        again.control.parts.key_values.get("mine", "k").as_deref(),
        Some(&b"v"[..])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_settings_of_the_api_are_refused_as_often_as_they_are_sent() {
    let bench = Bench::start("").await;
    let setting = |on: bool| PolicySetting {
        name: "limits".into(),
        position: 0,
        settings: if on {
            json!({ "config": { "nonsense": 1 } })
        } else {
            json!({})
        },
    };
    for _ in 0..2 {
        bench.store.put(&setting(true)).await.unwrap();
        let error = bench.control.refresh().await.unwrap_err();
        assert_eq!(error.code(), "policy_config_refused");
        // Somebody else's change is not refused for it.
        bench.control.refresh().await.unwrap();
        bench.store.put(&setting(false)).await.unwrap();
        bench.control.refresh().await.unwrap();
    }
}

/// A call with nothing in it.
struct TestCall;

impl CallHost for TestCall {
    fn id(&self) -> String {
        "req_1".into()
    }
    fn dialect(&self) -> String {
        "openai.chat".into()
    }
    fn method(&self) -> String {
        "POST".into()
    }
    fn path(&self) -> String {
        "/v1/chat/completions".into()
    }
    fn query(&self) -> Vec<(String, String)> {
        Vec::new()
    }
    fn tenant(&self) -> Arc<str> {
        Arc::default()
    }
    fn key(&self) -> Arc<str> {
        Arc::default()
    }
    fn client_ip(&self) -> String {
        String::new()
    }
    fn channel_name(&self, _: u32) -> Arc<str> {
        Arc::default()
    }
    fn channel_provider(&self, _: u32) -> String {
        String::new()
    }
    fn channel_model(&self, _: u32) -> String {
        String::new()
    }
    fn channel_label(&self, _: u32, _: &str) -> Option<String> {
        None
    }
    fn label(&self, _: &str) -> Option<String> {
        None
    }
    fn header(&self, _: &str) -> Option<String> {
        None
    }
    fn headers(&self) -> Vec<(String, String)> {
        Vec::new()
    }
    fn json(&self, _: &str) -> Option<String> {
        None
    }
    fn messages(&self) -> Vec<Message> {
        Vec::new()
    }
    fn body(&self) -> Bytes {
        Bytes::new()
    }
    fn set_model(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn set_header(&self, _: &str, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn remove_header(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn set_json(&self, _: &str, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn remove_json(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn prepend_system(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn set_message_text(&self, _: u32, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn replace_body(&self, _: Vec<u8>) -> Result<(), String> {
        Ok(())
    }
}

fn summary() -> Summary<'static> {
    Summary {
        operation: Operation::Chat,
        model: "m",
        streaming: false,
        input_tokens: 1,
        max_output_tokens: 0,
    }
}

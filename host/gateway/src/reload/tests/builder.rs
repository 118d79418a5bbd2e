//! What is merged, what wins, and what is left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use weir_base::{Operation, Secret};
use weir_store::{self as store, Entities};

use crate::config::{self, Config, Environment, Sources};
use crate::identify;
use crate::keys::KeyRegistry;
use crate::pipeline::Snapshot;
use crate::pipeline::channel::Target;
use crate::reload::assemble::{ChannelRegistry, Ingredients, snapshot};
use crate::reload::wanted::{self, Base};
use crate::reload::written;
use crate::telemetry::Metrics;

fn config(text: &str) -> Arc<Config> {
    Arc::new(config::load(&Sources::of_text(text)).unwrap().config)
}

fn build(text: &str, entities: &Entities, environment: &Environment) -> (Snapshot, Vec<String>) {
    let ingredients = Ingredients {
        generation: 1,
        config: &config(text),
        entities,
        environment,
        bindings: &[],
        missing: &[],
        keys: &KeyRegistry::default(),
        metrics: &Metrics::new("test").unwrap(),
        now_ms: 1_000_000,
    };
    snapshot(&ingredients, &mut ChannelRegistry::default())
}

fn tenant(id: &str) -> store::Tenant {
    store::Tenant {
        id: id.into(),
        name: id.into(),
        labels: BTreeMap::from([("from".into(), "api".into())]),
        time_zone: None,
        disabled: false,
        created_ms: 0,
        updated_ms: 0,
    }
}

fn key(id: &str, tenant: &str, secret: &str) -> store::VirtualKey {
    store::VirtualKey {
        id: id.into(),
        tenant: tenant.into(),
        name: id.into(),
        hash: store::sha256(secret.as_bytes()),
        prefix: String::new(),
        labels: BTreeMap::new(),
        disabled: false,
        author: false,
        expires_ms: None,
        created_ms: 0,
        updated_ms: 0,
    }
}

fn channel(name: &str, dialect: &str, settings: serde_json::Value) -> store::Channel {
    store::Channel {
        name: name.into(),
        dialect: dialect.into(),
        base_url: String::new(),
        models: vec!["m-*".into()],
        model_map: BTreeMap::new(),
        priority: 3,
        weight: 7,
        settings,
        disabled: false,
        created_ms: 0,
        updated_ms: 0,
    }
}

#[test]
fn tenants_and_keys_of_the_file_win_and_those_of_the_api_join_them() {
    let text = "
        [[tenant]]
        name = 'acme'
        labels = { from = 'file' }
        [[tenant.key]]
        name = 'search'
        secret = 'plain:file-secret-0000000'
        [[tenant.key]]
        name = 'by-api'";
    let entities = Entities {
        tenants: vec![tenant("acme"), tenant("beta")],
        keys: vec![
            key("key_1", "acme", "api-secret-1"),
            key("key_2", "beta", "api-secret-2"),
            key("key_3", "nobody", "api-secret-3"),
            key("key_4", "beta", "file-secret-0000000"),
        ],
        ..Entities::default()
    };
    let (snapshot, warnings) = build(text, &entities, &Environment::new());
    let find = |secret: &str| {
        snapshot
            .directory
            .find(&identify::hash(&Secret::new(secret)))
    };
    let from_file = find("file-secret-0000000").unwrap();
    assert_eq!(
        (&*from_file.id, &*from_file.tenant.id),
        ("acme.search", "acme")
    );
    assert_eq!(find("api-secret-1").unwrap().label("from"), Some("file"));
    assert_eq!(find("api-secret-2").unwrap().label("from"), Some("api"));
    assert!(find("api-secret-3").is_none());
    assert_eq!(warnings.len(), 3, "{warnings:?}");
}

#[test]
fn times_hold_for_the_calls_that_they_name() {
    let text = "
        upstream = { connect_timeout_ms = 1, tls_timeout_ms = 2, first_byte_timeout_ms = 3, attempt_timeout_ms = 5 }
        [[channel]]
        name = 'main'
        dialect = 'openai'
        first_byte_timeout_ms = 30
        [[channel.timeout]]
        idle_stream_ms = 40
        [[channel.timeout]]
        operations = ['image', 'speech']
        first_byte_ms = 300
        [[channel.timeout]]
        operations = ['image']
        tls_ms = 20
        first_byte_ms = 3000";
    let (snapshot, warnings) = build(text, &Entities::default(), &Environment::new());
    assert_eq!(warnings, Vec::<String>::new());
    let times = &snapshot.channel("main").unwrap().timeouts;
    let of = |operation| {
        let times = times.of(operation);
        [
            times.connect_ms,
            times.tls_ms,
            times.first_byte_ms,
            times.idle_stream_ms,
            times.total_ms,
        ]
    };
    assert_eq!(of(Operation::Chat), [1, 2, 30, 40, 5]);
    assert_eq!(of(Operation::Speech), [1, 2, 300, 40, 5]);
    assert_eq!(of(Operation::Image), [1, 20, 3000, 40, 5]);
}

/// A reload reads certificates again, and connections are found again where nothing changed.
#[test]
fn certificates_are_read_again_and_tell_connections_apart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let text = format!(
        "[[channel]]\nname = 'main'\ndialect = 'openai'\nca_file = '{}'",
        file.display()
    );
    let write = || {
        let made = rcgen::generate_simple_self_signed(["ca.test".to_owned()]).unwrap();
        std::fs::write(&file, made.cert.pem()).unwrap();
    };
    let origin = || {
        let (snapshot, _) = build(&text, &Entities::default(), &Environment::new());
        match &snapshot.channel("main").unwrap().target {
            Target::Http { origin, .. } => origin.clone(),
            Target::Fake(_) => panic!("a channel of its own kind"),
        }
    };
    write();
    let first = origin();
    assert!(first == origin(), "the same certificates");
    write();
    assert!(first != origin(), "other certificates");
    std::fs::write(&file, "nothing here").unwrap();
    let errors = config::load(&Sources::of_text(&text))
        .unwrap_err()
        .to_string();
    assert!(errors.contains("ca_file: cannot be used:"), "{errors}");
    assert!(errors.contains("holds no certificate"), "{errors}");
}

#[test]
fn channels_of_the_api_find_their_way_as_those_of_the_file_do() {
    let settings = json!({
        "proxy": "env:PROXY", "cascade": true, "prefill": "prefix",
        "timeout": [{ "operations": ["chat"], "total_ms": 9 }],
    });
    let entities = Entities {
        channels: vec![
            channel("far", "openai", settings),
            channel(
                "lost",
                "openai",
                json!({ "ca_file": "/does/not/exist.pem" }),
            ),
        ],
        ..Entities::default()
    };
    let environment = Environment::from([
        ("PROXY".to_owned(), "http://me:hush@proxy:1".to_owned()),
        ("WEIR_WORKERS".to_owned(), "many".to_owned()),
    ]);
    let (snapshot, warnings) = build("", &entities, &environment);
    let far = snapshot.channel("far").unwrap();
    assert!(far.cascade && snapshot.goes_on);
    assert_eq!(far.prefill, Some(weir_wire::prefill::Form::Prefix));
    assert_eq!(far.timeouts.of(Operation::Chat).total_ms, 9);
    let Target::Http { origin, .. } = &far.target else {
        panic!("{far:?}");
    };
    assert_eq!(
        origin.proxy().unwrap().to_string(),
        "http://(hidden)@proxy:1"
    );
    assert!(snapshot.channel("lost").is_none());
    assert!(warnings[0].contains("/does/not/exist.pem"), "{warnings:?}");
}

#[test]
fn channels_of_the_file_win_and_dead_keys_stay_dead() {
    let text = "
        [[channel]]
        name = 'main'
        dialect = 'openai'
        keys = ['plain:sk-one', 'plain:sk-two']
        [[channel]]
        name = 'off'
        dialect = 'openai'
        keys = ['plain:sk-three']
        disabled = true";
    let entities = Entities {
        channels: vec![
            channel("main", "anthropic", json!({})),
            channel(
                "more",
                "anthropic",
                json!({ "headers": { "x-a": "b" }, "labels": { "region": "eu" }, "first_byte_timeout_ms": 9 }),
            ),
            channel("wrong", "klingon", json!(null)),
        ],
        provider_keys: vec![store::ProviderKey {
            id: "pkey_1".into(),
            channel: "main".into(),
            label: String::new(),
            secret: Secret::new("sk-api"),
            terms: Default::default(),
            disabled_reason: None,
            disabled_ms: None,
            created_ms: 0,
        }],
        disabled_keys: vec![store::DisabledKey {
            channel: "main".into(),
            fingerprint: store::sha256(b"sk-two"),
            reason: "revoked".into(),
            disabled_ms: 5,
        }],
        ..Entities::default()
    };
    let (snapshot, warnings) = build(text, &entities, &Environment::new());
    let names: Vec<_> = snapshot
        .channels
        .iter()
        .map(|channel| &*channel.name)
        .collect();
    assert_eq!(names, ["main", "more"]);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    let main = snapshot.channel("main").unwrap();
    assert_eq!(
        (main.provider, main.keys.keys().len(), main.keys.usable(0)),
        ("openai", 3, 2)
    );
    assert_eq!(&*main.keys.keys()[2].id, "pkey_1");
    let more = snapshot.channel("more").unwrap();
    assert_eq!(
        (
            more.priority,
            more.weight,
            more.timeouts.usual.first_byte_ms
        ),
        (3, 7, 9)
    );
    assert_eq!(more.headers.get("x-a").unwrap(), "b");
    assert_eq!(more.labels["region"], "eu");
    let numbered = [main, more].map(|channel| &*snapshot.numbered(channel.number).unwrap().name);
    assert_eq!(numbered, ["main", "more"]);
    assert!(snapshot.numbered(0).is_none());
    assert!(matches!(&more.target, Target::Http { base_path, .. } if base_path.is_empty()));
}

#[test]
fn a_gateway_without_channels_gets_those_of_its_environment_or_the_fake_one() {
    let names = |entities: &Entities, environment: &Environment| {
        let (snapshot, _) = build("", entities, environment);
        snapshot
            .channels
            .iter()
            .map(|channel| channel.name.to_string())
            .collect::<Vec<_>>()
    };
    let openai = Environment::from([("OPENAI_API_KEY".to_owned(), "sk".to_owned())]);
    let made = Entities {
        channels: vec![channel("made", "openai", json!({}))],
        ..Entities::default()
    };
    assert_eq!(names(&Entities::default(), &Environment::new()), ["fake"]);
    assert_eq!(names(&Entities::default(), &openai), ["openai"]);
    assert_eq!(names(&made, &Environment::new()), ["made"]);
    assert_eq!(names(&made, &openai), ["openai", "made"]);
}

#[test]
fn the_last_price_of_the_file_counts() {
    let text = "
        [[price]]
        model = '*'
        input_micros_per_million = 1
        output_micros_per_million = 1
        [[price]]
        model = ['a-*', 'b']
        channel = 'cheap'
        input_micros_per_million = 2
        output_micros_per_million = 2";
    let (snapshot, _) = build(text, &Entities::default(), &Environment::new());
    let input = |channel: &str, model: &str| {
        snapshot
            .prices
            .find("t", Some(channel), model)
            .unwrap()
            .input_micros_per_million
    };
    assert_eq!(
        (
            input("cheap", "a-1"),
            input("cheap", "b"),
            input("cheap", "c"),
            input("dear", "a-1")
        ),
        (2, 2, 1, 1)
    );
}

fn setting(name: &str, position: i64, settings: serde_json::Value) -> store::PolicySetting {
    store::PolicySetting {
        name: name.into(),
        position,
        settings,
    }
}

#[test]
fn the_chain_is_the_files_then_the_apis_then_what_was_dropped() {
    let entities = Entities {
        policy_settings: vec![
            setting(
                "late",
                2,
                json!({ "mode": "shadow", "tenants": ["a*"], "grants": { "secrets": ["x"] } }),
            ),
            setting(
                "mine",
                1,
                json!({ "config": { "a\"\n": [1, 2.5, true, null, { "b": "\u{7f}é" }] } }),
            ),
            setting("early", 1, json!({ "source": "builtin:limits" })),
        ],
        ..Entities::default()
    };
    let dropped = |names: &[&str]| {
        names
            .iter()
            .map(|name| ((*name).to_owned(), format!("/p/{name}.wasm").into()))
            .collect()
    };
    let text = "[[policy]]\nname = 'mine'\nsource = 'builtin:router'";
    let chain = wanted::list(
        &config(text),
        &entities,
        dropped(&["zeta", "mine", "alpha"]),
        &wanted::Lasting::default(),
    )
    .unwrap();
    let names: Vec<_> = chain.iter().map(|wanted| &*wanted.policy.name).collect();
    assert_eq!(names, ["mine", "early", "late", "alpha", "zeta"]);
    assert!(chain[0].declared_in.is_some() && chain[0].dropped.is_some());
    assert!(chain[1].declared_in.is_none() && chain[1].base == Base::Builtin("limits".into()));
    assert_eq!(chain[2].base, Base::Nothing);
    assert!(!chain[2].policy.tenants.is_match("b"));

    // Without a [[policy]] the chain is the default one, and the API may set its policies.
    let entities = Entities {
        policy_settings: vec![
            setting("limits", 9, json!({ "on_failure": "allow" })),
            setting(
                "mine",
                1,
                json!({ "config": { "a\"\n": [1, 2.5, true, null, { "b": "\u{7f}é" }] } }),
            ),
        ],
        ..entities
    };
    let chain = wanted::list(
        &config(""),
        &entities,
        dropped(&[]),
        &wanted::Lasting::default(),
    )
    .unwrap();
    let names: Vec<_> = chain.iter().map(|wanted| &*wanted.policy.name).collect();
    assert_eq!(
        names,
        ["permissions", "limits", "aliases", "router", "mine"]
    );
    assert_eq!(
        (&chain[1].base, chain[1].policy.on_failure.as_str()),
        (&Base::Builtin("limits".into()), "allow")
    );
    assert_eq!(
        chain[4].policy.config,
        json!({ "a\"\n": [1, 2.5, true, { "b": "\u{7f}é" }] })
    );
}

#[test]
fn mistakes_in_what_the_api_set_are_named_as_in_a_file() {
    let settings = json!({ "deadline_ms": 0, "modes": "shadow", "memory_max_bytes": 100 << 20 });
    let errors = written::policy("p", &settings, 200 << 20).unwrap_err();
    assert!(!errors.to_string().contains("memory"), "{errors}");
    let paths: Vec<_> = errors.0.iter().map(|error| error.path.as_str()).collect();
    assert!(paths.contains(&"policy[0].deadline_ms"), "{errors}");
    assert!(
        errors.to_string().contains("did you mean \"mode\""),
        "{errors}"
    );
    let errors = written::channel(
        &channel("c", "openai", json!({ "http2": "maybe" })),
        &config::load(&Sources::of_text("")).unwrap().config,
        &Environment::new(),
    )
    .unwrap_err();
    assert_eq!(errors.0.len(), 1, "{errors}");
}

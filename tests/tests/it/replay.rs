//! `weir policy replay`: what a version would have decided of calls that were.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use weir_tests::{Gateway, Setup, policy_file};

/// The recordings that come with Weir, or the larger collection that `WEIR_TRAFFIC` names.
fn traffic() -> PathBuf {
    match std::env::var_os("WEIR_TRAFFIC") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/traffic"),
    }
}

fn lines(text: &str) -> BTreeMap<String, Value> {
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|line| (line["call"].as_str().unwrap().to_owned(), line))
        .collect()
}

/// The model of a recording, found by other means than the gateway's.
fn model(recording: &Value) -> String {
    let body = recording["request"]["body"]["model"].as_str();
    let path = recording["request"]["path"].as_str().unwrap_or_default();
    let in_path = || {
        let rest = path.split_once("/models/")?.1;
        Some(rest.split([':', '?', '/']).next()?.replace("%2F", "/"))
    };
    body.map(str::to_owned).or_else(in_path).unwrap_or_default()
}

#[test]
fn two_versions_are_compared_call_for_call() {
    let setup = Setup::bare();
    let policy = policy_file("permissions").display().to_string();
    let out = setup.folder().join("changed.jsonl");
    let output = setup
        .command(&[
            "policy",
            "replay",
            &policy,
            "--from",
            traffic().to_str().unwrap(),
        ])
        .args(["--against", &policy, "--lines", out.to_str().unwrap()])
        .args(["--policy-config", r#"{"models":["gpt-4o*","claude-*"]}"#])
        .args(["--against-config", r#"{"models":["gpt-*"]}"#])
        .env("XDG_CACHE_HOME", setup.folder().join("cache"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let calls: usize = said.split(' ').next().unwrap().parse().unwrap();
    assert!(calls >= 100, "{said}");

    let changed = lines(&std::fs::read_to_string(&out).unwrap());
    let mut expected = 0;
    for (place, line) in &changed {
        let recording = std::fs::read(place).unwrap();
        let model = model(&serde_json::from_slice(&recording).unwrap());
        let was = model.starts_with("gpt-");
        let now = model.starts_with("gpt-4o") || model.starts_with("claude-");
        let how = match (was, now) {
            (true, false) => "denied now",
            (false, true) => "allowed now",
            _ => panic!("{place}: {model} is decided alike: {line}"),
        };
        assert_eq!(
            (line["how"].as_str(), line["model"].as_str()),
            (Some(how), Some(&*model))
        );
        expected += 1;
    }
    assert!(
        expected > 10 && said.contains(&format!("{expected} of them decided otherwise")),
        "{said}"
    );
    assert_eq!(
        missing(&changed),
        [""; 0],
        "calls that changed and were not told"
    );
}

/// Recordings of known endpoints that had to be told and were not.
fn missing(changed: &BTreeMap<String, Value>) -> Vec<String> {
    let mut folders = vec![traffic()];
    let mut missing = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let recording = std::fs::read(&path).unwrap();
            let Ok(recording) = serde_json::from_slice::<Value>(&recording) else {
                continue;
            };
            let endpoint = recording["request"]["path"].as_str().unwrap_or_default();
            let known = ["/v1/chat/completions", "/v1/responses", "/v1/messages"]
                .contains(&endpoint)
                && recording["request"]["body"].is_object();
            let model = model(&recording);
            let was = model.starts_with("gpt-");
            let now = model.starts_with("gpt-4o") || model.starts_with("claude-");
            let place = path.display().to_string();
            if known && was != now && !changed.contains_key(&place) {
                missing.push(place);
            }
        }
    }
    missing
}

#[test]
fn the_ledgers_calls_are_compared_with_what_was_decided() {
    let fake = "[[channel]]\nname = \"main\"\ndialect = \"fake\"\n";
    let gateway = Gateway::start(fake);
    for model in ["gpt-4o", "o1", "gpt-4o", "o3"] {
        gateway.acme().chat(model).expect(200);
    }
    let file = policy_file("permissions").display().to_string();
    let arguments = [
        "policy",
        "replay",
        &file,
        "--from",
        "ledger",
        "--policy-config",
        r#"{"models":["gpt-*"]}"#,
    ];
    let said = weir_tests::eventually("all calls are in the ledger", || {
        let output = gateway.run_beside(&arguments);
        let said = String::from_utf8(output.stdout).unwrap();
        said.starts_with("4 calls").then_some(said)
    });
    assert!(
        said.starts_with("4 calls, 2 of them decided otherwise"),
        "{said}"
    );
    assert!(
        said.contains("denied now") && said.contains("o1") && said.contains("o3"),
        "{said}"
    );
}

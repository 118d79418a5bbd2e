//! The rooms: which crate may use which other one, and what must not be pulled in by it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::source::root;
use crate::violation::{Violation, none};

/// A crate of this workspace.
struct Room {
    name: &'static str,
    /// The workspace's own crates that it may use.
    may_use: &'static [&'static str],
    /// Crates that it must not name itself.
    never_names: &'static [&'static str],
    /// Crates that must not come in at all, through whatever it uses.
    never_pulls: &'static [&'static str],
}

/// `base <- {wire, upstream, policy, store, counters} <- gateway`, and what keeps each of them pure.
const ROOMS: &[Room] = &[
    Room {
        name: "weir-base",
        may_use: &[],
        never_names: &[],
        never_pulls: &[
            "tokio",
            "hyper",
            "http",
            "serde_json",
            "wasmtime",
            "rusqlite",
        ],
    },
    Room {
        name: "weir-wire",
        may_use: &["weir-base"],
        never_names: &[],
        never_pulls: &["tokio", "hyper", "http", "wasmtime", "rusqlite"],
    },
    Room {
        name: "weir-upstream",
        may_use: &["weir-base"],
        never_names: &["serde", "serde_json"],
        never_pulls: &["wasmtime", "rusqlite"],
    },
    Room {
        name: "weir-policy",
        may_use: &["weir-base"],
        never_names: &["hyper", "hyper-util", "axum"],
        // hyper itself comes with wasmtime-wasi-http, for its types; what speaks to a network does not.
        never_pulls: &["hyper-util", "rustls", "rusqlite"],
    },
    Room {
        name: "weir-store",
        may_use: &["weir-base"],
        never_names: &[],
        never_pulls: &["hyper", "http", "wasmtime"],
    },
    Room {
        name: "weir-counters",
        may_use: &["weir-base"],
        never_names: &[],
        never_pulls: &["tokio", "hyper", "http", "wasmtime", "rusqlite"],
    },
    Room {
        name: "weir-gateway",
        may_use: &[
            "weir-base",
            "weir-wire",
            "weir-upstream",
            "weir-policy",
            "weir-store",
            "weir-counters",
        ],
        // reqwest and rustls are for policies' own requests (services); calls go by weir-upstream.
        never_names: &["rusqlite", "tokio-rustls", "openssl"],
        never_pulls: &["openssl", "native-tls", "aws-lc-sys"],
    },
    Room {
        name: "weir-sdk",
        may_use: &[],
        never_names: &[],
        never_pulls: &["tokio", "wasmtime"],
    },
    // All that it uses, it uses for tests: the gateway's public face and what speaks to it.
    Room {
        name: "weir-tests",
        may_use: &[],
        never_names: &[],
        never_pulls: &[],
    },
];

/// A crate that is not in the table is a policy: it stands here or below, and knows the kit only.
const POLICY_FOLDERS: &[&str] = &["policies", "examples", "tests/bare"];

/// The one room that sees the WebAssembly runtime, and the crates that this means.
const RUNTIME_ROOM: &str = "weir-policy";
const RUNTIME_CRATES: &[&str] = &[
    "wasmtime",
    "wasmtime-wasi",
    "wasmtime-wasi-http",
    "wit-component",
    "wasmparser",
];

#[test]
fn crates_use_only_what_their_room_may() {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let mut violations = Vec::new();
    let mut seen = 0;
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let manifest = relative(package["manifest_path"].as_str().unwrap());
        let room = ROOMS.iter().find(|room| room.name == name);
        seen += usize::from(room.is_some());
        if room.is_none()
            && !POLICY_FOLDERS
                .iter()
                .any(|folder| manifest.starts_with(folder))
        {
            let says =
                format!("{name} has no row in the table of rooms (tests/tests/tidy/rooms.rs)");
            violations.push(Violation::new(&manifest, 1, says));
            continue;
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            let for_tests = dependency["kind"].as_str() == Some("dev");
            if let Some(why) = forbidden(name, room, used, for_tests) {
                let line = line_naming(&manifest, used);
                violations.push(Violation::new(
                    &manifest,
                    line,
                    format!("{name} uses {used}: {why}"),
                ));
            }
        }
    }
    assert_eq!(
        seen,
        ROOMS.len(),
        "the table of rooms names a crate that is gone"
    );
    none(violations);
}

fn forbidden(name: &str, room: Option<&Room>, used: &str, for_tests: bool) -> Option<String> {
    if used == "weir-tests" || (used == "weir-gateway" && name != "weir-tests") {
        return Some("nobody may".to_owned());
    }
    if for_tests {
        return None;
    }
    if RUNTIME_CRATES.contains(&used) && name != RUNTIME_ROOM {
        return Some(format!("only {RUNTIME_ROOM} sees the runtime"));
    }
    let may_use = room.map_or(&["weir-sdk"][..], |room| room.may_use);
    if used.starts_with("weir-") && !may_use.contains(&used) {
        return Some(format!("it may use {may_use:?}"));
    }
    room.is_some_and(|room| room.never_names.contains(&used))
        .then(|| "the table of rooms forbids it".to_owned())
}

#[test]
fn crates_pull_in_nothing_that_their_room_forbids() {
    let mut violations = Vec::new();
    for room in ROOMS.iter().filter(|room| !room.never_pulls.is_empty()) {
        // Listed and searched: `cargo tree --invert` succeeds for a crate that is not there.
        let tree = cargo(&["tree", "-p", room.name, "-e", "normal", "--prefix", "none"]);
        let pulled: Vec<&str> = tree
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(
            pulled.first(),
            Some(&room.name),
            "cargo tree says nothing of {}",
            room.name
        );
        for forbidden in room
            .never_pulls
            .iter()
            .filter(|name| pulled.contains(*name))
        {
            let says = format!(
                "{name} pulls in {forbidden}; see `cargo tree -p {name} -e normal -i {forbidden}`",
                name = room.name
            );
            violations.push(Violation::new(Path::new("Cargo.lock"), 1, says));
        }
    }
    none(violations);
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--offline", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn relative(path: &str) -> PathBuf {
    Path::new(path).strip_prefix(root()).unwrap().to_owned()
}

fn line_naming(manifest: &Path, dependency: &str) -> usize {
    let text = crate::source::read(manifest);
    text.lines()
        .position(|line| line.starts_with(dependency))
        .map_or(1, |line| line + 1)
}

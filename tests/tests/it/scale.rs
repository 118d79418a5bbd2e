//! Many swaps and many tenants: nothing is left behind, nothing is mixed up. `tests/bench/policies.py` does the
//! same on a larger scale and tells figures.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use weir_tests::{Client, Gateway, Over, digest, eventually, parallel, sieve};

use crate::FAKE;

const PATH: &str = "/admin/v1/policies/mine";

/// What a process holds, by the system.
#[derive(Debug)]
struct Held {
    resident_bytes: usize,
    mappings: usize,
    descriptors: usize,
}

impl Held {
    fn by(gateway: &Gateway) -> Self {
        let proc = format!("/proc/{}", gateway.pid());
        let status = fs::read_to_string(format!("{proc}/status")).expect("its status");
        let line = status.lines().find(|line| line.starts_with("RssAnon:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
        let maps = fs::read_to_string(format!("{proc}/maps")).expect("its mappings");
        Self {
            resident_bytes: kib.expect("RssAnon") << 10,
            mappings: maps.lines().count(),
            descriptors: fs::read_dir(format!("{proc}/fd"))
                .expect("its files")
                .count(),
        }
    }
}

fn metric(gateway: &Gateway, name: &str) -> Option<usize> {
    let metrics = gateway.admin().get("/metrics").text();
    let line = metrics
        .lines()
        .find(|line| line.split(' ').next() == Some(name))?;
    line.split(' ').nth(1)?.parse().ok()
}

fn upload(gateway: &Gateway, path: &str, wasm: &[u8]) {
    let admin = gateway.admin().header("content-type", "application/wasm");
    admin
        .send("PUT", &format!("{path}/versions"), wasm.to_vec())
        .expect(200);
}

/// Asks whether the version with the new word decides, and the one with the old word no longer.
fn must_decide(client: &Client, new: &str, old: &str) {
    client.chat(&format!("m-{new}")).expect(403);
    client.chat(&format!("m-{old}")).expect(200);
}

/// `WEIR_SWAPS` says how many; one in ten uploads a version that nobody has seen, the others put one of
/// five in force.
#[test]
fn a_hundred_swaps_under_load_fail_no_call_and_leave_nothing_behind() {
    let swaps = std::env::var("WEIR_SWAPS").ok();
    let swaps: usize = swaps.and_then(|swaps| swaps.parse().ok()).unwrap_or(120);
    let gateway = Gateway::start(&(FAKE.to_owned() + "[runtime]\nversions_max = 10\n"));
    let made = json!({ "deadline_ms": 5000 }).to_string();
    gateway.admin().send("PUT", PATH, made).expect(200);
    let fixed: Vec<(String, String)> = (0..5)
        .map(|number| {
            let word = format!("fixed-{number}");
            let wasm = sieve(&word);
            upload(&gateway, PATH, &wasm);
            (word, digest(&wasm))
        })
        .collect();
    let (is_over, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    let held = parallel(4, |caller| {
        let client = gateway.acme();
        let mut held = Vec::new();
        if caller > 0 {
            while !is_over.load(Ordering::Relaxed) {
                client.chat("good").expect(200);
                calls.fetch_add(1, Ordering::Relaxed);
            }
            return held;
        }
        let _over = Over(&is_over);
        let mut before = fixed[4].0.clone();
        for number in 0..swaps {
            let word = if number % 10 == 0 {
                let word = format!("new{:05}", number / 10);
                upload(&gateway, PATH, &sieve(&word));
                word
            } else {
                // Uploads push out the oldest, those of the five that are not in force among them.
                let (word, digest) = &fixed[number % 5];
                let path = format!("{PATH}/activate");
                let body = json!({ "digest": digest }).to_string();
                if gateway.admin().send("POST", &path, body).status == 404 {
                    upload(&gateway, PATH, &sieve(word));
                }
                word.clone()
            };
            if word != before {
                must_decide(&client, &word, &before);
            }
            before = word;
            if number == swaps / 2 || number + 1 == swaps {
                held.push(Held::by(&gateway));
            }
        }
        held
    });
    let (middle, end) = (&held[0][0], &held[0][1]);
    println!(
        "{swaps} swaps, {} calls: {middle:?} in the middle, {end:?} at the end",
        calls.load(Ordering::Relaxed)
    );
    assert!(calls.load(Ordering::Relaxed) > swaps / 2);
    assert!(
        end.resident_bytes < middle.resident_bytes + (24 << 20),
        "{middle:?} {end:?}"
    );
    assert!(
        end.descriptors < middle.descriptors + 10,
        "{middle:?} {end:?}"
    );
    assert!(end.mappings < middle.mappings + 300, "{middle:?} {end:?}");
    let shown = gateway.policy("mine");
    assert!(shown["versions"].as_array().expect("versions").len() <= 10);
    // The one in force, and the one before, which is kept for the way back.
    eventually("old versions are gone from memory", || {
        (metric(&gateway, "weir_policy_versions_live")? <= 2).then_some(())
    });
}

const TENANTS: usize = 12;

#[test]
fn each_of_a_dozen_tenants_is_denied_by_its_own_policy_alone() {
    let mut gateway = Gateway::start(FAKE);
    let admin = gateway.admin();
    let secrets: Vec<String> = (0..TENANTS)
        .map(|number| {
            let tenant = format!("t{number:02}");
            let path = format!("/admin/v1/tenants/{tenant}");
            let made = json!({ "id": tenant }).to_string();
            admin.send("POST", "/admin/v1/tenants", made).expect(201);
            let named = json!({ "name": "k" }).to_string();
            let key = admin.send("POST", &format!("{path}/keys"), named);
            let policy = format!("{path}/policies/mine");
            admin.send("PUT", &policy, "{}").expect(200);
            upload(&gateway, &policy, &sieve(&format!("word{number:02}")));
            key.expect(201).json()["secret"]
                .as_str()
                .expect("a key")
                .to_owned()
        })
        .collect();
    for start in 0..2 {
        if start > 0 {
            gateway.restart();
        }
        for (tenant, secret) in secrets.iter().enumerate() {
            let client = gateway.client(secret);
            for word in 0..TENANTS {
                let expected = if word == tenant { 403 } else { 200 };
                client.chat(&format!("m-word{word:02}")).expect(expected);
            }
        }
        // Nobody else's calls meet any of them.
        gateway.acme().chat("m-word07").expect(200);
        eventually("every policy has instances", || {
            (metric(&gateway, "weir_policy_instances")? >= TENANTS).then_some(())
        });
        assert_eq!(metric(&gateway, "weir_policy_versions_live"), Some(TENANTS));
    }
}

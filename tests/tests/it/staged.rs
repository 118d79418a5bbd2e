//! New versions come into force step by step: held until approved, beside the one in force as a shadow
//! or for a share of the keys, and out again where they do not prove themselves.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weir_tests::{Gateway, Reply, digest, eventually, policy, sieve};

use crate::FAKE;

const PATH: &str = "/admin/v1/policies/mine";

/// A gateway with the policy `mine`, whose version in force denies models with `bad` in them.
fn gateway() -> Gateway {
    let gateway = Gateway::start(FAKE);
    let made = gateway
        .admin()
        .send("PUT", PATH, json!({ "deadline_ms": 5000 }).to_string());
    made.expect(200);
    upload(&gateway, &sieve("bad"), "").expect(200);
    gateway
}

fn upload(gateway: &Gateway, wasm: &[u8], query: &str) -> Reply {
    let admin = gateway.admin().header("content-type", "application/wasm");
    admin.send("PUT", &format!("{PATH}/versions{query}"), wasm.to_vec())
}

fn held(gateway: &Gateway, word: &str) -> String {
    let wasm = sieve(word);
    upload(gateway, &wasm, "?activate=false").expect(200);
    digest(&wasm)
}

fn post(gateway: &Gateway, what: &str, digest: &str) -> Reply {
    let body = json!({ "digest": digest }).to_string();
    gateway
        .admin()
        .send("POST", &format!("{PATH}/{what}"), body)
}

fn begin(gateway: &Gateway, digest: &str, trial: Value) -> Reply {
    let mut body = trial;
    body["digest"] = json!(digest);
    gateway
        .admin()
        .send("PUT", &format!("{PATH}/trial"), body.to_string())
}

fn trial(gateway: &Gateway) -> Value {
    gateway
        .admin()
        .get(&format!("{PATH}/trial"))
        .expect(200)
        .json()
}

/// The states of the versions, by the beginning of their digests.
fn state(gateway: &Gateway, digest: &str) -> String {
    let shown = gateway.admin().get(PATH).expect(200).json();
    let versions = shown["versions"].as_array().unwrap();
    let found = versions.iter().find(|version| version["digest"] == digest);
    found.unwrap()["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_shadow_decides_nothing_and_tells_exactly_what_it_would_have_decided() {
    let gateway = gateway();
    let new = held(&gateway, "tenth");
    assert_eq!(state(&gateway, &new), "validated");
    begin(&gateway, &new, json!({ "kind": "shadow" })).expect(200);
    assert_eq!(state(&gateway, &new), "shadow");
    let mut differ = BTreeSet::new();
    for number in 0..200 {
        let model = match number % 20 {
            // Both deny: the shadow is asked all the same.
            0 => "bad-tenth",
            1 => "bad",
            7 | 13 => "tenth",
            _ => "good",
        };
        let reply = gateway.acme().chat(model);
        assert_eq!(reply.status == 403, model.starts_with("bad"), "{model}");
        if matches!(model, "tenth" | "bad") {
            differ.insert(reply.id());
        }
    }
    let shown = eventually("all calls are compared", || {
        let shown = trial(&gateway);
        (shown["tried"]["calls"] == 200).then_some(shown)
    });
    assert_eq!(shown["in_force"]["calls"], 200);
    assert_eq!(
        (&shown["in_force"]["denials"], &shown["tried"]["denials"]),
        (&json!(20), &json!(30))
    );
    let told = shown["last_differences"].as_array().unwrap();
    let ids: BTreeSet<String> = told
        .iter()
        .map(|difference| difference["call"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((ids, shown["differences"].as_u64()), (differ, Some(30)));
    let one = told.iter().find(|one| one["model"] == "tenth").unwrap();
    assert_eq!(
        (&one["hook"], &one["in_force"], &one["tried"]),
        (&json!("access"), &json!("allow"), &json!("deny:sieved"))
    );
    // The ledger has both versions' decisions.
    let call = gateway.call(one["call"].as_str().unwrap());
    let verdicts: Vec<_> = call["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["verdict"])
        .collect();
    assert_eq!(verdicts, [&json!("shadow:deny:sieved"), &json!("allow")]);
    let metrics = gateway.admin().get("/metrics").text();
    assert!(
        metrics.contains("weir_policy_trial_differences_total{policy=\"mine\"} 30"),
        "{metrics}"
    );
    // It survives a change of something else, and ends with its figures.
    gateway
        .admin()
        .send("PUT", "/admin/v1/policies/other", "{}")
        .expect(200);
    let ended = gateway
        .admin()
        .send("DELETE", &format!("{PATH}/trial"), "")
        .expect(200)
        .json();
    assert_eq!(ended["differences"], 30);
    gateway.admin().get(&format!("{PATH}/trial")).expect(404);
}

#[test]
fn a_canary_decides_for_a_stable_share_of_the_keys() {
    let gateway = gateway();
    let keys: Vec<String> = (0..40)
        .map(|number| {
            let body = json!({ "name": format!("key-{number}") }).to_string();
            let made = gateway
                .admin()
                .send("POST", "/admin/v1/tenants/acme/keys", body);
            made.expect(201).json()["secret"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let denied = || -> Vec<bool> {
        let client = |key: &String| gateway.client(key).chat("new-model").status == 403;
        keys.iter().map(client).collect()
    };
    assert!(denied().iter().all(|denied| !denied));
    let new = held(&gateway, "new");
    begin(&gateway, &new, json!({ "kind": "canary", "percent": 50 })).expect(200);
    let first = denied();
    let count = first.iter().filter(|denied| **denied).count();
    assert!((5..=35).contains(&count), "{count} of 40");
    assert_eq!(denied(), first, "the same keys each time");
    let shown = trial(&gateway);
    assert_eq!(shown["tried"]["denials"], count * 2, "{shown}");
    begin(&gateway, &new, json!({ "kind": "canary", "percent": 75 })).expect(200);
    let more = denied();
    assert!(
        first.iter().zip(&more).all(|(before, now)| !before || *now),
        "no key goes back"
    );
    post(&gateway, "activate", &new).expect(200);
    assert!(denied().iter().all(|denied| *denied));
    assert_eq!(state(&gateway, &digest(&sieve("bad"))), "previous");
    gateway.admin().get(&format!("{PATH}/trial")).expect(404);
}

/// What an operator is told last. A version is out first, and then it is told.
fn last_alert(gateway: &Gateway) -> Value {
    eventually("there is an alert", || {
        let alerts = gateway.admin().get("/admin/v1/alerts").expect(200).json();
        alerts["data"].get(0).cloned()
    })
}

#[test]
fn a_trial_that_breaks_its_rules_is_taken_out_and_one_that_keeps_them_comes_into_force() {
    let gateway = gateway();
    // Too many refusals.
    let strict = held(&gateway, "m");
    let rules = json!({ "calls_min": 20, "denials_change_max_percent": 10.0 });
    begin(
        &gateway,
        &strict,
        json!({ "kind": "shadow", "rules": rules }),
    )
    .expect(200);
    for _ in 0..20 {
        gateway.acme().chat("m").expect(200);
    }
    eventually("the strict version is out", || {
        (state(&gateway, &strict) == "quarantined").then_some(())
    });
    let alert = last_alert(&gateway);
    assert_eq!(
        (&alert["kind"], &alert["policy"]),
        (&json!("policy_quarantined"), &json!("mine"))
    );
    assert!(
        alert["reason"]
            .as_str()
            .unwrap()
            .contains("refused 1000 of 1000"),
        "{alert}"
    );
    // Traps, for whom it decides and for whom it does not.
    let trapping = held(&gateway, "!m");
    begin(
        &gateway,
        &trapping,
        json!({ "kind": "shadow", "rules": { "failures_max": 3 } }),
    )
    .expect(200);
    for _ in 0..3 {
        gateway.acme().chat("m").expect(200);
    }
    eventually("the trapping version is out", || {
        (state(&gateway, &trapping) == "quarantined").then_some(())
    });
    // One that keeps all rules: a shadow first, then for some keys, then for all.
    let good = held(&gateway, "worse");
    let rules = json!({ "calls_min": 10, "denials_change_max_percent": 50, "added_max_micros": 1_000_000,
        "promote_after_ms": 100, "promote_to_percent": 50 });
    begin(&gateway, &good, json!({ "kind": "shadow", "rules": rules })).expect(200);
    let keys: Vec<_> = (0..10)
        .map(|number| {
            let body = json!({ "name": format!("key-{number}") }).to_string();
            let made = gateway
                .admin()
                .send("POST", "/admin/v1/tenants/acme/keys", body);
            gateway.client(made.expect(201).json()["secret"].as_str().unwrap())
        })
        .collect();
    let mut seen = BTreeSet::new();
    eventually("it is in force", || {
        for client in &keys {
            client.chat("m").expect(200);
        }
        let state = state(&gateway, &good);
        seen.insert(state.clone());
        (state == "active").then_some(())
    });
    assert!(
        seen.contains("shadow") && seen.contains("canary"),
        "{seen:?}"
    );
    gateway.acme().chat("worse").expect(403);
}

#[test]
fn a_version_in_force_that_spends_its_budget_of_failures_goes_back() {
    let settings =
        format!("{FAKE}\n[runtime]\nfailures_before_rollback = 0\nfailures_per_minute_max = 5\n");
    let gateway = Gateway::start(&settings);
    gateway
        .admin()
        .send("PUT", PATH, json!({ "deadline_ms": 5000 }).to_string())
        .expect(200);
    upload(&gateway, &sieve("bad"), "").expect(200);
    let wasm = sieve("!m");
    upload(&gateway, &wasm, "").expect(200);
    eventually("it is taken out", || {
        let status = gateway.acme().chat("m").status;
        assert!(matches!(status, 503 | 200), "{status}");
        (status == 200).then_some(())
    });
    assert_eq!(state(&gateway, &digest(&wasm)), "quarantined");
    gateway.acme().chat("bad").expect(403);
    let alert = last_alert(&gateway);
    assert_eq!(alert["kind"], "policy_quarantined", "{alert}");
}

#[test]
fn a_version_that_may_do_more_waits_until_someone_says_yes() {
    let gateway = gateway();
    let probe = policy("testing-probe");
    let waits = upload(&gateway, &probe, "");
    assert_eq!(waits.status, 202, "{}", waits.text());
    let waits = waits.json();
    assert_eq!(waits["active"], false);
    let lines: Vec<&str> = waits["waits_for"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    assert!(
        lines
            .contains(&"it may answer calls itself, in the provider's place (it exports `answer`)"),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"it may keep values of its own between calls (it imports `store`)"),
        "{lines:?}"
    );
    let refused = post(&gateway, "activate", &digest(&probe)).expect(409);
    assert_eq!(refused.code(), "approval_needed");
    assert_eq!(
        refused.json()["error"]["details"]["more"],
        waits["waits_for"]
    );
    begin(&gateway, &digest(&probe), json!({ "kind": "shadow" })).expect(409);
    gateway.acme().chat("bad").expect(403);
    let alerts = gateway.admin().get("/admin/v1/alerts").expect(200).json();
    assert_eq!(alerts["data"][0]["kind"], "policy_held", "{alerts}");
    post(&gateway, "approve", &digest(&probe)).expect(200);
    post(&gateway, "activate", &digest(&probe)).expect(200);
    gateway.acme().chat("bad").expect(200);
    // Less asks nobody, and the way back to what was in force neither.
    upload(&gateway, &sieve("bad"), "").expect(200);
    gateway
        .admin()
        .send("POST", &format!("{PATH}/rollback"), "")
        .expect(200);
    gateway.acme().chat("bad").expect(200);
}

#[test]
fn the_command_line_brings_a_version_into_force_step_by_step() {
    let gateway = gateway();
    let run = |arguments: &[&str]| {
        let output = gateway.run_beside(arguments);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let said = text(output.stdout) + &text(output.stderr);
        (output.status.code(), said)
    };
    let file = |name: &str, wasm: &[u8]| {
        gateway.write(name, wasm);
        gateway.folder().join(name).display().to_string()
    };
    let (code, said) = run(&[
        "policy",
        "push",
        "mine",
        &file("more.wasm", &policy("testing-probe")),
    ]);
    assert!(
        code == Some(1) && said.contains("  - it may keep values of its own"),
        "{said}"
    );
    let (code, said) = run(&[
        "policy",
        "push",
        "mine",
        &file("new.wasm", &sieve("new")),
        "--hold",
    ]);
    assert!(
        code == Some(0) && said.contains("what was in force still is"),
        "{said}"
    );
    let new = digest(&sieve("new"));
    let (code, said) = run(&["policy", "try", "mine", &new[..12]]);
    assert!(code == Some(0) && said.contains("shadow"), "{said}");
    gateway.acme().chat("new").expect(200);
    let (code, said) = run(&["policy", "trial", "mine", "--end"]);
    assert!(
        code == Some(0) && said.contains("1 calls decided differently"),
        "{said}"
    );
    let (code, said) = run(&["policy", "activate", "mine", &new[..12]]);
    assert!(code == Some(0) && said.contains(&new), "{said}");
    gateway.acme().chat("new").expect(403);
    let (_, said) = run(&["policy", "list", "mine"]);
    assert!(said.contains(&format!("{}  active", &new[..12])), "{said}");
    let (code, _) = run(&["policy", "rollback", "mine"]);
    assert_eq!(code, Some(0));
    gateway.acme().chat("new").expect(200);
    let (_, said) = run(&["policy", "list"]);
    assert!(said.starts_with("mine  "), "{said}");
    let (code, said) = run(&["policy", "activate", "mine", "ffff"]);
    assert!(
        code == Some(1) && said.contains("has no version ffff"),
        "{said}"
    );
}

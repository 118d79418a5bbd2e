//! A policy is replaced while calls run: no call fails, each is decided by one version, and the new
//! one decides from the moment that the swap is reported.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::{
    Client, Gateway, Over, Provider, digest, eventually, is_digest_of, parallel, policy, version_of,
};

use crate::FAKE;

const CALLERS: usize = 8;
const SWAPS: u8 = 20;

/// Every hook has something to do, so that every hook leaves a decision.
const PROBE: &str = "
[[policy]]
name = \"probe\"
source = \"file:probe.wasm\"
deadline_ms = 5000
[policy.config]
access = { do = [\"allow\"] }
rewrite = { do = [{ set_header = [\"x-probe\", \"1\"] }] }
answer = { models = [\"show\"], show = true }
events = { text = \"uppercase\" }
reply = { set_header = [\"x-probe\", \"1\"] }
audit = { do = [{ count = \"calls\" }] }
";

/// One call of the load: its id, and the letter of the version that answered where it names itself.
struct Done {
    id: String,
    letter: Option<u8>,
}

/// The letter in what a version of the probe shows of itself.
fn letter_of(shown: &Value) -> u8 {
    let summary = shown["summary"].as_object().expect("a summary");
    let name = summary
        .keys()
        .find(|name| name.starts_with("max_output_token"))
        .expect("the member");
    *name.as_bytes().last().expect("a letter")
}

/// One call of each kind in turn. Panics where one fails.
fn call(client: &Client, number: usize) -> Done {
    match number % 3 {
        0 => {
            let reply = client.chat("show").expect(200);
            Done {
                id: reply.id(),
                letter: Some(letter_of(&reply.json())),
            }
        }
        1 => Done {
            id: client.chat("m").expect(200).id(),
            letter: None,
        },
        _ => {
            let reply = client.chat_stream("m").rest().expect(200);
            assert_eq!(reply.broken, None, "a stream broke off: {}", reply.text());
            assert!(
                reply.text().ends_with("data: [DONE]\n\n"),
                "{}",
                reply.text()
            );
            assert!(
                reply.text().contains("HELLO"),
                "the events hook did not run: {}",
                reply.text()
            );
            Done {
                id: reply.id(),
                letter: None,
            }
        }
    }
}

#[test]
fn a_file_is_replaced_twenty_times_under_load() {
    let original = policy("testing-probe");
    let versions: Vec<(u8, Vec<u8>)> = (0..=SWAPS)
        .map(|number| (b'A' + number, version_of(&original, b'A' + number)))
        .collect();
    let letters: HashMap<String, u8> = versions
        .iter()
        .map(|(letter, wasm)| (digest(wasm)[..12].to_owned(), *letter))
        .collect();

    let provider = Provider::start();
    let settings = provider.channel("openai", "main", "") + PROBE;
    let gateway = weir_tests::Setup::new(&settings)
        .write("probe.wasm", &versions[0].1)
        .start();
    let is_over = AtomicBool::new(false);
    let done: Vec<Vec<Done>> = parallel(CALLERS + 1, |caller| {
        let client = gateway.acme();
        if caller == CALLERS {
            // Also where a swap fails: the callers would go on for ever.
            let _over = Over(&is_over);
            for (letter, wasm) in &versions[1..] {
                gateway.write("probe.wasm", wasm);
                let expected = digest(wasm);
                eventually("the new version is reported", || {
                    (gateway.policy("probe")["running"]["digest"] == expected.as_str())
                        .then_some(())
                });
                // From now on nothing else decides, on no worker.
                for _ in 0..8 {
                    let shown = gateway.acme().chat("show").expect(200).json();
                    assert_eq!(
                        letter_of(&shown),
                        *letter,
                        "an old version decided after the swap was reported"
                    );
                }
            }
            return Vec::new();
        }
        let mut done = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            done.push(call(&client, caller + done.len()));
            std::thread::sleep(Duration::from_millis(20));
        }
        done
    });

    let done: Vec<Done> = done.into_iter().flatten().collect();
    assert!(done.len() > 100, "only {} calls", done.len());
    let mut seen = HashSet::new();
    for Done { id, letter } in &done {
        let call = gateway.call(id);
        let decisions = call["decisions"].as_array().expect("decisions");
        let digests: HashSet<&str> = decisions
            .iter()
            .filter_map(|decision| decision["digest"].as_str())
            .collect();
        assert_eq!(digests.len(), 1, "a call with two versions: {call}");
        assert!(decisions.len() >= 4, "{call}");
        let decided = letters[&digests.iter().next().expect("a digest")[..12]];
        assert!(
            letter.is_none_or(|letter| letter == decided),
            "{letter:?} answered, the ledger says {decided}: {call}"
        );
        seen.insert(decided);
    }
    assert!(
        seen.len() > 10,
        "only {} versions were seen by {} calls",
        seen.len(),
        done.len()
    );
}

#[test]
fn a_stream_ends_on_the_version_that_it_began_with() {
    let original = policy("testing-probe");
    let channel = format!("{FAKE}[channel.fake]\nevent_delay_ms = 100\nevents = 20\n");
    let gateway = weir_tests::Setup::new(&(channel + PROBE))
        .write("probe.wasm", &original)
        .start();
    let mut stream = gateway.acme().chat_stream("m");
    let id = stream.id();
    let first = stream.next().expect("a piece").expect("a piece");
    let new = version_of(&original, b'Z');
    gateway.write("probe.wasm", &new);
    eventually("the new version is reported", || {
        (gateway.policy("probe")["running"]["digest"] == digest(&new).as_str()).then_some(())
    });
    let rest = stream.rest();
    assert!(
        !first.is_empty() && rest.broken.is_none() && rest.text().ends_with("data: [DONE]\n\n")
    );
    let call = gateway.call(&id);
    for decision in call["decisions"].as_array().expect("decisions") {
        assert!(is_digest_of(&decision["digest"], &original), "{call}");
    }
}

#[test]
fn a_file_that_is_no_policy_leaves_the_version_before() {
    let original = policy("testing-probe");
    let gateway = weir_tests::Setup::new(&(FAKE.to_owned() + PROBE))
        .write("probe.wasm", &original)
        .start();
    gateway.write("probe.wasm", b"this is no WebAssembly");
    let shown = eventually("the refusal is shown", || {
        let shown = gateway.policy("probe");
        shown["running"]["last_error"].is_string().then_some(shown)
    });
    assert_eq!(shown["running"]["digest"], digest(&original).as_str());
    gateway.acme().chat("show").expect(200);
}

/// Upload, hold, activate and roll back by the admin API; and all of it is there after a restart.
#[test]
fn versions_are_swapped_by_the_admin_api() {
    let mut gateway = Gateway::start(FAKE);
    let original = policy("testing-probe");
    let (a, b) = (version_of(&original, b'A'), version_of(&original, b'B'));
    let upload = |gateway: &Gateway, query: &str, wasm: &[u8]| {
        let admin = gateway.admin().header("content-type", "application/wasm");
        admin
            .send(
                "PUT",
                &format!("/admin/v1/policies/mine/versions{query}"),
                wasm.to_vec(),
            )
            .expect(200)
            .json()
    };
    let decides = |gateway: &Gateway| letter_of(&gateway.acme().chat("show").expect(200).json());

    let settings =
        json!({"deadline_ms": 5000, "config": {"answer": {"models": ["show"], "show": true}}});
    gateway
        .admin()
        .send("PUT", "/admin/v1/policies/mine", settings.to_string())
        .expect(200);
    let report = upload(&gateway, "", &a);
    assert_eq!(
        (&report["digest"], &report["active"]),
        (&json!(digest(&a)), &json!(true))
    );
    assert!(
        report["hooks"]
            .as_array()
            .expect("hooks")
            .contains(&json!("access")),
        "{report}"
    );
    assert_eq!(decides(&gateway), b'A');

    assert_eq!(upload(&gateway, "?activate=false", &b)["active"], false);
    assert_eq!(decides(&gateway), b'A', "a held version decides");
    gateway
        .admin()
        .post(
            "/admin/v1/policies/mine/activate",
            &json!({"digest": digest(&b)}),
        )
        .expect(200);
    assert_eq!(decides(&gateway), b'B');
    gateway
        .admin()
        .send("POST", "/admin/v1/policies/mine/rollback", "")
        .expect(200);
    assert_eq!(decides(&gateway), b'A');
    gateway
        .admin()
        .send("POST", "/admin/v1/policies/mine/rollback", "")
        .expect(200);
    assert_eq!(decides(&gateway), b'B', "a rollback can be rolled back");

    gateway.restart();
    assert_eq!(
        decides(&gateway),
        b'B',
        "a restart forgot which version is in force"
    );
    let shown = gateway.policy("mine");
    assert_eq!(
        shown["versions"].as_array().expect("versions").len(),
        2,
        "{shown}"
    );
}

/// A new version that fails again and again is taken back by itself.
#[test]
fn a_version_that_keeps_failing_is_rolled_back() {
    let settings = format!("[runtime]\nfailures_before_rollback = 3\n{FAKE}");
    let gateway = Gateway::start(&settings);
    let original = policy("testing-probe");
    // Its configuration traps for `ill`, but only in the version whose word for it was not changed.
    let settings =
        json!({"deadline_ms": 5000, "config": {"access": {"models": ["ill"], "do": ["trap"]}}});
    gateway
        .admin()
        .send("PUT", "/admin/v1/policies/mine", settings.to_string())
        .expect(200);
    let admin = gateway.admin().header("content-type", "application/wasm");
    for letter in [b'A', b'B'] {
        admin
            .send(
                "PUT",
                "/admin/v1/policies/mine/versions",
                version_of(&original, letter),
            )
            .expect(200);
    }
    for _ in 0..3 {
        gateway.acme().chat("ill").expect(503);
    }
    eventually("the version before is back", || {
        let before = digest(&version_of(&original, b'A'));
        (gateway.policy("mine")["running"]["digest"] == before.as_str()).then_some(())
    });
}

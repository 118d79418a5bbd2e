//! Journals of policies: what the host answered in a call, from which the call runs again bit for bit.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use weir_tests::{Gateway, Reply, Setup, eventually, parallel, policy, policy_file};

use crate::FAKE;
use crate::hostile::guests;

/// A probe of every hook.
const HOOKS: &str = r#"
init = { do = [{ store = ["begun", "yes"] }] }
access = { do = [{ log = "seen" }, { count = "calls" }], record = "access" }
rewrite = { models = ["edit-*"], do = [{ set_header = ["x-probe", "2"] }, { set_json = ["/user", "probe"] }, { prepend_system = "Be kind." }] }
limit = { rules = [{ key = "k", unit = "requests", window = 60, limit = 1000 }] }
answer = { models = ["stored-*"], stored = "access" }
route = { record = "candidates" }
reply = { append = " " }
events = { text = "uppercase", append = " (end)" }
audit = { models = ["m*"], do = [{ count = "audited" }] }
"#;

fn settings(policy: &str, journal: &str, config: &str) -> String {
    let file = policy_file(policy).display().to_string();
    format!(
        "{FAKE}\n[[policy]]\nname = \"p\"\nsource = \"file:{file}\"\ndeadline_ms = 5000\n{journal}\n[policy.config]\n{config}\n"
    )
}

/// The lines of the journal of `p`, once there are that many.
fn journal(gateway: &Gateway, wanted: usize) -> Vec<String> {
    eventually(&format!("{wanted} calls in the journal"), || {
        let journal = gateway.admin().get("/admin/v1/policies/p/journal");
        let text = journal.expect(200).text();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (lines.len() >= wanted).then_some(lines)
    })
}

/// A custom section of WebAssembly with a name and nothing in it.
const NOTHING_MORE: [u8; 4] = [0, 2, 1, b'x'];

fn replay(gateway: &Gateway, policy: &str, from: &str) -> (Output, String) {
    run_again(gateway, &policy_file(policy), from)
}

fn run_again(gateway: &Gateway, file: &Path, from: &str) -> (Output, String) {
    let file = file.display().to_string();
    let output = gateway.run_beside(&["policy", "replay", &file, "--from", from]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said + &failed)
}

fn write(folder: &Path, lines: &[String]) -> String {
    let path = folder.join("changed.jsonl");
    std::fs::write(&path, lines.join("\n")).unwrap();
    path.display().to_string()
}

/// Calls of every kind: allowed, edited, answered by the policy, streamed.
fn calls(gateway: &Gateway) -> Vec<Reply> {
    let caller = gateway.acme();
    let mut replies: Vec<Reply> = ["m", "edit-1", "stored-1"]
        .map(|model| caller.chat(model).expect(200))
        .into();
    replies.push(caller.chat_stream("m").rest());
    replies
}

#[test]
fn journalled_calls_run_again_bit_for_bit() {
    let settings = settings("testing-probe", "journal_per_thousand = 1000", HOOKS);
    let gateway = Gateway::start(&settings);
    let replies = calls(&gateway);
    assert!(replies[3].text().contains("(end)"), "{}", replies[3].text());
    // Audit is a record of its own.
    let lines = journal(&gateway, 8);
    let first: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(
        (&first["journal"], &first["policy"]),
        (&1.into(), &"p".into())
    );

    let (output, said) = replay(&gateway, "testing-probe", "journal:p");
    assert!(output.status.success(), "{said}");
    assert!(said.starts_with("8 calls of the journal"), "{said}");
    assert!(
        said.contains("8 ran again bit for bit") && said.contains("0 differ"),
        "{said}"
    );
}

#[test]
fn what_comes_out_otherwise_is_told_with_its_place() {
    let settings = settings("testing-probe", "journal_per_thousand = 1000", HOOKS);
    let gateway = Gateway::start(&settings);
    calls(&gateway);
    let mut lines = journal(&gateway, 8);
    let at = lines
        .iter()
        .position(|line| line.contains("edit.set-header"))
        .unwrap();
    lines[at] = lines[at].replace("[\"x-probe\",\"2\"]", "[\"x-probe\",\"3\"]");
    let (output, said) = replay(&gateway, "testing-probe", &write(gateway.folder(), &lines));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("7 ran again bit for bit"), "{said}");
    assert!(
        said.contains("rewrite, step")
            && said.contains("then it asked edit.set-header [\"x-probe\",\"3\"]"),
        "{said}"
    );

    // Another version is compared too, and its differences are no failure.
    let mut other = policy("testing-probe");
    other.extend(NOTHING_MORE);
    gateway.write("other.wasm", &other);
    let other = gateway.folder().join("other.wasm");
    let (output, said) = run_again(&gateway, &other, &write(gateway.folder(), &lines));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("of another version: 8"), "{said}");
}

#[test]
fn a_trap_happens_again() {
    let config = "access = { models = [\"bad\"], do = [{ log = \"now\" }, \"trap\"] }";
    let settings = settings("testing-probe", "journal_per_thousand = 1000", config);
    let gateway = Gateway::start(&settings);
    assert_eq!(gateway.acme().chat("bad").status, 503);
    let lines = journal(&gateway, 2);
    let trapped = lines.iter().any(|line| line.contains("policy_trapped"));
    assert!(trapped, "{lines:?}");
    let (output, said) = replay(&gateway, "testing-probe", "journal:p");
    assert!(output.status.success(), "{said}");
    assert!(said.contains("2 ran again bit for bit"), "{said}");
}

#[test]
fn a_journal_is_bounded_and_off_where_nothing_is_said() {
    let some = "[journals]\ncalls_per_minute_max = 3\ncall_max_bytes = 1024\n";
    let on = settings("testing-probe", "journal_per_thousand = 1000", HOOKS);
    let gateway = Gateway::start(&format!("{some}{on}"));
    for _ in 0..6 {
        gateway.acme().chat("m").expect(200);
    }
    let lines = journal(&gateway, 3);
    // A minute may have begun in between.
    assert!(lines.len() <= 6, "{} lines", lines.len());
    assert!(lines.iter().any(|line| line.contains("\"cut\":true")));
    let (output, said) = replay(&gateway, "testing-probe", "journal:p");
    assert!(output.status.success(), "{said}");
    assert!(said.contains("as far as the journal goes"), "{said}");

    let off = settings("testing-probe", "", HOOKS);
    let gateway = Gateway::start(&off);
    gateway.acme().chat("m").expect(200);
    let journal = gateway.admin().get("/admin/v1/policies/p/journal");
    assert_eq!(journal.expect(200).text(), "");
}

/// Reads the secret `k` and logs it.
fn leaking() -> Vec<u8> {
    let items = "import weir:policy/secrets@0.1.0; import weir:policy/log@0.1.0; export weir:policy/access@0.1.0;";
    let more = r#"
        (import "weir:policy/secrets@0.1.0" "get" (func $get (param i32 i32 i32)))
        (import "weir:policy/log@0.1.0" "write" (func $write (param i32 i32 i32)))
        (data (i32.const 512) "k")"#;
    let body = "(call $get (i32.const 512) (i32.const 1) (i32.const 256))
        (call $write (i32.const 2) (i32.load (i32.const 260)) (i32.load (i32.const 264)))";
    guests::module(items, more, "weir:policy/access@0.1.0#authorize", 6, body)
}

#[test]
fn a_journal_holds_no_secret_and_the_call_runs_again_without() {
    let settings = format!(
        "{FAKE}\n[secrets]\nk = \"env:OF_THE_TEST\"\n[[policy]]\nname = \"p\"\nsource = \"file:leaking.wasm\"\njournal_per_thousand = 1000\ngrants = {{ secrets = [\"k\"] }}\n"
    );
    let setup = Setup::new(&settings).write("leaking.wasm", leaking());
    let gateway = setup.env("OF_THE_TEST", "hush-hush").start();
    gateway.acme().chat("m").expect(200);
    let lines = journal(&gateway, 1);
    assert!(
        lines[0].contains("secrets.get") && lines[0].contains("\"sha256\""),
        "{}",
        lines[0]
    );
    assert!(!lines[0].contains("hush"), "{}", lines[0]);
    let file = gateway.folder().join("leaking.wasm");
    let (output, said) = run_again(&gateway, &file, "journal:p");
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 ran again bit for bit"), "{said}");
}

#[test]
fn no_call_fails_for_being_journalled() {
    // One instance for each worker, which are there before a sampled call wants one more.
    let few = "[runtime]\ninstances_max = 2\n[journals]\ncalls_per_minute_max = 100000\n";
    let sampled = "journal_per_thousand = 500";
    // Busy for 10 ms: other calls come while one has the instance.
    let settings = settings("testing-hostile", sampled, "access = \"busy\"");
    let gateway = Gateway::start(&format!("{few}{settings}"));
    parallel(8, |_| {
        for _ in 0..20 {
            gateway.acme().chat("m").expect(200);
        }
    });
    let count = |outcome: &str| {
        let metrics = gateway.admin().get("/metrics").text();
        let name = format!("weir_journal_calls_total{{outcome=\"{outcome}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        value.map_or(0, |value| value.parse::<u64>().unwrap())
    };
    assert!(count("lost") > 0, "there was always room");
    let (output, said) = replay(&gateway, "testing-hostile", "journal:p");
    assert!(output.status.success(), "{said}");
}

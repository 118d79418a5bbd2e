use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use weir_base::CallId;

use super::in_sample;
use super::keep::Keeper;
use super::record::{FORM, Granted, Record, Step};
use super::tape::Tape;
use crate::telemetry::Metrics;

fn record(steps: Vec<Step>) -> Record {
    Record {
        journal: FORM,
        call: CallId::new().to_string(),
        time_ms: 1,
        policy: "p".to_owned(),
        digest: "00".to_owned(),
        config: "{}".to_owned(),
        grants: Granted::default(),
        memory_max_bytes: 1 << 20,
        seed: 7,
        cut: false,
        steps,
    }
}

fn hook(name: &str) -> Step {
    Step::Hook {
        hook: name.to_owned(),
        given: json!({}),
    }
}

fn asked(what: &str, with: Value, got: Option<Value>) -> Step {
    Step::Asked {
        what: what.to_owned(),
        with,
        got,
    }
}

#[test]
fn a_sample_is_as_large_as_it_is_said_to_be() {
    let ids: Vec<CallId> = (0..100_000).map(|_| CallId::new()).collect();
    let of = |per_thousand| {
        let sample = ids.iter().filter(|&&id| in_sample(id, per_thousand));
        sample.count()
    };
    assert_eq!((of(0), of(1_000)), (0, ids.len()));
    let tenth = of(100);
    assert!((9_000..11_000).contains(&tenth), "{tenth}");
}

#[test]
fn a_record_is_read_as_it_was_written_nulls_included() {
    let record = record(vec![
        hook("access"),
        asked("call.json", json!(["/a"]), Some(Value::Null)),
        asked("http.send", json!([]), None),
        Step::Answered(json!("ok")),
    ]);
    let line = serde_json::to_string(&record).unwrap();
    let read: Record = serde_json::from_str(&line).unwrap();
    assert_eq!(read.steps, record.steps);
}

#[test]
fn a_tape_tells_the_first_difference_and_where() {
    use weir_policy::CallHost;
    let steps = vec![
        hook("access"),
        asked("call.key", Value::Null, Some(json!("key_1"))),
        asked("call.json", json!(["/a"]), Some(json!("1"))),
        Step::Answered(json!("ok")),
    ];
    let tape = Tape::playing(record(steps.clone()), BTreeMap::new());
    assert_eq!(tape.next_hook().unwrap().0, "access");
    assert_eq!(
        (&*tape.key(), tape.json("/a").as_deref()),
        ("key_1", Some("1"))
    );
    tape.check(&json!("ok"));
    assert_eq!((tape.next_hook(), tape.difference()), (None, None));

    let tape = Tape::playing(record(steps), BTreeMap::new());
    tape.next_hook();
    // Out of turn, so it is told; but the record knows the answer.
    assert_eq!(tape.json("/a").as_deref(), Some("1"));
    assert_eq!(tape.json("/b"), None);
    tape.check(&json!({ "deny": {} }));
    assert_eq!(
        tape.difference().unwrap(),
        "access, step 2: it asks call.json [\"/a\"]; then it asked call.key"
    );
}

#[test]
fn journals_are_two_files_that_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new("test").unwrap());
    let keeper = Keeper::start(folder.path().to_owned(), metrics).unwrap();
    let keeper = keeper.within(4_000);
    std::fs::write(folder.path().join("t@p.jsonl"), "{\"half a li").unwrap();
    let mut last = String::new();
    for _ in 0..40 {
        let one = Record {
            policy: "t/p".to_owned(),
            ..record(vec![hook("access")])
        };
        last.clone_from(&one.call);
        keeper.keep(one, 100);
    }
    let lines = (0..500).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let lines = keeper.read("t/p", 1_000).unwrap();
        lines.contains(&last).then_some(lines)
    });
    let lines = lines.unwrap();
    let all = lines.lines();
    assert!(
        all.clone()
            .all(|line| serde_json::from_str::<Record>(line).is_ok())
    );
    assert!((4..20).contains(&all.count()), "{lines}");
    let bytes: u64 = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes <= 4_000, "{bytes}");
    assert_eq!(keeper.read("t/p", 2).unwrap().lines().count(), 2);
    assert_eq!(keeper.read("other", 2).unwrap(), "");
}

//! Each hook with good answers and bad ones, and each import.

use std::sync::Arc;

use bytes::Bytes;
use weir_policy::{
    CallScope, Candidate, FailureKind, Grants, LimitUnit, LimitWindow, Outcome, VersionSpec,
    WholeReply,
};

use crate::guests::{built, trapping, world};
use crate::host::{TestCall, no_usage, summary};
use crate::{Bench, scope};

#[tokio::test]
async fn access_allows_and_denies() {
    let bench = Bench::new();
    let worker = bench.worker();
    let version = bench
        .probe(
            r#"{"access":{"models":["bad-*"],"do":[{"log":"seen"},
                {"deny":{"status":429,"code":"later","message":"wait","retry_after_ms":7}}]}}"#,
        )
        .await;
    assert!(
        worker
            .authorize(&version, &scope(), &summary("gpt"))
            .await
            .unwrap()
            .is_ok()
    );
    let denial = worker
        .authorize(&version, &scope(), &summary("bad-1"))
        .await
        .unwrap();
    let denial = denial.unwrap_err();
    assert_eq!((denial.status, denial.code.as_str()), (429, "later"));
    assert_eq!(
        (denial.message.as_str(), denial.retry_after_ms),
        ("wait", Some(7))
    );
    assert_eq!(*bench.services.lines.lock().unwrap(), ["probe|req_1|seen"]);
    assert_eq!(version.failures(), 0);
}

#[tokio::test]
async fn a_hook_that_is_not_there_changes_nothing() {
    let bench = Bench::new();
    let worker = bench.worker();
    let version = bench
        .load(trapping(&world("")), VersionSpec::new("p", ""))
        .await;
    let (scope, summary) = (scope(), summary("m"));
    assert!(
        worker
            .rewrite(&version, &scope, &summary)
            .await
            .unwrap()
            .is_ok()
    );
    assert!(
        worker
            .limits(&version, &scope, &summary)
            .await
            .unwrap()
            .unwrap()
            .is_empty()
    );
    assert!(
        worker
            .answer(&version, &scope, &summary)
            .await
            .unwrap()
            .unwrap()
            .is_none()
    );
    let attempts = worker
        .route(&version, &scope, &summary, &[candidate(0)])
        .await
        .unwrap();
    assert_eq!(attempts.unwrap()[0].channel, 0);
    assert!(
        worker
            .open_stream(&version, &scope, &summary)
            .await
            .unwrap()
            .is_none()
    );
    let failure = worker
        .authorize(&version, &scope, &summary)
        .await
        .unwrap_err();
    assert!(
        matches!(failure.kind, FailureKind::Trap(_)),
        "the one that is there traps"
    );
}

#[tokio::test]
async fn rewrite_edits_and_nothing_else_does() {
    let bench = Bench::new();
    let worker = bench.worker();
    let edits = r#"[{"set_model":"m2"},{"set_header":["x-probe","2"]},{"remove_header":"x-a"},
        {"set_json":["/user","probe"]},{"remove_json":"/n"},{"prepend_system":"be kind"},
        {"set_message_text":[0,"hello"]},{"replace_body":"{}"}]"#;
    let version = bench
        .probe(&format!(r#"{{"rewrite":{{"do":{edits}}}}}"#))
        .await;
    let call = Arc::new(TestCall::default());
    let scope = CallScope::new(call.clone());
    worker
        .rewrite(&version, &scope, &summary("m"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        *call.edits.lock().unwrap(),
        [
            "model=m2",
            "x-probe: 2",
            "-x-a",
            "/user=\"probe\"",
            "-/n",
            "system: be kind",
            "0: hello",
            "{}"
        ]
    );

    let version = bench
        .probe(r#"{"access":{"do":[{"set_model":"m2"}]}}"#)
        .await;
    let denial = worker
        .authorize(&version, &scope, &summary("m"))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(denial.code, "probe_refused");
    assert!(
        denial
            .message
            .contains("only be changed while `rewrite` runs"),
        "{denial:?}"
    );
    assert_eq!(call.edits.lock().unwrap().len(), 8);
}

#[tokio::test]
async fn limits_are_rules_that_can_be_counted() {
    let bench = Bench::new();
    let worker = bench.worker();
    let version = bench
        .probe(
            r#"{"limit":{"rules":[{"key":"a","unit":"requests","window":60,"limit":3},
                {"key":"b","unit":"in-flight","window":"call","limit":2}]}}"#,
        )
        .await;
    let rules = worker
        .limits(&version, &scope(), &summary("m"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(rules.len(), 2);
    assert!(matches!(rules[0].window, LimitWindow::Sliding(60)));
    assert!(matches!(rules[1].unit, LimitUnit::InFlight));

    let version = bench
        .probe(r#"{"limit":{"rules":[{"key":"a","unit":"requests","window":0,"limit":3}]}}"#)
        .await;
    let failure = worker
        .limits(&version, &scope(), &summary("m"))
        .await
        .unwrap_err();
    assert_eq!(failure.code(), "policy_bad_answer");
    assert!(!failure.instance_dropped);
    assert_eq!(version.failures(), 1);
}

#[tokio::test]
async fn answer_sees_the_call_and_answers() {
    let bench = Bench::new();
    let worker = bench.worker();
    let version = bench.probe(r#"{"answer":{"show":true}}"#).await;
    let call = TestCall {
        body: Bytes::from_static(b"{\"model\":\"gpt-4o\"}"),
        ..TestCall::default()
    };
    let scope = CallScope::new(Arc::new(call));
    let shown = worker
        .answer(&version, &scope, &summary("m"))
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let shown = String::from_utf8(shown.body).unwrap();
    for part in [
        "req_1",
        "openai.chat",
        "POST",
        "/v1/chat/completions",
        "user-agent",
        "hi",
        "acme",
        "key_1",
        "192.0.2.7",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }

    let version = bench
        .probe(r#"{"answer":{"respond":{"status":200,"headers":[["x-a","b\r\nc: d"]]}}}"#)
        .await;
    let failure = worker
        .answer(&version, &scope, &summary("m"))
        .await
        .unwrap_err();
    assert_eq!(failure.code(), "policy_bad_answer", "{failure}");
}

/// Called `a`, `b`, … by the double; each field has a value of its own.
fn candidate(channel: u32) -> Candidate {
    Candidate {
        channel,
        priority: 70 + channel,
        weight: 2,
        error_rate: 0.5,
        samples: 10,
        first_byte_ms: 12.5,
        total_ms: 800.0,
        tokens_per_second: 50.0,
        in_flight: 3,
        usable_keys: 4,
        headroom: 0.25,
        tripped_ms: 1_500,
        input_price: 1.5,
        output_price: -1.0,
    }
}

#[tokio::test]
async fn route_orders_candidates_and_cannot_make_one_up() {
    let bench = Bench::new();
    let worker = bench.worker();
    let candidates = [candidate(0), candidate(1)];
    let version = bench
        .probe(r#"{"route":{"order":["b","a"],"hedge_after_ms":5,"record":"candidates"}}"#)
        .await;
    let attempts = worker
        .route(&version, &scope(), &summary("m"), &candidates)
        .await
        .unwrap();
    let attempts = attempts.unwrap();
    assert_eq!(
        attempts.iter().map(|a| a.channel).collect::<Vec<_>>(),
        [1, 0]
    );
    assert_eq!(attempts[0].hedge_after_ms, Some(5));
    let shown = bench.services.store.lock().unwrap()["candidates"].clone();
    let shown = String::from_utf8(shown).unwrap();
    for part in [
        r#""channel":"a""#,
        r#""number":1"#,
        r#""provider":"openai""#,
        r#""model":"b/gpt-4o""#,
        r#""region":"eu""#,
        r#""priority":70"#,
        r#""priority":71"#,
        r#""weight":2"#,
        r#""error_rate":0.5"#,
        r#""samples":10"#,
        r#""first_byte_ms":12.5"#,
        r#""total_ms":800.0"#,
        r#""tokens_per_second":50.0"#,
        r#""in_flight":3"#,
        r#""usable_keys":4"#,
        r#""headroom":0.25"#,
        r#""tripped_ms":1500"#,
        r#""input_price":1.5"#,
        r#""output_price":-1.0"#,
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }

    let version = bench.probe(r#"{"route":{"order":["c"]}}"#).await;
    let failure = worker
        .route(&version, &scope(), &summary("m"), &candidates)
        .await
        .unwrap_err();
    assert_eq!(failure.code(), "policy_bad_answer");
}

#[tokio::test]
async fn reply_and_audit() {
    let bench = Bench::new();
    let worker = bench.worker();
    let version = bench
        .probe(r#"{"reply":{"append":"!","set_header":["x-probe","2"]},"audit":{"record":"last"}}"#)
        .await;
    let reply = WholeReply {
        status: 201,
        headers: &[("x-a", "b")],
        body: b"hi",
    };
    let changed = worker
        .reply(&version, &scope(), &summary("m"), &reply)
        .await
        .unwrap()
        .unwrap();
    let changed = changed.unwrap();
    assert_eq!(
        (changed.status, changed.body.as_slice()),
        (201, &b"hi!"[..])
    );
    assert_eq!(changed.headers.len(), 2);

    let outcome = Outcome {
        call: summary("m"),
        channel: Some("main"),
        status: 200,
        denied: None,
        attempts: 1,
        first_byte_ms: 5,
        total_ms: 9,
        usage: no_usage(),
    };
    worker.finished(&version, &scope(), &outcome).await.unwrap();
    let store = bench.services.store.lock().unwrap();
    assert!(String::from_utf8_lossy(&store["last"]).contains("main"));
}

#[tokio::test]
async fn a_bad_denial_is_a_failure() {
    let bench = Bench::new();
    let worker = bench.worker();
    for deny in [r#"{"status":200}"#, r#"{"code":"Not Snake"}"#] {
        let version = bench
            .probe(&format!(r#"{{"access":{{"do":[{{"deny":{deny}}}]}}}}"#))
            .await;
        let failure = worker
            .authorize(&version, &scope(), &summary("m"))
            .await
            .unwrap_err();
        assert_eq!(failure.code(), "policy_bad_answer", "{failure}");
    }
}

#[tokio::test]
async fn http_goes_only_where_it_was_granted() {
    let bench = Bench::new();
    let worker = bench.worker();
    let ask = async |url: &str| {
        let mut spec = VersionSpec::new("probe", format!(r#"{{"url":"{url}"}}"#));
        spec.grants = Grants {
            http: vec!["granted.test".into()],
            ..Grants::default()
        };
        let version = bench.load(built("testing-forbidden"), spec).await;
        worker
            .authorize(&version, &scope(), &summary("m"))
            .await
            .unwrap()
    };
    assert!(ask("https://granted.test/x").await.is_ok());
    let sent = bench.services.sent.lock().unwrap().pop().unwrap();
    assert_eq!(sent.url, "https://granted.test/x");
    assert!(
        sent.timeout_ms <= 950,
        "cut to what is left of the hook: {}",
        sent.timeout_ms
    );
    let denial = ask("https://other.test/x").await.unwrap_err();
    assert!(denial.message.contains("not granted"), "{denial:?}");
    assert!(bench.services.sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn logs_and_metrics_are_bounded() {
    let bench = Bench::new();
    let worker = bench.worker();
    let line = "x".repeat(5000);
    let logs = vec![format!(r#"{{"log":"{line}"}}"#); 3].join(",");
    let counts = vec![r#"{"metric":"m"}"#; 70].join(",");
    let version = bench
        .probe(&format!(r#"{{"access":{{"do":[{logs},{counts}]}}}}"#))
        .await;
    for _ in 0..2 {
        bench.services.lines.lock().unwrap().clear();
        bench.services.counted.lock().unwrap().clear();
        worker
            .authorize(&version, &scope(), &summary("m"))
            .await
            .unwrap()
            .unwrap();
        let lines = bench.services.lines.lock().unwrap();
        assert_eq!(lines.len(), 2, "whole, cut, dropped");
        assert!(lines[1].ends_with("[cut by the host]") && lines[1].len() < 4000);
        assert!(
            bench
                .services
                .counted
                .lock()
                .unwrap()
                .values()
                .all(|&count| count == 64)
        );
    }
}

#[tokio::test]
async fn the_store_is_bounded() {
    let bench = Bench::new();
    let worker = bench.worker();
    let deny = async |steps: &str| {
        let version = bench
            .probe(&format!(r#"{{"access":{{"do":[{steps}]}}}}"#))
            .await;
        worker.authorize(&version, &scope(), &summary("m")).await
    };
    let long = "k".repeat(513);
    let denial = deny(&format!(r#"{{"count":"{long}"}}"#))
        .await
        .unwrap()
        .unwrap_err();
    assert!(denial.message.contains("512 bytes"), "{denial:?}");
    let large = "v".repeat(65537);
    let denial = deny(&format!(r#"{{"store":["k","{large}"]}}"#))
        .await
        .unwrap()
        .unwrap_err();
    assert!(denial.message.contains("65536 bytes"), "{denial:?}");
    let failure = deny(&vec![r#"{"count":"k"}"#; 257].join(","))
        .await
        .unwrap_err();
    assert!(
        failure.to_string().contains("used the store more often"),
        "{failure}"
    );
    assert_eq!(bench.services.store.lock().unwrap()["k"], b"256");
}

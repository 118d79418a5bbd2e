use std::collections::BTreeMap;

use super::*;
use weir_sdk::testing::{Call, Cases, Host};

#[test]
fn cases() {
    Cases::<Router>::of("cases").route().check();
}

fn host(channels: &str) -> Host {
    Host::new().channels(serde_json::from_str(channels).unwrap())
}

/// How many of 10,000 calls go to each channel first.
fn shares(config: &str, channels: &str) -> BTreeMap<String, u32> {
    let policy = Router::configure(config).unwrap();
    let mut shares = BTreeMap::new();
    let mut host = host(channels);
    for n in 0..10_000 {
        host.set_call(Call::chat("m").id(&format!("req_{n}")));
        let candidates = host.candidates();
        let (attempts, _) = host.run(|call| policy.route(call, candidates));
        let first = host.channel_name(attempts.unwrap()[0].channel).unwrap();
        *shares.entry(first.to_owned()).or_default() += 1;
    }
    shares
}

#[test]
fn shares_follow_the_weights() {
    let shares = shares(
        "{}",
        r#"[{"channel":"a","weight":1},{"channel":"b","weight":3}]"#,
    );
    assert!((2_300..2_700).contains(&shares["a"]), "{shares:?}");
}

#[test]
fn errors_and_latency_take_from_the_share() {
    let failing = shares(
        "{}",
        r#"[{"channel":"a","error_rate":1.0},{"channel":"b"}]"#,
    );
    assert!(
        (700..1_100).contains(&failing["a"]),
        "0.1 of 1.1: {failing:?}"
    );
    let slow = shares(
        "{}",
        r#"[{"channel":"a","first_byte_ms":1000},{"channel":"b","first_byte_ms":100}]"#,
    );
    assert!(
        (3_300..3_800).contains(&slow["a"]),
        "0.55 of 1.55: {slow:?}"
    );
    let even = shares(
        r#"{"error_impact":0,"latency_impact":0}"#,
        r#"[{"channel":"a","error_rate":1.0},{"channel":"b"}]"#,
    );
    assert!((4_700..5_300).contains(&even["a"]), "{even:?}");
}

#[test]
fn the_same_call_goes_the_same_way() {
    let policy = Router::configure("{}").unwrap();
    let channels = r#"[{"channel":"a"},{"channel":"b"},{"channel":"c"},{"channel":"d"}]"#;
    let order = |id: &str| {
        let mut host = host(channels).call(Call::chat("m").id(id));
        let candidates = host.candidates();
        let (attempts, seen) = host.run(|call| policy.route(call, candidates));
        assert_eq!(seen.imports, 1, "the id is asked for once");
        attempts
            .unwrap()
            .into_iter()
            .map(|attempt| attempt.channel)
            .collect::<Vec<_>>()
    };
    assert_eq!(order("req_1"), order("req_1"));
    assert!((0..20).any(|n| order(&format!("req_{n}")) != order("req_1")));
}

mod day;

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

/// Which channel each of many virtual keys gets first.
fn firsts(config: &str, channels: &str, keys: u32) -> Vec<String> {
    let policy = Router::configure(config).unwrap();
    let mut host = host(channels);
    let first = |n| {
        host.set_call(Call::chat("m").key(&format!("key_{n}")));
        let candidates = host.candidates();
        let (attempts, _) = host.run(|call| policy.route(call, candidates));
        let first = attempts.unwrap()[0].channel;
        host.channel_name(first).unwrap().to_owned()
    };
    (0..keys).map(first).collect()
}

fn count(firsts: &[String], name: &str) -> usize {
    firsts.iter().filter(|first| *first == name).count()
}

#[test]
fn affinity_moves_only_the_calls_of_what_left() {
    let config = r#"{"strategy":"affinity"}"#;
    let all = r#"[{"channel":"a"},{"channel":"b"},{"channel":"c","weight":2}]"#;
    let before = firsts(config, all, 2_000);
    assert_eq!(before, firsts(config, all, 2_000));
    assert!(
        (850..1_150).contains(&count(&before, "c")),
        "half by weight"
    );
    let without = all.replace(r#""channel":"a""#, r#""channel":"a","tripped_ms":1000"#);
    let after = firsts(config, &without, 2_000);
    let mut moved = before.iter().zip(&after).filter(|(was, is)| was != is);
    assert!(moved.all(|(was, _)| was == "a"));
    assert_eq!(count(&after, "a"), 0);
    // The order of the list, and so the numbers, say nothing.
    let turned = r#"[{"channel":"c","weight":2},{"channel":"b"},{"channel":"a"}]"#;
    assert_eq!(before, firsts(config, turned, 2_000));
}

#[test]
fn affinity_goes_by_what_it_is_told() {
    let channels: Vec<_> = (0..50)
        .map(|n| format!(r#"{{"channel":"c{n}"}}"#))
        .collect();
    let channels = format!("[{}]", channels.join(","));
    let order = |sticky_by: &str, call: Call| {
        let config = serde_json::json!({ "strategy": "affinity", "sticky_by": sticky_by });
        let policy = Router::configure(&config.to_string()).unwrap();
        let mut host = host(&channels).call(call);
        let candidates = host.candidates();
        let (attempts, _) = host.run(|call| policy.route(call, candidates));
        attempts
            .unwrap()
            .iter()
            .map(|one| one.channel)
            .collect::<Vec<_>>()
    };
    let base = || Call::chat("m").id("req_x").key("k0");
    let system = |text: &str| base().messages(&[("system", text), ("user", "hi")]);
    for (sticky_by, one, other) in [
        ("key", base().key("k1"), base().key("k2")),
        ("tenant", base().tenant("t1"), base().tenant("t2")),
        (
            "label:team",
            base().label("team", "x"),
            base().label("team", "y"),
        ),
        (
            "header:x-s",
            base().header("x-s", "1"),
            base().header("x-s", "2"),
        ),
        (
            "/prompt_cache_key",
            base().body(serde_json::json!({ "prompt_cache_key": "p" })),
            base().body(serde_json::json!({ "prompt_cache_key": "q" })),
        ),
        ("system:5", system("abcde"), system("abcdf")),
    ] {
        let same = order(sticky_by, one.clone().id("req_y"));
        assert_eq!(order(sticky_by, one), same, "{sticky_by}");
        assert_ne!(same, order(sticky_by, other), "{sticky_by}");
    }
    assert_eq!(
        order("system:5", system("abcdeX")),
        order("system:5", system("abcdeY"))
    );
}

#[test]
fn a_canary_gets_its_share_of_the_keys_and_a_larger_one_keeps_them() {
    let canary = |percent: u32| {
        let config = format!(
            r#"{{"rules":[{{"avoid":{{"channels":["new"]}}}},
                {{"percent":{percent},"prefer":{{"channels":["new"]}}}}]}}"#
        );
        firsts(&config, r#"[{"channel":"old"},{"channel":"new"}]"#, 5_000)
    };
    let (ten, half) = (canary(10), canary(50));
    assert!(
        (430..570).contains(&count(&ten, "new")),
        "{}",
        count(&ten, "new")
    );
    assert!((2_350..2_650).contains(&count(&half, "new")));
    let mut both = ten.iter().zip(&half);
    assert!(both.all(|(ten, half)| ten == "old" || half == "new"));
}

#[test]
fn two_choices_spare_the_busiest_and_explore_measures_again() {
    let busy = r#"[{"channel":"a","in_flight":1},{"channel":"b","in_flight":2},{"channel":"c","in_flight":9}]"#;
    let two = shares(r#"{"strategy":"two_choices"}"#, busy);
    assert!((6_400..6_950).contains(&two["a"]), "two thirds: {two:?}");
    assert!(!two.contains_key("c"), "{two:?}");
    let quick = r#"[{"channel":"a","first_byte_ms":100},{"channel":"b","first_byte_ms":5000}]"#;
    let explored = shares(r#"{"strategy":"least_latency"}"#, quick);
    // 2 % are drawn, of which b has 0.51 of 1.51.
    assert!((30..110).contains(&explored["b"]), "{explored:?}");
}

#[test]
fn channels_are_asked_about_once() {
    let policy = Router::configure(r#"{"rules":[{"prefer":{"channels":["b"]}}]}"#).unwrap();
    let mut host = host(r#"[{"channel":"a"},{"channel":"b"}]"#);
    for imports in [2, 0] {
        let candidates = host.candidates();
        let (attempts, seen) = host.run(|call| policy.route(call, candidates));
        assert_eq!((attempts.unwrap()[0].channel, seen.imports), (2, imports));
    }
}

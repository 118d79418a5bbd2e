//! Metrics as Prometheus reads them.

use std::time::Duration;

use weir_base::{Blame, CallId, Operation};

use super::*;
use crate::telemetry::{AttemptOutcome, CallOutcome, Phase};

fn metrics() -> Metrics {
    Metrics::new("0.0.0").unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[track_caller]
fn assert_line(page: &str, line: &str) {
    assert!(page.lines().any(|is| is == line), "no {line} in\n{page}");
}

#[test]
fn indices_follow_the_lists() {
    assert!(
        Phase::ALL
            .iter()
            .enumerate()
            .all(|(index, phase)| *phase as usize == index)
    );
    assert!(
        CallOutcome::ALL
            .iter()
            .enumerate()
            .all(|(index, one)| *one as usize == index)
    );
    assert!(
        AttemptOutcome::ALL
            .iter()
            .enumerate()
            .all(|(index, one)| *one as usize == index)
    );
}

#[test]
fn what_is_counted_is_rendered() {
    let metrics = metrics();
    let chat = metrics.calls("openai.chat");
    chat.count(Operation::Chat, CallOutcome::of_status(200));
    chat.count(Operation::Chat, CallOutcome::of_status(503));
    metrics
        .phases()
        .observe(Phase::Access, Duration::from_micros(3));
    let channel = metrics.channel("main");
    channel.attempt_started();
    channel.attempt_started();
    channel.first_byte(Duration::from_millis(40));
    channel.attempt_ended(AttemptOutcome::RateLimited);
    channel.set_keys(2, 1, 0);
    let policy = metrics.policy("permissions", &["access", "limit"]);
    policy.ran(0, Duration::from_nanos(700));
    policy.denied(0);
    policy.ran(7, Duration::ZERO);
    metrics.used(&Usage {
        input_tokens: 5,
        cached_tokens: 2,
        cost_micros: 9,
        ..Usage::default()
    });
    metrics.connection_opened();
    metrics.set_ledger_backlog(4);

    let page = metrics.render();
    for line in [
        r#"weir_build_info{version="0.0.0"} 1"#,
        r#"weir_calls_total{dialect="openai.chat",operation="chat",outcome="success"} 1"#,
        r#"weir_calls_total{dialect="openai.chat",operation="chat",outcome="server_error"} 1"#,
        r#"weir_phase_seconds_bucket{phase="access",le="0.000001"} 0"#,
        r#"weir_phase_seconds_bucket{phase="access",le="0.000005"} 1"#,
        r#"weir_attempts_total{channel="main",outcome="rate_limited"} 1"#,
        r#"weir_channel_first_byte_seconds_count{channel="main"} 1"#,
        r#"weir_channel_in_flight{channel="main"} 1"#,
        r#"weir_channel_keys{channel="main",state="cooling"} 1"#,
        r#"weir_policy_calls_total{hook="access",policy="permissions"} 1"#,
        r#"weir_policy_denials_total{hook="access",policy="permissions"} 1"#,
        r#"weir_policy_seconds_bucket{hook="access",policy="permissions",le="0.0000005"} 0"#,
        r#"weir_policy_seconds_bucket{hook="access",policy="permissions",le="0.000001"} 1"#,
        r#"weir_tokens_total{kind="input"} 5"#,
        r#"weir_tokens_total{kind="cached"} 2"#,
        "weir_cost_micros_total 9",
        "weir_connections 1",
        "weir_ledger_backlog 4",
        "weir_ledger_accepting 1",
    ] {
        assert_line(&page, line);
    }
}

#[test]
fn what_threads_count_apart_is_rendered_as_one() {
    let metrics = metrics();
    let channel = metrics.channel("main");
    let policy = metrics.policy("p", &["access"]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                channel.attempt_started();
                policy.ran(0, Duration::from_micros(1));
                metrics.used(&Usage {
                    input_tokens: 3,
                    ..Usage::default()
                });
            });
        }
    });
    for _ in 0..6 {
        channel.attempt_ended(AttemptOutcome::Success);
    }
    let page = metrics.render();
    for line in [
        r#"weir_channel_in_flight{channel="main"} 2"#,
        r#"weir_policy_seconds_bucket{hook="access",policy="p",le="0.0000005"} 0"#,
        r#"weir_policy_seconds_bucket{hook="access",policy="p",le="0.000001"} 8"#,
        r#"weir_policy_seconds_count{hook="access",policy="p"} 8"#,
        r#"weir_policy_seconds_sum{hook="access",policy="p"} 0.000008"#,
        r#"weir_tokens_total{kind="input"} 24"#,
    ] {
        assert_line(&page, line);
    }
    assert_eq!(page.matches("# TYPE weir_policy_seconds ").count(), 1);
}

#[test]
fn what_is_gone_is_not_rendered() {
    let metrics = metrics();
    let _ = metrics.channel("old");
    let policy = metrics.policy("old", &["access"]);
    policy.custom().count("hits", 1, &[]);
    metrics.policy_failed("old", "access", "trap", &"unreachable");
    metrics.forget_channel("old");
    metrics.policy_swapped("old", "ab");
    metrics.forget_policy("old");
    let page = metrics.render();
    assert!(!page.contains("\"old\""), "{page}");
}

#[test]
fn events_count() {
    let metrics = metrics();
    let fault = Fault::new(Blame::Gateway, 500, "oops", "Try again.");
    metrics.faulted(CallId::new(), &fault);
    metrics.policy_failed("p", "access", "deadline", &"20 ms are over");
    metrics.policy_swapped("p", "ab");
    metrics.policy_version_refused("p", "cd", &"imports http");
    metrics.policy_rolled_back("p", "cd", "ab");
    metrics.config_reloaded();
    metrics.config_refused(&"weir.toml:1:1: no");
    metrics.ledger_stopped(&"the disk is full");
    let page = metrics.render();
    for line in [
        r#"weir_refusals_total{blame="gateway",code="oops"} 1"#,
        r#"weir_policy_failures_total{hook="access",kind="deadline",policy="p"} 1"#,
        r#"weir_policy_swaps_total{policy="p",result="rolled_back"} 1"#,
        r#"weir_config_reloads_total{result="refused"} 1"#,
        "weir_ledger_accepting 0",
    ] {
        assert_line(&page, line);
    }
    metrics.ledger_resumed();
    assert_line(&metrics.render(), "weir_ledger_accepting 1");
}

#[test]
fn codes_that_policies_invent_are_bounded() {
    let metrics = metrics();
    for code in 0..300 {
        let fault = Fault::new(Blame::Policy, 403, format!("code_{code}"), "No.");
        metrics.faulted(CallId::new(), &fault);
    }
    let page = metrics.render();
    assert_eq!(
        page.matches("weir_refusals_total{").count(),
        REFUSAL_CODES_MAX + 1
    );
    assert_line(
        &page,
        r#"weir_refusals_total{blame="policy",code="other"} 100"#,
    );
}

#[test]
fn a_policys_own_metrics_are_rendered_and_bounded() {
    let metrics = metrics();
    let one = metrics.policy("one", &[]);
    one.custom()
        .count("hits", 2, &labels(&[("b", "2"), ("a", "1\"")]));
    one.custom()
        .count("hits", 1, &labels(&[("a", "1\""), ("b", "2")]));
    one.custom().observe("size", 3.0, &[]);
    // A second handle is the next version of the policy, and a second policy may use the name too.
    metrics
        .policy("one", &[])
        .custom()
        .count("hits", 1, &labels(&[("a", "1\""), ("b", "2")]));
    let two = metrics.policy("two", &[]);
    two.custom().count("hits", 5, &[]);
    let bad: [(&str, &[(&str, &str)]); 7] = [
        ("", &[]),
        ("9lives", &[]),
        ("dropped_total", &[]),
        ("size", &[]),
        ("size_sum", &[]),
        ("x", &[("policy", "one")]),
        ("x", &[("a", "1"), ("a", "2")]),
    ];
    for (name, pairs) in bad {
        two.custom().count(name, 1, &labels(pairs));
    }
    two.custom().observe("size", f64::NAN, &[]);
    for series in 0..200 {
        two.custom()
            .count("many", 1, &labels(&[("n", &series.to_string())]));
    }
    let page = metrics.render();
    for line in [
        r#"weir_policy_custom_hits{policy="one",b="2",a="1\""} 4"#,
        r#"weir_policy_custom_hits{policy="two"} 5"#,
        r#"weir_policy_custom_size_bucket{policy="one",le="2.5"} 0"#,
        r#"weir_policy_custom_size_bucket{policy="one",le="5"} 1"#,
        r#"weir_policy_custom_size_count{policy="one"} 1"#,
        r#"weir_policy_custom_dropped_total{policy="one"} 0"#,
        r#"weir_policy_custom_dropped_total{policy="two"} 109"#,
    ] {
        assert_line(&page, line);
    }
    assert_eq!(page.matches("weir_policy_custom_many{").count(), 99);
    assert_eq!(
        page.matches("# TYPE weir_policy_custom_hits counter")
            .count(),
        1
    );
}

/// `cargo test --release -- --ignored --nocapture cost_of` prints what the data path pays.
#[test]
#[ignore = "a measurement"]
fn cost_of_one_observation() {
    let metrics = metrics();
    let policy = metrics.policy("p", &["access"]);
    let chat = metrics.calls("openai.chat");
    let measure = |what: &str, each: &dyn Fn()| {
        let start = std::time::Instant::now();
        for _ in 0..10_000_000 {
            each();
        }
        println!(
            "{what}: {:.1} ns",
            start.elapsed().as_secs_f64() * 1e9 / 1e7
        );
    };
    let elapsed = std::hint::black_box(Duration::from_nanos(900));
    measure("phase", &|| {
        metrics.phases().observe(Phase::Access, elapsed)
    });
    measure("policy", &|| policy.ran(0, elapsed));
    measure("call", &|| {
        chat.count(Operation::Chat, CallOutcome::Success)
    });
    measure("usage", &|| {
        metrics.used(&Usage {
            input_tokens: 1,
            output_tokens: 1,
            ..Usage::default()
        })
    });
    std::thread::scope(|scope| {
        let threads = [(), ()].map(|()| {
            scope.spawn(|| {
                let start = std::time::Instant::now();
                (0..10_000_000).for_each(|_| policy.ran(0, elapsed));
                start.elapsed().as_secs_f64() * 1e9 / 1e7
            })
        });
        let each = threads.map(|thread| thread.join().unwrap());
        println!(
            "policy, two threads at once: {:.1} ns",
            each[0].max(each[1])
        );
    });
    let pairs = labels(&[("a", "1")]);
    measure("custom", &|| policy.custom().count("hits", 1, &pairs));
    measure("instant", &|| {
        _ = std::hint::black_box(std::time::Instant::now())
    });
}

//! Circuits: a channel that fails is left alone for its model, tried again by few, and taken back when
//! it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::{Answer, Gateway, Provider, eventually};

/// Keys that failed are avoided for a moment only, so that what is seen is what circuits do.
const BRIEFLY: &str = "[cooldown]\nfirst_ms = 1\nmax_ms = 1\n";

/// A provider that fails while the switch is on.
fn failing(fails: &Arc<AtomicBool>) -> Provider {
    let fails = Arc::clone(fails);
    Provider::with(move |_| {
        if fails.load(Ordering::Relaxed) {
            Answer::error(503, "overloaded")
        } else {
            Answer::chat("Hello from the first.")
        }
    })
}

fn health(gateway: &Gateway, channel: &str) -> Value {
    let path = format!("/admin/v1/channels/{channel}/health");
    gateway.admin().get(&path).expect(200).json()
}

fn circuit(gateway: &Gateway, channel: &str, model: &str) -> String {
    let health = health(gateway, channel);
    let models = health["models"].as_array().unwrap();
    let found = models.iter().find(|one| one["model"] == model);
    found.map_or_else(String::new, |one| {
        one["circuit"]["is"].as_str().unwrap().to_owned()
    })
}

#[test]
fn a_failing_channel_is_left_alone_and_taken_back() {
    let fails = Arc::new(AtomicBool::new(true));
    let (first, second) = (failing(&fails), Provider::start());
    let breaker = "priority = 1\n[channel.breaker]\nconsecutive_failures = 2\nopen_first_ms = 300\nopen_max_ms = 600";
    let settings = BRIEFLY.to_owned()
        + &first.channel("openai", "first", breaker)
        + &second.channel("openai", "second", "");
    let gateway = Gateway::start(&settings);
    for _ in 0..2 {
        gateway.acme().chat("m").expect(200);
    }
    assert_eq!((first.count(), second.count()), (2, 2));
    assert_eq!(circuit(&gateway, "first", "m"), "open");
    // While it is open nobody asks it; another model of it has a circuit of its own.
    for _ in 0..5 {
        gateway.acme().chat("m").expect(200);
    }
    assert_eq!(first.count(), 2);
    gateway.acme().chat("other").expect(200);
    assert_eq!(first.count(), 3);

    // Half-open: one call tries in vain, and the circuit is open for longer.
    std::thread::sleep(Duration::from_millis(350));
    assert_eq!(circuit(&gateway, "first", "m"), "half_open");
    for _ in 0..4 {
        gateway.acme().chat("m").expect(200);
    }
    assert_eq!(first.count(), 4);

    fails.store(false, Ordering::Relaxed);
    eventually("the circuit closes", || {
        gateway.acme().chat("m").expect(200);
        (circuit(&gateway, "first", "m") == "closed").then_some(())
    });
    let before = first.count();
    gateway.acme().chat("m").expect(200);
    assert_eq!(first.count(), before + 1);

    let alerts = gateway.admin().get("/admin/v1/alerts").expect(200).json();
    assert_eq!(alerts["data"][0]["kind"], "channel_tripped", "{alerts}");
    let metrics = String::from_utf8(gateway.admin().get("/metrics").body.to_vec()).unwrap();
    let closed = "weir_channel_circuit_changes_total{channel=\"first\",to=\"closed\"} 1";
    assert!(metrics.contains(closed), "{metrics}");
}

#[test]
fn the_only_channel_is_asked_however_its_circuit_stands() {
    let fails = Arc::new(AtomicBool::new(true));
    let only = failing(&fails);
    let gateway = Gateway::start(&only.channel("openai", "only", ""));
    for _ in 0..5 {
        gateway.acme().chat("m").expect(503);
    }
    assert_eq!(circuit(&gateway, "only", "m"), "open");
    fails.store(false, Ordering::Relaxed);
    gateway.acme().chat("m").expect(200);
    assert_eq!(circuit(&gateway, "only", "m"), "closed");
}

#[test]
fn weir_asks_by_itself_while_a_circuit_is_open() {
    let fails = Arc::new(AtomicBool::new(true));
    let (first, second) = (failing(&fails), Provider::start());
    let breaker = "priority = 1\n[channel.breaker]\nopen_first_ms = 60000\nopen_max_ms = 60000\nprobe_interval_ms = 100\nprobe_model = \"cheap\"";
    let settings = BRIEFLY.to_owned()
        + &first.channel("openai", "first", breaker)
        + &second.channel("openai", "second", "");
    let gateway = Gateway::start(&settings);
    for _ in 0..3 {
        gateway.acme().chat("m").expect(200);
    }
    assert_eq!(circuit(&gateway, "first", "m"), "open");
    eventually("a question in vain", || (first.count() > 3).then_some(()));
    let seen = first.seen();
    let asked = seen.last().unwrap();
    assert_eq!(
        (
            asked.json()["model"].clone(),
            asked.json()["max_tokens"].clone()
        ),
        (json!("cheap"), json!(16))
    );
    assert_eq!(asked.key(), "pk-first");
    assert_eq!(circuit(&gateway, "first", "m"), "open");
    fails.store(false, Ordering::Relaxed);
    eventually("the circuit closes", || {
        (circuit(&gateway, "first", "m") == "closed").then_some(())
    });
}

#[test]
fn an_operator_opens_and_closes_circuits() {
    let (first, second) = (Provider::start(), Provider::start());
    let settings =
        first.channel("openai", "first", "priority = 1") + &second.channel("openai", "second", "");
    let gateway = Gateway::start(&settings);
    let set = |state: &str| {
        let body = format!("{{\"state\": \"{state}\"}}");
        let path = "/admin/v1/channels/first/breaker";
        gateway.admin().send("POST", path, body).expect(200);
        gateway.acme().chat("m").expect(200);
        (first.count(), second.count())
    };
    assert_eq!(set("open"), (0, 1));
    assert_eq!(set("auto"), (1, 1));
    assert_eq!(set("closed"), (2, 1));
    let health = health(&gateway, "first");
    assert_eq!(health["models"][0]["circuit"]["is"], "held_closed");
    assert_eq!(health["models"][0]["calls"], 2, "{health}");
    assert_eq!(health["keys"][0]["calls"], 2, "{health}");
}

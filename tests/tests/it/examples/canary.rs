//! examples/canary: which keys go to the new channel, always the same ones.

use serde_json::json;
use weir_tests::{Answer, Client, Provider, eventually};

use super::Example;

/// Which channel answered.
fn channel(caller: &Client) -> String {
    let reply = caller.chat("chat-large").expect(200).json();
    reply["choices"][0]["message"]["content"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// `current` and `next` as providers that say their names.
fn providers() -> (Provider, Provider) {
    let named = |name: &'static str| Provider::always(Answer::chat(name));
    (named("current"), named("next"))
}

#[test]
fn a_label_lets_a_key_in_or_keeps_it_out() {
    let Some(example) = Example::named("canary") else {
        return;
    };
    let running = example.start();
    let (early, careful) = (running.caller("early"), running.caller("careful"));
    for _ in 0..3 {
        assert!(channel(&early).contains("some try out"));
        assert!(channel(&careful).contains("everybody has"));
    }
    assert_eq!(
        running.metric("calls", &[("group", "canary"), ("reason", "label")]),
        3.0
    );
    assert_eq!(
        running.metric("calls", &[("group", "stable"), ("reason", "label")]),
        3.0
    );
}

#[test]
fn a_stable_share_of_the_keys_goes_to_the_canary() {
    let Some(example) = Example::named("canary") else {
        return;
    };
    let (current, next) = providers();
    let more: String = (0..40)
        .map(|key| {
            format!("[[tenant.key]]\nname = \"k{key}\"\nsecret = \"plain:sk-weir-k{key}\"\n")
        })
        .collect();
    let running = example
        .behind("current", "openai", &current)
        .behind("next", "openai", &next)
        .with(
            "\n[[channel]]\nname = \"current\"",
            &format!("\n{more}\n[[channel]]\nname = \"current\""),
        )
        .with("percent = 10", "percent = 50")
        .start();
    let ask = || -> Vec<String> {
        (0..40)
            .map(|key| channel(&running.caller(&format!("k{key}"))))
            .collect()
    };
    let first = ask();
    let there = first.iter().filter(|answer| *answer == "next").count();
    assert!((8..=32).contains(&there), "{there} of 40 at the canary");
    assert_eq!(first, ask());
    assert_eq!(next.count(), 2 * there);
}

#[test]
fn a_canary_that_fails_costs_its_keys_no_answer() {
    let Some(example) = Example::named("canary") else {
        return;
    };
    let next = Provider::always(Answer::json(500, &json!({"error": {"message": "no"}})));
    let running = example.behind("next", "openai", &next).start();
    let early = running.caller("early");
    for _ in 0..6 {
        assert!(channel(&early).contains("everybody has"));
    }
    assert!(next.count() < 6, "{} calls", next.count());
    // Its key rests, or its circuit is open: the policy is soon told of either.
    eventually("the canary is not tried first", || {
        assert!(channel(&early).contains("everybody has"));
        (running.metric("calls", &[("reason", "canary_unusable")]) > 0.0).then_some(())
    });
}

//! Limits: exact under load, settled to what was really used, and remembered.

use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::{Answer, Client, End, Gateway, Provider, eventually, parallel};

use crate::FAKE;

/// The policy that comes with Weir with one limit per key.
fn limits(unit: &str, window: &str, limit: u64) -> String {
    let window = if window.is_empty() {
        String::new()
    } else {
        format!("window = \"{window}\"")
    };
    format!(
        "
[[policy]]
name = \"limits\"
source = \"builtin:limits\"
deadline_ms = 5000
[[policy.config.limits]]
per = [\"key\"]
unit = \"{unit}\"
{window}
limit = {limit}
"
    )
}

fn ask(client: &Client, max_tokens: u64) -> weir_tests::Reply {
    let body = json!({"model": "m", "max_tokens": max_tokens, "messages": [{"role": "user", "content": "Hi"}]});
    client.post("/v1/chat/completions", &body)
}

#[test]
fn n_requests_a_minute_are_n_with_two_hundred_connections() {
    let gateway = Gateway::start(&(FAKE.to_owned() + &limits("requests", "minute", 50)));
    let replies = parallel(200, |_| gateway.acme().chat("m"));
    let admitted = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(admitted, 50);
    for refused in replies.iter().filter(|reply| reply.status != 200) {
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (429, "rate_limit_exceeded"),
            "{}",
            refused.text()
        );
        let after: u64 = refused
            .header("retry-after")
            .parse()
            .expect("a number of seconds");
        // Rounded up to a whole second, after which there is room for sure.
        assert!((1..=61).contains(&after), "retry-after is {after}");
    }
}

#[test]
fn a_refused_call_asks_no_provider_and_takes_nothing() {
    let provider = Provider::start();
    let gateway = Gateway::start(
        &(provider.channel("openai", "main", "") + &limits("requests", "minute", 2)),
    );
    let statuses = [(); 5].map(|()| gateway.acme().chat("m").status);
    assert_eq!(statuses, [200, 200, 429, 429, 429]);
    assert_eq!(provider.count(), 2);
}

/// Each call really uses 10 tokens, and may use 80: the limit of 100 admits many, one after the
/// other, because each is settled.
#[test]
fn a_token_limit_settles_to_the_real_usage() {
    let provider = Provider::start();
    let gateway = Gateway::start(
        &(provider.channel("openai", "main", "") + &limits("total-tokens", "hour", 100)),
    );
    let client = gateway.acme();
    for _ in 0..2 {
        ask(&client, 60).expect(200);
    }
    // 20 are used; 79 and a prompt do fit, 99 and a prompt do not.
    ask(&client, 99).expect(429);
    ask(&client, 70).expect(200);
    // 30 are used.
    ask(&client, 70).expect(429);
    ask(&client, 50).expect(200);
}

#[test]
fn calls_side_by_side_never_overshoot_a_token_limit() {
    let gateway = Gateway::start(
        &(FAKE.to_owned()
            + "[channel.fake]\ninput_tokens = 5\noutput_tokens = 20\ndelay_ms = 50\n"
            + &limits("output-tokens", "hour", 200)),
    );
    let replies = parallel(50, |_| ask(&gateway.acme(), 20));
    let admitted: Vec<&weir_tests::Reply> =
        replies.iter().filter(|reply| reply.status == 200).collect();
    assert_eq!(admitted.len(), 10, "10 calls of 20 tokens are 200");
}

#[test]
fn a_stream_whose_caller_hangs_up_settles_too() {
    let stalls = Answer::chat_events("One two three.").ending(End::Stall(500));
    let provider = Provider::start();
    provider.next([stalls]);
    let gateway = Gateway::start(
        &(provider.channel("openai", "main", "") + &limits("output-tokens", "hour", 100)),
    );
    let client = gateway.acme();
    let body = json!({"model": "m", "max_tokens": 90, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let mut stream = client.open("/v1/chat/completions", &body);
    let id = stream.id();
    stream.next().expect("a piece").expect("a piece");
    ask(&client, 90).expect(429);
    drop(stream);
    let call = gateway.call(&id);
    assert_eq!(call["ended"], "client_closed", "{call}");
    assert_eq!(call["usage"]["estimated"], true, "{call}");
    let used = call["usage"]["output_tokens"].as_u64().expect("a count");
    assert!((1..=9).contains(&used), "a few words were sent: {call}");
    eventually("the rest is given back", || {
        (ask(&client, 90).status == 200).then_some(())
    });
}

#[test]
fn calls_in_flight_are_counted_while_they_run() {
    let provider = Provider::always(Answer::chat_events("One two three.").ending(End::Stall(300)));
    let gateway =
        Gateway::start(&(provider.channel("openai", "main", "") + &limits("in-flight", "", 3)));
    let client = gateway.acme();
    let mut running: Vec<_> = (0..3).map(|_| client.chat_stream("m")).collect();
    assert!(running.iter().all(|stream| stream.status == 200));
    let refused = client.chat_stream("m").rest().expect(429);
    assert_eq!(refused.code(), "rate_limit_exceeded");
    running.pop();
    eventually("a place is free", || {
        let stream = client.chat_stream("m");
        (stream.status == 200).then_some(stream)
    });
}

#[test]
fn a_budget_is_spent_by_what_calls_cost() {
    let price = "
[[price]]
model = [\"*\"]
input_micros_per_million = 1000000
output_micros_per_million = 10000000
";
    let provider = Provider::start();
    // Each call of 7 tokens in and 3 out costs 37 millionths.
    let gateway = Gateway::start(
        &(provider.channel("openai", "main", "") + price + &limits("cost-micros", "month", 100)),
    );
    let client = gateway.acme();
    let first = ask(&client, 3).expect(200);
    assert_eq!(gateway.call(&first.id())["usage"]["cost_micros"], 37);
    ask(&client, 3).expect(200);
    let refused = ask(&client, 3).expect(429);
    assert_eq!(
        refused.code(),
        "budget_exceeded",
        "74 are spent and 30 more do not fit with the prompt"
    );
}

#[test]
fn counters_outlive_a_restart() {
    let mut gateway = Gateway::start(&(FAKE.to_owned() + &limits("requests", "day", 3)));
    for _ in 0..3 {
        gateway.acme().chat("m").expect(200);
    }
    gateway.restart();
    gateway.acme().chat("m").expect(429);
}

#[test]
fn a_window_slides() {
    let gateway = Gateway::start(&(FAKE.to_owned() + &limits("requests", "2s", 2)));
    let status = || gateway.acme().chat("m").status;
    assert_eq!([status(), status(), status()], [200, 200, 429]);
    std::thread::sleep(Duration::from_millis(2_300));
    assert_eq!([status(), status(), status()], [200, 200, 429]);
}

/// The admin API sums up what the calls used.
#[test]
fn usage_is_summed_up() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider.channel("openai", "main", ""));
    let ids: Vec<String> = (0..5)
        .map(|_| gateway.acme().chat("m").expect(200).id())
        .collect();
    for id in &ids {
        gateway.call(id);
    }
    let sums: Value = gateway
        .admin()
        .get("/admin/v1/usage?group_by=tenant,model")
        .expect(200)
        .json();
    let row = &sums["data"][0];
    assert_eq!(
        (&row["tenant"], &row["model"], &row["calls"]),
        (&json!("acme"), &json!("m"), &json!(5)),
        "{sums}"
    );
    assert_eq!(
        (
            &row["usage"]["input_tokens"],
            &row["usage"]["output_tokens"]
        ),
        (&json!(35), &json!(15)),
        "{sums}"
    );
}

//! Which provider key a call takes, and what a key may carry: levels, limits, what providers say of
//! themselves, and dead keys that come back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use weir_tests::{Answer, Client, End, Gateway, Provider, eventually, parallel};

/// A channel whose keys are these tables.
fn with_keys(provider: &Provider, more: &str, keys: &[(&str, &str)]) -> String {
    let mut channel = provider.channel("openai", "main", &format!("keys = []\n{more}"));
    for (secret, terms) in keys {
        channel += &format!("[[channel.key]]\nsecret = \"plain:{secret}\"\n{terms}\n");
    }
    channel
}

/// How often each key was seen.
fn counts(provider: &Provider) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for key in provider.keys() {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

fn keys(admin: &Client) -> Vec<Value> {
    let keys = admin.get("/admin/v1/channels/main/keys").expect(200).json();
    keys["data"].as_array().unwrap().clone()
}

fn key_of(admin: &Client, label: &str) -> Value {
    let mut keys = keys(admin).into_iter();
    keys.find(|key| key["label"] == label).unwrap()
}

#[test]
fn a_level_is_used_only_when_the_one_before_is_full() {
    let provider = Provider::start();
    let settings = with_keys(
        &provider,
        "",
        &[
            ("last", "level = 3"),
            ("cheap", "level = 1\nrpm = 3"),
            ("middle", "level = 2\nrpm = 2\nname = \"mid\""),
        ],
    );
    let gateway = Gateway::start(&settings);
    for _ in 0..7 {
        gateway.acme().chat("m").expect(200);
    }
    let order = [
        "cheap", "cheap", "cheap", "middle", "middle", "last", "last",
    ];
    assert_eq!(provider.keys(), order);
    let middle = key_of(&gateway.admin(), "mid");
    assert_eq!(middle["load"]["requests"], 2, "{middle}");
    assert_eq!(middle["load"]["free"], 0.0, "{middle}");
    assert_eq!((&middle["level"], &middle["rpm"]), (&json!(2), &json!(2)));
}

#[test]
fn no_key_gets_more_requests_a_minute_than_it_may_have() {
    let provider = Provider::start();
    let limits = [("a", 20), ("b", 30), ("c", 50)];
    let terms = limits.map(|(key, rpm)| (key, format!("rpm = {rpm}")));
    let keys: Vec<(&str, &str)> = terms
        .iter()
        .map(|(key, terms)| (*key, terms.as_str()))
        .collect();
    let gateway = Gateway::start(&with_keys(&provider, "", &keys));
    // More callers than workers, each with connections of its own, so that both workers are busy.
    let answers = parallel(16, |_| {
        let caller = gateway.acme();
        (0..10).map(|_| caller.chat("m")).collect::<Vec<_>>()
    });
    let (mut served, mut refused) = (0, 0);
    for reply in answers.iter().flatten() {
        match reply.status {
            200 => served += 1,
            503 => {
                assert_eq!(reply.code(), "no_usable_key");
                let after: u64 = reply.header("retry-after").parse().unwrap();
                assert!((1..=61).contains(&after), "retry-after is {after}");
                refused += 1;
            }
            other => panic!("{other}: {reply:?}"),
        }
    }
    assert_eq!((served, refused), (100, 60));
    let expected = limits.map(|(key, rpm)| (key.to_owned(), rpm));
    assert_eq!(counts(&provider), BTreeMap::from(expected));
}

#[test]
fn tokens_are_reserved_and_settled() {
    let provider = Provider::start();
    let gateway = Gateway::start(&with_keys(&provider, "", &[("only", "tpm = 1000")]));
    let body = |max_tokens| json!({"model": "m", "max_tokens": max_tokens, "messages": [{"role": "user", "content": "Hi"}]});
    let ask = |max_tokens| {
        let path = "/v1/chat/completions";
        gateway.acme().post(path, &body(max_tokens)).status
    };
    // Each takes nearly all while it runs, and ten tokens when it is over.
    for _ in 0..20 {
        assert_eq!(ask(700), 200);
    }
    let key = &keys(&gateway.admin())[0];
    assert_eq!(key["load"]["tokens"], 200, "{key}");
    assert_eq!(ask(900), 503);
    assert_eq!(provider.count(), 20);
}

#[test]
fn a_key_of_which_nothing_is_left_rests_before_the_provider_must_refuse() {
    let provider = Provider::with(|seen| match seen.key() {
        "spent" => Answer::chat("Hello.")
            .header("x-ratelimit-limit-requests", "500")
            .header("x-ratelimit-remaining-requests", "0")
            .header("x-ratelimit-reset-requests", "1m0s"),
        _ => Answer::chat("Hello."),
    });
    let gateway = Gateway::start(&with_keys(
        &provider,
        "",
        &[("spent", ""), ("fresh", "rpm = 5")],
    ));
    for _ in 0..6 {
        gateway.acme().chat("m").expect(200);
    }
    let expected = [("spent".to_owned(), 1), ("fresh".to_owned(), 5)];
    assert_eq!(counts(&provider), BTreeMap::from(expected));
    let reply = gateway.acme().chat("m").expect(503);
    let after: u64 = reply.header("retry-after").parse().unwrap();
    assert!((50..=61).contains(&after), "retry-after is {after}");
    // Another model has limits of its own.
    gateway.acme().chat("another").expect(200);
}

#[test]
fn sticky_callers_keep_their_key_until_it_is_lost() {
    let refuses = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&refuses);
    let provider = Provider::with(move |seen| {
        if seen.key() == "a" && gone.load(Ordering::Relaxed) {
            return Answer::error(401, "invalid_api_key");
        }
        Answer::chat("Hello.")
    });
    let more = "key_strategy = \"sticky\"\nsticky_by = \"header:x-session\"";
    let plain = [("a", ""), ("b", ""), ("c", "")];
    let gateway = Gateway::start(&with_keys(&provider, more, &plain));
    let key_of = |session: usize| {
        let caller = gateway.acme().header("x-session", &session.to_string());
        caller.chat("m").expect(200);
        provider.keys().last().unwrap().clone()
    };
    let before: Vec<String> = (0..24).map(key_of).collect();
    assert_eq!((0..24).map(key_of).collect::<Vec<_>>(), before);
    assert!(
        ["a", "b", "c"]
            .iter()
            .all(|key| before.iter().any(|used| used == key))
    );
    refuses.store(true, Ordering::Relaxed);
    for (session, before) in before.iter().enumerate() {
        let now = key_of(session);
        assert!(now != "a" && (before == "a" || now == *before));
    }
}

#[test]
fn a_caller_who_hangs_up_gives_the_keys_place_back() {
    let provider = Provider::with(|seen| match seen.json()["stream"] {
        Value::Bool(true) => Answer::chat_events("One two three.").ending(End::Stall(300)),
        _ => Answer::chat("Hello."),
    });
    let gateway = Gateway::start(&with_keys(&provider, "", &[("only", "in_flight_max = 1")]));
    let mut stream = gateway.acme().chat_stream("m");
    stream.next().unwrap().unwrap();
    assert_eq!(gateway.acme().chat("m").status, 503);
    drop(stream);
    eventually("the key has room again", || {
        (gateway.acme().chat("m").status == 200).then_some(())
    });
}

/// A provider to whom the key `ill` is dead until it is told otherwise.
fn until_well() -> (Arc<AtomicBool>, Provider) {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let provider = Provider::with(move |seen| {
        if seen.key() == "ill" && !is_well.load(Ordering::Relaxed) {
            return Answer::error(401, "invalid_api_key");
        }
        match seen.path.as_str() {
            "/v1/models" => Answer::json(200, &json!({"object": "list", "data": []})),
            _ => Answer::chat("Hello."),
        }
    });
    (well, provider)
}

fn alert_kinds(gateway: &Gateway) -> Vec<String> {
    let alerts = gateway.admin().get("/admin/v1/alerts").expect(200).json();
    let alerts = alerts["data"].as_array().unwrap().clone();
    let kind = |alert: &Value| alert["kind"].as_str().unwrap().to_owned();
    alerts.iter().map(kind).collect()
}

#[test]
fn a_dead_key_is_tried_again_and_comes_back() {
    let (well, provider) = until_well();
    let settings = "[cooldown]\nkey_retest_first_ms = 100\nkey_retest_max_ms = 200\n".to_owned()
        + &with_keys(&provider, "", &[("ill", "name = \"ill\""), ("good", "")]);
    let mut gateway = Gateway::start(&settings);
    for _ in 0..3 {
        gateway.acme().chat("m").expect(200);
    }
    assert_eq!(key_of(&gateway.admin(), "ill")["state"]["is"], "disabled");
    assert_eq!(alert_kinds(&gateway), ["key_disabled"]);
    let tries = || {
        let seen = provider.seen();
        seen.iter().filter(|seen| seen.path == "/v1/models").count()
    };
    eventually("it is tried again", || (tries() >= 2).then_some(()));
    assert_eq!(key_of(&gateway.admin(), "ill")["state"]["is"], "disabled");
    well.store(true, Ordering::Relaxed);
    eventually("it is back", || {
        (key_of(&gateway.admin(), "ill")["state"]["is"] == "usable").then_some(())
    });
    assert_eq!(alert_kinds(&gateway), ["key_restored", "key_disabled"]);
    let metrics = gateway.admin().get("/metrics").expect(200).text();
    assert!(metrics.contains("weir_alerts_total{kind=\"key_restored\"} 1"));
    let before = provider.count();
    for _ in 0..2 {
        gateway.acme().chat("m").expect(200);
    }
    let used: Vec<String> = provider.keys().split_off(before);
    assert!(used.contains(&"ill".to_owned()), "{used:?}");
    // Its record is gone, too.
    gateway.restart();
    assert_eq!(key_of(&gateway.admin(), "ill")["state"]["is"], "usable");
}

#[test]
fn an_administrator_can_have_a_key_tried_at_once() {
    let (well, provider) = until_well();
    let gateway = Gateway::start(&with_keys(&provider, "", &[("good", "")]));
    let admin = gateway.admin();
    let path = "/admin/v1/channels/main/keys";
    let wrong = json!({"secret": "ill", "rpm": 0});
    assert_eq!(admin.post(path, &wrong).status, 400);
    let made = json!({"secret": "ill", "label": "ill", "rpm": 7, "level": 2});
    let made = admin.post(path, &made).expect(201).json();
    assert_eq!(
        (&made["rpm"], &made["level"]),
        (&json!(7), &json!(2)),
        "{made}"
    );
    let path = format!("{path}/{}", made["id"].as_str().unwrap());
    let test = || {
        admin
            .post(&format!("{path}/test"), &json!({}))
            .expect(200)
            .json()
    };
    let found = test();
    assert_eq!(found["accepted"], false, "{found}");
    assert!(
        found["reason"]
            .as_str()
            .unwrap()
            .contains("invalid_api_key")
    );

    let off = admin.send("PATCH", &path, r#"{"enabled": false, "rpm": 9}"#);
    let off = off.expect(200).json();
    assert_eq!(
        (&off["state"]["is"], &off["rpm"]),
        (&json!("disabled"), &json!(9))
    );
    well.store(true, Ordering::Relaxed);
    let found = test();
    assert_eq!(found["accepted"], true, "{found}");
    assert_eq!(found["key"]["state"]["is"], "usable", "{found}");
}

#[test]
fn a_limit_can_be_taken_away_again() {
    let provider = Provider::start();
    let gateway = Gateway::start(&with_keys(&provider, "", &[("in-the-file", "level = 2")]));
    let admin = gateway.admin();
    let path = "/admin/v1/channels/main/keys";
    let made = json!({"secret": "made", "label": "made", "rpm": 1, "tpm": 9000, "weight": 3});
    let made = admin.post(path, &made).expect(201).json();
    let path = format!("{path}/{}", made["id"].as_str().unwrap());
    gateway.acme().chat("m").expect(200);
    gateway.acme().chat("m").expect(200);
    assert_eq!(provider.keys(), ["made", "in-the-file"]);
    // What is left out stays, what is null goes.
    let changed = admin.send(
        "PATCH",
        &path,
        r#"{"rpm": null, "label": null, "weight": null}"#,
    );
    let changed = changed.expect(200).json();
    let shown = ["rpm", "tpm", "weight", "label"].map(|name| changed[name].clone());
    assert_eq!(shown, [Value::Null, json!(9000), json!(1), json!("")]);
    gateway.acme().chat("m").expect(200);
    assert_eq!(provider.keys()[2], "made");
    // The settings file's keys are not changed here, not even to nothing.
    let theirs = keys(&admin).into_iter().find(|key| key["level"] == 2);
    let theirs = theirs.unwrap()["id"].as_str().unwrap().to_owned();
    let theirs = format!("/admin/v1/channels/main/keys/{theirs}");
    assert_eq!(admin.send("PATCH", &theirs, r#"{"rpm": null}"#).status, 409);
}

#[test]
fn a_days_limit_is_respected_beside_a_minutes() {
    let provider = Provider::with(|seen| match seen.key() {
        "spent" => Answer::chat("Hello.")
            .header("x-ratelimit-limit-requests-minute", "30")
            .header("x-ratelimit-remaining-requests-minute", "30")
            .header("x-ratelimit-limit-requests-day", "1000")
            .header("x-ratelimit-remaining-requests-day", "0")
            .header("x-ratelimit-reset-requests-day", "33011.38")
            .header("x-ratelimit-remaining-tokens-day", "9223372036854767616"),
        _ => Answer::chat("Hello."),
    });
    let keys = [("spent", "level = 1"), ("fresh", "level = 2")];
    let gateway = Gateway::start(&with_keys(&provider, "", &keys));
    for _ in 0..3 {
        gateway.acme().chat("m").expect(200);
    }
    assert_eq!(provider.keys(), ["spent", "fresh", "fresh"]);
}

#[test]
fn a_refused_key_rests_until_the_date_that_the_provider_names() {
    let date = "Wed, 21 Oct 2026 07:28:00 GMT";
    let refusal = Answer::error(429, "rate_limit_exceeded")
        .header("date", date)
        .header("retry-after", "Wed, 21 Oct 2026 07:28:50 GMT");
    let provider = Provider::always(refusal);
    let gateway = Gateway::start(&with_keys(&provider, "", &[("a", "")]));
    gateway.acme().chat("m").expect(429);
    let reply = gateway.acme().chat("m").expect(503);
    let after: u64 = reply.header("retry-after").parse().unwrap();
    assert!((45..=51).contains(&after), "retry-after is {after}");
    assert_eq!(provider.count(), 1);
}

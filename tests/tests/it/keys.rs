//! Provider keys and channels: what fails is passed over, what is dead stays out, and a reply that
//! has begun is never begun again.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::{Answer, End, Gateway, KEY, Provider, Raw, eventually};

/// A provider to whom the key `dead` is dead.
fn half_dead() -> Provider {
    Provider::with(|seen| match seen.key() {
        "dead" => Answer::error(401, "invalid_api_key"),
        _ => Answer::chat("Hello."),
    })
}

const DEAD_AND_GOOD: &str = r#"keys = ["plain:dead", "plain:good"]"#;

fn asked_with(provider: &Provider, key: &str) -> usize {
    provider.keys().iter().filter(|seen| *seen == key).count()
}

#[test]
fn a_dead_key_is_disabled_with_the_reason_and_stays_so() {
    let provider = half_dead();
    let mut gateway = Gateway::start(&provider.channel("openai", "main", DEAD_AND_GOOD));
    for _ in 0..6 {
        gateway.acme().chat("m").expect(200);
    }
    assert_eq!(asked_with(&provider, "dead"), 1);
    let keys = gateway
        .admin()
        .get("/admin/v1/channels/main/keys")
        .expect(200)
        .json();
    let states: Vec<&Value> = keys["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["state"])
        .collect();
    assert_eq!(states[0]["is"], "disabled", "{keys}");
    assert!(
        states[0]["reason"]
            .as_str()
            .unwrap()
            .contains("invalid_api_key"),
        "{keys}"
    );
    assert_eq!(states[1]["is"], "usable", "{keys}");
    assert!(
        !keys.to_string().contains("\"dead\""),
        "the secret is shown: {keys}"
    );

    // The record is written behind the call's back; it is soon there.
    std::thread::sleep(Duration::from_millis(500));
    gateway.restart();
    for _ in 0..4 {
        gateway.acme().chat("m").expect(200);
    }
    assert_eq!(
        asked_with(&provider, "dead"),
        1,
        "a restart forgot that the key is dead"
    );
}

#[test]
fn an_administrator_can_bring_a_dead_key_back() {
    let provider = half_dead();
    let gateway = Gateway::start(&provider.channel("openai", "main", DEAD_AND_GOOD));
    for _ in 0..4 {
        gateway.acme().chat("m").expect(200);
    }
    let keys = gateway.admin().get("/admin/v1/channels/main/keys").json();
    let dead = keys["data"][0]["id"].as_str().unwrap();
    let path = format!("/admin/v1/channels/main/keys/{dead}");
    let enabled = gateway
        .admin()
        .send("PATCH", &path, r#"{"enabled": true}"#)
        .expect(200)
        .json();
    assert_eq!(enabled["state"]["is"], "usable");
    for _ in 0..4 {
        gateway.acme().chat("m").expect(200);
    }
    assert_eq!(asked_with(&provider, "dead"), 2);
}

#[test]
fn an_error_about_the_request_kills_no_key_and_comes_back_unchanged() {
    let refusal = Answer::error(403, "unsupported_country_region_territory");
    let provider = Provider::always(refusal.clone());
    let gateway = Gateway::start(&provider.channel("openai", "main", ""));
    for _ in 0..2 {
        let reply = gateway.acme().chat("m").expect(403);
        assert_eq!(reply.body, refusal.body());
    }
    assert_eq!(provider.count(), 2);
}

#[test]
fn a_key_that_gets_429_rests_as_long_as_the_provider_says() {
    let provider = Provider::with(|seen| match seen.key() {
        "busy" => Answer::error(429, "rate_limit_exceeded").header("retry-after", "60"),
        _ => Answer::chat("Hello."),
    });
    let keys = r#"keys = ["plain:busy", "plain:free"]"#;
    let gateway = Gateway::start(&provider.channel("openai", "main", keys));
    for _ in 0..6 {
        gateway.acme().chat("m").expect(200);
    }
    assert_eq!(asked_with(&provider, "busy"), 1);
}

#[test]
fn a_429_without_another_key_reaches_the_caller_and_the_next_call_no_provider() {
    let refusal = Answer::error(429, "rate_limit_exceeded").header("retry-after", "60");
    let provider = Provider::always(refusal.clone());
    let gateway = Gateway::start(&provider.channel("openai", "main", ""));
    let first = gateway.acme().chat("m").expect(429);
    assert_eq!(
        (first.body.clone(), first.header("retry-after")),
        (refusal.body().clone(), "60")
    );
    let second = gateway.acme().chat("m").expect(503);
    assert_eq!(second.code(), "no_usable_key");
    let after: u64 = second.header("retry-after").parse().unwrap();
    assert!((50..=60).contains(&after), "retry-after is {after}");
    assert_eq!(provider.count(), 1);
}

#[test]
fn a_429_without_a_time_rests_ever_longer() {
    let provider = Provider::always(Answer::error(429, "rate_limit_exceeded"));
    let settings = format!(
        "[cooldown]\nfirst_ms = 400\n{}",
        provider.channel("openai", "main", "")
    );
    let gateway = Gateway::start(&settings);
    let ask_after = |ms| {
        std::thread::sleep(Duration::from_millis(ms));
        gateway.acme().chat("m").status
    };
    assert_eq!(ask_after(0), 429);
    assert_eq!(ask_after(0), 503, "it rests");
    assert_eq!(ask_after(450), 429, "it rested 400 ms");
    assert_eq!(ask_after(450), 503, "it rests 800 ms");
    assert_eq!(ask_after(450), 429, "it rested 800 ms");
    assert_eq!(provider.count(), 3);
}

/// A gateway whose first channel is `first`, and the second one well.
fn with_a_second(first: &str) -> (Provider, Gateway) {
    let second = Provider::start();
    let settings = first.to_owned() + &second.channel("openai", "second", "priority = 1");
    let gateway = Gateway::start(&settings);
    (second, gateway)
}

#[track_caller]
fn the_second_answers(first: &str, failure_status: Option<u16>) {
    let (second, gateway) = with_a_second(first);
    let reply = gateway.acme().chat("m").expect(200);
    assert_eq!(second.count(), 1);
    let call = gateway.call(&reply.id());
    let attempts = call["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{call}");
    assert_eq!(attempts[0]["status"], json!(failure_status), "{call}");
    assert!(attempts[0]["failure"].is_string(), "{call}");
    assert_eq!(
        (call["channel"].as_str(), call["status"].as_u64()),
        (Some("second"), Some(200))
    );
}

#[test]
fn server_errors_go_to_the_next_channel() {
    for status in [500, 502, 503, 529] {
        let first = Provider::always(Answer::error(status, "oops"));
        the_second_answers(
            &first.channel("openai", "first", "priority = 10"),
            Some(status),
        );
        assert_eq!(first.count(), 1);
    }
}

#[test]
fn what_cannot_be_reached_goes_to_the_next_channel() {
    the_second_answers(&Provider::nowhere("openai", "first", "priority = 10"), None);
    let resets = Provider::always(Answer::reset());
    the_second_answers(&resets.channel("openai", "first", "priority = 10"), None);
    let silent = Provider::always(Answer::silence());
    let more = "priority = 10\nfirst_byte_timeout_ms = 200";
    the_second_answers(&silent.channel("openai", "first", more), None);
}

#[test]
fn the_last_providers_error_reaches_the_caller_unchanged() {
    let (first, last) = (
        Answer::error(500, "first"),
        Answer::error(503, "last").header("x-of-provider", "1"),
    );
    let (first, second) = (Provider::always(first), Provider::always(last.clone()));
    let settings =
        first.channel("openai", "first", "priority = 10") + &second.channel("openai", "second", "");
    let gateway = Gateway::start(&settings);
    let reply = gateway.acme().chat("m").expect(503);
    assert_eq!(
        (&reply.body, reply.header("x-of-provider")),
        (last.body(), "1")
    );
    assert_eq!(
        gateway.call(&reply.id())["attempts"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn nowhere_to_go_is_a_502_of_its_own() {
    let gateway = Gateway::start(&Provider::nowhere("anthropic", "only", ""));
    let body =
        json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]});
    let reply = gateway.acme().post("/v1/messages", &body).expect(502);
    assert_eq!(
        (reply.json()["type"].as_str(), reply.code().as_str()),
        (Some("error"), "provider_unreachable")
    );
    assert_eq!(gateway.call(&reply.id())["ended"], "failed");
}

#[test]
fn nothing_is_tried_again_after_the_first_byte() {
    let events = Answer::chat_events("One two three four five six.");
    let first = Provider::always(events.clone().ending(End::Cut(400)));
    let (second, gateway) = with_a_second(&first.channel("openai", "first", "priority = 10"));
    let reply = gateway.acme().chat_stream("m").rest();
    assert_eq!((first.count(), second.count()), (1, 0));
    assert!(
        reply.broken.is_some(),
        "a cut stream ended as if it were whole: {}",
        reply.text()
    );
    let sent = &reply.body[..400];
    assert_eq!(sent, &events.body()[..400]);
    let call = gateway.call(&reply.id());
    assert_eq!(
        (
            call["ended"].as_str(),
            call["attempts"].as_array().unwrap().len()
        ),
        (Some("upstream_broke"), 1)
    );
}

#[test]
fn a_whole_reply_that_is_cut_is_not_passed_off_as_whole() {
    let first = Provider::always(
        Answer::chat("A long answer.")
            .chunks(50)
            .ending(End::Cut(100)),
    );
    let (second, gateway) = with_a_second(&first.channel("openai", "first", "priority = 10"));
    match gateway.acme().try_send(
        "POST",
        "/v1/chat/completions",
        r#"{"model": "m", "messages": []}"#,
    ) {
        // Before its first byte went out, it may be tried again or refused.
        Ok(reply) => assert!(
            reply.broken.is_some() || reply.status == 502 || second.count() == 1,
            "{reply:?}"
        ),
        Err(error) => assert!(!error.is_empty()),
    }
}

/// Path, body, the dialect of the channel, and how its error event begins.
fn streams() -> [(&'static str, Value, &'static str, &'static str); 4] {
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let chat = json!({"model": "m", "stream": true, "max_tokens": 9, "messages": messages});
    [
        (
            "/v1/chat/completions",
            chat.clone(),
            "openai",
            "data: {\"error\":",
        ),
        (
            "/v1/responses",
            json!({"model": "m", "stream": true, "input": "Hi"}),
            "openai",
            "event: error\ndata: {",
        ),
        ("/v1/messages", chat, "anthropic", "event: error\ndata: {"),
        (
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            json!({"contents": [{"parts": [{"text": "Hi"}]}]}),
            "gemini",
            "data: {\"error\":",
        ),
    ]
}

#[test]
fn a_cut_stream_ends_with_the_error_event_of_its_dialect() {
    for (path, body, dialect, error) in streams() {
        let started = "data: {\"type\": \"something\"}\n\n";
        let provider = Provider::always(Answer::events(started).ending(End::Cut(started.len())));
        let gateway = Gateway::start(&provider.channel(dialect, "main", ""));
        let reply = gateway.acme().open(path, &body).rest();
        let text = reply.text();
        let rest = text
            .strip_prefix(started)
            .unwrap_or_else(|| panic!("{path}: {text}"));
        assert!(rest.trim_start().starts_with(error), "{path}: {rest}");
        assert!(rest.contains("provider_broken"), "{path}: {rest}");
        assert!(
            reply.broken.is_some(),
            "{path}: the transfer ended as if it were whole"
        );
    }
}

#[test]
fn the_provider_gets_its_own_key_and_never_the_callers() {
    for (path, body, dialect, _) in streams() {
        let provider = Provider::always(Answer::events("data: {}\n\n"));
        let gateway = Gateway::start(&provider.channel(dialect, "main", ""));
        for header in ["x-api-key", "x-goog-api-key", "authorization"] {
            let client = gateway.client("").header(
                header,
                &if header == "authorization" {
                    format!("Bearer {KEY}")
                } else {
                    KEY.to_owned()
                },
            );
            assert_eq!(
                client.open(path, &body).rest().status,
                200,
                "{path} with {header}"
            );
        }
        assert_eq!(provider.keys(), ["pk-main"; 3]);
        let seen = format!("{:?}", provider.seen());
        assert!(!seen.contains(KEY), "the virtual key went upstream: {seen}");
    }
}

#[test]
fn calls_take_turns_with_keys_and_find_their_models_channel() {
    let provider = Provider::start();
    let first = "models = [\"a-*\"]\nmodel_map = { \"a-fast\" = \"a-1\" }\nkeys = [\"plain:k1\", \"plain:k2\", \"plain:k3\"]";
    let gateway = Gateway::start(&provider.channel("openai", "main", first));
    for _ in 0..9 {
        gateway.acme().chat("a-fast").expect(200);
    }
    for key in ["k1", "k2", "k3"] {
        // Each worker has turns of its own.
        assert!(
            (2..=4).contains(&asked_with(&provider, key)),
            "{:?}",
            provider.keys()
        );
    }
    assert!(
        provider
            .seen()
            .iter()
            .all(|seen| seen.json()["model"] == "a-1")
    );
    assert_eq!(
        gateway.acme().chat("b").expect(404).code(),
        "model_not_found"
    );
    assert_eq!(provider.count(), 9);
}

#[test]
fn a_caller_who_hangs_up_ends_the_providers_work() {
    let provider = Provider::always(Answer::chat_events("One two three.").ending(End::Stall(300)));
    let gateway = Gateway::start(&provider.channel("openai", "main", ""));
    let mut stream = gateway.acme().chat_stream("m");
    let id = stream.id();
    stream.next().unwrap().unwrap();
    drop(stream);
    let call = gateway.call(&id);
    assert_eq!(call["ended"], "client_closed", "{call}");
    eventually("the gateway serves on", || {
        (gateway.acme().get("/healthz").status == 200).then_some(())
    });
}

/// The call is in the ledger although nothing of a reply was there when its caller went.
#[test]
fn a_caller_who_does_not_wait_for_the_reply_is_in_the_ledger_too() {
    let provider = Provider::always(Answer::silence());
    let gateway = Gateway::start(&provider.channel("openai", "main", ""));
    let body = r#"{"model": "m", "messages": []}"#;
    let mut raw = Raw::connect(gateway.acme().address());
    raw.write(format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    eventually("the provider is asked", || {
        (provider.count() == 1).then_some(())
    });
    drop(raw);
    let call = eventually("the call is in the ledger", || {
        let calls = gateway.admin().get("/admin/v1/calls").expect(200).json();
        calls["data"].get(0).cloned()
    });
    assert_eq!(
        (call["ended"].as_str(), call["model"].as_str()),
        (Some("client_closed"), Some("m")),
        "{call}"
    );
}

/// A provider may close a connection at any time after a reply, also when the gateway is about to
/// use it again.
#[test]
fn a_connection_that_the_provider_closed_is_no_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let body = r#"{"object": "chat.completion", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}"#;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // One request, one reply that promises to keep the connection, and then the end of it. The
            // request is read to its end: closing with something unread would take the reply with it.
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            // The order of the members depends on how serde_json was built.
            let ends = ["}]}", "\"m\"}"];
            while !ends
                .iter()
                .any(|end| String::from_utf8_lossy(&request).ends_with(end))
            {
                let bytes = stream.read(&mut piece).unwrap();
                if bytes == 0 {
                    break;
                }
                request.extend_from_slice(&piece[..bytes]);
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + body).as_bytes());
        }
    });
    let channel = format!(
        "[[channel]]\nname = \"main\"\ndialect = \"openai\"\nbase_url = \"http://{address}/v1\"\nkeys = [\"plain:k\"]\n"
    );
    let gateway = Gateway::start(&channel);
    let client = gateway.acme();
    for _ in 0..100 {
        client.chat("m").expect(200);
    }
}

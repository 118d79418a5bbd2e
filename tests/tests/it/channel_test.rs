//! Tests of channels, by the admin API and by the command line: what is asked of a provider, and what
//! is said about it.

mod balance;
mod causes;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_tests::{Answer, Gateway, Provider, Seen, eventually};

use crate::way::proxy;

/// The results of a test, and its summary.
fn test(gateway: &Gateway, channel: &str, order: &Value) -> (Vec<Value>, Value) {
    let path = format!("/admin/v1/channels/{channel}/test");
    let reply = gateway.admin().post(&path, order).expect(200);
    assert_eq!(reply.header("content-type"), "application/x-ndjson");
    let lines = reply.text();
    let mut lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = lines.pop().unwrap();
    assert_eq!(summary["type"], "summary", "{summary}");
    assert!(lines.iter().all(|line| line["type"] == "result"));
    (lines, summary)
}

/// Its results in the order of models and keys, each told in a few words.
fn told(results: &[Value]) -> Vec<(String, String, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut told: Vec<_> = results
        .iter()
        .map(|result| {
            let how = match result["ok"] == json!(true) {
                true => "ok".to_owned(),
                false => word(&result["cause"]),
            };
            (word(&result["model"]), word(&result["key"]), how)
        })
        .collect();
    told.sort();
    told
}

/// The ids of a channel's keys, in the order of the settings.
fn key_ids(gateway: &Gateway, channel: &str) -> Vec<String> {
    let path = format!("/admin/v1/channels/{channel}/keys");
    let keys = gateway.admin().get(&path).expect(200).json();
    let keys = keys["data"].as_array().unwrap();
    keys.iter()
        .map(|key| key["id"].as_str().unwrap().to_owned())
        .collect()
}

fn well_but_for_one_key(seen: &Seen) -> Answer {
    match seen.key() {
        "dead" => Answer::error(401, "invalid_api_key"),
        _ if seen.json()["stream"] == true => Answer::chat_events("OK."),
        _ => Answer::chat("OK."),
    }
}

#[test]
fn every_model_is_tested_with_every_key_and_nobody_pays() {
    let provider = Provider::with(well_but_for_one_key);
    let more = "keys = [\"plain:good\", \"plain:dead\"]\nmodels = [\"m1\", \"m*\"]\nmodel_map = { m2 = \"their-m2\" }";
    let price = "[[price]]\nmodel = \"*\"\ninput_micros_per_million = 1_000_000\noutput_micros_per_million = 0\n";
    let gateway = Gateway::start(&(provider.channel("openai", "main", more) + price));
    let before = gateway.admin().get("/metrics").text();
    let ids = key_ids(&gateway, "main");
    let (results, summary) = test(&gateway, "main", &json!({}));
    let expected =
        |model: &str, key: usize, how: &str| (model.to_owned(), ids[key].clone(), how.to_owned());
    let mut wanted = vec![
        expected("m1", 0, "ok"),
        expected("m1", 1, "key_dead"),
        expected("m2", 0, "ok"),
        expected("m2", 1, "key_dead"),
    ];
    wanted.sort();
    assert_eq!(told(&results), wanted);
    assert_eq!(
        (&summary["ok"], &summary["passed"], &summary["failed"]),
        (&json!(false), &json!(2), &json!(2)),
        "{summary}"
    );

    // Each is a small call under the provider's own name for the model.
    let seen = provider.seen();
    assert_eq!(seen.len(), 4);
    for seen in &seen {
        assert_eq!(seen.path, "/v1/chat/completions");
        let body = seen.json();
        assert!(body["model"] == "m1" || body["model"] == "their-m2");
        assert_eq!(body["max_tokens"], 16);
    }

    // One is in the ledger, under an account of its own.
    let good = results.iter().find(|result| result["ok"] == true).unwrap();
    assert_eq!(good["usage"]["input_tokens"], 7, "{good}");
    let call = gateway.call(good["call"].as_str().unwrap());
    assert_eq!(call["tenant"], "channel-tests", "{call}");
    assert_eq!(call["usage"]["cost_micros"], 7, "{call}");
    let of_acme = gateway.admin().get("/admin/v1/calls?tenant=acme").json();
    assert_eq!(of_acme["data"], json!([]));

    // Nothing of it is in the metrics, and the dead key is as it was: calls find out for themselves.
    let counted = |metrics: &str| -> Vec<String> {
        let lines = metrics.lines();
        let ours = lines.filter(|line| {
            [
                "weir_calls_total",
                "weir_attempts_total",
                "weir_tokens_total",
            ]
            .iter()
            .any(|name| line.starts_with(name))
        });
        ours.map(str::to_owned).collect()
    };
    let after = gateway.admin().get("/metrics").text();
    assert_eq!(counted(&after), counted(&before));
    let keys = gateway.admin().get("/admin/v1/channels/main/keys").json();
    assert!(
        keys["data"]
            .as_array()
            .unwrap()
            .iter()
            .all(|key| key["state"]["is"] == "usable"),
        "{keys}"
    );

    // One key, one model, as a stream.
    let order = json!({ "models": ["m9"], "key": ids[0], "stream": true });
    let (results, summary) = test(&gateway, "main", &order);
    assert_eq!(told(&results), [expected("m9", 0, "ok")]);
    assert_eq!(results[0]["usage"]["output_tokens"], 3, "{results:?}");
    assert_eq!(summary["ok"], true);
}

#[test]
fn a_test_counts_for_the_key_and_is_made_all_the_same() {
    let provider = Provider::start();
    let channel = provider.channel("openai", "main", "keys = []\nmodels = [\"m\"]")
        + "[[channel.key]]\nsecret = \"plain:only\"\nrpm = 2\n";
    let gateway = Gateway::start(&channel);
    for _ in 0..3 {
        let (_, summary) = test(&gateway, "main", &json!({}));
        assert_eq!(summary["ok"], true, "{summary}");
    }
    assert_eq!(gateway.acme().chat("m").expect(503).code(), "no_usable_key");
    assert_eq!(provider.count(), 3);
}

#[test]
fn what_is_switched_off_can_be_tested_and_stays_off() {
    let provider = Provider::start();
    let settings = provider.channel("openai", "off", "disabled = true\nmodels = [\"m\"]")
        + &provider.channel("openai", "open", "models = [\"m\"]");
    let lacking = "disabled = true\nkeys = [\"plain:x\"]\nproxy = \"env:MISSING\"";
    let gateway = Gateway::start(&(settings + &provider.channel("openai", "lacking", lacking)));
    let admin = gateway.admin();
    let opened = admin.post(
        "/admin/v1/channels/open/breaker",
        &json!({ "state": "open" }),
    );
    opened.expect(200);
    let id = key_ids(&gateway, "open").remove(0);
    let key = format!("/admin/v1/channels/open/keys/{id}");
    let disabled = admin.send("PATCH", &key, json!({ "enabled": false }).to_string());
    disabled.expect(200);
    for channel in ["off", "open"] {
        let (results, summary) = test(&gateway, channel, &json!({}));
        assert_eq!(summary["ok"], true, "{results:?}");
    }
    assert_eq!(provider.keys(), ["pk-off", "pk-open"]);
    assert_eq!(admin.get(&key).json()["state"]["is"], "disabled");
    // Without its proxy it would show its key to whoever sits at the end of another way.
    let refused = admin.post("/admin/v1/channels/lacking/test", &json!({}));
    let refused = refused.expect(409);
    assert!(refused.text().contains("MISSING"), "{}", refused.text());
    assert_eq!(gateway.acme().chat("m").status, 503);
    assert_eq!(provider.count(), 2);
}

#[test]
fn results_come_one_by_one_and_hanging_up_ends_the_test() {
    let provider = Provider::with(|seen| match seen.json()["model"].as_str() {
        Some("never") => Answer::silence(),
        _ => Answer::chat("OK."),
    });
    let gateway = Gateway::start(&provider.channel("openai", "main", ""));
    let order = json!({ "models": ["at-once", "never"] });
    let path = "/admin/v1/channels/main/test";
    let mut stream = gateway.admin().open(path, &order);
    let first = stream.next().unwrap().unwrap();
    let line: Value = serde_json::from_slice(&first).unwrap();
    assert_eq!(
        (&line["model"], &line["ok"]),
        (&json!("at-once"), &json!(true))
    );
    assert!(first.ends_with(b"\n"));
    assert!(provider.given_up().is_empty());
    drop(stream);
    eventually("the provider is left alone", || {
        (!provider.given_up().is_empty()).then_some(())
    });
    let calls = eventually("both calls are in the ledger", || {
        let path = "/admin/v1/calls?tenant=channel-tests";
        let calls = gateway.admin().get(path).json();
        let calls = calls["data"].as_array().unwrap().clone();
        (calls.len() == 2).then_some(calls)
    });
    let given_up = calls.iter().find(|call| call["model"] == "never").unwrap();
    assert_eq!(given_up["ended"], "client_closed", "{given_up}");

    // As events, where that is asked for.
    let admin = gateway.admin().header("accept", "text/event-stream");
    let reply = admin
        .post(path, &json!({ "models": ["at-once"] }))
        .expect(200);
    assert_eq!(reply.header("content-type"), "text/event-stream");
    let text = reply.text();
    let events: Vec<&str> = text.split_terminator("\n\n").collect();
    assert!(events[0].starts_with("event: result\ndata: {\"type\":\"result\","));
    assert!(events[1].starts_with("event: summary\ndata: {\"type\":\"summary\","));
    assert_eq!(events.len(), 2);
}

#[test]
fn a_call_of_a_test_takes_no_longer_than_it_may() {
    let provider = Provider::always(Answer::silence());
    let gateway = Gateway::start(&provider.channel("openai", "main", ""));
    let began = Instant::now();
    let order = json!({ "models": ["a", "b", "c", "d"], "timeout_ms": 300 });
    let (results, _) = test(&gateway, "main", &order);
    assert!(results.iter().all(|result| result["cause"] == "timed_out"));
    // Side by side.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(10));
}

#[test]
fn where_no_model_is_named_the_provider_is_asked() {
    let provider = Provider::with(|seen| match seen.path.as_str() {
        "/v1/models" => {
            let names = ["a", "whisper-1", "b", "text-embedding-x", "c", "d", "e"];
            let models = names.map(|name| json!({ "id": name, "object": "model" }));
            Answer::json(200, &json!({ "object": "list", "data": models }))
        }
        "/v1/embeddings" => Answer::json(
            200,
            &json!({
                "object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
                "model": "x", "usage": {"prompt_tokens": 4, "total_tokens": 4},
            }),
        ),
        _ => Answer::chat("OK."),
    });
    let gateway = Gateway::start(&provider.channel("openai", "main", ""));
    let (results, summary) = test(&gateway, "main", &json!({}));
    let models: Vec<String> = told(&results)
        .into_iter()
        .map(|(model, ..)| model)
        .collect();
    assert_eq!(models, ["a", "b", "c", "d", "text-embedding-x"]);
    assert_eq!(summary["ok"], true, "{results:?}");
}

#[test]
fn a_model_that_wants_the_newer_word_for_its_bound_gets_it() {
    let provider = Provider::with(|seen| match seen.json()["max_tokens"].is_null() {
        true => Answer::chat("OK."),
        false => Answer::json(
            400,
            &json!({"error": {
                "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                "type": "invalid_request_error", "param": "max_tokens", "code": "unsupported_parameter",
            }}),
        ),
    });
    let gateway = Gateway::start(&provider.channel("openai", "main", ""));
    let (results, summary) = test(&gateway, "main", &json!({ "models": ["o1"] }));
    assert_eq!(summary["ok"], true, "{results:?}");
    assert_eq!(provider.seen()[1].json()["max_completion_tokens"], 16);
}

#[test]
fn a_test_goes_the_way_of_its_channel() {
    let (proxy, asked) = proxy();
    let provider = Provider::start();
    let more = format!(
        "proxy = \"http://me:p%40ss@{proxy}\"\nheaders = {{ x-team = \"blue\" }}\nmodels = [\"m\"]"
    );
    let gateway = Gateway::start(&provider.channel("openai", "main", &more));
    let (results, summary) = test(&gateway, "main", &json!({}));
    assert_eq!(summary["ok"], true, "{results:?}");
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert_eq!(provider.seen()[0].header("x-team"), "blue");
}

#[test]
fn orders_that_cannot_be_carried_out_are_refused() {
    let gateway = Gateway::start(crate::FAKE);
    let order = |channel: &str, order: Value| {
        let path = format!("/admin/v1/channels/{channel}/test");
        gateway.admin().post(&path, &order)
    };
    for (channel, body, status, says) in [
        ("nobody", json!({}), 404, "nobody"),
        ("fake", json!({ "key": "pk_0" }), 404, "pk_0"),
        ("fake", json!({ "modles": [] }), 400, "modles"),
        ("fake", json!({ "models": [""] }), 400, "models"),
        ("fake", json!({ "models": vec!["m"; 101] }), 400, "models"),
        ("fake", json!({ "timeout_ms": 0 }), 400, "timeout_ms"),
    ] {
        let reply = order(channel, body).expect(status);
        assert!(reply.text().contains(says), "{}", reply.text());
    }
    let (results, summary) = test(
        &gateway,
        "fake",
        &json!({ "models": ["m"], "stream": true }),
    );
    assert_eq!(summary["ok"], true, "{results:?}");
    let virtual_key = gateway
        .acme()
        .post("/admin/v1/channels/fake/test", &json!({}));
    virtual_key.expect(401);
}

#[test]
fn the_command_line_tells_and_ends_as_the_test_did() {
    let provider = Provider::with(well_but_for_one_key);
    let gateway = Gateway::start(
        &(provider.channel("openai", "good", "models = [\"m\"]")
            + &provider.channel("openai", "bad", "keys = [\"plain:dead\"]\nmodels = [\"m\"]")),
    );
    let run = |arguments: &[&str]| {
        let arguments = [arguments, &["--config", "weir.toml"]].concat();
        let output = gateway.run_beside(&arguments);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, said, _) = run(&["channel", "test", "good", "--model", "m", "--model", "n"]);
    assert_eq!(code, Some(0), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("ok      "), "{said}");
    assert!(lines[0].ends_with("7 tokens in, 3 out"), "{said}");
    assert!(
        lines[2].starts_with("good: 2 passed, 0 failed, in "),
        "{said}"
    );

    let (code, said, _) = run(&["channel", "test", "bad"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("FAILED  m with key pk_"), "{said}");
    assert!(said.contains(": key_dead: The provider says that this key is of no more use"));

    let (code, said, _) = run(&["channel", "test", "bad", "--json"]);
    assert_eq!(code, Some(1), "{said}");
    let line: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!(line["cause"], "key_dead");

    let (code, said, problem) = run(&["channel", "test", "nobody"]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(problem.contains("nobody"), "{problem}");
}

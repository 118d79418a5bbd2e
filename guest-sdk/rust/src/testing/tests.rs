use serde_json::json;

use super::*;
use crate::{call, channels, clock, edit, firewall, http, log, metrics, models, secrets, store};

#[test]
fn the_call_is_shown_as_it_was_built() {
    let call = Call::chat("gpt-4o")
        .id("req_9")
        .label("env", "prod")
        .header("X-Team", "search")
        .body(json!({"system": "be brief", "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]},
        ], "n/a": {"~": 1}}));
    let (_, seen) = Host::new().call(call).run(|summary| {
        assert_eq!(summary.model, "gpt-4o");
        assert_eq!(
            (call::tenant(), call::key()),
            ("acme".into(), "key_1".into())
        );
        assert_eq!(call::client_ip(), "192.0.2.1");
        assert_eq!(call::id(), "req_9");
        assert_eq!(call::label("env").as_deref(), Some("prod"));
        assert_eq!(call::label("other"), None);
        assert_eq!(call::header("x-team").as_deref(), Some("search"));
        assert_eq!(call::json("/n~1a/~0").as_deref(), Some("1"));
        assert_eq!(call::json_as::<u8>("/n~1a/~0"), Some(1));
        assert_eq!(call::json_as::<String>("/n~1a/~0"), None);
        let texts: Vec<_> = call::messages()
            .into_iter()
            .map(|m| (m.role, m.text))
            .collect();
        assert_eq!(
            texts,
            [
                ("system".into(), "be brief".into()),
                ("user".into(), "a\nb".into())
            ]
        );
    });
    assert_eq!(seen.imports, 11);
}

#[test]
fn channels_are_known_by_their_numbers() {
    let channels = json!([
        { "channel": "a", "provider": "openai", "labels": { "region": "eu" } },
        { "channel": "b", "model": "gpt-4o-2" },
    ]);
    let mut host = Host::new().channels(serde_json::from_value(channels).unwrap());
    let candidates = host.candidates();
    host.run(|_| {
        let [a, b] = [candidates[0].channel, candidates[1].channel];
        assert_eq!(
            (channels::name(a), channels::name(b)),
            ("a".into(), "b".into())
        );
        assert_eq!(channels::provider(a), "openai");
        assert_eq!(channels::model(a), "gpt-4o");
        assert_eq!(channels::model(b), "gpt-4o-2");
        assert_eq!(channels::label(a, "region").as_deref(), Some("eu"));
        assert_eq!(channels::label(b, "region"), None);
        assert_eq!((channels::name(0), channels::model(9)), Default::default());
    });
    assert_eq!(host.channel_name(candidates[1].channel), Some("b"));
    assert!(candidates[0].is_usable() && candidates[0].prices().is_none());
}

#[test]
fn edits_change_the_body() {
    let call = Call::chat("gpt-4o").body(json!({"model": "gpt-4o", "a": [1, 2], "messages": []}));
    let (_, seen) = Host::new().call(call).run(|_| {
        edit::set_model("o1").unwrap();
        edit::set_json("/b", "{\"c\":1}").unwrap();
        edit::set_value("/b/d", "text").unwrap();
        edit::set_json("/a/-", "3").unwrap();
        edit::remove_json("/a/0").unwrap();
        edit::remove_json("/nothing/here").unwrap();
        edit::prepend_system("be kind").unwrap();
        edit::set_message_text(0, "be brief").unwrap();
        edit::set_header("X-Env", "prod").unwrap();
        assert!(edit::set_header("Authorization", "x").is_err());
        assert!(edit::set_json("/model/z", "1").is_err());
        assert!(edit::set_json("/x", "{").is_err());
        assert_eq!(call::json("/a").as_deref(), Some("[2,3]"));
    });
    assert_eq!(seen.model, "o1");
    assert_eq!(
        seen.json(),
        json!({"model": "o1", "a": [2, 3], "b": {"c": 1, "d": "text"},
               "messages": [{"role": "system", "content": "be brief"}]})
    );
    assert!(seen.headers.contains(&("x-env".into(), "prod".into())));
    assert_eq!(seen.edits[0], Edit::SetModel("o1".into()));
}

#[test]
fn system_instructions_go_where_the_dialect_keeps_them() {
    let body = |dialect: &str, body: serde_json::Value| {
        let call = Call::chat("m").dialect(dialect).body(body);
        Host::new()
            .call(call)
            .run(|_| edit::prepend_system("A").unwrap())
            .1
            .json()
    };
    assert_eq!(
        body("anthropic.messages", json!({"system": "B"})),
        json!({"system": "A\n\nB"})
    );
    assert_eq!(
        body("openai.responses", json!({"input": "x"})),
        json!({"input": "x", "instructions": "A"})
    );
}

#[test]
fn the_store_and_the_clock_last() {
    let mut host = Host::new().now_ms(1_000);
    host.run(|_| {
        store::set("k", b"v", Some(100)).unwrap();
        assert_eq!(store::add("n", 2, None), Ok(2));
        store::set_json("j", &[1, 2], None).unwrap();
    });
    host.run(|_| {
        assert_eq!(clock::now_ms(), 1_000);
        assert_eq!(store::get("k").as_deref(), Some(b"v".as_slice()));
        assert_eq!(store::add("n", 3, None), Ok(5));
        assert!(store::add("k", 1, None).is_err());
        assert_eq!(store::get_json::<Vec<u8>>("j"), Some(vec![1, 2]));
    });
    host.advance_ms(100);
    host.run(|_| {
        assert_eq!(store::get("k"), None);
        store::remove("n");
    });
    assert_eq!((host.store("k"), host.store("n")), (None, None));
}

#[test]
fn the_rest_is_recorded_or_scripted() {
    let mut host = Host::new()
        .secret("token", "s3cret")
        .http(|request| Ok(Response::json(200, &json!({"url": request.url}))))
        .models(|model, messages| Err(format!("{model} {}", messages.len())));
    let (_, seen) = host.run(|_| {
        log::warn!("{} left", 3);
        metrics::count("hits", 2, &[("kind", "a")]);
        firewall::ban("192.0.2.1", 60_000, "too eager").unwrap();
        assert_eq!(secrets::get("token").as_deref(), Some("s3cret"));
        assert_eq!(secrets::get("other"), None);
        assert_eq!(
            http::get("http://a/", 10).unwrap().body,
            br#"{"url":"http://a/"}"#
        );
        assert_eq!(models::complete("m", &[], 1), Err("m 0".to_owned()));
        assert_eq!(models::count_tokens("m", "12345"), 2);
    });
    assert_eq!(seen.logs, [(log::Level::Warn, "3 left".to_owned())]);
    assert_eq!(seen.metrics[0].value, 2.0);
    assert_eq!(seen.bans[0].1, 60_000);
}

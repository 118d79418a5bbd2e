use proptest::prelude::*;
use serde_json::{Value, json};
use weir_sdk::testing::{Call, Host, Seen};
use weir_sdk::{TextDelta, ToolCallDelta, Usage};

use super::*;

fn settings(config: &str) -> Settings {
    Settings::configure(config).unwrap()
}

fn ask(body: Value) -> Call {
    Call::chat("m").body(body)
}

fn question(text: &str) -> Value {
    json!({"model": "m", "temperature": 0, "messages": [{"role": "user", "content": text}]})
}

/// Asks, and where nothing is known of it answers with this text as a provider would.
fn answered(host: &mut Host, settings: &Settings, call: Call, text: &str) -> (String, Seen) {
    host.set_call(call);
    let (known, seen) = host.run(|call| settings.answer(call).unwrap());
    if let Some(response) = known {
        return (String::from_utf8(response.body).unwrap(), seen);
    }
    let response = Response::json(200, &json!(text));
    let (changed, after) = host.run(|call| settings.reply(call, response).unwrap());
    assert_eq!(changed, None);
    assert!(after.edits.is_empty());
    (json!(text).to_string(), seen)
}

#[test]
fn the_same_question_is_answered_once() {
    let (settings, mut host) = (settings("{}"), Host::new());
    let mut ask = |call, text: &str| answered(&mut host, &settings, call, text).0;
    assert_eq!(ask(super::tests::ask(question("a")), "1"), "\"1\"");
    assert_eq!(ask(super::tests::ask(question("a")), "2"), "\"1\"");
    assert_eq!(ask(super::tests::ask(question("b")), "3"), "\"3\"");
    // Spaces, the order of members and what is not about the answer say nothing.
    let same = br#"{ "user":"u1", "messages":[{"content":"a","role":"user"}], "temperature": 0.0, "model":"m" }"#;
    assert_eq!(ask(Call::chat("m").bytes(same), "4"), "\"1\"");
}

#[test]
fn nobody_is_given_what_another_was_answered() {
    let other = |call: Call| {
        [
            call.clone().key("key_2"),
            call.clone().tenant("globex"),
            call,
        ]
    };
    let answers = |config: &str| {
        let (settings, mut host) = (settings(config), Host::new());
        let calls = [vec![ask(question("a"))], other(ask(question("a"))).to_vec()].concat();
        let texts = ["0", "1", "2", "3"];
        let answers = calls
            .into_iter()
            .zip(texts)
            .map(|(call, text)| answered(&mut host, &settings, call, text).0);
        answers.collect::<Vec<_>>()
    };
    assert_eq!(answers("{}"), ["\"0\"", "\"1\"", "\"2\"", "\"0\""]);
    assert_eq!(
        answers(r#"{"share": "tenant"}"#),
        ["\"0\"", "\"0\"", "\"2\"", "\"0\""]
    );
    assert_eq!(
        answers(r#"{"share": "everyone"}"#),
        ["\"0\"", "\"0\"", "\"0\"", "\"0\""]
    );
}

#[test]
fn an_answer_is_forgotten_in_time() {
    let (settings, mut host) = (settings(r#"{"ttl_ms": 5000}"#), Host::new());
    assert_eq!(
        answered(&mut host, &settings, ask(question("a")), "1").0,
        "\"1\""
    );
    host.advance_ms(4000);
    host.set_call(ask(question("a")));
    let (response, _) = host.run(|call| settings.answer(call).unwrap().unwrap());
    assert!(
        response
            .headers
            .contains(&("age".to_owned(), "4".to_owned()))
    );
    host.advance_ms(1000);
    assert_eq!(
        answered(&mut host, &settings, ask(question("a")), "2").0,
        "\"2\""
    );
}

#[track_caller]
fn bypassed(config: &str, call: Call, reason: &str) {
    let (settings, mut host) = (settings(config), Host::new());
    let (_, seen) = answered(&mut host, &settings, call.clone(), "1");
    let told: Vec<_> = seen
        .metrics
        .iter()
        .map(|metric| (metric.name.as_str(), metric.labels[0].1.as_str()))
        .collect();
    assert_eq!(told, [("bypassed", reason)]);
    assert_eq!(answered(&mut host, &settings, call, "2").0, "\"2\"");
}

#[test]
fn calls_that_are_left_alone() {
    let with = |name: &str, value: Value| {
        let mut body = question("a");
        body[name] = value;
        ask(body)
    };
    bypassed("{}", with("temperature", json!(0.7)), "temperature");
    bypassed("{}", with("temperature", Value::Null), "temperature");
    bypassed("{}", with("tools", json!([{"type": "function"}])), "tools");
    bypassed(
        "{}",
        with("previous_response_id", json!("resp_1")),
        "stateful",
    );
    bypassed(
        "{}",
        ask(question("a")).dialect("openai.responses"),
        "stateful",
    );
    bypassed("{}", ask(question("a")).label("cache", "off"), "label");
    bypassed(
        "{}",
        ask(question("a")).header("Cache-Control", "max-age=0, no-store"),
        "header",
    );
    bypassed("{}", ask(json!([])), "body");
    bypassed("{}", with("n", json!(2)).streaming(), "several_answers");
}

#[test]
fn what_the_settings_let_in() {
    for (config, body) in [
        (
            r#"{"temperature_max": 1}"#,
            json!({"model": "m", "temperature": 0.7}),
        ),
        (r#"{"without_temperature": true}"#, json!({"model": "m"})),
        (
            r#"{"tools": true}"#,
            json!({"model": "m", "temperature": 0, "tools": [{}]}),
        ),
        (
            "{}",
            json!({"model": "m", "generationConfig": {"temperature": 0}}),
        ),
    ] {
        let (settings, mut host) = (settings(config), Host::new());
        answered(&mut host, &settings, ask(body.clone()), "1");
        assert_eq!(
            answered(&mut host, &settings, ask(body), "2").0,
            "\"1\"",
            "{config}"
        );
    }
}

#[test]
fn a_new_answer_on_demand_is_kept_for_all() {
    let (settings, mut host) = (settings("{}"), Host::new());
    answered(&mut host, &settings, ask(question("a")), "1");
    let fresh = ask(question("a")).header("cache-control", "no-cache");
    assert_eq!(answered(&mut host, &settings, fresh, "2").0, "\"2\"");
    assert_eq!(
        answered(&mut host, &settings, ask(question("a")), "3").0,
        "\"2\""
    );
}

#[test]
fn a_long_answer_is_kept_in_parts_and_replaced_as_a_whole() {
    let (settings, mut host) = (settings("{}"), Host::new());
    let (long, other) = ("long ".repeat(40_000), "other ".repeat(30_000));
    let first = answered(&mut host, &settings, ask(question("a")), &long).0;
    assert_eq!(
        answered(&mut host, &settings, ask(question("a")), "2").0,
        first
    );
    host.advance_ms(1);
    let fresh = ask(question("a")).header("cache-control", "no-cache");
    let second = answered(&mut host, &settings, fresh, &other).0;
    assert_eq!(
        answered(&mut host, &settings, ask(question("a")), "3").0,
        second
    );
}

#[test]
fn errors_sounds_and_what_is_too_large_are_not_kept() {
    let settings = settings(r#"{"entry_max_bytes": 1024}"#);
    let mut host = Host::new().call(ask(question("a")));
    let sound = Response {
        status: 200,
        headers: vec![("content-type".into(), "audio/mpeg".into())],
        body: vec![1],
    };
    for response in [
        Response::json(500, &json!("no")),
        sound,
        Response::json(200, &json!("x".repeat(2000))),
    ] {
        host.run(|call| settings.reply(call, response).unwrap());
        assert_eq!(host.run(|call| settings.answer(call).unwrap()).0, None);
    }
}

fn events() -> Vec<Event> {
    let call = |id: Option<&str>, arguments: &str| {
        Event::ToolCall(ToolCallDelta {
            choice: 0,
            index: 0,
            id: id.map(str::to_owned),
            name: id.map(|_| "look".to_owned()),
            arguments: arguments.to_owned(),
        })
    };
    vec![
        Event::text("Hel"),
        Event::text("lo \"you\""),
        call(Some("call_1"), ""),
        call(None, "{\"a\":"),
        call(None, "1}"),
        Event::Finish("tool_calls".to_owned()),
        Event::Usage(Usage {
            input_tokens: 9,
            output_tokens: 4,
            cached_tokens: 2,
            cache_write_tokens: 0,
            reasoning_tokens: 1,
            cost_micros: 0,
            estimated: false,
        }),
    ]
}

/// Lets a stream of these events pass, and answers what is kept of it.
fn recorded(settings: &Settings, call: Call, events: Vec<Event>) -> Option<String> {
    let mut host = Host::new().call(call.streaming());
    host.run(|call| {
        let Some(mut tape) = settings.open(call) else {
            return;
        };
        for event in events {
            assert_eq!(settings.push(&mut tape, event), Ok(Action::Pass));
        }
        assert!(settings.close(tape).is_empty());
    });
    let (answer, _) = host.run(|call| settings.answer(call).unwrap());
    answer.map(|response| {
        assert_eq!(response.headers[0].1, "text/event-stream");
        String::from_utf8(response.body).unwrap()
    })
}

/// The JSON of the events of a stream.
fn payloads(stream: &str) -> Vec<Value> {
    let lines = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    lines
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[test]
fn a_stream_in_each_dialect() {
    let settings = settings("{}");
    let mut body = question("a");
    body["stream_options"] = json!({"include_usage": true});
    let chat = payloads(&recorded(&settings, ask(body), events()).unwrap());
    assert_eq!(chat[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chat[1]["choices"][0]["delta"]["content"], "Hello \"you\"");
    assert_eq!(
        chat[2]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"],
        "{\"a\":1}"
    );
    assert_eq!(chat[3]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(chat[4]["usage"]["total_tokens"], 13);

    let anthropic = recorded(
        &settings,
        ask(question("a")).dialect("anthropic.messages"),
        events(),
    )
    .unwrap();
    let types: Vec<_> = anthropic
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    let block = [
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
    ];
    assert_eq!(
        types,
        [
            &["message_start"],
            &block[..],
            &block[..],
            &["message_delta", "message_stop"]
        ]
        .concat()
    );
    let anthropic = payloads(&anthropic);
    assert_eq!(anthropic[0]["message"]["usage"]["input_tokens"], 7);
    assert_eq!(anthropic[7]["delta"]["stop_reason"], "tool_use");

    let gemini = payloads(
        &recorded(
            &settings,
            ask(question("a")).dialect("gemini.generate"),
            events(),
        )
        .unwrap(),
    );
    assert_eq!(
        gemini[1]["candidates"][0]["content"]["parts"][0]["functionCall"]["args"],
        json!({"a": 1})
    );
    assert_eq!(gemini[2]["candidates"][0]["finishReason"], "STOP");
    assert_eq!(gemini[2]["usageMetadata"]["totalTokenCount"], 13);

    let mut body = question("a");
    body["store"] = json!(false);
    let responses =
        payloads(&recorded(&settings, ask(body).dialect("openai.responses"), events()).unwrap());
    let last = responses.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(
        last["response"]["output"][0]["content"][0]["text"],
        "Hello \"you\""
    );
    assert_eq!(last["response"]["output"][1]["arguments"], "{\"a\":1}");
    assert_eq!(last["sequence_number"], responses.len() - 1);

    let completions = payloads(
        &recorded(
            &settings,
            ask(question("a")).dialect("openai.completions"),
            events(),
        )
        .unwrap(),
    );
    assert_eq!(completions[0]["choices"][0]["text"], "Hello \"you\"");
}

#[test]
fn streams_that_are_not_kept() {
    let all = settings("{}");
    let keeps =
        |settings: &Settings, call: Call, events| recorded(settings, call, events).is_some();
    let ask = || ask(question("a"));
    assert!(keeps(&all, ask(), events()));
    // Broken off.
    assert!(!keeps(&all, ask(), events()[..3].to_vec()));
    let other = Event::Other(weir_sdk::RawEvent {
        name: None,
        data: "{}".to_owned(),
    });
    assert!(!keeps(&all, ask(), [vec![other], events()].concat()));
    let thought = Event::Reasoning(TextDelta {
        choice: 0,
        text: "hm".to_owned(),
    });
    assert!(keeps(
        &all,
        ask(),
        [vec![thought.clone()], events()].concat()
    ));
    assert!(!keeps(
        &all,
        ask().dialect("anthropic.messages"),
        [vec![thought], events()].concat()
    ));
    assert!(!keeps(&settings(r#"{"streams": false}"#), ask(), events()));
    let long = vec![
        Event::text("x".repeat(2000)),
        Event::Finish("stop".to_owned()),
    ];
    assert!(!keeps(
        &settings(r#"{"entry_max_bytes": 1024}"#),
        ask(),
        long
    ));
}

#[test]
fn mistakes_in_the_settings() {
    for (config, wanted) in [
        (r#"{"ttl_ms": 1}"#, "ttl_ms: must be from 1000"),
        (
            r#"{"entry_max_bytes": 2000000}"#,
            "entry_max_bytes: must be from 1024",
        ),
        (
            r#"{"temperature_max": 3}"#,
            "temperature_max: must be from 0 to 2",
        ),
        (r#"{"share": "all"}"#, "share: unknown variant `all`"),
        (
            r#"{"ignore": ["user"]}"#,
            "ignore[0]: must be a JSON pointer",
        ),
        (r#"{"ttl": 1}"#, "ttl: unknown field"),
        (r#"{"operations": []}"#, "operations: an empty list"),
    ] {
        let error = Settings::configure(config)
            .err()
            .unwrap_or_default()
            .concat();
        assert!(error.contains(wanted), "{config}: {error}");
    }
}

/// Small JSON in which much is alike.
fn bodies() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0i64..3).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[ab]{0,2}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    });
    prop::collection::btree_map("[a-c]", value, 0..3).prop_map(|map| json!(map))
}

proptest! {
    /// Two bodies have the same name exactly where they are the same JSON.
    #[test]
    fn other_bodies_have_other_names(a in bodies(), b in bodies()) {
        let settings = settings(r#"{"without_temperature": true}"#);
        let name = |body: &Value| {
            let mut host = Host::new().call(ask(body.clone()));
            host.run(|call| Plan::of(&settings, call).map(|plan| plan.name)).0.unwrap()
        };
        prop_assert_eq!(name(&a) == name(&b), a == b);
    }
}

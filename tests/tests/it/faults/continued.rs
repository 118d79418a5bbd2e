//! A stream that breaks after its first words, and a channel that may go on with it: one stream at the
//! caller, in which nothing is said twice. Off unless an operator switches it on.

use serde_json::{Value, json};
use weir_tests::{Answer, End, Gateway, Provider, Seen, eventually};

/// What a dialect's stream looks like: made by one provider, whose ids begin with its letter.
struct Speech {
    path: &'static str,
    dialect: &'static str,
    request: fn() -> Value,
    stream: fn(provider: &str, text: &str) -> String,
    error: &'static str,
}

fn messages() -> Value {
    json!([{"role": "user", "content": "Count."}])
}

fn chat_request() -> Value {
    json!({"model": "m", "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 50, "messages": messages()})
}

fn chat(provider: &str, text: &str) -> String {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({"id": format!("{provider}-1"), "created": 7, "model": format!("{provider}-model"), "choices": choices, "usage": usage});
        format!("data: {chunk}\n\n")
    };
    let delta = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
    let mut all = chunk(
        delta(json!({"role": "assistant", "content": ""}), Value::Null),
        Value::Null,
    );
    for word in text.split_inclusive(' ') {
        all += &chunk(delta(json!({"content": word}), Value::Null), Value::Null);
    }
    all += &chunk(delta(json!({}), json!("stop")), Value::Null);
    all += &chunk(
        json!([]),
        json!({"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}),
    );
    all + "data: [DONE]\n\n"
}

fn anthropic_request() -> Value {
    json!({"model": "m", "stream": true, "max_tokens": 50, "messages": messages()})
}

fn anthropic(provider: &str, text: &str) -> String {
    let event = |event: Value| {
        format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap()
        )
    };
    let mut all = event(
        json!({"type": "message_start", "message": {"id": format!("{provider}-1"), "role": "assistant", "content": [], "usage": {"input_tokens": 100, "output_tokens": 1}}}),
    );
    all += &event(
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    );
    for word in text.split_inclusive(' ') {
        all += &event(
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}),
        );
    }
    all += &event(json!({"type": "content_block_stop", "index": 0}));
    all += &event(
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 10}}),
    );
    all + &event(json!({"type": "message_stop"}))
}

fn gemini_request() -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": "Count."}]}], "generationConfig": {"maxOutputTokens": 50}})
}

fn gemini(provider: &str, text: &str) -> String {
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    let chunk = |(number, word): (usize, &&str)| {
        let mut candidate =
            json!({"index": 0, "content": {"role": "model", "parts": [{"text": word}]}});
        if number + 1 == words.len() {
            candidate["finishReason"] = json!("STOP");
        }
        let chunk = json!({
            "candidates": [candidate], "responseId": format!("{provider}-1"), "modelVersion": format!("{provider}-model"),
            "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 10, "totalTokenCount": 110},
        });
        format!("data: {chunk}\r\n\r\n")
    };
    words.iter().enumerate().map(chunk).collect()
}

const SPEECHES: [Speech; 3] = [
    Speech {
        path: "/v1/chat/completions",
        dialect: "openai",
        request: chat_request,
        stream: chat,
        error: "data: {\"error\":{\"type\":\"server_error\"}}\n\n",
    },
    Speech {
        path: "/v1/messages",
        dialect: "anthropic",
        request: anthropic_request,
        stream: anthropic,
        error: "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
    },
    Speech {
        path: "/v1beta/models/m:streamGenerateContent?alt=sse",
        dialect: "gemini",
        request: gemini_request,
        stream: gemini,
        error: "data: {\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\"}}\n\n",
    },
];

const PLAIN: &str = "prefill = \"plain\"";

/// Bytes of a stream up to and including the event that says `word`.
fn until(stream: &str, word: &str) -> usize {
    let at = stream.find(word).expect("the word");
    let ends = ["\r\n\r\n", "\n\n"].map(|end| Some(stream[at..].find(end)? + end.len()));
    at + ends.into_iter().flatten().next().expect("an end")
}

/// Two channels, the first of which is asked first; `more` are lines of the second one.
fn gateway(
    first: &Provider,
    second: &Provider,
    dialect: &str,
    more: &str,
    settings: &str,
) -> Gateway {
    let settings = "[upstream]\nidle_stream_timeout_ms = 150\n".to_owned()
        + settings
        + &first.channel(dialect, "first", "priority = 10")
        + &second.channel(dialect, "second", more);
    Gateway::start(&settings)
}

/// The text of a stream, and all ids in it.
fn said(stream: &str) -> (String, Vec<String>) {
    let (mut text, mut ids) = (String::new(), Vec::new());
    for data in stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
    {
        let Ok(value) = serde_json::from_str::<Value>(data) else {
            continue;
        };
        for place in [
            "/choices/0/delta/content",
            "/delta/text",
            "/candidates/0/content/parts/0/text",
        ] {
            text += value
                .pointer(place)
                .and_then(Value::as_str)
                .unwrap_or_default();
        }
        for place in [
            "/id",
            "/message/id",
            "/responseId",
            "/model",
            "/modelVersion",
        ] {
            ids.extend(
                value
                    .pointer(place)
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
        }
    }
    (text, ids)
}

fn prefilled(seen: &Seen) -> String {
    let body = seen.json();
    let last = |list: &str| body[list].as_array().and_then(|list| list.last()).cloned();
    let last = last("messages").or(last("contents")).unwrap();
    assert!(
        ["assistant", "model"].contains(&last["role"].as_str().unwrap()),
        "{body}"
    );
    let text = last["content"]
        .as_str()
        .or(last["parts"][0]["text"].as_str());
    text.unwrap().to_owned()
}

/// How often `weir_continued` stands in a stream.
fn marks(stream: &str) -> usize {
    stream.matches("\"weir_continued\":1").count()
}

#[test]
fn another_channel_goes_on_where_a_stream_broke() {
    for speech in SPEECHES {
        let whole = (speech.stream)("a", "One two three four five.");
        let cut = until(&whole, "three");
        let first = Provider::start();
        let second = Provider::always(Answer::events((speech.stream)("b", " four five.")));
        let gateway = gateway(
            &first,
            &second,
            speech.dialect,
            PLAIN,
            "[cooldown]\nfirst_ms = 1\nmax_ms = 1\n",
        );
        let broken = [
            // In the midst of an event: the part is not handed on.
            Answer::events(whole.clone()).ending(End::Cut(cut + 20)),
            Answer::events(whole.clone()).ending(End::Stall(cut)),
            Answer::events([&whole[..cut], speech.error].concat()),
            Answer::events(whole[..cut].to_owned()),
        ];
        let count = broken.len();
        first.next(broken);
        for number in 0..count {
            let reply = gateway.acme().open(speech.path, &(speech.request)()).rest();
            let text = reply.text();
            let (said, ids) = said(&text);
            assert!(
                reply.broken.is_none(),
                "{number}: {:?}: {text}",
                reply.broken
            );
            assert_eq!(said, "One two three four five.", "{number}: {text}");
            assert!(ids.iter().all(|id| id.starts_with('a')), "{ids:?}");
            assert_eq!(marks(&text), 1, "{number}: {text}");
            assert!(!text.contains("\"error\""), "{text}");
            let starts = [
                "\"role\":\"assistant\"",
                "message_start\"",
                "content_block_start\"",
            ];
            assert!(
                starts.iter().all(|start| text.matches(start).count() <= 1),
                "{text}"
            );
            let asked = second.seen();
            assert_eq!(asked.len(), number + 1);
            assert_eq!(prefilled(&asked[number]), "One two three");
            assert!(
                !asked[number].json().to_string().contains("50"),
                "as much room as before"
            );
            let call = gateway.call(&reply.id());
            assert_eq!(
                (&call["ended"], &call["channel"]),
                (&json!("complete"), &json!("second"))
            );
            let attempts = call["attempts"].as_array().unwrap();
            assert_eq!(attempts.len(), 2, "{call}");
            assert_eq!(attempts[0]["failure"], "broken_stream", "{call}");
            assert_eq!(attempts[1]["cause"], "continuation", "{call}");
            // Both are paid for, and both are told.
            let used = |usage: &Value, what: &str| usage[what].as_u64().unwrap();
            let before = &attempts[0]["usage"];
            let input = 100 + used(before, "input_tokens");
            let output = 10 + used(before, "output_tokens");
            assert!(output > 10 && input > 100, "{call}");
            assert_eq!(used(&call["usage"], "input_tokens"), input, "{call}");
            assert_eq!(used(&call["usage"], "output_tokens"), output, "{call}");
            for told in [input, output] {
                assert!(
                    text.contains(&format!(":{told}")),
                    "{told} is not in {text}"
                );
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let metrics = gateway.admin().get("/metrics").text();
        let metric = format!("weir_continuations_total{{result=\"went_on\"}} {count}");
        assert!(metrics.contains(&metric), "{metrics}");
    }
}

/// A chat of which the first words come, over channels that have these lines more.
fn one_chat(
    first: Answer,
    second: Answer,
    more: &str,
    settings: &str,
    request: Value,
) -> (Provider, Provider, String, Value) {
    let (first, second) = (Provider::always(first), Provider::always(second));
    let gateway = gateway(&first, &second, "openai", more, settings);
    let reply = gateway.acme().open("/v1/chat/completions", &request).rest();
    let call = gateway.call(&reply.id());
    let text = reply.text();
    let end = match &reply.broken {
        Some(_) => "broken",
        None => "whole",
    };
    assert_eq!(
        call["ended"] == "complete",
        end == "whole",
        "{call}: {text}"
    );
    (first, second, text, call)
}

fn cut_at_three() -> Answer {
    let whole = chat("a", "One two three four five.");
    let cut = until(&whole, "three");
    Answer::events(whole).ending(End::Cut(cut))
}

fn rest() -> Answer {
    Answer::events(chat("b", " four five."))
}

#[test]
fn providers_are_told_as_they_want_it() {
    let forms = [
        ("prefix", "/messages/1/prefix"),
        ("partial", "/messages/1/partial"),
        ("continue_final_message", "/continue_final_message"),
    ];
    for (form, place) in forms {
        let more = format!("prefill = \"{form}\"");
        let (_, second, text, _) = one_chat(cut_at_three(), rest(), &more, "", chat_request());
        assert_eq!(said(&text).0, "One two three four five.");
        assert_eq!(
            second.seen()[0].json().pointer(place),
            Some(&json!(true)),
            "{form}"
        );
    }
    let echoes = Answer::events(chat("b", "One two three four five."));
    let (_, _, text, _) = one_chat(
        cut_at_three(),
        echoes,
        "prefill = \"prefix_echoed\"",
        "",
        chat_request(),
    );
    assert_eq!(said(&text).0, "One two three four five.");
}

#[test]
fn nothing_is_gone_on_with_unless_it_is_switched_on() {
    for (more, settings) in [("", ""), (PLAIN, "[retry]\ncontinuations_max = 0\n")] {
        let (first, second, text, _) =
            one_chat(cut_at_three(), rest(), more, settings, chat_request());
        assert_eq!((first.count(), second.count()), (1, 0));
        assert!(text.contains("provider_broken"), "{text}");
        assert_eq!(said(&text).0, "One two three ");
    }
}

#[test]
fn what_cannot_be_gone_on_with_ends_as_it_did() {
    let with = |field: &str, value: Value| {
        let mut request = chat_request();
        request[field] = value;
        request
    };
    let after = |event: &str| {
        let whole = chat("a", "One two three four five.");
        let (head, tail) = whole.split_at(until(&whole, "two"));
        let begun = [head, event].concat();
        let cut = begun.len();
        Answer::events(begun + tail).ending(End::Cut(cut))
    };
    let tool = "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"t\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}]}\n\n";
    let thought =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"Hm.\"}}]}\n\n";
    let finish =
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n";
    let cases = [
        (after(tool), chat_request()),
        (after(thought), chat_request()),
        (after(finish), chat_request()),
        (
            cut_at_three(),
            with("response_format", json!({"type": "json_object"})),
        ),
        (cut_at_three(), with("n", json!(2))),
    ];
    for (answer, request) in cases {
        let (first, second, text, _) = one_chat(answer, rest(), PLAIN, "", request);
        assert_eq!((first.count(), second.count()), (1, 0), "{text}");
        assert!(text.contains("provider_broken"), "{text}");
    }
}

#[test]
fn it_is_gone_on_with_once_and_both_breaks_are_told() {
    let again = chat("b", " four five.");
    let cut = until(&again, "four");
    let again = Answer::events(again).ending(End::Cut(cut));
    let (first, second, text, call) =
        one_chat(cut_at_three(), again.clone(), PLAIN, "", chat_request());
    assert_eq!((first.count(), second.count()), (1, 1));
    assert_eq!(said(&text).0, "One two three four ");
    assert!(text.contains("provider_broken"), "{text}");
    assert_eq!(call["ended"], "upstream_broke");
    // Twice, where that is allowed; the channel that may go on is then asked for its own rest.
    let settings = "[retry]\ncontinuations_max = 2\nsame_target_max = 1\nbackoff_ms = 1\n";
    let two_keys = "keys = [\"plain:1\", \"plain:2\"]\nprefill = \"plain\"";
    let (_, second, text, call) =
        one_chat(cut_at_three(), again, two_keys, settings, chat_request());
    assert_eq!(second.count(), 2, "{call}");
    assert_eq!(prefilled(&second.seen()[1]), "One two three four");
    assert_eq!(said(&text).0, "One two three four four ");
}

#[test]
fn nobody_who_goes_on_means_the_same_end_as_ever() {
    let long = "One two three four five six seven eight nine ten.";
    let whole = chat("a", long);
    let cut = until(&whole, "nine");
    let first = || Answer::events(whole.clone()).ending(End::Cut(cut));
    let seconds = [
        Answer::error(400, "invalid_request_error"),
        Answer::error(500, "server_error"),
        // It did not understand, and answers anew in other words.
        Answer::events(chat("b", &long.replace("eight nine", "and then"))),
    ];
    for second in seconds {
        let (asked, _, text, call) = one_chat(first(), second, PLAIN, "", chat_request());
        assert_eq!(asked.count(), 1);
        assert_eq!(
            said(&text).0,
            "One two three four five six seven eight nine "
        );
        assert!(text.contains("provider_broken"), "{text}");
        assert_eq!(call["attempts"][0]["failure"], "broken_stream", "{call}");
        let output = call["usage"]["output_tokens"].as_u64().unwrap();
        assert!((5..=30).contains(&output), "{call}");
    }
    // The provider's own error is the caller's where nobody goes on.
    let error = "data: {\"error\":{\"type\":\"server_error\",\"message\":\"It is over.\"}}\n\n";
    let gave_up = Answer::events([&whole[..cut], error].concat());
    let refuses = Answer::error(400, "invalid_request_error");
    let (_, _, text, _) = one_chat(gave_up, refuses, PLAIN, "", chat_request());
    assert!(text.ends_with(error), "{text}");
}

#[test]
fn a_caller_who_hangs_up_meanwhile_is_heard() {
    let first = Provider::always(cut_at_three());
    let second = Provider::always(Answer::silence());
    let gateway = gateway(&first, &second, "openai", PLAIN, "");
    let mut stream = gateway.acme().open("/v1/chat/completions", &chat_request());
    let id = stream.id();
    let mut got = String::new();
    while !got.contains("three") {
        got += &String::from_utf8_lossy(&stream.next().unwrap().unwrap());
    }
    eventually("the second is asked", || (second.count() > 0).then_some(()));
    drop(stream);
    eventually("it hears of the end", || second.given_up().first().copied());
    let call = gateway.call(&id);
    assert_eq!(call["ended"], "client_closed", "{call}");
    assert_eq!(call["attempts"][0]["failure"], "broken_stream", "{call}");
}

#[test]
fn a_call_that_is_bound_to_a_channel_or_looked_into_is_not_gone_on_with() {
    let (first, second) = (Provider::always(cut_at_three()), Provider::always(rest()));
    let tenant = format!(
        "[cooldown]\nfirst_ms = 1\nmax_ms = 1\n[[tenant]]\nname = \"acme\"\nlabels = {{ \"weir.force_channel\" = \"true\" }}\n[[tenant.key]]\nname = \"main\"\nsecret = \"plain:{}\"\n",
        weir_tests::KEY
    );
    let bound = gateway(&first, &second, "openai", PLAIN, &tenant);
    let client = bound.acme().header("x-weir-channel", "first");
    let text = client
        .open("/v1/chat/completions", &chat_request())
        .rest()
        .text();
    assert!(text.contains("provider_broken"), "{text}");
    assert_eq!(second.count(), 0);
    // Unbound, the same call is. The first channel is avoided for a moment.
    std::thread::sleep(std::time::Duration::from_millis(20));
    let text = bound
        .acme()
        .open("/v1/chat/completions", &chat_request())
        .rest()
        .text();
    assert_eq!(marks(&text), 1, "{text}");

    let probe = "[[policy]]\nname = \"probe\"\nsource = \"file:probe.wasm\"\ndeadline_ms = 5000\n[policy.config]\nevents = { text = \"uppercase\" }\n";
    let settings = probe.to_owned()
        + &first.channel("openai", "first", "priority = 10")
        + &second.channel("openai", "second", PLAIN);
    let looked_into = weir_tests::Setup::new(&settings)
        .write("probe.wasm", weir_tests::policy("testing-probe"))
        .start();
    let before = second.count();
    let reply = looked_into
        .acme()
        .open("/v1/chat/completions", &chat_request());
    let text = reply.rest().text();
    assert!(
        text.contains("THREE") && text.contains("provider_broken"),
        "{text}"
    );
    assert_eq!(second.count(), before);
}

#[test]
fn the_model_that_answered_in_anothers_place_is_asked_for_the_rest() {
    let down = Provider::always(Answer::error(500, "server_error"));
    let broken = Provider::always(cut_at_three());
    let second = Provider::always(rest());
    let settings = down.channel("openai", "down", "models = [\"down\"]")
        + &broken.channel("openai", "first", "models = [\"other\"]\npriority = 10")
        + &second.channel(
            "openai",
            "second",
            &format!("models = [\"other\"]\n{PLAIN}"),
        )
        + "[[fallback]]\nmodel = [\"down\"]\nto = [\"other\"]\n";
    let gateway = Gateway::start(&settings);
    let mut request = chat_request();
    request["model"] = json!("down");
    let reply = gateway.acme().open("/v1/chat/completions", &request).rest();
    assert_eq!(said(&reply.text()).0, "One two three four five.");
    assert_eq!(reply.header("x-weir-model"), "other");
    assert_eq!(second.seen().last().unwrap().json()["model"], "other");
    let call = gateway.call(&reply.id());
    assert_eq!(call["model"], "down", "{call}");
    let last = call["attempts"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["cause"], &last["model"]),
        (&json!("continuation"), &json!("other"))
    );
}

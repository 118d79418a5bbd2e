//! Another attempt, or another model, takes over before the caller sees anything.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_tests::{Answer, End, Gateway, Provider};

/// Lets the router begin a second attempt beside the first after this many milliseconds.
fn hedging(after_ms: u32) -> String {
    format!(
        "[[policy]]\nname = \"router\"\nsource = \"builtin:router\"\ndeadline_ms = 5000\n[policy.config]\nhedge_after_ms = {after_ms}\n"
    )
}

fn failures(call: &Value) -> Vec<&str> {
    let attempts = call["attempts"].as_array().unwrap();
    attempts
        .iter()
        .map(|attempt| attempt["failure"].as_str().unwrap_or("none"))
        .collect()
}

#[test]
fn a_slow_provider_is_overtaken_by_the_next() {
    let slow = Provider::always(Answer::chat("Late.").delayed(8_000));
    let quick = Provider::start();
    let settings = hedging(80)
        + &slow.channel("openai", "slow", "priority = 10")
        + &quick.channel("openai", "quick", "");
    let gateway = Gateway::start(&settings);
    let began = Instant::now();
    let reply = gateway.acme().chat("m").expect(200);
    assert!(reply.text().contains("Hello"), "{}", reply.text());
    assert!(began.elapsed() < Duration::from_secs(6), "it waited");
    let call = gateway.call(&reply.id());
    assert_eq!(call["channel"], "quick");
    assert_eq!(failures(&call), ["hedge_lost", "none"], "{call}");
    let metrics = gateway.admin().get("/metrics").text();
    assert!(
        metrics.contains("weir_hedges_total{result=\"won\"} 1"),
        "{metrics}"
    );
}

#[test]
fn what_must_not_run_twice_is_not_hedged() {
    let slow = Provider::always(Answer::json(200, &json!({"data": []})).delayed(400));
    let quick = Provider::start();
    let settings = hedging(50)
        + &slow.channel("openai", "slow", "priority = 10")
        + &quick.channel("openai", "quick", "");
    let gateway = Gateway::start(&settings);
    let body = json!({"model": "m", "prompt": "A cat."});
    gateway
        .acme()
        .post("/v1/images/generations", &body)
        .expect(200);
    assert_eq!((slow.count(), quick.count()), (1, 0));
}

/// A gateway with this provider first and a good one second.
fn before_a_good_one(first: &Provider, dialect: &str) -> (Provider, Gateway) {
    let second = Provider::with(|seen| match seen.path.split(['?', ':']).next() {
        Some("/v1/messages") => Answer::events(
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        ),
        Some("/v1/responses") => Answer::events(
            "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hello\"}\n\n",
        ),
        Some("/v1/chat/completions") => Answer::chat_events("Hello"),
        _ => Answer::events(
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hello\"}]}}]}\n\n",
        ),
    });
    let settings =
        "[upstream]\nidle_stream_timeout_ms = 150\n[cooldown]\nfirst_ms = 1\nmax_ms = 1\n"
            .to_owned()
            + &first.channel(dialect, "first", "priority = 10")
            + &second.channel(dialect, "second", "");
    let gateway = Gateway::start(&settings);
    (second, gateway)
}

/// Path and body of a stream, its channel's dialect, its ceremony, and how it says an error.
fn streams() -> [(
    &'static str,
    Value,
    &'static str,
    &'static str,
    &'static str,
); 4] {
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let chat = json!({"model": "m", "stream": true, "max_tokens": 9, "messages": messages});
    [
        (
            "/v1/chat/completions",
            chat.clone(),
            "openai",
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
            "data: {\"error\":{\"type\":\"server_error\"}}\n\n",
        ),
        (
            "/v1/responses",
            json!({"model": "m", "stream": true, "input": "Hi"}),
            "openai",
            "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}\n\n",
            "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\"}\n\n",
        ),
        (
            "/v1/messages",
            chat,
            "anthropic",
            "event: message_start\ndata: {\"type\":\"message_start\"}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n",
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
        ),
        (
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            json!({"contents": [{"parts": [{"text": "Hi"}]}]}),
            "gemini",
            "",
            "data: {\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\"}}\n\n",
        ),
    ]
}

#[test]
fn a_stream_that_fails_before_its_first_word_is_begun_anew() {
    for (path, body, dialect, ceremony, error) in streams() {
        let first = Provider::start();
        let (second, gateway) = before_a_good_one(&first, dialect);
        let endings = [
            (Answer::events([ceremony, error].concat()), "error_event"),
            (
                Answer::events(ceremony).ending(End::Cut(ceremony.len())),
                "broken_reply",
            ),
            (
                Answer::events(ceremony).ending(End::Stall(ceremony.len())),
                if ceremony.is_empty() {
                    "first_byte_timeout"
                } else {
                    "broken_reply"
                },
            ),
        ];
        for (number, (answer, failure)) in endings.into_iter().enumerate() {
            if ceremony.is_empty() && number == 2 {
                continue;
            }
            first.next([answer]);
            let reply = gateway.acme().open(path, &body).rest();
            let text = reply.text();
            assert_eq!(reply.status, 200, "{path}: {text}");
            assert!(reply.broken.is_none(), "{path}: {:?}", reply.broken);
            assert!(text.contains("Hello"), "{path}: {text}");
            assert!(
                ceremony.is_empty() || dialect == "openai" || !text.contains(ceremony),
                "{path}: the first one is seen: {text}"
            );
            let call = gateway.call(&reply.id());
            assert_eq!(failures(&call), [failure, "none"], "{path}: {call}");
            assert_eq!(second.count(), number + 1);
            // Then nothing keeps the next call from it.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_stream_that_stalls_ends_with_an_error_event_and_is_told_as_broken() {
    for (path, body, dialect, _, _) in streams() {
        let begun = "data: {\"type\":\"something\"}\n\n";
        let provider = Provider::always(Answer::events(begun).ending(End::Stall(begun.len())));
        let settings = "[upstream]\nidle_stream_timeout_ms = 100\n".to_owned()
            + &provider.channel(dialect, "main", "");
        let gateway = Gateway::start(&settings);
        let reply = gateway.acme().open(path, &body).rest();
        let text = reply.text();
        assert!(text.starts_with(begun), "{path}: {text}");
        assert!(text.contains("provider_broken"), "{path}: {text}");
        assert!(
            reply.broken.is_some(),
            "{path}: it ended as if it were whole"
        );
        assert_eq!(gateway.call(&reply.id())["ended"], "upstream_broke");
    }
}

#[test]
fn another_model_answers_what_a_model_does_not_serve() {
    let provider = Provider::with(|seen| match seen.json()["model"].as_str() {
        Some("small") => Answer::error(400, "context_length_exceeded"),
        Some("strict") => Answer::error(400, "content_filter"),
        Some("down") => Answer::error(500, "server_error"),
        Some("wrong") => Answer::error(400, "invalid_value"),
        _ => Answer::chat("Hello."),
    });
    let fallback = |model: &str, on: &str, to: &str| {
        format!("[[fallback]]\nmodel = [\"{model}\"]\non = [{on}]\nto = [{to}]\n")
    };
    let settings = [
        provider.channel(
            "openai",
            "main",
            "models = [\"small\", \"strict\", \"down\", \"wrong\", \"large\"]",
        ),
        fallback("small", "\"context_length\"", "\"nobodys\", \"large\""),
        fallback("strict", "\"content_refusal\"", "\"large\""),
        fallback("down", "\"error\"", "\"down\", \"strict\", \"large\""),
        fallback("wrong", "\"error\", \"context_length\"", "\"large\""),
    ]
    .concat();
    let gateway = Gateway::start(&settings);
    for model in ["small", "strict", "down"] {
        let reply = gateway.acme().chat(model).expect(200);
        assert_eq!(reply.header("x-weir-model"), "large", "{model}");
        let call = gateway.call(&reply.id());
        assert_eq!(
            (&call["model"], &call["upstream_model"]),
            (&json!(model), &json!("large"))
        );
    }
    let reply = gateway.acme().chat("wrong").expect(400);
    assert_eq!(
        (reply.code().as_str(), reply.header("x-weir-model")),
        ("invalid_value", "")
    );
    let reply = gateway.acme().chat("large").expect(200);
    assert_eq!(reply.header("x-weir-model"), "");
}

/// `large` costs 1 for each of its output tokens, `small` a tenth, `tiny` nothing.
const PRICES: &str = "
[[price]]
model = [\"large\"]
input_micros_per_million = 0
output_micros_per_million = 1_000_000
[[price]]
model = [\"small\", \"smaller\"]
input_micros_per_million = 0
output_micros_per_million = 100_000
[[price]]
model = [\"smaller\"]
input_micros_per_million = 0
output_micros_per_million = 90_000
";

#[test]
fn what_would_cost_too_much_goes_to_a_cheaper_model() {
    let provider = Provider::with(|seen| match seen.json()["model"].as_str() {
        Some("small") if seen.header("x-small") == "down" => Answer::error(500, "server_error"),
        _ => Answer::chat("Hello."),
    });
    let rule = |model: &str, on: &str, to: &str| {
        format!(
            "[[fallback]]\nmodel = [\"{model}\"]\non = [{on}]\nto = [{to}]\ncost_max_micros = 500\n"
        )
    };
    let models = "models = [\"large\", \"other\", \"small\", \"smaller\"]\nmodel_map = { \"other\" = \"large\" }";
    let settings = [
        PRICES,
        &provider.channel("openai", "main", models),
        &rule(
            "large",
            "\"cost\", \"error\"",
            "\"nobodys\", \"small\", \"smaller\"",
        ),
        &rule("other", "\"cost\"", "\"small\""),
    ]
    .concat();
    let gateway = Gateway::start(&settings);
    let ask = |model: &str, max_tokens: u32, small: &str| {
        let body = json!({"model": model, "max_tokens": max_tokens, "messages": [{"role": "user", "content": "Hi"}]});
        let client = gateway.acme().header("x-small", small);
        let reply = client.post("/v1/chat/completions", &body).expect(200);
        let call = gateway.call(&reply.id());
        assert_eq!(call["model"], model, "{call}");
        (reply.header("x-weir-model").to_owned(), call)
    };
    let attempt = |call: &Value, at: usize| {
        let attempt = &call["attempts"][at];
        [&attempt["cause"], &attempt["model"]].map(|text| text.as_str().unwrap_or("-").to_owned())
    };
    // As much as it may cost; then more, for which there is a model; then more than any of them should
    // cost, where the cheapest of them is taken.
    let (answered, call) = ask("large", 500, "");
    assert_eq!(
        (&*answered, attempt(&call, 0)),
        ("", ["-", "-"].map(Into::into))
    );
    let (answered, call) = ask("large", 501, "");
    assert_eq!(
        (&*answered, attempt(&call, 0)),
        ("small", ["cost", "small"].map(Into::into))
    );
    assert_eq!(call["upstream_model"], "small", "{call}");
    let (answered, _) = ask("large", 10_000, "");
    assert_eq!(answered, "smaller");
    // What is cheap enough and fails is no reason to fail: the others come after it.
    let (answered, call) = ask("large", 501, "down");
    assert_eq!(answered, "smaller");
    let last = call["attempts"].as_array().unwrap().len() - 1;
    assert_eq!(
        attempt(&call, 0),
        ["cost", "small"].map(String::from),
        "{call}"
    );
    assert_eq!(
        attempt(&call, last),
        ["error", "smaller"].map(String::from),
        "{call}"
    );
    // The price is that of the provider's name for the model.
    let (answered, _) = ask("other", 501, "");
    assert_eq!(answered, "small");
    // Without a bound of its own the call counts for what is assumed: 1024 tokens.
    let reply = gateway.acme().chat("large").expect(200);
    assert_eq!(reply.header("x-weir-model"), "small");
}

/// What Anthropic says at the beginning of a stream, before the first word.
const TOLD: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"m\",\"usage\":{\"input_tokens\":4321,\"output_tokens\":1}}}\n\n";

#[test]
fn what_an_attempt_used_in_vain_is_known_where_its_provider_said_so() {
    let error =
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    let endings = [
        (
            Answer::events([TOLD, error].concat()),
            "error_event",
            json!(4_321),
        ),
        (
            Answer::events(TOLD).ending(End::Cut(TOLD.len())),
            "broken_reply",
            json!(4_321),
        ),
        // Nobody waits for it: the next one was faster.
        (
            Answer::events(TOLD).ending(End::Stall(TOLD.len())),
            "hedge_lost",
            json!(4_321),
        ),
        (Answer::events(error), "error_event", Value::Null),
    ];
    for (answer, failure, told) in endings {
        let first = Provider::always(answer);
        let second = Provider::always(Answer::events(
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        ));
        let key =
            "priority = 10\nkeys = []\n[[channel.key]]\nsecret = \"plain:a\"\ntpm = 100_000\n";
        let price = "[[price]]\nmodel = [\"m\"]\nchannel = [\"first\"]\ninput_micros_per_million = 2_000_000\noutput_micros_per_million = 0\n";
        let settings = hedging(80)
            + price
            + &first.channel("anthropic", "first", key)
            + &second.channel("anthropic", "second", "");
        let gateway = Gateway::start(&settings);
        let body = json!({"model": "m", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
        let reply = gateway.acme().open("/v1/messages", &body).rest();
        assert!(reply.text().contains("Hello"), "{}", reply.text());
        let call = gateway.call(&reply.id());
        let attempt = &call["attempts"][0];
        assert_eq!(attempt["failure"], failure, "{call}");
        assert_eq!(attempt["usage"]["input_tokens"], told, "{call}");
        let cost = if told.is_null() {
            Value::Null
        } else {
            json!(8_642)
        };
        assert_eq!(attempt["usage"]["cost_micros"], cost, "{call}");
        // It is no part of what the caller pays for.
        assert!(
            call["usage"]["input_tokens"].as_u64().unwrap() < 100,
            "{call}"
        );
        let keys = gateway.admin().get("/admin/v1/channels/first/keys");
        let load = keys.expect(200).json()["data"][0]["load"]["tokens"].clone();
        if told.is_null() {
            assert!(load.as_u64().unwrap() < 100, "{load}");
        } else {
            assert_eq!(load, 4_322);
        }
    }
}

#[test]
fn what_a_provider_said_before_the_caller_hung_up_is_used() {
    let provider = Provider::always(Answer::events(TOLD).ending(End::Stall(TOLD.len())));
    let settings =
        "[retry]\nhold_ms = 60000\n".to_owned() + &provider.channel("anthropic", "a", "");
    let gateway = Gateway::start(&settings);
    let body = json!({"model": "m", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "Hi"}]}).to_string();
    let mut caller = weir_tests::Raw::connect(gateway.acme().address());
    caller.write(format!(
        "POST /v1/messages HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
        weir_tests::KEY,
        body.len()
    ));
    weir_tests::eventually("the provider is asked", || {
        (provider.count() > 0).then_some(())
    });
    // What it says at once must have come; it is not seen from outside.
    std::thread::sleep(Duration::from_millis(300));
    drop(caller);
    let call = weir_tests::eventually("the call is in the ledger", || {
        let calls = gateway.admin().get("/admin/v1/calls").expect(200).json();
        calls["data"].get(0).cloned()
    });
    assert_eq!(call["ended"], "client_closed", "{call}");
    assert_eq!(call["usage"]["input_tokens"], 4_321, "{call}");
    assert_eq!(call["usage"]["estimated"], true, "{call}");
}

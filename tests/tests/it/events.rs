//! Streams through a policy that looks at every event: byte for byte where it lets them pass, and
//! whole streams of their dialect where it does not.

use serde_json::{Value, json};
use weir_tests::{Answer, Gateway, Provider, Recording, policy_file, recordings};

/// The probe with this as its `events`.
fn probe(events: &str) -> String {
    format!(
        "\n[[policy]]\nname = \"probe\"\nsource = \"file:{}\"\ndeadline_ms = 5000\nwait_max_ms = 20000\n[policy.config]\nevents = {{ {events} }}\n",
        policy_file("testing-probe").display()
    )
}

/// The text of each choice, the name and arguments of each tool call by choice and index, and the last
/// usage of a streamed chat.
#[derive(Debug, Default, PartialEq)]
struct Chat {
    texts: [String; 2],
    calls: [[String; 2]; 2],
    finishes: Vec<(u64, String)>,
    usage: Value,
}

impl Chat {
    fn of(stream: &str) -> Chat {
        let mut chat = Chat::default();
        let data = stream
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        for event in data.filter(|data| *data != "[DONE]") {
            let event: Value = serde_json::from_str(event).unwrap();
            if event["usage"].is_object() {
                chat.usage = event["usage"].clone();
            }
            for choice in event["choices"].as_array().unwrap() {
                let index = choice["index"].as_u64().unwrap();
                let at = usize::try_from(index).unwrap();
                let delta = &choice["delta"];
                chat.texts[at] += delta["content"].as_str().unwrap_or_default();
                for call in delta["tool_calls"].as_array().into_iter().flatten() {
                    let number = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
                    let function = &call["function"];
                    let told = &mut chat.calls[at][number];
                    *told += function["name"].as_str().unwrap_or_default();
                    *told += function["arguments"].as_str().unwrap_or_default();
                }
                if let Some(reason) = choice["finish_reason"].as_str() {
                    chat.finishes.push((index, reason.to_owned()));
                }
            }
        }
        chat
    }
}

/// Two choices, each with text and two tool calls, in pieces by turns; then the usage.
fn two_choices() -> String {
    let event = |choices: Value, usage: Value| {
        let event = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, "usage": usage});
        format!("data: {event}\n\n")
    };
    let delta = |index: u32, delta: Value, finish: Value| {
        event(
            json!([{"index": index, "delta": delta, "finish_reason": finish}]),
            Value::Null,
        )
    };
    let call = |number: u32, name: Value, arguments: &str| json!({"tool_calls": [{"index": number, "id": name, "type": "function", "function": {"name": name, "arguments": arguments}}]});
    let mut stream = String::new();
    for word in ["one ", "two "] {
        for choice in [1, 0] {
            stream += &delta(
                choice,
                json!({"content": format!("{word}{choice} ")}),
                Value::Null,
            );
        }
    }
    for number in [0, 1] {
        for choice in [0, 1] {
            stream += &delta(
                choice,
                call(number, json!(format!("f{number}")), ""),
                Value::Null,
            );
        }
        for choice in [1, 0] {
            stream += &delta(choice, call(number, Value::Null, "{\"a\":"), Value::Null);
            stream += &delta(
                choice,
                call(number, Value::Null, &format!("{choice}}}")),
                Value::Null,
            );
        }
    }
    // Both end in one event.
    stream += &event(
        json!([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}, {"index": 1, "delta": {}, "finish_reason": "stop"}]),
        Value::Null,
    );
    stream += &event(
        json!([]),
        json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}),
    );
    stream + "data: [DONE]\n\n"
}

fn through(events: &str) -> (String, Value) {
    let provider = Provider::with(|_| Answer::events(two_choices()));
    let gateway = Gateway::start(&(provider.channel("openai", "main", "") + &probe(events)));
    let reply = gateway.acme().chat_stream("m").rest();
    assert_eq!(
        (reply.status, reply.broken.clone()),
        (200, None),
        "{}",
        reply.text()
    );
    let usage = gateway.call(&reply.id())["usage"].clone();
    (reply.text(), usage)
}

#[test]
fn choices_and_tool_calls_are_kept_apart() {
    let sent = Chat::of(&two_choices());
    let (passed, usage) = through("text = \"pass\"");
    assert_eq!(passed, two_choices(), "byte for byte");
    assert_eq!(
        (&usage["input_tokens"], &usage["output_tokens"]),
        (&json!(7), &json!(3))
    );
    let rest = |texts: [&str; 2]| Chat {
        texts: texts.map(str::to_owned),
        calls: sent.calls.clone(),
        finishes: sent.finishes.clone(),
        usage: sent.usage.clone(),
    };
    for (events, texts) in [
        ("text = \"uppercase\"", ["ONE 0 TWO 0 ", "ONE 1 TWO 1 "]),
        (
            "text = \"double\"",
            ["one 0 one 0 two 0 two 0 ", "one 1 one 1 two 1 two 1 "],
        ),
        ("text = \"drop\"", ["", ""]),
        (
            "text = { redact = \"two\" }",
            ["one 0 *** 0 ", "one 1 *** 1 "],
        ),
        ("text = \"drop\", append = \"end\"", ["end", ""]),
    ] {
        let (stream, usage) = through(events);
        assert_eq!(Chat::of(&stream), rest(texts), "{events}: {stream}");
        assert!(stream.ends_with("data: [DONE]\n\n"), "{events}: {stream}");
        assert_eq!(usage["output_tokens"], 3, "{events}");
    }
}

/// Every recorded stream of these endpoints, through a policy that lets all events pass.
fn pass(dialect: &str, endpoints: &[&str]) {
    let recordings: Vec<Recording> = endpoints
        .iter()
        .flat_map(|endpoint| recordings(endpoint))
        .filter(|recording| {
            recording.status == 200 && recording.streams && recording.request.is_object()
        })
        .collect();
    assert!(!recordings.is_empty());
    let provider = Provider::start();
    let gateway =
        Gateway::start(&(provider.channel(dialect, "main", "") + &probe("text = \"pass\"")));
    for recording in &recordings {
        provider.next([Answer::replay(recording)]);
        let reply = gateway
            .acme()
            .open(&recording.path, &recording.request)
            .rest();
        let name = &recording.name;
        assert_eq!((reply.status, reply.broken.clone()), (200, None), "{name}");
        assert!(
            reply.body == recording.body,
            "{name}: other bytes:\n{}",
            reply.text()
        );
    }
}

#[test]
fn openai_streams_pass_a_looking_policy_byte_for_byte() {
    pass(
        "openai",
        &[
            "openai/chat_completions",
            "openai/responses",
            "openai/completions",
        ],
    );
}

#[test]
fn anthropic_streams_pass_a_looking_policy_byte_for_byte() {
    pass("anthropic", &["anthropic/messages"]);
}

#[test]
fn gemini_streams_pass_a_looking_policy_byte_for_byte() {
    pass("gemini", &["gemini/streamGenerateContent"]);
}

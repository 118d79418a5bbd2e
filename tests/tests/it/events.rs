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

#[test]
fn a_policy_sees_all_text_also_where_it_comes_with_or_after_the_end() {
    let chunk = |index: u32, text: &str, finish: Value| {
        let choice = json!({"index": index, "delta": {"content": text}, "finish_reason": finish});
        let event = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]});
        format!("data: {event}\n\n")
    };
    let stream = [
        chunk(0, "one ", Value::Null),
        // The last text comes with the end, and the second choice after the first.
        chunk(0, "two", json!("stop")),
        chunk(1, "three ", Value::Null),
        chunk(1, "four", json!("stop")),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let provider = Provider::with(move |_| Answer::events(stream.clone()));
    let channel = provider.channel("openai", "main", "");
    for (events, texts) in [
        ("text = \"uppercase\"", ["ONE TWO", "THREE FOUR"]),
        ("text = \"drop\"", ["", ""]),
        ("text = \"hold\"", ["one two", "three four"]),
        (
            "text = { redact = \"two\" }, append = \".\"",
            ["one ***..", "three four"],
        ),
    ] {
        let gateway = Gateway::start(&(channel.clone() + &probe(events)));
        let reply = gateway.acme().chat_stream("m").rest();
        let text = reply.text();
        assert_eq!(
            (reply.status, reply.broken),
            (200, None),
            "{events}: {text}"
        );
        let chat = Chat::of(&text);
        assert_eq!(chat.texts, texts.map(str::to_owned), "{events}: {text}");
        let ends = [(0, "stop".to_owned()), (1, "stop".to_owned())];
        assert_eq!(chat.finishes, ends, "{events}: {text}");
        assert!(text.ends_with("data: [DONE]\n\n"), "{events}: {text}");
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

/// What a stream tells: its text, the arguments of its tool calls, and what it says of tokens.
#[derive(Debug, Default, PartialEq)]
struct Told {
    text: String,
    arguments: String,
    usage: Vec<Value>,
    /// How many pieces the text came in.
    pieces: usize,
}

impl Told {
    fn of(dialect: &str, stream: &str) -> Told {
        let mut told = Told::default();
        let data = stream
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter_map(|data| serde_json::from_str::<Value>(data).ok());
        for event in data {
            let before = told.text.len();
            let texts = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
            match dialect {
                "openai.responses" => match texts("/type").unwrap() {
                    "response.output_text.delta" => told.text += texts("/delta").unwrap(),
                    "response.function_call_arguments.delta" => {
                        told.arguments += texts("/delta").unwrap();
                    }
                    "response.completed" => told.usage.push(event["response"]["usage"].clone()),
                    _ => {}
                },
                "anthropic" => {
                    told.text += texts("/delta/text").unwrap_or_default();
                    told.arguments += texts("/delta/partial_json").unwrap_or_default();
                    told.usage.extend(event.get("usage").cloned());
                }
                _ => {
                    let parts = event.pointer("/candidates/0/content/parts");
                    for part in parts.and_then(Value::as_array).into_iter().flatten() {
                        // Not a thought.
                        if part.get("thought").is_none() {
                            told.text += part["text"].as_str().unwrap_or_default();
                        }
                        if let Some(call) = part.get("functionCall") {
                            told.arguments += &call["args"].to_string();
                        }
                    }
                    told.usage.extend(event.get("usageMetadata").cloned());
                }
            }
            told.pieces += usize::from(told.text.len() > before);
        }
        told
    }
}

/// Every recorded stream of an endpoint that has text or tool calls, through policies that change, hold
/// back, drop and add: what they do not touch stays as it was.
fn changed(dialect: &str, channel: &str, endpoint: &str) {
    let provider = Provider::start();
    let settings = provider.channel(channel, "main", "");
    let recordings: Vec<(Recording, Told)> = recordings(endpoint)
        .into_iter()
        .filter(|recording| {
            // Gemini's without `alt=sse` are one JSON array, for `reply`.
            let of_events =
                recording.body.starts_with(b"data:") || recording.body.starts_with(b"event:");
            recording.status == 200
                && recording.streams
                && recording.request.is_object()
                && of_events
        })
        .map(|recording| {
            let told = Told::of(dialect, &String::from_utf8_lossy(&recording.body));
            (recording, told)
        })
        .collect();
    let has = |of: fn(&Told) -> &String| recordings.iter().any(|(_, told)| !of(told).is_empty());
    assert!(has(|told| &told.text));
    // No recording of Responses has both.
    assert!(has(|told| &told.arguments) || dialect == "openai.responses");
    type Expected = fn(&str) -> String;
    let cases: [(&str, Expected); 4] = [
        ("text = \"uppercase\"", |text| text.to_uppercase()),
        ("text = \"hold\"", str::to_owned),
        ("text = \"drop\"", |_| String::new()),
        ("text = \"drop\", append = \"instead\"", |_| {
            "instead".to_owned()
        }),
    ];
    for (events, expected) in cases {
        let gateway = Gateway::start(&(settings.clone() + &probe(events)));
        for (recording, sent) in &recordings {
            provider.next([Answer::replay(recording)]);
            let reply = gateway
                .acme()
                .open(&recording.path, &recording.request)
                .rest();
            let name = format!("{events}, {}", recording.name);
            let text = reply.text();
            assert_eq!((reply.status, reply.broken), (200, None), "{name}: {text}");
            let told = Told::of(dialect, &text);
            assert_eq!(told.text, expected(&sent.text), "{name}: {text}");
            assert_eq!(told.arguments, sent.arguments, "{name}: {text}");
            assert_eq!(told.usage, sent.usage, "{name}: {text}");
        }
    }
    // And one that ends the stream says so in the dialect's own words.
    let deny = "at = 1, do = [{ deny = { status = 403, code = \"enough\", message = \"That is enough.\" } }]";
    let gateway = Gateway::start(&(settings + &probe(deny)));
    for (recording, _) in recordings.iter().filter(|(_, told)| told.pieces > 1) {
        provider.next([Answer::replay(recording)]);
        let reply = gateway
            .acme()
            .open(&recording.path, &recording.request)
            .rest();
        let text = reply.text();
        assert!(
            reply.status == 403 || reply.broken.is_some(),
            "{}: {} {text}",
            recording.name,
            reply.status
        );
        assert!(text.contains("That is enough."), "{}", recording.name);
        assert!(
            !text.contains("response.completed") && !text.contains("message_stop"),
            "{}: {text}",
            recording.name
        );
    }
}

#[test]
fn openai_responses_are_changed_without_loss() {
    changed("openai.responses", "openai", "openai/responses");
}

#[test]
fn anthropic_streams_are_changed_without_loss() {
    changed("anthropic", "anthropic", "anthropic/messages");
}

#[test]
fn gemini_streams_are_changed_without_loss() {
    changed("gemini", "gemini", "gemini/streamGenerateContent");
}

//! examples/pii-redaction: what a provider sees of a request, and a caller of a reply.

use serde_json::{Value, json};
use weir_tests::{Answer, Client, Provider, Reply};

use super::{Example, Said, events, payloads, recorded_streams, streamed_text};

const ANSWER: &str =
    "I wrote to [EMAIL_1] and to eve@example.com; the card was 4111 1111 1111 1111.";
const RESTORED: &str = "I wrote to bob@example.com and to [EMAIL]; the card was [CARD].";
const REDACTED: &str = "I wrote to [EMAIL_1] and to [EMAIL]; the card was [CARD].";

fn body(path: &str, stream: bool) -> Value {
    let text = "Write to bob@example.com";
    match path {
        "/v1/responses" => json!({"model": "assistant", "stream": stream, "input": text}),
        path if path.contains("/v1beta/") => {
            json!({"contents": [{"role": "user", "parts": [{"text": text}]}]})
        }
        _ => {
            json!({"model": "assistant", "stream": stream, "max_tokens": 99, "messages": [{"role": "user", "content": text}]})
        }
    }
}

fn ask(caller: &Client, path: &str, stream: bool) -> Reply {
    caller.post(path, &body(path, stream)).expect(200)
}

#[test]
fn whole_replies_and_streams_in_every_dialect() {
    let Some(example) = Example::named("pii-redaction") else {
        return;
    };
    let running = example.start();
    for (key, wanted) in [("clinic", RESTORED), ("acme", REDACTED)] {
        let caller = running.caller(key);
        let gemini = "/v1beta/models/assistant:";
        for path in [
            "/v1/chat/completions",
            "/v1/responses",
            "/v1/messages",
            &format!("{gemini}generateContent"),
        ] {
            let reply = ask(&caller, path, false).text();
            assert!(reply.contains(wanted), "{key} {path}: {reply}");
        }
        for path in [
            "/v1/chat/completions",
            "/v1/responses",
            "/v1/messages",
            &format!("{gemini}streamGenerateContent?alt=sse"),
        ] {
            let reply = ask(&caller, path, true);
            assert_eq!(
                streamed_text(&reply),
                wanted,
                "{key} {path}: {}",
                reply.text()
            );
            // Also where a dialect says all of it again at the end.
            assert!(!reply.text().contains("eve@"), "{key} {path}");
        }
    }
    let refused = running.caller("acme").post(
        "/v1beta/models/assistant:streamGenerateContent",
        &body("/v1beta/", true),
    );
    assert_eq!(refused.expect(400).code(), "stream_not_supported");
    assert!(running.metric("redacted", &[("kind", "CARD"), ("in", "reply")]) > 0.0);
}

#[test]
fn the_provider_sees_placeholders_and_nothing_else_is_changed() {
    let Some(example) = Example::named("pii-redaction") else {
        return;
    };
    let provider = Provider::always(Answer::chat(ANSWER));
    let running = example.behind("provider", "openai", &provider).start();
    let sent = r#"{ "model":"assistant", "messages":[ {"role":"user","content":"I am Ada Lovelace (MED-123456), DE89 3704 0044 0532 0130 00 \u00e9"} ],"temperature":0.50 }"#;
    let reply = running
        .caller("clinic")
        .send("POST", "/v1/chat/completions", sent)
        .expect(200);
    let seen = String::from_utf8(provider.seen()[0].body.to_vec()).unwrap();
    let wanted = sent.replace(
        r"I am Ada Lovelace (MED-123456), DE89 3704 0044 0532 0130 00 \u00e9",
        "I am [PATIENT_1] ([FILE_1]), [IBAN_1] é",
    );
    assert_eq!(seen, wanted);
    // Nothing was taken out that `[EMAIL_1]` could stand for.
    assert!(
        reply.text().contains("to [EMAIL_1] and to [EMAIL]"),
        "{}",
        reply.text()
    );
}

#[test]
fn arguments_of_tools_come_back_whole() {
    let Some(example) = Example::named("pii-redaction") else {
        return;
    };
    let chunk = |delta: Value, finish: Value| {
        let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
        format!("data: {chunk}\n\n")
    };
    let call = |call: Value| chunk(json!({"tool_calls": [call]}), Value::Null);
    let piece =
        |index: u8, text: &str| call(json!({"index": index, "function": {"arguments": text}}));
    let begin = |index: u8| {
        let function = json!({"name": "send", "arguments": ""});
        call(
            json!({"index": index, "id": format!("call_{index}"), "type": "function", "function": function}),
        )
    };
    let stream = [
        begin(0),
        piece(0, "{\"to\": \"[EMA"),
        piece(0, "IL_1]\"}"),
        begin(1),
        piece(1, "{\"to\": \"eve@exa"),
        piece(1, "mple.com\"}"),
        chunk(json!({}), json!("tool_calls")),
        "data: [DONE]\n\n".to_owned(),
    ];
    let provider = Provider::always(Answer::events(stream.concat()));
    let running = example.behind("provider", "openai", &provider).start();
    let reply = ask(&running.caller("clinic"), "/v1/chat/completions", true);
    let mut arguments = [String::new(), String::new()];
    for event in events(&reply) {
        let call = &event["choices"][0]["delta"]["tool_calls"][0];
        if let Some(index) = call["index"].as_u64() {
            arguments[usize::try_from(index).unwrap()] +=
                call["function"]["arguments"].as_str().unwrap_or_default();
        }
    }
    let wanted = ["{\"to\": \"bob@example.com\"}", "{\"to\": \"[EMAIL]\"}"];
    assert_eq!(arguments, wanted, "{}", reply.text());
}

#[test]
fn what_holds_back_changes_nothing_of_recorded_streams() {
    for dialect in ["openai", "anthropic", "gemini"] {
        let Some(example) = Example::named("pii-redaction") else {
            return;
        };
        let provider = Provider::start();
        // Everything is looked for, and allowed.
        let running = example
            .behind("provider", dialect, &provider)
            .with("models = [\"assistant\"]", "")
            .with("[\"*@acme.example\"]", "[\"*\"]")
            .start();
        let acme = running.caller("acme");
        for (_, recording) in recorded_streams().iter().filter(|(of, _)| *of == dialect) {
            provider.next([Answer::replay(recording)]);
            let reply = acme.post(&recording.path, &recording.request);
            let original = String::from_utf8_lossy(&recording.body).into_owned();
            let (wanted, said) = (payloads(&original), events(&reply));
            assert_eq!(
                Said::by(&said),
                Said::by(&wanted),
                "{}: {}",
                recording.name,
                reply.text()
            );
            assert_eq!(reply.broken, None, "{}", recording.name);
        }
    }
}

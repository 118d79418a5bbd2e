//! examples/response-cache: the same question is answered once, and nobody gets another's answer.

use serde_json::{Value, json};
use weir_tests::{Answer, Client, Provider, Reply};

use super::{Example, Said, events, recorded_streams, streamed_text};

fn question(path: &str, stream: bool) -> Value {
    let text = "What is the capital of France?";
    match path {
        "/v1/responses" => {
            json!({"model": "assistant", "stream": stream, "temperature": 0, "store": false, "input": text})
        }
        path if path.contains("/v1beta/") => {
            json!({"contents": [{"role": "user", "parts": [{"text": text}]}], "generationConfig": {"temperature": 0}})
        }
        _ => {
            json!({"model": "assistant", "stream": stream, "temperature": 0, "max_tokens": 99, "messages": [{"role": "user", "content": text}]})
        }
    }
}

const CHAT: &str = "/v1/chat/completions";

fn ask(caller: &Client, path: &str, stream: bool) -> Reply {
    caller.post(path, &question(path, stream)).expect(200)
}

#[track_caller]
fn is_hit(reply: &Reply) -> bool {
    match reply.header("x-weir-cache") {
        "hit" => true,
        "" => false,
        other => panic!("x-weir-cache: {other}"),
    }
}

/// A provider whose answers are numbered.
fn numbered() -> Provider {
    let asked = std::sync::atomic::AtomicU32::new(1);
    Provider::with(move |_| {
        let number = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Answer::chat(&format!("answer {number}"))
    })
}

fn content(reply: &Reply) -> String {
    let content = &reply.json()["choices"][0]["message"]["content"];
    content.as_str().unwrap().to_owned()
}

#[test]
fn each_key_has_answers_of_its_own_unless_they_are_shared() {
    let Some(example) = Example::named("response-cache") else {
        return;
    };
    let provider = numbered();
    let running = example.behind("provider", "openai", &provider).start();
    let [search, chat, globex] = ["search", "chat", "globex"].map(|key| running.caller(key));
    let first = ask(&search, CHAT, false);
    assert!(!is_hit(&first));
    let again = ask(&search, CHAT, false);
    assert!(is_hit(&again) && !again.header("age").is_empty());
    assert_eq!(again.body, first.body);
    assert_eq!(content(&ask(&chat, CHAT, false)), "answer 2");
    assert_eq!(content(&ask(&globex, CHAT, false)), "answer 3");
    // Those of one tenant share, where the operator says so.
    let (docs, help) = (running.caller("docs"), running.caller("help"));
    assert_eq!(content(&ask(&docs, CHAT, false)), "answer 4");
    assert_eq!(content(&ask(&help, CHAT, false)), "answer 4");
    assert_eq!(provider.count(), 4);
    let call = running.gateway.call(&again.id());
    assert_eq!(call["attempts"].as_array().map(Vec::len), Some(0), "{call}");
    let hits = running.metric("hits", &[("streamed", "false")]);
    let misses = running.metric("misses", &[("streamed", "false")]);
    assert_eq!((hits, misses), (1.0, 3.0));
}

#[test]
fn a_caller_can_ask_for_a_new_answer() {
    let Some(example) = Example::named("response-cache") else {
        return;
    };
    let provider = numbered();
    let running = example.behind("provider", "openai", &provider).start();
    let search = running.caller("search");
    let asking = |control: &str| {
        let caller = search.clone().header("cache-control", control);
        content(&ask(&caller, CHAT, false))
    };
    assert_eq!(content(&ask(&search, CHAT, false)), "answer 1");
    assert_eq!(asking("no-store"), "answer 2");
    assert_eq!(content(&ask(&search, CHAT, false)), "answer 1");
    assert_eq!(asking("no-cache"), "answer 3");
    assert_eq!(content(&ask(&search, CHAT, false)), "answer 3");
    // A key that wants none, and a call that wants another answer each time.
    let live = running.caller("live");
    assert_ne!(
        content(&ask(&live, CHAT, false)),
        content(&ask(&live, CHAT, false))
    );
    let mut warm = question(CHAT, false);
    warm["temperature"] = json!(0.8);
    let warm = || content(&search.post(CHAT, &warm).expect(200));
    assert_ne!(warm(), warm());
}

#[test]
fn errors_are_not_kept() {
    let Some(example) = Example::named("response-cache") else {
        return;
    };
    let provider = numbered();
    provider.next([Answer::json(400, &json!({"error": {"message": "no"}}))]);
    let running = example.behind("provider", "openai", &provider).start();
    let search = running.caller("search");
    let refused = search.post(CHAT, &question(CHAT, false));
    assert_eq!(refused.status, 400);
    assert!(!is_hit(&ask(&search, CHAT, false)));
    assert!(is_hit(&ask(&search, CHAT, false)));
}

#[test]
fn streams_in_every_dialect_are_repeated() {
    let Some(example) = Example::named("response-cache") else {
        return;
    };
    let running = example.start();
    let search = running.caller("search");
    for path in [
        CHAT,
        "/v1/responses",
        "/v1/messages",
        "/v1beta/models/assistant:streamGenerateContent?alt=sse",
    ] {
        let first = ask(&search, path, true);
        let text = streamed_text(&first);
        assert!(!text.is_empty() && !is_hit(&first), "{path}");
        let again = ask(&search, path, true);
        assert!(is_hit(&again), "{path}");
        assert_eq!(streamed_text(&again), text, "{path}: {}", again.text());
        assert_eq!(again.header("content-type"), "text/event-stream", "{path}");
        // The same kinds of events, in the same order, but for how the text is cut.
        assert_eq!(kinds(&again), kinds(&first), "{path}");
    }
    assert_eq!(running.metric("hits", &[("streamed", "true")]), 4.0);
}

/// What the events of a stream are, each kind once in a row.
fn kinds(reply: &Reply) -> Vec<String> {
    let kind = |event: &Value| match event["type"].as_str() {
        Some(kind) => kind.to_owned(),
        None if event["choices"].is_array() => {
            let choice = &event["choices"][0];
            format!("chunk {}", choice["finish_reason"])
        }
        None => format!("chunk {}", event["candidates"][0]["finishReason"]),
    };
    let mut kinds: Vec<String> = events(reply).iter().map(kind).collect();
    kinds.dedup();
    kinds.retain(|kind| kind != "ping");
    kinds
}

#[test]
fn the_oldest_answers_make_room_for_new_ones() {
    let Some(example) = Example::named("response-cache") else {
        return;
    };
    // 80 answers of 240 kB, where 16 MiB are kept.
    let provider = Provider::always(Answer::chat(&"x".repeat(240_000)));
    let running = example.behind("provider", "openai", &provider).start();
    let search = running.caller("search");
    let ask = |number: u32| {
        let mut body = question(CHAT, false);
        body["seed"] = json!(number);
        is_hit(&search.post(CHAT, &body).expect(200))
    };
    for number in 0..80 {
        assert!(!ask(number));
    }
    let [last, first] = [79, 0].map(&ask);
    assert_eq!((last, first), (true, false));
    assert!(running.metric("evicted", &[]) >= 10.0);
    assert_eq!(running.metric("not_stored", &[]), 0.0);
}

#[test]
fn recorded_streams_are_repeated_in_their_own_dialect() {
    let mut hits = std::collections::BTreeMap::<&str, u32>::new();
    for dialect in ["openai", "anthropic", "gemini"] {
        let Some(example) = Example::named("response-cache") else {
            return;
        };
        let provider = Provider::start();
        let any =
            "temperature_max = 2.0\nwithout_temperature = true\ntools = true\nttl_ms = 300000";
        let running = example
            .behind("provider", dialect, &provider)
            .with("models = [\"assistant\"]", "")
            .with("ttl_ms = 300000", any)
            .start();
        let search = running.caller("search");
        for (_, recording) in recorded_streams().iter().filter(|(of, _)| *of == dialect) {
            provider.next([Answer::replay(recording)]);
            let mut request = recording.request.clone();
            if recording.path.contains("/responses") {
                request["store"] = json!(false);
            }
            let ask = || search.post(&recording.path, &request).expect(200);
            let (first, again) = (ask(), ask());
            if is_hit(&again) {
                let said = [&again, &first].map(|reply| Said::by(&events(reply)));
                assert_eq!(said[0], said[1], "{}: {}", recording.name, again.text());
                *hits.entry(dialect).or_default() += 1;
            }
        }
    }
    assert!(
        hits.len() == 3 && hits.values().sum::<u32>() > 8,
        "{hits:?}"
    );
}

//! Recorded traffic through the gateway: the same bytes come out, and the ledger says what the
//! recording says.

use serde_json::{Value, json};
use weir_tests::{Answer, Counts, End, Gateway, Provider, Recording, counts, recordings};

/// The path under which a caller of Weir asks for what was recorded.
fn path_of(recording: &Recording) -> String {
    let (path, query) = recording
        .path
        .split_once('?')
        .unwrap_or((&recording.path, ""));
    // Providers that speak like OpenAI have other prefixes before the same paths.
    let known = [
        "/chat/completions",
        "/responses",
        "/completions",
        "/embeddings",
    ];
    let path = match known.iter().find(|known| path.ends_with(*known)) {
        Some(known) => format!("/v1{known}"),
        None => path.to_owned(),
    };
    if query.is_empty() {
        path
    } else {
        format!("{path}?{query}")
    }
}

/// Nothing rests and nothing is tried twice, so that each recording is asked for exactly once.
const PATIENT: &str =
    "[ledger]\nflush_ms = 20\n[cooldown]\nfirst_ms = 1\nmax_ms = 1\n[limits]\nattempts_max = 1\n";

/// Replays recordings in pieces of all kinds of sizes, and compares.
fn replay(dialect: &str, recordings: &[Recording]) {
    replay_over(dialect, recordings, "stream_usage = false");
}

/// The same over a channel that has these lines more.
fn replay_over(dialect: &str, recordings: &[Recording], more: &str) {
    assert!(
        recordings.len() >= 2,
        "only {} recordings",
        recordings.len()
    );
    let provider = Provider::start();
    let gateway = Gateway::start(&(PATIENT.to_owned() + &provider.channel(dialect, "main", more)));
    let client = gateway.acme();
    let mut ids = Vec::new();
    for (recording, size) in recordings
        .iter()
        .zip([3, 64, 1000, 100_000, 17].into_iter().cycle())
    {
        let answer = Answer::replay(recording);
        provider.next([if recording.streams {
            answer.chunks(size)
        } else {
            answer
        }]);
        let reply = client.send("POST", &path_of(recording), recording.request.to_string());
        let name = &recording.name;
        assert_eq!(reply.status, recording.status, "{name}: {}", reply.text());
        assert!(reply.broken.is_none(), "{name}: {:?}", reply.broken);
        assert!(
            reply.body == recording.body,
            "{name}: other bytes:\n{}\nrecorded:\n{}",
            reply.text(),
            String::from_utf8_lossy(&recording.body)
        );
        let kind = recording
            .headers
            .iter()
            .find(|(header, _)| header == "content-type")
            .unwrap();
        assert_eq!(reply.header("content-type"), kind.1, "{name}");
        ids.push(reply.id());
    }
    assert_eq!(provider.count(), recordings.len());
    let mut wrong = Vec::new();
    for (recording, id) in recordings.iter().zip(&ids) {
        let call = gateway.call(id);
        let (expected, found) = (counts(dialect, recording), Counts::of_call(&call));
        // What says nothing is estimated, and says so.
        let estimated = call["usage"]["estimated"] == json!(true);
        if expected.is_some_and(|expected| expected != found)
            || (expected.is_some() == estimated)
            || call["ended"] != "complete"
        {
            wrong.push(format!(
                "{}: recorded {expected:?}, in the ledger {call}",
                recording.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The successes among these endpoints' recordings, streamed or whole.
fn successes(endpoints: &[&str], streams: bool) -> Vec<Recording> {
    let all = endpoints.iter().flat_map(|endpoint| recordings(endpoint));
    all.filter(|recording| {
        recording.status == 200 && recording.streams == streams && recording.request.is_object()
    })
    .collect()
}

const OPENAI: [&str; 3] = [
    "openai/chat_completions",
    "openai/responses",
    "openai/completions",
];
const GEMINI: [&str; 2] = ["gemini/streamGenerateContent", "gemini/generateContent"];

#[test]
fn openai_streams_come_out_byte_for_byte() {
    replay("openai", &successes(&OPENAI, true));
}

#[test]
fn openai_replies_come_out_byte_for_byte() {
    replay("openai", &successes(&OPENAI, false));
}

#[test]
fn anthropic_streams_come_out_byte_for_byte() {
    replay("anthropic", &successes(&["anthropic/messages"], true));
}

#[test]
fn anthropic_replies_come_out_byte_for_byte() {
    replay("anthropic", &successes(&["anthropic/messages"], false));
}

#[test]
fn gemini_streams_come_out_byte_for_byte() {
    replay("gemini", &successes(&GEMINI, true));
}

#[test]
fn gemini_replies_come_out_byte_for_byte() {
    replay("gemini", &successes(&GEMINI, false));
}

#[test]
fn providers_that_speak_like_openai_are_read_too() {
    let endpoints = ["groq", "mistral", "together", "deepseek", "openrouter"]
        .map(|maker| format!("{maker}/chat_completions"));
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    replay("openai", &successes(&endpoints, true));
}

#[test]
fn streams_that_may_be_gone_on_with_come_out_byte_for_byte() {
    let more = "stream_usage = false\nprefill = \"plain\"";
    replay_over("openai", &successes(&OPENAI[..1], true), more);
    replay_over("anthropic", &successes(&["anthropic/messages"], true), more);
    replay_over("gemini", &successes(&GEMINI, true), more);
}

/// Replays errors; each provider key is asked at most once, since some errors kill the key.
fn replay_errors(dialect: &str, endpoints: &[&str]) {
    let errors: Vec<Recording> = endpoints
        .iter()
        .flat_map(|endpoint| recordings(endpoint))
        .filter(|recording| recording.status >= 400 && recording.request.is_object())
        .collect();
    assert!(!errors.is_empty());
    let keys: Vec<String> = (0..=errors.len())
        .map(|number| format!("plain:pk-{number}"))
        .collect();
    let provider = Provider::start();
    let channel = provider.channel(dialect, "main", &format!("keys = {keys:?}"));
    let gateway = Gateway::start(&(PATIENT.to_owned() + &channel));
    for recording in &errors {
        provider.next([Answer::replay(recording)]);
        let reply = gateway
            .acme()
            .send("POST", &path_of(recording), recording.request.to_string());
        assert_eq!(
            reply.status,
            recording.status,
            "{}: {}",
            recording.name,
            reply.text()
        );
        assert_eq!(reply.body, recording.body, "{}", recording.name);
        let call = gateway.call(&reply.id());
        assert_eq!(
            (
                call["status"].as_u64(),
                call["usage"]["output_tokens"].as_u64()
            ),
            (Some(u64::from(recording.status)), Some(0))
        );
    }
}

#[test]
fn a_providers_error_reaches_the_caller_unchanged() {
    replay_errors(
        "openai",
        &[
            "openai/chat_completions",
            "openai/completions",
            "openai/embeddings",
            "groq/chat_completions",
            "openrouter/chat_completions",
        ],
    );
    replay_errors(
        "anthropic",
        &["anthropic/messages", "anthropic/messages_count_tokens"],
    );
    replay_errors(
        "gemini",
        &["gemini/generateContent", "gemini/batchEmbedContents"],
    );
}

#[test]
fn a_piece_goes_out_before_the_next_one_comes() {
    let events = Answer::chat_events("One two three four.");
    let provider = Provider::always(events.clone().ending(End::Stall(500)));
    let gateway = Gateway::start(&provider.channel("openai", "main", ""));
    let mut stream = gateway.acme().chat_stream("m");
    let mut got = Vec::new();
    while got.len() < 500 {
        got.extend_from_slice(&stream.next().unwrap().unwrap());
    }
    assert_eq!(
        got,
        events.body()[..500],
        "all of it is here, and the provider has not ended"
    );
}

/// The request's own bytes arrive too, but for what the caller did not ask for and Weir needs.
#[test]
fn the_request_reaches_the_provider_as_it_was_written() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider.channel("openai", "main", ""));
    let client = gateway
        .acme()
        .header("x-custom", "kept")
        .header("openai-beta", "x");
    let body = "{ \"model\":\"m\",\t\"messages\": [ {\"role\":\"user\", \"content\":\"\\u00e9 \u{1F600}\"} ], \"temperature\": 1.0 }";
    client
        .send("POST", "/v1/chat/completions?x=1", body)
        .expect(200);
    let seen = &provider.seen()[0];
    assert_eq!(
        (seen.body.as_ref(), seen.path.as_str()),
        (body.as_bytes(), "/v1/chat/completions?x=1")
    );
    assert_eq!(
        (seen.header("x-custom"), seen.header("openai-beta")),
        ("kept", "x")
    );
    assert_eq!(
        seen.header("accept-encoding"),
        "",
        "what is compressed could not be read"
    );
}

#[test]
fn usage_that_only_weir_asked_for_is_not_shown() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider.channel("openai", "main", ""));
    let body =
        json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let reply = gateway.acme().open("/v1/chat/completions", &body).rest();
    assert_eq!(
        provider.seen()[0].json()["stream_options"]["include_usage"],
        Value::Bool(true)
    );
    let text = reply.text();
    assert!(
        !text.contains("\"choices\":[]"),
        "an event that the caller does not expect: {text}"
    );
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(
        Counts::of_call(&gateway.call(&reply.id())),
        Counts {
            input: 7,
            output: 3,
            cached: 0
        }
    );

    let reply = gateway.acme().chat_stream("m").rest();
    assert!(
        reply.text().contains("\"choices\":[]"),
        "here the caller asked for it: {}",
        reply.text()
    );
}

#[test]
fn large_bodies_pass_both_ways() {
    let large = "x".repeat(8 << 20);
    let provider = Provider::always(Answer::chat(&large));
    let gateway = Gateway::start(&provider.channel("openai", "main", ""));
    let body = json!({"model": "m", "messages": [{"role": "user", "content": large}]}).to_string();
    let reply = gateway
        .acme()
        .send("POST", "/v1/chat/completions", body.clone())
        .expect(200);
    assert!(reply.broken.is_none() && reply.body == Answer::chat(&large).body());
    assert!(provider.seen()[0].body == body.as_bytes());
    assert_eq!(gateway.call(&reply.id())["usage"]["input_tokens"], 7);
}

//! A caller who hangs up: the provider is told at once, and what was used is in the ledger.

use std::time::{Duration, Instant};

use serde_json::Value;
use weir_tests::{Answer, End, Gateway, KEY, Provider, Raw, eventually};

/// The most that may lie between the caller's goodbye and the gateway's, on a machine that does much
/// beside. Alone it takes less than a millisecond.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Hangs up by dropping `caller`, and waits until the provider has heard of it. A machine that is
/// busy may be late once, so there are three tries; `open` makes a caller who waits for `provider`.
fn hangs_up<T>(provider: &Provider, mut open: impl FnMut() -> T) {
    let mut took = Vec::new();
    for heard in 1..=3 {
        let caller = open();
        assert_eq!(provider.given_up().len(), heard - 1);
        let told = Instant::now();
        drop(caller);
        let when = eventually("the provider hears of it", || {
            provider.given_up().get(heard - 1).copied()
        });
        took.push(when.saturating_duration_since(told));
        if took.iter().any(|took| *took < AT_ONCE) {
            return;
        }
    }
    panic!("too late each time: {took:?}");
}

/// Asks for a stream of which a part comes, and hangs up when it is there.
fn in_the_middle(more: &str, http2_of_the_caller: bool) {
    let events = Answer::chat_events("One two three four five six seven eight.");
    let provider = Provider::always(events.ending(End::Stall(700)));
    let gateway = Gateway::start(&provider.channel("openai", "main", more));
    let mut id = String::new();
    hangs_up(&provider, || {
        let client = gateway.acme();
        let client = if http2_of_the_caller {
            client.over_http2()
        } else {
            client
        };
        let mut stream = client.chat_stream("m");
        id = stream.id();
        let mut got = 0;
        while got < 700 {
            got += stream.next().unwrap().unwrap().len();
        }
        (stream, client)
    });
    let call = gateway.call(&id);
    assert_eq!(call["ended"], "client_closed", "{call}");
    assert_eq!(call["usage"]["estimated"], true, "{call}");
    let used = |name: &str| call["usage"][name].as_u64().unwrap();
    assert!(used("input_tokens") > 0, "{call}");
    assert!((1..=20).contains(&used("output_tokens")), "{call}");
    let version = &provider.seen()[0].version;
    let expected = if more.is_empty() {
        "HTTP/1.1"
    } else {
        "HTTP/2.0"
    };
    assert_eq!(version, expected);
}

const HTTP2: &str = "http2 = \"prior-knowledge\"";

#[test]
fn in_the_middle_of_a_stream_the_connection_is_closed() {
    in_the_middle("", false);
}

#[test]
fn in_the_middle_of_a_stream_over_http2_the_stream_is_reset() {
    in_the_middle(HTTP2, false);
}

#[test]
fn a_caller_who_resets_a_stream_of_http2_is_heard_too() {
    in_the_middle("", true);
}

/// Before the first byte: the gateway hears of it while it does nothing but wait for the provider.
fn before_the_first_byte(more: &str) {
    let provider = Provider::always(Answer::silence());
    let gateway = Gateway::start(&provider.channel("openai", "main", more));
    let body = r#"{"model": "m", "messages": [{"role": "user", "content": "Say hello."}]}"#;
    hangs_up(&provider, || {
        let before = provider.count();
        let mut raw = Raw::connect(gateway.acme().address());
        raw.write(format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
        eventually("the provider is asked", || {
            (provider.count() > before).then_some(())
        });
        raw
    });
    let call: Value = eventually("the call is in the ledger", || {
        let calls = gateway.admin().get("/admin/v1/calls").expect(200).json();
        calls["data"].get(0).cloned()
    });
    assert_eq!(call["ended"], "client_closed", "{call}");
    assert_eq!(call["usage"]["estimated"], true, "{call}");
    assert!(
        call["usage"]["input_tokens"].as_u64().unwrap() > 0,
        "the provider had read the prompt: {call}"
    );
}

#[test]
fn before_the_first_byte_the_connection_is_closed() {
    before_the_first_byte("");
}

#[test]
fn before_the_first_byte_over_http2_the_stream_is_reset() {
    before_the_first_byte(HTTP2);
}

/// What the provider had reported by then counts, with an estimate for what it had not.
#[test]
fn usage_that_was_reported_before_the_end_is_kept() {
    let events = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"m\",\"usage\":{\"input_tokens\":4321,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello there, this is text.\"}}\n\n",
    );
    let stalls = Answer::events(events).ending(End::Stall(events.len()));
    let provider = Provider::always(stalls);
    let gateway = Gateway::start(&provider.channel("anthropic", "main", ""));
    let client = gateway.acme().header("anthropic-version", "2023-06-01");
    let body = serde_json::json!({"model": "m", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let mut stream = client.open("/v1/messages", &body);
    let id = stream.id();
    let mut got = 0;
    while got < events.len() {
        got += stream.next().unwrap().unwrap().len();
    }
    drop(stream);
    let call = gateway.call(&id);
    assert_eq!(call["ended"], "client_closed", "{call}");
    assert_eq!(call["usage"]["input_tokens"], 4321, "{call}");
    assert_eq!(call["usage"]["output_tokens"], 7, "{call}");
    assert_eq!(call["usage"]["estimated"], true, "{call}");
}

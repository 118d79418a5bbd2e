use serde_json::{Value, json};
use weir_sdk::testing::{Call, Host};

use super::*;

fn probe(config: &Value) -> Probe {
    Probe::configure(&config.to_string()).unwrap()
}

/// What comes out of a stream of these texts.
fn stream(config: Value, texts: &[&str]) -> String {
    let probe = probe(&json!({ "events": config }));
    let run = |call: &Summary| {
        let mut out = String::new();
        let mut say = |event: Event| {
            if let Event::Text(delta) = event {
                out.push_str(&delta.text);
            }
        };
        let Some(mut stream) = probe.open(call) else {
            return texts.concat();
        };
        for text in texts {
            match probe.push(&mut stream, Event::text(*text)).unwrap() {
                Action::Pass => say(Event::text(*text)),
                Action::Drop => {}
                Action::Replace(events) => events.into_iter().for_each(&mut say),
            }
        }
        probe.close(stream).into_iter().for_each(&mut say);
        out
    };
    Host::new().run(run).0
}

#[test]
fn streams() {
    let texts = ["a secret", " b"];
    assert_eq!(stream(json!({}), &texts), "a secret b");
    assert_eq!(stream(json!({"text": "uppercase"}), &texts), "A SECRET B");
    assert_eq!(
        stream(json!({"text": "drop", "append": "end"}), &texts),
        "end"
    );
    assert_eq!(stream(json!({"text": "double"}), &["x"]), "xx");
    assert_eq!(
        stream(json!({"text": "hold", "append": "."}), &texts),
        "a secret b."
    );
    assert_eq!(
        stream(json!({"text": {"redact": "secret"}}), &texts),
        "a ****** b"
    );
    assert_eq!(
        stream(json!({"models": "other", "text": "drop"}), &texts),
        "a secret b"
    );
}

#[test]
fn a_stream_is_denied_at_an_event() {
    let probe = probe(&json!({"events": {"at": 1, "do": [{"deny": {"code": "enough"}}]}}));
    Host::new().run(|call| {
        let mut stream = probe.open(call).unwrap();
        assert_eq!(probe.push(&mut stream, Event::text("a")), Ok(Action::Pass));
        assert_eq!(
            probe.push(&mut stream, Event::text("b")).unwrap_err().code,
            "enough"
        );
    });
}

#[test]
fn replies_are_changed() {
    let reply = |config: Value| {
        let probe = probe(&json!({ "reply": config }));
        let response = Response {
            status: 200,
            headers: Vec::new(),
            body: b"a".to_vec(),
        };
        Host::new()
            .run(|call| probe.reply(call, response))
            .0
            .unwrap()
    };
    assert_eq!(reply(json!({})), None);
    let changed = reply(json!({"append": "!", "set_header": ["x", "1"]})).unwrap();
    assert_eq!(
        (changed.body.as_slice(), changed.headers.len()),
        (b"a!".as_slice(), 1)
    );
    assert_eq!(
        reply(json!({"replace": {"status": 201, "body": {"n": 1}}}))
            .unwrap()
            .body,
        b"{\"n\":1}"
    );
}

#[test]
fn outcomes_are_recorded() {
    let probe = probe(&json!({"audit": {"record": "last", "do": [{"count": "n"}]}}));
    let usage = weir_sdk::Usage {
        input_tokens: 7,
        output_tokens: 0,
        cached_tokens: 0,
        cache_write_tokens: 0,
        reasoning_tokens: 0,
        cost_micros: 0,
        estimated: false,
    };
    let outcome = Outcome {
        call: Call::chat("gpt-4o").summary(),
        channel: None,
        status: 200,
        denied: None,
        attempts: 1,
        first_byte_ms: 1,
        total_ms: 2,
        usage,
    };
    let mut host = Host::new();
    host.run(|_| probe.finished(&outcome));
    let stored: Value = serde_json::from_slice(host.store("last").unwrap()).unwrap();
    assert_eq!(
        (&stored["usage"]["input_tokens"], &stored["status"]),
        (&json!(7), &json!(200))
    );
    assert_eq!(host.store("n"), Some(b"1".as_slice()));
}

#[test]
#[should_panic(expected = "told to trap")]
fn it_traps() {
    let probe = probe(&json!({"access": {"do": ["trap"]}}));
    let _ = Host::new().run(|call| probe.authorize(call));
}

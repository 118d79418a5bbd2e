use super::*;

fn head(dialect: Dialect, body: &str) -> Head {
    scan(dialect, body.as_bytes()).unwrap()
}

#[test]
fn a_chat_body_tells_what_it_asks_for() {
    let body = r#"{"messages":[{"role":"user","content":"model: \"x\", hello there"}],
        "model" : "gpt-5" , "stream":true,"max_tokens":10,"max_completion_tokens":2.0e2,
        "stream_options":{"include_usage":true}}"#;
    let head = head(Dialect::OpenaiChat, body);
    assert_eq!(head.model.as_deref(), Some("gpt-5"));
    assert_eq!(&body[head.model_span.unwrap()], "\"gpt-5\"");
    assert!(head.stream && head.asks_stream_usage);
    assert_eq!(head.max_output_tokens, Some(200));
    assert_eq!(head.input_tokens_estimate, 13);
}

#[test]
fn other_dialects_keep_their_bounds_elsewhere() {
    let gemini = r#"{"contents":[],"max_tokens":5,"generationConfig":{"maxOutputTokens":64}}"#;
    assert_eq!(
        head(Dialect::GeminiGenerate, gemini).max_output_tokens,
        Some(64)
    );
    let responses = r#"{"input":"hi","max_output_tokens":7}"#;
    assert_eq!(
        head(Dialect::OpenaiResponses, responses).max_output_tokens,
        Some(7)
    );
}

#[test]
fn odd_values_are_no_reason_to_refuse() {
    let body = r#"{"model":5,"stream":"true","max_tokens":null,"stream_options":[1],"generationConfig":7}"#;
    assert_eq!(head(Dialect::OpenaiChat, body), Head::default());
    assert_eq!(head(Dialect::GeminiGenerate, body), Head::default());
    let escaped = head(Dialect::OpenaiChat, r#"{"m\u006fdel":"a\/b"}"#);
    assert_eq!(escaped.model.as_deref(), Some("a/b"));
    assert_eq!(escaped.model_span, Some(14..20));
    let huge = head(Dialect::OpenaiChat, r#"{"max_tokens":99999999999}"#);
    assert_eq!(huge.max_output_tokens, Some(u32::MAX));
}

#[test]
fn the_last_of_two_keys_counts_but_two_models_are_refused() {
    let body = r#"{"model":"a","stream":true,"stream":false}"#;
    assert!(!head(Dialect::OpenaiChat, body).stream);
    let body = br#"{"model":"a","model":"b"}"#;
    assert_eq!(scan(Dialect::OpenaiChat, body), Err(ScanError::ModelTwice));
}

#[test]
fn a_fault_is_told_with_its_place() {
    let scan = |body: &[u8]| scan(Dialect::OpenaiChat, body).unwrap_err();
    assert_eq!(scan(b"[1]"), ScanError::NotAnObject);
    assert_eq!(scan(b"\"x\""), ScanError::NotAnObject);
    assert_eq!(scan(b""), ScanError::Malformed { at: 0 });
    assert_eq!(scan(b"{\"a\":\n 1 x}"), ScanError::Malformed { at: 9 });
    assert_eq!(scan(b"{\"a\":\"\xff\"}"), ScanError::Malformed { at: 6 });
    assert_eq!(
        scan(b"{\"messages\":[{\"a\":tru}]}"),
        ScanError::Malformed { at: 21 }
    );
    assert!(matches!(scan(b"{} {}"), ScanError::Malformed { at: 3 }));
    assert!(matches!(scan(b"{\"a\":1"), ScanError::Malformed { .. }));
}

#[test]
fn deep_nesting_costs_no_stack() {
    let body = format!("{{\"a\":{}1{}}}", "[".repeat(500_000), "]".repeat(500_000));
    assert_eq!(
        scan(Dialect::OpenaiChat, body.as_bytes()),
        Ok(Head::default())
    );
    let body = format!(
        "{{\"messages\":{}1{}}}",
        "[".repeat(500_000),
        "]".repeat(500_000)
    );
    assert!(scan(Dialect::OpenaiChat, body.as_bytes()).is_ok());
}

/// `cargo test --release -p weir-wire -- --ignored --nocapture timing`
#[test]
#[ignore = "prints timings; run by hand in release"]
fn timing_of_a_kilobyte() {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(20);
    let body = format!(
        r#"{{"model":"gpt-4o-mini","messages":[{{"role":"system","content":"You are helpful."}},{{"role":"user","content":"{text}"}}],"temperature":0.2,"stream":true}}"#
    );
    for _ in 0..3 {
        let start = std::time::Instant::now();
        for _ in 0..100_000 {
            std::hint::black_box(scan(
                Dialect::OpenaiChat,
                std::hint::black_box(body.as_bytes()),
            ))
            .ok();
        }
        println!(
            "scan of {} bytes: {:?}",
            body.len(),
            start.elapsed() / 100_000
        );
    }
}

use super::*;

fn usage(input: u64, output: u64) -> Usage {
    Usage {
        input_tokens: input,
        output_tokens: output,
        ..Usage::default()
    }
}

#[test]
fn odd_values_do_not_break_the_reading() {
    let read = |body: &str| read_whole(Dialect::OpenaiChat, body.as_bytes());
    assert_eq!(
        read(r#"{"usage":{"prompt_tokens":3.0,"completion_tokens":"4","x":[1,{}]}}"#),
        Some(usage(3, 4))
    );
    assert_eq!(
        read(
            r#"{"usage":{"prompt_tokens":3,"completion_tokens":null,"prompt_tokens_details":[1],"cost":{"a":1}}}"#
        ),
        Some(usage(3, 0))
    );
    assert_eq!(read(r#"{"usage":null}"#), None);
    assert_eq!(read(r#"{"usage":"a lot"}"#), None);
    assert_eq!(read(r#"{"usage":{}}"#), None);
    assert_eq!(read(r#"{"usage":{"type":"duration","seconds":7}}"#), None);
    assert_eq!(read("not json"), None);
    assert_eq!(read(r#"{"error":{"usage":{"prompt_tokens":1}}}"#), None);
    assert_eq!(
        read(r#"{"usage":{"prompt_tokens":-5,"total_tokens":9}}"#),
        Some(usage(9, 0))
    );
}

#[test]
fn the_usage_need_not_be_last() {
    let read = |body: &str| read_whole(Dialect::OpenaiChat, body.as_bytes());
    let expected = Some(usage(1, 2));
    assert_eq!(
        read(
            r#"{"a":[{"usage":{"prompt_tokens":9}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#
        ),
        expected
    );
    assert_eq!(
        read(
            r#"{"usage":{"prompt_tokens":1,"completion_tokens":2},"a":{"usage":{"prompt_tokens":9}}}"#
        ),
        expected
    );
    assert_eq!(
        read(
            r#"{"usage":{"prompt_tokens":1,"completion_tokens":2},"a":"\"usage\":{","b":["usage"]}"#
        ),
        expected
    );
    assert_eq!(
        read(
            r#"{"usage":{"prompt_tokens":1,"completion_tokens":2},"x_groq":{"usage":{"prompt_tokens":1}}}"#
        ),
        expected
    );
}

#[test]
fn a_large_reply_is_read_from_its_end() {
    let head = Bytes::from(format!(r#"{{"data":[{}],"#, "0.125,".repeat(10_000)));
    let tail = Bytes::from_static(br#""model":"m","usage":{"prompt_tokens":8,"total_tokens":8}}"#);
    let mut whole = WholeUsage::new(Dialect::OpenaiEmbeddings, 1000);
    whole.push(head);
    whole.push(tail);
    assert!(whole.cut);
    assert_eq!(whole.finish(), Some(usage(8, 0)));

    let mut split = WholeUsage::new(Dialect::OpenaiEmbeddings, 1000);
    for byte in br#" {"usage":{"prompt_tokens":8,"total_tokens":8}} "# {
        split.push(Bytes::copy_from_slice(&[*byte]));
    }
    assert_eq!(split.finish(), Some(usage(8, 0)));
    assert_eq!(WholeUsage::new(Dialect::OpenaiChat, 10).finish(), None);
}

fn chat_event(text: &str) -> String {
    format!(
        r#"data: {{"id":"chatcmpl-Dkt14Ba9lhru74ZWR5vtSIdUrQAjr","object":"chat.completion.chunk","created":1780066942,"model":"gpt-4o-mini","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}],"usage":null}}"#
    ) + "\n\n"
}

fn report(dialect: Dialect, stream: &str) -> StreamReport {
    let mut usage = StreamUsage::new(dialect);
    usage.push(stream.as_bytes());
    usage.finish()
}

#[test]
fn a_stream_that_breaks_tells_so() {
    let begun = chat_event("Hello") + &chat_event(" w\\\"rld");
    let seen = report(Dialect::OpenaiChat, &begun);
    assert_eq!(
        seen,
        StreamReport {
            output_text_bytes: 12,
            events: 2,
            ..StreamReport::default()
        }
    );

    let failed = begun + "data: {\"error\":{\"message\":\"overloaded\"}}\n\n";
    let seen = report(Dialect::OpenaiChat, &failed);
    assert!(seen.error && !seen.finished);

    let named =
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    assert!(report(Dialect::AnthropicMessages, named).error);
    let unnamed = "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    assert!(report(Dialect::AnthropicMessages, unnamed).error);
    let text = "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"error\\\": {}\",\"error\":null}}],\"error\":null}\n\n";
    assert!(!report(Dialect::OpenaiChat, text).error);
}

#[test]
fn text_is_found_wherever_a_delta_holds_it() {
    let of = |delta: &str| {
        let event = format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}},{{\"delta\": {{\"content\":\"12\"}}}}]}}\n\n"
        );
        report(Dialect::OpenaiChat, &event).output_text_bytes - 2
    };
    assert_eq!(of(r#"{"role":"assistant","content":""}"#), 0);
    assert_eq!(of(r#"{"content":null,"reasoning_content":"abc"}"#), 3);
    assert_eq!(of(r#"{"content":[{"type":"text","text":"abcd"}]}"#), 4);
    assert_eq!(
        of(r#"{"reasoning":"ab","reasoning_details":[{"text":"ab"}],"refusal":"c"}"#),
        3
    );
    assert_eq!(
        of(
            r#"{"tool_calls":[{"index":0,"id":"call_1","function":{"name":"f","arguments":"{\"a\""}}]}"#
        ),
        6
    );
    assert_eq!(of(r#"{"audio":{"data":"QUJDRA==","transcript":"hi"}}"#), 2);
    assert_eq!(of("{}"), 0);
    assert_eq!(of("null"), 0);
}

/// `cargo test --release -p weir-wire -- --ignored --nocapture timing`
#[test]
#[ignore = "prints timings; run by hand in release"]
fn timing_of_a_stream() {
    let mut events: Vec<String> = (0..64).map(|_| chat_event("hello")).collect();
    events.push(
        "data: {\"id\":\"chatcmpl-x\",\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":64,\"total_tokens\":84,\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0}}}\n\n".to_owned(),
    );
    events.push("data: [DONE]\n\n".to_owned());
    let joined = events.concat();
    for _ in 0..3 {
        let start = std::time::Instant::now();
        for _ in 0..20_000 {
            let mut usage = StreamUsage::new(Dialect::OpenaiChat);
            for event in &events {
                usage.push(std::hint::black_box(event.as_bytes()));
            }
            std::hint::black_box(usage.finish());
        }
        println!(
            "stream of {} events, one by one: {:?}",
            events.len(),
            start.elapsed() / 20_000
        );
        let start = std::time::Instant::now();
        for _ in 0..20_000 {
            let mut usage = StreamUsage::new(Dialect::OpenaiChat);
            usage.push(std::hint::black_box(joined.as_bytes()));
            std::hint::black_box(usage.finish());
        }
        println!(
            "stream of {} bytes at once: {:?}",
            joined.len(),
            start.elapsed() / 20_000
        );
        let start = std::time::Instant::now();
        for _ in 0..20_000 {
            let mut splitter = crate::sse::Splitter::new();
            for event in &events {
                splitter.push(std::hint::black_box(event.as_bytes()), |event| {
                    std::hint::black_box(event);
                });
            }
        }
        println!("splitting alone: {:?}", start.elapsed() / 20_000);
    }
}

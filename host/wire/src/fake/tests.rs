//! One golden reply per dialect and form, and the rules that hold for all of them.

use serde_json::Value;
use weir_base::Operation;

use super::*;
use crate::error::dead_key;

const HELLO: &str =
    r#"{"model":"fake-small","messages":[{"role":"user","content":"Hello there"}]}"#;
const TOOLS: &str = r#"[{"type":"function","function":{"name":"weather","parameters":
    {"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city","days"]}}}]"#;

fn ask(dialect: Dialect, operation: Operation, path: &str, body: &str, options: &Options) -> Reply {
    let parsed: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    let request = Request {
        dialect,
        operation,
        path,
        model: parsed
            .get("model")
            .and_then(Value::as_str)
            .unwrap_or("fake-small"),
        stream: parsed.get("stream") == Some(&true.into()) || path.contains(":stream"),
        body: body.as_bytes(),
        now_unix_s: 1_800_000_000,
        call_id: "req_0123456789abcdef",
    };
    answer(&request, options)
}

fn chat(body: &str, options: &Options) -> Reply {
    ask(
        Dialect::OpenaiChat,
        Operation::Chat,
        "/v1/chat/completions",
        body,
        options,
    )
}

/// Streams stand in the snapshot as they are sent, whole replies as indented JSON.
fn shown(reply: &Reply) -> String {
    let text = String::from_utf8(reply.body.to_bytes()).unwrap();
    let body = match serde_json::from_str::<Value>(&text) {
        Ok(value) if matches!(reply.body, Body::Whole(_)) => format!("{value:#}"),
        _ => text.replace('\r', ""),
    };
    let headers: Vec<_> = reply
        .headers
        .iter()
        .map(|(n, v)| format!("{n}: {v}\n"))
        .collect();
    format!("{}\n{}\n{body}", reply.status, headers.concat())
}

/// `name: dialect operation path => body;` makes a test that compares the reply with its snapshot.
macro_rules! golden {
    ($($name:ident: $dialect:ident $operation:ident $path:literal => $body:expr;)*) => {$(
        #[test]
        fn $name() {
            let options = Options { events: Some(5), ..Options::default() };
            let body: &str = &$body;
            let reply = ask(Dialect::$dialect, Operation::$operation, $path, body, &options);
            insta::assert_snapshot!(stringify!($name), shown(&reply));
        }
    )*};
}

golden! {
    chat_whole: OpenaiChat Chat "/v1/chat/completions" => HELLO;
    chat_stream: OpenaiChat Chat "/v1/chat/completions" => with(HELLO, r#""stream":true,"stream_options":{"include_usage":true}"#);
    chat_tool_whole: OpenaiChat Chat "/v1/chat/completions" => with(HELLO, &format!(r#""tools":{TOOLS}"#));
    chat_tool_stream: OpenaiChat Chat "/v1/chat/completions" => with(HELLO, &format!(r#""stream":true,"tools":{TOOLS}"#));
    chat_tool_result: OpenaiChat Chat "/v1/chat/completions" => format!(r#"{{"model":"m","tools":{TOOLS},"messages":[
        {{"role":"user","content":"Rain?"}},{{"role":"tool","tool_call_id":"c","content":"None at all."}}]}}"#);
    chat_schema: OpenaiChat Chat "/v1/chat/completions" => with(HELLO, r##""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":
        {"type":"object","required":["who"],"properties":{"who":{"$ref":"#/$defs/p"}},"$defs":{"p":{"type":"object","required":["age","tags"],
        "properties":{"age":{"type":["null","integer"]},"tags":{"type":"array","items":{"enum":["red"]}}}}}}}}"##);
    completion_whole: OpenaiCompletions Completion "/v1/completions" => r#"{"model":"fake-small","prompt":"Once upon a time"}"#;
    completion_stream: OpenaiCompletions Completion "/v1/completions" => r#"{"model":"fake-small","prompt":"Once","stream":true,"stream_options":{"include_usage":true}}"#;
    responses_whole: OpenaiResponses Chat "/v1/responses" => r#"{"model":"fake-small","instructions":"Be kind.","input":"Hello there"}"#;
    responses_stream: OpenaiResponses Chat "/v1/responses" => r#"{"model":"fake-small","stream":true,"input":"Hello there"}"#;
    responses_stream_incomplete: OpenaiResponses Chat "/v1/responses" => r#"{"model":"fake-small","stream":true,"max_output_tokens":4,"input":[{"role":"user","content":[{"type":"input_text","text":"Hello there"}]}]}"#;
    responses_tool_whole: OpenaiResponses Chat "/v1/responses" => RESPONSES_TOOL;
    responses_tool_stream: OpenaiResponses Chat "/v1/responses" => with(RESPONSES_TOOL, r#""stream":true"#);
    embeddings_floats: OpenaiEmbeddings Embedding "/v1/embeddings" => r#"{"model":"fake-embedding","input":["one","two words"],"dimensions":3}"#;
    embeddings_base64: OpenaiEmbeddings Embedding "/v1/embeddings" => r#"{"model":"fake-embedding","input":"one","dimensions":3,"encoding_format":"base64"}"#;
    models_openai: OpenaiOther Models "/v1/models" => "";
    model_openai: OpenaiOther Models "/v1/models/some/name" => "";
    moderation: OpenaiOther Moderation "/v1/moderations" => r#"{"model":"fake-small","input":"nice"}"#;
    image: OpenaiOther Image "/v1/images/generations" => r#"{"model":"fake-small","prompt":"a dot"}"#;
    echo_openai: OpenaiOther File "/v1/files?limit=3" => "";
    messages_whole: AnthropicMessages Chat "/v1/messages" => with(HELLO, r#""max_tokens":100,"system":[{"type":"text","text":"Be brief."}]"#);
    messages_stream: AnthropicMessages Chat "/v1/messages" => with(HELLO, r#""max_tokens":100,"stream":true"#);
    messages_tool_whole: AnthropicMessages Chat "/v1/messages" => with(HELLO, MESSAGES_TOOL);
    messages_tool_stream: AnthropicMessages Chat "/v1/messages" => with(HELLO, &format!(r#""stream":true,{MESSAGES_TOOL}"#));
    count_tokens_anthropic: AnthropicMessages CountTokens "/v1/messages/count_tokens" => HELLO;
    models_anthropic: AnthropicOther Models "/v1/models" => "";
    gemini_whole: GeminiGenerate Chat "/v1beta/models/fake-small:generateContent" => GEMINI;
    gemini_stream: GeminiGenerate Chat "/v1beta/models/fake-small:streamGenerateContent?alt=sse" => GEMINI;
    gemini_array: GeminiGenerate Chat "/v1beta/models/fake-small:streamGenerateContent" => GEMINI;
    gemini_tool: GeminiGenerate Chat "/v1beta/models/fake-small:streamGenerateContent?key=k&alt=sse" => with(GEMINI, r#""tools":[{"functionDeclarations":
        [{"name":"now"},{"name":"weather","parameters":{"type":"OBJECT","required":["city"],"properties":{"city":{"type":"STRING"}}}}]}],
        "toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["weather"]}}"#);
    gemini_count_tokens: GeminiGenerate CountTokens "/v1beta/models/fake-small:countTokens" => GEMINI;
    gemini_embed: GeminiOther Embedding "/v1beta/models/e:embedContent" => r#"{"content":{"parts":[{"text":"one"}]},"outputDimensionality":3}"#;
    gemini_batch_embed: GeminiOther Embedding "/v1beta/models/e:batchEmbedContents" => r#"{"requests":[{"content":{"parts":[{"text":"two words"}]},"outputDimensionality":2}]}"#;
    gemini_models: GeminiOther Models "/v1beta/models" => "";
}

const RESPONSES_TOOL: &str = r#"{"model":"fake-small","input":"Hello there","tools":[{"type":"web_search"},
    {"type":"function","name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}]}"#;
const MESSAGES_TOOL: &str = r#""tools":[{"name":"weather","input_schema":{"type":"object","required":["city"],"properties":{"city":{"type":"string"}}}}]"#;
const GEMINI: &str = r#"{"systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[{"role":"user","parts":[{"text":"Hello there"}]}]}"#;

/// `object` with more fields.
fn with(object: &str, fields: &str) -> String {
    format!("{},{fields}}}", object.strip_suffix('}').unwrap())
}

#[test]
fn errors_have_the_dialects_shape_and_a_pause_where_waiting_helps() {
    for dialect in Dialect::ALL {
        for status in [400, 401, 403, 404, 429, 500, 503] {
            let options = Options {
                status: Some(status),
                ..Options::default()
            };
            let reply = ask(dialect, Operation::Chat, "/v1/x", HELLO, &options);
            assert_eq!(reply.status, status);
            let value: Value = serde_json::from_slice(&reply.body.to_bytes()).unwrap();
            assert!(
                value
                    .pointer("/error/message")
                    .unwrap()
                    .as_str()
                    .unwrap()
                    .contains("fake")
            );
            let pause = reply
                .headers
                .iter()
                .find(|(name, _)| *name == "retry-after");
            assert_eq!(pause.is_some(), matches!(status, 429 | 503));
            // What the fake provider says of a bad key is understood as such, and nothing else is.
            assert_eq!(
                dead_key(status, &reply.body.to_bytes()).is_some(),
                status == 401
            );
        }
    }
}

#[test]
fn a_stream_has_as_many_deltas_as_asked_and_the_same_text_as_the_whole() {
    let stream = with(HELLO, r#""stream":true"#);
    for events in [1, 2, 7, 64, 1000] {
        let options = Options {
            events: Some(events),
            ..Options::default()
        };
        let whole: Value = serde_json::from_slice(&chat(HELLO, &options).body.to_bytes()).unwrap();
        let text = whole
            .pointer("/choices/0/message/content")
            .unwrap()
            .as_str()
            .unwrap();
        let Body::Chunks(chunks) = chat(&stream, &options).body else {
            panic!()
        };
        let deltas: Vec<String> = chunks.iter().filter_map(content).collect();
        assert_eq!(deltas.len(), events as usize);
        assert_eq!(deltas.concat(), text);
        let words = whole
            .pointer("/usage/completion_tokens")
            .unwrap()
            .as_u64()
            .unwrap();
        assert_eq!(words, text.split_whitespace().count() as u64);
    }
}

fn content(chunk: &Bytes) -> Option<String> {
    let value: Value = serde_json::from_slice(chunk.strip_prefix(b"data: ")?).ok()?;
    let text = value.pointer("/choices/0/delta/content")?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[test]
fn cutting_into_chunks_changes_no_byte_and_breaking_off_says_so() {
    let stream = with(HELLO, r#""stream":true"#);
    let plain = chat(&stream, &Options::default());
    for size in [1, 7, 1 << 20] {
        let options = Options {
            chunk_bytes: Some(size),
            ..Options::default()
        };
        let recut = chat(&stream, &options);
        assert_eq!(recut.body.to_bytes(), plain.body.to_bytes());
        let Body::Chunks(chunks) = recut.body else {
            panic!()
        };
        assert!(chunks.iter().all(|chunk| (1..=size).contains(&chunk.len())));
    }
    let options = Options {
        cut_after_events: Some(3),
        ..Options::default()
    };
    let cut = chat(&stream, &options);
    assert!(cut.cut && plain.body.to_bytes().starts_with(&cut.body.to_bytes()));
    assert!(matches!(&cut.body, Body::Chunks(chunks) if chunks.len() == 3));
    assert!(!plain.cut);
    let half = chat(
        HELLO,
        &Options {
            cut_after_events: Some(0),
            ..Options::default()
        },
    );
    assert!(half.cut && serde_json::from_slice::<Value>(&half.body.to_bytes()).is_err());
}

#[test]
fn headers_override_within_bounds() {
    let headers = [
        ("X-Fake-Status", "429"),
        ("x-fake-delay-ms", "999999999"),
        ("x-fake-event-delay-ms", "5"),
        ("x-fake-events", "99999999"),
        ("x-fake-chunk-bytes", "0"),
        ("x-fake-cut-after-events", "2"),
        ("x-fake-retry-after-s", "7"),
        ("x-fake-text", "Hi."),
        ("x-fake-é", "?"),
        ("x-fak", "?"),
        ("content-type", "application/json"),
    ];
    let expected = Options {
        delay_ms: 60_000,
        event_delay_ms: 5,
        chunk_bytes: Some(1),
        events: Some(10_000),
        status: Some(429),
        retry_after_s: Some(7),
        cut_after_events: Some(2),
        text: Some("Hi.".to_owned()),
        ..Options::default()
    };
    assert_eq!(
        Options::default().with_headers(headers.into_iter()),
        expected
    );
    let nonsense = [
        ("x-fake-status", "42"),
        ("x-fake-events", "-1"),
        ("x-fake-delay-ms", "soon"),
    ];
    assert_eq!(
        Options::default().with_headers(nonsense.into_iter()),
        Options::default()
    );
}

#[test]
fn whatever_the_body_there_is_an_answer() {
    let bodies = [
        "",
        "null",
        "[]",
        "{",
        "\"x\"",
        r#"{"messages":7,"tools":{},"input":[[1,2],[3]]}"#,
    ];
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    for dialect in Dialect::ALL {
        for body in bodies.into_iter().chain([deep.as_str()]) {
            for path in [
                "/v1/models/",
                "",
                "/v1beta/models/m:batchEmbedContents",
                "::?&alt=sse",
            ] {
                let reply = ask(
                    dialect,
                    Operation::Embedding,
                    path,
                    body,
                    &Options::default(),
                );
                assert_eq!(reply.status, 200);
            }
        }
    }
}

#[test]
fn a_forbidden_tool_is_not_called_and_several_choices_are_given() {
    let none = with(
        HELLO,
        &format!(r#""tool_choice":"none","n":2,"tools":{TOOLS}"#),
    );
    let value: Value =
        serde_json::from_slice(&chat(&none, &Options::default()).body.to_bytes()).unwrap();
    let choices = value.pointer("/choices").unwrap().as_array().unwrap();
    assert_eq!(choices.len(), 2);
    assert!(
        choices
            .iter()
            .all(|choice| choice.pointer("/message/tool_calls").is_none())
    );
}

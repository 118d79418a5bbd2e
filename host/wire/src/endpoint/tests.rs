use super::*;

fn line(method: &str, path: &str) -> String {
    let hint = path.ends_with(" anthropic");
    let path = path.trim_end_matches(" anthropic");
    endpoint(method, path, "model=gpt-realtime%2D2&x=1", hint).map_or("none".to_owned(), |found| {
        format!(
            "{} {} model={:?} stream={:?} needs={} {:?}",
            found.dialect.as_str(),
            found.operation.as_str(),
            found.model.as_deref().unwrap_or(""),
            found.stream,
            found.needs_model,
            found.body
        )
    })
}

#[test]
fn every_endpoint_is_known_by_its_path() {
    let table = [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/chat/completions/"),
        ("GET", "/v1/chat/completions/chatcmpl-1"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/responses/input_tokens"),
        ("POST", "/v1/responses/compact"),
        ("GET", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/images/generations"),
        ("POST", "/v1/images/edits"),
        ("POST", "/v1/audio/speech"),
        ("POST", "/v1/audio/transcriptions"),
        ("POST", "/v1/moderations"),
        ("POST", "/v1/rerank"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models anthropic"),
        ("GET", "/v1/models/meta-llama%2Fllama-3"),
        ("GET", "/v1/models/ft:gpt-4o-mini:acme::abc"),
        ("POST", "/v1/files"),
        ("GET", "/v1/files anthropic"),
        ("POST", "/v1/uploads"),
        ("POST", "/v1/batches"),
        ("POST", "/v1/videos"),
        ("GET", "/v1/realtime"),
        ("POST", "/v1/assistants"),
        ("POST", "/v1/skills anthropic"),
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("POST", "/v1/messages/batches"),
        ("GET", "/v1/messages/batches/msgbatch_1/results"),
        ("POST", "/v1/complete"),
        ("POST", "/v1/chat/completions anthropic"),
        ("POST", "/v1beta/models/gemini-2.5-pro:generateContent"),
        (
            "POST",
            "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
        ),
        ("POST", "/v1/models/gemini-2.5-pro:streamGenerateContent"),
        ("POST", "/v1beta/models/gemini-2.5-pro:countTokens"),
        (
            "POST",
            "/v1beta/models/gemini-embedding-001:batchEmbedContents",
        ),
        ("POST", "/v1beta/models/imagen-4:predict"),
        ("POST", "/v1beta/models/a%2Fb:generateContent"),
        ("GET", "/v1beta/models"),
        ("GET", "/v1beta/models/gemini-2.5-pro"),
        ("POST", "/v1beta/cachedContents"),
        ("POST", "/v1beta/interactions"),
        ("GET", "/v1beta/files/abc"),
        ("GET", "/"),
        ("GET", "/v2/chat"),
        ("POST", "/v1"),
    ];
    let lines: Vec<String> = table
        .iter()
        .map(|(method, path)| format!("{method} {path}: {}", line(method, path)))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_path_that_could_be_read_otherwise_is_no_endpoint() {
    for path in [
        "/v1//chat/completions",
        "/v1/./chat/completions",
        "/v1/files/../chat/completions",
        "/v1/%63hat/completions",
        "/v1/chat%2Fcompletions",
        "/v1/files\\..\\chat",
        "/v1/chat/completions//",
        "v1/chat/completions",
        "/v1/models/%2e%2E/chat/completions",
        "/v1/models/x%2F..%2F..%2Fchat",
        "/v1/models/%252e%252e/chat",
        "/v1/models/x%ff",
    ] {
        assert_eq!(endpoint("POST", path, "", false), None, "{path}");
    }
}

#[test]
fn a_gemini_path_takes_another_model() {
    let path = "/v1beta/models/gemini-2.5-pro:streamGenerateContent";
    let to = |model| gemini_path_with_model(path, model);
    assert_eq!(
        to("gemini-3-pro@001").as_deref(),
        Some("/v1beta/models/gemini-3-pro@001:streamGenerateContent")
    );
    assert_eq!(
        to("a/ü:x").as_deref(),
        Some("/v1beta/models/a%2F%C3%BC%3Ax:streamGenerateContent")
    );
    assert_eq!(gemini_path_with_model("/v1beta/models", "x"), None);
    let back = to("a/ü:x").unwrap();
    let found = endpoint("POST", &back, "", false).unwrap();
    assert_eq!(found.model.as_deref(), Some("a/ü:x"));
}

//! The dialects through the built-in provider, and every refusal in the words of its dialect.

use serde_json::{Value, json};
use weir_tests::{Client, Gateway, KEY, Provider, Reply, parallel};

use crate::FAKE;

fn chat(model: &str) -> Value {
    json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "Say hello to Weir."}]})
}

fn contents() -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": "Say hello to Weir."}]}]})
}

fn streamed(mut body: Value) -> Value {
    body["stream"] = json!(true);
    body
}

/// The data of each event, without `[DONE]`.
fn events(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.broken, None);
    assert!(
        reply
            .header("content-type")
            .starts_with("text/event-stream"),
        "{reply:?}"
    );
    let text = reply.text();
    let data = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[test]
fn openai_through_the_built_in_provider() {
    let gateway = Gateway::start(FAKE);
    let client = gateway.acme();
    let whole = client
        .post("/v1/chat/completions", &chat("m"))
        .expect(200)
        .json();
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("Say hello to Weir."), "{text}");

    let stream = client
        .post("/v1/chat/completions", &streamed(chat("m")))
        .expect(200);
    let pieces = events(&stream);
    let joined: String = pieces
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(joined, text);
    assert!(stream.text().ends_with("data: [DONE]\n\n"));

    let response = json!({"model": "m", "input": "Say hello to Weir."});
    let whole = client.post("/v1/responses", &response).expect(200).json();
    assert_eq!(
        (whole["object"].as_str(), whole["status"].as_str()),
        (Some("response"), Some("completed"))
    );
    let stream = client
        .post("/v1/responses", &streamed(response))
        .expect(200);
    assert_eq!(
        events(&stream).last().unwrap()["type"],
        "response.completed"
    );

    let completion = json!({"model": "m", "prompt": "Say hello to Weir."});
    let whole = client
        .post("/v1/completions", &completion)
        .expect(200)
        .json();
    assert!(whole["choices"][0]["text"].is_string(), "{whole}");
    assert!(events(&client.post("/v1/completions", &streamed(completion))).len() > 1);

    let embedding = json!({"model": "m", "input": ["one", "two"]});
    let whole = client.post("/v1/embeddings", &embedding).expect(200).json();
    assert_eq!(whole["data"].as_array().unwrap().len(), 2);
    let models = client.get("/v1/models").expect(200).json();
    assert_eq!(models["object"], "list");
}

#[test]
fn anthropic_through_the_built_in_provider() {
    let gateway = Gateway::start(FAKE);
    let client = gateway
        .client("")
        .header("x-api-key", KEY)
        .header("anthropic-version", "2023-06-01");
    let whole = client.post("/v1/messages", &chat("m")).expect(200);
    assert_eq!(whole.json()["type"], "message");
    assert_eq!(
        whole.header("request-id"),
        whole.id(),
        "where Anthropic's SDKs look for it"
    );
    let stream = client
        .post("/v1/messages", &streamed(chat("m")))
        .expect(200);
    let types: Vec<Value> = events(&stream)
        .iter()
        .map(|event| event["type"].clone())
        .collect();
    assert_eq!(
        (types.first(), types.last()),
        (Some(&json!("message_start")), Some(&json!("message_stop")))
    );
    let counted = client
        .post("/v1/messages/count_tokens", &chat("m"))
        .expect(200)
        .json();
    assert_eq!(counted["input_tokens"], 4);
    assert!(client.get("/v1/models").expect(200).json()["data"][0]["type"] == "model");
}

#[test]
fn gemini_through_the_built_in_provider() {
    let gateway = Gateway::start(FAKE);
    let client = gateway.client("").header("x-goog-api-key", KEY);
    let whole = client
        .post("/v1beta/models/m:generateContent", &contents())
        .expect(200)
        .json();
    assert!(
        whole["candidates"][0]["content"]["parts"][0]["text"].is_string(),
        "{whole}"
    );
    let stream = client
        .post(
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            &contents(),
        )
        .expect(200);
    assert!(events(&stream).last().unwrap()["usageMetadata"]["totalTokenCount"].is_u64());
    let array = client
        .post("/v1beta/models/m:streamGenerateContent", &contents())
        .expect(200)
        .json();
    assert!(array.as_array().unwrap().len() > 1);
    let in_query = format!("/v1beta/models/m:countTokens?key={KEY}");
    let counted = gateway
        .client("")
        .post(&in_query, &contents())
        .expect(200)
        .json();
    assert_eq!(counted["totalTokens"], 4);
    assert!(client.get("/v1beta/models").expect(200).json()["models"].is_array());
}

/// Every call is in the ledger with what the built-in provider counted.
#[test]
fn what_the_built_in_provider_counts_is_in_the_ledger() {
    let gateway = Gateway::start(FAKE);
    let client = gateway
        .acme()
        .header("x-fake-input-tokens", "11")
        .header("x-fake-output-tokens", "22");
    let paths = [
        ("/v1/chat/completions", chat("m"), "openai.chat"),
        ("/v1/chat/completions", streamed(chat("m")), "openai.chat"),
        (
            "/v1/responses",
            json!({"model": "m", "input": "Hi"}),
            "openai.responses",
        ),
        ("/v1/messages", streamed(chat("m")), "anthropic.messages"),
        (
            "/v1beta/models/m:streamGenerateContent",
            contents(),
            "gemini.generate",
        ),
    ];
    for (path, body, dialect) in paths {
        let id = client.post(path, &body).expect(200).id();
        let call = gateway.call(&id);
        let usage = &call["usage"];
        assert_eq!(
            (&usage["input_tokens"], &usage["output_tokens"]),
            (&json!(11), &json!(22)),
            "{path}: {call}"
        );
        assert_eq!(
            (call["dialect"].as_str(), call["model"].as_str()),
            (Some(dialect), Some("m")),
            "{call}"
        );
        assert_eq!(
            (call["ended"].as_str(), call["tenant"].as_str()),
            (Some("complete"), Some("acme")),
            "{call}"
        );
    }
}

/// Holds an error to the form of its dialect.
#[track_caller]
fn assert_refused(reply: &Reply, family: &str, status: u16, code: &str) {
    let (body, id) = (reply.json(), reply.id());
    let shown = format!("{family}: {body}");
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (status, code),
        "{shown}"
    );
    assert!(
        reply.header("content-type").starts_with("application/json"),
        "{shown}"
    );
    let error = &body["error"];
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|message| message.contains(' ')),
        "no sentence: {shown}"
    );
    match family {
        "openai" => assert!(
            error["type"].is_string() && error["request_id"] == id.as_str(),
            "{shown}"
        ),
        "anthropic" => {
            assert!(
                body["type"] == "error" && error["type"].is_string(),
                "{shown}"
            );
            assert_eq!(body["request_id"], id.as_str(), "{shown}");
        }
        _ => {
            assert!(
                error["code"] == status && error["status"].is_string(),
                "{shown}"
            );
            assert_eq!(
                error["details"][0]["metadata"]["request_id"],
                id.as_str(),
                "{shown}"
            );
        }
    }
}

/// A generating endpoint for each family, and the body that it takes.
fn endpoints(model: &str) -> [(&'static str, String, Value); 3] {
    [
        ("openai", "/v1/chat/completions".to_owned(), chat(model)),
        ("anthropic", "/v1/messages".to_owned(), chat(model)),
        (
            "gemini",
            format!("/v1beta/models/{model}:generateContent"),
            contents(),
        ),
    ]
}

const GOVERNED: &str = r#"
[limits]
body_max_bytes = 4096
[[channel]]
name = "fake"
dialect = "fake"
models = ["good", "forbidden", "limited"]
[[policy]]
name = "permissions"
source = "builtin:permissions"
[policy.config]
models = ["*", "-forbidden"]
[[policy]]
name = "limits"
source = "builtin:limits"
[[policy.config.limits]]
match = { models = ["limited"] }
unit = "requests"
window = "minute"
limit = 1
"#;

#[test]
fn every_refusal_has_its_status_and_code_in_the_callers_dialect() {
    let gateway = Gateway::start(GOVERNED);
    let client = gateway.acme();
    for (family, path, body) in endpoints("good") {
        client.post(&path, &body).expect(200);
        let stranger = gateway.client("sk-not-known").post(&path, &body);
        assert_refused(&stranger, family, 401, "key_unknown");
        assert_refused(
            &gateway.client("").post(&path, &body),
            family,
            401,
            "key_missing",
        );
        assert_refused(
            &client.send("POST", &path, "{\"model\": "),
            family,
            400,
            "body_not_json",
        );
        assert_refused(
            &client.send("POST", &path, "[]"),
            family,
            400,
            "body_not_json",
        );
        let large = client.send(
            "POST",
            &path,
            format!("{{\"model\": \"good\", \"x\": \"{}\"}}", "y".repeat(5000)),
        );
        assert_refused(&large, family, 413, "body_too_large");
    }
    for (family, path) in [
        ("openai", "/v1/chat/completions"),
        ("anthropic", "/v1/messages"),
    ] {
        assert_refused(
            &client.post(path, &json!({"messages": []})),
            family,
            400,
            "model_missing",
        );
    }
    for path in [
        "/",
        "/v2/chat/completions",
        "/v1/../admin",
        "/v1//chat/completions",
    ] {
        assert_refused(
            &client.post(path, &chat("good")),
            "openai",
            404,
            "unknown_path",
        );
    }
    let refusals = [
        ("absent", 404, "model_not_found"),
        ("forbidden", 403, "model_not_allowed"),
    ];
    for (model, status, code) in refusals {
        for (family, path, body) in endpoints(model) {
            let reply = client.post(&path, &body);
            assert_refused(&reply, family, status, code);
            let call = gateway.call(&reply.id());
            assert_eq!(
                (call["status"].as_u64(), call["denied"].as_str()),
                (Some(u64::from(status)), Some(code))
            );
        }
    }
    client.chat("limited").expect(200);
    for (family, path, body) in endpoints("limited") {
        let reply = client.post(&path, &body);
        assert_refused(&reply, family, 429, "rate_limit_exceeded");
        assert!(
            reply
                .header("retry-after")
                .parse::<u64>()
                .is_ok_and(|after| after > 0),
            "{reply:?}"
        );
    }
}

#[test]
fn a_providers_errors_come_in_its_own_words() {
    let gateway = Gateway::start(FAKE);
    for (family, path, body) in endpoints("m") {
        for (status, code) in [(400, "fake_bad_request"), (404, "model_not_found")] {
            let client: Client = gateway.acme().header("x-fake-status", &status.to_string());
            assert_refused(&client.post(&path, &body), family, status, code);
        }
    }
}

#[test]
fn any_other_path_of_a_provider_is_passed_on() {
    let gateway = Gateway::start(FAKE);
    let client = gateway.acme();
    let echo = client
        .send("POST", "/v1/vector_stores", r#"{"name": "x"}"#)
        .expect(200)
        .json();
    assert_eq!(echo["path"], "/v1/vector_stores");
    client.send("DELETE", "/v1/files/file-1", "").expect(200);
}

#[test]
fn http_2_is_spoken_on_both_sides() {
    let provider = Provider::start();
    let gateway =
        Gateway::start(&provider.channel("openai", "main", "http2 = \"prior-knowledge\""));
    let client = gateway.acme().over_http2();
    let replies = parallel(20, |number| {
        if number % 2 == 0 {
            client.chat("m")
        } else {
            client.chat_stream("m").rest()
        }
    });
    for (number, reply) in replies.into_iter().enumerate() {
        let reply = reply.expect(200);
        assert_eq!(reply.broken, None);
        assert!(
            number % 2 == 0 || reply.text().ends_with("data: [DONE]\n\n"),
            "{}",
            reply.text()
        );
    }
    assert!(
        provider
            .seen()
            .iter()
            .all(|seen| seen.version == "HTTP/2.0")
    );
    // A caller of HTTP/1.1 does not notice what is spoken behind.
    gateway.acme().chat("m").expect(200);
}

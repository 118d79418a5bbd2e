//! examples/reply-schema: only replies that fit reach the program that asked.

use serde_json::{Value, json};
use weir_tests::{Answer, Client, Provider, Reply};

use super::Example;

fn ask(caller: &Client, path: &str, model: &str, stream: bool) -> Reply {
    let messages = json!([{"role": "user", "content": "The bill, please"}]);
    let body = match path {
        "/v1/responses" => json!({"model": model, "stream": stream, "input": messages}),
        _ => json!({"model": model, "stream": stream, "max_tokens": 100, "messages": messages}),
    };
    caller.post(path, &body)
}

fn content(reply: Reply) -> String {
    let reply = reply.expect(200).json();
    let content = &reply["choices"][0]["message"]["content"];
    content.as_str().unwrap().to_owned()
}

#[test]
fn whole_replies_by_the_customers_schema() {
    let Some(example) = Example::named("reply-schema") else {
        return;
    };
    let running = example.start();
    let chat = |key, model| ask(&running.caller(key), "/v1/chat/completions", model, false);
    let invoice: Value = serde_json::from_str(&content(chat("books", "good"))).unwrap();
    assert_eq!(invoice["total"], 12.5);
    let refused = chat("books", "careless").expect(502);
    assert_eq!(refused.code(), "reply_not_valid");
    assert!(
        refused.text().contains("at `/lines/0/price`"),
        "{}",
        refused.text()
    );
    for key in ["books-chat", "acme"] {
        assert!(content(chat(key, "careless")).contains("twelve"));
        assert!(content(chat(key, "good")).contains("```"));
    }
    for (result, times) in [("fits", 1.0), ("wrong", 1.0)] {
        let labels = [("schema", "invoice"), ("result", result)];
        assert_eq!(running.metric("replies", &labels), times, "{result}");
    }
}

#[test]
fn streams_in_each_dialect_come_when_they_fit() {
    let Some(example) = Example::named("reply-schema") else {
        return;
    };
    let running = example.start();
    let books = running.caller("books");
    for path in ["/v1/chat/completions", "/v1/responses", "/v1/messages"] {
        let good = ask(&books, path, "good", true).expect(200);
        let text = super::streamed_text(&good);
        let invoice: Value = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{path}: {error} in {text}: {}", good.text());
        });
        assert_eq!(invoice["currency"], "EUR", "{path}");
        let refused = ask(&books, path, "careless", true);
        let said = refused.text();
        assert!(
            !said.contains("twelve") && said.contains("/lines/0/price"),
            "{path}: {said}"
        );
    }
}

#[test]
fn a_call_of_a_tool_is_no_answer() {
    let Some(example) = Example::named("reply-schema") else {
        return;
    };
    let call = json!({"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}});
    let message = json!({"role": "assistant", "content": "One moment.", "tool_calls": [call]});
    let provider = Provider::always(Answer::json(
        200,
        &json!({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}),
    ));
    let passes = example.behind("good", "openai", &provider).start();
    let chat = |caller: &Client| ask(caller, "/v1/chat/completions", "good", false);
    assert_eq!(content(chat(&passes.caller("books"))), "One moment.");

    let Some(example) = Example::named("reply-schema") else {
        return;
    };
    let refuses = example
        .behind("good", "openai", &provider)
        .with("strip_fences = true", "tool_calls = \"deny\"")
        .start();
    let refused = chat(&refuses.caller("books")).expect(502);
    assert_eq!(refused.code(), "reply_calls_tools");
}

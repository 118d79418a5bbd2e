//! examples/cost-aware: cheap where that is good enough, and only cheap once a budget is spent.

use serde_json::{Value, json};
use weir_tests::{Client, eventually};

use super::Example;

/// What answered: its text and its model.
#[track_caller]
fn answered(caller: &Client, more: &Value) -> (String, String) {
    let mut body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]});
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    let reply = caller
        .post("/v1/chat/completions", &body)
        .expect(200)
        .json();
    let text = &reply["choices"][0]["message"]["content"];
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (word(text), word(&reply["model"]))
}

fn is(text: &str, model: &str) -> (String, String) {
    (text.to_owned(), model.to_owned())
}

#[test]
fn small_prompts_go_to_a_cheaper_model_where_the_key_allows_it() {
    let Some(example) = Example::named("cost-aware") else {
        return;
    };
    let running = example.start();
    let batch = running.caller("batch");
    assert_eq!(answered(&batch, &json!({})), is("from spot", "gpt-4o-mini"));
    let tools = json!({"tools": [{"type": "function", "function": {"name": "f"}}]});
    assert_eq!(answered(&batch, &tools), is("from spot", "gpt-4o"));
    let long = json!([{"role": "user", "content": "word ".repeat(2_000)}]);
    let long = json!({ "messages": long });
    assert_eq!(answered(&batch, &long), is("from spot", "gpt-4o"));
    let product = running.caller("product");
    assert_eq!(
        answered(&product, &json!({})),
        is("from standard", "gpt-4o")
    );
    assert_eq!(running.metric("model_changed", &[("why", "small")]), 1.0);
}

#[test]
fn a_spent_budget_leaves_the_cheap_channels_to_its_key_alone() {
    let Some(example) = Example::named("cost-aware") else {
        return;
    };
    // So that one answer spends it.
    let running = example
        .with(
            "daily-budget-micros = \"50000\"",
            "daily-budget-micros = \"20000\"",
        )
        .with("cheaper-model = \"yes\"", "quality = \"premium\"")
        .start();
    let (product, batch) = (running.caller("product"), running.caller("batch"));
    let (text, _) = answered(&product, &json!({}));
    assert_eq!(text, "from standard");
    // What it cost is counted off the path of the call.
    eventually("its budget is spent", || {
        (answered(&product, &json!({})).0 == "from spot").then_some(())
    });
    assert_eq!(answered(&batch, &json!({})).0, "from premium");
}

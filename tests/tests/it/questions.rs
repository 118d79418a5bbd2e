//! Policies' own questions to models: calls like any other, on the policy's account, through the same
//! policies, and no more of them inside each other than is set.

use serde_json::{Value, json};
use weir_tests::{Answer, Gateway, Provider, eventually, policy_file};

fn asker(config: &str) -> String {
    format!(
        "[[policy]]\nname = \"asker\"\nsource = \"file:{}\"\ndeadline_ms = 5000\nwait_max_ms = 20000\ngrants = {{ models = [\"judge*\"] }}\n[policy.config]\n{config}\n",
        policy_file("testing-asker").display()
    )
}

/// The calls on the policies' account, of which there are to be two.
fn asked(gateway: &Gateway) -> Vec<Value> {
    eventually("both questions are written down", || {
        let calls = gateway.admin().get("/admin/v1/calls?tenant=policies");
        let calls = calls.expect(200).json()["data"].as_array()?.clone();
        (calls.len() >= 2).then_some(calls)
    })
}

/// A provider that says no to questions about `bad`.
fn judge() -> Provider {
    Provider::with(|seen| {
        let text = seen.json()["messages"][0]["content"].to_string();
        Answer::chat(if text.contains("bad") {
            "no"
        } else {
            "Certainly."
        })
    })
}

#[test]
fn a_question_is_a_call_on_the_policys_account_through_the_same_policies() {
    let provider = judge();
    let permissions = "[[policy]]\nname = \"permissions\"\nsource = \"builtin:permissions\"\ndeadline_ms = 5000\n[policy.config]\nmodels = [\"m\", \"bad\", \"judge-1\"]\n";
    let settings = provider.channel("openai", "main", "")
        + permissions
        + &asker("model = \"judge-1\"\nspared = \"judge\"");
    let gateway = Gateway::start(&settings);
    gateway.acme().chat("m").expect(200);
    let refused = gateway.acme().chat("bad").expect(403);
    assert_eq!(refused.code(), "said_no");
    let calls = asked(&gateway);
    let id = calls[0]["id"].as_str().unwrap();
    let call = gateway.call(id);
    assert_eq!(
        (&call["key"], &call["model"]),
        (&json!("policy:asker"), &json!("judge-1"))
    );
    let by: Vec<_> = call["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["policy"])
        .collect();
    assert_eq!(by, [&json!("permissions"), &json!("asker")]);
    assert!(call["usage"]["input_tokens"].as_u64() > Some(0), "{call}");
    // What the operator's policies deny to callers they deny to policies.
    let config = settings.replace("\"judge-1\"]\n", "\"judge-2\"]\n");
    let gateway = Gateway::start(&config);
    let refused = gateway.acme().chat("m").expect(403);
    assert_eq!(refused.code(), "not_asked");
}

#[test]
fn questions_about_questions_come_to_an_end() {
    let provider = judge();
    let settings = provider.channel("openai", "main", "") + &asker("model = \"judge-1\"");
    let gateway = Gateway::start(&settings);
    let refused = gateway.acme().chat("m").expect(403);
    assert_eq!(refused.code(), "not_asked");
    let calls = asked(&gateway);
    assert_eq!(calls.len(), 2);
    assert_eq!(provider.count(), 0);
}

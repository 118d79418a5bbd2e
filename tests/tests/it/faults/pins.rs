//! What a provider keeps is asked for where it is kept, and an operator can choose the channel.

use serde_json::{Value, json};
use weir_tests::{Answer, Gateway, KEY, Provider, Seen, policy_file};

/// Answers everything that is made with an id that says who made it.
fn keeper(name: &'static str) -> Provider {
    Provider::with(move |seen: &Seen| {
        let id = |kind: &str| format!("{kind}_{name}{}0000", seen.key().trim_start_matches("pk-"));
        if seen.path.starts_with("/v1/responses") && seen.method == "POST" {
            let body = json!({"id": id("resp"), "object": "response", "status": "completed", "output": []});
            return Answer::json(200, &body);
        }
        Answer::json(200, &json!({"id": id("file"), "object": "file"}))
    })
}

const TWO_KEYS: &str = r#"keys = ["plain:pk-1", "plain:pk-2"]"#;

/// Two channels of two keys, and the callers of two tenants.
fn setup() -> (Provider, Provider, Gateway) {
    setup_with("")
}

/// The same with further settings.
fn setup_with(more: &str) -> (Provider, Provider, Gateway) {
    let (a, b) = (keeper("a"), keeper("b"));
    let tenants = format!(
        "[[tenant]]\nname = \"acme\"\n[[tenant.key]]\nname = \"main\"\nsecret = \"plain:{KEY}\"\n[[tenant.key]]\nname = \"operator\"\nsecret = \"plain:sk-operator\"\nlabels = {{ \"weir.force_channel\" = \"true\" }}\n[[tenant]]\nname = \"other\"\n[[tenant.key]]\nname = \"main\"\nsecret = \"plain:sk-other\"\n"
    );
    let settings =
        a.channel("openai", "a", TWO_KEYS) + &b.channel("openai", "b", TWO_KEYS) + &tenants + more;
    (a, b, Gateway::start(&settings))
}

fn last(provider: &Provider) -> (String, String) {
    let seen = provider.seen();
    let last = seen.last().unwrap();
    (last.path.clone(), last.key().to_owned())
}

#[test]
fn continuations_go_to_the_channel_and_key_that_made_what_they_name() {
    let (a, b, mut gateway) = setup();
    let operator = gateway.client("sk-operator").header("x-weir-channel", "b");
    let ask = json!({"model": "m", "input": "Hi"});
    let first = operator.post("/v1/responses", &ask).expect(200).json();
    let made_with = last(&b).1;
    let id = first["id"].as_str().unwrap().to_owned();
    let upload = operator
        .post("/v1/files", &json!({"purpose": "batch"}))
        .expect(200)
        .json();
    let file_with = last(&b).1;
    assert_ne!(made_with, file_with, "keys take turns");
    let before = b.count();
    for round in 0..2 {
        let acme = gateway.acme();
        let go_on = json!({"model": "m", "input": "And?", "previous_response_id": id});
        acme.post("/v1/responses", &go_on).expect(200);
        assert_eq!(last(&b).1, made_with);
        acme.get(&format!("/v1/responses/{id}")).expect(200);
        assert_eq!(last(&b), (format!("/v1/responses/{id}"), made_with.clone()));
        let batch = json!({"input_file_id": upload["id"], "endpoint": "/v1/responses"});
        acme.post("/v1/batches", &batch).expect(200);
        assert_eq!(last(&b), ("/v1/batches".to_owned(), file_with.clone()));
        assert_eq!((a.count(), b.count()), (0, before + 3 * (round + 1)));
        if round == 0 {
            gateway.restart();
        }
    }
    let theirs = gateway.client("sk-other");
    theirs.get(&format!("/v1/responses/{id}")).expect(404);
    assert_eq!(b.count(), before + 6, "another tenant's request went out");
    theirs.get("/v1/responses/resp_unknown0000").expect(200);
}

#[test]
fn what_a_policy_leaves_out_is_not_asked_for_what_it_keeps() {
    let policy = format!(
        "[[policy]]\nname = \"p\"\nsource = \"file:{}\"\ndeadline_ms = 5000\n[policy.config]\nroute = {{ models = [\"inside-*\"], order = [\"a\"] }}\n",
        policy_file("testing-probe").display()
    );
    let (a, b, gateway) = setup_with(&policy);
    let operator = gateway.client("sk-operator").header("x-weir-channel", "b");
    let ask = json!({"model": "m", "input": "Hi"});
    let first = operator.post("/v1/responses", &ask).expect(200).json();
    let go_on = |model: &str| {
        let body = json!({"model": model, "input": "And?", "previous_response_id": first["id"]});
        gateway.acme().post("/v1/responses", &body)
    };
    assert_eq!(go_on("inside-1").expect(403).code(), "channel_not_allowed");
    assert_eq!((a.count(), b.count()), (0, 1));
    go_on("m").expect(200);
    assert_eq!((a.count(), b.count()), (0, 2));
}

#[test]
fn only_who_may_chooses_the_channel() {
    let (a, b, gateway) = setup();
    let refused = gateway.acme().header("x-weir-channel", "b").chat("m");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (403, "channel_not_yours_to_choose")
    );
    let operator = gateway.client("sk-operator");
    let unknown = operator.clone().header("x-weir-channel", "z").chat("m");
    assert_eq!(
        (unknown.status, unknown.code().as_str()),
        (404, "channel_not_found")
    );
    assert_eq!((a.count(), b.count()), (0, 0));
    for _ in 0..3 {
        operator
            .clone()
            .header("x-weir-channel", "b")
            .chat("m")
            .expect(200);
    }
    assert_eq!((a.count(), b.count()), (0, 3));
    let seen: Vec<Value> = b.seen().iter().map(Seen::json).collect();
    assert_eq!(seen[0]["model"], "m");
    assert_eq!(b.seen()[0].header("x-weir-channel"), "");
}

/// The end of a stream of Anthropic's whose tools ran in a container.
fn in_a_container(key: &str) -> String {
    let delta = json!({
        "type": "message_delta",
        "delta": {"container": {"id": format!("container_{key}0000"), "expires_at": "2027-01-15T08:00:00Z"}, "stop_reason": "end_turn"},
        "usage": {"output_tokens": 3},
    });
    format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"The \\\"container\\\": {{\"}}}}\n\nevent: message_delta\ndata: {delta}\n\nevent: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"
    )
}

#[test]
fn what_a_stream_tells_at_its_end_leads_back_too() {
    let provider = Provider::with(|seen| Answer::events(in_a_container(&seen.key()[3..])));
    let keys = r#"keys = ["plain:pk-1", "plain:pk-2", "plain:pk-3"]"#;
    let gateway = Gateway::start(&provider.channel("anthropic", "main", keys));
    let ask = |container: Value| {
        let mut body = json!({"model": "m", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
        if !container.is_null() {
            body["container"] = container;
        }
        let reply = gateway.acme().open("/v1/messages", &body).rest();
        assert!(reply.text().contains("message_stop"), "{}", reply.text());
        gateway.call(&reply.id());
        last(&provider).1
    };
    let made_with = ask(Value::Null);
    let container = json!(format!("container_{}0000", &made_with[3..]));
    for _ in 0..3 {
        assert_eq!(ask(container.clone()), made_with);
    }
}

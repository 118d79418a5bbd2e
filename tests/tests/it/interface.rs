//! Versions of the interface: policies of both in one chain, and what is refused.

use serde_json::Value;
use weir_tests::{Answer, Gateway, Provider, policy, policy_file};

use crate::FAKE;

fn of_file(name: &str) -> String {
    let file = policy_file(name);
    // Deadlines are for what must go over them: these tests share a machine with a compiler.
    format!(
        "\n[[policy]]\nname = \"{name}\"\nsource = \"file:{}\"\ndeadline_ms = 2000\n",
        file.display()
    )
}

#[test]
fn policies_of_two_versions_decide_in_one_chain() {
    let (a, b) = (
        Provider::always(Answer::chat("from a")),
        Provider::always(Answer::chat("from b")),
    );
    let channels = a.channel("openai", "a", "priority = 10") + &b.channel("openai", "b", "");
    let (first, second) = ("testing-interface-0-1", "testing-interface-0-2");
    let gateway = Gateway::start(&(channels + &of_file(first) + &of_file(second)));
    for (name, interface) in [(first, "0.1"), (second, "0.2")] {
        let running = &gateway.policy(name)["running"];
        assert_eq!(running["interface"], interface, "{running}");
        let imports = running["imports"].to_string();
        assert!(
            imports.contains(&format!("weir:policy/call@{interface}.0")),
            "{imports}"
        );
    }

    let asked = serde_json::json!({
        "model": "m", "messages": [{ "role": "user", "content": "Hello" }]
    });
    let ask = |header: &str, query: &str| {
        let client = gateway.acme().header("x-deny", header);
        client.post(&format!("/v1/chat/completions{query}"), &asked)
    };
    let denied = ask("0.1", "").expect(403);
    assert_eq!(denied.code(), "denied_by_0_1");
    assert!(denied.text().contains("/v1/chat/completions"));
    let denied = ask("0.2", "?trace=a%20b&key=mine&de%6Ey=0.2&deny").expect(403);
    assert_eq!(denied.code(), "denied_by_0_2");
    assert!(
        denied.text().contains("trace deny deny"),
        "decoded, in order, without what may be a credential: {}",
        denied.text()
    );

    let answered = ask("none", "?deny=0.1").expect(200);
    assert!(answered.text().contains("from b"), "{}", answered.text());
    let call = gateway.call(&answered.id());
    let decisions = call["decisions"].as_array().unwrap();
    let decided: Vec<(&str, &str)> = decisions
        .iter()
        .map(|decision| {
            let word = |field: &str| decision[field].as_str().unwrap();
            (word("policy"), word("hook"))
        })
        .collect();
    let expected = [(first, "access"), (second, "access"), (first, "route")];
    assert_eq!(decided, expected);
    assert_eq!((a.count(), b.count()), (0, 1));
}

/// The same component with other names in it, of the same length.
fn renamed(wasm: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut renamed = wasm.to_vec();
    for at in 0..wasm.len() - from.len() {
        if wasm[at..].starts_with(from.as_bytes()) {
            renamed[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    assert_ne!(renamed, wasm);
    renamed
}

#[test]
fn other_versions_are_refused_with_those_that_there_are() {
    let gateway = Gateway::start(FAKE);
    let admin = gateway.admin().header("content-type", "application/wasm");
    gateway
        .admin()
        .send("PUT", "/admin/v1/policies/mine", "{}")
        .expect(200);
    let upload = |wasm: Vec<u8>| {
        let path = "/admin/v1/policies/mine/versions";
        admin.send("PUT", path, wasm)
    };
    let newest = policy("testing-interface-0-2");
    let later = upload(renamed(&newest, "@0.2.0", "@0.3.0"));
    assert_eq!(later.code(), "policy_unknown_version");
    assert!(
        later
            .text()
            .contains("this Weir runs the versions 0.1 and 0.2"),
        "{}",
        later.text()
    );
    let other = upload(renamed(&newest, "weir:policy", "acme:policy"));
    assert_eq!(other.code(), "policy_unknown_import");
    assert!(
        other
            .text()
            .contains("`weir:policy` in the versions 0.1 and 0.2"),
        "{}",
        other.text()
    );
    for (name, interface) in [
        ("testing-interface-0-1", "0.1"),
        ("testing-interface-0-2", "0.2"),
    ] {
        let reply = upload(policy(name));
        assert!(
            reply.status == 200 || reply.status == 202,
            "{}",
            reply.text()
        );
        assert_eq!(reply.json()["interface"], interface, "{}", reply.text());
    }
    let versions = gateway.policy("mine")["versions"].clone();
    let interfaces: Vec<&Value> = versions
        .as_array()
        .unwrap()
        .iter()
        .map(|version| &version["interface"])
        .collect();
    assert_eq!(interfaces, ["0.2", "0.1"]);
}

//! Tenants' own policies: whoever has a key of the role `author` writes them, they narrow what the
//! operator's chain allows for their own tenant, and touch nothing of anybody else.

use serde_json::{Value, json};
use weir_tests::{Client, Gateway, Provider, Reply, digest, eventually, policy, sieve};

use crate::FAKE;

const ACME: &str = "/admin/v1/tenants/acme";
const OTHER: &str = "/admin/v1/tenants/other";

/// A tenant `other` with a key for calls and one of an author, beside `acme`.
const TWO: &str = "
[[tenant]]
name = \"acme\"
[[tenant.key]]
name = \"main\"
secret = \"plain:sk-weir-test-of-acme\"
[[tenant]]
name = \"other\"
[[tenant.key]]
name = \"k\"
secret = \"plain:sk-of-the-other-tenant\"
[[tenant.key]]
name = \"author\"
role = \"author\"
secret = \"plain:sk-author-of-the-other\"
";

fn other(gateway: &Gateway) -> Client {
    gateway.client("sk-of-the-other-tenant")
}

/// An author of acme, whose key the API makes.
fn author(gateway: &Gateway) -> Client {
    let body = json!({ "name": "author", "role": "author" }).to_string();
    let made = gateway.admin().send("POST", &format!("{ACME}/keys"), body);
    let made = made.expect(201).json();
    assert_eq!(made["role"], "author");
    Client::new(gateway.admin().address(), made["secret"].as_str().unwrap())
}

fn put(client: &Client, path: &str, body: Value) -> Reply {
    client.send("PUT", path, body.to_string())
}

fn upload(client: &Client, policy: &str, wasm: &[u8]) -> Reply {
    client
        .clone()
        .header("content-type", "application/wasm")
        .send("PUT", &format!("{policy}/versions"), wasm.to_vec())
}

#[test]
fn an_author_writes_policies_for_its_own_tenant_and_sees_nothing_else() {
    let gateway = Gateway::start(&(FAKE.to_owned() + TWO));
    let author = author(&gateway);
    let mine = format!("{ACME}/policies/mine");
    put(&author, &mine, json!({})).expect(200);
    upload(&author, &mine, &sieve("bad")).expect(200);
    let refused = gateway.acme().chat("bad").expect(403);
    assert_eq!(refused.code(), "sieved");
    gateway.acme().chat("good").expect(200);
    other(&gateway).chat("bad").expect(200);
    let call = gateway.call(&refused.id());
    assert_eq!(call["decisions"][0]["policy"], "acme/mine");

    // Everything that the operator has for a policy.
    upload(&author, &mine, &sieve("worse")).expect(200);
    gateway.acme().chat("bad").expect(200);
    author
        .send("POST", &format!("{mine}/rollback"), "")
        .expect(200);
    gateway.acme().chat("bad").expect(403);
    let trial = json!({ "digest": digest(&sieve("worse")), "kind": "shadow" });
    put(&author, &format!("{mine}/trial"), trial).expect(200);
    gateway.acme().chat("worse").expect(200);
    let shown = author.get(&mine).expect(200).json();
    assert_eq!(shown["versions"].as_array().unwrap().len(), 2, "{shown}");
    assert_eq!(shown["running"]["digest"], digest(&sieve("bad")).as_str());
    // The order is the tenant's to say.
    put(&author, &format!("{ACME}/policies/second"), json!({})).expect(200);
    let order = json!({ "order": ["second", "mine"] });
    put(&author, &format!("{ACME}/chain"), order).expect(200);
    let chain = author.get(&format!("{ACME}/chain")).expect(200).json();
    assert_eq!(chain["data"][0]["policy"], "second");

    // Nothing else opens to it.
    for path in [
        "/admin/v1/policies",
        "/admin/v1/chain",
        "/admin/v1/config",
        "/admin/v1/calls",
        "/admin/v1/tenants",
        "/admin/v1/tenants/acme",
        "/admin/v1/tenants/acme/keys",
        "/admin/v1/tenants/other/policies",
        "/admin/v1/tenants/acme%2f..%2fother/policies",
        "/admin/v1/tenants/acmes/policies",
        "/metrics",
    ] {
        let refused = author.get(path);
        assert_eq!(
            (refused.status, &*refused.code()),
            (403, "author_key"),
            "{path}"
        );
    }
    // A key for policies makes no calls, and one for calls no policies.
    let refused = gateway
        .client("sk-author-of-the-other")
        .chat("good")
        .expect(401);
    assert_eq!(refused.code(), "key_of_author");
    let caller = Client::new(gateway.admin().address(), "sk-of-the-other-tenant");
    caller.get(&format!("{OTHER}/policies")).expect(401);
    let of_file = Client::new(gateway.admin().address(), "sk-author-of-the-other");
    of_file.get(&format!("{OTHER}/policies")).expect(200);
    // What the operator sees of it.
    let operators = gateway.admin().get("/admin/v1/policies").expect(200).text();
    assert!(!operators.contains("acme/mine"), "{operators}");
    author.send("DELETE", &mine, "").expect(204);
    gateway.acme().chat("bad").expect(200);
}

#[test]
fn a_tenants_policy_has_no_more_than_its_quota() {
    let quota = "
[tenant_policies]
policies_max = 2
versions_max = 3
size_max_bytes = 300000
memory_max_bytes = 8388608
deadline_max_ms = 15
http = [\"*.example.com\"]
models = [\"cheap-*\"]
";
    let gateway = Gateway::start(&(FAKE.to_owned() + quota));
    let author = author(&gateway);
    let mine = format!("{ACME}/policies/mine");
    let refused = put(&author, &mine, json!({
        "source": "builtin:limits", "deadline_ms": 1000, "memory_max_bytes": 1_000_000_000_u64, "tenants": ["*"],
        "grants": { "http": ["a.example.com", "127.0.0.1", "example.org"], "secrets": ["x"], "models": ["cheap-1", "dear"], "firewall": true },
    }))
    .expect(400);
    let text = refused.text();
    for wrong in [
        "source",
        "deadline_ms",
        "memory_max_bytes",
        "tenants",
        "grants.secrets",
        "grants.firewall",
        "127.0.0.1",
        "example.org",
        "dear",
    ] {
        assert!(text.contains(wrong), "{wrong}: {text}");
    }
    assert!(
        !text.contains("a.example.com") && !text.contains("cheap-1"),
        "{text}"
    );
    put(
        &author,
        &mine,
        json!({ "grants": { "http": ["a.example.com"], "models": ["cheap-1"] } }),
    )
    .expect(200);
    put(&author, &format!("{ACME}/policies/second"), json!({})).expect(200);
    let refused = put(&author, &format!("{ACME}/policies/third"), json!({})).expect(409);
    assert_eq!(refused.code(), "quota_exceeded");
    upload(&author, &mine, &policy("testing-probe")).expect(413);
    for word in ["a", "b", "c", "d", "e"] {
        upload(&author, &mine, &sieve(word)).expect(200);
    }
    let shown = author.get(&mine).expect(200).json();
    assert_eq!(shown["versions"].as_array().unwrap().len(), 3, "{shown}");
    assert_eq!(shown["running"]["digest"], digest(&sieve("e")).as_str());
    // More power waits for the operator, and no author can say yes.
    let waits = upload(&author, &mine, &policy("testing-forbidden"));
    assert_eq!(waits.status, 202, "{}", waits.text());
    let approve = json!({ "digest": waits.json()["digest"] }).to_string();
    let path = format!("{mine}/approve");
    assert_eq!(
        author
            .send("POST", &path, approve.clone())
            .expect(403)
            .code(),
        "admin_key_needed"
    );
    gateway.admin().send("POST", &path, approve).expect(200);
}

#[test]
fn computing_time_is_the_tenants_own() {
    let quota = "
[tenant_policies]
cpu_max_ms_per_minute = 40
size_max_bytes = 1000000
deadline_max_ms = 10
[runtime]
failures_before_rollback = 0
failures_per_minute_max = 0
";
    let gateway = Gateway::start(&(FAKE.to_owned() + quota + TWO));
    let author = author(&gateway);
    let mine = format!("{ACME}/policies/mine");
    put(
        &author,
        &mine,
        json!({ "config": { "access": { "models": ["spin"], "do": ["loop"] } } }),
    )
    .expect(200);
    upload(&author, &mine, &policy("testing-probe")).expect(200);
    gateway.acme().chat("m").expect(200);
    let spent = (0..50).find(|_| {
        gateway.acme().chat("spin").expect(503);
        gateway.acme().chat("m").status == 503
    });
    assert!(spent.is_some(), "the budget is never spent");
    let refused = gateway.acme().chat("m").expect(503);
    assert!(
        refused.text().contains("policy_cpu_spent"),
        "{}",
        refused.text()
    );
    other(&gateway).chat("spin").expect(200);
    let shown = author.get(&mine).expect(200).json();
    assert!(
        shown["running"]["cpu_micros"].as_u64() >= Some(40_000),
        "{shown}"
    );
    eventually("the metric tells it", || {
        let metrics = gateway.admin().get("/metrics").text();
        let line = metrics.lines().find_map(|line| {
            line.strip_prefix("weir_tenant_policies_cpu_seconds{tenant=\"acme\"} ")
        })?;
        (line.parse::<f64>().ok()? >= 0.04).then_some(())
    });
}

#[test]
fn a_tenants_policy_only_narrows() {
    let (a, b) = (Provider::start(), Provider::start());
    let operators = "
[[policy]]
name = \"permissions\"
source = \"builtin:permissions\"
deadline_ms = 5000
[policy.config]
models = [\"m*\"]
";
    let settings = a.channel("openai", "listed", "priority = 1")
        + &b.channel("openai", "unlisted", "priority = 2\ntenants = [\"other\"]")
        + operators
        + TWO
        + "[tenant_policies]\nsize_max_bytes = 1000000\ndeadline_max_ms = 5000\n";
    let gateway = Gateway::start(&settings);
    let author = author(&gateway);
    let mine = format!("{ACME}/policies/mine");
    // It may not change a request into one that the operator would refuse, nor reach a channel that is
    // not the tenant's, nor allow what the operator denies.
    let config = json!({ "config": {
        "access": { "do": ["allow"] },
        "rewrite": { "models": ["m-up"], "do": [{ "set_model": "forbidden" }] },
        "route": { "models": ["m-far"], "order": ["unlisted"] },
    } });
    put(&author, &mine, config).expect(200);
    upload(&author, &mine, &policy("testing-probe")).expect(200);
    gateway.acme().chat("m").expect(200);
    assert_eq!((a.count(), b.count()), (1, 0));
    gateway.acme().chat("x").expect(403);
    gateway.acme().chat("m-up").expect(403);
    gateway.acme().chat("m-far").expect(503);
    assert_eq!((a.count(), b.count()), (1, 0));
    other(&gateway).chat("m-up").expect(200);
    assert_eq!((a.count(), b.count()), (1, 1));
}

#[test]
fn a_policy_that_cannot_be_run_after_a_start_denies_its_own_tenant_alone() {
    let mut gateway = Gateway::start(&(FAKE.to_owned() + TWO));
    let author = author(&gateway);
    let mine = format!("{ACME}/policies/mine");
    put(&author, &mine, json!({})).expect(200);
    upload(&author, &mine, &sieve("bad")).expect(200);
    // Nothing that big is run any more.
    let settings = FAKE.to_owned() + TWO + "[tenant_policies]\nmemory_max_bytes = 65536\n";
    gateway.configure(&settings);
    gateway.restart();
    let refused = gateway.acme().chat("good").expect(503);
    assert_eq!(refused.code(), "policy_missing");
    other(&gateway).chat("bad").expect(200);
    let shown = gateway.admin().get(&mine).expect(200).json();
    assert!(shown["running"]["last_error"].is_string(), "{shown}");
}

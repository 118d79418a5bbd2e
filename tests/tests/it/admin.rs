//! The admin API: what it makes works at once and after a restart, and what the file says is the
//! file's to say.

use serde_json::{Value, json};
use weir_tests::{Client, Gateway, KEY, Provider};

use crate::FAKE;

#[test]
fn tenants_keys_and_channels_are_made_used_and_taken_away() {
    let provider = Provider::start();
    // Without any channel there would be a built-in one for everything.
    let mut gateway = Gateway::start(&format!("{FAKE}models = [\"other\"]\n"));
    let admin = gateway.admin();
    let post = |path: &str, body: Value| {
        admin
            .post(&format!("/admin/v1/{path}"), &body)
            .expect(201)
            .json()
    };
    post(
        "tenants",
        json!({"id": "umbrella", "labels": {"plan": "free"}}),
    );
    let key = post("tenants/umbrella/keys", json!({"name": "main"}));
    let (id, secret) = (key["id"].as_str().unwrap(), key["secret"].as_str().unwrap());
    let base_url = provider.channel("openai", "x", "");
    let base_url = base_url
        .lines()
        .find_map(|line| line.strip_prefix("base_url = "))
        .unwrap()
        .trim_matches('"');
    post(
        "channels",
        json!({"name": "made", "dialect": "openai", "base_url": base_url, "models": ["m*"]}),
    );
    post(
        "channels/made/keys",
        json!({"secret": "pk-made", "label": "first"}),
    );

    gateway.client(secret).chat("m").expect(200);
    assert_eq!(provider.keys(), ["pk-made"]);
    for path in [
        "tenants/umbrella/keys",
        "channels/made/keys",
        "channels",
        "tenants",
    ] {
        let shown = admin.get(&format!("/admin/v1/{path}")).expect(200).text();
        assert!(
            !shown.contains(secret) && !shown.contains("pk-made"),
            "{path} shows a secret: {shown}"
        );
    }
    let path = format!("/admin/v1/tenants/umbrella/keys/{id}");
    let rotated = admin
        .send("POST", &format!("{path}/rotate"), "")
        .expect(200)
        .json();
    let new = rotated["secret"].as_str().unwrap();
    gateway.client(secret).chat("m").expect(401);
    gateway.client(new).chat("m").expect(200);

    gateway.restart();
    gateway.client(new).chat("m").expect(200);
    assert_eq!(
        provider.keys(),
        ["pk-made"; 3],
        "the provider key is readable after a restart"
    );
    let admin = gateway.admin();
    admin
        .send("PATCH", &path, r#"{"disabled": true}"#)
        .expect(200);
    assert_eq!(
        gateway.client(new).chat("m").expect(401).code(),
        "key_disabled"
    );
    admin.send("DELETE", &path, "").expect(204);
    assert_eq!(
        gateway.client(new).chat("m").expect(401).code(),
        "key_unknown"
    );
    admin
        .send("DELETE", "/admin/v1/channels/made", "")
        .expect(204);
    gateway.acme().chat("m").expect(404);
}

#[test]
fn what_the_file_declares_is_read_only() {
    let gateway = Gateway::start(&format!(
        "{FAKE}[[policy]]\nname = \"limits\"\nsource = \"builtin:limits\"\n"
    ));
    let admin = gateway.admin();
    for (method, path) in [
        ("PATCH", "channels/fake"),
        ("DELETE", "channels/fake"),
        ("PATCH", "tenants/acme"),
        ("DELETE", "tenants/acme"),
        ("PUT", "policies/limits"),
        ("DELETE", "policies/limits"),
    ] {
        let body = if method == "DELETE" { "" } else { "{}" };
        let reply = admin.send(method, &format!("/admin/v1/{path}"), body);
        assert_eq!(reply.status, 409, "{method} {path}: {}", reply.text());
        assert_eq!(
            reply.json()["error"]["code"],
            "declared_in_file",
            "{method} {path}"
        );
        assert!(
            reply.text().contains("weir.toml"),
            "it names the file: {}",
            reply.text()
        );
    }
    gateway.acme().chat("m").expect(200);
}

#[test]
fn nobody_else_may_use_it() {
    let gateway = Gateway::start(FAKE);
    for key in ["", KEY, "weir-test-admin-kez"] {
        for path in ["/admin/v1/tenants", "/admin/v1/calls", "/metrics"] {
            let reply = Client::new(gateway.admin().address(), key).get(path);
            assert_eq!(reply.status, 401, "{path} with {key:?}: {}", reply.text());
        }
    }
    gateway.client(weir_tests::ADMIN_KEY).chat("m").expect(401);
}

#[test]
fn it_describes_itself() {
    let gateway = Gateway::start(FAKE);
    let admin = gateway.admin();
    let described = admin.get("/admin/v1/openapi.json").expect(200).json();
    assert!(
        described["openapi"].as_str().unwrap().starts_with("3.1"),
        "{}",
        described["openapi"]
    );
    for path in [
        "/admin/v1/tenants",
        "/admin/v1/calls/{call}",
        "/admin/v1/policies/{policy}/versions",
    ] {
        assert!(
            described["paths"][path].is_object(),
            "{path} is not described"
        );
    }
    let error = admin.get("/admin/v1/nothing").expect(404).json();
    assert!(
        error["error"]["code"].is_string() && error["error"]["message"].is_string(),
        "{error}"
    );
    let wrong = admin.send(
        "POST",
        "/admin/v1/tenants",
        r#"{"id": "no spaces", "lables": {}}"#,
    );
    assert!((400..=422).contains(&wrong.status), "{}", wrong.text());
}

#[test]
fn it_can_have_an_address_of_its_own() {
    let gateway = Gateway::start(&format!("admin_listen = \"127.0.0.1:0\"\n{FAKE}"));
    let (callers, admin) = (gateway.acme(), gateway.admin());
    assert_ne!(callers.address(), admin.address());
    let stray = Client::new(callers.address(), weir_tests::ADMIN_KEY);
    assert_eq!(stray.get("/admin/v1/tenants").status, 404);
    assert_eq!(stray.get("/metrics").status, 404);
    admin.get("/admin/v1/tenants").expect(200);
    callers.chat("m").expect(200);
    for path in ["/healthz", "/readyz"] {
        callers.get(path).expect(200);
        admin.get(path).expect(200);
    }
}

#[test]
fn metrics_count_calls() {
    let gateway = Gateway::start(FAKE);
    for _ in 0..3 {
        gateway.acme().chat("m").expect(200);
    }
    gateway.client("sk-wrong").chat("m").expect(401);
    let metrics = gateway.admin().get("/metrics").expect(200).text();
    let counted: f64 = metrics
        .lines()
        .filter(|line| line.starts_with("weir_calls_total{") && line.contains("success"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert_eq!(counted, 3.0, "{metrics}");
}

#[test]
fn calls_are_listed_page_by_page() {
    let gateway = Gateway::start(FAKE);
    let ids: Vec<String> = (0..5)
        .map(|_| {
            // Calls of one millisecond have no order.
            std::thread::sleep(std::time::Duration::from_millis(2));
            gateway.acme().chat("m").expect(200).id()
        })
        .collect();
    gateway.call(&ids[4]);
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = gateway
            .admin()
            .get(&format!("/admin/v1/calls?limit=2{cursor}"))
            .expect(200)
            .json();
        listed.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|call| call["id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    listed.reverse();
    assert_eq!(listed, ids);
    let none = gateway
        .admin()
        .get("/admin/v1/calls?model=other")
        .expect(200)
        .json();
    assert_eq!(none["data"], json!([]));
}

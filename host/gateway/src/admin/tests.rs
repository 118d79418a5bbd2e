//! The API as an administrator meets it: a router over a store in a temporary folder.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;
use weir_base::{Clock, ManualClock};
use weir_store::{MasterKey, Store, StoreSettings};

use super::*;
use crate::config::{self, Sources};

mod control;

const KEY: &str = "admin-key-of-the-tests";
const SETTINGS: &str = r#"
default_chain = false
[[channel]]
name = "filed"
dialect = "openai"
keys = ["plain:sk-provider-secret"]
headers = { "x-team" = "hush" }
[[tenant]]
name = "acme"
[[tenant.key]]
name = "search"
secret = "plain:a-secret-of-the-file"
"#;

struct Api {
    router: Router,
    state: AdminState,
    _dir: TempDir,
}

impl Api {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(1_800_000_000_000));
        let settings = StoreSettings {
            clock: clock.clone(),
            ..StoreSettings::default()
        };
        let store = Store::open(
            &dir.path().join("weir.db"),
            &MasterKey::generate().unwrap(),
            settings,
        )
        .unwrap();
        let metrics = Arc::new(Metrics::new("test").unwrap());
        let (sources, bans) = (Sources::of_text(SETTINGS), Arc::new(Bans::default()));
        let config = config::load(&sources).unwrap().config;
        let parts = control::Parts {
            dir: dir.path(),
            store: &store,
            metrics: &metrics,
            clock: &clock,
            bans: &bans,
        };
        let state = AdminState {
            control: control::start(parts, config, sources).await,
            store,
            metrics,
            bans,
            clock,
            retests: Retests::new().0,
            admin_key_hash: weir_store::sha256(KEY.as_bytes()),
            open_metrics: false,
            workers: 2,
            tests: Tests::new().0,
            writes: Arc::default(),
        };
        Self {
            router: router(state.clone()),
            state,
            _dir: dir,
        }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::String(text)),
        )
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/admin/v1/{path}")
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {KEY}"));
        let (status, body) = self.send(request.body(body).unwrap()).await;
        (status.as_u16(), body)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, Value::Null).await
    }

    /// The status and the code of a refusal.
    async fn refused(&self, method: &str, path: &str, body: Value) -> (u16, String) {
        let (status, body) = self.call(method, path, body).await;
        (
            status,
            body["error"]["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    }
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn only_the_admin_key_opens() {
    let api = Api::new().await;
    let ask = async |path: &str, authorization: Option<&str>| {
        let mut request = Request::builder().uri(path);
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let (status, body) = api.send(request.body(Body::empty()).unwrap()).await;
        (
            status.as_u16(),
            body["error"]["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    assert_eq!(
        ask("/admin/v1/tenants", None).await,
        is(401, "admin_key_missing")
    );
    assert_eq!(
        ask("/admin/v1/nothing", Some("Basic abc")).await,
        is(401, "admin_key_missing")
    );
    assert_eq!(
        ask("/admin/v1/tenants", Some("Bearer wrong")).await,
        is(401, "admin_key_wrong")
    );
    assert_eq!(ask("/metrics", None).await, is(401, "admin_key_missing"));
    for open in ["/healthz", "/readyz", "/admin/v1/openapi.json"] {
        assert_eq!(ask(open, None).await, is(200, ""), "{open}");
    }
    assert_eq!(api.get("/metrics").await.0, 200);
    assert_eq!(
        api.refused("GET", "nothing", Value::Null).await,
        is(404, "unknown_path")
    );
    assert_eq!(
        api.refused("DELETE", "tenants", Value::Null).await,
        is(405, "unknown_method")
    );
}

#[tokio::test]
async fn a_tenant_and_its_key_from_beginning_to_end() {
    let api = Api::new().await;
    let (status, tenant) = api
        .call(
            "POST",
            "tenants",
            json!({ "id": "umbrella", "labels": { "plan": "pro" } }),
        )
        .await;
    assert_eq!(
        (status, &tenant["name"], &tenant["time_zone"]),
        (201, &json!("umbrella"), &json!("UTC"))
    );
    assert_eq!(
        api.refused("POST", "tenants", json!({ "id": "umbrella" }))
            .await,
        is(409, "exists_already")
    );

    let (status, key) = api
        .call(
            "POST",
            "tenants/umbrella/keys",
            json!({ "name": "k", "expires": "2027-06-01" }),
        )
        .await;
    assert_eq!(
        (status, key["expires_ms"].as_u64()),
        (201, Some(1_811_808_000_000))
    );
    let secret = key["secret"].as_str().unwrap().to_owned();
    assert!(
        secret.starts_with("sk-weir-") && secret.len() == 72,
        "{secret}"
    );
    let knows = |secret: &str| {
        let hash = weir_store::sha256(secret.as_bytes());
        api.state
            .control
            .snapshot()
            .directory
            .find(&hash)
            .map(|key| key.id.to_string())
    };
    let id = key["id"].as_str().unwrap().to_owned();
    assert_eq!(
        knows(&secret).as_ref(),
        Some(&id),
        "known to the data path when the answer came"
    );

    let path = format!("tenants/umbrella/keys/{id}");
    assert!(!api.get(&path).await.1.to_string().contains(&secret));
    let (_, changed) = api
        .call(
            "PATCH",
            &path,
            json!({ "labels": { "env": "prod" }, "expires": null }),
        )
        .await;
    assert_eq!(
        (&changed["labels"]["env"], &changed["expires_ms"]),
        (&json!("prod"), &Value::Null)
    );
    let (_, rotated) = api
        .call("POST", &format!("{path}/rotate"), Value::Null)
        .await;
    assert_eq!(
        (knows(&secret), knows(rotated["secret"].as_str().unwrap())),
        (None, Some(id))
    );

    assert_eq!(
        api.call("DELETE", "tenants/umbrella", Value::Null).await.0,
        204
    );
    assert_eq!(
        api.refused("GET", &path, Value::Null).await,
        is(404, "unknown_key")
    );
    assert_eq!(knows(rotated["secret"].as_str().unwrap()), None);
}

#[tokio::test]
async fn secrets_that_callers_choose_must_be_long_and_unused() {
    let api = Api::new().await;
    let with = |secret: &str| json!({ "name": "k", "secret": secret });
    assert_eq!(
        api.refused("POST", "tenants/acme/keys", with("short"))
            .await,
        is(400, "invalid_field")
    );
    let taken = with("a-secret-of-the-file");
    assert_eq!(
        api.refused("POST", "tenants/acme/keys", taken).await,
        is(409, "secret_taken")
    );
    let (status, key) = api
        .call("POST", "tenants/acme/keys", with("a-secret-of-my-own"))
        .await;
    assert_eq!((status, &key["prefix"]), (201, &json!("a-se")));
}

#[tokio::test]
async fn what_the_file_declares_is_shown_and_read_only() {
    let api = Api::new().await;
    let (_, tenants) = api.get("tenants").await;
    assert_eq!(
        (
            &tenants["data"][0]["id"],
            &tenants["data"][0]["declared_in"]
        ),
        (&json!("acme"), &json!("weir.toml"))
    );
    let (_, keys) = api.get("tenants/acme/keys").await;
    assert_eq!(keys["data"][0]["id"], "acme.search");
    let (_, channels) = api.get("channels").await;
    let text = channels.to_string();
    assert!(
        text.contains("x-team") && !text.contains("hush") && !text.contains("sk-provider"),
        "{text}"
    );
    for (method, path, body) in [
        ("POST", "tenants", json!({ "id": "acme" })),
        ("PATCH", "tenants/acme", json!({ "disabled": true })),
        ("DELETE", "tenants/acme", Value::Null),
        ("POST", "tenants/acme/keys/acme.search/rotate", Value::Null),
        (
            "POST",
            "channels",
            json!({ "name": "filed", "dialect": "fake" }),
        ),
        ("PATCH", "channels/filed", json!({ "weight": 1 })),
        ("DELETE", "channels/filed", Value::Null),
    ] {
        let (status, answer) = api.call(method, path, body).await;
        let error = &answer["error"];
        let got = (status, &error["code"], &error["details"]["file"]);
        assert_eq!(
            got,
            (409, &json!("declared_in_file"), &json!("weir.toml")),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_dead_key_of_the_file_is_put_back() {
    let api = Api::new().await;
    let (_, keys) = api.get("channels/filed/keys").await;
    let path = format!(
        "channels/filed/keys/{}",
        keys["data"][0]["id"].as_str().unwrap()
    );
    assert_eq!(keys["data"][0]["state"]["is"], "usable");
    let (_, off) = api.call("PATCH", &path, json!({ "enabled": false })).await;
    assert_eq!(
        off["state"],
        json!({ "is": "disabled", "reason": "disabled by an administrator", "at_ms": 1_800_000_000_000_u64 })
    );
    assert_eq!(
        api.state
            .control
            .snapshot()
            .channel("filed")
            .unwrap()
            .keys
            .usable(1_800_000_000_000),
        0
    );
    let (_, on) = api.call("PATCH", &path, json!({ "enabled": true })).await;
    assert_eq!(on["state"]["is"], "usable");
    assert_eq!(
        api.state
            .control
            .snapshot()
            .channel("filed")
            .unwrap()
            .keys
            .usable(1_800_000_000_000),
        1
    );
    assert_eq!(
        api.refused("DELETE", &path, Value::Null).await,
        is(409, "declared_in_file")
    );
}

#[tokio::test]
async fn a_channel_and_its_key_from_beginning_to_end() {
    let api = Api::new().await;
    let made = json!({ "name": "mine", "dialect": "anthropic", "models": ["claude-*"], "stream_usage": false });
    let (status, channel) = api.call("POST", "channels", made).await;
    assert_eq!(
        (status, &channel["base_url"]),
        (201, &json!("https://api.anthropic.com/"))
    );
    assert_eq!(
        (&channel["weight"], &channel["stream_usage"]),
        (&json!(100), &json!(false))
    );
    let (status, key) = api
        .call(
            "POST",
            "channels/mine/keys",
            json!({ "secret": "sk-ant-1", "label": "first" }),
        )
        .await;
    assert_eq!(status, 201);
    assert!(!key.to_string().contains("sk-ant-1"));
    let (_, channel) = api
        .call(
            "PATCH",
            "channels/mine",
            json!({ "priority": 7, "models": null, "labels": { "region": "eu" } }),
        )
        .await;
    assert_eq!(
        (
            &channel["priority"],
            &channel["models"],
            &channel["health"]["keys"],
            &channel["labels"]["region"]
        ),
        (&json!(7), &json!(["*"]), &json!(1), &json!("eu"))
    );
    assert_eq!(
        api.call("DELETE", "channels/mine", Value::Null).await.0,
        204
    );
    assert!(api.state.control.snapshot().channel("mine").is_none());
    assert_eq!(
        api.refused("GET", "channels/mine/keys", Value::Null).await,
        is(404, "unknown_channel")
    );
}

#[tokio::test]
async fn circuits_are_shown_and_held_by_hand() {
    use crate::measure::FailureKind;
    let api = Api::new().await;
    let snapshot = api.state.control.snapshot();
    let channel = snapshot.channel("filed").unwrap();
    let now_ms = api.state.clock.now_ms();
    let model = channel.health.model("gpt", now_ms);
    for _ in 0..3 {
        let pass = model.breaker.enter(|| now_ms);
        model.failed(Some(pass), now_ms, FailureKind::TimedOut, &channel.breaker);
    }
    let (_, health) = api.get("channels/filed/health").await;
    let gpt = &health["models"][0];
    assert_eq!(
        (&gpt["model"], &gpt["circuit"]["is"], &gpt["failures"]),
        (&json!("gpt"), &json!("open"), &json!({ "timed_out": 3 })),
        "{health}"
    );
    assert_eq!(gpt["circuit"]["until_ms"], json!(now_ms + 1_000));
    assert_eq!(health["keys"][0]["usable"], json!(true));
    assert_eq!(api.get("channels/filed").await.1["health"]["tripped"], true);
    let set = async |body| api.call("POST", "channels/filed/breaker", body).await;
    for (state, shown) in [
        ("closed", "held_closed"),
        ("open", "open"),
        ("auto", "closed"),
    ] {
        let (status, health) = set(json!({ "state": state })).await;
        let circuit = &health["models"][0]["circuit"];
        assert_eq!((status, &circuit["is"]), (200, &json!(shown)), "{health}");
    }
    let (status, _) = set(json!({ "state": "open", "model": "never-asked" })).await;
    assert_eq!(status, 400);
    assert_eq!(
        api.refused("GET", "channels/none/health", Value::Null)
            .await,
        is(404, "unknown_channel")
    );
}

#[tokio::test]
async fn bad_input_is_named() {
    let api = Api::new().await;
    let cases = [
        (
            "POST",
            "tenants",
            json!({ "id": "x", "lables": {} }),
            400,
            "invalid_json",
            "lables",
        ),
        (
            "POST",
            "tenants",
            json!({ "id": "x", "labels": { "a": 1 } }),
            400,
            "invalid_json",
            "labels.a",
        ),
        (
            "POST",
            "tenants",
            json!({ "id": "a b" }),
            400,
            "invalid_field",
            "name",
        ),
        (
            "POST",
            "tenants",
            json!({ "id": "x", "time_zone": "Mars/Base" }),
            400,
            "invalid_field",
            "Mars",
        ),
        (
            "POST",
            "channels",
            json!({ "name": "c", "dialect": "opnai" }),
            400,
            "invalid_field",
            "did you mean",
        ),
        (
            "PUT",
            "policies/p",
            json!({ "deadline_ms": 0 }),
            400,
            "invalid_field",
            "deadline_ms",
        ),
        (
            "PUT",
            "policies/p",
            json!({ "grants": { "htpp": [] } }),
            400,
            "invalid_json",
            "grants",
        ),
        (
            "GET",
            "tenants?limit=0",
            Value::Null,
            400,
            "invalid_field",
            "limit",
        ),
        (
            "GET",
            "calls?form=1",
            Value::Null,
            400,
            "invalid_query",
            "form",
        ),
        (
            "GET",
            "calls?from=yesterday",
            Value::Null,
            400,
            "invalid_field",
            "from",
        ),
        (
            "GET",
            "usage?group_by=colour",
            Value::Null,
            400,
            "invalid_field",
            "colour",
        ),
    ];
    for (method, path, body, status, code, part) in cases {
        let (got, answer) = api.call(method, path, body).await;
        assert_eq!(
            (got, &answer["error"]["code"]),
            (status, &json!(code)),
            "{method} {path} {answer}"
        );
        assert!(
            answer["error"]["message"].as_str().unwrap().contains(part),
            "{part} in {answer}"
        );
    }
    let (status, answer) = api
        .call("POST", "tenants", Value::String("x".repeat(1_100_000)))
        .await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (413, &json!("body_too_large"))
    );
}

#[tokio::test]
async fn policies_are_set_ordered_and_removed() {
    let api = Api::new().await;
    let (status, policy) = api
        .call(
            "PUT",
            "policies/one",
            json!({ "source": "builtin:limits", "config": {} }),
        )
        .await;
    assert_eq!(
        (status, &policy["settings"]["deadline_ms"]),
        (200, &json!(20)),
        "{policy}"
    );
    api.call(
        "PUT",
        "policies/two",
        json!({ "mode": "shadow", "source": "builtin:router" }),
    )
    .await;
    let positions = async || {
        let made = policies::made(&api.state).await.unwrap();
        made.into_iter()
            .map(|setting| setting.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(positions().await, ["one", "two"]);
    assert_eq!(
        api.call("PUT", "chain", json!({ "order": ["two", "one"] }))
            .await
            .0,
        200
    );
    assert_eq!(positions().await, ["two", "one"]);
    assert_eq!(
        api.refused("PUT", "chain", json!({ "order": ["two", "two"] }))
            .await,
        is(400, "invalid_field")
    );
    let (_, policy) = api
        .call(
            "PATCH",
            "policies/two",
            json!({ "mode": null, "deadline_ms": 5 }),
        )
        .await;
    assert_eq!(
        (
            &policy["settings"]["mode"],
            &policy["settings"]["deadline_ms"]
        ),
        (&json!("enforce"), &json!(5))
    );
    assert_eq!(api.call("DELETE", "policies/one", Value::Null).await.0, 204);
    assert_eq!(positions().await, ["two"]);
    assert_eq!(
        api.refused("DELETE", "policies/one", Value::Null).await,
        is(404, "unknown_policy")
    );
}

#[tokio::test]
async fn a_version_that_is_none_is_refused() {
    let api = Api::new().await;
    api.call("PUT", "policies/mine", json!({})).await;
    let upload = async |content_type: &str, bytes: &'static [u8]| {
        let request =
            Request::put("/admin/v1/policies/mine/versions").header("content-type", content_type);
        let request = request.header("authorization", format!("Bearer {KEY}"));
        let (status, answer) = api.send(request.body(Body::from(bytes)).unwrap()).await;
        (
            status.as_u16(),
            answer["error"]["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    assert_eq!(upload("text/plain", b"x").await, is(415, "wasm_expected"));
    assert_eq!(
        upload("application/wasm", b"not wasm at all").await,
        is(422, "policy_not_wasm")
    );
}

#[tokio::test]
async fn bans_are_lifted() {
    let api = Api::new().await;
    let (ip, now_ms) = ("192.0.2.7".parse().unwrap(), api.state.clock.now_ms());
    let ban = weir_store::Ban {
        ip,
        until_ms: now_ms + 1_000,
        reason: "scanning".to_owned(),
    };
    api.state.store.put(&ban).await.unwrap();
    api.state.bans.ban(ip, ban.until_ms, now_ms);
    assert_eq!(api.get("bans").await.1["data"][0]["reason"], "scanning");
    assert_eq!(
        api.call("DELETE", "bans/192.0.2.7", Value::Null).await.0,
        204
    );
    assert_eq!(api.state.bans.remaining_ms(&ip, now_ms), None);
    assert_eq!(
        api.refused("DELETE", "bans/192.0.2.7", Value::Null).await,
        is(404, "unknown_ban")
    );
}

#[tokio::test]
async fn the_description_has_every_path_and_no_loose_end() {
    let api = Api::new().await;
    let (_, description) = api.get("openapi.json").await;
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let text = description.to_string();
    for (path, _) in description["paths"].as_object().unwrap() {
        assert!(text.contains(path.as_str()));
    }
    assert_eq!(
        description["paths"].as_object().unwrap().len(),
        44,
        "{:?}",
        description["paths"].as_object().unwrap().keys()
    );
    let schemas = &description["components"]["schemas"];
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            schemas.get(name).is_some(),
            "{name} is referred to and not described"
        );
    }
    assert!(description["components"]["securitySchemes"]["admin_key"].is_object());
}

#[tokio::test]
async fn an_unknown_call_and_an_empty_ledger() {
    let api = Api::new().await;
    assert_eq!(
        api.get("calls?limit=5&from=2026-01-01").await,
        (200, json!({ "data": [], "next": null }))
    );
    assert_eq!(
        api.refused("GET", "calls/req_1", Value::Null).await,
        is(404, "unknown_call")
    );
    assert_eq!(api.get("usage?group_by=tenant,day").await.0, 200);
    let (_, status) = api.get("status").await;
    assert_eq!(
        (&status["workers"], &status["ledger"]["accepting"]),
        (&json!(2), &json!(true))
    );
    assert!(
        !api.get("config")
            .await
            .1
            .to_string()
            .contains("sk-provider-secret")
    );
}

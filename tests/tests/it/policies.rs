//! Every hook through the whole program, and what becomes of a policy that misbehaves.
//!
//! The policy is the probe (`policies/testing/probe`), which does what its configuration says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_tests::{
    Answer, End, Gateway, KEY, Provider, Setup, digest, eventually, is_digest_of, parallel, policy,
    policy_file,
};

use crate::FAKE;

/// A `[[policy]]` with the probe; `config` are inline tables of its hooks.
fn probe(name: &str, more: &str, config: &str) -> String {
    let file = policy_file("testing-probe");
    // Deadlines are for what must go over them: these tests share a machine with a compiler.
    let deadline = if more.contains("deadline_ms") {
        ""
    } else {
        "deadline_ms = 2000"
    };
    format!(
        "\n[[policy]]\nname = \"{name}\"\nsource = \"file:{}\"\n{deadline}\n{more}\n[policy.config]\n{config}\n",
        file.display()
    )
}

/// What the probe stored under a key, by way of a call to the model `stored-KEY`.
fn stored(key: &str) -> String {
    format!("answer = {{ models = [\"stored-*\"], stored = \"{key}\" }}")
}

#[test]
fn access_and_answer_decide_and_see_the_call() {
    let config = "
access = { models = [\"bad-*\"], do = [{ deny = { status = 418, code = \"teapot\", message = \"No tea here.\", retry_after_ms = 2500 } }] }
answer = { models = [\"show-*\"], show = true }";
    let gateway = Gateway::start(&(FAKE.to_owned() + &probe("probe", "", config)));
    let denied = gateway.acme().chat("bad-1").expect(418);
    assert_eq!(
        (denied.code().as_str(), denied.header("retry-after")),
        ("teapot", "3")
    );
    assert!(denied.text().contains("No tea here."));
    gateway.acme().chat("good").expect(200);

    let client = gateway
        .acme()
        .header("x-seen", "1")
        .header("x-api-key", "sk-another");
    let shown = client.chat("show-me").expect(200);
    let call = gateway.call(&shown.id());
    let view = shown.json();
    assert_eq!(view["id"], call["id"]);
    assert_eq!(
        (&view["dialect"], &view["path"]),
        (&json!("openai.chat"), &json!("/v1/chat/completions"))
    );
    assert_eq!(
        (&view["env"], &view["plan"]),
        (&json!("test"), &json!("pro")),
        "labels of key and tenant"
    );
    assert_eq!(view["messages"], json!([["user", "Say hello."]]));
    assert_eq!(view["tenant"], "acme");
    assert_eq!(view["client_ip"], "127.0.0.1");
    let text = shown.text();
    assert!(text.contains("x-seen"), "{text}");
    assert!(
        !text.contains(KEY) && !text.contains("sk-another"),
        "a policy sees a credential: {text}"
    );

    let decisions = call["decisions"].as_array().unwrap();
    let hooks: Vec<&str> = decisions
        .iter()
        .map(|decision| decision["hook"].as_str().unwrap())
        .collect();
    assert!(
        hooks.starts_with(&["access", "rewrite", "limit", "answer"]),
        "{hooks:?}"
    );
    for decision in decisions {
        assert_eq!(decision["policy"], "probe");
        assert!(
            is_digest_of(&decision["digest"], &policy("testing-probe")),
            "{decision}"
        );
    }
    assert_eq!(call["channel"], Value::Null, "no provider was asked");
}

#[test]
fn rewrite_limit_and_route_change_what_happens() {
    let config = format!("
rewrite = {{ models = [\"edit-*\"], do = [{{ set_model = \"edited\" }}, {{ set_header = [\"x-probe\", \"2\"] }}, {{ remove_header = \"x-gone\" }}, {{ set_json = [\"/user\", \"probe\"] }}, {{ remove_json = \"/temperature\" }}, {{ prepend_system = \"Be kind.\" }}] }}
limit = {{ models = [\"twice\"], rules = [{{ key = \"k\", unit = \"requests\", window = 60, limit = 2 }}] }}
route = {{ models = [\"order-*\"], order = [\"b\", \"a\"], record = \"candidates\" }}
{}", stored("candidates"));
    let (a, b) = (Provider::start(), Provider::start());
    let channels = a.channel(
        "openai",
        "a",
        "priority = 10\nlabels = { region = \"eu\" }\nmodel_map = { \"order-1\" = \"mapped\" }",
    ) + &b.channel("openai", "b", "");
    let gateway = Gateway::start(&(channels + &probe("probe", "", &config)));
    let client = gateway.acme().header("x-gone", "1");

    let body = json!({"model": "edit-1", "temperature": 0.5, "messages": [{"role": "user", "content": "Hi"}]});
    client.post("/v1/chat/completions", &body).expect(200);
    let seen = a.seen().pop().unwrap();
    assert_eq!((seen.header("x-probe"), seen.header("x-gone")), ("2", ""));
    let sent = seen.json();
    assert_eq!(
        (&sent["model"], &sent["user"], &sent["temperature"]),
        (&json!("edited"), &json!("probe"), &Value::Null)
    );
    assert_eq!(sent["messages"][0]["content"], "Be kind.", "{sent}");
    assert_eq!(
        sent["messages"][1],
        json!({"role": "user", "content": "Hi"})
    );

    let statuses = [(); 3].map(|()| client.chat("twice").status);
    assert_eq!(statuses, [200, 200, 429]);

    let before = b.count();
    client.chat("order-1").expect(200);
    assert_eq!(b.count(), before + 1, "the probe wants b first");
    // Figures are told again for a moment before they are added up anew.
    let candidates = eventually("b is measured", || {
        client.chat("order-1").expect(200);
        let candidates = client.chat("stored-1").expect(200).json();
        (candidates[1]["total_ms"].as_f64()? > 0.0).then_some(candidates)
    });
    assert_eq!(
        (&candidates[0]["channel"], &candidates[0]["priority"]),
        (&json!("a"), &json!(10))
    );
    let [of_a, of_b] = [0, 1].map(|at| &candidates[at]);
    assert_eq!(
        (&of_a["usable_keys"], &of_a["headroom"]),
        (&json!(1), &json!(1.0))
    );
    assert_eq!(
        (&of_a["provider"], &of_a["model"], &of_a["region"]),
        (&json!("openai"), &json!("mapped"), &json!("eu"))
    );
    assert_eq!(
        (&of_b["channel"], &of_b["model"], &of_b["region"]),
        (&json!("b"), &json!("order-1"), &Value::Null)
    );
    assert_ne!(of_a["number"], of_b["number"]);
    let total_ms = of_b["total_ms"].as_f64().unwrap();
    assert!(
        total_ms >= of_b["first_byte_ms"].as_f64().unwrap() && total_ms > 0.0,
        "{of_b}"
    );
    assert_eq!(
        of_a["total_ms"], 0.0,
        "this model was not asked of it before"
    );
}

#[test]
fn reply_and_events_change_what_the_caller_gets() {
    let config = "
reply = { append = \" \", set_header = [\"x-probe\", \"2\"] }
events = { text = \"uppercase\", append = \" (end)\" }";
    let provider = Provider::start();
    let gateway =
        Gateway::start(&(provider.channel("openai", "main", "") + &probe("probe", "", config)));
    let whole = gateway.acme().chat("m").expect(200);
    assert_eq!(whole.header("x-probe"), "2");
    assert!(whole.text().ends_with("} "), "{}", whole.text());

    let stream = gateway.acme().chat_stream("m").rest();
    assert_eq!((stream.status, stream.broken.clone()), (200, None));
    let text: String = stream
        .text()
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect();
    assert_eq!(text, "HELLO FROM THE PROVIDER. (end)");
    assert!(
        stream.text().ends_with("data: [DONE]\n\n"),
        "{}",
        stream.text()
    );
    let call = gateway.call(&stream.id());
    assert_eq!(
        (
            &call["usage"]["input_tokens"],
            &call["usage"]["output_tokens"]
        ),
        (&json!(7), &json!(3))
    );
}

#[test]
fn a_denial_in_a_stream_ends_it_with_an_error_event() {
    let config = "events = { at = 3, do = [{ deny = { status = 403, code = \"enough\", message = \"That is enough.\" } }] }";
    let provider = Provider::start();
    let gateway =
        Gateway::start(&(provider.channel("openai", "main", "") + &probe("probe", "", config)));
    let stream = gateway.acme().chat_stream("m").rest();
    let last = stream.text().trim_end().lines().last().unwrap().to_owned();
    assert!(
        last.contains("\"error\"") && last.contains("enough"),
        "{}",
        stream.text()
    );
    assert!(!stream.text().contains("[DONE]"), "{}", stream.text());
    assert_eq!(gateway.call(&stream.id())["denied"], "enough");
}

#[test]
fn audit_sees_how_every_call_ended() {
    let config = format!(
        "audit = {{ models = [\"m\", \"bad\"], record = \"last\" }}\naccess = {{ models = [\"bad\"], do = [{{ deny = {{}} }}] }}\n{}",
        stored("last")
    );
    let provider = Provider::start();
    let gateway =
        Gateway::start(&(provider.channel("openai", "main", "") + &probe("probe", "", &config)));
    let last = |id: &str| {
        eventually("the audit of the call", || {
            let seen: Value = serde_json::from_slice(&gateway.acme().chat("stored-1").body).ok()?;
            (seen["id"] == id).then_some(seen)
        })
    };
    let seen = last(&gateway.acme().chat("m").expect(200).id());
    assert_eq!(
        (&seen["channel"], &seen["status"], &seen["attempts"]),
        (&json!("main"), &json!(200), &json!(1))
    );
    assert_eq!(
        (&seen["tenant"], &seen["client_ip"]),
        (&json!("acme"), &json!("127.0.0.1")),
        "after the call too"
    );
    assert_eq!(
        (
            &seen["usage"]["input_tokens"],
            &seen["usage"]["output_tokens"]
        ),
        (&json!(7), &json!(3))
    );
    let seen = last(&gateway.acme().chat("bad").expect(403).id());
    assert_eq!(
        (&seen["channel"], &seen["denied"]),
        (&Value::Null, &json!("probe_denied"))
    );
}

/// A trap, an endless loop and growth without end, each by itself and each with both settings.
#[test]
fn a_policy_that_misbehaves_is_bounded_and_hurts_nobody_else() {
    let mut settings = FAKE.to_owned();
    for (name, step, limits) in [
        ("trap", "trap", ""),
        // Its deadline counts its own time only; on a busy machine the others' may be much longer.
        ("loop", "loop", "deadline_ms = 100\nwait_max_ms = 10000"),
        ("grow", "grow", "memory_max_bytes = 16777216"),
    ] {
        for on_failure in ["deny", "allow"] {
            let more = format!("on_failure = \"{on_failure}\"\n{limits}");
            let config =
                format!("access = {{ models = [\"{name}-{on_failure}\"], do = [\"{step}\"] }}");
            settings += &probe(&format!("{name}-{on_failure}"), &more, &config);
        }
    }
    let gateway = Gateway::start(&settings);
    let is_over = AtomicBool::new(false);
    parallel(4, |number| {
        // Also where this fails, so that the others end and the failure is heard of.
        let _over = Over((number == 0).then_some(&is_over));
        if number > 0 {
            let client = gateway.acme();
            while !is_over.load(Ordering::Relaxed) {
                client.chat("well").expect(200);
                std::thread::sleep(Duration::from_millis(5));
            }
            return;
        }
        for _ in 0..4 {
            for (name, code) in [
                ("trap", "policy_trapped"),
                ("loop", "policy_deadline"),
                ("grow", "policy_memory"),
            ] {
                let started = Instant::now();
                let denied = gateway.acme().chat(&format!("{name}-deny"));
                let took = started.elapsed();
                assert_eq!(
                    (denied.status, denied.code().as_str()),
                    (503, "policy_failed"),
                    "{}",
                    denied.text()
                );
                assert!(denied.text().contains(code), "{name}: {}", denied.text());
                assert!(took < Duration::from_secs(5), "{name} took {took:?}");
                let allowed = gateway.acme().chat(&format!("{name}-allow")).expect(200);
                let call = gateway.call(&allowed.id());
                let verdicts: Vec<&str> = call["decisions"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(|decision| decision["verdict"].as_str())
                    .collect();
                assert!(
                    verdicts.contains(&format!("failed:{code}").as_str()),
                    "{verdicts:?}"
                );
            }
        }
    });
}

/// Says that a test is over when it is dropped.
struct Over<'a>(Option<&'a AtomicBool>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if let Some(is_over) = self.0 {
            is_over.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_failure_in_a_later_hook_is_bounded_too() {
    for hook in ["rewrite", "limit", "answer", "route", "reply", "events"] {
        let config = format!("{hook} = {{ models = [\"ill\"], do = [\"trap\"] }}\n");
        let provider = Provider::start();
        let gateway = Gateway::start(
            &(provider.channel("openai", "main", "") + &probe("probe", "", &config)),
        );
        let reply = if hook == "events" {
            gateway.acme().chat_stream("ill").rest()
        } else {
            gateway.acme().chat("ill")
        };
        let said = reply.text();
        assert!(
            said.contains("policy_failed"),
            "{hook}: {} {said}",
            reply.status
        );
        assert!(!said.contains("Hello from"), "{hook}: {said}");
        gateway.acme().chat("well").expect(200);
    }
}

#[test]
fn a_shadow_decides_and_changes_nothing() {
    let config = "
access = { do = [{ deny = { code = \"shadowed\" } }] }
rewrite = { do = [{ set_model = \"other\" }, { set_header = [\"x-probe\", \"2\"] }] }
limit = { rules = [{ key = \"k\", unit = \"requests\", window = 60, limit = 0 }] }
answer = { respond = { status = 200, body = \"canned\" } }
reply = { append = \"!\" }
events = { text = \"uppercase\" }";
    let provider = Provider::start();
    let gateway = Gateway::start(
        &(provider.channel("openai", "main", "") + &probe("probe", "mode = \"shadow\"", config)),
    );
    let reply = gateway.acme().chat("m").expect(200);
    assert_eq!(reply.body, Answer::chat("Hello from the provider.").body());
    let stream = gateway.acme().chat_stream("m").rest();
    assert_eq!(
        &stream.body,
        Answer::chat_events("Hello from the provider.").body()
    );
    let seen = provider.seen();
    assert!(
        seen.iter()
            .all(|seen| seen.json()["model"] == "m" && seen.header("x-probe").is_empty())
    );
    let call = gateway.call(&reply.id());
    let verdicts: Vec<&str> = call["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|decision| decision["verdict"].as_str())
        .collect();
    assert!(
        verdicts.contains(&"shadow:deny:shadowed"),
        "it is logged: {verdicts:?}"
    );
}

/// Every instance counts itself when it is made.
#[test]
fn isolation_decides_whether_an_instance_is_used_again() {
    let instances_for_ten_calls = |isolation: &str| {
        let config = format!(
            "init = {{ do = [{{ count = \"instances\" }}] }}\naccess = {{ do = [\"allow\"] }}\n{}",
            stored("instances")
        );
        let gateway = Gateway::start(
            &(FAKE.to_owned() + &probe("probe", &format!("isolation = \"{isolation}\""), &config)),
        );
        let client = gateway.acme();
        let count = || -> u64 {
            client
                .chat("stored-1")
                .expect(200)
                .text()
                .parse()
                .expect("a number")
        };
        // Each worker makes its own when it is first asked.
        (0..20).for_each(|_| drop(gateway.acme().chat("m")));
        let before = count();
        (0..10).for_each(|_| drop(client.chat("m").expect(200)));
        count() - before
    };
    assert!(instances_for_ten_calls("call") >= 10);
    assert!(instances_for_ten_calls("shared") <= 2);
}

#[test]
fn tenants_see_only_the_policies_for_them() {
    let tenants = format!(
        "
[[tenant]]
name = \"acme\"
[[tenant.key]]
name = \"k\"
secret = \"plain:{KEY}\"
[[tenant]]
name = \"other\"
[[tenant.key]]
name = \"k\"
secret = \"plain:sk-of-the-other-tenant\"
"
    );
    let config = "access = { do = [{ deny = {} }] }";
    let gateway = Gateway::start(
        &(FAKE.to_owned() + &tenants + &probe("probe", "tenants = [\"oth*\"]", config)),
    );
    gateway.acme().chat("m").expect(200);
    gateway
        .client("sk-of-the-other-tenant")
        .chat("m")
        .expect(403);
}

#[test]
fn code_that_cannot_be_a_policy_is_refused_with_a_reason() {
    let forbidden = format!(
        "{FAKE}[[policy]]\nname = \"p\"\nsource = \"file:{}\"\n",
        policy_file("testing-forbidden").display()
    );
    let refused = Setup::new(&forbidden).run_to_end(&["serve", "--config", "weir.toml"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    assert!(said.contains("grants.http"), "it names the grant: {said}");

    let gateway = Gateway::start(FAKE);
    let admin = gateway.admin().header("content-type", "application/wasm");
    let put = |bytes: Vec<u8>| admin.send("PUT", "/admin/v1/policies/mine/versions", bytes);
    for (bytes, what) in [
        (b"not wasm at all".to_vec(), "no WebAssembly"),
        (policy("testing-empty"), "no hook"),
        (policy("testing-forbidden"), "not granted"),
        (policy("testing-probe")[..1000].to_vec(), "cut off"),
    ] {
        let reply = put(bytes);
        assert!(
            (400..500).contains(&reply.status) && !reply.code().is_empty(),
            "{what}: {} {}",
            reply.status,
            reply.text()
        );
    }
    gateway.acme().chat("m").expect(200);
}

#[test]
fn a_file_that_appears_in_the_watched_folder_becomes_a_policy() {
    let gateway = Gateway::start(FAKE);
    let probe = policy("testing-probe");
    gateway.write("policies.d/dropped.wasm", &probe);
    let shown = eventually("the dropped policy runs", || {
        let reply = gateway.admin().get("/admin/v1/policies/dropped");
        let shown = (reply.status == 200).then(|| reply.json())?;
        (shown["running"]["digest"] == digest(&probe).as_str()).then_some(shown)
    });
    let id = gateway.acme().chat("m").expect(200).id();
    assert_eq!(
        gateway.call(&id)["decisions"][0]["policy"],
        "dropped",
        "{shown}"
    );
    std::fs::remove_file(gateway.folder().join("policies.d/dropped.wasm")).unwrap();
    eventually("the policy is gone with its file", || {
        let id = gateway.acme().chat("m").expect(200).id();
        gateway.call(&id)["decisions"]
            .as_array()
            .unwrap()
            .is_empty()
            .then_some(())
    });
}

#[test]
fn a_policy_reaches_only_the_hosts_that_it_was_granted() {
    let granted = Provider::with(|seen| {
        Answer::json(if seen.path == "/yes" { 200 } else { 500 }, &json!({}))
    });
    let other = Provider::start();
    let host = |provider: &Provider| {
        let channel = provider.channel("fake", "x", "");
        channel
            .lines()
            .find_map(|line| line.strip_prefix("base_url = \"http://"))
            .unwrap()
            .trim_end_matches('"')
            .to_owned()
    };
    let ask = |url: String| {
        let settings = format!(
            "{FAKE}[[policy]]\nname = \"asks\"\nsource = \"file:{}\"\ndeadline_ms = 2000\n[policy.grants]\nhttp = [\"{}\"]\n[policy.config]\nurl = \"{url}\"\n",
            policy_file("testing-forbidden").display(),
            host(&granted)
        );
        let reply = Gateway::start(&settings).acme().chat("m");
        (reply.status, reply.code())
    };
    assert_eq!(
        ask(format!("http://{}/yes", host(&granted))),
        (200, String::new())
    );
    assert_eq!(
        ask(format!("http://{}/no", host(&granted))),
        (403, "asked".to_owned())
    );
    assert_eq!(
        ask(format!("http://{}/yes", host(&other))),
        (403, "not_asked".to_owned())
    );
    assert_eq!((granted.count(), other.count()), (2, 0));
}

/// Only a proxy that is trusted may say whose call it passes on.
#[test]
fn the_clients_address_comes_from_trusted_proxies_only() {
    let config = "answer = { show = true }";
    let address = |trusted: &str| {
        let gateway = Gateway::start(&format!(
            "trusted_proxies = [{trusted}]\n{FAKE}{}",
            probe("probe", "", config)
        ));
        let client = gateway
            .acme()
            .header("x-forwarded-for", "198.51.100.7, 203.0.113.9");
        client.chat("m").expect(200).json()["client_ip"].clone()
    };
    assert_eq!(address(""), "127.0.0.1");
    assert_eq!(
        address("\"127.0.0.1/32\""),
        "203.0.113.9",
        "the last one that no trusted proxy is"
    );
    assert_eq!(
        address("\"127.0.0.1/32\", \"203.0.113.0/24\""),
        "198.51.100.7"
    );
}

#[test]
fn policies_log_and_count_under_their_own_name() {
    let config = "access = { do = [{ log = \"a line of the probe\" }, { metric = \"seen\" }] }";
    let gateway = Gateway::start(&(FAKE.to_owned() + &probe("probe", "", config)));
    for _ in 0..3 {
        gateway.acme().chat("m").expect(200);
    }
    eventually("the line is in the log", || {
        gateway.log().contains("a line of the probe").then_some(())
    });
    let metrics = gateway.admin().get("/metrics").expect(200).text();
    let line = metrics.lines().find(|line| {
        line.contains("seen") && line.contains("by=\"probe\"") && !line.starts_with('#')
    });
    assert!(
        line.is_some_and(|line| line.contains("policy=\"probe\"") && line.ends_with(" 3")),
        "{line:?} in {metrics}"
    );
}

/// One worker, so that everything has to share one thread with a policy that does not come back.
#[test]
fn other_calls_go_on_while_a_policy_loops_on_their_worker() {
    let config = "access = { models = [\"loop\"], do = [\"loop\"] }";
    let settings = format!(
        "workers = 1\n{FAKE}{}",
        probe("probe", "deadline_ms = 2000", config)
    );
    let gateway = Gateway::start(&settings);
    let client = gateway.acme();
    client.chat("well").expect(200);
    parallel(2, |number| {
        if number == 0 {
            gateway.acme().chat("loop").expect(503);
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
        let started = Instant::now();
        for _ in 0..5 {
            client.chat("well").expect(200);
        }
        let took = started.elapsed();
        assert!(
            took < Duration::from_millis(1_200),
            "five calls beside the loop took {took:?}"
        );
    });
}

#[test]
fn many_streams_share_few_instances() {
    let provider = Provider::always(Answer::chat_events("One two three.").ending(End::Stall(500)));
    let settings = format!(
        "[runtime]\ninstances_max = 32\n{}{}",
        provider.channel("openai", "main", ""),
        probe("probe", "", "events = { text = \"uppercase\" }")
    );
    let gateway = Gateway::start(&settings);
    let client = gateway.acme();
    let mut streams: Vec<_> = (0..200).map(|_| client.chat_stream("m")).collect();
    for stream in &mut streams {
        assert_eq!(stream.status, 200);
        let mut text = String::new();
        while !text.contains("ONE") {
            text += &String::from_utf8_lossy(&stream.next().expect("a piece").expect("a piece"));
        }
    }
}

/// What a policy allowed is what the provider is asked for, however the request is written.
#[test]
fn a_request_cannot_say_two_things() {
    let settings = "
[[policy]]
name = \"permissions\"
source = \"builtin:permissions\"
deadline_ms = 2000
[policy.config]
models = [\"good\"]
";
    let provider = Provider::start();
    let gateway = Gateway::start(
        &(provider.channel("openai", "main", "") + &provider.channel("gemini", "g", "") + settings),
    );
    let client = gateway.acme();
    for body in [
        r#"{"model": "good", "model": "forbidden", "messages": []}"#,
        r#"{"model": "forbidden", "model": "good", "messages": []}"#,
        r#"{"model": "good", "\u006dodel": "forbidden", "messages": []}"#,
        r#"{"messages": [], "model": "good"} {"model": "forbidden"}"#,
        r#"{"model": ["forbidden"], "messages": []}"#,
        "\u{feff}{\"model\": \"forbidden\", \"messages\": []}",
    ] {
        client.send("POST", "/v1/chat/completions", body);
    }
    for path in [
        "/v1beta/models/forbidden:generateContent",
        "/v1beta/models/%66orbidden:generateContent",
        "/v1beta/models/good:x/../forbidden:generateContent",
        "/v1beta/models/good%2f..%2fforbidden:generateContent",
        "/v1/models/forbidden:generateContent",
        "//v1beta/models/forbidden:generateContent",
    ] {
        client.send("POST", path, r#"{"contents": []}"#);
    }
    for seen in provider.seen() {
        // Where a key comes twice the last one counts, for the gateway as for providers.
        assert!(
            seen.json()["model"] != "forbidden" && !seen.path.contains("orbidden"),
            "{seen:?}"
        );
    }
}

/// The words of a call's decisions, policy by policy.
fn verdicts(gateway: &Gateway, id: &str) -> Vec<(String, String)> {
    let call = gateway.call(id);
    let decisions = call["decisions"].as_array().expect("decisions").clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    decisions
        .iter()
        .map(|decision| (text(&decision["policy"]), text(&decision["verdict"])))
        .collect()
}

#[test]
fn an_answer_that_holds_is_not_asked_for_again_until_something_changes() {
    let settings = |models: &str| {
        format!(
            "workers = 1
{FAKE}
[[policy]]
name = \"permissions\"
source = \"builtin:permissions\"
[policy.config]
models = [{models}]
[[policy]]
name = \"limits\"
source = \"builtin:limits\"
[[policy.config.limits]]
per = [\"key\"]
unit = \"requests\"
window = \"minute\"
limit = 5
"
        )
    };
    let gateway = Gateway::start(&settings("\"m\", \"n\""));
    let client = gateway.acme();
    let said = |model: &str| {
        let id = client.chat(model).expect(200).id();
        verdicts(&gateway, &id)
            .into_iter()
            .map(|(_, verdict)| verdict)
            .collect::<Vec<_>>()
    };
    assert_eq!(said("m"), ["allow", "allow"]);
    assert_eq!(said("m"), ["remembered", "remembered"]);
    assert_eq!(
        said("n"),
        ["allow", "allow"],
        "another model is another question"
    );
    // A denial is never remembered, and what is remembered is counted all the same.
    client.chat("x").expect(403);
    client.chat("x").expect(403);
    assert_eq!(said("n"), ["remembered", "remembered"]);
    assert_eq!(said("m"), ["remembered", "remembered"]);
    client.chat("m").expect(429);
    // A new configuration is another version: nothing of the old one holds.
    gateway.configure(&settings("\"n\""));
    eventually("the model is taken away", || {
        (client.chat("m").status == 403).then_some(())
    });
}

//! Guests whose language only has `wasi:http` go out through the same gates as everyone else.

use serde_json::json;
use weir_tests::{Answer, Gateway, Provider, Reply, Setup, policy_file};

const FAKE: &str = "[[channel]]\nname = \"main\"\ndialect = \"fake\"\n";

/// Settings with a policy that posts to `url`, and tells every caller what came of it.
fn fetcher(grants: &str, config: &str) -> String {
    format!(
        "{FAKE}[[policy]]\nname = \"fetcher\"\nsource = \"file:{}\"\ndeadline_ms = 2000\nwait_max_ms = 5000\n{grants}[policy.config]\n{config}\n",
        policy_file("testing-fetcher").display()
    )
}

fn ask(provider: &Provider, host: &str, path: &str, times: u32) -> Reply {
    let grants = format!("grants = {{ http = [\"{host}\"] }}\n");
    let config = format!(
        "url = \"http://{}{path}\"\ntimes = {times}",
        provider.address()
    );
    let settings = fetcher(&grants, &config);
    Gateway::start(&settings).acme().chat("m").expect(403)
}

fn message(reply: &Reply) -> String {
    let message = &reply.json()["error"]["message"];
    message.as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_request_and_its_answer_go_through_whole() {
    let provider = Provider::always(Answer::json(201, &json!({ "made": true })));
    let reply = ask(&provider, &provider.address().to_string(), "/a?b=c", 1);
    assert_eq!(reply.code(), "fetched");
    assert!(
        message(&reply).contains("201 {\"made\":true}"),
        "{}",
        message(&reply)
    );
    let [seen] = &provider.seen()[..] else {
        panic!("one request: {:?}", provider.seen())
    };
    assert_eq!((&*seen.method, &*seen.path), ("POST", "/a?b=c"));
    assert_eq!(seen.header("x-fetched-by"), "wasi");
    assert_eq!(seen.header("host"), provider.address().to_string());
    assert_eq!(&seen.body[..], b"hello from wasi");
}

#[test]
fn what_was_not_granted_is_not_reached() {
    let provider = Provider::start();
    for host in ["api.example.com", "127.0.0.1:1"] {
        let reply = ask(&provider, host, "/", 1);
        assert_eq!(reply.code(), "not_fetched", "{host}: {}", message(&reply));
    }
    assert_eq!(provider.count(), 0);
}

#[test]
fn redirects_are_not_followed() {
    let inside = Provider::start();
    let target = format!("http://{}/", inside.address());
    let provider = Provider::always(Answer::json(302, &json!({})).header("location", &target));
    let reply = ask(&provider, &provider.address().to_string(), "/", 1);
    assert!(message(&reply).contains("302"), "{}", message(&reply));
    assert_eq!(inside.count(), 0);
}

#[test]
fn one_hook_reaches_out_only_so_often() {
    let provider = Provider::start();
    let reply = ask(&provider, &provider.address().to_string(), "/", 17);
    assert_eq!(reply.code(), "not_fetched", "{}", message(&reply));
    assert_eq!(provider.count(), 16);
}

#[test]
fn it_takes_the_same_grant_to_import_it() {
    let setup = Setup::new(&fetcher("", "url = \"http://a.test/\""));
    let output = setup.run_to_end(&["serve", "--config", "weir.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("wasi:http/outgoing-handler") && said.contains("grants.http"),
        "it names the interface and the grant: {said}"
    );
}

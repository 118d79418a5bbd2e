//! Gateways behind gateways: ids, usage, and loops.

use std::net::{SocketAddr, TcpListener};

use serde_json::Value;
use weir_tests::{Answer, Counts, Gateway, KEY, Provider, Setup};

/// A channel to another Weir.
fn channel(address: SocketAddr, more: &str) -> String {
    format!(
        "\n[[channel]]\nname = \"weir\"\ndialect = \"openai\"\nbase_url = \"http://{address}/v1\"\nkeys = [\"plain:{KEY}\"]\n{more}\n"
    )
}

/// A port that nobody else has at the moment.
fn port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

const QUICK: &str = "[ledger]\nflush_ms = 20\n";

#[test]
fn a_call_goes_through_two_gateways_and_both_know_what_it_used() {
    let provider = Provider::start();
    let far = Gateway::start(&(QUICK.to_owned() + &provider.channel("openai", "main", "")));
    let near =
        Gateway::start(&(QUICK.to_owned() + &channel(far.acme().address(), "cascade = true")));
    for streamed in [false, true] {
        let reply = if streamed {
            near.acme().chat_stream("m").rest()
        } else {
            near.acme().chat("m")
        };
        let reply = reply.expect(200);
        let theirs = reply.header("x-upstream-request-id").to_owned();
        assert_ne!(theirs, reply.id());
        let expected = Counts {
            input: 7,
            output: 3,
            cached: 0,
        };
        for call in [near.call(&reply.id()), far.call(&theirs)] {
            assert_eq!(Counts::of_call(&call), expected, "{call}");
            assert_eq!(call["usage"]["estimated"], false, "{call}");
        }
    }
    for seen in provider.seen() {
        let ours = seen
            .headers
            .keys()
            .filter(|name| name.as_str().starts_with("x-weir-") || name.as_str() == "x-request-id");
        assert_eq!(ours.count(), 0, "a provider is told nothing: {seen:?}");
    }
}

#[test]
fn the_next_gateway_is_told_the_id_the_hops_and_the_way() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider.channel("openai", "main", "cascade = true"));
    let reply = gateway.acme().chat("m").expect(200);
    let seen = &provider.seen()[0];
    assert_eq!(seen.header("x-request-id"), reply.id());
    assert_eq!(seen.header("x-weir-hops"), "1");
    let node = seen.header("x-weir-via").to_owned();
    assert_eq!(node.len(), 16, "{node}");

    let client = gateway
        .acme()
        .header("x-weir-hops", "0")
        .header("x-weir-hops", "2")
        .header("x-weir-via", "one, two")
        .header("x-weir-via", "three")
        .header("x-weir-other", "x")
        .header("x-request-id", "mine");
    let reply = client.chat("m").expect(200);
    let seen = &provider.seen()[1];
    assert_eq!(seen.header("x-request-id"), reply.id());
    assert_eq!(
        (seen.header("x-weir-hops"), seen.header("x-weir-other")),
        ("4", "")
    );
    assert_eq!(
        seen.header("x-weir-via"),
        format!("one, two, three, {node}")
    );

    let back = gateway
        .acme()
        .header("x-weir-hops", "1")
        .header("x-weir-via", &node);
    assert_eq!(back.chat("m").expect(508).code(), "loop_detected");
    assert_eq!(provider.count(), 2);
}

#[test]
fn too_many_hops_are_refused_and_recorded() {
    let provider = Provider::always(Answer::chat("Hello."));
    let settings = format!("{QUICK}[limits]\nhops_max = 3\n");
    let gateway = Gateway::start(&(settings + &provider.channel("openai", "main", "")));
    let with = |hops: &str| gateway.acme().header("x-weir-hops", hops).chat("m");
    with("3").expect(200);
    let refused = with("4").expect(508);
    assert_eq!(refused.code(), "loop_detected");
    let call = gateway.call(&refused.id());
    assert_eq!(
        (call["ended"].as_str(), call["denied"].as_str()),
        (Some("refused"), Some("loop_detected")),
        "{call}"
    );
    assert_eq!(provider.count(), 1);
}

#[test]
fn two_gateways_that_lead_to_each_other_end_in_508() {
    let (one, other) = (port(), port());
    let settings = |own: SocketAddr, next| {
        format!(
            "listen = \"{own}\"\n{QUICK}{}",
            channel(next, "cascade = true")
        )
    };
    let first = Setup::new(&settings(one, other)).start();
    let second = Setup::new(&settings(other, one)).start();
    let reply = first.acme().chat("m").expect(508);
    assert_eq!(reply.code(), "loop_detected");
    let calls = |gateway: &Gateway| {
        let calls = gateway.admin().get("/admin/v1/calls").expect(200).json();
        let statuses = calls["data"].as_array().unwrap().iter();
        statuses
            .map(|call: &Value| call["status"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    first.call(&reply.id());
    second.call(reply.header("x-upstream-request-id"));
    assert_eq!(
        calls(&first),
        [508, 508],
        "seen again, it is refused at once"
    );
    assert_eq!(calls(&second), [508]);
}

//! Callers and providers that are slow, large or many.

use std::time::{Duration, Instant};

use weir_tests::{Answer, End, Gateway, KEY, Provider, Raw, eventually};

use crate::FAKE;

const SOON: Duration = Duration::from_secs(5);

fn with_limits(limits: &str) -> Gateway {
    Gateway::start(&format!("[limits]\n{limits}\n{FAKE}"))
}

fn head(more: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n{more}"
    )
}

#[test]
fn a_head_that_does_not_come_is_given_up() {
    let gateway = with_limits("header_timeout_ms = 300");
    let mut slow = Raw::connect(gateway.acme().address());
    slow.write(head(""));
    let (said, took) = slow.read_to_end();
    assert!(took < SOON, "it waited {took:?}");
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 408"),
        "{said}"
    );
    gateway.acme().chat("m").expect(200);
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let gateway = with_limits("body_timeout_ms = 300");
    let mut slow = Raw::connect(gateway.acme().address());
    slow.write(head("content-length: 1000\r\n\r\n{\"model\":"));
    let (said, took) = slow.read_to_end();
    assert!(took < SOON, "it waited {took:?}");
    assert!(
        said.starts_with("HTTP/1.1 408") && said.contains("body_timeout"),
        "{said}"
    );
    // It is the pause that counts: a body that keeps coming may take longer.
    let mut steady = Raw::connect(gateway.acme().address());
    let body = r#"{"model": "m", "messages": []}"#;
    steady.write(head(&format!(
        "connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )));
    for piece in body.as_bytes().chunks(6) {
        std::thread::sleep(Duration::from_millis(120));
        steady.write(piece);
    }
    let (said, _) = steady.read_to_end();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[test]
fn a_large_head_is_refused() {
    let gateway = with_limits("header_max_bytes = 8192\nheader_max_count = 20");
    let long = gateway
        .acme()
        .header("x-long", &"x".repeat(20_000))
        .try_send("GET", "/v1/models", "");
    assert!(
        long.is_err() || long.as_ref().is_ok_and(|reply| reply.status == 431),
        "{long:?}"
    );
    let mut many = gateway.acme();
    for number in 0..40 {
        many = many.header(&format!("x-{number}"), "1");
    }
    let many = many.try_send("GET", "/v1/models", "");
    assert!(
        many.is_err() || many.as_ref().is_ok_and(|reply| reply.status == 431),
        "{many:?}"
    );
    gateway.acme().chat("m").expect(200);
}

#[test]
fn a_large_body_is_refused_whether_or_not_it_says_so() {
    let gateway = with_limits("body_max_bytes = 1024");
    let mut honest = Raw::connect(gateway.acme().address());
    honest.write(head("content-length: 1000000\r\n\r\n{"));
    let (said, took) = honest.read_to_end();
    assert!(
        said.starts_with("HTTP/1.1 413") && took < SOON,
        "{took:?} {said}"
    );
    let mut sly = Raw::connect(gateway.acme().address());
    sly.write(head("transfer-encoding: chunked\r\n\r\n"));
    for _ in 0..8 {
        sly.write(format!("200\r\n{}\r\n", "x".repeat(512)));
    }
    let (said, _) = sly.read_to_end();
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 413"),
        "{said}"
    );
    gateway.acme().chat("m").expect(200);
}

#[test]
fn requests_that_two_readers_could_read_differently_are_refused() {
    let gateway = Gateway::start(FAKE);
    let smuggled = "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/models HTTP/1.1\r\nhost: weir\r\n\r\n";
    for bad in [
        head(smuggled),
        head("content-length: 5\r\ncontent-length: 6\r\n\r\n123456"),
        "NOT HTTP AT ALL\r\n\r\n".to_owned(),
    ] {
        let mut raw = Raw::connect(gateway.acme().address());
        raw.write(&bad);
        let (said, _) = raw.read_to_end();
        let replies = said.matches("HTTP/1.1 ").count();
        assert!(
            replies <= 1 && !said.starts_with("HTTP/1.1 200"),
            "{bad:?}: {said}"
        );
    }
    gateway.acme().chat("m").expect(200);
}

#[test]
fn a_caller_may_ask_before_it_sends_a_body() {
    let gateway = Gateway::start(FAKE);
    let mut raw = Raw::connect(gateway.acme().address());
    let body = r#"{"model": "m", "messages": []}"#;
    raw.write(head(&format!(
        "expect: 100-continue\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )));
    let first = raw.first_bytes(SOON);
    assert!(first.starts_with("HTTP/1.1 100"), "{first}");
    raw.write(body);
    let (said, _) = raw.read_to_end();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[test]
fn connections_beyond_the_most_are_not_served() {
    let gateway =
        with_limits("connections_max = 4\nidle_timeout_ms = 60000\nheader_timeout_ms = 60000");
    let address = gateway.acme().address();
    let request =
        format!("GET /v1/models HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {KEY}\r\n\r\n");
    let is_served = |held: &mut Vec<Raw>| {
        let mut raw = Raw::connect(address);
        raw.write(&request);
        // Either it waits for a place, or it is told that there is none.
        let served = raw
            .first_bytes(Duration::from_millis(500))
            .starts_with("HTTP/1.1 200");
        held.extend(served.then_some(raw));
        served
    };
    let mut held = Vec::new();
    eventually("a connection is not served", || {
        let served = is_served(&mut held);
        assert!(held.len() <= 4, "more than four are served");
        (!served).then_some(())
    });
    held.clear();
    eventually("a place is free", || is_served(&mut held).then_some(()));
}

#[test]
fn an_idle_connection_is_closed() {
    let gateway = with_limits("idle_timeout_ms = 300");
    let mut idle = Raw::connect(gateway.acme().address());
    idle.write(format!(
        "GET /v1/models HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {KEY}\r\n\r\n"
    ));
    let (said, took) = idle.read_to_end();
    assert!(
        said.starts_with("HTTP/1.1 200") && took < SOON,
        "{took:?} {said}"
    );
}

fn upstream(settings: &str, answer: Answer) -> (Provider, Gateway) {
    let provider = Provider::always(answer);
    let gateway = Gateway::start(
        &(format!("[upstream]\n{settings}\n") + &provider.channel("openai", "main", "")),
    );
    (provider, gateway)
}

#[test]
fn a_provider_that_does_not_begin_is_given_up() {
    let (_provider, gateway) = upstream("first_byte_timeout_ms = 300", Answer::silence());
    let started = Instant::now();
    let reply = gateway.acme().chat("m").expect(504);
    assert_eq!(reply.code(), "provider_timeout");
    assert!(started.elapsed() < SOON);
}

#[test]
fn a_stream_that_stops_is_given_up_and_says_so() {
    let events = Answer::chat_events("One two three four.");
    let (_provider, gateway) = upstream(
        "idle_stream_timeout_ms = 300",
        events.ending(End::Stall(500)),
    );
    let started = Instant::now();
    let reply = gateway.acme().chat_stream("m").rest();
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert!(
        reply.broken.is_some(),
        "it ended as if it were whole: {}",
        reply.text()
    );
    assert!(reply.text().contains("\"error\""), "{}", reply.text());
    assert_eq!(gateway.call(&reply.id())["ended"], "upstream_broke");
}

#[test]
fn a_whole_reply_that_stops_is_given_up() {
    let (_provider, gateway) = upstream(
        "idle_stream_timeout_ms = 300",
        Answer::chat("Hello.").ending(End::Stall(50)),
    );
    let started = Instant::now();
    let reply = gateway.acme().try_send(
        "POST",
        "/v1/chat/completions",
        r#"{"model": "m", "messages": []}"#,
    );
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert!(
        reply.is_err() || reply.is_ok_and(|reply| reply.broken.is_some() || reply.status >= 500)
    );
}

#[test]
fn a_slow_reader_gets_everything_and_holds_up_nobody() {
    let text = "word ".repeat(40_000);
    let events = Answer::chat_events(&text).chunks(65_536);
    let provider = Provider::start();
    provider.next([events.clone()]);
    let gateway = Gateway::start(&provider.channel("openai", "main", ""));
    let mut slow = gateway.acme().chat_stream("m");
    slow.next().unwrap().unwrap();
    for _ in 0..20 {
        gateway.acme().chat("m").expect(200);
    }
    std::thread::sleep(Duration::from_millis(300));
    let reply = slow.rest();
    assert!(
        reply.broken.is_none() && reply.body.len() > 1_000_000,
        "{:?}",
        reply.broken
    );
    assert!(
        events
            .body()
            .ends_with(&reply.body[reply.body.len() - 1000..])
    );
}

//! What failing costs: no outage is multiplied, nothing is said twice, no caller waits longer than
//! it wants to.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;
use weir_tests::{Answer, End, Gateway, Provider, parallel};

use super::{NONE, QUICK, Trio, swapping};

#[test]
fn an_outage_is_not_multiplied() {
    let trio = Trio::new(|_| Answer::error(500, "server_error"));
    let settings = QUICK.to_owned() + &trio.channels();
    let gateway = swapping::start(&settings);
    // All is well, then nothing is.
    parallel(4, |_| {
        for _ in 0..15 {
            gateway.acme().chat("m").expect(200);
        }
    });
    let offered = 60 + 240;
    trio.leave_only(NONE);
    let statuses = swapping::meanwhile(&gateway, &settings, || {
        parallel(4, |_| -> Vec<u16> {
            (0..60).map(|_| gateway.acme().chat("m").status).collect()
        })
    });
    assert!(statuses.iter().flatten().all(|status| *status == 500));
    let sent = trio.count();
    assert!(
        sent * 10 <= offered * 12,
        "{sent} requests for {offered} calls"
    );
    assert!(sent > offered, "nothing was tried again");
}

#[test]
fn nothing_is_sent_twice_after_its_first_word() {
    let cut = |_: &_| Answer::chat_events("One two three four five.").ending(End::Cut(700));
    let trio = Trio::new(cut);
    trio.leave_only(NONE);
    let settings = QUICK.to_owned() + &trio.channels();
    let gateway = swapping::start(&settings);
    let call = |number: i32| {
        let client = gateway.acme().header("x-number", &number.to_string());
        let reply = client.chat_stream("m").rest();
        let text = reply.text();
        assert!(text.contains("One "), "{text}");
        assert!(reply.broken.is_some() && !text.contains("[DONE]"), "{text}");
        assert!(text.contains("\"provider_broken\""), "{text}");
        assert_eq!(gateway.call(&reply.id())["ended"], "upstream_broke");
    };
    swapping::meanwhile(&gateway, &settings, || (0..20).for_each(call));
    let mut times: HashMap<String, usize> = HashMap::new();
    for seen in trio.providers.iter().flat_map(Provider::seen) {
        *times.entry(seen.header("x-number").to_owned()).or_default() += 1;
    }
    assert_eq!(times.len(), 20);
    assert!(times.values().all(|count| *count == 1), "{times:?}");
}

#[test]
fn a_call_takes_no_longer_than_it_may() {
    let silent = Provider::always(Answer::silence());
    let gateway = Gateway::start(&silent.channel("openai", "main", ""));
    let began = Instant::now();
    let client = gateway.acme().header("x-weir-timeout-ms", "150");
    let reply = client.chat("m").expect(504);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(reply.code(), "provider_timeout");
    assert_eq!(silent.seen()[0].header("x-weir-timeout-ms"), "");
}

#[test]
fn the_same_target_is_tried_once_more_after_a_pause() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider.channel("openai", "main", ""));
    provider.next([Answer::reset()]);
    let reply = gateway.acme().chat("m").expect(200);
    assert_eq!(provider.count(), 2);
    let call = gateway.call(&reply.id());
    assert_eq!(call["attempts"][0]["failure"], "closed", "{call}");
    for status in [400, 404, 413, 422] {
        provider.next([Answer::error(status, "invalid_request_error")]);
        gateway.acme().chat("m").expect(status);
    }
    assert_eq!(provider.count(), 6, "what is the caller's own was repeated");
}

#[test]
fn what_may_have_had_its_effect_is_not_sent_again() {
    let first = Provider::always(Answer::reset());
    let second = Provider::always(Answer::json(200, &json!({"id": "batch_123456789"})));
    let settings =
        first.channel("openai", "first", "priority = 1") + &second.channel("openai", "second", "");
    let gateway = Gateway::start(&settings);
    let body = json!({"input_file_id": "file-123456789", "endpoint": "/v1/chat/completions"});
    gateway.acme().post("/v1/batches", &body).expect(502);
    assert_eq!((first.count(), second.count()), (1, 0));
}

//! What is left after a crash, and how a stop ends what is under way.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use weir_tests::{Answer, End, Gateway, Provider, Raw, parallel};

use crate::FAKE;

#[test]
fn after_kill_9_every_call_answered_a_second_before_is_in_the_ledger() {
    let mut gateway = Gateway::start(FAKE);
    let answered = Mutex::new(Vec::new());
    let killed = Mutex::new(None);
    {
        let (gateway, answered, killed) = (Mutex::new(&mut gateway), &answered, &killed);
        let client = gateway.lock().unwrap().acme();
        parallel(9, |caller| {
            if caller == 8 {
                std::thread::sleep(Duration::from_secs(3));
                let mut killed = killed.lock().unwrap();
                *killed = Some(Instant::now());
                gateway.lock().unwrap().kill_9();
                return;
            }
            loop {
                let reply = if caller % 2 == 0 {
                    client.try_send(
                        "POST",
                        "/v1/chat/completions",
                        r#"{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}"#,
                    )
                } else {
                    client.try_send("POST", "/v1/messages", r#"{"model": "m", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "Hi"}]}"#)
                };
                // The kill ends the load, in the middle of calls.
                let Ok(reply) = reply else { break };
                if reply.broken.is_some() {
                    break;
                }
                assert_eq!(reply.status, 200, "{}", reply.text());
                answered.lock().unwrap().push((Instant::now(), reply.id()));
                std::thread::sleep(Duration::from_millis(5));
            }
        });
    }
    let killed = killed.into_inner().unwrap().unwrap();
    gateway.restart();
    let answered = answered.into_inner().unwrap();
    let due: Vec<&String> = answered
        .iter()
        .filter(|(at, _)| *at + Duration::from_secs(1) < killed)
        .map(|(_, id)| id)
        .collect();
    assert!(
        due.len() > 100,
        "only {} calls were answered in time",
        due.len()
    );
    let admin = gateway.admin();
    let missing: Vec<&&String> = due
        .iter()
        .filter(|id| admin.get(&format!("/admin/v1/calls/{id}")).status != 200)
        .collect();
    assert!(
        missing.is_empty(),
        "{} of {} calls are lost: {missing:?}",
        missing.len(),
        due.len()
    );
    gateway.acme().chat("m").expect(200);
}

#[test]
fn sigterm_lets_calls_end_and_writes_them_down() {
    let provider = Provider::always(
        Answer::chat_events("One two three four five six.")
            .chunks(100)
            .slowly(100),
    );
    let mut gateway = Gateway::start(&provider.channel("openai", "main", ""));
    let mut stream = gateway.acme().chat_stream("m");
    let id = stream.id();
    stream.next().unwrap().unwrap();
    let address = gateway.acme().address();
    gateway.terminate();
    std::thread::sleep(Duration::from_millis(300));
    let newcomer = gateway.acme().try_send("GET", "/v1/models", "");
    assert!(
        newcomer.is_err(),
        "it takes new calls at {address} while it stops: {newcomer:?}"
    );
    let reply = stream.rest();
    assert!(
        reply.broken.is_none() && reply.text().ends_with("data: [DONE]\n\n"),
        "{reply:?}"
    );
    let status = gateway.wait();
    assert!(status.success(), "{status}");
    gateway.restart();
    assert_eq!(gateway.call(&id)["ended"], "complete");
}

#[test]
fn a_stop_waits_no_longer_than_it_is_told() {
    let provider = Provider::always(Answer::chat_events("One two three.").ending(End::Stall(300)));
    let settings = "drain_timeout_ms = 500\n".to_owned() + &provider.channel("openai", "main", "");
    let mut gateway = Gateway::start(&settings);
    let mut stream = gateway.acme().chat_stream("m");
    let id = stream.id();
    stream.next().unwrap().unwrap();
    let started = Instant::now();
    gateway.stop();
    let took = started.elapsed();
    assert!(
        (Duration::from_millis(400)..Duration::from_secs(5)).contains(&took),
        "it took {took:?}"
    );
    assert!(
        stream.rest().broken.is_some(),
        "a stream that was cut ended as if it were whole"
    );
    gateway.restart();
    assert_ne!(gateway.call(&id)["ended"], "complete");
}

#[test]
fn an_idle_connection_does_not_hold_up_a_stop() {
    let mut gateway = Gateway::start(FAKE);
    let _idle = Raw::connect(gateway.acme().address());
    gateway.acme().chat("m").expect(200);
    let started = Instant::now();
    assert!(gateway.stop().success());
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

//! The way to a provider through the whole program: proxies, and times for some kinds of calls.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use weir_tests::{Answer, Gateway, Provider, Setup};

/// A proxy that takes CONNECT from `me:p@ss`. Keeps the first lines that it was asked with.
pub(crate) fn proxy() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, heard) = (stream.unwrap(), Arc::clone(&heard));
            thread::spawn(move || tunnel(stream, &heard));
        }
    });
    (address, asked)
}

fn tunnel(mut near: TcpStream, heard: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(near.try_clone().unwrap()).lines();
    let head: Vec<String> = lines
        .by_ref()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .collect();
    heard.lock().unwrap().push(head[0].clone());
    let known = |line: &String| {
        let (name, value) = line.split_once(": ").unwrap_or_default();
        // me:p@ss
        name.eq_ignore_ascii_case("proxy-authorization") && value == "Basic bWU6cEBzcw=="
    };
    if !head.iter().any(known) {
        let _ = near.write_all(b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n");
        return;
    }
    let target = head[0].split(' ').nth(1).unwrap();
    let Ok(mut far) = TcpStream::connect(target) else {
        let _ = near.write_all(b"HTTP/1.1 502 Not there\r\ncontent-length: 0\r\n\r\n");
        return;
    };
    near.write_all(b"HTTP/1.1 200 Go on\r\n\r\n").unwrap();
    let (mut from_far, mut to_near) = (far.try_clone().unwrap(), near.try_clone().unwrap());
    thread::spawn(move || std::io::copy(&mut from_far, &mut to_near));
    let _ = std::io::copy(&mut near, &mut far);
}

#[test]
fn a_channel_goes_through_its_proxy_and_no_password_is_shown() {
    let (proxy, asked) = proxy();
    let provider = Provider::start();
    let line = |login: &str| format!("proxy = \"http://{login}@{proxy}\"");
    let settings = provider.channel(
        "openai",
        "good",
        &(line("me:p%40ss") + "\nmodels = [\"good\"]"),
    ) + &provider.channel(
        "openai",
        "wrong",
        &(line("me:hush") + "\nmodels = [\"wrong\"]"),
    ) + &Provider::nowhere(
        "openai",
        "gone",
        &(line("me:p%40ss") + "\nmodels = [\"gone\"]"),
    ) + &provider.channel(
        "openai",
        "kept",
        "proxy = \"env:PROXY\"\nmodels = [\"kept\"]",
    );
    let setup = Setup::new(&settings).env("PROXY", &format!("http://me:p%40ss@{proxy}"));
    let gateway = setup.start();
    let client = gateway.acme();
    client.chat("good").expect(200);
    client.chat("good").expect(200);
    client.chat("kept").expect(200);
    let line = format!("CONNECT {} HTTP/1.1", provider.address());
    let asked = || asked.lock().unwrap().clone();
    assert!(asked().iter().all(|asked| *asked == line), "{:?}", asked());
    assert_eq!(provider.seen()[0].path, "/v1/chat/completions");

    for (model, word) in [("wrong", "proxy_auth"), ("gone", "proxy_target")] {
        let reply = client.chat(model).expect(502);
        assert_eq!(reply.code(), "provider_unreachable");
        assert!(reply.text().contains("the proxy"), "{}", reply.text());
        let call = gateway.call(&reply.id());
        assert_eq!(call["attempts"][0]["failure"], word, "{call}");
    }

    // Those of the API, too; what it takes it shows, so it takes no password.
    let admin = gateway.admin();
    let channel = |proxy: &str| {
        json!({
            "name": "made", "dialect": "openai", "models": ["made"], "proxy": proxy,
            "base_url": format!("http://{}/v1", provider.address()),
        })
    };
    let refused = admin.post(
        "/admin/v1/channels",
        &channel(&format!("http://me:p%40ss@{proxy}")),
    );
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("env:NAME"), "{}", refused.text());
    admin
        .post("/admin/v1/channels", &channel("env:PROXY"))
        .expect(201);
    client.chat("made").expect(200);

    let shown = admin.get("/admin/v1/channels").text()
        + &admin.get("/admin/v1/config").text()
        + &gateway.log();
    assert!(shown.contains("(hidden)@"), "{shown}");
    for password in ["hush", "p%40ss", "p@ss"] {
        assert!(!shown.contains(password), "{password} in {shown}");
    }
}

#[test]
fn some_kinds_of_calls_have_times_of_their_own() {
    let provider = Provider::always(Answer::silence());
    let more = "[[channel.timeout]]\noperations = [\"embedding\"]\nfirst_byte_ms = 150\n[[channel.timeout]]\noperations = [\"chat\"]\ntotal_ms = 400\n";
    let gateway = Gateway::start(&provider.channel("openai", "main", more));
    let client = gateway.acme();
    let began = Instant::now();
    let reply = client.post("/v1/embeddings", &json!({"model": "m", "input": "x"}));
    assert_eq!(reply.expect(504).code(), "provider_timeout");
    assert!(began.elapsed() >= Duration::from_millis(150));
    let reply = client.chat("m").expect(504);
    assert!(
        began.elapsed() >= Duration::from_millis(550) && began.elapsed() < Duration::from_secs(10)
    );
    let call = gateway.call(&reply.id());
    assert_eq!(call["attempts"][0]["failure"], "total_timeout", "{call}");
}

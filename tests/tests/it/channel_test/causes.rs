//! Each way in which a provider, or the way there, can fail has a cause of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use weir_tests::{Answer, End, Gateway, Provider, Setup};

use super::test;

/// What a test of this channel finds, for the model `m`.
fn found(gateway: &Gateway, channel: &str, stream: bool) -> Value {
    found_within(gateway, channel, stream, 10_000)
}

fn found_within(gateway: &Gateway, channel: &str, stream: bool, timeout_ms: u64) -> Value {
    let order = json!({ "models": ["m"], "timeout_ms": timeout_ms, "stream": stream });
    let (results, summary) = test(gateway, channel, &order);
    assert_eq!(summary["ok"], results[0]["ok"]);
    results[0].clone()
}

/// A channel to this URL, with one key.
fn channel(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[channel]]\nname = \"{name}\"\ndialect = \"openai\"\nbase_url = \"{url}\"\nkeys = [\"plain:sk-very-secret\"]\n{more}\n"
    )
}

#[test]
fn what_a_provider_answers_is_told_apart() {
    let page = "<!doctype html><title>Not found</title>";
    let quotes = json!({"error": {"message": "No: sk-very-secret has no right to `m`.\u{7}", "type": "x", "code": "y"}});
    let cases = [
        (
            "a page",
            Answer::bytes(404, "text/html", page),
            "base_url_wrong",
        ),
        (
            "a page that is there",
            Answer::bytes(200, "text/html", page),
            "base_url_wrong",
        ),
        (
            "no such path",
            Answer::json(404, &json!({"detail": "Not Found"})),
            "base_url_wrong",
        ),
        (
            "a refused key",
            Answer::json(403, &json!({})),
            "key_refused",
        ),
        (
            "a dead key",
            Answer::error(401, "invalid_api_key"),
            "key_dead",
        ),
        (
            "no money",
            Answer::error(429, "insufficient_quota"),
            "quota_exhausted",
        ),
        (
            "too many calls",
            Answer::error(429, "rate_limit_exceeded"),
            "rate_limited",
        ),
        (
            "no such model",
            Answer::error(404, "model_not_found"),
            "model_unknown",
        ),
        (
            "a refused request",
            Answer::json(400, &quotes),
            "request_refused",
        ),
        (
            "a failure",
            Answer::error(503, "overloaded"),
            "provider_error",
        ),
        (
            "half a reply",
            Answer::json(200, &json!({"choices": "…"}))
                .chunks(4)
                .ending(End::Cut(8)),
            "bad_reply",
        ),
        (
            "another API",
            Answer::json(200, &json!({"greeting": "hello"})),
            "bad_reply",
        ),
        ("a reset", Answer::reset(), "connection_closed"),
        ("silence", Answer::silence(), "timed_out"),
        (
            "a stall",
            Answer::chat("Hello.").chunks(8).ending(End::Stall(16)),
            "timed_out",
        ),
    ];
    let providers: Vec<Provider> = cases
        .iter()
        .map(|(_, answer, _)| Provider::always(answer.clone()))
        .collect();
    let channels = providers.iter().enumerate().map(|(number, provider)| {
        let url = format!("http://{}/v1", provider.address());
        channel(&format!("c{number}"), &url, "")
    });
    let gateway = Gateway::start(&channels.collect::<String>());
    for (number, (what, _, cause)) in cases.iter().enumerate() {
        let timeout_ms = if *cause == "timed_out" { 300 } else { 10_000 };
        let result = found_within(&gateway, &format!("c{number}"), false, timeout_ms);
        assert_eq!(result["cause"], *cause, "{what}: {result}");
        let message = result["message"].as_str().unwrap();
        assert!(
            message.len() > 20 && !message.contains('\u{7}'),
            "{message}"
        );
        assert!(!message.contains("very-secret"), "{what}: {message}");
        assert_eq!(providers[number].count(), 1, "{what}: a test tries once");
    }
}

#[test]
fn a_stream_that_breaks_is_seen() {
    let cut = Answer::chat_events("Hello from the provider.").ending(End::Cut(400));
    let quiet = Answer::events("data: {\"error\": {\"message\": \"overloaded\"}}\n\n");
    let (cut, quiet) = (Provider::always(cut), Provider::always(quiet));
    let gateway =
        Gateway::start(&(cut.channel("openai", "cut", "") + &quiet.channel("openai", "error", "")));
    assert_eq!(found(&gateway, "cut", true)["cause"], "bad_reply");
    let result = found(&gateway, "error", true);
    assert_eq!(result["cause"], "provider_error", "{result}");
    assert!(result["message"].as_str().unwrap().contains("overloaded"));
}

/// A server that answers one line to whatever comes, and closes.
fn shouting(line: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 4_096]);
            let _ = stream.write_all(line.as_bytes());
        }
    });
    address
}

/// A provider behind TLS that answers a chat; its certificate is for `name` and until `year`.
/// Where it is, and what is to be trusted to trust it.
fn encrypted(name: &str, year: i32) -> (SocketAddr, String) {
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let signing_key = rcgen::KeyPair::generate().unwrap();
    let cert = params.self_signed(&signing_key).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            if stream.read(&mut [0; 16_384]).is_ok() {
                let body = Answer::chat("OK.").body().clone();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&body);
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    (address, cert.pem())
}

#[test]
fn what_fails_on_the_way_is_told_apart() {
    let plain = Provider::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = closed.local_addr().unwrap();
    drop(closed);
    let shouting = shouting("SSH-2.0-OpenSSH_9.9\r\n");
    let (good, good_ca) = encrypted("127.0.0.1", 4096);
    let (other, other_ca) = encrypted("elsewhere.test", 4096);
    let (old, old_ca) = encrypted("127.0.0.1", 2001);
    let through = |proxy: SocketAddr| format!("proxy = \"http://{proxy}\"");
    let cases = [
        (
            "no such host",
            channel("a", "http://no-such-host.invalid/v1", ""),
            "dns_failed",
        ),
        (
            "nobody there",
            channel("b", &format!("http://{nobody}/v1"), ""),
            "connection_refused",
        ),
        (
            "no TLS",
            channel("c", &format!("https://{}/v1", plain.address()), ""),
            "tls_failed",
        ),
        (
            "TLS where none is expected",
            channel("d", &format!("http://{good}/v1"), ""),
            "not_http",
        ),
        (
            "no HTTP",
            channel("e", &format!("http://{shouting}/v1"), ""),
            "not_http",
        ),
        (
            "an unknown authority",
            channel("f", &format!("https://{good}/v1"), ""),
            "tls_unknown_ca",
        ),
        (
            "another's certificate",
            channel(
                "g",
                &format!("https://{other}/v1"),
                "ca_file = \"other.pem\"",
            ),
            "tls_wrong_name",
        ),
        (
            "an old certificate",
            channel("h", &format!("https://{old}/v1"), "ca_file = \"old.pem\""),
            "tls_expired",
        ),
        (
            "no proxy",
            channel(
                "i",
                &format!("http://{}/v1", plain.address()),
                &through(nobody),
            ),
            "proxy_failed",
        ),
        (
            "a proxy that is none",
            channel(
                "j",
                &format!("http://{}/v1", plain.address()),
                &through(shouting),
            ),
            "proxy_failed",
        ),
        (
            "all is well",
            channel("k", &format!("https://{good}/v1"), "ca_file = \"good.pem\""),
            "",
        ),
    ];
    let settings: String = cases
        .iter()
        .map(|(_, channel, _)| channel.as_str())
        .collect();
    let setup = Setup::new(&settings)
        .write("good.pem", good_ca)
        .write("other.pem", other_ca)
        .write("old.pem", old_ca);
    let gateway = setup.start();
    for ((what, _, cause), name) in cases.iter().zip("abcdefghijk".chars()) {
        let result = found(&gateway, &name.to_string(), false);
        assert_eq!(
            result["cause"].as_str().unwrap_or(""),
            *cause,
            "{what}: {result}"
        );
    }
}

//! A policy that may reach one host reaches no other: not by a name that leads inside, not by a
//! redirect, not for longer than it may wait.

use std::net::{IpAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use weir_tests::{Answer, Provider, Reply, policy};

use super::arena::{Arena, Hostile};

/// What the policy says of the call that it was told to make.
fn asked(arena: &Arena, grant: &str, url: &str) -> Reply {
    let settings =
        format!("deadline_ms = 2000\nwait_max_ms = 500\ngrants = {{ http = [\"{grant}\"] }}");
    let config = format!("url = \"{url}\"");
    arena.set_for(&Hostile {
        settings: settings.leak(),
        config: config.leak(),
        code: policy("testing-forbidden"),
    });
    let beside = arena.beside(url, 2, |_| arena.evil().chat("m"));
    beside.did.into_iter().next().unwrap()
}

/// A name that this machine takes for its own, other than `localhost`.
fn inside_name() -> Option<String> {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let names = hosts
        .lines()
        .filter_map(|line| line.split('#').next())
        .flat_map(|line| line.split_whitespace().skip(1));
    let is_inside = |name: &&str| {
        let found = (*name, 80).to_socket_addrs().ok();
        *name != "localhost"
            && found.is_some_and(|mut found| {
                found.all(|address| match address.ip() {
                    IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
                    IpAddr::V6(ip) => ip.is_loopback(),
                })
            })
    };
    names.into_iter().find(is_inside).map(str::to_owned)
}

#[test]
fn no_name_and_no_redirect_leads_inside() {
    let inside = Provider::start();
    let port = inside.address().port();
    let arena = Arena::new("");
    // Granted is the name or the address as it is written, with another port where there is one: only a
    // grant of exactly the address and its port leads inside.
    for (grant, url) in [
        ("127.0.0.1", format!("http://127.0.0.1:{port}/")),
        ("127.0.0.1:1", format!("http://127.0.0.1:{port}/")),
        ("localhost", format!("http://localhost:{port}/")),
        ("*.localhost", format!("http://a.localhost:{port}/")),
        ("127.0.0.1", format!("http://0x7f000001:{port}/")),
        ("127.0.0.1", format!("http://2130706433:{port}/")),
        (
            "169.254.169.254",
            "http://169.254.169.254/latest/meta-data/".to_owned(),
        ),
        ("10.0.0.1", "http://10.0.0.1/".to_owned()),
    ] {
        let reply = asked(&arena, grant, &url);
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (403, "not_asked"),
            "{url}: {}",
            reply.text()
        );
    }
    match inside_name() {
        Some(name) => {
            // The name is granted, with its port; it is the address that is refused.
            let reply = asked(
                &arena,
                &format!("{name}:{port}"),
                &format!("http://{name}:{port}/"),
            );
            assert_eq!(reply.code(), "not_asked", "{}", reply.text());
            assert!(
                reply.text().contains("no address on the public internet"),
                "{}",
                reply.text()
            );
        }
        None => crate::skip("WEIR_INSIDE_NAME", "/etc/hosts names no host but localhost"),
    }
    let target = format!("http://127.0.0.1:{port}/");
    let redirecting =
        Provider::with(move |_| Answer::bytes(302, "text/plain", "").header("location", &target));
    let host = redirecting.address().to_string();
    let reply = asked(&arena, &host, &format!("http://{host}/"));
    assert_eq!(reply.code(), "asked", "{}", reply.text());
    assert!(reply.text().contains("status 302"), "{}", reply.text());
    assert_eq!(inside.count(), 0, "it was reached");
}

#[test]
fn what_answers_too_much_or_never_is_cut_off() {
    let arena = Arena::new("");
    let large = Provider::always(Answer::bytes(200, "text/plain", vec![b'x'; 9 << 20]));
    let host = large.address().to_string();
    let reply = asked(&arena, &host, &format!("http://{host}/"));
    assert!(reply.text().contains("8388608 bytes"), "{}", reply.text());
    let silent = Provider::always(Answer::silence());
    let host = silent.address().to_string();
    let began = Instant::now();
    let reply = asked(&arena, &host, &format!("http://{host}/"));
    assert!((400..600).contains(&reply.status), "{}", reply.text());
    assert!(began.elapsed() < Duration::from_secs(20));
}

//! Every fault against three channels of three keys, one of which stays well, with the time that
//! callers waited. The settings and a policy are swapped meanwhile.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use weir_tests::{Answer, Client, End, Provider, Seen, parallel};

use super::{KEYS, QUICK, Trio, swapping};

const CALLERS: usize = 4;
/// Calls of each caller while all is well, and then while nearly nothing is; every second one streams.
const CALLS: usize = 12;

/// What it is called, and how the keys that are not well answer.
type Fault = (&'static str, fn(&Seen) -> Answer);

fn faults() -> Vec<Fault> {
    fn streams(seen: &Seen) -> bool {
        seen.json()["stream"] == true
    }
    /// Before the first word of a stream, and in the middle of a whole reply.
    fn ending(seen: &Seen, end: fn(usize) -> End) -> Answer {
        if streams(seen) {
            Answer::chat_events("One two.").ending(end(180))
        } else {
            Answer::chat("One two.").chunks(64).ending(end(128))
        }
    }
    vec![
        ("reset", |_| Answer::reset()),
        ("stall before the head", |_| Answer::silence()),
        ("stall in the reply", |seen| ending(seen, End::Stall)),
        ("cut in the reply", |seen| ending(seen, End::Cut)),
        ("429 with retry-after", |_| {
            Answer::error(429, "rate_limit_exceeded").header("retry-after", "30")
        }),
        ("429 without", |_| Answer::error(429, "rate_limit_exceeded")),
        ("500", |_| Answer::error(500, "server_error")),
        ("slow drip", |seen| super::well(seen).chunks(40).slowly(4)),
        ("a page instead of JSON", |_| {
            Answer::bytes(200, "text/html", "<html>We are sorry.</html>")
        }),
        ("half a reply", |seen| {
            let (kind, body) = if streams(seen) {
                ("text/event-stream", "data: {\"choices\":[{\"del")
            } else {
                ("application/json", "{\"choices\":[{\"mess")
            };
            Answer::bytes(200, kind, body)
        }),
        ("an error in the stream", |seen| {
            if streams(seen) {
                Answer::events(
                    "data: {\"error\":{\"type\":\"server_error\",\"message\":\"no\"}}\n\n",
                )
            } else {
                Answer::error(503, "overloaded")
            }
        }),
    ]
}

/// Calls, whole and streamed, each of which must succeed. Returns how long each took.
fn load(client: &Client, what: &str) -> Vec<Duration> {
    let calls = (0..CALLS).map(|number| {
        let began = Instant::now();
        let reply = if number % 2 == 0 {
            client.chat("m")
        } else {
            client.chat_stream("m").rest()
        };
        assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        assert!(reply.broken.is_none(), "{what}: {:?}", reply.broken);
        let text = reply.text();
        let whole = text.trim_end().ends_with(['}', ']']);
        assert!(whole && !text.contains("\"error\""), "{what}: {text}");
        began.elapsed()
    });
    calls.collect()
}

/// A line of the table: the calls of all callers.
fn line(what: &str, times: Vec<Vec<Duration>>, attempts: usize) -> String {
    let mut times: Vec<Duration> = times.into_iter().flatten().collect();
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_millis();
    format!(
        "| {what} | {} | 100 % | {attempts} | {} | {} | {} |\n",
        times.len(),
        at(50),
        at(99),
        at(100)
    )
}

fn under(number: usize, what: &str, fault: fn(&Seen) -> Answer) -> String {
    let trio = Trio::new(fault);
    let settings = QUICK.to_owned() + &trio.channels();
    let gateway = swapping::start(&settings);
    parallel(CALLERS, |_| load(&gateway.acme(), what));
    let before = trio.count();
    trio.leave_only((number * 4 % 9) as u8);
    let times = swapping::meanwhile(&gateway, &settings, || {
        parallel(CALLERS, |_| load(&gateway.acme(), what))
    });
    line(what, times, trio.count() - before)
}

/// Faults of a way rather than of a provider: two channels lead nowhere from one moment on.
fn unreachable(what: &str, url: &str) -> String {
    let well = Provider::start();
    let channel = |name: &str, address: &str, priority: u8| {
        format!(
            "[[channel]]\nname = \"{name}\"\ndialect = \"openai\"\nbase_url = \"{address}\"\npriority = {priority}\n{KEYS}\n"
        )
    };
    let good = well.channel("openai", "c", KEYS);
    let base = good
        .lines()
        .find_map(|line| line.strip_prefix("base_url = "))
        .unwrap()
        .trim_matches('"')
        .to_owned();
    let url = url.replace("PLAIN", base.trim_start_matches("http://"));
    let settings = |url: &str| {
        let (a, b) = (channel("a", url, 30), channel("b", url, 20));
        format!("{QUICK}{a}{b}{good}")
    };
    let gateway = swapping::start(&settings(&base));
    parallel(CALLERS, |_| load(&gateway.acme(), what));
    let settings = settings(&url);
    // Until the channels lead nowhere.
    swapping::meanwhile(&gateway, &settings, || ());
    let before = well.count();
    let times = swapping::meanwhile(&gateway, &settings, || {
        parallel(CALLERS, |_| load(&gateway.acme(), what))
    });
    line(what, times, well.count() - before)
}

#[test]
fn one_healthy_key_is_enough_under_every_fault() {
    let mut table = String::from(
        "| fault | calls | succeeded | requests that came to a provider | median, ms | p99, ms | longest, ms |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (number, (what, fault)) in faults().into_iter().enumerate() {
        let _ = write!(table, "{}", under(number, what, fault));
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap();
    for (what, url) in [
        ("refused", format!("http://{closed}/v1")),
        ("no TLS where TLS should be", "https://PLAIN".to_owned()),
        ("no such host", "http://no-such-host.invalid/v1".to_owned()),
    ] {
        let _ = write!(table, "{}", unreachable(what, &url));
    }
    let folder = std::env::current_exe().unwrap();
    let folder: PathBuf = folder.ancestors().nth(3).unwrap().to_owned();
    std::fs::write(folder.join("faults.md"), &table).unwrap();
    println!("{table}");
}

//! Audit is off the request path, and who is slow there misses only its own tenant's calls.

use std::time::{Duration, Instant};

use serde_json::json;
use weir_tests::{eventually, parallel};

use super::arena::{Arena, Hostile};

/// More than wait for one tenant's audit at most.
const CALLS: usize = 2_600;
const CALLERS: usize = 4;
/// Calls of a megabyte, more than may wait of one tenant's.
const LARGE_CALLS: usize = 40;

const SETTINGS: &str = "[runtime]\nfailures_before_rollback = 0\nfailures_per_minute_max = 0\n";

fn metric(arena: &Arena, name: &str) -> u64 {
    let metrics = arena.gateway.admin().get("/metrics").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().parse().ok()).unwrap_or(0)
}

/// Looks at each call for longer than many calls take.
fn slow() -> Hostile {
    Hostile {
        settings: "deadline_ms = 200\nmemory_max_bytes = 16777216",
        ..Hostile::told("access = \"deny\"\naudit = \"loop\"")
    }
}

fn lost(arena: &Arena) -> usize {
    let lost = metric(arena, "weir_audit_lost_total ");
    usize::try_from(lost).unwrap()
}

/// The calls of the tenant `good` are audited, all of them, whatever else waits.
fn audits_good(arena: &Arena) {
    let audited = || {
        let stored = arena.good().chat("stored-1").expect(200).text();
        stored.parse::<usize>().unwrap_or(0)
    };
    let before = audited();
    arena.calls_of_good("beside a full audit", 10);
    eventually(
        "the audit of all calls of the tenant that does no harm",
        || (audited() >= before + 20).then_some(()),
    );
}

#[test]
fn a_slow_audit_loses_its_own_calls_and_says_how_many() {
    let arena = Arena::new(SETTINGS);
    arena.set(&slow());
    let slowest = parallel(CALLERS, |_| {
        let client = arena.evil();
        let calls = (0..CALLS / CALLERS).map(|_| {
            let began = Instant::now();
            client.chat("m").expect(403);
            began.elapsed()
        });
        calls.max().unwrap_or_default()
    });
    assert!(
        slowest.iter().all(|took| *took < Duration::from_secs(5)),
        "{slowest:?}"
    );
    eventually("calls are lost to the audit", || {
        (lost(&arena) > 0).then_some(())
    });
    audits_good(&arena);
    assert!(lost(&arena) < CALLS, "{}", lost(&arena));
}

#[test]
fn large_calls_that_wait_for_a_slow_audit_are_bounded_by_their_bytes() {
    let arena = Arena::new(SETTINGS);
    arena.set(&slow());
    let padding = "x".repeat(1 << 20);
    let body = json!({"model": "m", "messages": [{"role": "user", "content": padding}]});
    for _ in 0..LARGE_CALLS {
        arena.evil().post("/v1/chat/completions", &body).expect(403);
    }
    eventually("large calls are lost to the audit", || {
        (lost(&arena) > 0).then_some(())
    });
    audits_good(&arena);
    assert!(lost(&arena) < LARGE_CALLS, "{}", lost(&arena));
}

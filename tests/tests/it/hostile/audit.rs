//! Audit is off the request path, and who is slow there misses only its own tenant's calls.

use std::time::{Duration, Instant};

use weir_tests::{eventually, parallel};

use super::arena::{Arena, Hostile};

/// More than wait for one tenant's audit at most.
const CALLS: usize = 2_600;
const CALLERS: usize = 4;

fn metric(arena: &Arena, name: &str) -> u64 {
    let metrics = arena.gateway.admin().get("/metrics").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().parse().ok()).unwrap_or(0)
}

#[test]
fn a_slow_audit_loses_its_own_calls_and_says_how_many() {
    let arena =
        Arena::new("[runtime]\nfailures_before_rollback = 0\nfailures_per_minute_max = 0\n");
    arena.set(&Hostile {
        // Each looks at its call for longer than many calls take.
        settings: "deadline_ms = 200",
        ..Hostile::told("access = \"deny\"\naudit = \"loop\"")
    });
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
    let lost = eventually("calls are lost to the audit", || {
        let lost = metric(&arena, "weir_audit_lost_total ");
        (lost > 0).then_some(lost)
    });
    assert!(usize::try_from(lost).unwrap() < CALLS, "{lost}");
    // While thousands of the other tenant's wait.
    let audited = || {
        arena
            .good()
            .chat("stored-1")
            .expect(200)
            .text()
            .parse::<usize>()
            .unwrap_or(0)
    };
    let before = audited();
    arena.calls_of_good("beside a full audit", 10);
    eventually(
        "the audit of all calls of the tenant that does no harm",
        || (audited() >= before + 20).then_some(()),
    );
    assert!(metric(&arena, "weir_audit_lost_total ") <= lost + 1);
}

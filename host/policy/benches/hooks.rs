//! What one hook call of each built-in policy costs in processor time, runtime included: through
//! `Worker` exactly as the gateway calls it, on an instance that is warm. One bench makes a fresh
//! instance for every call instead (instantiate, `init`, hook).
//!
//! Meant to be at most, in the median: 1 us for permissions, aliases and limits, 3 us for the router
//! with four channels, 5 us with fifty.
//!
//! `make bench` runs it; `WEIR_POLICIES_DIR` says where the built policies are.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test may fail loudly"
)]

#[path = "common/setup.rs"]
mod setup;

use std::hint::black_box;

use criterion::Criterion;
use weir_policy::{Candidate, Isolation};

use crate::setup::host::summary;
use crate::setup::{Setup, scope};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let setup = Setup::new();
    let Setup { worker, scope, .. } = &setup;
    let call = summary("gpt-4o-mini");
    let call = &call;

    let permissions = r#"{"models":["gpt-*","claude-*"],"operations":["chat","embedding"]}"#;
    let version = setup.load("permissions", permissions, Isolation::Shared);
    setup.measure(&mut criterion, "permissions/authorize", async || {
        worker
            .authorize(&version, scope, black_box(call))
            .await
            .unwrap()
            .unwrap();
    });

    let version = setup.load("permissions", permissions, Isolation::Call);
    setup.measure(
        &mut criterion,
        "permissions/authorize, fresh instance",
        async || {
            let scope = self::scope();
            worker
                .authorize(&version, &scope, black_box(call))
                .await
                .unwrap()
                .unwrap();
        },
    );

    let labels = r#"{"rules":[{"match":{"labels":{"plan":"pro"}},"models":["gpt-*"]}]}"#;
    let version = setup.load("permissions", labels, Isolation::Shared);
    setup.measure(
        &mut criterion,
        "permissions/authorize, one label",
        async || {
            worker
                .authorize(&version, scope, black_box(call))
                .await
                .unwrap()
                .unwrap();
        },
    );

    let aliases = r#"{"aliases":{"fast":"gpt-4o-mini"}}"#;
    let version = setup.load("aliases", aliases, Isolation::Shared);
    setup.measure(
        &mut criterion,
        "aliases/rewrite, nothing to do",
        async || {
            worker
                .rewrite(&version, scope, black_box(call))
                .await
                .unwrap()
                .unwrap();
        },
    );

    let limits = r#"{"limits":[
        {"per":["key"],"unit":"requests","window":"minute","limit":600},
        {"per":["tenant"],"unit":"total-tokens","window":"day","limit":1000000}]}"#;
    let version = setup.load("limits", limits, Isolation::Shared);
    setup.measure(&mut criterion, "limits/limits, two rules", async || {
        black_box(
            worker
                .limits(&version, scope, black_box(call))
                .await
                .unwrap()
                .unwrap(),
        );
    });

    for (config, count, name) in ROUTERS {
        let version = setup.load("router", config, Isolation::Shared);
        let candidates: Vec<Candidate> = (0..*count).map(candidate).collect();
        setup.measure(&mut criterion, name, async || {
            let attempts = worker
                .route(&version, scope, black_box(call), &candidates)
                .await;
            black_box(attempts.unwrap().unwrap());
        });
    }

    criterion.final_summary();
}

/// Configurations of the router, numbers of candidates.
const ROUTERS: &[(&str, u32, &str)] = &[
    ("{}", 1, "router/route, 1 candidate"),
    ("{}", 4, "router/route, 4 candidates"),
    ("{}", 50, "router/route, 50 candidates"),
    (
        r#"{"strategy":"least_latency"}"#,
        50,
        "router/route, 50 candidates, least_latency",
    ),
    (
        r#"{"strategy":"least_cost","latency_max_ms":1500}"#,
        50,
        "router/route, 50 candidates, least_cost",
    ),
    (
        r#"{"strategy":"two_choices"}"#,
        50,
        "router/route, 50 candidates, two_choices",
    ),
    (
        r#"{"strategy":"affinity"}"#,
        50,
        "router/route, 50 candidates, affinity",
    ),
    (
        r#"{"rules":[{"percent":10,"prefer":{"channels":["a"]}}]}"#,
        50,
        "router/route, 50 candidates, a canary",
    ),
];

fn candidate(channel: u32) -> Candidate {
    Candidate {
        channel,
        priority: 1,
        weight: 1,
        error_rate: 0.01,
        samples: 100,
        first_byte_ms: 300.0,
        total_ms: 2_000.0,
        tokens_per_second: 80.0,
        in_flight: 3,
        usable_keys: 2,
        headroom: 0.8,
        tripped_ms: 0,
        input_price: 150_000.0,
        output_price: 600_000.0,
    }
}

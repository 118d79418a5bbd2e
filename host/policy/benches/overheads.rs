//! What the runtime itself costs, in processor time: a hook that does nothing, chains of policies, events
//! of a stream, instances that live for one call. What the built-in policies cost on top is in `hooks.rs`,
//! what recording decisions costs in the store's `record.rs`.
//!
//! Meant to be at most, in the median: 1 us for one hook of a policy in Rust, 10 us for a chain of eight,
//! 0.5 us for an event that is passed on. `make bench` runs it; `WEIR_POLICIES_DIR` says where the built
//! policies are.

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
use std::sync::Arc;

use criterion::Criterion;
use weir_policy::{Isolation, StreamEvent, TextDelta, Version};

use crate::setup::host::summary;
use crate::setup::{Setup, cpu_time, guests, scope};

/// Gives back at once what its only argument, the summary, took in memory.
const NOTHING: &str = "(global.set $free (i32.const 4096))";

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let setup = Setup::new();
    hooks(&setup, &mut criterion);
    chains(&setup, &mut criterion);
    events(&setup, &mut criterion);
    criterion.final_summary();
}

fn hooks(setup: &Setup, criterion: &mut Criterion) {
    let Setup { worker, scope, .. } = setup;
    let call = summary("gpt-4o-mini");
    let bytes = guests::authorizing("", NOTHING);
    let nothing = setup.load_bytes("nothing", bytes, "{}", Isolation::Shared);
    setup.measure(criterion, "a hook, empty", async || {
        let answer = worker.authorize(&nothing, scope, black_box(&call)).await;
        answer.unwrap().unwrap();
    });
    let rust = setup.load("testing-sieve", "{}", Isolation::Call);
    setup.measure(criterion, "a hook in Rust, fresh instance", async || {
        let scope = self::scope();
        let answer = worker.authorize(&rust, &scope, black_box(&call)).await;
        answer.unwrap().unwrap();
    });
}

/// The policies are of one file, and as separate as if they were not: versions share nothing but bytes.
fn chains(setup: &Setup, criterion: &mut Criterion) {
    let Setup { worker, scope, .. } = setup;
    let call = summary("gpt-4o-mini");
    let load = |_| setup.load("testing-sieve", "{}", Isolation::Shared);
    let versions: Vec<Arc<Version>> = (0..8).map(load).collect();
    for (length, name) in [
        (1, "a hook in Rust (at most 1 us)"),
        (2, "a chain of 2"),
        (4, "a chain of 4"),
        (8, "a chain of 8 (at most 10 us)"),
    ] {
        setup.measure(criterion, name, async || {
            for version in &versions[..length] {
                let answer = worker.authorize(version, scope, black_box(&call)).await;
                answer.unwrap().unwrap();
            }
        });
    }
}

fn events(setup: &Setup, criterion: &mut Criterion) {
    let Setup { worker, scope, .. } = setup;
    let call = summary("gpt-4o-mini");
    let config = r#"{"events":{"text":"pass"}}"#;
    let version = setup.load("testing-probe", config, Isolation::Shared);
    let opened = worker.open_stream(&version, scope, &call);
    let mut stream = setup.runtime.block_on(opened).unwrap().unwrap();
    let event = StreamEvent::Text(TextDelta {
        choice: 0,
        text: "Hello there",
    });
    criterion.bench_function("an event, passed on (at most 0.5 us)", |bencher| {
        bencher.iter_custom(|count| {
            setup.runtime.block_on(async {
                let started = cpu_time();
                for _ in 0..count {
                    black_box(stream.push(black_box(&event)).await.unwrap().unwrap());
                }
                cpu_time() - started
            })
        });
    });
}

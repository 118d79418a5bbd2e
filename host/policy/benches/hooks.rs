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

#[path = "../tests/runtime/guests.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod guests;
#[path = "../tests/runtime/host.rs"]
mod host;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use tokio::runtime::Runtime;
use weir_policy::{
    CallScope, Candidate, CompileMode, Engine, EngineSettings, Isolation, StreamEvent, TextDelta,
    Version, VersionSpec, Worker,
};

use crate::host::{TestCall, TestServices, summary};

struct Setup {
    runtime: Runtime,
    engine: Arc<Engine>,
    worker: Worker,
    scope: CallScope,
    _dir: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let compile = CompileMode::ThisProcess;
        let settings = EngineSettings::new(dir.path().join("compiled"), [7; 32], compile);
        let engine = Engine::new(settings, Arc::new(TestServices::default())).unwrap();
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            worker: Worker::new(engine.clone()),
            engine,
            scope: scope(),
            _dir: dir,
        }
    }

    fn load(&self, name: &str, config: &str, isolation: Isolation) -> Arc<Version> {
        let mut spec = VersionSpec::new(name, config);
        spec.isolation = isolation;
        self.runtime
            .block_on(self.engine.load(guests::built(name), spec))
            .unwrap()
    }

    fn measure(&self, criterion: &mut Criterion, name: &str, hook: impl AsyncFn()) {
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                self.runtime.block_on(async {
                    let started = cpu_time();
                    for _ in 0..count {
                        hook().await;
                    }
                    cpu_time() - started
                })
            });
        });
    }
}

/// Of this thread: what a busy machine does to others' time is not the policy's cost.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

fn scope() -> CallScope {
    CallScope::new(Arc::new(TestCall::default()))
}

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

    let version = setup.load(
        "testing-probe",
        r#"{"events":{"text":"pass"}}"#,
        Isolation::Shared,
    );
    let opened = setup
        .runtime
        .block_on(worker.open_stream(&version, scope, call));
    let stream = std::cell::RefCell::new(opened.unwrap().unwrap());
    let event = StreamEvent::Text(TextDelta {
        choice: 0,
        text: "Hello there",
    });
    let mut stream = stream.borrow_mut();
    criterion.bench_function("probe/push, passed", |bencher| {
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

//! What a policy cannot do to anybody else: each way of misbehaving ends in its own failure,
//! within its bound, while the worker's other calls go on.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;
use weir_policy::{Failure, FailureKind, Grants, Version, VersionSpec, Worker};

use crate::guests::{authorizing, built};
use crate::host::summary;
use crate::{Bench, scope};

async fn failure(worker: &Worker, version: &Version) -> Failure {
    let failure = worker
        .authorize(version, &scope(), &summary("m"))
        .await
        .unwrap_err();
    assert!(failure.instance_dropped);
    failure
}

fn doing(step: &str) -> String {
    format!(r#"{{"access":{{"models":["bad"],"do":[{step}]}}}}"#)
}

#[tokio::test]
async fn a_trap_costs_the_instance_and_nothing_else() {
    let bench = Bench::new();
    let worker = bench.worker();
    let version = bench.probe(&doing("\"trap\"")).await;
    for _ in 0..3 {
        let failure = worker
            .authorize(&version, &scope(), &summary("bad"))
            .await
            .unwrap_err();
        assert!(matches!(failure.kind, FailureKind::Trap(_)), "{failure}");
        assert_eq!(failure.code(), "policy_trapped");
        assert!(
            worker
                .authorize(&version, &scope(), &summary("good"))
                .await
                .unwrap()
                .is_ok()
        );
    }
    assert_eq!(version.failures(), 3);
    assert_eq!(
        bench.engine.live_instances(),
        1,
        "one idle, the dead ones gone"
    );
}

#[tokio::test]
async fn stack_overflow_and_bad_answers_in_memory() {
    let bench = Bench::new();
    let worker = bench.worker();
    let deep = authorizing(
        "(func $deep (param i32) (call $deep (local.get 0)) (call $deep (local.get 0)))",
        "(call $deep (i32.const 1))",
    );
    let version = bench.load(deep, VersionSpec::new("p", "")).await;
    let text = failure(&worker, &version).await.to_string();
    assert!(text.contains("call stack exhausted"), "{text}");
    // A result that says "denied" with a string far outside of memory.
    let wild = authorizing(
        "",
        "(i32.store8 (i32.const 128) (i32.const 1)) (i32.store (i32.const 136) (i32.const -16))
         (i32.store (i32.const 140) (i32.const 1000)) (return (i32.const 128))",
    );
    let version = bench.load(wild, VersionSpec::new("p", "")).await;
    assert!(matches!(
        failure(&worker, &version).await.kind,
        FailureKind::Trap(_)
    ));
}

#[tokio::test]
async fn an_endless_loop_ends_at_its_deadline_and_others_go_on_meanwhile() {
    let bench = Bench::new();
    let worker = Rc::new(bench.worker());
    let version = bench.probe(&doing("\"loop\"")).await;
    worker.warm(&version, 2).await.unwrap();
    LocalSet::new()
        .run_until(async {
            let looping = {
                let (worker, version) = (worker.clone(), version.clone());
                tokio::task::spawn_local(async move {
                    let started = Instant::now();
                    let failure = worker.authorize(&version, &scope(), &summary("bad")).await;
                    (failure.unwrap_err(), started.elapsed())
                })
            };
            let mut others = 0;
            let mut slowest = Duration::ZERO;
            while !looping.is_finished() {
                let started = Instant::now();
                worker
                    .authorize(&version, &scope(), &summary("good"))
                    .await
                    .unwrap()
                    .unwrap();
                // Also what waits for I/O and timers gets its turn.
                tokio::time::sleep(Duration::from_micros(100)).await;
                slowest = slowest.max(started.elapsed());
                others += 1;
            }
            let (failure, took) = looping.await.unwrap();
            assert_eq!(failure.kind, FailureKind::Deadline { deadline_ms: 20 });
            assert!(others >= 5, "only {others} other calls in {took:?}");
            assert!(took >= Duration::from_millis(15), "{took:?}");
            assert!(took < Duration::from_millis(500), "{took:?}");
            assert!(slowest < Duration::from_millis(100), "{slowest:?}");
        })
        .await;
}

#[tokio::test]
async fn many_loops_at_once_all_end() {
    let bench = Bench::new();
    let worker = Rc::new(bench.worker());
    let mut spec = VersionSpec::new("probe", doing("\"loop\""));
    spec.deadline_ms = 5;
    let version = bench.load(built("testing-probe"), spec).await;
    LocalSet::new()
        .run_until(async {
            let loops: Vec<_> = (0..8)
                .map(|_| {
                    let (worker, version) = (worker.clone(), version.clone());
                    tokio::task::spawn_local(async move {
                        worker
                            .authorize(&version, &scope(), &summary("bad"))
                            .await
                            .unwrap_err()
                    })
                })
                .collect();
            for one in loops {
                let failure = one.await.unwrap();
                assert_eq!(failure.kind, FailureKind::Deadline { deadline_ms: 5 });
            }
        })
        .await;
    assert_eq!(bench.engine.live_instances(), 0);
}

#[tokio::test]
async fn memory_without_end_is_refused() {
    let bench = Bench::new();
    let worker = bench.worker();
    let mut spec = VersionSpec::new("probe", doing("\"grow\""));
    spec.deadline_ms = 2000;
    spec.wait_max_ms = 10_000;
    spec.memory_max_bytes = 8 << 20;
    let version = bench.load(built("testing-probe"), spec).await;
    let failure = worker
        .authorize(&version, &scope(), &summary("bad"))
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Memory { max_bytes: 8 << 20 });
    assert!(
        worker
            .authorize(&version, &scope(), &summary("good"))
            .await
            .unwrap()
            .is_ok()
    );
}

#[tokio::test]
async fn a_refused_growth_can_be_survived() {
    let bench = Bench::new();
    // Asks for 1 GiB, shrugs, and allows the call.
    let module = authorizing("", "(drop (memory.grow (i32.const 16384)))");
    let version = bench.load(module, VersionSpec::new("p", "")).await;
    let answer = bench
        .worker()
        .authorize(&version, &scope(), &summary("m"))
        .await
        .unwrap();
    assert!(answer.is_ok());
}

#[tokio::test]
async fn imports_without_end_are_refused() {
    let bench = Bench::new();
    let mut spec = VersionSpec::new("probe", doing(r#"{"spin_ms":10000}"#));
    spec.deadline_ms = 5000;
    spec.wait_max_ms = 10_000;
    let version = bench.load(built("testing-probe"), spec).await;
    let failure = bench
        .worker()
        .authorize(&version, &scope(), &summary("bad"))
        .await
        .unwrap_err();
    assert!(
        failure.to_string().contains("called more imports"),
        "{failure}"
    );
}

/// Sleeps for a minute through WASI's preview 1, the way that a C library does.
fn sleeping() -> Vec<u8> {
    authorizing(
        r#"(import "wasi_snapshot_preview1" "poll_oneoff"
            (func $poll (param i32 i32 i32 i32) (result i32)))"#,
        // A subscription: a relative timeout of 60 s on the monotonic clock (1).
        "(memory.fill (i32.const 256) (i32.const 0) (i32.const 48))
         (i32.store (i32.const 272) (i32.const 1))
         (i64.store (i32.const 280) (i64.const 60000000000))
         (drop (call $poll (i32.const 256) (i32.const 512) (i32.const 1) (i32.const 600)))",
    )
}

#[tokio::test]
async fn sleeping_in_wasi_is_waiting() {
    let bench = Bench::new();
    let worker = Rc::new(bench.worker());
    let mut spec = VersionSpec::new("p", "");
    spec.wait_max_ms = 50;
    let version = bench.load(sleeping(), spec).await;
    assert!(
        version
            .imports()
            .iter()
            .any(|import| import.starts_with("wasi:"))
    );
    let fine = bench
        .load(authorizing("", ""), VersionSpec::new("q", ""))
        .await;
    LocalSet::new()
        .run_until(async {
            let asleep = {
                let worker = worker.clone();
                tokio::task::spawn_local(async move { failure(&worker, &version).await })
            };
            let mut others = 0;
            while !asleep.is_finished() {
                worker
                    .authorize(&fine, &scope(), &summary("m"))
                    .await
                    .unwrap()
                    .unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
                others += 1;
            }
            assert_eq!(
                asleep.await.unwrap().kind,
                FailureKind::Waited { wait_max_ms: 50 }
            );
            assert!(others > 10, "{others}");
        })
        .await;
}

#[tokio::test]
async fn wasi_grants_nothing() {
    let bench = Bench::new();
    // fd_write of "out\n" to standard output; environ_sizes_get must say 0; fd_prestat_get(3)
    // must say badf (8).
    let module = authorizing(
        r#"(import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
           (import "wasi_snapshot_preview1" "environ_sizes_get"
                (func $environ (param i32 i32) (result i32)))
           (import "wasi_snapshot_preview1" "fd_prestat_get"
                (func $prestat (param i32 i32) (result i32)))"#,
        r#"(i32.store (i32.const 256) (i32.const 300)) (i32.store (i32.const 260) (i32.const 4))
           (i32.store (i32.const 300) (i32.const 0x0a74756f))
           (if (call $write (i32.const 1) (i32.const 256) (i32.const 1) (i32.const 400)) (then unreachable))
           (if (call $environ (i32.const 404) (i32.const 408)) (then unreachable))
           (if (i32.load (i32.const 404)) (then unreachable))
           (if (i32.ne (call $prestat (i32.const 3) (i32.const 412)) (i32.const 8)) (then unreachable))"#,
    );
    let version = bench.load(module, VersionSpec::new("p", "")).await;
    let worker = bench.worker();
    for _ in 0..2 {
        worker
            .authorize(&version, &scope(), &summary("m"))
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(*bench.services.lines.lock().unwrap(), ["p||out", "p||out"]);
}

#[tokio::test]
async fn a_slow_host_call_is_bounded_and_holds_up_nobody() {
    let bench = Bench::new();
    let worker = Rc::new(bench.worker());
    bench.services.send_ms.store(60_000, Ordering::SeqCst);
    let mut spec = VersionSpec::new("probe", "{}");
    spec.wait_max_ms = 60;
    spec.grants = Grants {
        http: vec!["*:9".into()],
        ..Grants::default()
    };
    let version = bench.load(built("testing-forbidden"), spec).await;
    let started = Instant::now();
    // The guest is told in time to deal with it itself.
    let denial = worker
        .authorize(&version, &scope(), &summary("m"))
        .await
        .unwrap()
        .unwrap_err();
    assert!(denial.message.contains("time is over"), "{denial:?}");
    assert!(started.elapsed() < Duration::from_millis(500));
}

#[tokio::test]
async fn a_dropped_hook_takes_its_instance_with_it() {
    let bench = Bench::new();
    let worker = bench.worker();
    bench.services.send_ms.store(60_000, Ordering::SeqCst);
    let mut spec = VersionSpec::new("probe", "{}");
    spec.grants = Grants {
        http: vec!["*:9".into()],
        ..Grants::default()
    };
    let version = bench.load(built("testing-forbidden"), spec).await;
    let scope = scope();
    let summary = summary("m");
    let hook = worker.authorize(&version, &scope, &summary);
    assert!(
        tokio::time::timeout(Duration::from_millis(20), hook)
            .await
            .is_err()
    );
    assert_eq!(bench.engine.live_instances(), 0);
    bench.services.send_ms.store(0, Ordering::SeqCst);
    assert!(
        worker
            .authorize(&version, &scope, &summary)
            .await
            .unwrap()
            .is_ok()
    );
}

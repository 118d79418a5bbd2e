//! Instances: how many, how long, whose.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::LocalSet;
use weir_policy::{FailureKind, Grants, Isolation, Recycle, VersionSpec};

use crate::guests::built;
use crate::host::summary;
use crate::{Bench, scope};

const COUNT: &str = r#"{"init":{"do":[{"count":"starts"}]},"access":{"do":[{"count":"calls"}]}}"#;

fn counted(bench: &Bench, key: &str) -> usize {
    let store = bench.services.store.lock().unwrap();
    store
        .get(key)
        .map_or(0, |value| String::from_utf8_lossy(value).parse().unwrap())
}

#[tokio::test]
async fn a_thousand_calls_at_once_share_four_instances() {
    let bench = Bench::with(|settings| settings.instances_max = 4);
    let worker = Rc::new(bench.worker());
    bench.services.send_ms.store(1, Ordering::SeqCst);
    let mut spec = VersionSpec::new("probe", "{}");
    spec.wait_max_ms = 20_000;
    spec.grants = Grants {
        http: vec!["*:9".into()],
        ..Grants::default()
    };
    let version = bench.load(built("testing-forbidden"), spec).await;
    LocalSet::new()
        .run_until(async {
            let calls: Vec<_> = (0..1000)
                .map(|_| {
                    let (worker, version) = (worker.clone(), version.clone());
                    tokio::task::spawn_local(async move {
                        worker.authorize(&version, &scope(), &summary("m")).await
                    })
                })
                .collect();
            for call in calls {
                call.await.unwrap().unwrap().unwrap();
            }
        })
        .await;
    assert!(bench.engine.live_instances() <= 4);
    assert_eq!(bench.services.sent.lock().unwrap().len(), 1000);
}

#[tokio::test]
async fn a_full_pool_is_a_failure_after_a_bounded_wait() {
    let bench = Bench::with(|settings| settings.instances_max = 1);
    let worker = Rc::new(bench.worker());
    bench.services.send_ms.store(60_000, Ordering::SeqCst);
    let mut spec = VersionSpec::new("probe", "{}");
    spec.grants = Grants {
        http: vec!["*:9".into()],
        ..Grants::default()
    };
    let slow = bench.load(built("testing-forbidden"), spec).await;
    let mut spec = VersionSpec::new("probe", "{}");
    spec.wait_max_ms = 30;
    let other = bench.load(built("testing-probe"), spec).await;
    LocalSet::new()
        .run_until(async {
            let holder = {
                let worker = worker.clone();
                tokio::task::spawn_local(async move {
                    worker.authorize(&slow, &scope(), &summary("m")).await
                })
            };
            while bench.services.sending.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            let failure = worker
                .authorize(&other, &scope(), &summary("m"))
                .await
                .unwrap_err();
            assert_eq!(failure.kind, FailureKind::PoolFull);
            assert!(!failure.instance_dropped);
            // The slow one is told that its time is over, and then there is room.
            assert!(holder.await.unwrap().unwrap().is_err());
            worker
                .authorize(&other, &scope(), &summary("m"))
                .await
                .unwrap()
                .unwrap();
        })
        .await;
}

#[tokio::test]
async fn an_idle_instance_makes_room_for_another_policy() {
    let bench = Bench::with(|settings| settings.instances_max = 1);
    let worker = bench.worker();
    let (a, b) = (bench.probe("{}").await, bench.probe(COUNT).await);
    for version in [&a, &b, &a, &b] {
        worker
            .authorize(version, &scope(), &summary("m"))
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(bench.engine.live_instances(), 1);

    // Also one of another worker, as soon as that does anything.
    let other = bench.worker();
    let (scope, summary) = (scope(), summary("m"));
    let ((), waiting) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            worker.sweep();
        },
        other.authorize(&a, &scope, &summary),
    );
    waiting.unwrap().unwrap();
}

#[tokio::test]
async fn warm_instances_are_reused_and_kept_within_their_marks() {
    let bench = Bench::new();
    let worker = bench.worker();
    let version = bench.probe(COUNT).await;
    assert_eq!(counted(&bench, "starts"), 1, "loading starts one");
    for _ in 0..50 {
        worker
            .authorize(&version, &scope(), &summary("m"))
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(
        (counted(&bench, "starts"), counted(&bench, "calls")),
        (2, 50)
    );

    let recycled = async |recycle: Recycle, config: &str, calls: usize| {
        bench.services.store.lock().unwrap().clear();
        let mut spec = VersionSpec::new("probe", config);
        spec.recycle = recycle;
        let version = bench.load(built("testing-probe"), spec).await;
        for _ in 0..calls {
            worker
                .authorize(&version, &scope(), &summary("m"))
                .await
                .unwrap()
                .unwrap();
        }
        counted(&bench, "starts") - 1
    };
    // Ten calls or a little less each; one of them is `init`.
    let starts = recycled(
        Recycle {
            calls: 10,
            ..Recycle::default()
        },
        COUNT,
        100,
    )
    .await;
    assert!((11..=20).contains(&starts), "{starts}");
    let growing =
        r#"{"init":{"do":[{"count":"starts"}]},"access":{"do":[{"grow_bytes":1000000}]}}"#;
    let memory = Recycle {
        memory_bytes: 6 << 20,
        ..Recycle::default()
    };
    let starts = recycled(memory, growing, 40).await;
    assert!((5..=20).contains(&starts), "{starts}");
}

#[tokio::test]
async fn old_instances_are_swept() {
    let bench = Bench::new();
    let worker = bench.worker();
    let mut spec = VersionSpec::new("probe", COUNT);
    spec.recycle.age_ms = 20;
    let version = bench.load(built("testing-probe"), spec).await;
    worker.warm(&version, 3).await.unwrap();
    assert_eq!(bench.engine.live_instances(), 3);
    worker.sweep();
    assert_eq!(bench.engine.live_instances(), 3);
    tokio::time::sleep(Duration::from_millis(25)).await;
    worker.sweep();
    assert_eq!(bench.engine.live_instances(), 0);
}

#[tokio::test]
async fn isolation_by_call_shares_within_a_call_only() {
    let bench = Bench::new();
    let worker = bench.worker();
    let mut spec = VersionSpec::new("probe", COUNT);
    spec.isolation = Isolation::Call;
    let version = bench.load(built("testing-probe"), spec).await;
    for call in 1..=5 {
        let scope = scope();
        worker
            .authorize(&version, &scope, &summary("m"))
            .await
            .unwrap()
            .unwrap();
        worker
            .rewrite(&version, &scope, &summary("m"))
            .await
            .unwrap()
            .unwrap();
        worker
            .limits(&version, &scope, &summary("m"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(counted(&bench, "starts"), 1 + call);
        assert_eq!(bench.engine.live_instances(), 1);
        drop(scope);
        assert_eq!(bench.engine.live_instances(), 0);
    }
}

#[tokio::test]
async fn retired_versions_go_with_their_last_stream() {
    let bench = Bench::new();
    let worker = bench.worker();
    let old = bench.probe(r#"{"events":{"text":"uppercase"}}"#).await;
    worker
        .authorize(&old, &scope(), &summary("m"))
        .await
        .unwrap()
        .unwrap();
    let stream = worker
        .open_stream(&old, &scope(), &summary("m"))
        .await
        .unwrap()
        .unwrap();
    let new = bench.probe("{}").await;
    assert_eq!(bench.engine.live_versions(), 2);
    drop(old);
    worker
        .authorize(&new, &scope(), &summary("m"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        bench.engine.live_versions(),
        2,
        "the stream goes on with what it began with"
    );
    stream.close().await.unwrap();
    // The next call notices by itself.
    worker
        .authorize(&new, &scope(), &summary("m"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (bench.engine.live_versions(), bench.engine.live_instances()),
        (1, 1)
    );
    drop(new);
    worker.sweep();
    assert_eq!(
        (bench.engine.live_versions(), bench.engine.live_instances()),
        (0, 0)
    );
}

#[tokio::test]
async fn a_hundred_swaps_leave_nothing_behind() {
    let bench = Bench::with(|settings| settings.instances_max = 2);
    let worker = bench.worker();
    for _ in 0..100 {
        let version = bench.probe("{}").await;
        worker
            .authorize(&version, &scope(), &summary("m"))
            .await
            .unwrap()
            .unwrap();
    }
    worker.sweep();
    assert_eq!(
        (bench.engine.live_versions(), bench.engine.live_instances()),
        (0, 0)
    );
}

#[tokio::test]
async fn many_tenants_take_turns() {
    let bench = Bench::with(|settings| settings.instances_max = 8);
    let worker = bench.worker();
    let mut versions = Vec::new();
    for tenant in 0..30 {
        let mut spec = VersionSpec::new("probe", "{}");
        spec.identity.tenant = Some(format!("t{tenant}"));
        versions.push(bench.load(built("testing-probe"), spec).await);
    }
    for version in versions.iter().chain(&versions) {
        worker
            .authorize(version, &scope(), &summary("m"))
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(bench.engine.live_instances(), 8);
    let engine = Arc::clone(&bench.engine);
    drop((worker, versions));
    assert_eq!((engine.live_versions(), engine.live_instances()), (0, 0));
}

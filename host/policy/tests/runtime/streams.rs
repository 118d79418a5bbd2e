//! Streams: many in one instance, each on its own, and together in misfortune only.

use std::rc::Rc;
use std::time::Duration;

use weir_policy::{
    Action, FailureKind, Isolation, NewEvent, Stream, StreamEvent, TextDelta, VersionSpec,
};

use crate::guests::built;
use crate::host::summary;
use crate::{Bench, scope};

fn text(text: &str) -> StreamEvent<'_> {
    StreamEvent::Text(TextDelta { choice: 0, text })
}

fn texts(events: &[NewEvent]) -> Vec<&str> {
    events
        .iter()
        .map(|event| match event {
            NewEvent::Text(delta) => delta.text.as_str(),
            other => panic!("{other:?}"),
        })
        .collect()
}

async fn push(stream: &mut Stream, piece: &str) -> Action {
    stream.push(&text(piece)).await.unwrap().unwrap()
}

#[tokio::test]
async fn streams_of_one_instance_do_not_mix() {
    let bench = Bench::new();
    let worker = bench.worker();
    let version = bench
        .probe(r#"{"events":{"text":"hold"},"access":{"models":["x"]}}"#)
        .await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let stream = worker
            .open_stream(&version, &scope(), &summary("m"))
            .await
            .unwrap();
        streams.push(stream.unwrap());
    }
    for round in 0..3 {
        for (number, stream) in streams.iter_mut().enumerate() {
            let action = push(stream, &format!("{number}.{round} ")).await;
            assert!(matches!(action, Action::Drop));
        }
        // Ordinary calls use the same instance in between.
        worker
            .authorize(&version, &scope(), &summary("m"))
            .await
            .unwrap()
            .unwrap();
    }
    for (number, stream) in streams.into_iter().enumerate().rev() {
        let held = stream.close().await.unwrap();
        assert_eq!(texts(&held), [format!("{number}.0 {number}.1 {number}.2 ")]);
    }
    assert_eq!(bench.engine.live_instances(), 1);
}

#[tokio::test]
async fn an_uninterested_policy_is_left_alone() {
    let bench = Bench::new();
    let version = bench.probe("{}").await;
    let stream = bench
        .worker()
        .open_stream(&version, &scope(), &summary("m"))
        .await
        .unwrap();
    assert!(stream.is_none());
}

#[tokio::test]
async fn events_are_changed_dropped_and_denied() {
    let bench = Bench::new();
    let worker = bench.worker();
    let version = bench
        .probe(r#"{"events":{"text":"double","append":"end","at":1,"do":[{"deny":{"code":"enough"}}]}}"#)
        .await;
    let opened = worker
        .open_stream(&version, &scope(), &summary("m"))
        .await
        .unwrap();
    let mut stream = opened.unwrap();
    let Action::Replace(events) = push(&mut stream, "a").await else {
        panic!()
    };
    assert_eq!(texts(&events), ["a", "a"]);
    let denial = stream.push(&text("b")).await.unwrap().unwrap_err();
    assert_eq!(denial.code, "enough");
    assert_eq!(texts(&stream.close().await.unwrap()), ["end"]);
}

#[tokio::test]
async fn a_trap_in_one_stream_ends_those_of_its_instance_only() {
    let bench = Bench::new();
    let worker = bench.worker();
    let version = bench
        .probe(r#"{"events":{"text":"pass","at":1,"do":["trap"]}}"#)
        .await;
    let open = async || {
        worker
            .open_stream(&version, &scope(), &summary("m"))
            .await
            .unwrap()
            .unwrap()
    };
    let (mut first, mut second) = (open().await, open().await);
    push(&mut first, "a").await;
    push(&mut second, "a").await;
    let failure = first.push(&text("b")).await.unwrap_err();
    assert!(matches!(failure.kind, FailureKind::Trap(_)), "{failure}");
    let shared = second.push(&text("b")).await.unwrap_err();
    assert_eq!(shared.kind, failure.kind);
    assert!(first.close().await.is_err());
    // A stream opened afterwards has an instance of its own.
    let mut third = open().await;
    push(&mut third, "a").await;
    assert!(second.close().await.is_err());
    third.close().await.unwrap();
    assert_eq!(bench.engine.live_instances(), 1);
}

#[tokio::test]
async fn ten_thousand_streams_need_few_instances() {
    let bench = Bench::with(|settings| settings.instances_max = 64);
    let worker = bench.worker();
    let version = bench.probe(r#"{"events":{"text":"uppercase"}}"#).await;
    let mut streams = Vec::new();
    for _ in 0..10_000 {
        let stream = worker
            .open_stream(&version, &scope(), &summary("m"))
            .await
            .unwrap();
        streams.push(stream.unwrap());
    }
    assert!(
        bench.engine.live_instances() <= 40,
        "{}",
        bench.engine.live_instances()
    );
    let Action::Replace(events) = push(&mut streams[0], "a").await else {
        panic!()
    };
    assert_eq!(texts(&events), ["A"]);
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_forgotten_by_the_guest() {
    let bench = Bench::new();
    let worker = bench.worker();
    let version = bench.probe(r#"{"events":{"text":"hold"}}"#).await;
    for _ in 0..1000 {
        let opened = worker
            .open_stream(&version, &scope(), &summary("m"))
            .await
            .unwrap();
        let mut stream = opened.unwrap();
        push(&mut stream, &"x".repeat(60_000)).await;
    }
    // All of them would be 60 MB, more than an instance may have.
    assert_eq!(bench.engine.live_instances(), 1);
    assert_eq!(version.failures(), 0);
}

#[tokio::test]
async fn a_stream_isolated_by_call_keeps_its_instance() {
    let bench = Bench::new();
    let worker = bench.worker();
    let mut spec = VersionSpec::new("probe", r#"{"events":{"text":"hold"}}"#);
    spec.isolation = Isolation::Call;
    let version = bench.load(built("testing-probe"), spec).await;
    let (one, two) = (scope(), scope());
    let mut first = worker
        .open_stream(&version, &one, &summary("m"))
        .await
        .unwrap()
        .unwrap();
    let mut second = worker
        .open_stream(&version, &two, &summary("m"))
        .await
        .unwrap()
        .unwrap();
    drop((one, two));
    assert_eq!(bench.engine.live_instances(), 2);
    push(&mut first, "a").await;
    push(&mut second, "b").await;
    assert_eq!(texts(&first.close().await.unwrap()), ["a"]);
    assert_eq!(texts(&second.close().await.unwrap()), ["b"]);
    assert_eq!(bench.engine.live_instances(), 0);
}

#[tokio::test]
async fn events_wait_for_their_instance() {
    let bench = Bench::new();
    let worker = Rc::new(bench.worker());
    // The second event of each stream keeps the instance busy for a few epochs.
    let mut spec = VersionSpec::new(
        "probe",
        r#"{"events":{"text":"pass","at":1,"do":["loop"]}}"#,
    );
    spec.deadline_ms = 30;
    let version = bench.load(built("testing-probe"), spec).await;
    let open = async || {
        worker
            .open_stream(&version, &scope(), &summary("m"))
            .await
            .unwrap()
            .unwrap()
    };
    let (mut looping, mut waiting) = (open().await, open().await);
    push(&mut looping, "a").await;
    tokio::task::LocalSet::new()
        .run_until(async {
            let looped =
                tokio::task::spawn_local(
                    async move { looping.push(&text("b")).await.unwrap_err() },
                );
            tokio::time::sleep(Duration::from_millis(5)).await;
            // It waits, then learns that the instance is gone, and why.
            let failure = waiting.push(&text("b")).await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Deadline { deadline_ms: 30 });
            assert_eq!(looped.await.unwrap().kind, failure.kind);
        })
        .await;
}

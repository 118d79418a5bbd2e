//! Models of a channel, apart and together.

use super::*;
use crate::config::{self, Sources};

const START_MS: u64 = 1_800_000_000_000;

fn terms(slow_first_byte_ms: u64) -> Terms {
    let config = config::load(&Sources::of_text("")).unwrap().config;
    Terms {
        slow_first_byte_ms,
        ..Terms::of(&config::Breaker::default(), &config.cooldown)
    }
}

fn ends(model: &ModelHealth, failure: Option<FailureKind>, terms: &Terms) -> Option<Change> {
    let pass = model.breaker.enter(|| START_MS);
    match failure {
        None => model.answered(pass, START_MS, Some(Duration::from_millis(40)), terms),
        Some(kind) => model.failed(Some(pass), START_MS, kind, terms),
    }
}

#[test]
fn models_are_measured_apart_and_the_channel_is_their_sum() {
    let (health, terms) = (Health::default(), terms(0));
    let (good, bad) = (
        health.model("good", START_MS),
        health.model("bad", START_MS),
    );
    assert!(Arc::ptr_eq(&good, &health.model("good", START_MS)));
    for _ in 0..17 {
        ends(&good, None, &terms);
    }
    for _ in 0..3 {
        ends(&bad, Some(FailureKind::Server), &terms);
    }
    assert!(bad.breaker.tripped_ms(START_MS, &terms) > 0);
    assert_eq!(good.breaker.tripped_ms(START_MS, &terms), 0);
    health.begin(&good);
    let measured = health.measured(START_MS);
    assert_eq!((measured.counts.calls, measured.counts.failures), (20, 3));
    assert_eq!((measured.in_flight, measured.open_circuits), (1, 1));
    assert!((measured.means.first_byte_ms - 40.0).abs() < 0.01);
    health.end(&good);
    assert_eq!((health.in_flight(), good.in_flight()), (0, 0));
}

#[test]
fn an_answer_that_closes_a_circuit_starts_the_count_anew() {
    let (model, terms) = (ModelHealth::default(), terms(0));
    for _ in 0..20 {
        ends(&model, Some(FailureKind::Connect), &terms);
    }
    assert_eq!(ends(&model, None, &terms), Some(Change::Closed));
    assert_eq!(model.figures.counts(START_MS).calls, 0);
    assert_eq!(ends(&model, Some(FailureKind::Connect), &terms), None);
}

#[test]
fn a_key_that_is_turned_away_speaks_for_the_channel() {
    let (model, terms) = (ModelHealth::default(), terms(0));
    for _ in 0..2 {
        ends(&model, Some(FailureKind::Server), &terms);
        ends(&model, Some(FailureKind::Server), &terms);
        assert_eq!(ends(&model, Some(FailureKind::RateLimited), &terms), None);
    }
    let counts = model.figures.counts(START_MS);
    assert_eq!((counts.calls, counts.failures), (6, 4));
}

#[test]
fn a_slow_channel_trips_and_a_reply_that_breaks_off_is_one_call() {
    let (model, terms) = (ModelHealth::default(), terms(40));
    let changes: Vec<_> = (0..20).map(|_| ends(&model, None, &terms)).collect();
    assert!(changes[..19].iter().all(Option::is_none));
    assert!(matches!(
        changes[19],
        Some(Change::Opened(Cause::Slow(_), _))
    ));
    let model = ModelHealth::default();
    ends(&model, None, &terms);
    model.failed(None, START_MS, FailureKind::Broken, &terms);
    let counts = model.figures.counts(START_MS);
    assert_eq!((counts.calls, counts.failures), (1, 1));
}

#[test]
fn made_up_names_fill_no_memory_and_idle_ones_make_place() {
    let (health, terms) = (Health::default(), terms(0));
    for number in 0..200 {
        let model = health.model(&format!("m{number}"), START_MS);
        ends(&model, None, &terms);
    }
    let models = health.models();
    assert_eq!(models.len(), MODELS_MAX + 1);
    let (name, others) = models.last().unwrap();
    assert!(name.is_empty());
    assert_eq!(others.figures.counts(START_MS).calls, 200 - 64);
    assert!(Arc::ptr_eq(others, &health.model("", START_MS)));
    health.model("later", START_MS + 3_600_000);
    assert_eq!(health.models().len(), 2);
}

#[test]
fn a_hold_is_for_one_model_or_for_all_and_those_to_come() {
    let (health, terms) = (Health::default(), terms(0));
    let (a, b) = (health.model("a", START_MS), health.model("b", START_MS));
    assert!(health.hold(Some("a"), Hold::Open));
    assert!(!health.hold(Some("none"), Hold::Open));
    assert!(a.breaker.tripped_ms(START_MS, &terms) > 0);
    assert_eq!(b.breaker.tripped_ms(START_MS, &terms), 0);
    health.hold(None, Hold::Open);
    let c = health.model("c", START_MS);
    assert_eq!(c.breaker.state(START_MS), State::HeldOpen);
    health.hold(None, Hold::Auto);
    assert!(
        [a, b, c]
            .iter()
            .all(|model| model.breaker.state(START_MS) == State::Closed)
    );
    assert_eq!(
        health.model("d", START_MS).breaker.state(START_MS),
        State::Closed
    );
}

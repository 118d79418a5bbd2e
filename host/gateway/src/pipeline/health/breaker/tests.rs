//! Trip rules and half-open circuits, with a clock that stands where it is put.

use super::*;

const START_MS: u64 = 1_800_000_000_000;

fn terms() -> Terms {
    Terms::of(
        &config::Breaker::default(),
        &config::load(&config::Sources::of_text(
            "[cooldown]\nfirst_ms = 1000\nmax_ms = 5000",
        ))
        .unwrap()
        .config
        .cooldown,
    )
}

fn counts(failures: u32, calls: u32) -> impl Fn() -> Counts {
    move || Counts { calls, failures }
}

/// A call that fails.
fn fail(breaker: &Breaker, now_ms: u64, terms: &Terms) -> Option<Change> {
    let mut pass = breaker.enter(|| now_ms);
    breaker.leave(&mut pass);
    breaker.failed(Some(&pass), now_ms, terms, counts(0, 0))
}

/// A call that is answered.
fn answer(breaker: &Breaker, now_ms: u64) -> Option<Change> {
    let mut pass = breaker.enter(|| now_ms);
    breaker.leave(&mut pass);
    breaker.answered(&pass)
}

#[test]
fn failures_in_a_row_open_and_an_answer_between_them_does_not() {
    let (breaker, terms) = (Breaker::default(), terms());
    for _ in 0..5 {
        assert_eq!(fail(&breaker, START_MS, &terms), None);
        assert_eq!(fail(&breaker, START_MS, &terms), None);
        assert_eq!(answer(&breaker, START_MS), None);
    }
    fail(&breaker, START_MS, &terms);
    fail(&breaker, START_MS, &terms);
    let opened = Change::Opened(Cause::Row(3), 1_000);
    assert_eq!(fail(&breaker, START_MS, &terms), Some(opened));
    assert_eq!(breaker.tripped_ms(START_MS + 400, &terms), 600);
    assert_eq!(breaker.state(START_MS), State::Open(START_MS + 1_000));
}

#[test]
fn half_open_lets_one_try_and_closes_or_opens_for_longer() {
    let (breaker, terms) = (Breaker::default(), terms());
    for _ in 0..3 {
        fail(&breaker, START_MS, &terms);
    }
    let mut now_ms = START_MS + 1_000;
    for pause_ms in [2_000, 4_000, 5_000, 5_000] {
        assert_eq!(breaker.state(now_ms), State::HalfOpen);
        assert_eq!(breaker.tripped_ms(now_ms, &terms), 0);
        let mut pass = breaker.enter(|| now_ms);
        assert_eq!(breaker.tripped_ms(now_ms, &terms), HALF_OPEN_AGAIN_MS);
        breaker.leave(&mut pass);
        breaker.leave(&mut pass);
        let change = breaker.failed(Some(&pass), now_ms, &terms, counts(0, 0));
        assert_eq!(change, Some(Change::Opened(Cause::StillBad, pause_ms)));
        now_ms += pause_ms;
    }
    assert_eq!(answer(&breaker, now_ms), Some(Change::Closed));
    assert_eq!(breaker.state(now_ms), State::Closed);
    // The next time begins small again.
    fail(&breaker, now_ms, &terms);
    fail(&breaker, now_ms, &terms);
    let opened = Change::Opened(Cause::Row(3), 1_000);
    assert_eq!(fail(&breaker, now_ms, &terms), Some(opened));
}

#[test]
fn as_many_try_as_the_terms_say_and_whoever_gives_up_makes_room() {
    let breaker = Breaker::default();
    let terms = Terms {
        half_open_calls: 2,
        ..terms()
    };
    for _ in 0..3 {
        fail(&breaker, START_MS, &terms);
    }
    let now_ms = START_MS + 1_000;
    let (mut one, _two) = (breaker.enter(|| now_ms), breaker.enter(|| now_ms));
    assert_eq!(breaker.tripped_ms(now_ms, &terms), HALF_OPEN_AGAIN_MS);
    breaker.leave(&mut one);
    assert_eq!(breaker.tripped_ms(now_ms, &terms), 0);
}

#[test]
fn what_began_before_does_not_turn_an_open_circuit() {
    let (breaker, terms) = (Breaker::default(), terms());
    let mut early = breaker.enter(|| START_MS);
    for _ in 0..3 {
        fail(&breaker, START_MS, &terms);
    }
    breaker.leave(&mut early);
    assert_eq!(breaker.answered(&early), None);
    assert_eq!(breaker.state(START_MS), State::Open(START_MS + 1_000));
    // Nor does it grow with calls that had nowhere else to go; an answer to one of them closes it.
    assert_eq!(fail(&breaker, START_MS + 500, &terms), None);
    assert_eq!(breaker.tripped_ms(START_MS + 500, &terms), 500);
    assert_eq!(answer(&breaker, START_MS + 600), Some(Change::Closed));
}

#[test]
fn of_calls_that_fail_together_one_opens_it_longer() {
    let (breaker, terms) = (Breaker::default(), terms());
    for _ in 0..3 {
        fail(&breaker, START_MS, &terms);
    }
    let now_ms = START_MS + 1_000;
    let passes = [breaker.enter(|| now_ms), breaker.enter(|| now_ms)];
    let changes = passes.map(|pass| breaker.failed(Some(&pass), now_ms, &terms, counts(0, 0)));
    let longer = Some(Change::Opened(Cause::StillBad, 2_000));
    assert_eq!(changes, [longer, None]);
}

#[test]
fn rates_need_samples_and_zero_turns_a_rule_off() {
    let by_rate = Terms {
        consecutive_failures: 0,
        ..terms()
    };
    let fails = |terms: &Terms, counts: Counts| {
        let breaker = Breaker::default();
        let pass = breaker.enter(|| START_MS);
        breaker.failed(Some(&pass), START_MS, terms, || counts)
    };
    let of = |failures, calls| Counts { calls, failures };
    assert_eq!(fails(&by_rate, of(19, 19)), None);
    assert_eq!(fails(&by_rate, of(9, 20)), None);
    let opened = Change::Opened(Cause::Rate(of(10, 20)), 1_000);
    assert_eq!(fails(&by_rate, of(10, 20)), Some(opened));
    let never = Terms {
        error_rate_percent: 0,
        ..by_rate
    };
    assert_eq!(fails(&never, of(100, 100)), None);
}

#[test]
fn slow_answers_open_it_and_keep_it_open() {
    let (breaker, terms) = (Breaker::default(), terms());
    let pass = breaker.enter(|| START_MS);
    assert_eq!(
        breaker.crawled(&pass, START_MS, &terms, counts(9, 20)),
        None
    );
    let slow = Counts {
        calls: 20,
        failures: 10,
    };
    let change = breaker.crawled(&pass, START_MS, &terms, || slow);
    assert_eq!(change, Some(Change::Opened(Cause::Slow(slow), 1_000)));
    let now_ms = START_MS + 1_000;
    let pass = breaker.enter(|| now_ms);
    let change = breaker.crawled(&pass, now_ms, &terms, counts(0, 0));
    assert_eq!(change, Some(Change::Opened(Cause::StillBad, 2_000)));
}

#[test]
fn what_is_held_stays_until_it_is_let_go() {
    let (breaker, terms) = (Breaker::default(), terms());
    breaker.hold(Hold::Closed);
    for _ in 0..10 {
        assert_eq!(fail(&breaker, START_MS, &terms), None);
    }
    assert_eq!(breaker.state(START_MS), State::HeldClosed);
    breaker.hold(Hold::Open);
    assert_eq!(answer(&breaker, START_MS), None);
    assert_eq!(breaker.tripped_ms(START_MS, &terms), HELD_MS);
    breaker.hold(Hold::Auto);
    assert_eq!(breaker.state(START_MS), State::Closed);
    for _ in 0..3 {
        fail(&breaker, START_MS, &terms);
    }
    assert_eq!(breaker.state(START_MS), State::Open(START_MS + 1_000));
}

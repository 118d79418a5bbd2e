use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Instant;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use weir_base::{ManualClock, SystemClock};

use super::*;

/// 2026-11-21T03:53:20Z, a Saturday.
const NOW_MS: u64 = 1_795_233_200_000;
const DAY_MS: u64 = 86_400_000;

fn limits() -> (Arc<ManualClock>, Limits) {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    (Arc::clone(&clock), Limits::new(clock))
}

fn rule(key: &str, unit: Unit, window: Window, limit: u64) -> Rule {
    Rule {
        key: key.to_owned(),
        unit,
        window,
        limit,
    }
}

fn minute(limit: u64) -> Rule {
    rule("k", Unit::Requests, Window::Sliding { seconds: 60 }, limit)
}

fn tokens(input_tokens: u64, output_tokens: u64) -> Amounts {
    Amounts {
        input_tokens,
        output_tokens,
        cost_micros: 0,
    }
}

fn used(limits: &Limits, key: &str) -> u64 {
    limits
        .usage()
        .into_iter()
        .find(|usage| usage.key == key)
        .map_or(0, |usage| usage.used)
}

fn reserve(limits: &Limits, rules: &[Rule], estimate: &Amounts) -> Result<Reservation, Refusal> {
    limits.reserve(rules, estimate, &TimeZone::UTC)
}

fn retry_after(refusal: Refusal) -> Option<u64> {
    match refusal {
        Refusal::Exceeded { retry_after_ms, .. } => retry_after_ms,
        Refusal::TooManyCounters { .. } => panic!("{refusal}"),
    }
}

#[test]
fn exactly_the_limit_is_admitted_from_200_threads() {
    let limits = Limits::new(Arc::new(SystemClock));
    let admitted = AtomicUsize::new(0);
    let start = Barrier::new(200);
    // Lists that name shared counters in different orders would deadlock without one order.
    let rules = [
        rule(
            "a",
            Unit::Requests,
            Window::Sliding { seconds: 3600 },
            1_000,
        ),
        rule("b", Unit::TotalTokens, Window::Lifetime, 1_000_000),
    ];
    let swapped = [rules[1].clone(), rules[0].clone()];
    std::thread::scope(|scope| {
        for thread in 0..200 {
            let rules = if thread % 2 == 0 { &rules } else { &swapped };
            let (limits, admitted, start) = (&limits, &admitted, &start);
            scope.spawn(move || {
                start.wait();
                for _ in 0..10 {
                    if let Ok(reservation) = reserve(limits, rules, &tokens(1, 1)) {
                        admitted.fetch_add(1, Ordering::Relaxed);
                        reservation.settle(&tokens(2, 3));
                    }
                }
            });
        }
    });
    assert_eq!(admitted.load(Ordering::Relaxed), 1_000);
    assert_eq!((used(&limits, "a"), used(&limits, "b")), (1_000, 5_000));
}

#[test]
fn in_flight_is_exact_while_others_sweep() {
    let limits = Limits::new(Arc::new(SystemClock));
    let rules = [rule("f", Unit::InFlight, Window::Call, 7)];
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    if let Ok(reservation) = reserve(&limits, &rules, &tokens(0, 0)) {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        now.fetch_sub(1, Ordering::SeqCst);
                        drop(reservation);
                    }
                }
            });
        }
        scope.spawn(|| (0..500).map(|_| limits.sweep()).sum::<usize>());
    });
    assert!(most.load(Ordering::SeqCst) <= 7);
    assert_eq!(used(&limits, "f"), 0);
}

#[test]
fn all_or_none() {
    let (_, limits) = limits();
    let roomy = rule("roomy", Unit::Requests, Window::Day, 100);
    let full = rule("full", Unit::Requests, Window::Day, 0);
    let refusal = reserve(&limits, &[roomy, full], &tokens(0, 0)).unwrap_err();
    assert!(matches!(
        refusal,
        Refusal::Exceeded {
            rule: 1,
            limit: 0,
            used: 0,
            asked: 1,
            ..
        }
    ));
    assert_eq!(used(&limits, "roomy"), 0);
}

#[test]
fn settling_replaces_the_estimate_and_dropping_keeps_it() {
    let (_, limits) = limits();
    let rules = [
        rule("t", Unit::TotalTokens, Window::Day, 1_000),
        rule("f", Unit::InFlight, Window::Day, 1),
    ];
    let first = reserve(&limits, &rules, &tokens(100, 500)).unwrap();
    assert_eq!((used(&limits, "t"), used(&limits, "f")), (600, 1));
    assert!(matches!(
        reserve(&limits, &rules, &tokens(0, 0)).unwrap_err(),
        Refusal::Exceeded {
            rule: 1,
            retry_after_ms: None,
            ..
        }
    ));
    first.settle(&tokens(100, 20));
    assert_eq!((used(&limits, "t"), used(&limits, "f")), (120, 0));
    drop(reserve(&limits, &rules, &tokens(1, 2)).unwrap());
    assert_eq!((used(&limits, "t"), used(&limits, "f")), (123, 0));
    // A call that used more than was left is counted in full: the next ones wait for it.
    reserve(&limits, &rules, &tokens(1, 1))
        .unwrap()
        .settle(&tokens(0, 5_000));
    assert_eq!(used(&limits, "t"), 5_123);
    assert!(reserve(&limits, &rules, &tokens(1, 0)).is_err());
}

#[test]
fn amounts_are_exact_up_to_the_ends_of_their_range() {
    let (_, limits) = limits();
    let rules = [
        rule("l", Unit::InputTokens, Window::Lifetime, u64::MAX),
        rule(
            "s",
            Unit::InputTokens,
            Window::Sliding { seconds: 60 },
            u64::MAX,
        ),
    ];
    reserve(&limits, &rules, &tokens(1, 0))
        .unwrap()
        .settle(&tokens(u64::MAX, 0));
    reserve(&limits, &rules, &tokens(0, 0))
        .unwrap()
        .settle(&tokens(5, 0));
    assert_eq!(
        (used(&limits, "l"), used(&limits, "s")),
        (u64::MAX, u64::MAX)
    );
}

#[test]
fn a_sliding_window_frees_what_is_old_and_says_when() {
    let (clock, limits) = limits();
    let rules = [minute(2)];
    drop(reserve(&limits, &rules, &tokens(0, 0)).unwrap());
    clock.advance(30_000);
    drop(reserve(&limits, &rules, &tokens(0, 0)).unwrap());
    let wait_ms = retry_after(reserve(&limits, &rules, &tokens(0, 0)).unwrap_err()).unwrap();
    assert!((30_000..=31_000).contains(&wait_ms), "{wait_ms}");
    clock.advance(wait_ms - 1);
    assert!(reserve(&limits, &rules, &tokens(0, 0)).is_err());
    clock.advance(1);
    assert!(reserve(&limits, &rules, &tokens(0, 0)).is_ok());
    assert!(reserve(&limits, &rules, &tokens(0, 0)).is_err());
}

#[test]
fn a_call_settles_in_the_window_it_was_taken_from() {
    let (clock, limits) = limits();
    let rules = [
        rule("d", Unit::OutputTokens, Window::Day, 1_000),
        rule(
            "s",
            Unit::OutputTokens,
            Window::Sliding { seconds: 60 },
            1_000,
        ),
    ];
    let late = reserve(&limits, &rules, &tokens(0, 10)).unwrap();
    clock.advance(DAY_MS);
    let today = reserve(&limits, &rules, &tokens(0, 1)).unwrap();
    late.settle(&tokens(0, 900));
    assert_eq!((used(&limits, "d"), used(&limits, "s")), (1, 1));
    clock.advance(30_000);
    today.settle(&tokens(0, 7));
    assert_eq!((used(&limits, "d"), used(&limits, "s")), (7, 7));
    clock.advance(31_000);
    assert_eq!((used(&limits, "d"), used(&limits, "s")), (7, 0));
}

#[test]
fn a_period_ends_in_the_given_zone() {
    let (clock, limits) = limits();
    let zone = TimeZone::get("Asia/Tokyo").unwrap();
    let rules = [rule("d", Unit::Requests, Window::Day, 1)];
    drop(limits.reserve(&rules, &tokens(0, 0), &zone).unwrap());
    let refusal = limits.reserve(&rules, &tokens(0, 0), &zone).unwrap_err();
    // 12:53:20 in Tokyo.
    let wait_ms = retry_after(refusal).unwrap();
    assert_eq!(wait_ms, DAY_MS - (12 * 3600 + 53 * 60 + 20) * 1000);
    clock.advance(wait_ms);
    assert!(limits.reserve(&rules, &tokens(0, 0), &zone).is_ok());
}

#[test]
fn waiting_cannot_help_a_call_larger_than_its_limit() {
    let (_, limits) = limits();
    for window in [
        Window::Sliding { seconds: 60 },
        Window::Day,
        Window::Lifetime,
        Window::Call,
    ] {
        let rules = [rule("big", Unit::InputTokens, window, 10)];
        assert_eq!(
            retry_after(reserve(&limits, &rules, &tokens(11, 0)).unwrap_err()),
            None
        );
    }
}

#[test]
fn the_refusal_is_the_one_to_wait_for_longest() {
    let (_, limits) = limits();
    let rules = [minute(1), rule("d", Unit::Requests, Window::Day, 1)];
    drop(reserve(&limits, &rules, &tokens(0, 0)).unwrap());
    let refusal = reserve(&limits, &rules, &tokens(0, 0)).unwrap_err();
    assert!(matches!(refusal, Refusal::Exceeded { rule: 1, .. }));
}

#[test]
fn a_counter_named_twice_counts_once_under_the_stricter_limit() {
    let (_, limits) = limits();
    let rules = [minute(3), minute(2), minute(9)];
    drop(reserve(&limits, &rules, &tokens(0, 0)).unwrap());
    drop(reserve(&limits, &rules, &tokens(0, 0)).unwrap());
    let refusal = reserve(&limits, &rules, &tokens(0, 0)).unwrap_err();
    assert!(matches!(
        refusal,
        Refusal::Exceeded {
            rule: 1,
            limit: 2,
            used: 2,
            ..
        }
    ));
}

#[test]
fn idle_counters_are_swept_and_their_number_is_bounded() {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let limits = Limits::with_max_counters(Arc::clone(&clock) as Arc<dyn Clock>, 2);
    let with = |key: &str, window| [rule(key, Unit::InputTokens, window, 10)];
    let sliding = with("s", Window::Sliding { seconds: 1 });
    let open = with("o", Window::Day);
    drop(reserve(&limits, &sliding, &tokens(1, 0)).unwrap());
    // Holds nothing yet, but will once it settles.
    let reservation = reserve(&limits, &open, &tokens(0, 0)).unwrap();
    let refusal = reserve(&limits, &with("x", Window::Day), &tokens(0, 0)).unwrap_err();
    assert_eq!(refusal, Refusal::TooManyCounters { rule: 0, max: 2 });
    assert_eq!(limits.sweep(), 0);
    clock.advance(2_000);
    assert_eq!(limits.sweep(), 1);
    reservation.settle(&tokens(4, 0));
    assert_eq!((limits.sweep(), used(&limits, "o")), (0, 4));
    assert!(reserve(&limits, &with("x", Window::Day), &tokens(0, 0)).is_ok());
}

#[test]
fn counters_that_last_survive_a_restart() {
    let (clock, limits) = limits();
    let rules = [
        rule("day", Unit::InputTokens, Window::Day, 100),
        rule("ever", Unit::InputTokens, Window::Lifetime, 100),
        rule(
            "hour",
            Unit::InputTokens,
            Window::Sliding { seconds: 3600 },
            100,
        ),
        rule(
            "second",
            Unit::InputTokens,
            Window::Sliding { seconds: 1 },
            100,
        ),
        rule("call", Unit::InFlight, Window::Call, 100),
    ];
    let open = reserve(&limits, &rules, &tokens(40, 0)).unwrap();
    let saved = limits.snapshot_dirty();
    assert_eq!(saved.len(), 3);
    assert!(limits.snapshot_dirty().is_empty());
    open.settle(&tokens(30, 0));
    assert_eq!(limits.snapshot_dirty().len(), 3);

    let again = Limits::new(Arc::clone(&clock) as Arc<dyn Clock>);
    again.restore(saved.clone());
    assert!(again.snapshot_dirty().is_empty());
    assert_eq!(
        (
            used(&again, "day"),
            used(&again, "ever"),
            used(&again, "hour")
        ),
        (40, 40, 40)
    );
    assert!(reserve(&again, &rules[..3], &tokens(61, 0)).is_err());
    drop(reserve(&again, &rules[..3], &tokens(60, 0)).unwrap());

    clock.advance(DAY_MS);
    let next_day = Limits::new(clock);
    next_day.restore(saved);
    assert_eq!((used(&next_day, "day"), used(&next_day, "ever")), (0, 40));
}

#[test]
fn a_clock_set_back_does_not_freeze_a_window() {
    let clock = Arc::new(ManualClock::new(NOW_MS + 365 * DAY_MS));
    let limits = Limits::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let rules = [minute(1), rule("d", Unit::Requests, Window::Day, 1)];
    drop(reserve(&limits, &rules, &tokens(0, 0)).unwrap());
    clock.advance(0_u64.wrapping_sub(100));
    assert!(
        reserve(&limits, &rules, &tokens(0, 0)).is_err(),
        "a small step changes nothing"
    );
    clock.advance(0_u64.wrapping_sub(365 * DAY_MS));
    assert!(reserve(&limits, &rules, &tokens(0, 0)).is_ok());
}

/// What a run of calls does, one step after the other.
#[derive(Debug, Clone)]
enum Step {
    Advance(u64),
    Reserve {
        rules: Vec<(usize, u64)>,
        estimate: u64,
    },
    Settle {
        which: usize,
        actual: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let rules = prop::collection::vec((0..KINDS.len(), 0_u64..60), 1..4);
    prop_oneof![
        (0_u64..40_000).prop_map(Step::Advance),
        (rules, 0_u64..20).prop_map(|(rules, estimate)| Step::Reserve { rules, estimate }),
        (0_usize..8, 0_u64..40).prop_map(|(which, actual)| Step::Settle { which, actual }),
    ]
}

const KINDS: [(Unit, Window); 6] = [
    (Unit::Requests, Window::Sliding { seconds: 7 }),
    (Unit::InputTokens, Window::Sliding { seconds: 60 }),
    (Unit::InputTokens, Window::Day),
    (Unit::Requests, Window::Lifetime),
    (Unit::InFlight, Window::Call),
    (Unit::InputTokens, Window::Call),
];

/// The naive model: every amount ever taken, with its time, looked through at every step.
#[derive(Default)]
struct Model {
    /// Kind, when, amount, and the call it belongs to.
    taken: Vec<(usize, u64, u64, usize)>,
}

impl Model {
    /// Used in the window of a kind. A sliding window counts whole parts, as documented.
    fn used(&self, kind: usize, now_ms: u64) -> u64 {
        let counts = |at_ms: u64| match KINDS[kind].1 {
            Window::Sliding { seconds } => {
                let window_ms = u64::from(seconds) * 1000;
                let part_ms = window_ms.div_ceil(60);
                now_ms / part_ms - at_ms / part_ms <= window_ms.div_ceil(part_ms)
            }
            Window::Day => at_ms / DAY_MS == now_ms / DAY_MS,
            _ => true,
        };
        let of_kind = self
            .taken
            .iter()
            .filter(|(of, at_ms, ..)| *of == kind && counts(*at_ms));
        of_kind.map(|(_, _, amount, _)| amount).sum()
    }

    /// Used in the last N seconds to the millisecond, by what was ever admitted.
    fn truly_used(&self, kind: usize, seconds: u32, now_ms: u64) -> u64 {
        let young = |at_ms: u64| now_ms - at_ms < u64::from(seconds) * 1000;
        let of_kind = self
            .taken
            .iter()
            .filter(|(of, at_ms, ..)| *of == kind && young(*at_ms));
        of_kind.map(|(_, _, amount, _)| amount).sum()
    }

    fn settle(&mut self, call: usize, actual: u64) {
        for (kind, _, amount, of) in &mut self.taken {
            if *of == call {
                *amount = match KINDS[*kind] {
                    (_, Window::Call) => 0,
                    (unit, _) => tokens(actual, 0).of(unit),
                };
            }
        }
    }
}

proptest! {
    #[test]
    fn behaves_as_the_naive_model(steps in prop::collection::vec(step(), 1..120)) {
        let (clock, limits) = limits();
        let mut model = Model::default();
        let mut open: Vec<(usize, Reservation)> = Vec::new();
        for (call, step) in steps.into_iter().enumerate() {
            let now_ms = clock.now_ms();
            match step {
                Step::Advance(ms) => clock.advance(ms),
                Step::Settle { which, actual } if which < open.len() => {
                    let (call, reservation) = open.swap_remove(which);
                    reservation.settle(&tokens(actual, 0));
                    model.settle(call, actual);
                }
                Step::Settle { .. } => {}
                Step::Reserve { rules, estimate } => {
                    let estimate = tokens(estimate, 0);
                    let list: Vec<Rule> = rules
                        .iter()
                        .map(|(kind, limit)| rule("p", KINDS[*kind].0, KINDS[*kind].1, *limit))
                        .collect();
                    let fits = rules.iter().all(|(kind, limit)| {
                        model.used(*kind, now_ms) + estimate.of(KINDS[*kind].0) <= *limit
                    });
                    match reserve(&limits, &list, &estimate) {
                        Ok(reservation) => {
                            prop_assert!(fits);
                            let unique: HashMap<usize, u64> = rules.iter().copied().collect();
                            for kind in unique.into_keys() {
                                let amount = estimate.of(KINDS[kind].0);
                                model.taken.push((kind, now_ms, amount, call));
                            }
                            for (kind, limit) in &rules {
                                if let Window::Sliding { seconds } = KINDS[*kind].1 {
                                    prop_assert!(
                                        model.truly_used(*kind, seconds, now_ms) <= *limit
                                    );
                                }
                            }
                            open.push((call, reservation));
                        }
                        Err(Refusal::Exceeded { rule: which, used, retry_after_ms, .. }) => {
                            prop_assert!(!fits);
                            let (kind, limit) = rules[which];
                            prop_assert_eq!(used, model.used(kind, now_ms));
                            if let Some(wait_ms) = retry_after_ms {
                                let amount = estimate.of(KINDS[kind].0);
                                let then_ms = now_ms + wait_ms;
                                prop_assert!(model.used(kind, then_ms) + amount <= limit);
                                prop_assert!(model.used(kind, then_ms - 1) + amount > limit);
                            }
                        }
                        Err(other) => prop_assert!(false, "{}", other),
                    }
                }
            }
            limits.sweep();
        }
    }
}

/// `cargo test -p weir-counters --release -- --ignored --nocapture reserving`
#[test]
#[ignore = "a measurement, to be read by hand in a release build"]
fn reserving_takes_nanoseconds() {
    let limits = Limits::new(Arc::new(SystemClock));
    let rules = [
        rule(
            "weir/limits/acme/requests",
            Unit::Requests,
            Window::Sliding { seconds: 60 },
            u64::MAX,
        ),
        rule(
            "weir/limits/acme/tokens",
            Unit::TotalTokens,
            Window::Day,
            u64::MAX,
        ),
        rule(
            "weir/limits/acme/budget",
            Unit::CostMicros,
            Window::Month,
            u64::MAX,
        ),
        rule(
            "weir/limits/acme/flight",
            Unit::InFlight,
            Window::Call,
            u64::MAX,
        ),
    ];
    let clock = Instant::now();
    for _ in 0..1_000_000 {
        std::hint::black_box(SystemClock.now_ms());
    }
    println!(
        "clock alone: {:.0} ns",
        clock.elapsed().as_nanos() as f64 / 1e6
    );
    let rounds = 1_000_000;
    for count in 1..=4 {
        let mut held = Vec::with_capacity(1_000);
        let (mut reserving, mut settling) = (0, 0);
        for _ in 0..rounds / 1_000 {
            let start = Instant::now();
            for _ in 0..1_000 {
                held.push(reserve(&limits, &rules[..count], &tokens(100, 200)).unwrap());
            }
            reserving += start.elapsed().as_nanos();
            let start = Instant::now();
            held.drain(..)
                .for_each(|reservation| reservation.settle(&tokens(100, 50)));
            settling += start.elapsed().as_nanos();
        }
        println!(
            "{count} rules: reserve {} ns, settle {} ns",
            reserving / rounds,
            settling / rounds
        );
    }
}

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::config::{KeyStrategy, KeyTerms};

mod fairness;

pub(super) fn key(name: &str, terms: KeyTerms) -> Arc<ProviderKey> {
    Arc::new(ProviderKey {
        id: name.into(),
        fingerprint: fingerprint(&weir_base::Secret::new(name)),
        header: (
            http::header::AUTHORIZATION,
            HeaderValue::from_static("Bearer x"),
        ),
        terms,
        state: Arc::default(),
    })
}

fn plain(names: &[&str], strategy: KeyStrategy) -> KeyPool {
    let keys = names.iter().map(|name| key(name, KeyTerms::default()));
    KeyPool::new(keys.collect(), strategy)
}

fn ask(now_ms: u64) -> Ask<'static> {
    Ask {
        now_ms,
        model: "m",
        input_tokens: 10,
        output_tokens: 0,
        tried: &[],
    }
}

fn picked(pool: &KeyPool, now_ms: u64) -> Option<String> {
    let lease = pool.pick(&ask(now_ms), || 0)?;
    Some(lease.id.to_string())
}

#[test]
fn keys_are_taken_in_turn_and_dead_ones_are_passed_over() {
    let pool = plain(&["a", "b", "c"], KeyStrategy::RoundRobin);
    let round: Vec<_> = (0..4).filter_map(|_| picked(&pool, 0)).collect();
    assert_eq!(round, ["a", "b", "c", "a"]);
    pool.keys()[1].state.disable("revoked", 0);
    assert_eq!(picked(&pool, 0).as_deref(), Some("c"));
    assert_eq!(pool.usable(0), 2);
    let tried = [Arc::from("a"), Arc::from("c")];
    let ask = Ask {
        tried: &tried,
        ..ask(0)
    };
    assert!(pool.pick(&ask, || 0).is_none());
    assert_eq!(pool.keys()[0].state.in_flight(), 0);
}

#[test]
fn a_level_is_tried_only_when_the_one_before_has_no_room() {
    let level = |level, in_flight_max| KeyTerms {
        level,
        in_flight_max: Some(in_flight_max),
        ..KeyTerms::default()
    };
    let keys = vec![
        key("last", level(7, 1)),
        key("first", level(1, 2)),
        key("second", level(2, 1)),
    ];
    let pool = KeyPool::new(keys, KeyStrategy::RoundRobin);
    let leases: Vec<_> = (0..4).filter_map(|_| pool.pick(&ask(0), || 0)).collect();
    let order: Vec<&str> = leases.iter().map(|lease| &*lease.id).collect();
    assert_eq!(order, ["first", "first", "second", "last"]);
    assert!(pool.pick(&ask(0), || 0).is_none());
    assert_eq!(pool.headroom(0), 0.0);
    drop(leases);
    assert_eq!(picked(&pool, 0).as_deref(), Some("first"));
    assert_eq!(pool.headroom(1_000), 1.0);
}

#[test]
fn the_least_loaded_key_has_the_fewest_calls_for_its_limit() {
    let limit = |rpm| KeyTerms {
        rpm: Some(rpm),
        ..KeyTerms::default()
    };
    let pool = KeyPool::new(
        vec![key("small", limit(100)), key("large", limit(300))],
        KeyStrategy::LeastLoaded,
    );
    let leases: Vec<_> = (0..40).filter_map(|_| pool.pick(&ask(0), || 0)).collect();
    let small = leases.iter().filter(|lease| &*lease.id == "small").count();
    assert_eq!((leases.len(), small), (40, 10));
    assert_eq!(pool.keys()[1].state.in_flight(), 30);
}

#[test]
fn weights_are_followed_evenly() {
    let weight = |weight| KeyTerms {
        weight,
        ..KeyTerms::default()
    };
    let keys = [("a", 1), ("b", 2), ("c", 7)].map(|(name, of)| key(name, weight(of)));
    let pool = KeyPool::new(keys.to_vec(), KeyStrategy::Weighted);
    for _ in 0..10 {
        let mut counts = [0; 3];
        for _ in 0..100 {
            let lease = pool.pick(&ask(0), || 0).unwrap();
            counts[usize::from(lease.id.as_bytes()[0] - b'a')] += 1;
        }
        for (count, expected) in counts.into_iter().zip([10_i32, 20, 70]) {
            let off: i32 = count - expected;
            assert!(off.abs() <= 3, "{counts:?}");
        }
    }
    pool.keys()[2].state.disable("revoked", 0);
    let on_a = (0..300)
        .filter_map(|_| picked(&pool, 0))
        .filter(|id| id == "a");
    assert!((75..=125).contains(&on_a.count()));
}

#[test]
fn a_lost_sticky_key_moves_only_its_own_callers() {
    let names = ["a", "b", "c", "d", "e"];
    let pool = plain(&names, KeyStrategy::Sticky);
    let of = |caller: usize| {
        let hash = caller_hash(format!("caller-{caller}").as_bytes());
        let lease = pool.pick(&ask(0), || hash).unwrap();
        lease.id.to_string()
    };
    let before: Vec<String> = (0..1_000).map(of).collect();
    assert_eq!(before, (0..1_000).map(of).collect::<Vec<_>>());
    for name in names {
        let share = before.iter().filter(|key| *key == name).count();
        assert!((140..=260).contains(&share), "{name}: {share}");
    }
    pool.keys()[2].state.disable("revoked", 0);
    let mut moved_to = std::collections::BTreeSet::new();
    for (caller, before) in before.iter().enumerate() {
        let now = of(caller);
        if before == "c" {
            moved_to.insert(now);
        } else {
            assert_eq!(*before, now);
        }
    }
    assert_eq!(moved_to.len(), 4, "the lost key's callers spread");
}

#[test]
fn who_asks_is_worked_out_only_for_sticky_keys() {
    let pool = plain(&["a", "b"], KeyStrategy::RoundRobin);
    assert!(
        pool.pick(&ask(0), || unreachable!("nobody asked"))
            .is_some()
    );
}

#[test]
fn a_minutes_limits_hold_and_what_was_not_used_is_free_again() {
    let terms = KeyTerms {
        rpm: Some(3),
        tpm: Some(1_000),
        ..KeyTerms::default()
    };
    let pool = KeyPool::new(vec![key("a", terms)], KeyStrategy::RoundRobin);
    let large = Ask {
        output_tokens: 5_000,
        ..ask(1_000)
    };
    let mut lease = pool.pick(&large, || 0).unwrap();
    assert!(pool.pick(&ask(1_000), || 0).is_none(), "it took all tokens");
    assert_eq!(pool.next_usable_ms(&ask(1_000)), Some(62_000));
    lease.settle(900, 2_000);
    lease.settle(0, 2_000);
    drop(lease);
    assert!(pool.pick(&ask(2_000), || 0).is_some());
    assert!((pool.headroom(2_000) - 0.09).abs() < 0.001);
    assert!(pool.pick(&ask(2_000), || 0).is_some());
    assert!(pool.pick(&ask(2_000), || 0).is_none(), "three requests");
    assert!(pool.pick(&ask(62_000), || 0).is_some());
}

fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = of.iter().map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    });
    pairs.collect()
}

#[test]
fn a_key_rests_when_the_provider_says_that_nothing_is_left() {
    let pool = plain(&["a"], KeyStrategy::RoundRobin);
    let empty = headers(&[
        ("x-ratelimit-limit-requests", "10"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "6s"),
    ]);
    let hear = |lease: &Lease, headers: &HeaderMap, now_ms| {
        let told = Told::read(headers, now_ms).unwrap();
        lease.state.hear(lease, "m", &told, now_ms, 300_000);
    };
    let lease = pool.pick(&ask(1_000), || 0).unwrap();
    hear(&lease, &empty, 1_000);
    assert!(pool.pick(&ask(6_999), || 0).is_none());
    assert_eq!(pool.next_usable_ms(&ask(2_000)), Some(7_000));
    assert_eq!(pool.headroom(2_000), 0.0);
    let other = Ask {
        model: "another model",
        ..ask(2_000)
    };
    assert!(pool.pick(&other, || 0).is_some(), "limits are per model");
    assert!(pool.pick(&ask(7_000), || 0).is_some());

    // Two left when this one was counted, and one has left since.
    let first = pool.pick(&ask(8_000), || 0).unwrap();
    let _since = pool.pick(&ask(8_000), || 0).unwrap();
    let two = headers(&[
        ("x-ratelimit-remaining-requests", "2"),
        ("x-ratelimit-reset-requests", "6s"),
    ]);
    hear(&first, &two, 8_100);
    assert!(pool.pick(&ask(8_200), || 0).is_some());
    assert!(pool.pick(&ask(8_200), || 0).is_none());

    // Less is left than this call needs; a smaller one goes.
    let lease = pool.pick(&ask(20_000), || 0).unwrap();
    let few = headers(&[
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", "50"),
        ("x-ratelimit-reset-tokens", "6s"),
    ]);
    hear(&lease, &few, 20_000);
    let large = Ask {
        output_tokens: 100,
        ..ask(20_000)
    };
    assert!(pool.pick(&large, || 0).is_none());
    assert!(pool.pick(&ask(20_000), || 0).is_some());
}

#[test]
fn headroom_is_one_where_nothing_is_known() {
    let pool = plain(&["a", "b"], KeyStrategy::RoundRobin);
    assert_eq!(pool.headroom(0), 1.0);
    assert_eq!(plain(&[], KeyStrategy::Sticky).headroom(0), 1.0);
    for key in pool.keys() {
        key.state.disable("revoked", 0);
    }
    assert_eq!(pool.headroom(1_000), 0.0);
}

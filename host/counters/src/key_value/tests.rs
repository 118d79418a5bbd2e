use std::collections::HashMap;

use proptest::prelude::*;
use weir_base::ManualClock;

use super::*;

fn store(bounds: KeyValueBounds) -> (Arc<ManualClock>, KeyValue) {
    let clock = Arc::new(ManualClock::new(1_000_000));
    (Arc::clone(&clock), KeyValue::new(clock, bounds))
}

fn text(store: &KeyValue, namespace: &str, key: &str) -> Option<String> {
    store
        .get(namespace, key)
        .map(|value| String::from_utf8(value.to_vec()).unwrap())
}

#[test]
fn namespaces_do_not_see_each_other() {
    let (_, store) = store(KeyValueBounds::default());
    store.set("a", "k", b"1", None).unwrap();
    assert_eq!(text(&store, "a", "k").as_deref(), Some("1"));
    assert_eq!(text(&store, "b", "k"), None);
    store.remove("b", "k");
    assert_eq!(text(&store, "a", "k").as_deref(), Some("1"));
    store.remove("a", "k");
    assert_eq!(text(&store, "a", "k"), None);
}

#[test]
fn values_expire_and_adding_does_not_prolong() {
    let (clock, store) = store(KeyValueBounds::default());
    assert_eq!(store.add("n", "hits", 2, Some(1_000)), Ok(2));
    clock.advance(600);
    assert_eq!(store.add("n", "hits", 3, Some(1_000)), Ok(5));
    assert_eq!(text(&store, "n", "hits").as_deref(), Some("5"));
    clock.advance(400);
    assert_eq!(text(&store, "n", "hits"), None);
    assert_eq!(store.add("n", "hits", -1, None), Ok(-1));
    clock.advance(1 << 40);
    assert_eq!(store.add("n", "hits", -1, None), Ok(-2));
}

#[test]
fn adding_is_exact_from_many_threads() {
    let (_, store) = store(KeyValueBounds::default());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..1_000).for_each(|_| drop(store.add("n", "sum", 1, None))));
        }
    });
    assert_eq!(store.add("n", "sum", 0, None), Ok(8_000));
}

#[test]
fn adding_refuses_what_is_no_number_and_what_does_not_fit() {
    let (_, store) = store(KeyValueBounds::default());
    store.set("n", "k", b"ten", None).unwrap();
    assert_eq!(store.add("n", "k", 1, None), Err(KeyValueError::NotANumber));
    store
        .set("n", "k", i64::MAX.to_string().as_bytes(), None)
        .unwrap();
    assert_eq!(store.add("n", "k", 1, None), Err(KeyValueError::Overflow));
}

#[test]
fn each_bound_has_its_error_and_the_expired_make_room() {
    let bounds = KeyValueBounds {
        keys: 3,
        total_bytes: 20,
        key_bytes: 4,
        value_bytes: 10,
    };
    let (clock, store) = store(bounds);
    let set = |key: &str, bytes: usize, ttl_ms| store.set("n", key, &vec![b'x'; bytes], ttl_ms);
    assert_eq!(
        set("longer", 1, None),
        Err(KeyValueError::KeyTooLong { max_bytes: 4 })
    );
    assert_eq!(
        set("k", 11, None),
        Err(KeyValueError::ValueTooLong { max_bytes: 10 })
    );
    set("a", 9, Some(10)).unwrap();
    assert_eq!(
        set("b", 10, None),
        Err(KeyValueError::TooManyBytes { max_bytes: 20 })
    );
    set("b", 9, None).unwrap();
    assert_eq!(
        set("b", 10, None),
        Err(KeyValueError::TooManyBytes { max_bytes: 20 })
    );
    set("b", 1, None).unwrap();
    set("c", 1, None).unwrap();
    assert_eq!(
        set("d", 1, None),
        Err(KeyValueError::TooManyKeys { max: 3 })
    );
    store.set("other", "d", b"1", None).unwrap();
    clock.advance(10);
    set("d", 10, None).unwrap();
}

#[test]
fn changes_are_saved_once_and_come_back() {
    let (clock, first) = store(KeyValueBounds::default());
    first.set("n", "stays", b"1", None).unwrap();
    first.set("n", "ends", b"2", Some(500)).unwrap();
    first.set("n", "gone", b"3", None).unwrap();
    first.remove("n", "gone");
    let mut saved = first.snapshot_dirty();
    saved.sort_by(|a, b| a.key.cmp(&b.key));
    let state = |key: &str, value: Option<&[u8]>, expires_ms| KeyValueState {
        namespace: "n".to_owned(),
        key: key.to_owned(),
        value: value.map(<[u8]>::to_vec),
        expires_ms,
    };
    let expected = vec![
        state("ends", Some(b"2"), Some(1_000_500)),
        state("gone", None, None),
        state("stays", Some(b"1"), None),
    ];
    assert_eq!(saved, expected);
    assert!(first.snapshot_dirty().is_empty());

    clock.advance(499);
    let again = KeyValue::new(
        Arc::clone(&clock) as Arc<dyn Clock>,
        KeyValueBounds::default(),
    );
    again.restore(saved);
    assert_eq!(text(&again, "n", "ends").as_deref(), Some("2"));
    assert!(again.snapshot_dirty().is_empty());
    clock.advance(1);
    assert_eq!(text(&again, "n", "ends"), None);
    assert_eq!((again.sweep(), again.sweep()), (1, 0));
    assert_eq!(text(&again, "n", "stays").as_deref(), Some("1"));
}

proptest! {
    #[test]
    fn behaves_as_a_plain_map(
        steps in prop::collection::vec((0_u8..5, 0_u8..6, -9_i64..9, 0_u64..30), 1..200)
    ) {
        let bounds = KeyValueBounds { keys: 4, total_bytes: 40, key_bytes: 4, value_bytes: 8 };
        let (clock, store) = store(bounds);
        let mut model: HashMap<String, (i64, u64)> = HashMap::new();
        for (what, key, number, ms) in steps {
            let now_ms = clock.now_ms();
            model.retain(|_, (_, expires_ms)| *expires_ms > now_ms);
            let key = format!("k{key}");
            let has_room = model.contains_key(&key) || model.len() < 4;
            let ttl_ms = (ms % 3 != 0).then_some(ms);
            let expires_ms = ttl_ms.map_or(u64::MAX, |ms| now_ms + ms);
            match what {
                0 => clock.advance(ms),
                1 => {
                    store.remove("n", &key);
                    model.remove(&key);
                }
                2 => {
                    let stored = store.set("n", &key, number.to_string().as_bytes(), ttl_ms);
                    prop_assert_eq!(stored.is_ok(), has_room);
                    if has_room {
                        model.insert(key, (number, expires_ms));
                    }
                }
                3 => {
                    let sum = store.add("n", &key, number, ttl_ms);
                    prop_assert_eq!(sum.is_ok(), has_room);
                    if has_room {
                        let entry = model.entry(key).or_insert((0, expires_ms));
                        entry.0 += number;
                        prop_assert_eq!(sum, Ok(entry.0));
                    }
                }
                _ => {
                    let expected = model.get(&key).map(|(number, _)| number.to_string());
                    prop_assert_eq!(text(&store, "n", &key), expected);
                }
            }
        }
    }
}

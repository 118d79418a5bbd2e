use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

const BODY: &[u8] =
    br#" { "model" : "gpt-5", "n":1.0e0, "a/b":{"m~n":[10, 20 ,{"x":null}]},"e":{ }, "l":[ ] } "#;

#[test]
fn a_pointer_finds_the_raw_text() {
    let at = |pointer| get(BODY, pointer).unwrap();
    assert_eq!(at("/model"), Some("\"gpt-5\""));
    assert_eq!(at("/n"), Some("1.0e0"));
    assert_eq!(at("/a~1b/m~0n/1"), Some("20"));
    assert_eq!(at("/a~1b/m~0n/2/x"), Some("null"));
    assert_eq!(at("/a~1b/m~0n/01"), None);
    assert_eq!(at("/a~1b/m~0n/-"), None);
    assert_eq!(at("/model/x"), None);
    assert_eq!(at(""), Some(text(BODY.to_vec()).trim()));
    assert_eq!(get(br#"{"":{"":7}}"#, "//").unwrap(), Some("7"));
    assert_eq!(get(br#"{"a":1,"\u0061":2}"#, "/a").unwrap(), Some("2"));
}

#[test]
fn what_is_not_named_keeps_its_bytes() {
    let set = |pointer, json| set(BODY, pointer, json).map(text);
    assert_eq!(
        set("/model", "\"x\"").unwrap(),
        r#" { "model" : "x", "n":1.0e0, "a/b":{"m~n":[10, 20 ,{"x":null}]},"e":{ }, "l":[ ] } "#
    );
    assert!(
        set("/e/a/b", "1")
            .unwrap()
            .contains(r#""e":{ "a":{"b":1}}"#)
    );
    assert!(set("/l/-", "1").unwrap().contains(r#""l":[ 1]"#));
    assert!(
        set("/a~1b/m~0n/-", "[]")
            .unwrap()
            .contains(r#"{"x":null},[]]"#)
    );
    assert!(set("/a~1b/m~0n/1", "{}").unwrap().contains("[10, {} ,"));
    assert_eq!(set("", "[1]").unwrap(), " [1] ");
    assert_eq!(
        set("/model/x", "1"),
        Err(JsonError::NotAContainer("/model/x".into()))
    );
    assert_eq!(set("/l/0", "1"), Err(JsonError::NoSuchIndex("/l/0".into())));
    assert_eq!(
        set("/l/-/x", "1"),
        Err(JsonError::NoSuchIndex("/l/-/x".into()))
    );
    assert_eq!(set("/x", "{"), Err(JsonError::BadValue));
    assert_eq!(set("x", "1"), Err(JsonError::BadPointer("x".into())));
    assert_eq!(set("/~2", "1"), Err(JsonError::BadPointer("/~2".into())));
}

#[test]
fn removing_takes_its_comma_along() {
    let remove = |body: &str, pointer| text(remove(body.as_bytes(), pointer).unwrap());
    assert_eq!(
        remove(r#"{"a":1, "b":2, "c":3}"#, "/a"),
        r#"{"b":2, "c":3}"#
    );
    assert_eq!(
        remove(r#"{"a":1, "b":2, "c":3}"#, "/b"),
        r#"{"a":1, "c":3}"#
    );
    assert_eq!(
        remove(r#"{"a":1, "b":2, "c":3}"#, "/c"),
        r#"{"a":1, "b":2}"#
    );
    assert_eq!(remove(r#"{"a":1 }"#, "/a"), r#"{ }"#);
    assert_eq!(remove("[1,2]", "/1"), "[1]");
    assert_eq!(remove(r#"{"a":1}"#, "/b/c"), r#"{"a":1}"#);
    // Were the first one left, it would count.
    assert_eq!(remove(r#"{"a":1,"b":2,"a":3}"#, "/a"), r#"{"b":2}"#);
    assert_eq!(remove(r#"{"a":1,"a":3}"#, "/a"), r#"{}"#);
}

#[test]
fn malformed_and_deep_bodies_are_errors() {
    for body in [
        "",
        "{",
        "{\"a\"",
        "{\"a\":}",
        "[1,",
        "\"abc",
        "{\"a\":1]",
        "{} x",
        "{\"a\":1 \"b\":2}",
    ] {
        assert!(get(body.as_bytes(), "/b").is_err(), "{body}");
    }
    let deep = "[".repeat(200) + &"]".repeat(200);
    assert_eq!(get(deep.as_bytes(), "/0"), Err(JsonError::TooDeep));
    assert_eq!(get(b"{}", &"/a".repeat(200)), Err(JsonError::TooDeep));
    let fits = "[".repeat(128) + &"]".repeat(128);
    assert_eq!(get(fits.as_bytes(), "/0/1"), Ok(None));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-c\"\\\\/~ü\n]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[ab/~\"ü]{0,2}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A pointer that often leads somewhere.
fn pointer() -> impl Strategy<Value = String> {
    let step = prop_oneof![
        "[ab\"ü]{0,2}",
        Just("~0".to_owned()),
        Just("~1".to_owned()),
        "[0-3]",
        Just("-".to_owned())
    ];
    proptest::collection::vec(step, 0..4)
        .prop_map(|steps| steps.iter().map(|step| format!("/{step}")).collect())
}

/// The same change on a tree.
fn set_in_tree(tree: &Value, pointer: &str, new: &Value) -> Option<Value> {
    let mut tree = tree.clone();
    let mut at = &mut tree;
    let steps: Vec<String> = steps(pointer).ok()?.collect::<Result<_, _>>().ok()?;
    for (number, step) in steps.iter().enumerate() {
        at = match at {
            Value::Object(map) => {
                let missing = !map.contains_key(step);
                if missing {
                    let nested = steps[number + 1..]
                        .iter()
                        .rev()
                        .fold(new.clone(), |value, key| json!({ key: value }));
                    map.insert(step.clone(), nested);
                    return Some(tree);
                }
                map.get_mut(step)?
            }
            Value::Array(list) if step == "-" && number + 1 == steps.len() => {
                list.push(new.clone());
                return Some(tree);
            }
            Value::Array(list) => list.get_mut(index(step)?)?,
            _ => return None,
        };
    }
    *at = new.clone();
    Some(tree)
}

fn remove_in_tree(tree: &Value, pointer: &str) -> Option<Value> {
    let mut tree = tree.clone();
    let (parent, last) = pointer.rsplit_once('/')?;
    let last = last.replace("~1", "/").replace("~0", "~");
    match tree.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.remove(&last);
        }
        Some(Value::Array(list)) => {
            if let Some(index) = index(&last).filter(|index| *index < list.len()) {
                list.remove(index);
            }
        }
        _ => {}
    }
    Some(tree)
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

proptest! {
    #[test]
    fn the_splices_do_what_a_tree_does(tree in value(), pointer in pointer(), new in value(), pretty: bool) {
        let body = if pretty { serde_json::to_vec_pretty(&tree) } else { serde_json::to_vec(&tree) }.unwrap();
        let found = get(&body, &pointer).unwrap().map(|text| parse(text.as_bytes()));
        prop_assert_eq!(found.as_ref(), tree.pointer(&pointer));
        let set = set(&body, &pointer, &new.to_string()).ok().map(|body| parse(&body));
        prop_assert_eq!(set, set_in_tree(&tree, &pointer, &new));
        let removed = remove(&body, &pointer).ok().map(|body| parse(&body));
        prop_assert_eq!(removed, remove_in_tree(&tree, &pointer));
    }

    #[test]
    fn no_bytes_make_it_panic(body in "[\\[\\]{}\",:\\\\a1 ]{0,24}", pointer in pointer()) {
        let _ = get(body.as_bytes(), &pointer);
        let _ = set(body.as_bytes(), &pointer, "1");
        let _ = remove(body.as_bytes(), &pointer);
    }
}

//! Whether what came out is what was expected: a table may name only a part of what came out, but for
//! bodies; all else has to be the same.

use serde_json::{Value, json};

use super::run::Results;

/// One place where the two differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The place, like `access.deny.code`.
    pub path: String,
    /// What was expected; none where nothing was.
    pub expected: Option<Value>,
    /// What came; none where nothing did.
    pub actual: Option<Value>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |value: &Option<Value>| {
            value
                .as_ref()
                .map_or_else(|| "nothing".to_owned(), ToString::to_string)
        };
        write!(
            f,
            "{}\n    expected {}\n    got      {}",
            self.path,
            show(&self.expected),
            show(&self.actual)
        )
    }
}

/// All differences. What ended the call has to be expected too: a case whose call was refused for
/// another reason shows nothing.
pub fn compare(expected: &Value, results: &Results) -> Vec<Difference> {
    let mut differences = Vec::new();
    let expected = expected.as_object();
    for (name, expected) in expected.into_iter().flatten() {
        let imports = json!(results.imports);
        let actual = results.values.get(name);
        let actual = actual.or_else(|| (name == "imports").then_some(&imports));
        part(name, expected, actual, &mut differences);
    }
    if let Some(ended_by) = results.ended_by
        && !expected.is_some_and(|expected| expected.contains_key(ended_by))
    {
        differences.push(Difference {
            path: ended_by.to_owned(),
            expected: None,
            actual: results.values.get(ended_by).cloned(),
        });
    }
    differences
}

fn part(path: &str, expected: &Value, actual: Option<&Value>, out: &mut Vec<Difference>) {
    let differs = || Difference {
        path: path.to_owned(),
        expected: Some(expected.clone()),
        actual: actual.cloned(),
    };
    match (expected, actual) {
        // Of a body all counts: what was to be removed would not be missed in a part of it.
        (Value::Object(expected), Some(Value::Object(actual))) if !path.ends_with(".body") => {
            for (name, expected) in expected {
                part(&format!("{path}.{name}"), expected, actual.get(name), out);
            }
        }
        (Value::Array(expected), Some(Value::Array(actual))) if expected.len() == actual.len() => {
            for (at, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                part(&format!("{path}[{at}]"), expected, Some(actual), out);
            }
        }
        // What a table leaves out is not looked at; what it says is nothing, has to be nothing.
        (Value::Null, None) => {}
        (expected, Some(actual)) if same(expected, actual) => {}
        _ => out.push(differs()),
    }
}

/// Numbers are the same where their values are, however they were written.
fn same(expected: &Value, actual: &Value) -> bool {
    match (expected.as_f64(), actual.as_f64()) {
        (Some(expected), Some(actual)) => expected.total_cmp(&actual).is_eq(),
        _ => expected == actual,
    }
}

/// What a renewed expectation says: what came out, as far as the old one looked at it.
pub fn renewed(expected: &Value, results: &Results) -> Value {
    let old = expected.as_object().filter(|old| !old.is_empty());
    let Some(old) = old else {
        return Value::Object(results.values.clone());
    };
    let mut new: serde_json::Map<String, Value> = old
        .iter()
        .filter_map(|(name, old)| match results.values.get(name) {
            None if name == "imports" => Some((name.clone(), json!(results.imports))),
            actual => Some((name.clone(), narrowed(old, actual?))),
        })
        .collect();
    if let Some(ended_by) = results.ended_by
        && let Some(value) = results.values.get(ended_by)
        && !new.contains_key(ended_by)
    {
        new.insert(ended_by.to_owned(), value.clone());
    }
    Value::Object(new)
}

/// `actual`, without what `old` left out of the same table.
fn narrowed(old: &Value, actual: &Value) -> Value {
    match (old, actual) {
        (Value::Object(old), Value::Object(actual))
            if old.keys().any(|name| actual.contains_key(name)) =>
        {
            let kept = old
                .iter()
                .filter(|(name, _)| *name != "body")
                .filter_map(|(name, old)| Some((name.clone(), narrowed(old, actual.get(name)?))));
            let mut kept: serde_json::Map<String, Value> = kept.collect();
            if let Some(body) = actual.get("body").filter(|_| old.contains_key("body")) {
                kept.insert("body".to_owned(), body.clone());
            }
            Value::Object(kept)
        }
        (Value::Array(old), Value::Array(actual)) if old.len() == actual.len() => old
            .iter()
            .zip(actual)
            .map(|(old, actual)| narrowed(old, actual))
            .collect(),
        _ => actual.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn results(values: Value, ended_by: Option<&'static str>) -> Results {
        let Value::Object(values) = values else {
            panic!("a table")
        };
        Results {
            values,
            ended_by,
            ..Results::default()
        }
    }

    #[test]
    fn a_table_may_name_only_a_part() {
        let denied = results(
            json!({ "access": { "deny": { "status": 403, "code": "no", "message": "No." } } }),
            Some("access"),
        );
        assert_eq!(
            compare(&json!({ "access": { "deny": { "code": "no" } } }), &denied),
            []
        );
        let other = compare(&json!({ "access": { "deny": { "code": "yes" } } }), &denied);
        assert_eq!(
            other[0].to_string(),
            "access.deny.code\n    expected \"yes\"\n    got      \"no\""
        );
        let unexpected = compare(&json!({ "log": [] }), &denied);
        assert_eq!(
            unexpected.len(),
            2,
            "the log, and the denial: {unexpected:?}"
        );
    }

    #[test]
    fn lists_are_whole_and_numbers_have_values() {
        let routed = results(
            json!({ "route": ["a", "b"], "metrics": { "n": 1.0 } }),
            None,
        );
        assert_eq!(
            compare(
                &json!({ "route": ["a", "b"], "metrics": { "n": 1 } }),
                &routed
            ),
            []
        );
        assert_eq!(compare(&json!({ "route": ["a"] }), &routed).len(), 1);
        assert_eq!(compare(&json!({ "limit": [] }), &routed).len(), 1);
        assert_eq!(compare(&json!({ "limit": null }), &routed), []);
    }

    #[test]
    fn a_renewed_expectation_looks_at_what_the_old_one_did() {
        let denied = results(
            json!({ "access": { "deny": { "status": 403, "code": "no" } }, "log": ["x"] }),
            Some("access"),
        );
        assert_eq!(
            renewed(&json!({ "access": { "deny": { "code": "old" } } }), &denied),
            json!({ "access": { "deny": { "code": "no" } } })
        );
        assert_eq!(
            renewed(&json!({ "access": "allow" }), &denied)["access"]["deny"]["status"],
            403
        );
        assert_eq!(renewed(&json!({}), &denied)["log"], json!(["x"]));
        assert!(renewed(&json!({ "limit": [] }), &denied)["access"].is_object());
    }
}

//! A value that satisfies a JSON schema, as far as tools and structured answers commonly use it.

use serde_json::{Map, Value};

/// Schemas nest by reference without end; samples do not.
const DEPTH_MAX: u32 = 8;

/// A small value after `schema`: required properties only, the first of each choice. Understands
/// the JSON Schema of OpenAI and Anthropic and the OpenAPI words of Gemini (types in capitals).
pub(super) fn sample(schema: &Value) -> Value {
    of(schema, schema, "text", DEPTH_MAX)
}

fn of(schema: &Value, root: &Value, name: &str, depth: u32) -> Value {
    let Some(depth) = depth.checked_sub(1) else {
        return Value::Null;
    };
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = target
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer));
        return target.map_or(Value::Null, |target| of(target, root, name, depth));
    }
    for fixed in ["const", "default", "example"] {
        if let Some(value) = schema.get(fixed) {
            return value.clone();
        }
    }
    if let Some(first) = schema.get("enum").and_then(|values| values.get(0)) {
        return first.clone();
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.get(choice).and_then(|choices| choices.get(0)) {
            return of(first, root, name, depth);
        }
    }
    match kind(schema).as_str() {
        "object" => object(schema, root, depth),
        "array" => {
            let wanted = bound(schema, "minItems").unwrap_or(1).clamp(0, 8);
            let item = schema.get("items").unwrap_or(&Value::Null);
            (0..wanted).map(|_| of(item, root, name, depth)).collect()
        }
        "integer" => bound(schema, "minimum").unwrap_or(1).into(),
        "number" => schema.get("minimum").cloned().unwrap_or_else(|| 1.5.into()),
        "boolean" => true.into(),
        "null" => Value::Null,
        _ => string(schema, name).into(),
    }
}

/// The type in lower case; of several, the first that is not null.
fn kind(schema: &Value) -> String {
    let declared = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().find(|kind| *kind != "null"),
        other => other,
    };
    match declared.and_then(Value::as_str) {
        Some(kind) => kind.to_ascii_lowercase(),
        None if schema.get("properties").is_some() => "object".to_owned(),
        None => "string".to_owned(),
    }
}

fn object(schema: &Value, root: &Value, depth: u32) -> Value {
    let mut made = Map::new();
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        let property = schema.get("properties").and_then(|all| all.get(name));
        made.insert(
            name.to_owned(),
            of(property.unwrap_or(&Value::Null), root, name, depth),
        );
    }
    Value::Object(made)
}

/// An integer bound, which JSON may write as `3` or `3.0`, and Gemini as `"3"`.
fn bound(schema: &Value, name: &str) -> Option<i64> {
    let value = schema.get(name)?;
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn string(schema: &Value, name: &str) -> String {
    match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => "2026-01-01T00:00:00Z".to_owned(),
        Some("date") => "2026-01-01".to_owned(),
        Some("time") => "12:00:00Z".to_owned(),
        Some("email") => "someone@example.com".to_owned(),
        Some("uri") => "https://example.com/".to_owned(),
        Some("uuid") => "00000000-0000-4000-8000-000000000000".to_owned(),
        _ => format!("some {name}"),
    }
}

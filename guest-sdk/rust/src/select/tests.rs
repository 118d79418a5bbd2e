use super::*;
use crate::testing::{Call, Host};

fn patterns(entries: &[&str]) -> Patterns {
    Patterns::new(entries).unwrap()
}

#[test]
fn wildcards() {
    let matches = |pattern: &str, value: &str| Pattern::new(pattern).matches(value);
    assert!(
        matches("*", "")
            && matches("*", "gpt")
            && matches("gpt-4*", "gpt-4")
            && matches("gpt-4*", "gpt-4o")
    );
    assert!(!matches("gpt-4*", "gpt-3") && !matches("gpt-4", "gpt-4o"));
    assert!(matches("*-mini", "gpt-4o-mini") && !matches("*-mini", "gpt-4o-mini-2"));
    assert!(matches("a*b*c", "abc") && matches("a*b*c", "a-b-b-c") && !matches("a*b*c", "a-c"));
    assert!(matches("**", "x") && matches("a**", "a"));
    assert!(!matches("a*b", "a") && !matches("a*aa", "aa") && matches("a*aa", "aaaa"));
    // Would take for ever with a matcher that goes back to every star.
    assert!(!matches(&("*a".repeat(20) + "b"), &"a".repeat(5000)));
}

#[test]
fn a_denial_wins_wherever_it_stands() {
    for list in [["gpt-*", "-gpt-4-32k"], ["-gpt-4-32k", "gpt-*"]] {
        let list = patterns(&list);
        assert!(list.matches("gpt-4") && !list.matches("gpt-4-32k") && !list.matches("claude"));
    }
    let list = patterns(&["-o1*"]);
    assert!(list.matches("gpt-4") && !list.matches("o1-pro"));
    let list = patterns(&["*", "exact"]);
    assert!(list.matches("anything"));
}

#[test]
fn long_lists_of_names() {
    let names: Vec<String> = (0..100).map(|n| format!("model-{n}")).collect();
    let list = Patterns::new(&names).unwrap();
    assert!(names.iter().all(|name| list.matches(name)));
    assert!(!list.matches("model-100") && !list.matches(""));
}

#[test]
fn lists_are_read_from_one_name_or_many() {
    let read = |json: &str| serde_json::from_str::<Patterns>(json);
    assert_eq!(read(r#""gpt-*""#).unwrap(), patterns(&["gpt-*"]));
    assert_eq!(read(r#"["a","-b"]"#).unwrap(), patterns(&["a", "-b"]));
    assert!(
        read("[]")
            .unwrap_err()
            .to_string()
            .contains("leave the setting out")
    );
    assert!(read(r#"["-"]"#).unwrap_err().to_string().contains("empty"));
    assert!(
        read("3")
            .unwrap_err()
            .to_string()
            .contains("a name with wildcards")
    );
}

#[test]
fn scopes_hold_all_their_settings() {
    let scope: Scope = serde_json::from_str(
        r#"{"tenants":"ac*","models":["gpt-*"],"dialects":"openai.*","labels":{"plan":["pro","team"]}}"#,
    )
    .unwrap();
    let call = || Call::chat("gpt-4o").tenant("acme").label("plan", "pro");
    let matches = |call: Call| {
        Host::new()
            .call(call)
            .run(|call| scope.matches(call, &Caller::new()))
            .0
    };
    assert!(matches(call()));
    assert!(!matches(call().tenant("other")));
    assert!(!matches(call().model("o1")));
    assert!(!matches(call().dialect("anthropic.messages")));
    assert!(!matches(call().label("plan", "free")));
    assert!(
        !matches(Call::chat("gpt-4o").tenant("acme")),
        "a call without the label"
    );
    assert!(!scope.is_everything() && Scope::default().is_everything());
}

#[test]
fn what_needs_the_host_is_asked_last() {
    let imports = |scopes: &[&str]| {
        let scopes: Vec<Scope> = scopes
            .iter()
            .map(|scope| serde_json::from_str(scope).unwrap())
            .collect();
        let (matched, seen) = Host::new().call(Call::chat("gpt-4o")).run(|call| {
            let caller = Caller::new();
            scopes.iter().any(|scope| scope.matches(call, &caller))
        });
        assert!(!matched);
        seen.imports
    };
    assert_eq!(
        imports(&[r#"{"models":"o1","keys":"other","tenants":"other"}"#]),
        0
    );
    assert_eq!(imports(&[r#"{"keys":"other","labels":{"plan":"pro"}}"#]), 1);
    let tenant = r#"{"tenants":"other"}"#;
    assert_eq!(
        imports(&[tenant, tenant, r#"{"keys":"other"}"#]),
        2,
        "each at most once"
    );
}

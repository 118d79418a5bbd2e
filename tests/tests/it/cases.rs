//! `weir policy check` and `test`: a policy's cases in the gateway's own engine.

use std::path::Path;
use std::process::Output;

use weir_tests::{Setup, policy_file};

fn policy(setup: &Setup, arguments: &[&str]) -> (bool, String) {
    let cache = setup.folder().join("cache");
    let mut command = setup.command(&[&["policy"], arguments].concat());
    let output: Output = command.env("XDG_CACHE_HOME", cache).output().unwrap();
    let both = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(both).unwrap())
}

fn cases_of(policy: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    folder.join(policy).join("cases").display().to_string()
}

#[test]
fn the_policy_of_the_five_languages_passes_the_cases_of_all_of_them() {
    let setup = Setup::bare();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/polyglot/cases");
    let (file, cases) = (component("polyglot-guard"), folder.display().to_string());
    let (ok, said) = policy(&setup, &["test", &file, &cases]);
    assert!(ok && said.contains("12 cases, 12 passed"), "{said}");
}

fn component(name: &str) -> String {
    policy_file(name).display().to_string()
}

/// A folder with one file of cases for the policy `permissions`.
fn with_cases(text: &str) -> (Setup, String, String) {
    let setup = Setup::bare().write("cases/a.yaml", text);
    let cases = setup.folder().join("cases").display().to_string();
    (setup, component("permissions"), cases)
}

#[test]
fn the_policies_that_come_with_weir_pass_their_cases() {
    let setup = Setup::bare();
    for name in [
        "permissions",
        "limits",
        "aliases",
        "router",
        "testing/probe",
    ] {
        let file = component(&name.replace('/', "-"));
        let (ok, said) = policy(&setup, &["test", &file, &cases_of(name)]);
        assert!(ok && said.contains(", 0 failed"), "{name}:\n{said}");
    }
}

const DENIED: &str = "config: { models: [gpt-4o] }
cases:
  - name: another model
    given: { request: { model: o1 } }
    expect:
      access: allow
";

#[test]
fn what_is_not_as_expected_is_shown_and_can_be_taken_over() {
    let (setup, file, cases) = with_cases(DENIED);
    let junit = setup.folder().join("junit.xml").display().to_string();
    let (ok, said) = policy(&setup, &["test", &file, &cases, "--junit", &junit]);
    assert!(!ok);
    for part in [
        "FAILED",
        "a.yaml: another model",
        "expected \"allow\"",
        "model_not_allowed",
        "access   deny 1",
        "1 cases, 0 passed, 1 failed",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(
        xml.contains("<failure") && xml.contains("another model"),
        "{xml}"
    );

    policy(&setup, &["test", &file, &cases, "--update"]);
    let (ok, said) = policy(&setup, &["test", &file, &cases]);
    assert!(ok, "{said}");
    let text = std::fs::read_to_string(setup.folder().join("cases/a.yaml")).unwrap();
    assert!(text.contains("code: model_not_allowed"), "{text}");
}

#[test]
fn mistakes_in_cases_have_their_line_and_the_nearest_name() {
    let (setup, file, cases) = with_cases("cases:\n  - name: a\n    expcet: {}\n");
    let (ok, said) = policy(&setup, &["test", &file, &cases]);
    assert!(
        !ok && said.contains("a.yaml:3:5: there is no `expcet`; did you mean `expect`?"),
        "{said}"
    );
}

#[test]
fn a_trap_is_a_result_with_the_guests_own_trace() {
    let cases = "cases:\n  - name: it traps\n    config: { access: { do: [trap] } }\n    expect: { access: allow }\n";
    let (setup, _, cases) = with_cases(cases);
    let (ok, said) = policy(&setup, &["test", &component("testing-probe"), &cases]);
    assert!(!ok && said.contains("policy_trapped"), "{said}");
    assert!(
        said.contains("probe::steps::trap < "),
        "the guest's functions: {said}"
    );
}

#[test]
fn a_component_says_what_it_is_and_what_it_needs() {
    let setup = Setup::bare();
    let config = "{\"url\":\"http://a.test\"}";
    let (ok, said) = policy(
        &setup,
        &[
            "check",
            &component("testing-fetcher"),
            "--policy-config",
            config,
        ],
    );
    assert!(ok, "{said}");
    for part in ["access", "wasi:http/outgoing-handler", "grants.http"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // What it is can be said without the configuration that it wants.
    let (ok, said) = policy(&setup, &["check", &component("testing-fetcher")]);
    assert!(ok, "{said}");
    assert!(
        said.contains("grants.http") && said.contains("wants a configuration"),
        "{said}"
    );
    let (ok, said) = policy(&setup, &["check", &component("testing-empty")]);
    assert!(!ok && said.contains("no hook"), "{said}");
}

#[test]
fn hooks_are_timed_beside_a_baseline() {
    let (setup, file, cases) = with_cases(DENIED);
    let save = setup.folder().join("figures.json").display().to_string();
    let (ok, said) = policy(
        &setup,
        &["bench", &file, &cases, "--seconds", "1", "--save", &save],
    );
    assert!(
        ok && said.contains("access") && said.contains("bytes of memory"),
        "{said}"
    );
    let saved = std::fs::read_to_string(&save).unwrap();
    // A baseline that nothing can reach: the hook grew over it.
    let zero = saved.replace("\"median_micros\":", "\"median_micros\": 0.0001, \"was\":");
    std::fs::write(&save, zero).unwrap();
    let compared = [
        "bench",
        &file,
        "--seconds",
        "1",
        "--baseline",
        &save,
        "--fail-over",
        "10",
    ];
    let (ok, said) = policy(&setup, &compared);
    assert!(!ok && said.contains("slower: access"), "{said}");
}

//! Ways of writing that hide what a file uses or switch a check off.

use std::path::Path;

use crate::source::{code, files, is_test, is_word, line_of, production, read};
use crate::violation::{Violation, none};

/// Files that may say `unsafe`, each for a reason that it gives itself.
const UNSAFE_FILES: &[(&str, &str)] = &[
    (
        "host/policy/src/artefact.rs",
        "loads compiled code of our own cache, its seal checked",
    ),
    (
        "host/policy/src/candidate.rs",
        "writes candidates into a guest at once, where wasmtime's derived code goes field by field",
    ),
    (
        "host/policy/src/guests.rs",
        "calls hooks without checking types that were checked when the instance was made",
    ),
    (
        "policies/testing/empty/src/lib.rs",
        "a module that exports a function by a fixed name",
    ),
];

/// Ways of writing that are found as they stand, in production code.
const PATTERNS: &[(&str, &str)] = &[
    ("use crate::*", "name what is used"),
    ("use super::*", "name what is used; only tests take all"),
];

#[test]
fn nothing_is_hidden() {
    let mut violations = Vec::new();
    for folder in ["host", "guest-sdk", "policies", "examples", "tests"] {
        for file in files(folder, "rs") {
            if file.ends_with("mod.rs") {
                violations.push(Violation::new(&file, 1, "foo/mod.rs is foo.rs here"));
            }
            check(&file, &read(&file), &mut violations);
        }
    }
    for (file, _) in UNSAFE_FILES
        .iter()
        .map(|(file, reason)| (Path::new(file), reason))
    {
        if !crate::source::root().join(file).exists() || !code(&read(file)).contains("unsafe") {
            violations.push(Violation::new(file, 1, "listed for unsafe, but has none"));
        }
    }
    none(violations);
}

fn check(file: &Path, text: &str, violations: &mut Vec<Violation>) {
    let code = code(text);
    let mut report = |at: usize, says: &str| {
        violations.push(Violation::new(file, line_of(&code, at), says));
    };
    if !UNSAFE_FILES
        .iter()
        .any(|(allowed, _)| file == Path::new(allowed))
    {
        for (at, _) in code.match_indices("unsafe") {
            let ends = code
                .as_bytes()
                .get(at + "unsafe".len())
                .is_none_or(|byte| !is_word(*byte));
            if ends && (at == 0 || !is_word(code.as_bytes()[at - 1])) {
                report(
                    at,
                    "unsafe outside of the listed files (tests/tests/tidy/style.rs)",
                );
            }
        }
    }
    // clippy asks `#[allow]` for a reason; `#![allow]` covers so much that production code does not
    // use it at all.
    for (at, _) in code.match_indices("#![allow(").filter(|_| !is_test(file)) {
        report(
            at,
            "#![allow] covers a whole file: use #[expect(…, reason = …)] at the place",
        );
    }
    if !is_test(file) && !file.starts_with("tests") {
        for (pattern, says) in PATTERNS {
            for (at, _) in production(&code).match_indices(pattern) {
                // Inside of a test module that stands before other code.
                if !code[..at].ends_with("    ") {
                    report(at, &format!("`{pattern}`: {says}"));
                }
            }
        }
    }
}

#[test]
fn each_way_of_hiding_is_found() {
    let found = |file: &str, text: &str| {
        let mut violations = Vec::new();
        check(Path::new(file), text, &mut violations);
        violations
            .into_iter()
            .map(|violation| violation.line)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        found("host/x.rs", "fn f() {}\nunsafe fn g() {}\n// unsafe\n"),
        [2]
    );
    assert_eq!(found("host/x.rs", "#![allow(dead_code)]\n"), [1]);
    assert_eq!(
        found("host/x.rs", "//! x\nuse super::*;\nuse crate::*;\n"),
        [3, 2]
    );
    assert!(
        found(
            "host/x.rs",
            "\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n"
        )
        .is_empty()
    );
    assert!(found("host/x/tests.rs", "use super::*; fn unsafely() {}").is_empty());
}

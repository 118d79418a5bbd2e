//! The gateway's inside: which module may use which other one.

use std::collections::BTreeSet;
use std::path::Path;

use crate::source::{code, files, is_test, is_word, line_of, production, read};
use crate::violation::{Violation, none};

/// `config, telemetry <- identify, keys, usage <- pipeline <- server`; admin stands beside server,
/// reload above what it builds anew, app on top.
const MODULES: &[(&str, &[&str])] = &[
    ("config", &[]),
    ("telemetry", &[]),
    ("identify", &["config", "telemetry"]),
    ("measure", &[]),
    ("keys", &["config", "telemetry", "measure"]),
    ("usage", &["config", "telemetry"]),
    (
        "pipeline",
        &[
            "config",
            "telemetry",
            "identify",
            "measure",
            "keys",
            "usage",
        ],
    ),
    (
        "server",
        &[
            "config",
            "telemetry",
            "identify",
            "keys",
            "usage",
            "pipeline",
        ],
    ),
    ("services", &["config", "identify", "telemetry"]),
    ("cases", &["config", "pipeline"]),
    ("project", &["config"]),
    (
        "reload",
        &[
            "services",
            "config",
            "telemetry",
            "identify",
            "keys",
            "usage",
            "pipeline",
        ],
    ),
    (
        "admin",
        &[
            "config",
            "telemetry",
            "identify",
            "measure",
            "keys",
            "usage",
            "pipeline",
            "reload",
        ],
    ),
];

/// The only modules that name every concrete type.
const ON_TOP: &[&str] = &["app", "cli", "lib", "main"];

const SOURCES: &str = "host/gateway/src";

#[test]
fn modules_of_the_gateway_use_only_what_is_below_them() {
    let mut violations = Vec::new();
    for file in files(SOURCES, "rs") {
        if !is_test(&file) {
            check(&file, &read(&file), &mut violations);
        }
    }
    none(violations);
}

fn check(file: &Path, text: &str, violations: &mut Vec<Violation>) {
    let module = module_of(file);
    if ON_TOP.contains(&module.as_str()) {
        return;
    }
    let Some((_, may_use)) = MODULES.iter().find(|(name, _)| *name == module) else {
        let says = format!("module {module} has no row in the table (tests/tests/tidy/modules.rs)");
        violations.push(Violation::new(file, 1, says));
        return;
    };
    let code = code(production(text));
    for (at, used) in uses(&code) {
        if used != module && !may_use.contains(&used.as_str()) {
            let says = format!("{module} uses {used}; it may use {may_use:?}");
            violations.push(Violation::new(file, line_of(&code, at), says));
        }
    }
}

/// `keys` for `host/gateway/src/keys.rs` and all that is under `host/gateway/src/keys/`.
fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix(SOURCES).unwrap();
    let first = Path::new(inside.iter().next().unwrap());
    first.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// Every module that is named after `crate::`, with the place.
fn uses(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if at > 0 && (is_word(code.as_bytes()[at - 1]) || code.as_bytes()[at - 1] == b'$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(group) => first_names(group),
            None => BTreeSet::from([first_word(rest)]),
        };
        // A lower-case word is a module; anything else was exported by the crate's root.
        let is_module = |name: &String| name.starts_with(|c: char| c.is_ascii_lowercase());
        found.extend(names.into_iter().filter(is_module).map(|name| (at, name)));
    }
    found
}

/// The words that begin each part of `a::b, c::{d, e}, f}`.
fn first_names(group: &str) -> BTreeSet<String> {
    let (mut names, mut depth, mut at_start) = (BTreeSet::new(), 1, true);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => at_start = true,
            _ if at_start && is_word(character as u8) => {
                names.insert(first_word(&group[at..]));
                at_start = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn first_word(text: &str) -> String {
    text.bytes()
        .take_while(|byte| is_word(*byte))
        .map(char::from)
        .collect()
}

#[test]
fn uses_are_found_however_they_are_written() {
    let check = |code: &str, expected: &[&str]| {
        let found: Vec<String> = uses(code).into_iter().map(|(_, name)| name).collect();
        assert_eq!(found, expected, "{code}");
    };
    check("use crate::keys::Pool;", &["keys"]);
    check(
        "use crate::{\n    keys::{A, b::C},\n    usage,\n};",
        &["keys", "usage"],
    );
    check("fn f(x: &crate::server::Server)", &["server"]);
    check("use crate::Error; $crate::macros::x", &[]);
    let mut violations = Vec::new();
    check_in(
        "config/written.rs",
        "\nuse crate::server::X;\n",
        &mut violations,
    );
    check_in("nowhere.rs", "", &mut violations);
    check_in("app.rs", "use crate::server::X;", &mut violations);
    check_in(
        "server/x.rs",
        "#[cfg(test)]\nmod tests;\n#[cfg(test)]\nuse crate::admin;",
        &mut violations,
    );
    let lines: Vec<usize> = violations.iter().map(|violation| violation.line).collect();
    assert_eq!(lines, [2, 1], "{violations:?}");
}

#[cfg(test)]
fn check_in(file: &str, text: &str, violations: &mut Vec<Violation>) {
    check(&Path::new(SOURCES).join(file), text, violations);
}

//! Files and functions that a reader can hold in mind.

use std::path::Path;

use crate::source::{code, files, is_test, is_word, line_of, production, read};
use crate::violation::{Violation, none};

/// Lines of a file before its tests.
const FILE_MAX_LINES: usize = 800;
/// Lines of a function, its signature included.
const FUNCTION_MAX_LINES: usize = 80;

#[test]
fn files_and_functions_stay_small() {
    let mut violations = Vec::new();
    for folder in ["host", "guest-sdk", "policies", "examples"] {
        for file in files(folder, "rs") {
            if !is_test(&file) {
                check(&file, &read(&file), &mut violations);
            }
        }
    }
    none(violations);
}

fn check(file: &Path, text: &str, violations: &mut Vec<Violation>) {
    let code = code(production(text));
    let lines = code.lines().count();
    if lines > FILE_MAX_LINES {
        let says = format!("{lines} lines without tests; at most {FILE_MAX_LINES}");
        violations.push(Violation::new(file, FILE_MAX_LINES, says));
    }
    for (at, name, lines) in functions(&code) {
        if lines > FUNCTION_MAX_LINES {
            let says = format!("fn {name} has {lines} lines; at most {FUNCTION_MAX_LINES}");
            violations.push(Violation::new(file, line_of(&code, at), says));
        }
    }
}

/// Place, name and lines of every function that has a body.
fn functions(code: &str) -> Vec<(usize, &str, usize)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if at > 0 && is_word(bytes[at - 1]) {
            continue;
        }
        let name = code[at + 3..]
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next();
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            continue;
        };
        if let Some(end) = end_of_body(bytes, at) {
            found.push((at, name, code[at..end].matches('\n').count() + 1));
        }
    }
    found
}

/// One past the brace that closes the body; None for a declaration without one.
fn end_of_body(bytes: &[u8], from: usize) -> Option<usize> {
    let (mut braces, mut brackets) = (0, 0);
    for (offset, byte) in bytes[from..].iter().enumerate() {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b';' if braces == 0 && brackets == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces == 0 {
                    return Some(from + offset + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[test]
fn a_function_is_measured_from_its_name_to_its_last_brace() {
    let text = "fn a(x: [u8; 4]) -> u8 {\n  if true { '{' } else { \"}\" }\n}\ntrait T { fn b(); }\nconst F: fn(u8) = a;";
    let code = code(text);
    let found: Vec<(&str, usize)> = functions(&code)
        .into_iter()
        .map(|(_, name, lines)| (name, lines))
        .collect();
    assert_eq!(found, [("a", 3)]);
    let long = format!("fn long() {{\n{}}}\n", "x();\n".repeat(FUNCTION_MAX_LINES));
    let mut violations = Vec::new();
    check(Path::new("x.rs"), &long, &mut violations);
    check(
        Path::new("x.rs"),
        &format!("\n#[cfg(test)]\nmod tests {{ {long} }}"),
        &mut violations,
    );
    check(
        Path::new("x.rs"),
        &"x\n".repeat(FILE_MAX_LINES + 1),
        &mut violations,
    );
    assert_eq!(violations.len(), 2, "{violations:?}");
}

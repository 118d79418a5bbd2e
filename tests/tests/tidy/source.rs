//! The repository's files, and Rust text with its comments and literals blanked out.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders without sources of ours, by name.
const SKIPPED: &[&str] = &[".git", "target", "weir-data", "node_modules", ".venv"];

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Files under `folder` with this extension, relative to the root, in order. Fails if there are
/// none: a rule that looks at nothing would hold for ever.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&root().join(folder), extension, &mut found);
    assert!(!found.is_empty(), "no .{extension} file under {folder}/");
    found.sort();
    found
}

fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !SKIPPED.contains(&name) {
                walk(&path, extension, found);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
}

/// The text of a file that [`files`] named.
pub(crate) fn read(file: &Path) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// True for files that hold nothing but tests and what they need.
pub(crate) fn is_test(file: &Path) -> bool {
    let name = file.file_stem().unwrap();
    let folder_says = |folder: &str| file.iter().any(|part| part == folder);
    name == "tests"
        || ["tests", "benches", "examples", "cases"].into_iter().any(folder_says)
        // Examples of policies are policies.
        && !file.starts_with("examples")
}

/// What comes before the first item that is compiled for tests only and sits at the margin.
pub(crate) fn production(text: &str) -> &str {
    match text.find("\n#[cfg(test)]") {
        Some(at) => &text[..=at],
        None => text,
    }
}

/// The line, from 1, of a byte.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Blanks comments and the insides of string and character literals, keeping every position.
pub(crate) fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match literal_or_comment(&bytes[at..], at > 0 && is_word(bytes[at - 1])) {
            Some(length) => at + length,
            None => {
                at += 1;
                continue;
            }
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).unwrap()
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// The length of the comment or literal that begins here, if one does.
fn literal_or_comment(rest: &[u8], after_word: bool) -> Option<usize> {
    match rest {
        [b'/', b'/', ..] => Some(until(rest, b"\n", 2)),
        [b'/', b'*', ..] => Some(block_comment(rest)),
        [b'"', ..] => Some(string(rest)),
        [b'r', ..] | [b'b', b'r', ..] | [b'c', b'r', ..] if !after_word => raw_string(rest),
        // A character, and not the beginning of a lifetime: it ends one character later.
        [b'\'', b'\\', ..] => Some(until(rest, b"'", 3) + 1),
        [b'\'', ..] => {
            let text = std::str::from_utf8(&rest[1..rest.len().min(6)]).unwrap_or_else(|error| {
                std::str::from_utf8(&rest[1..=error.valid_up_to()]).unwrap()
            });
            let width = text.chars().next()?.len_utf8();
            (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
        }
        _ => None,
    }
}

fn until(rest: &[u8], end: &[u8], from: usize) -> usize {
    (from..rest.len())
        .find(|at| rest[*at..].starts_with(end))
        .unwrap_or(rest.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = if rest[0] == b'r' { 1 } else { 2 };
    let hashes = rest[prefix..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    if rest.get(prefix + hashes) != Some(&b'"') {
        return None;
    }
    let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    Some(until(rest, &end, prefix + hashes + 1) + end.len())
}

#[test]
fn comments_and_literals_are_blanked_and_nothing_else_is() {
    for (text, expected) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ */ d", "a                 d"),
        (r#"f("{\"", 'x', '\'')"#, "f(     ,    ,     )"),
        (r##"let r = r#"}"#;"##, "let r =       ;"),
        ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
        ("var\"}\"", "var   "),
        ("'ä' b", "     b"),
    ] {
        assert_eq!(code(text), expected, "{text}");
    }
}

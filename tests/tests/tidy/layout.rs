//! The top of the repository, and links that lead somewhere.

use std::fs;
use std::path::{Path, PathBuf};

use crate::source::{files, line_of, read, root};
use crate::violation::{Violation, none};

/// The folders at the top. Another one needs a reason in ARCHITECTURE.md and a row here.
const FOLDERS: &[&str] = &[
    "docs",
    "examples",
    "guest-sdk",
    "host",
    "policies",
    "tests",
    "wit",
];

/// What tools, not people, put there.
const LEFT_BY_TOOLS: &[&str] = &[
    ".cargo",
    ".ci",
    ".git",
    ".github",
    "target",
    "weir-data",
    "policies.d",
];

/// What a newcomer looks for.
const FILES: &[&str] = &[
    "ARCHITECTURE.md",
    "Cargo.lock",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "README.md",
];

#[test]
fn the_top_holds_what_it_should() {
    let mut violations = Vec::new();
    for entry in fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let is_known = [FOLDERS, LEFT_BY_TOOLS].concat().contains(&name.as_str());
        if entry.path().is_dir() && !is_known {
            violations.push(Violation::new(
                Path::new(&name),
                1,
                "a folder that nobody planned",
            ));
        }
    }
    for name in FILES
        .iter()
        .chain(FOLDERS)
        .filter(|name| !root().join(name).exists())
    {
        violations.push(Violation::new(Path::new(name), 1, "is missing"));
    }
    none(violations);
}

#[test]
fn every_example_and_policy_is_explained() {
    let mut violations = Vec::new();
    for folder in ["examples", "policies"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            // Policies that only tests use explain themselves there.
            let is_own = path.is_dir() && !path.ends_with("policies/testing");
            if is_own && !path.join("README.md").exists() {
                let shown = path.strip_prefix(root()).unwrap().join("README.md");
                violations.push(Violation::new(&shown, 1, "is missing"));
            }
        }
    }
    none(violations);
}

#[test]
fn links_lead_somewhere() {
    let mut violations = Vec::new();
    for file in files(".", "md") {
        for (line, target) in links(&read(&file)) {
            let path = match target.strip_prefix('/') {
                Some(from_root) => PathBuf::from(from_root),
                None => file.parent().unwrap().join(&target),
            };
            if !root().join(path).exists() {
                violations.push(Violation::new(&file, line, format!("links to {target}")));
            }
        }
    }
    none(violations);
}

/// The links to files, without what follows a `#`. Fenced blocks hold examples, not links.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("](") {
        let Some((target, _)) = text[at + 2..].split_once(')') else {
            continue;
        };
        let fences = text[..at].matches("\n```").count() + usize::from(text.starts_with("```"));
        let target = target.split_whitespace().next().unwrap_or_default();
        let target = target.split('#').next().unwrap_or_default();
        if fences.is_multiple_of(2) && !target.is_empty() && !target.contains(':') {
            found.push((line_of(text, at), target.to_owned()));
        }
    }
    found
}

#[test]
fn links_are_read_as_markdown_means_them() {
    let text =
        "[a](b.md#c) [d](https://e/f)\n[g](#h) ![i](j.png \"k\")\n```\n[l](m)\n```\n[n](o)\n";
    let expected = [(1, "b.md"), (2, "j.png"), (6, "o")].map(|(line, to)| (line, to.to_owned()));
    assert_eq!(links(text), expected);
}

//! Holds docs/guide to what is: its descriptions of the interface are those of `wit/`, its bounds those of
//! the code and of SETTINGS.md, its code is taken from files that are built and tested.
//!
//! The pages are written by hand but for what stands between `<!-- make … -->` and `<!-- made -->`.
//! `UPDATE_GUIDE=1 cargo test -p weir-tests --test guide` makes that anew.
//! Never does: write a sentence of its own. Read first: [`page`], what can be made.

mod bounds;
mod excerpt;
mod interface;
mod page;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::bounds::Bounds;
use crate::interface::Interface;
use crate::page::{Makers, directives, fences, make};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The guide's pages: their paths and texts.
fn pages() -> Vec<(PathBuf, String)> {
    let folder = root().join("docs/guide");
    let files = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut pages: Vec<PathBuf> = files.collect();
    pages.sort();
    let with_text = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    pages.into_iter().map(with_text).collect()
}

/// Where other bounds stand than in host/policy's one place for them, and what is put before their names.
const CONSTANTS: [(&str, &str); 8] = [
    ("audit", "host/gateway/src/pipeline/audit.rs"),
    ("firewall", "host/gateway/src/identify/bans.rs"),
    ("http", "host/gateway/src/services/outgoing.rs"),
    ("metrics", "host/gateway/src/telemetry/custom.rs"),
    ("models", "host/gateway/src/services/tokens.rs"),
    ("remember", "host/policy/src/remembered.rs"),
    ("services", "host/gateway/src/services.rs"),
    ("store", "host/counters/src/key_value.rs"),
];

fn makers() -> Makers {
    let newest = read("wit/0.2/policy.wit");
    let settings = read("host/gateway/SETTINGS.md");
    Makers {
        interface: Interface::of(&newest, &read("wit/0.1/policy.wit")),
        bounds: Bounds::of(
            &read("host/policy/src/bounds.rs"),
            &CONSTANTS.map(|(prefix, path)| (prefix, read(path))),
            &settings,
        ),
        examples: examples(),
    }
}

/// What each example is, in the words of its README's heading, and the language of its `policy.toml`.
fn examples() -> String {
    let folders = fs::read_dir(root().join("examples")).unwrap();
    let folders = folders.map(|folder| folder.unwrap().path());
    let mut folders: Vec<PathBuf> = folders.filter(|path| path.is_dir()).collect();
    folders.sort();
    let mut table = "| example | language | what it does |\n| --- | --- | --- |\n".to_owned();
    for folder in folders {
        let file = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let (readme, project) = (file("README.md"), file("policy.toml"));
        let heading = readme
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# "));
        let heading = heading.unwrap_or_else(|| panic!("{}: no README", folder.display()));
        let (name, what) = heading.split_once(": ").unwrap_or((heading, ""));
        let mut settings = project.lines().filter_map(|line| line.split_once(" = "));
        let language = settings.find(|(name, _)| *name == "language");
        let language = language.map_or("", |(_, value)| value.trim_matches('"'));
        let path = folder.file_name().unwrap().display();
        table += &format!("| [{name}](../../examples/{path}/README.md) | {language} | {what} |\n");
    }
    table
}

#[test]
fn the_guide_is_fresh() {
    let makers = makers();
    let mut stale = Vec::new();
    for (path, text) in pages() {
        let made =
            make(&text, &makers, &read).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        if made == text {
            continue;
        }
        if std::env::var_os("UPDATE_GUIDE").is_some() {
            fs::write(&path, &made).unwrap();
        } else {
            stale.push(path.file_name().unwrap().to_owned());
        }
    }
    assert!(
        stale.is_empty(),
        "{stale:?} of docs/guide: run `UPDATE_GUIDE=1 cargo test -p weir-tests --test guide`"
    );
}

/// What the pages together make, by the first word of what they ask for.
fn asked_for(kind: &str) -> Vec<String> {
    let pages = pages();
    let all = pages.iter().flat_map(|(_, text)| directives(text));
    let words = all
        .map(|found| found.words)
        .filter(|words| words[0] == kind);
    words.flat_map(|words| words[1..].to_vec()).collect()
}

#[test]
fn every_interface_is_explained_once() {
    let mut asked = asked_for("interface");
    asked.sort();
    let mut there: Vec<String> = makers().interface.names().map(str::to_owned).collect();
    there.sort();
    assert_eq!(asked, there, "`<!-- make interface NAME -->` in docs/guide");
}

#[test]
fn every_bound_and_every_setting_of_policies_is_told() {
    let asked: BTreeSet<String> = asked_for("bounds").into_iter().collect();
    let makers = makers();
    let missing: Vec<&str> = makers
        .bounds
        .of_policies()
        .filter(|name| !asked.contains(*name))
        .collect();
    assert!(
        missing.is_empty(),
        "no `<!-- make bounds … -->` in docs/guide names {missing:?}"
    );
}

#[test]
fn every_hook_is_shown_in_rust_and_in_another_language() {
    let makers = makers();
    let text = read("docs/guide/hooks.md");
    for hook in makers.interface.hooks().filter(|hook| *hook != "lifecycle") {
        let section = text
            .split("\n## ")
            .find(|section| {
                section
                    .lines()
                    .next()
                    .is_some_and(|line| line.contains(&format!("`{hook}`")))
            })
            .unwrap_or_else(|| panic!("hooks.md has no section on `{hook}`"));
        let shown: Vec<String> = directives(section)
            .filter(|found| found.words[0] == "code")
            .map(|found| found.words[1].clone())
            .collect();
        let rust = shown.iter().filter(|language| *language == "rust").count();
        assert!(
            rust > 0 && rust < shown.len(),
            "`{hook}` is shown in {shown:?}"
        );
    }
}

#[test]
fn no_code_is_written_by_hand() {
    for (path, text) in pages() {
        for (line, language) in fences(&text) {
            // What a shell, a settings file and a case look like is no source of a policy.
            let is_source = !["sh", "toml", "yaml", "json", "text"].contains(&language.as_str());
            assert!(
                !is_source,
                "{}:{line}: a block of {language:?} that `<!-- make code … -->` did not make",
                path.display()
            );
        }
    }
}

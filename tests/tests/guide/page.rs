//! Finds what a page asks for, and puts it there.
//!
//! | what | makes |
//! | --- | --- |
//! | `interface NAME` | the WIT docs of an interface: its functions, then its types |
//! | `hooks`, `imports` | a table of all of them |
//! | `lines PATH FROM TO` | the same as they are, for a table of another page |
//! | `examples` | a table of `examples/`, by the headings of their READMEs |
//! | `bounds NAME …` | a table of bounds: constants of `host/policy/src/bounds.rs`, others as `what.NAME` (`CONSTANTS` in main.rs), settings as `section.name` |
//! | `code LANGUAGE PATH FROM TO` | the lines of a file from the first that holds FROM to the next that holds TO; both in quotes |

use crate::bounds::Bounds;
use crate::excerpt;
use crate::interface::Interface;

const BEGIN: &str = "<!-- make ";
const END: &str = "<!-- made -->";

/// What the pages are made from.
pub(crate) struct Makers {
    pub(crate) interface: Interface,
    pub(crate) bounds: Bounds,
    /// The table of examples.
    pub(crate) examples: String,
}

/// Something that a page asks for.
pub(crate) struct Directive {
    /// What it asks for, quotes taken off.
    pub(crate) words: Vec<String>,
    /// Where what was made begins and ends in the page.
    made: std::ops::Range<usize>,
}

/// All that a page asks for, in order.
///
/// Panics where a page does not say where something ends.
pub(crate) fn directives(text: &str) -> impl Iterator<Item = Directive> {
    text.match_indices(BEGIN).map(|(at, _)| {
        let rest = &text[at + BEGIN.len()..];
        let (words, after) = rest
            .split_once(" -->\n")
            .expect("`<!-- make … -->` on a line of its own");
        let start = text.len() - after.len();
        let length = after
            .find(END)
            .unwrap_or_else(|| panic!("no `{END}` after `{words}`"));
        assert!(
            !after[..length].contains(BEGIN),
            "no `{END}` after `{words}`"
        );
        Directive {
            words: split(words),
            made: start..start + length,
        }
    })
}

/// Words, some of them in double quotes.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in text.split('"').enumerate() {
        if number % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// The page with everything made anew. `read` gives the text of a file of the repository.
pub(crate) fn make(
    text: &str,
    makers: &Makers,
    read: &dyn Fn(&str) -> String,
) -> Result<String, String> {
    let mut made = String::with_capacity(text.len());
    let mut kept_to = 0;
    for directive in directives(text) {
        made += &text[kept_to..directive.made.start];
        let words: Vec<&str> = directive.words.iter().map(String::as_str).collect();
        made += &match words[..] {
            ["interface", name] => makers.interface.describe(name)?,
            ["hooks"] => makers.interface.table_of_hooks(),
            ["imports"] => makers.interface.table_of_imports(),
            ["lines", path, from, to] => excerpt::plain(path, &read(path), from, to)?,
            ["examples"] => makers.examples.clone(),
            ["bounds", ref names @ ..] => makers.bounds.table(names)?,
            ["code", language, path, from, to] => {
                excerpt::of(language, path, &read(path), from, to)?
            }
            _ => return Err(format!("nobody can make {words:?}")),
        };
        kept_to = directive.made.end;
    }
    made += &text[kept_to..];
    Ok(made)
}

/// Where blocks of code begin that nobody made: line and language.
pub(crate) fn fences(text: &str) -> Vec<(usize, String)> {
    let made: Vec<_> = directives(text).map(|directive| directive.made).collect();
    let (mut found, mut at, mut is_open) = (Vec::new(), 0, false);
    for (number, line) in text.lines().enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            if !is_open && !made.iter().any(|range| range.contains(&at)) {
                found.push((number + 1, language.to_owned()));
            }
            is_open = !is_open;
        }
        at += line.len() + 1;
    }
    found
}

#[test]
fn what_is_asked_for_is_made_in_its_place() {
    let makers = Makers {
        interface: Interface::of(
            "package weir:policy@0.2.0;\nworld policy {}\n",
            "package weir:policy@0.1.0;\nworld policy {}\n",
        ),
        bounds: Bounds::of("", &[], ""),
        examples: String::new(),
    };
    let read = |_: &str| "a\n  fn b() {\n  }\nc\n".to_owned();
    let page = |made: &str| {
        format!("x\n<!-- make code rust a.rs \"fn b\" \"}}\" -->\n{made}<!-- made -->\ny\n")
    };
    let made = make(&page(""), &makers, &read).unwrap();
    assert_eq!(
        made,
        page("```rust\nfn b() {\n}\n```\nFrom [a.rs](../../a.rs).\n")
    );
    assert_eq!(make(&made, &makers, &read).unwrap(), made);
    assert!(make("<!-- make tea -->\n<!-- made -->\n", &makers, &read).is_err());
    assert_eq!(fences(&(made + "```go\n```\n")), [(10, "go".to_owned())]);
}

//! From a template to a file of a project: blocks for hooks and languages that were not chosen are left
//! out, and the names are put in.
//!
//! A block stands between two lines, each a comment of the language: `weir:if access limit` and
//! `weir:end`. It stays where one of the words is a chosen hook or the project's language; one that begins
//! with `weir:unless` stays where none is. Blocks do not nest. Templates are so whole programs with every hook, which other tools can read and check.

use crate::config::{HookName, Language};

/// What was chosen.
#[derive(Debug, Clone)]
pub(super) struct Choice<'a> {
    pub(super) name: &'a str,
    pub(super) language: Language,
    pub(super) hooks: &'a [HookName],
}

/// The text of a file.
///
/// # Errors
/// A sentence about the template, which is then wrong.
pub(super) fn render(template: &str, choice: &Choice<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(template.len());
    // Within a block: whether it stays.
    let mut block: Option<bool> = None;
    // Python has two empty lines between what stands at the top, the others one.
    let empty_max = if choice.language == Language::Python {
        2
    } else {
        1
    };
    let mut empty = 0;
    for (at, line) in template.lines().enumerate() {
        match (mark(line), block) {
            (Some(Mark::If(words)), None) => block = Some(choice.has_any(words)),
            (Some(Mark::Unless(words)), None) => block = Some(!choice.has_any(words)),
            (Some(Mark::End), Some(_)) => block = None,
            (Some(_), _) => {
                return Err(format!("line {}: a block within a block, or none", at + 1));
            }
            (None, Some(false)) => {}
            (None, _) => {
                empty = if line.is_empty() { empty + 1 } else { 0 };
                if empty <= empty_max {
                    out.push_str(line);
                    out.push('\n');
                }
            }
        }
    }
    if block.is_some() {
        return Err("its last block does not end".to_owned());
    }
    let text = out.trim_start_matches('\n').trim_end();
    Ok(choice.put_names(text) + "\n")
}

enum Mark<'l> {
    If(&'l str),
    Unless(&'l str),
    End,
}

/// The mark that a line is; in whichever way its language writes comments.
fn mark(line: &str) -> Option<Mark<'_>> {
    let line = line.trim();
    let openings = ["// ", "# ", "<!-- ", "/* "];
    let inside = openings.iter().find_map(|open| line.strip_prefix(open))?;
    let inside = inside.trim_end_matches("-->").trim_end_matches("*/").trim();
    if inside == "weir:end" {
        return Some(Mark::End);
    }
    let unless = inside.strip_prefix("weir:unless ").map(Mark::Unless);
    unless.or_else(|| inside.strip_prefix("weir:if ").map(Mark::If))
}

impl Choice<'_> {
    fn has_any(&self, words: &str) -> bool {
        words.split(' ').any(|word| self.has(word))
    }

    fn has(&self, word: &str) -> bool {
        word == self.language.as_str() || self.hooks.iter().any(|hook| hook.as_str() == word)
    }

    /// `weir-template` and `WeirTemplate` are the names, `weir-hooks` the hooks.
    fn put_names(&self, text: &str) -> String {
        let hooks: Vec<&str> = self.hooks.iter().map(|hook| hook.as_str()).collect();
        let quoted: Vec<String> = hooks.iter().map(|hook| format!("\"{hook}\"")).collect();
        text.replace("weir-hooks-bare", &hooks.join(", "))
            .replace("weir-hooks", &quoted.join(", "))
            .replace("WeirTemplate", &camel_case(self.name))
            .replace("weir-template", self.name)
    }
}

/// `business-hours` as the name of a type.
fn camel_case(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_ascii_uppercase() + rest
    };
    let name: String = name.split('-').map(word).collect();
    // No name that the SDKs have for something else.
    match &*name {
        "Policy" | "Settings" | "Config" | "Denial" | "Stream" | "Access" | "Rewrite" | "Limit"
        | "Answer" | "Route" | "Reply" | "Events" | "Event" | "Audit" | "Rule" | "Host"
        | "Call" | "Summary" | "Response" | "Attempt" | "Candidate" | "Outcome" | "Replacer"
        | "Window" | "Unit" | "Operation" | "Action" | "Pattern" | "Vec" | "String" | "Result"
        | "Option" | "Ok" | "Err" | "Some" | "None" | "True" | "False" | "Self" => {
            format!("My{name}")
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::super::embedded;
    use super::*;

    fn choice<'a>(hooks: &'a [HookName], language: Language) -> Choice<'a> {
        Choice {
            name: "night-watch",
            language,
            hooks,
        }
    }

    #[test]
    fn blocks_of_what_was_not_chosen_are_gone_without_a_trace() {
        let template = "a\n\n// weir:if limit\nb\n\n// weir:end\n# weir:if access c\nd\n\
                        <!-- weir:end -->\n\nclass WeirTemplate // weir-template [weir-hooks]\n";
        let text = render(template, &choice(&[HookName::Access], Language::Go)).unwrap();
        assert_eq!(
            text,
            "a\n\nd\n\nclass NightWatch // night-watch [\"access\"]\n"
        );
        let text = render(template, &choice(&[HookName::Limit], Language::Go)).unwrap();
        assert_eq!(
            text,
            "a\n\nb\n\nclass NightWatch // night-watch [\"limit\"]\n"
        );
        let unless = "# weir:unless access go\na\n# weir:end\n# weir:unless limit\nb\n# weir:end\n";
        let text = render(unless, &choice(&[HookName::Access], Language::C)).unwrap();
        assert_eq!(text, "b\n");
        assert!(render("# weir:end\n", &choice(&[], Language::Go)).is_err());
        assert!(render("# weir:if go\n", &choice(&[], Language::Go)).is_err());
    }

    #[test]
    fn every_template_can_be_rendered_for_each_hook_alone() {
        for language in Language::ALL {
            for hook in HookName::ALL {
                for folder in [
                    "template/common",
                    &format!("template/{}", language.as_str()),
                ] {
                    for (path, bytes) in embedded::folder(folder) {
                        let template = std::str::from_utf8(bytes).unwrap();
                        let text = render(template, &choice(&[hook], language))
                            .unwrap_or_else(|error| panic!("{folder}/{path}: {error}"));
                        assert!(!text.contains("weir:"), "{folder}/{path}");
                        assert!(!text.contains("emplate-"), "{folder}/{path}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_name_that_the_sdks_have_is_another() {
        assert_eq!(camel_case("business-hours-2"), "BusinessHours2");
        assert_eq!(camel_case("policy"), "MyPolicy");
    }
}

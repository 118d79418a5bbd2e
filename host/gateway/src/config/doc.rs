//! SETTINGS.md, from the definitions.

use std::fmt::Write as _;

use super::root_fields;
use super::schema::Field;
use super::setting::Kind;
use super::sources::variable;

const INTRODUCTION: &str = "\
# Settings

Made by `weir config doc` from the definitions in `host/gateway/src/config/written.rs`; do not edit.

Settings come from the command line (`--set path=value`), from the environment (the variable in the
tables below), from `weir.toml`, and else are the default, in this order. The file is `--config`, else
`WEIR_CONFIG`, else `./weir.toml`. `weir config check` reports every mistake at once.

Paths in the file start in the file's folder, others in the working directory. A list can be given
outside of the file as `a,b` or as a TOML list. An empty environment variable counts as not set.

A secret is written as `env:NAME` (an environment variable), `file:PATH` (a file; newlines at its end do
not count) or `plain:VALUE`. Patterns match with `*` (any characters) and `?` (one).
";

/// The documentation of every setting, as Markdown.
pub fn settings_markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    let fields = root_fields();
    section(&mut page, "At the top of the file", "", true, &fields);
    nested(&mut page, "", true, &fields);
    page
}

/// The sections inside of `fields`, each with a heading and a table of its own.
fn nested(page: &mut String, path: &str, once: bool, fields: &[Field]) {
    for field in fields {
        let path = super::node::join(path, field.name);
        let (heading, once, fields) = match &field.kind {
            Kind::Section(fields) => (format!("[{path}]"), once, fields),
            Kind::Sections(fields) => (format!("[[{path}]]"), false, fields),
            _ => continue,
        };
        let _ = write!(page, "\n## `{heading}`\n\n{}\n", prose(field.doc));
        section(page, "", &path, once, fields);
        nested(page, &path, once, fields);
    }
}

/// A table of the settings that stand directly in a section. Those of sections that can be there only
/// once have an environment variable.
fn section(page: &mut String, heading: &str, path: &str, once: bool, fields: &[Field]) {
    if !heading.is_empty() {
        let _ = writeln!(page, "\n## {heading}");
    }
    let environment = if once { " environment |" } else { "" };
    let rule = if once { " --- |" } else { "" };
    let _ = write!(
        page,
        "\n| setting | value | default |{environment} meaning |\n"
    );
    let _ = writeln!(page, "| --- | --- | --- |{rule} --- |");
    for field in fields {
        if matches!(field.kind, Kind::Section(_) | Kind::Sections(_)) {
            continue;
        }
        let value = value(field);
        let default = default(field);
        let variable = match (&field.kind, once) {
            (_, false) => String::new(),
            (Kind::Map(_) | Kind::Free, true) => " |".to_owned(),
            _ => format!(" `{}` |", variable(path, field.name)),
        };
        let (name, doc) = (field.name, prose(field.doc).replace('|', "\\|"));
        let _ = writeln!(page, "| `{name}` | {value} | {default} |{variable} {doc} |");
    }
}

/// A doc comment as one paragraph.
fn prose(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn value(field: &Field) -> String {
    let phrase = match &field.kind {
        Kind::Words(words) => words.join(", "),
        kind => kind.phrase().replace('*', "\\*"),
    };
    match &field.bounds {
        Some(bounds) => format!("{phrase} from {} to {}", bounds.start(), bounds.end()),
        None => phrase,
    }
}

fn default(field: &Field) -> String {
    match &field.default {
        None => "must be set".to_owned(),
        Some(serde_json::Value::Null) => "none".to_owned(),
        Some(value) => format!("`{value}`"),
    }
}

//! Lines of a file that is built and tested, for a page to show.

/// A block of code: from the first line that holds `from` to the next that holds `to`, as far left as it
/// goes. A `^` before what a line is to hold means that it begins with it.
pub(crate) fn of(
    language: &str,
    path: &str,
    text: &str,
    from: &str,
    to: &str,
) -> Result<String, String> {
    let shown = between(path, text, from, to)?;
    let indents = shown.iter().filter(|line| !line.trim().is_empty());
    let indent = indents
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    let mut block = format!("```{language}\n");
    for line in shown {
        block += line.get(indent..).unwrap_or_default();
        block.push('\n');
    }
    block += &format!("```\nFrom [{path}](../../{path}).\n");
    Ok(block)
}

/// The same lines as they are.
pub(crate) fn plain(path: &str, text: &str, from: &str, to: &str) -> Result<String, String> {
    let lines = between(path, text, from, to)?;
    Ok(lines.join("\n") + "\n")
}

fn between<'t>(path: &str, text: &'t str, from: &str, to: &str) -> Result<Vec<&'t str>, String> {
    let mut lines = text.lines().skip_while(|line| !holds(line, from));
    let first = lines.next();
    let mut found = vec![first.ok_or_else(|| format!("{path}: no line holds {from:?}"))?];
    if from == to {
        return Ok(found);
    }
    for line in lines {
        found.push(line);
        if holds(line, to) {
            return Ok(found);
        }
    }
    Err(format!("{path}: after {from:?} no line holds {to:?}"))
}

fn holds(line: &str, wanted: &str) -> bool {
    match wanted.strip_prefix('^') {
        Some(start) => line.starts_with(start),
        None => line.contains(wanted),
    }
}

#[test]
fn lines_are_found_by_what_they_hold() {
    let text = "use x;\n\n    one {\n        two\n    }\n}\n";
    let found = of("rust", "a.rs", text, "one {", "}").unwrap();
    assert_eq!(
        found,
        "```rust\none {\n    two\n}\n```\nFrom [a.rs](../../a.rs).\n"
    );
    assert!(of("rust", "a.rs", text, "one {", "three").is_err());
    assert!(of("rust", "a.rs", text, "three", "}").is_err());
    assert_eq!(
        plain("a.rs", text, "two", "}").unwrap(),
        "        two\n    }\n"
    );
    assert!(
        of("rust", "a.rs", text, "use x;", "use x;")
            .unwrap()
            .contains("rust\nuse x;\n```")
    );
}

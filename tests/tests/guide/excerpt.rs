//! Lines of a file that is built and tested, for a page to show.

/// From the first line that holds `from` to the next that holds `to`, as far left as it goes. A `^` before
/// what a line is to hold means that it begins with it.
pub(crate) fn of(
    language: &str,
    path: &str,
    text: &str,
    from: &str,
    to: &str,
) -> Result<String, String> {
    let lines: Vec<&str> = text.lines().collect();
    let begin = lines.iter().position(|line| holds(line, from));
    let begin = begin.ok_or_else(|| format!("{path}: no line holds {from:?}"))?;
    let after = usize::from(to != from);
    let mut rest = lines[begin..].iter().skip(after);
    let end = rest.position(|line| holds(line, to));
    let end = end.ok_or_else(|| format!("{path}: after {from:?} no line holds {to:?}"))?;
    let end = begin + end + after;
    let shown = &lines[begin..=end];
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
    assert!(
        of("rust", "a.rs", text, "use x;", "use x;")
            .unwrap()
            .contains("rust\nuse x;\n```")
    );
}

//! Renews expectations in a case file and leaves every other byte of it alone.

use std::fmt::Write;
use std::ops::Range;

use serde_json::Value;

use super::read::CaseFile;

/// The file's text with new expectations; `renewed` has one for each case that gets another, by its
/// place.
///
/// # Errors
/// A sentence, where the place of an expectation is not clear.
pub fn update(file: &CaseFile, renewed: &[(usize, Value)]) -> Result<String, String> {
    if file
        .path
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        return update_json(&file.text, renewed);
    }
    let lines: Vec<&str> = file.text.split_inclusive('\n').collect();
    let mut text = String::new();
    let mut from = 0;
    for (case, value) in renewed {
        let case = file.file.cases.get(*case).ok_or("there is no such case")?;
        let at = usize::try_from(case.expect.referenced.line()).unwrap_or_default();
        let (block, indent) = block(&lines, at)
            .ok_or_else(|| format!("line {at}: `expect:` has to begin a line of its own"))?;
        text.extend(
            lines
                .get(from..block.start)
                .unwrap_or_default()
                .iter()
                .copied(),
        );
        write_expectation(&mut text, indent, value)?;
        from = block.end;
    }
    text.extend(lines.get(from..).unwrap_or_default().iter().copied());
    Ok(text)
}

/// The lines of the expectation whose value begins in line `at` (from 1), its `expect:` included, and
/// how far that is indented.
fn block(lines: &[&str], at: usize) -> Option<(Range<usize>, usize)> {
    let is_key = |line: &&str| line.trim_start().starts_with("expect:");
    let start = (0..at.min(lines.len()))
        .rev()
        .take(2)
        .find(|&line| lines.get(line).is_some_and(is_key))?;
    let indent = indent_of(lines.get(start)?);
    let goes_on = |line: &&&str| line.trim().is_empty() || indent_of(line) > indent;
    let mut end = start + 1 + lines.get(start + 1..)?.iter().take_while(goes_on).count();
    // Empty lines between cases are the file's, not the expectation's.
    while end > start + 1
        && lines
            .get(end - 1)
            .is_some_and(|line| line.trim().is_empty())
    {
        end -= 1;
    }
    Some((start..end, indent))
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn write_expectation(text: &mut String, indent: usize, value: &Value) -> Result<(), String> {
    let yaml = serde_saphyr::to_string(value).map_err(|error| error.to_string())?;
    let _ = writeln!(text, "{:indent$}expect:", "");
    for line in yaml.lines().filter(|line| *line != "---") {
        if line.is_empty() {
            text.push('\n');
        } else {
            let _ = writeln!(text, "{:width$}{line}", "", width = indent + 2);
        }
    }
    Ok(())
}

fn update_json(text: &str, renewed: &[(usize, Value)]) -> Result<String, String> {
    let mut file: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    for (case, value) in renewed {
        let place = file.pointer_mut(&format!("/cases/{case}/expect"));
        *place.ok_or("there is no such case")? = value.clone();
    }
    let mut text = serde_json::to_string_pretty(&file).map_err(|error| error.to_string())?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::read_all;
    use serde_json::json;

    fn updated(name: &str, text: &str, renewed: &[(usize, Value)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        update(&read_all(&path).unwrap()[0], renewed).unwrap()
    }

    #[test]
    fn only_the_expectation_changes() {
        let text = "# kept\ncases:\n  - name: a\n    expect:\n      access: allow # gone\n\n  # kept too\n  - name: b\n    expect: {}\n    given: { seed: 1 }\n";
        let new = updated(
            "a.yaml",
            text,
            &[
                (0, json!({ "access": { "deny": { "code": "x" } } })),
                (1, json!({ "route": ["a"] })),
            ],
        );
        let wanted = "# kept\ncases:\n  - name: a\n    expect:\n      access:\n        deny:\n          code: x\n\n  # kept too\n  - name: b\n    expect:\n      route:\n";
        assert!(new.starts_with(wanted), "{new}");
        assert!(new.ends_with("    given: { seed: 1 }\n"), "{new}");
        assert!(new.contains("- a\n"), "{new}");
    }

    #[test]
    fn json_files_stay_json() {
        let text = r#"{ "cases": [{ "name": "a", "expect": {} }] }"#;
        let new = updated("a.json", text, &[(0, json!({ "access": "allow" }))]);
        let new: Value = serde_json::from_str(&new).unwrap();
        assert_eq!(new["cases"][0]["expect"]["access"], "allow");
    }
}

//! Case files from disk, with every mistake at its line.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use super::written::{Case, File, Given};

/// Bytes of a case file at most; larger ones are no files of cases.
const FILE_MAX_BYTES: u64 = 16 << 20;

/// One file of cases as it was read.
#[derive(Debug, Clone)]
pub struct CaseFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its text, for renewing expectations in it.
    pub text: String,
    /// What it says.
    pub file: File,
}

/// A case file that cannot be used; each shows as one line that begins with the place.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// It cannot be read at all.
    #[error("{path}: {reason}")]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// It does not say what a case file says.
    #[error("{path}:{line}:{column}: {message}")]
    Mistake {
        /// The file.
        path: PathBuf,
        /// Line, from 1; 0 where it is not known.
        line: u64,
        /// Column, from 1; 0 where it is not known.
        column: u64,
        /// What is wrong, and the nearest right name.
        message: String,
    },
    /// There is not a single case.
    #[error("{0}: there are no cases; a file of cases ends in .yaml, .yml or .json")]
    None(PathBuf),
}

/// Reads a file of cases, or all of a folder in the order of their names.
///
/// # Errors
/// Every file that cannot be used.
pub fn read_all(path: &Path) -> Result<Vec<CaseFile>, Vec<CaseError>> {
    let paths = list(path).map_err(|error| vec![error])?;
    let mut errors = Vec::new();
    let mut files = Vec::new();
    for path in paths {
        match read(&path) {
            Ok(file) => files.push(file),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    if files.iter().all(|file| file.file.cases.is_empty()) {
        return Err(vec![CaseError::None(path.to_owned())]);
    }
    Ok(files)
}

impl CaseFile {
    /// A chat by a caller of whom nothing is said, of which nothing is expected.
    pub fn of_a_plain_chat() -> Self {
        let case = Case {
            name: "a chat".to_owned(),
            config: None,
            grants: None,
            given: Given::default(),
            expect: Spanned::new(Value::Null, Location::UNKNOWN, Location::UNKNOWN),
        };
        let file = File {
            config: None,
            grants: None,
            given: Given::default(),
            cases: vec![case],
        };
        Self {
            path: PathBuf::new(),
            text: String::new(),
            file,
        }
    }
}

fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> CaseError {
    move |error| CaseError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

fn list(path: &Path) -> Result<Vec<PathBuf>, CaseError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let is_cases = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("yaml" | "yml" | "json"))
    };
    let entries = std::fs::read_dir(path).map_err(unreadable(path))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(unreadable(path))?.path());
    }
    paths.retain(is_cases);
    paths.sort();
    if paths.is_empty() {
        return Err(CaseError::None(path.to_owned()));
    }
    Ok(paths)
}

fn read(path: &Path) -> Result<CaseFile, CaseError> {
    let size = std::fs::metadata(path).map_err(unreadable(path))?.len();
    if size > FILE_MAX_BYTES {
        return Err(CaseError::Unreadable {
            path: path.to_owned(),
            reason: format!("it has more than {FILE_MAX_BYTES} bytes"),
        });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable(path))?;
    let file: File = parse(path, &text)?;
    let mistake = |message: String| CaseError::Mistake {
        path: path.to_owned(),
        line: 0,
        column: 0,
        message,
    };
    for (at, case) in file.cases.iter().enumerate() {
        let earlier = file.cases.iter().take(at);
        if earlier.into_iter().any(|other| other.name == case.name) {
            return Err(mistake(format!("two cases are named {:?}", case.name)));
        }
        check_expectation(path, &case.expect)?;
    }
    Ok(CaseFile {
        path: path.to_owned(),
        text,
        file,
    })
}

fn parse<'t, T: Deserialize<'t>>(path: &Path, text: &'t str) -> Result<T, CaseError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let error = error.without_snippet();
        let place = error.location();
        CaseError::Mistake {
            path: path.to_owned(),
            line: place.map_or(0, |place| place.line()),
            column: place.map_or(0, |place| place.column()),
            message: describe(error),
        }
    })
}

fn describe(error: &serde_saphyr::Error) -> String {
    if let serde_saphyr::Error::SerdeUnknownField {
        field, expected, ..
    } = error
    {
        return unknown_name(field, expected.iter().copied());
    }
    // Its own text ends with the place, which stands in front already.
    let text = error.to_string();
    let text = text.lines().next().unwrap_or_default();
    let end = text.find(" at line ").unwrap_or(text.len());
    text.get(..end).unwrap_or(text).to_owned()
}

/// What may stand under `expect`.
pub(super) const RESULTS: [&str; 17] = [
    "init", "access", "rewrite", "limit", "answer", "route", "reply", "events", "stream", "audit",
    "store", "log", "metrics", "http", "models", "bans", "imports",
];

fn check_expectation(path: &Path, expect: &serde_saphyr::Spanned<Value>) -> Result<(), CaseError> {
    let mistake = |message: String| CaseError::Mistake {
        path: path.to_owned(),
        line: expect.referenced.line(),
        column: expect.referenced.column(),
        message,
    };
    let Value::Object(results) = &expect.value else {
        return Err(mistake("`expect` is a table of results".to_owned()));
    };
    for name in results.keys() {
        if !RESULTS.contains(&name.as_str()) {
            return Err(mistake(format!(
                "under `expect`: {}",
                unknown_name(name, RESULTS)
            )));
        }
    }
    Ok(())
}

/// A sentence about a name that there is not, with the nearest that there is.
pub(super) fn unknown_name<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let nearest = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min()
        .filter(|(distance, _)| *distance <= name.len().div_ceil(2));
    match nearest {
        Some((_, nearest)) => format!("there is no `{name}`; did you mean `{nearest}`?"),
        None => format!("there is no `{name}`, but: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        std::fs::write(&path, text).unwrap();
        let errors = read_all(&path).unwrap_err();
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let folder = folder.path().to_str().unwrap();
        text.join("\n").replace(&format!("{folder}/"), "")
    }

    #[test]
    fn a_typo_has_its_line_and_the_nearest_name() {
        assert_eq!(
            mistake("cases:\n  - name: a\n    gven: {}\n    expect: {}\n"),
            "a.yaml:3:5: there is no `gven`; did you mean `given`?"
        );
        assert_eq!(
            mistake("cases:\n  - name: a\n    given:\n      requst: {}\n    expect: {}\n"),
            "a.yaml:4:7: there is no `requst`; did you mean `request`?"
        );
        assert_eq!(
            mistake("cases:\n  - name: a\n    expect:\n      acess: allow\n"),
            "a.yaml:4:7: under `expect`: there is no `acess`; did you mean `access`?"
        );
        assert_eq!(
            mistake("cases:\n  - name: a\n    expect: {}\n  - name: a\n    expect: {}\n"),
            "a.yaml:0:0: two cases are named \"a\""
        );
        assert!(mistake("cases: []\n").contains("there are no cases"));
        assert!(mistake("cases:\n  - name: [\n").starts_with("a.yaml:"));
        assert!(
            mistake("cases:\n  - expect: {}\n").contains("name"),
            "{}",
            mistake("cases:\n  - expect: {}\n")
        );
    }

    #[test]
    fn json_is_read_too() {
        let file: File = parse(
            Path::new("a.json"),
            r#"{"cases": [{"name": "a", "expect": {"access": "allow"}}]}"#,
        )
        .unwrap();
        assert_eq!(file.cases[0].expect.value["access"], "allow");
    }
}

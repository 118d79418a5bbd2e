//! What a rule found, and the test's failure that lists it.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

/// One line of the report.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    pub(crate) file: PathBuf,
    /// From 1.
    pub(crate) line: usize,
    pub(crate) says: String,
}

impl Violation {
    pub(crate) fn new(file: &Path, line: usize, says: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            says: says.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.says)
    }
}

/// Fails the test with all of them.
#[track_caller]
pub(crate) fn none(mut violations: Vec<Violation>) {
    violations.sort();
    let mut report = String::new();
    for violation in &violations {
        writeln!(report, "{violation}").unwrap();
    }
    assert!(
        violations.is_empty(),
        "{} violations\n{report}",
        violations.len()
    );
}

//! What a run of cases says: for a person, and for a CI system as JUnit's XML.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde_json::Value;
use weir_policy::{Hook, HookSet};

use super::compare::Difference;
use super::run::Results;

/// How a case went.
#[derive(Debug, Clone)]
pub enum Ending {
    /// As expected.
    Passed,
    /// Otherwise.
    Differs(Vec<Difference>),
    /// It could not be run; the reason.
    Broken(String),
}

/// One case that was run.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its file.
    pub file: PathBuf,
    /// Its name.
    pub name: String,
    /// How long it took.
    pub time: Duration,
    /// How it went.
    pub ending: Ending,
}

/// All cases of a run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// In the order in which they ran.
    pub cases: Vec<Ran>,
    coverage: BTreeMap<Hook, BTreeMap<String, usize>>,
}

impl Report {
    /// Notes which hooks a case reached, and what they answered.
    pub fn cover(&mut self, results: &Results) {
        for (hook, _) in &results.took {
            let value = results.values.get(hook.as_str());
            let what = value.map_or("nothing".to_owned(), kind);
            *self
                .coverage
                .entry(*hook)
                .or_default()
                .entry(what)
                .or_default() += 1;
        }
    }

    /// Cases that did not go as expected.
    pub fn failed(&self) -> usize {
        let failed = |case: &&Ran| !matches!(case.ending, Ending::Passed);
        self.cases.iter().filter(failed).count()
    }

    /// For a person: every case that failed, the hooks of the policy with what they answered, and the
    /// sum.
    pub fn text(&self, hooks: HookSet) -> String {
        let mut text = String::new();
        for case in &self.cases {
            let place = case.file.display();
            match &case.ending {
                Ending::Passed => {
                    let _ = writeln!(text, "ok      {place}: {}", case.name);
                }
                Ending::Differs(differences) => {
                    let _ = writeln!(text, "FAILED  {place}: {}", case.name);
                    for difference in differences {
                        let _ = writeln!(text, "  {difference}");
                    }
                }
                Ending::Broken(reason) => {
                    let _ = writeln!(text, "BROKEN  {place}: {}\n  {reason}", case.name);
                }
            }
        }
        text.push_str("\nhooks reached:\n");
        for hook in hooks.iter().filter(|hook| *hook != Hook::Lifecycle) {
            let answers = self.coverage.get(&hook);
            let answers: Vec<String> = answers
                .into_iter()
                .flatten()
                .map(|(what, count)| format!("{what} {count}"))
                .collect();
            let answers = if answers.is_empty() {
                "never".to_owned()
            } else {
                answers.join(", ")
            };
            let _ = writeln!(text, "  {:<8} {answers}", hook.as_str());
        }
        let failed = self.failed();
        let _ = writeln!(
            text,
            "\n{} cases, {} passed, {failed} failed",
            self.cases.len(),
            self.cases.len() - failed
        );
        text
    }

    /// For a CI system: JUnit's XML, a suite for each file.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn junit(&self) -> Result<String, String> {
        let mut suites: Vec<TestSuite> = Vec::new();
        for case in &self.cases {
            let name = case.file.display().to_string();
            if suites
                .last()
                .is_none_or(|suite| suite.name.as_str() != name)
            {
                suites.push(TestSuite::new(name));
            }
            let status = match &case.ending {
                Ending::Passed => TestCaseStatus::success(),
                Ending::Differs(differences) => {
                    let lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
                    with_message(NonSuccessKind::Failure, &lines.join("\n"))
                }
                Ending::Broken(reason) => with_message(NonSuccessKind::Error, reason),
            };
            let mut test = TestCase::new(case.name.clone(), status);
            test.set_time(case.time);
            if let Some(suite) = suites.last_mut() {
                suite.add_test_case(test);
            }
        }
        let mut report = quick_junit::Report::new("weir policy test");
        report.add_test_suites(suites);
        report.to_string().map_err(|error| error.to_string())
    }
}

fn with_message(kind: NonSuccessKind, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message);
    status
}

/// One word for an answer: `allow`, `deny`, `fail`, `unchanged`, or `something` of its own.
fn kind(value: &Value) -> String {
    match value {
        Value::String(word) => word.clone(),
        Value::Object(fields) => ["deny", "fail"]
            .into_iter()
            .find(|word| fields.contains_key(*word))
            .unwrap_or("something")
            .to_owned(),
        Value::Array(list) if list.is_empty() => "nothing".to_owned(),
        _ => "something".to_owned(),
    }
}

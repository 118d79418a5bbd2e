//! `weir policy check` and `test`: a policy's file, on its author's machine. No gateway is asked.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};
use weir_policy::{CompileMode, Hook, Version};

use crate::app;
use crate::cases::report::{Ending, Ran, Report};
use crate::cases::{CaseFile, Runner, compare, read_all, update};

/// Checks a component.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Check {
    /// The component, or a core module made by wit-bindgen.
    file: PathBuf,
    /// The configuration that it is started with, as JSON.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    config: String,
}

/// Runs cases.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Test {
    /// The component, or a core module made by wit-bindgen.
    file: PathBuf,
    /// A file of cases, or a folder of them.
    cases: PathBuf,
    /// Run only the cases with this in their name.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Write what came out into the files as what is expected.
    #[arg(long)]
    update: bool,
    /// Write the results to this file too, as JUnit's XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// What a component is, and what it would have to be granted.
pub(super) async fn check(check: Check) -> Result<(String, ExitCode), String> {
    let config: Value = serde_json::from_str(&check.config)
        .map_err(|error| format!("--config is not JSON: {error}"))?;
    let mut runner = runner(&check.file)?;
    let version = runner
        .load(&config)
        .await
        .map_err(|error| error.to_string())?;
    Ok((described(&version), ExitCode::SUCCESS))
}

/// What a person wants to know of a component before it goes anywhere.
pub(super) fn described(version: &Version) -> String {
    let mut text = format!(
        "{}\n{} bytes, for version {} of the interface\nhooks:\n",
        hex::encode(version.digest()),
        version.size_bytes(),
        version.interface()
    );
    for hook in version
        .hooks()
        .iter()
        .filter(|hook| *hook != Hook::Lifecycle)
    {
        let _ = writeln!(text, "  {hook}");
    }
    text.push_str("imports:\n");
    for import in version.imports() {
        let _ = writeln!(text, "  {import}");
    }
    let needs = version.needed_grants();
    if needs.is_empty() {
        text.push_str("It needs no grant.\n");
    } else {
        text.push_str("To be set for it in its settings:\n");
        for grant in needs {
            let _ = writeln!(text, "  grants.{grant}");
        }
    }
    text
}

fn runner(file: &Path) -> Result<Runner, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (cache_dir, cache_key) = cache()?;
    Runner::new(bytes, cache_dir, cache_key, CompileMode::ThisProcess)
        .map_err(|error| error.to_string())
}

/// Where compiled components are kept between runs, and what authenticates them: compiling a large
/// guest takes seconds, and whoever could write there could run code as this user.
fn cache() -> Result<(PathBuf, [u8; 32]), String> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = base.filter(|base| base.is_absolute()).or_else(home);
    let dir = base
        .unwrap_or_else(std::env::temp_dir)
        .join("weir/policies");
    app::compiled_in(&dir).map_err(|error| format!("{error:#}"))
}

/// Runs all cases; says so with its exit status.
pub(super) async fn test(test: Test) -> Result<(String, ExitCode), String> {
    let files = read_all(&test.cases).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })?;
    let mut runner = runner(&test.file)?;
    let mut report = Report::default();
    let mut text = String::new();
    for file in &files {
        let renewed = run_file(&mut runner, file, test.only.as_deref(), &mut report).await;
        if test.update && !renewed.is_empty() {
            let path = file.path.display();
            let new = update::update(file, &renewed).map_err(|why| format!("{path}: {why}"))?;
            std::fs::write(&file.path, new).map_err(|error| format!("{path}: {error}"))?;
            let _ = writeln!(text, "{path}: {} expectations renewed", renewed.len());
        }
    }
    if let Some(path) = &test.junit {
        std::fs::write(path, report.junit()?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    text.push_str(&report.text(runner.hooks()));
    let broken = report.failed() > 0 && !test.update;
    Ok((text, ExitCode::from(u8::from(broken))))
}

/// Runs the cases of one file. Returns what their expectations should say, where they say otherwise.
async fn run_file(
    runner: &mut Runner,
    file: &CaseFile,
    only: Option<&str>,
    report: &mut Report,
) -> Vec<(usize, Value)> {
    let folder = file.path.parent().unwrap_or(Path::new("."));
    let mut renewed = Vec::new();
    for (at, case) in file.file.cases.iter().enumerate() {
        if only.is_some_and(|only| !case.name.contains(only)) {
            continue;
        }
        let started = Instant::now();
        let ending = match runner.run(folder, &file.file, case).await {
            Err(error) => Ending::Broken(error.to_string()),
            Ok(results) => {
                report.cover(&results);
                let differences = compare::compare(&case.expect.value, &results);
                if !differences.is_empty() || case.expect.value == json!({}) {
                    renewed.push((at, compare::renewed(&case.expect.value, &results)));
                }
                if differences.is_empty() {
                    Ending::Passed
                } else {
                    Ending::Differs(differences)
                }
            }
        };
        report.cases.push(Ran {
            file: file.path.clone(),
            name: case.name.clone(),
            time: started.elapsed(),
            ending,
        });
    }
    renewed
}

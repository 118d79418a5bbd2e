//! `weir policy check`, `test` and `bench`: a policy's file, on its author's machine. No gateway is asked.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use weir_policy::{CompileMode, Description, Hook, HookSet, Isolation, LoadError, Release};

use crate::app;
use crate::cases::bench::{Figures, measure};
use crate::cases::report::{Ending, Ran, Report};
use crate::cases::{CaseFile, RunError, Runner, compare, read_all, update};

/// Checks a component.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Check {
    /// The component, or a core module made by wit-bindgen.
    file: PathBuf,
    /// The policy's configuration, with which it is started, as JSON.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    policy_config: String,
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

/// Times a policy's hooks.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Bench {
    /// The component, or a core module made by wit-bindgen.
    file: PathBuf,
    /// A file of cases, or a folder of them; without, a chat with the configuration `{}`.
    cases: Option<PathBuf>,
    /// The case that is timed, by a part of its name; else the first.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// For about how long.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Figures from an earlier run to compare with.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write the figures to this file, as the baseline of later runs.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// End with 1 where a hook's median grew by more than so much over the baseline.
    #[arg(long, value_name = "PERCENT", requires = "baseline")]
    fail_over: Option<f64>,
}

/// What a component is, and what it would have to be granted.
pub(super) async fn check(check: Check) -> Result<(String, ExitCode), String> {
    let config: Value = serde_json::from_str(&check.policy_config)
        .map_err(|error| format!("--policy-config is not JSON: {error}"))?;
    let bytes = std::fs::read(&check.file).map_err(io(&check.file))?;
    let digest = hex::encode(Sha256::digest(&bytes));
    let size_bytes = bytes.len();
    let description = Description::of(bytes).map_err(|error| error.to_string())?;
    let mut text = Facts::of(&description, digest, size_bytes).text();
    text.push_str(&started(&check.file, &config).await?);
    Ok((text, ExitCode::SUCCESS))
}

/// Starts the component once, as a gateway does before it takes it. What is to be said of it.
pub(super) async fn started(file: &Path, config: &Value) -> Result<String, String> {
    match runner(file, Isolation::Call)?.load(config).await {
        Ok(_) => Ok(String::new()),
        Err(RunError::Load(LoadError::Config { errors })) if *config == json!({}) => Ok(format!(
            "It wants a configuration (--policy-config tries one): {}\n",
            errors.join("; ")
        )),
        Err(refused) => Err(format!("{}: {refused}", file.display())),
    }
}

/// What a person wants to know of a component before it goes anywhere.
pub(super) struct Facts<'a> {
    digest: String,
    size_bytes: usize,
    interface: Release,
    hooks: HookSet,
    imports: &'a [String],
    /// Settings under `grants`.
    needs: Vec<&'static str>,
}

impl<'a> Facts<'a> {
    /// Of a file with this digest and size.
    pub(super) fn of(description: &'a Description, digest: String, size_bytes: usize) -> Self {
        Self {
            digest,
            size_bytes,
            interface: description.interface,
            hooks: description.hooks,
            imports: &description.imports,
            needs: description.needed_grants(),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{}\n{} bytes, for version {} of the interface\nhooks:\n",
            self.digest, self.size_bytes, self.interface
        );
        for hook in self.hooks.iter().filter(|hook| *hook != Hook::Lifecycle) {
            let _ = writeln!(text, "  {hook}");
        }
        text.push_str("imports:\n");
        for import in self.imports {
            let _ = writeln!(text, "  {import}");
        }
        if self.needs.is_empty() {
            text.push_str("It needs no grant.\n");
        } else {
            text.push_str("To be set for it in its settings:\n");
            for grant in &self.needs {
                let _ = writeln!(text, "  grants.{grant}");
            }
        }
        text
    }
}

pub(super) fn runner(file: &Path, isolation: Isolation) -> Result<Runner, String> {
    let bytes = std::fs::read(file).map_err(io(file))?;
    let (cache_dir, cache_key) = cache()?;
    Runner::new(
        bytes,
        cache_dir,
        cache_key,
        CompileMode::ThisProcess,
        isolation,
    )
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

/// What the system said of a file, as a sentence.
pub(super) fn io(file: &Path) -> impl Fn(std::io::Error) -> String {
    move |error| format!("{}: {error}", file.display())
}

fn read_cases(path: &Path) -> Result<Vec<CaseFile>, String> {
    read_all(path).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

/// Times the hooks of a case.
pub(super) async fn bench(bench: Bench) -> Result<(String, ExitCode), String> {
    let files = match &bench.cases {
        Some(cases) => read_cases(cases)?,
        None => vec![CaseFile::of_a_plain_chat()],
    };
    let wanted = |name: &str| bench.only.as_deref().is_none_or(|only| name.contains(only));
    let case = files.iter().find_map(|file| {
        let case = file.file.cases.iter().find(|case| wanted(&case.name))?;
        Some((file, case))
    });
    let (file, case) = case.ok_or("no case has that in its name")?;
    let baseline = bench.baseline.as_deref().map(read_figures).transpose()?;
    let size_bytes = std::fs::read(&bench.file).map_err(io(&bench.file))?.len();
    let runners = (
        runner(&bench.file, Isolation::Shared)?,
        runner(&bench.file, Isolation::Call)?,
    );
    let folder = file.path.parent().unwrap_or(Path::new("."));
    let time = Duration::from_secs(bench.seconds);
    let figures = measure(runners, (folder, &file.file, case), (size_bytes, time))
        .await
        .map_err(|error| error.to_string())?;
    if let Some(save) = &bench.save {
        let text = serde_json::to_string_pretty(&figures).map_err(|error| error.to_string())?;
        std::fs::write(save, text + "\n").map_err(io(save))?;
    }
    let mut text = format!("{}\n{}", case.name, figures.text(baseline.as_ref()));
    let mut code = ExitCode::SUCCESS;
    if let (Some(baseline), Some(percent)) = (&baseline, bench.fail_over) {
        for line in figures.slower_than(baseline, percent) {
            let _ = writeln!(text, "slower: {line}");
            code = ExitCode::FAILURE;
        }
    }
    Ok((text, code))
}

fn read_figures(path: &Path) -> Result<Figures, String> {
    let text = std::fs::read_to_string(path).map_err(io(path))?;
    serde_json::from_str(&text)
        .map_err(|error| format!("{}: no figures of a bench: {error}", path.display()))
}

/// Runs all cases; says so with its exit status.
pub(super) async fn test(test: Test) -> Result<(String, ExitCode), String> {
    let files = read_cases(&test.cases)?;
    let mut runner = runner(&test.file, Isolation::Call)?;
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

//! `weir policy new` and `build`: a policy's project on its author's machine. No gateway is asked.

use std::fmt::Write as _;
use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sha2::{Digest, Sha256};

use super::local::{self, Facts};
use crate::config::{HookName, Language, Project, read_project};
use crate::project::build::{BuildError, Built, build};
use crate::project::create::{self, create};

/// How it ends where a tool is missing.
const MISSING: u8 = 2;

/// Makes a project.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct New {
    /// What the policy is called: small letters, digits and hyphens.
    name: String,
    /// The language: rust, go, js, ts, python or c.
    #[arg(long, value_name = "LANGUAGE", value_parser = Language::of_word)]
    lang: Language,
    /// The hooks that it gets: access, rewrite, limit, answer, route, reply, events, audit; or all.
    #[arg(
        long,
        value_name = "HOOKS",
        value_delimiter = ',',
        default_value = "access"
    )]
    hooks: Vec<String>,
    /// The folder, which must not be there yet; else the name.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Builds a project.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Build {
    /// The project's folder.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Where the component goes; else NAME.wasm in the folder.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The configuration with which it is started to try it, as JSON.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    policy_config: String,
    /// Replace the project's SDK by this program's before.
    #[arg(long)]
    renew_sdk: bool,
}

/// Makes a project, and says what to do next.
pub(super) fn new(new: &New) -> Result<(String, ExitCode), String> {
    let hooks = hooks(&new.hooks)?;
    let folder = new.dir.clone().unwrap_or_else(|| PathBuf::from(&new.name));
    let written = create(&folder, &new.name, new.lang, &hooks)?;
    let names: Vec<&str> = hooks.iter().map(|hook| hook.as_str()).collect();
    let mut text = format!(
        "{}: a policy in {} with the hooks {}\n",
        folder.display(),
        new.lang.as_str(),
        names.join(", ")
    );
    for path in written {
        let _ = writeln!(text, "  {}", path.display());
    }
    let _ = writeln!(
        text,
        "  {}/ (the SDK of this weir; commit it too)\nNext, in that folder:\n  weir policy build\n  \
         weir policy test {}.wasm cases\nREADME.md says what the language needs.",
        create::SDK_FOLDER,
        new.name
    );
    Ok((text, ExitCode::SUCCESS))
}

fn hooks(words: &[String]) -> Result<Vec<HookName>, String> {
    if words.iter().any(|word| word == "all") {
        return Ok(HookName::ALL.to_vec());
    }
    words.iter().map(|word| HookName::of_word(word)).collect()
}

/// Builds a project and says what came of it.
pub(super) async fn run(arguments: Build) -> Result<(String, ExitCode), String> {
    let project = read_project(&arguments.dir)?;
    if arguments.renew_sdk {
        create::renew_sdk(&project.sdk, project.language)?;
    }
    let config = serde_json::from_str(&arguments.policy_config)
        .map_err(|error| format!("--policy-config is not JSON: {error}"))?;
    match built(&project, arguments.output.as_deref())? {
        Err(missing) => Ok((String::new(), say_missing(&missing))),
        Ok((file, mut text)) => {
            text.push_str(&local::started(&file, &config).await?);
            Ok((text, ExitCode::SUCCESS))
        }
    }
}

/// Says what is missing, one line each.
pub(super) fn say_missing(missing: &str) -> ExitCode {
    let _ = writeln!(stderr(), "{missing}");
    ExitCode::from(MISSING)
}

/// A file, and what is to be said of it; or what is missing to build it.
pub(super) type Outcome = Result<(PathBuf, String), String>;

/// Builds a project; nothing of it runs yet.
pub(super) fn built(project: &Project, output: Option<&Path>) -> Result<Outcome, String> {
    let Built {
        file,
        description,
        notes,
    } = match build(project, output) {
        Ok(built) => built,
        Err(BuildError::Missing(missing)) => return Ok(Err(missing)),
        Err(failed) => return Err(failed.to_string()),
    };
    let component = &description.component;
    let digest = hex::encode(Sha256::digest(component));
    let facts = Facts::of(&description, digest, component.len());
    let mut text = format!("{}\n{}", file.display(), facts.text());
    for note in notes {
        let _ = writeln!(text, "note: {note}");
    }
    Ok(Ok((file, text)))
}

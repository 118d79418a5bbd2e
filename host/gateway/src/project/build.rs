//! A project's component: the language's SDK calls its tools, and what it made is looked at as a gateway
//! would before it takes its place.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use weir_policy::{Description, Hook};

use super::create::about_sdk;
use crate::config::{HookName, Language, Project, ScriptEngine};

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Tools are missing; a line for each, with how to get it.
    #[error("{0}")]
    Missing(String),
    /// The language's tools failed; they have said why on standard error.
    #[error("{0}")]
    Tools(String),
    /// What they made is no policy, or not the one that policy.toml describes.
    #[error("{0}")]
    Component(String),
}

/// What was built.
#[derive(Debug)]
pub struct Built {
    /// Where it is.
    pub file: PathBuf,
    /// What it is.
    pub description: Description,
    /// What its author should know.
    pub notes: Vec<String>,
}

/// Builds a project's component into a file, by default `<name>.wasm` in its folder. What is there is
/// replaced in one step, and only by a component that can be used.
///
/// # Errors
/// What is missing, or why it failed.
pub fn build(project: &Project, output: Option<&Path>) -> Result<Built, BuildError> {
    if !project.sdk.is_dir() {
        return Err(BuildError::Missing(format!(
            "{} is missing: `weir policy build --renew-sdk` writes it, or `sdk` in policy.toml says where it is",
            project.sdk.display()
        )));
    }
    let entry = project.folder.join(&project.entry);
    if !entry.is_file() {
        let name = crate::config::PROJECT_FILE;
        return Err(BuildError::Component(format!(
            "{}: entry: there is no {}",
            project.folder.join(name).display(),
            entry.display()
        )));
    }
    let file = output.map_or_else(
        || project.folder.join(format!("{}.wasm", project.name)),
        Path::to_owned,
    );
    let absolute = std::path::absolute(&file)
        .map_err(|error| BuildError::Component(format!("{}: {error}", file.display())))?;
    let raw = absolute.with_extension("wasm.raw");
    let made = call_tools(project, &raw).and_then(|()| take(&raw, &absolute, project));
    let _ = fs::remove_file(&raw);
    Ok(Built {
        file,
        description: made?,
        notes: about_sdk(&project.sdk, project.language)
            .into_iter()
            .collect(),
    })
}

/// Puts the component into its place, if it is one.
fn take(raw: &Path, file: &Path, project: &Project) -> Result<Description, BuildError> {
    let failed = |path: &Path, error: std::io::Error| {
        BuildError::Component(format!("{}: {error}", path.display()))
    };
    let bytes = fs::read(raw).map_err(|error| failed(raw, error))?;
    let description =
        Description::of(bytes).map_err(|error| BuildError::Component(error.to_string()))?;
    check_hooks(project, &description)?;
    // Renamed into place: a gateway that watches it never sees half a file.
    let new = file.with_extension("wasm.new");
    fs::write(&new, &description.component).map_err(|error| failed(&new, error))?;
    fs::rename(&new, file).map_err(|error| failed(file, error))?;
    Ok(description)
}

fn check_hooks(project: &Project, description: &Description) -> Result<(), BuildError> {
    let Some(wanted) = &project.hooks else {
        return Ok(());
    };
    let has: Vec<&str> = description.call_hooks().map(Hook::as_str).collect();
    let wanted: Vec<&str> = HookName::ALL
        .iter()
        .filter(|hook| wanted.contains(hook))
        .map(|hook| hook.as_str())
        .collect();
    if has == wanted {
        return Ok(());
    }
    Err(BuildError::Component(format!(
        "{} says hooks = {wanted:?}, and the source has {has:?}: change one of them",
        project.folder.join(crate::config::PROJECT_FILE).display()
    )))
}

/// Exit code with which an SDK's build tool says that something is missing.
const MISSING: i32 = 2;

fn call_tools(project: &Project, raw: &Path) -> Result<(), BuildError> {
    let mut command = command(project, raw)?;
    command
        .current_dir(&project.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command
        .output()
        .map_err(|error| BuildError::Tools(format!("{name} could not be started: {error}")))?;
    let said = String::from_utf8_lossy(&done.stderr).trim_end().to_owned();
    match done.status.code() {
        Some(0) => Ok(()),
        Some(MISSING) => Err(BuildError::Missing(said)),
        _ => Err(BuildError::Tools(format!(
            "{said}\nthe tools of {} failed",
            project.language.as_str()
        ))),
    }
}

/// The SDK's own build tool, with what a project has of tools itself before the machine's.
fn command(project: &Project, raw: &Path) -> Result<Command, BuildError> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (sdk, folder) = (absolute(&project.sdk), absolute(&project.folder));
    let path = search_path(&folder);
    let shell = |entry: &str| {
        let mut command = Command::new("/bin/sh");
        command.arg(sdk.join("build.sh")).arg("-o").arg(raw);
        command.arg(entry);
        command
    };
    let mut command = match project.language {
        // Of these two the folder is built.
        Language::Rust | Language::Go => {
            let entry = Path::new(&project.entry).parent();
            let entry = entry.filter(|folder| !folder.as_os_str().is_empty());
            shell(&entry.unwrap_or(Path::new(".")).to_string_lossy())
        }
        Language::C => shell(&project.entry),
        Language::Python => {
            let mut command = Command::new(python(&folder, &path)?);
            command.args(["-m", "weir_sdk", "build", &project.entry, "-o"]);
            command.arg(raw);
            let mut modules = sdk.clone().into_os_string();
            if let Some(more) = std::env::var_os("PYTHONPATH").filter(|more| !more.is_empty()) {
                modules.push(":");
                modules.push(more);
            }
            command.env("PYTHONPATH", modules);
            command.env("PYTHONDONTWRITEBYTECODE", "1");
            command
        }
        Language::JavaScript | Language::TypeScript => {
            let mut command = Command::new(node(&path, project.engine)?);
            command.arg(sdk.join("src/cli.js"));
            command.args(["build", &project.entry, "-o"]).arg(raw);
            command.args(["--engine", project.engine.as_str()]);
            command
        }
    };
    command.env("PATH", path);
    // Go's and C's tools make core modules; this program makes components of them.
    if let Ok(program) = std::env::current_exe() {
        command.env("WEIR_ENCODER", program);
    }
    Ok(command)
}

/// The project's own tools, then the machine's.
fn search_path(folder: &Path) -> OsString {
    let machine = std::env::var_os("PATH").unwrap_or_default();
    let own = [folder.join(".venv/bin"), folder.join("node_modules/.bin")];
    let machine: Vec<PathBuf> = std::env::split_paths(&machine)
        .filter(|place| !place.as_os_str().is_empty())
        .collect();
    let all = own
        .into_iter()
        .filter(|place| place.is_dir())
        .chain(machine);
    // A folder's name with a colon in it cannot be said in a path: the machine's own then has to do.
    std::env::join_paths(all).unwrap_or_else(|_| std::env::var_os("PATH").unwrap_or_default())
}

fn find(name: &str, path: &OsString) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|place| place.join(name))
        .find(|file| file.is_file())
}

fn python(folder: &Path, path: &OsString) -> Result<PathBuf, BuildError> {
    let named = std::env::var_os("PYTHON").filter(|named| !named.is_empty());
    let own = folder.join(".venv/bin/python");
    let found = own.is_file().then_some(own);
    let found = found
        .or_else(|| named.map(PathBuf::from))
        .or_else(|| find("python3", path))
        .or_else(|| find("python", path));
    found.ok_or_else(|| {
        BuildError::Missing(
            "Python 3.11 or newer is missing: https://www.python.org/downloads, or apt-get install python3 \
             python3-venv\ncomponentize-py is missing: python3 -m venv .venv && .venv/bin/python -m pip \
             install -r requirements.txt"
                .to_owned(),
        )
    })
}

fn node(path: &OsString, engine: ScriptEngine) -> Result<PathBuf, BuildError> {
    find("node", path).ok_or_else(|| {
        let packages = match engine {
            ScriptEngine::QuickJs => "esbuild and componentize-qjs",
            ScriptEngine::StarlingMonkey => "esbuild and @bytecodealliance/componentize-js",
        };
        BuildError::Missing(format!(
            "Node.js 20 or newer is missing: https://nodejs.org, or apt-get install nodejs npm\n\
             {packages}: then npm install"
        ))
    })
}

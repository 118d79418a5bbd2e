//! `weir policy push`: a file or a project to a gateway, until it decides there or the gateway says why not.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{At, project, read, short, with_json};
use crate::config::{PROJECT_FILE, read_project};

/// Pause between two looks at the gateway.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Uploads a version.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Push {
    /// The policy; or a project's folder alone, which names it.
    policy: String,
    /// A component, a core module made by wit-bindgen, or a project's folder, which is built first.
    file: Option<PathBuf>,
    /// Check and keep it, and leave in force what is.
    #[arg(long)]
    hold: bool,
    /// It may do more than the version in force.
    #[arg(long)]
    approve: bool,
    /// Make the policy where the gateway has none of that name, with this configuration.
    #[arg(long, value_name = "JSON", num_args = 0..=1, default_missing_value = "{}")]
    create: Option<String>,
    /// Wait until it decides, or the gateway says why not; so many seconds at most.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "30",
        conflicts_with = "hold", value_parser = clap::value_parser!(u64).range(0..=3600))]
    wait: Option<u64>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Deserialize)]
struct Uploaded {
    digest: String,
    size_bytes: usize,
    hooks: Vec<String>,
    imports: Vec<String>,
    active: bool,
    waits_for: Vec<String>,
}

/// Does it; ends with 1 where the version does not decide though it was to.
pub(super) async fn push(push: Push) -> Result<(String, ExitCode), String> {
    let (name, file) = match component(&push)? {
        Ok(found) => found,
        Err(missing) => return Ok((String::new(), project::say_missing(&missing))),
    };
    let bytes = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    if let Some(config) = &push.create {
        make(&push.at, &name, config).await?;
    }
    let query = format!("/versions?activate={}&approve={}", !push.hold, push.approve);
    let request = push
        .at
        .request(Method::PUT, &name, &query)?
        .header("content-type", "application/wasm")
        .body(bytes);
    let begun = Instant::now();
    let uploaded: Uploaded = read(request).await.map_err(|error| {
        if error == format!("there is no policy {}", shown(&push.at, &name)) {
            format!("{error}; --create makes it")
        } else {
            error
        }
    })?;
    let mut text = format!(
        "{}  {} bytes\nhooks: {}\nimports: {}\n",
        uploaded.digest,
        uploaded.size_bytes,
        uploaded.hooks.join(", "),
        uploaded.imports.join(", ")
    );
    if !uploaded.waits_for.is_empty() {
        text.push_str(&held(&push.at, &name, &uploaded));
        return Ok((text, ExitCode::FAILURE));
    }
    let of = push.at.flags();
    match push.wait {
        Some(seconds) => {
            match wait(
                &push.at,
                &name,
                &uploaded.digest,
                Duration::from_secs(seconds),
            )
            .await?
            {
                Ok(()) => {
                    let _ = writeln!(
                        text,
                        "It decides, {} ms after the upload began.",
                        begun.elapsed().as_millis()
                    );
                }
                Err(why) => {
                    let _ = writeln!(text, "It does not decide: {why}");
                    return Ok((text, ExitCode::FAILURE));
                }
            }
        }
        None if uploaded.active => text.push_str("It decides from now on.\n"),
        None => text.push_str("It is kept; what was in force still is.\n"),
    }
    if !push.hold {
        let _ = writeln!(
            text,
            "`weir policy rollback {name}{of}` goes back to the one before."
        );
    }
    Ok((text, ExitCode::SUCCESS))
}

type Found = Result<(String, PathBuf), String>;

/// The policy's name and its file; or what is missing to build it.
fn component(push: &Push) -> Result<Found, String> {
    let is_project = |path: &Path| path.join(PROJECT_FILE).is_file();
    let (name, folder) = match &push.file {
        Some(file) if !file.is_dir() => {
            return Ok(Ok((push.policy.clone(), file.clone())));
        }
        Some(folder) => (Some(push.policy.clone()), folder.clone()),
        None if is_project(Path::new(&push.policy)) => (None, PathBuf::from(&push.policy)),
        None => {
            return Err(format!(
                "{:?} is no folder with a {PROJECT_FILE}; say which file is to be pushed: weir policy \
                 push NAME FILE",
                push.policy
            ));
        }
    };
    let project = read_project(&folder)?;
    // The gateway starts it anyway before it takes it.
    let built = project::built(&project, None)?;
    Ok(built.map(|(file, _)| (name.unwrap_or(project.name), file)))
}

/// Makes a policy that is not there yet.
async fn make(at: &At, name: &str, config: &str) -> Result<(), String> {
    let config: Value =
        serde_json::from_str(config).map_err(|error| format!("--create is not JSON: {error}"))?;
    let there: Result<Value, String> = read(at.request(Method::GET, name, "")?).await;
    if there.is_ok() {
        return Ok(());
    }
    let request = at.request(Method::PUT, name, "")?;
    let _: Value = read(with_json(request, &json!({ "config": config }))).await?;
    Ok(())
}

fn held(at: &At, name: &str, uploaded: &Uploaded) -> String {
    let mut text = String::from("It is kept and waits for approval, because\n");
    for line in &uploaded.waits_for {
        let _ = writeln!(text, "  - {line}");
    }
    let of = at.flags();
    let digest = short(&uploaded.digest);
    let _ = writeln!(
        text,
        "The operator says that it may with `weir policy approve {name} {digest}{of}`, and `weir policy \
         activate {name} {digest}{of}` puts it in force.",
    );
    text
}

/// Waits until the version decides. What is in the way otherwise, in words.
async fn wait(
    at: &At,
    name: &str,
    digest: &str,
    at_most: Duration,
) -> Result<Result<(), String>, String> {
    let end = Instant::now() + at_most;
    loop {
        let shown: super::Detail = read(at.request(Method::GET, name, "")?).await?;
        let version = shown.versions.iter().find(|one| one.digest == digest);
        let state = version.map_or("gone", |version| version.state.as_str());
        let reason = version.and_then(|version| version.reason.clone());
        let running = shown.running.as_ref();
        let decides = running.and_then(|running| running.digest.as_deref()) == Some(digest);
        if state == "active" && decides {
            return Ok(Ok(()));
        }
        if state == "quarantined" {
            let why = reason.unwrap_or_else(|| "it failed too often".to_owned());
            return Ok(Err(format!("it was taken out: {why}")));
        }
        if Instant::now() >= end {
            let error = running.and_then(|running| running.last_error.clone());
            let other = running.and_then(|running| running.digest.as_deref());
            return Ok(Err(format!(
                "after {} s it is {state}{}; {} decides, from {}",
                at_most.as_secs(),
                reason
                    .or(error)
                    .map_or_else(String::new, |why| format!(" ({why})")),
                other.map_or("none", short),
                running.map_or("nowhere", |running| &running.source)
            )));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The name as the gateway says it.
fn shown(at: &At, name: &str) -> String {
    at.tenant
        .as_ref()
        .map_or_else(|| name.to_owned(), |tenant| format!("{tenant}/{name}"))
}

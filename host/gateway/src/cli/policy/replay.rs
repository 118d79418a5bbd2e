//! `weir policy replay`: calls that were, through a version that is not in force yet.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use weir_policy::Isolation;

use super::local::{io, runner};
use super::{At, journal, read};
use crate::cases::replay::{LedgerCall, PastCall, Replay, Side, recordings};

/// Calls of one page of the ledger.
const PAGE: u32 = 1_000;

/// Runs recorded calls through a version and shows what it would have decided otherwise.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The component, or a core module made by wit-bindgen.
    file: PathBuf,
    /// The calls: `ledger` for those of a running gateway; a folder of recorded exchanges; a file
    /// with a line of JSON for each call, as the admin API's `calls` has them; or a policy's journal, as
    /// a file or `journal:NAME`, whose calls run again with the answers that the host gave.
    #[arg(long, value_name = "ledger|journal:NAME|PATH")]
    from: String,
    /// With a journal, which holds no secrets: the variable with the value of one.
    #[arg(long, value_name = "NAME=VARIABLE")]
    secret: Vec<String>,
    /// The version to compare with; without, what was decided then.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// The policy's configuration, as JSON.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    policy_config: String,
    /// The configuration of the version to compare with; else the same.
    #[arg(long, value_name = "JSON", requires = "against")]
    against_config: Option<String>,
    /// Calls of the ledger begun at or after: an RFC 3339 time, a date, or milliseconds.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Calls at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000)]
    max: usize,
    /// Write a line of JSON for each call that would be decided otherwise to this file.
    #[arg(long, value_name = "FILE")]
    lines: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Deserialize)]
struct Page {
    data: Vec<LedgerCall>,
    next: Option<String>,
}

/// Does it.
pub(super) async fn run(arguments: Arguments) -> Result<(String, ExitCode), String> {
    let (from, max) = (&arguments.from, arguments.max);
    if let Some(lines) = journal::lines(from, max, &arguments.at).await? {
        let secrets = journal::secrets(&arguments.secret)?;
        let (file, lines_to) = (&arguments.file, arguments.lines.as_deref());
        return journal::play(file, &lines, max, &secrets, lines_to).await;
    }
    let config = json(&arguments.policy_config, "--policy-config")?;
    let mut old = match &arguments.against {
        None => None,
        Some(file) => Some(Side {
            runner: runner(file, Isolation::Shared)?,
            config: match &arguments.against_config {
                Some(config) => json(config, "--against-config")?,
                None => config.clone(),
            },
        }),
    };
    let mut new = Side {
        runner: runner(&arguments.file, Isolation::Shared)?,
        config,
    };
    for side in old.iter().chain([&new]) {
        side.runner.let_the_store_last();
    }
    let mut replay = Replay::default();
    for call in calls(&arguments, &mut replay).await? {
        replay
            .run(&mut new, old.as_mut(), call)
            .await
            .map_err(|error| error.to_string())?;
    }
    if let Some(path) = &arguments.lines {
        std::fs::write(path, replay.lines()).map_err(io(path))?;
    }
    Ok((replay.text(), ExitCode::SUCCESS))
}

fn json(text: &str, flag: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{flag} is not JSON: {error}"))
}

async fn calls(arguments: &Arguments, replay: &mut Replay) -> Result<Vec<PastCall>, String> {
    let from = Path::new(&arguments.from);
    if from.is_dir() {
        if arguments.against.is_none() {
            return Err(
                "recordings do not say what was decided; name a version with --against".to_owned(),
            );
        }
        let found = recordings(from).map_err(io(from))?;
        let known = found
            .iter()
            .take(arguments.max)
            .map(|path| PastCall::of_recording(path));
        return Ok(keep(
            known,
            replay,
            "they are no recordings of endpoints that Weir has",
        ));
    }
    let calls = if arguments.from == "ledger" {
        ledger(arguments).await?
    } else {
        let text = std::fs::read_to_string(from).map_err(io(from))?;
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty());
        let call = |(at, line): (usize, &str)| {
            serde_json::from_str(line)
                .map_err(|error| format!("{}:{}: {error}", from.display(), at + 1))
        };
        lines
            .take(arguments.max)
            .map(call)
            .collect::<Result<_, _>>()?
    };
    let known = calls.into_iter().map(PastCall::of_ledger);
    Ok(keep(
        known,
        replay,
        "no request is known that would be such a call",
    ))
}

fn keep(
    calls: impl Iterator<Item = Option<PastCall>>,
    replay: &mut Replay,
    why: &str,
) -> Vec<PastCall> {
    let mut kept = Vec::new();
    for call in calls {
        match call {
            Some(call) => kept.push(call),
            None => *replay.skipped.entry(why.to_owned()).or_default() += 1,
        }
    }
    kept
}

async fn ledger(arguments: &Arguments) -> Result<Vec<LedgerCall>, String> {
    let mut calls = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &PAGE.to_string());
        let more = [
            ("from", arguments.since.as_ref()),
            ("tenant", arguments.at.tenant.as_ref()),
            ("cursor", cursor.as_ref()),
        ];
        for (name, value) in more {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        let request = arguments
            .at
            .gateway
            .at(Method::GET, &format!("calls?{}", query.finish()))?;
        let page: Page = read(request).await?;
        calls.extend(page.data);
        cursor = page.next;
        if cursor.is_none() || calls.len() >= arguments.max {
            calls.truncate(arguments.max);
            return Ok(calls);
        }
    }
}

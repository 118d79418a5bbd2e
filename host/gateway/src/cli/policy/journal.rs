//! `weir policy replay --from` a journal: calls that were journalled run again, answer for answer.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Value, json};
use weir_policy::Isolation;

use super::local::{io, runner};
use super::{At, read_text};
use crate::cases::again::{Again, Played};
use crate::journal::record::Record;

/// Calls that differ of which more than a number is said.
const SHOWN_MAX: usize = 20;

/// The lines of a journal, where the source is one: `journal:NAME` for that of a running gateway, else a
/// file whose first line is of a journal.
pub(super) async fn lines(from: &str, max: usize, at: &At) -> Result<Option<String>, String> {
    if let Some(policy) = from.strip_prefix("journal:") {
        let request = at.request(Method::GET, policy, &format!("/journal?limit={max}"))?;
        return read_text(request).await.map(Some);
    }
    let path = Path::new(from);
    if from == "ledger" || path.is_dir() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(io(path))?;
    let first = text.lines().find(|line| !line.trim().is_empty());
    let first: Option<Value> = first.and_then(|line| serde_json::from_str(line).ok());
    let is_journal = first.is_some_and(|first| first.get("journal").is_some());
    Ok(is_journal.then_some(text))
}

/// Secrets as `--secret NAME=VARIABLE` names them, from the environment.
pub(super) fn secrets(named: &[String]) -> Result<BTreeMap<String, String>, String> {
    let secret = |named: &String| {
        let (name, variable) = named
            .split_once('=')
            .ok_or_else(|| format!("--secret {named}: say NAME=VARIABLE"))?;
        let value = std::env::var(variable)
            .map_err(|_| format!("--secret {named}: the variable {variable} is not set"))?;
        Ok((name.to_owned(), value))
    };
    named.iter().map(secret).collect()
}

/// Runs them. Ends with 1 where a call of the same version came out otherwise.
pub(super) async fn play(
    file: &Path,
    lines: &str,
    max: usize,
    secrets: &BTreeMap<String, String>,
    lines_to: Option<&Path>,
) -> Result<(String, ExitCode), String> {
    let mut runner = runner(file, Isolation::Call)?;
    let mut all = Vec::new();
    let numbered = lines.lines().enumerate();
    let records = numbered.filter(|(_, line)| !line.trim().is_empty());
    for (at, line) in records.take(max) {
        let record: Record = serde_json::from_str(line)
            .map_err(|error| format!("line {} of the journal: {error}", at + 1))?;
        let call = record.call.clone();
        let played = runner.again(record, secrets).await;
        all.push(played.map_err(|error| format!("{call}: {error}"))?);
    }
    if let Some(path) = lines_to {
        let text: String = all.iter().map(line).collect();
        std::fs::write(path, text).map_err(io(path))?;
    }
    let failed = all
        .iter()
        .any(|played| played.same_version && matches!(played.again, Again::Differs(_)));
    let code = if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    };
    Ok((text(&all), code))
}

fn outcome(again: &Again) -> (&'static str, Option<&str>) {
    match again {
        Again::Same => ("same", None),
        Again::SameUntilCut => ("same_until_cut", None),
        Again::Differs(how) => ("differs", Some(how)),
        Again::OfTime(how) => ("of_time", Some(how)),
    }
}

fn line(played: &Played) -> String {
    let (outcome, difference) = outcome(&played.again);
    let line = json!({
        "call": played.call,
        "same_version": played.same_version,
        "hooks": played.hooks,
        "outcome": outcome,
        "difference": difference,
    });
    format!("{line}\n")
}

fn text(all: &[Played]) -> String {
    let (same, other): (Vec<&Played>, Vec<&Played>) =
        all.iter().partition(|played| played.same_version);
    let mut text = format!("{} calls of the journal\n", all.len());
    for (which, played) in [("this version", same), ("another version", other)] {
        if played.is_empty() {
            continue;
        }
        let count = |wanted: &str| {
            let all = played.iter();
            all.filter(|one| outcome(&one.again).0 == wanted).count()
        };
        let hooks: usize = played.iter().map(|one| one.hooks).sum();
        let _ = writeln!(
            text,
            "of {which}: {}, with {hooks} hooks; {} ran again bit for bit, {} as far as the journal goes, {} differ, {} had failed for want of time",
            played.len(),
            count("same"),
            count("same_until_cut"),
            count("differs"),
            count("of_time"),
        );
    }
    let different = all
        .iter()
        .filter_map(|played| Some((&played.call, outcome(&played.again).1?)));
    for (call, difference) in different.clone().take(SHOWN_MAX) {
        let _ = writeln!(text, "  {call}: {difference}");
    }
    let more = different.count().saturating_sub(SHOWN_MAX);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more (--lines has them all)");
    }
    text
}

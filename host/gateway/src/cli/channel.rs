//! `weir channel …`: asks a running gateway about its channels, over its admin API.

use std::fmt::Write as _;
use std::io::{Write, stdout};
use std::process::ExitCode;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_base::Usage;

use super::gateway::{Gateway, broken, sent};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a minimal real call for each model of a channel with each of its keys. Ends with 1 where
    /// any failed.
    Test {
        /// The channel.
        name: String,
        /// A model to test, as callers name it. May be given several times. Default: those that the
        /// channel names, else the first five that its provider lists.
        #[arg(long = "model", value_name = "MODEL")]
        models: Vec<String>,
        /// The id of a provider key. Default: every key.
        #[arg(long, value_name = "ID")]
        key: Option<String>,
        /// Ask for streams.
        #[arg(long)]
        stream: bool,
        /// Milliseconds for each call. Default: 60000.
        #[arg(long, value_name = "MS")]
        timeout_ms: Option<u64>,
        /// Print the API's JSON lines.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: Gateway,
    },
    /// Show what is left on the account behind each key. Ends with 1 where that is not known.
    Balance {
        /// The channel.
        name: String,
        /// Print the API's JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: Gateway,
    },
}

/// Does it. The error is a sentence for the one who typed it.
pub(super) fn run(command: Command) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let all_went_well = runtime.block_on(async {
        match command {
            Command::Test {
                name,
                models,
                key,
                stream,
                timeout_ms,
                json,
                gateway,
            } => {
                let order = json!({
                    "models": models,
                    "key": key,
                    "stream": stream,
                    "timeout_ms": timeout_ms,
                });
                test(&gateway, &name, &order, json).await
            }
            Command::Balance {
                name,
                json,
                gateway,
            } => balance(&gateway, &name, json).await,
        }
    })?;
    Ok(if all_went_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A line of a test's progress, as far as it is shown.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Result(TestResult),
    Summary(Summary),
}

#[derive(Debug, Deserialize)]
struct TestResult {
    model: Option<String>,
    key: Option<String>,
    ok: bool,
    first_byte_ms: Option<u32>,
    total_ms: u32,
    usage: Option<Usage>,
    cause: Option<String>,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Summary {
    channel: String,
    ok: bool,
    passed: usize,
    failed: usize,
    untested: usize,
    total_ms: u32,
}

#[derive(Debug, Deserialize)]
struct Balance {
    keys: Vec<KeyBalance>,
}

#[derive(Debug, Deserialize)]
struct KeyBalance {
    key: Option<String>,
    ok: bool,
    amounts: Vec<Amount>,
    cause: Option<String>,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Amount {
    currency: Option<String>,
    remaining: Option<f64>,
    used: Option<f64>,
}

async fn test(gateway: &Gateway, name: &str, order: &Value, json: bool) -> Result<bool, String> {
    let request = gateway.request(Method::POST, name, "test")?;
    let mut response = sent(request.body(order.to_string())).await?;
    let (mut unread, mut verdict) = (Vec::new(), None);
    while let Some(piece) = response.chunk().await.map_err(|error| broken(&error))? {
        unread.extend_from_slice(&piece);
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            let text: Vec<u8> = unread.drain(..=end).collect();
            let line: Line = serde_json::from_slice(&text)
                .map_err(|error| format!("the gateway's answer cannot be read: {error}"))?;
            if let Line::Summary(summary) = &line {
                verdict = Some(summary.ok);
            }
            if json {
                show(&text)?;
            } else {
                show(said_of(&line).as_bytes())?;
            }
        }
    }
    verdict.ok_or_else(|| "the gateway ended the test before its end".to_owned())
}

/// One line for people.
fn said_of(line: &Line) -> String {
    let result = match line {
        Line::Result(result) => result,
        Line::Summary(summary) => {
            let untested = match summary.untested {
                0 => String::new(),
                untested => format!(", {untested} not tested (too many, or too slow)"),
            };
            return format!(
                "{}: {} passed, {} failed{untested}, in {} ms\n",
                summary.channel, summary.passed, summary.failed, summary.total_ms
            );
        }
    };
    let model = result.model.as_deref().unwrap_or("list of models");
    let place = match &result.key {
        Some(key) => format!("{model} with key {key}"),
        None => model.to_owned(),
    };
    if !result.ok {
        return failed(&place, result.cause.as_ref(), result.message.as_ref());
    }
    let mut said = format!("ok      {place}: ");
    if let Some(first_byte_ms) = result.first_byte_ms {
        let _ = write!(said, "first byte {first_byte_ms} ms, ");
    }
    let _ = write!(said, "{} ms", result.total_ms);
    if let Some(usage) = &result.usage {
        let _ = write!(
            said,
            ", {} tokens in, {} out",
            usage.input_tokens, usage.output_tokens
        );
    }
    said + "\n"
}

fn failed(what: &str, cause: Option<&String>, message: Option<&String>) -> String {
    let text = |text: Option<&String>| text.map_or("-", String::as_str).to_owned();
    format!("FAILED  {what}: {}: {}\n", text(cause), text(message))
}

async fn balance(gateway: &Gateway, name: &str, json: bool) -> Result<bool, String> {
    let request = gateway.request(Method::GET, name, "balance")?;
    let response = sent(request).await?;
    let text = response.text().await.map_err(|error| broken(&error))?;
    let balance: Balance = serde_json::from_str(&text)
        .map_err(|error| format!("the gateway's answer cannot be read: {error}"))?;
    if json {
        show(format!("{text}\n").as_bytes())?;
    } else {
        for key in &balance.keys {
            show(balance_of(key).as_bytes())?;
        }
    }
    Ok(!balance.keys.is_empty() && balance.keys.iter().all(|key| key.ok))
}

fn balance_of(balance: &KeyBalance) -> String {
    let place = match &balance.key {
        Some(key) => format!("key {key}"),
        None => "without a key".to_owned(),
    };
    if !balance.ok {
        return failed(&place, balance.cause.as_ref(), balance.message.as_ref());
    }
    let mut lines = String::new();
    for amount in &balance.amounts {
        let currency = amount
            .currency
            .as_deref()
            .unwrap_or("of an unknown currency");
        let left = match amount.remaining {
            Some(left) => format!("{left} {currency} left"),
            None => "no limit".to_owned(),
        };
        let used = amount.used;
        let used = used.map_or_else(String::new, |used| format!(", {used} {currency} used"));
        let _ = writeln!(lines, "ok      {place}: {left}{used}");
    }
    lines
}

/// Prints at once, so that progress is seen as it happens.
fn show(text: &[u8]) -> Result<(), String> {
    let mut out = stdout();
    out.write_all(text)
        .and_then(|()| out.flush())
        .map_err(|error| error.to_string())
}

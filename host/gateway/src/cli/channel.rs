//! `weir channel …`: asks a running gateway about its channels, over its admin API.

use std::fs;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Settings;
use crate::config;

/// Where the gateway is, and with which key.
#[derive(Debug, clap::Args)]
pub(super) struct Gateway {
    /// The admin API's address, for example http://127.0.0.1:8080; else where the gateway with these
    /// settings says that it listens.
    #[arg(long, value_name = "URL", env = "WEIR_ADMIN_URL")]
    admin_url: Option<String>,
    /// A file with the admin key; else WEIR_ADMIN_KEY, else the one in the data folder.
    #[arg(long, value_name = "FILE")]
    admin_key_file: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

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

async fn test(gateway: &Gateway, name: &str, order: &Value, json: bool) -> Result<bool, String> {
    let request = gateway.request(reqwest::Method::POST, name, "test")?;
    let mut response = sent(request.body(order.to_string())).await?;
    let (mut unread, mut verdict) = (Vec::new(), None);
    while let Some(piece) = response.chunk().await.map_err(|error| broken(&error))? {
        unread.extend_from_slice(&piece);
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            let object: Value = serde_json::from_slice(&line)
                .map_err(|_| "the gateway sent a line that is not JSON".to_owned())?;
            if object["type"] == "summary" {
                verdict = Some(object["ok"] == true);
            }
            if json {
                show(&line)?;
            } else {
                show(said_of(&object).as_bytes())?;
            }
        }
    }
    verdict.ok_or_else(|| "the gateway ended the test before its end".to_owned())
}

/// One line for people.
fn said_of(line: &Value) -> String {
    let text = |field: &str| line[field].as_str().unwrap_or("-");
    if line["type"] == "summary" {
        let untested = match line["untested"].as_u64() {
            None | Some(0) => String::new(),
            Some(untested) => format!(", {untested} not tested (too many)"),
        };
        return format!(
            "{}: {} passed, {} failed{untested}, in {} ms\n",
            text("channel"),
            line["passed"],
            line["failed"],
            line["total_ms"]
        );
    }
    let model = line["model"].as_str().unwrap_or("list of models");
    let place = match line["key"].as_str() {
        Some(key) => format!("{model} with key {key}"),
        None => model.to_owned(),
    };
    if line["ok"] == true {
        let usage = &line["usage"];
        let tokens = match (&usage["input_tokens"], &usage["output_tokens"]) {
            (Value::Null, _) | (_, Value::Null) => "tokens not told".to_owned(),
            (input, output) => format!("{input} tokens in, {output} out"),
        };
        let first_byte = match &line["first_byte_ms"] {
            Value::Null => String::new(),
            ms => format!("first byte {ms} ms, "),
        };
        format!(
            "ok      {place}: {first_byte}{} ms, {tokens}\n",
            line["total_ms"]
        )
    } else {
        format!("FAILED  {place}: {}: {}\n", text("cause"), text("message"))
    }
}

async fn balance(gateway: &Gateway, name: &str, json: bool) -> Result<bool, String> {
    let request = gateway.request(reqwest::Method::GET, name, "balance")?;
    let response = sent(request).await?;
    let text = response.text().await.map_err(|error| broken(&error))?;
    let answer: Value =
        serde_json::from_str(&text).map_err(|_| "the gateway's answer is not JSON".to_owned())?;
    let keys = answer["keys"].as_array().map_or(&[][..], Vec::as_slice);
    if json {
        show(format!("{text}\n").as_bytes())?;
    } else {
        for key in keys {
            show(balance_of(key).as_bytes())?;
        }
    }
    Ok(!keys.is_empty() && keys.iter().all(|key| key["ok"] == true))
}

fn balance_of(key: &Value) -> String {
    let name = key["key"].as_str().unwrap_or("-");
    if key["ok"] != true {
        let text = |field: &str| key[field].as_str().unwrap_or("-");
        return format!(
            "FAILED  key {name}: {}: {}\n",
            text("cause"),
            text("message")
        );
    }
    let mut lines = String::new();
    for amount in key["amounts"].as_array().into_iter().flatten() {
        let currency = amount["currency"]
            .as_str()
            .unwrap_or("of an unknown currency");
        let left = match amount["remaining"].as_f64() {
            Some(left) => format!("{left} {currency} left"),
            None => "no limit".to_owned(),
        };
        let used = amount["used"]
            .as_f64()
            .map(|used| format!(", {used} {currency} used"));
        lines += &format!("ok      key {name}: {left}{}\n", used.unwrap_or_default());
    }
    lines
}

impl Gateway {
    fn request(
        &self,
        method: reqwest::Method,
        channel: &str,
        what: &str,
    ) -> Result<reqwest::RequestBuilder, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !channel.bytes().all(plain) {
            return Err(format!("{channel:?} is no name of a channel"));
        }
        let data_dir = self.data_dir()?;
        let base = match &self.admin_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => address(&data_dir)?,
        };
        let url = format!("{base}/admin/v1/channels/{channel}/{what}");
        Ok(client()?
            .request(method, url)
            .bearer_auth(self.key(&data_dir)?))
    }

    fn data_dir(&self) -> Result<PathBuf, String> {
        let loaded =
            config::load(&self.settings.sources()?).map_err(|errors| errors.to_string())?;
        Ok(loaded.config.data_dir)
    }

    fn key(&self, data_dir: &std::path::Path) -> Result<String, String> {
        if self.admin_key_file.is_none()
            && let Ok(key) = std::env::var("WEIR_ADMIN_KEY")
            && !key.is_empty()
        {
            return Ok(key);
        }
        let path = self.admin_key_file.clone();
        let path = path.unwrap_or_else(|| data_dir.join("admin-key"));
        match fs::read_to_string(&path) {
            Ok(key) => Ok(key.trim().to_owned()),
            Err(error) => Err(format!(
                "no admin key: {}: {error}; set WEIR_ADMIN_KEY or --admin-key-file",
                path.display()
            )),
        }
    }
}

/// Where the running gateway says that its admin API is.
fn address(data_dir: &std::path::Path) -> Result<String, String> {
    let path = data_dir.join("listening.json");
    let told = fs::read(&path).ok();
    let told: Option<Value> = told.and_then(|text| serde_json::from_slice(&text).ok());
    let address = told.and_then(|told| told["admin"].as_str().map(str::to_owned));
    match address {
        Some(address) => Ok(format!("http://{address}")),
        None => Err(format!(
            "no gateway runs with the data folder {}; start it, or say --admin-url",
            data_dir.display()
        )),
    }
}

fn client() -> Result<reqwest::Client, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // The admin key goes to this address only: no redirect, no proxy of the environment.
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| error.to_string())
}

async fn sent(request: reqwest::RequestBuilder) -> Result<reqwest::Response, String> {
    let response = request
        .send()
        .await
        .map_err(|error| format!("the gateway cannot be reached: {error}"))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    match body["error"]["message"].as_str() {
        Some(message) => Err(message.to_owned()),
        None => Err(format!("the gateway answered {status}")),
    }
}

fn broken(error: &reqwest::Error) -> String {
    format!("the gateway's answer broke off: {error}")
}

/// Prints at once, so that progress is seen as it happens.
fn show(text: &[u8]) -> Result<(), String> {
    let mut out = stdout();
    out.write_all(text)
        .and_then(|()| out.flush())
        .map_err(|error| error.to_string())
}

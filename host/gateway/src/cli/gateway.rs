//! The gateway that runs, as a command finds it: its address, its admin key, a request to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde::Deserialize;

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

/// What `serve` tells of itself in its data folder.
#[derive(Debug, Deserialize)]
struct Listening {
    admin: String,
}

/// An error of the admin API.
#[derive(Debug, Deserialize)]
struct Refusal {
    error: Told,
}

#[derive(Debug, Deserialize)]
struct Told {
    message: String,
}

impl Gateway {
    /// A request about `channel`.
    pub(super) fn request(
        &self,
        method: Method,
        channel: &str,
        what: &str,
    ) -> Result<RequestBuilder, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !channel.bytes().all(plain) {
            return Err(format!("{channel:?} is no name of a channel"));
        }
        self.at(method, &format!("channels/{channel}/{what}"))
    }

    /// A request for what lies at this path below `/admin/v1/`.
    pub(super) fn at(&self, method: Method, path: &str) -> Result<RequestBuilder, String> {
        let base = match &self.admin_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => address(&self.data_dir()?)?,
        };
        let url = format!("{base}/admin/v1/{path}");
        Ok(client()?.request(method, url).bearer_auth(self.key()?))
    }

    /// Looked for only where it is needed: settings may name what only the gateway's machine has.
    fn data_dir(&self) -> Result<PathBuf, String> {
        let loaded =
            config::load(&self.settings.sources()?).map_err(|errors| errors.to_string())?;
        Ok(loaded.config.data_dir)
    }

    fn key(&self) -> Result<String, String> {
        let path = match &self.admin_key_file {
            Some(path) => path.clone(),
            None => match std::env::var("WEIR_ADMIN_KEY") {
                Ok(key) if !key.is_empty() => return Ok(key),
                _ => self.data_dir()?.join("admin-key"),
            },
        };
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
fn address(data_dir: &Path) -> Result<String, String> {
    let path = data_dir.join("listening.json");
    let told = fs::read(&path).ok();
    let told = told.and_then(|text| serde_json::from_slice::<Listening>(&text).ok());
    match told {
        Some(told) => Ok(format!("http://{}", told.admin)),
        None => Err(format!(
            "no gateway runs with the data folder {}; start it, or say --admin-url",
            data_dir.display()
        )),
    }
}

fn client() -> Result<Client, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // The admin key goes to this address only: no redirect, no proxy of the environment.
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| error.to_string())
}

/// Sends it. An answer that is no success is an error, in the gateway's own words.
pub(super) async fn sent(request: RequestBuilder) -> Result<Response, String> {
    let response = request
        .send()
        .await
        .map_err(|error| format!("the gateway cannot be reached: {error}"))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    match serde_json::from_str::<Refusal>(&text) {
        Ok(refusal) => Err(refusal.error.message),
        Err(_) => Err(format!("the gateway answered {status}")),
    }
}

/// What it means that an answer did not come to its end.
pub(super) fn broken(error: &reqwest::Error) -> String {
    format!("the gateway's answer broke off: {error}")
}

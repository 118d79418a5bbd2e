//! Settings that are text of a certain form: names, addresses, URLs, patterns, times, references to
//! secrets.

mod globs;
mod policy;
mod proxy;
mod secret;
mod sticky;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderName, Uri};
use ipnet::IpNet;
use serde_json::json;

use super::node::{Node, Value};
use super::report::{Origin, Report, suggestion};
use super::setting::{Kind, Setting, text, wrong_kind};

pub use globs::Globs;
pub(super) use policy::FreeTable;
pub use policy::PolicySource;
pub(super) use proxy::ProxyText;
pub(super) use secret::{HeaderText, SecretRef};
pub use sticky::StickyBy;

/// A name that fits a URL, a metric label and a file name.
#[derive(Debug, Clone)]
pub(super) struct Name(pub(super) Arc<str>);

impl Setting for Name {
    fn kind() -> Kind {
        Kind::Text("a name of 1 to 64 letters, digits, \".\", \"_\" and \"-\"")
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        text(node, report, |text| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            // A name that begins with a dot would be a hidden file or a path to elsewhere.
            if (1..=64).contains(&text.len()) && text.chars().all(allowed) && !text.starts_with('.')
            {
                Ok(Self(text.into()))
            } else {
                Err(format!("must be {}, not {text:?}", Self::kind().phrase()))
            }
        })
    }

    fn json(&self) -> serde_json::Value {
        json!(*self.0)
    }
}

impl Setting for SocketAddr {
    fn kind() -> Kind {
        Kind::Text("an address and port like \"127.0.0.1:8080\"")
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        text(node, report, |text| {
            text.parse()
                .map_err(|_| format!("must be {}, not {text:?}", Self::kind().phrase()))
        })
    }

    fn json(&self) -> serde_json::Value {
        json!(self.to_string())
    }
}

impl Setting for IpNet {
    fn kind() -> Kind {
        Kind::Text("an address or network like \"10.0.0.0/8\"")
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        text(node, report, |text| {
            let one_address = || text.parse::<IpAddr>().ok().map(IpNet::from);
            let network = text.parse::<IpNet>().ok().or_else(one_address);
            network.ok_or_else(|| format!("must be {}, not {text:?}", Self::kind().phrase()))
        })
    }

    fn json(&self) -> serde_json::Value {
        json!(self.to_string())
    }
}

/// A relative path in the file starts where the file is, so that the program can be started from
/// anywhere; from other sources it starts in the working directory, as in any shell.
impl Setting for PathBuf {
    fn kind() -> Kind {
        Kind::Text("a path")
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let base_dir = report.base_dir.clone();
        text(node, report, |text| {
            Ok(against(&base_dir, &node.origin, text))
        })
    }

    fn json(&self) -> serde_json::Value {
        json!(self.to_string_lossy())
    }
}

fn against(base_dir: &std::path::Path, origin: &Origin, path: &str) -> PathBuf {
    match origin {
        Origin::File { .. } if !path.is_empty() => base_dir.join(path),
        _ => PathBuf::from(path),
    }
}

impl Setting for Uri {
    fn kind() -> Kind {
        Kind::Text("a URL like \"https://host/path\"")
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        text(node, report, parse_url)
    }

    fn json(&self) -> serde_json::Value {
        json!(self.to_string())
    }
}

fn parse_url(text: &str) -> Result<Uri, String> {
    if text.contains('@') {
        // Not repeated: what stands before the @ may be a password.
        return Err("must be a URL without a user name or password".to_owned());
    }
    let wrong = |_| format!("must be {}, not {text:?}", Uri::kind().phrase());
    let url: Uri = text.trim_end_matches('/').parse().map_err(wrong)?;
    match (url.scheme_str(), url.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => {}
        _ => return Err(format!("must be {}, not {text:?}", Uri::kind().phrase())),
    }
    if url.query().is_some() || text.contains('#') {
        return Err("must be a URL without a query or fragment".to_owned());
    }
    Ok(url)
}

/// A moment, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) unix_ms: u64,
}

impl Setting for Moment {
    fn kind() -> Kind {
        Kind::Text(
            "a date like 2027-01-31 (its beginning in UTC) or a time like 2027-01-31T12:00:00Z",
        )
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let written = match &node.value {
            Value::Time(written) | Value::Text(written) => written,
            _ => return wrong_kind::<Self, Self>(node, report),
        };
        let date = |text: &str| {
            let date = text.parse::<jiff::civil::Date>().ok()?;
            Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
        };
        // A time without an offset also parses as a date, and would silently lose its hours.
        let moment = if written.len() == "2027-01-31".len() {
            date(written)
        } else {
            written.parse::<jiff::Timestamp>().ok()
        };
        let unix_ms = moment.and_then(|moment| u64::try_from(moment.as_millisecond()).ok());
        if unix_ms.is_none() {
            let message = format!("must be {}, not {written:?}", Self::kind().phrase());
            report.error(&node.origin, &node.path, message);
        }
        unix_ms.map(|unix_ms| Self { unix_ms })
    }

    fn json(&self) -> serde_json::Value {
        let moment = i64::try_from(self.unix_ms).ok();
        let moment = moment.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        moment.map_or(serde_json::Value::Null, |moment| json!(moment.to_string()))
    }
}

/// What is logged: a level, or levels by module, as `tracing`'s filters take them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(String);

impl LogLevel {
    const WORDS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

    pub(super) fn info() -> Self {
        Self("info".to_owned())
    }

    /// The filter, for `tracing_subscriber::EnvFilter`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for LogLevel {
    fn kind() -> Kind {
        Kind::Text("a level or `module=level`, several with commas between")
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        text(node, report, |text| {
            // The filter itself would take a misspelt level for a module, and log nothing.
            for directive in text.split(',') {
                let level = directive
                    .rsplit_once('=')
                    .map_or(directive, |(_, level)| level)
                    .trim();
                let lower = level.to_ascii_lowercase();
                if !Self::WORDS.contains(&lower.as_str()) {
                    let hint = suggestion(&lower, Self::WORDS);
                    let known = Self::WORDS.join(", ");
                    return Err(format!("{level:?} is no level ({known}){hint}"));
                }
            }
            Ok(Self(text.to_owned()))
        })
    }

    fn json(&self) -> serde_json::Value {
        json!(self.0)
    }
}

/// Names of headers that belong to the connection or to Weir, and that no setting may set.
pub(super) fn header_name(name: &str) -> Result<HeaderName, String> {
    const OWN: [&str; 8] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    let parsed = HeaderName::from_bytes(name.as_bytes());
    let parsed = parsed.map_err(|_| format!("{name:?} is no header name"))?;
    if OWN.contains(&parsed.as_str()) {
        return Err(format!("the header {name:?} is Weir's own to set"));
    }
    Ok(parsed)
}

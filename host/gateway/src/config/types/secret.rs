//! Secrets and where they are taken from. Nothing here shows one.

use std::fmt;
use std::path::PathBuf;

use http::HeaderValue;
use serde_json::json;
use weir_base::Secret;

use super::against;
use crate::config::node::Node;
use crate::config::report::Report;
use crate::config::setting::{Kind, Setting, text};

/// Where a secret is to be taken from.
#[derive(Clone)]
pub(in crate::config) enum SecretRef {
    Environment(String),
    File(PathBuf),
    Plain(Secret),
}

const SECRET_FORMS: &str = "\"env:NAME\", \"file:PATH\" or \"plain:VALUE\"";

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretRef({})", self.json())
    }
}

impl Setting for SecretRef {
    fn kind() -> Kind {
        Kind::Text("a secret: \"env:NAME\", \"file:PATH\" or \"plain:VALUE\"")
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let base_dir = report.base_dir.clone();
        text(node, report, |text| match text.split_once(':') {
            Some((form, "")) if matches!(form, "env" | "file" | "plain") => {
                Err(format!("nothing follows \"{form}:\""))
            }
            Some(("env", name)) => Ok(Self::Environment(name.to_owned())),
            Some(("file", path)) => Ok(Self::File(against(&base_dir, &node.origin, path))),
            Some(("plain", value)) => Ok(Self::Plain(Secret::new(value))),
            // The value is not repeated: it may be the secret itself, written without its form.
            _ => Err(format!("must be a secret written as {SECRET_FORMS}")),
        })
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Self::Environment(name) => json!(format!("env:{name}")),
            Self::File(path) => json!(format!("file:{}", path.display())),
            Self::Plain(_) => json!("plain:(hidden)"),
        }
    }
}

impl SecretRef {
    /// Fetches the secret. The error says what is missing and never what was found.
    pub(in crate::config) fn resolve(&self, report: &Report<'_>) -> Result<Secret, String> {
        match self {
            Self::Environment(name) => match report.environment.get(name) {
                Some(value) if !value.is_empty() => Ok(Secret::new(value)),
                Some(_) => Err(format!("the environment variable {name} is empty")),
                None => Err(format!("the environment variable {name} is not set")),
            },
            Self::File(path) => {
                let shown = path.display();
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("cannot read the secret file {shown}: {error}"))?;
                let text = Secret::new(text);
                // Editors and `echo` end a file with a newline that is not part of the secret.
                match text.expose().trim_end_matches(['\r', '\n']) {
                    "" => Err(format!("the secret file {shown} is empty")),
                    secret => Ok(Secret::new(secret)),
                }
            }
            Self::Plain(secret) => Ok(secret.clone()),
        }
    }
}

/// A header that is added to requests. Its value may be a credential, so it is not shown.
#[derive(Debug, Clone)]
pub(in crate::config) struct HeaderText(pub(in crate::config) Secret);

impl Setting for HeaderText {
    fn kind() -> Kind {
        Kind::Text("a header value")
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        text(node, report, |text| match HeaderValue::from_str(text) {
            Ok(_) => Ok(Self(Secret::new(text))),
            Err(_) => Err("must be a header value: no control characters".to_owned()),
        })
    }

    fn json(&self) -> serde_json::Value {
        json!("(hidden)")
    }
}

impl HeaderText {
    pub(in crate::config) fn value(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(self.0.expose()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

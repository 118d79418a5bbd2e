//! What only a `[[policy]]` has: its source, and the table that is its own.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::against;
use crate::config::node::{Node, Value};
use crate::config::report::Report;
use crate::config::setting::{Kind, Setting, text, wrong_kind};

/// Where a policy's code comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicySource {
    /// One that comes with Weir, by its name.
    Builtin(Arc<str>),
    /// A component or core module in this file.
    File(PathBuf),
}

impl Setting for PolicySource {
    fn kind() -> Kind {
        Kind::Text("\"builtin:NAME\" or \"file:PATH\"")
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let base_dir = report.base_dir.clone();
        text(node, report, |text| match text.split_once(':') {
            Some(("builtin", name)) if !name.is_empty() => Ok(Self::Builtin(name.into())),
            Some(("file", path)) if !path.is_empty() => {
                Ok(Self::File(against(&base_dir, &node.origin, path)))
            }
            _ => Err(format!("must be {}, not {text:?}", Self::kind().phrase())),
        })
    }

    fn json(&self) -> serde_json::Value {
        json!(self.to_string())
    }
}

impl fmt::Display for PolicySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(name) => write!(f, "builtin:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// A table that goes to a policy as it is.
#[derive(Debug, Clone, Default)]
pub(in crate::config) struct FreeTable(
    pub(in crate::config) serde_json::Map<String, serde_json::Value>,
);

impl Setting for FreeTable {
    fn kind() -> Kind {
        Kind::Free
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        match free(node, report)? {
            serde_json::Value::Object(table) => Some(Self(table)),
            _ => wrong_kind::<Self, Self>(node, report),
        }
    }

    fn empty() -> Option<Self> {
        Some(Self::default())
    }

    fn json(&self) -> serde_json::Value {
        self.0.clone().into()
    }
}

fn free(node: &Node, report: &mut Report<'_>) -> Option<serde_json::Value> {
    Some(match &node.value {
        Value::Text(text) | Value::Time(text) => json!(text),
        Value::Integer(integer) => json!(integer),
        Value::Float(float) if float.is_finite() => json!(float),
        Value::Float(_) => {
            report.error(
                &node.origin,
                &node.path,
                "infinity and nan have no place in JSON",
            );
            return None;
        }
        Value::Switch(switch) => json!(switch),
        Value::List(items) => items.iter().filter_map(|item| free(item, report)).collect(),
        Value::Table(table) => {
            let entries = table.iter();
            let entries = entries
                .filter_map(|(name, entry)| Some((name.clone(), free(&entry.node, report)?)));
            entries.collect::<serde_json::Map<_, _>>().into()
        }
    })
}

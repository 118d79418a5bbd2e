//! Patterns over names.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde_json::json;

use crate::config::node::{Node, Value};
use crate::config::report::Report;
use crate::config::setting::{Kind, Setting, wrong_kind};

/// Patterns with `*` and `?` over model, channel or tenant names. `*` also spans `/`, which is part
/// of many model names.
#[derive(Debug, Clone)]
pub struct Globs {
    patterns: Vec<String>,
    set: GlobSet,
    everything: bool,
}

impl PartialEq for Globs {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Globs {
    /// Compiles `patterns`.
    ///
    /// # Errors
    /// Names the first pattern that is none.
    pub fn new(patterns: Vec<String>) -> Result<Self, String> {
        let mut set = GlobSetBuilder::new();
        for pattern in &patterns {
            let glob = GlobBuilder::new(pattern).build();
            set.add(glob.map_err(|error| format!("{pattern:?} is no pattern: {}", error.kind()))?);
        }
        let set = set
            .build()
            .map_err(|error| format!("these are no patterns: {}", error.kind()))?;
        let everything = patterns.iter().any(|pattern| pattern == "*");
        Ok(Self {
            patterns,
            set,
            everything,
        })
    }

    /// The patterns that match every name.
    pub fn everything() -> Self {
        Self {
            patterns: vec!["*".to_owned()],
            set: GlobSet::empty(),
            everything: true,
        }
    }

    /// No pattern, which matches no name.
    pub fn nothing() -> Self {
        Self {
            patterns: Vec::new(),
            set: GlobSet::empty(),
            everything: false,
        }
    }

    /// Whether any of the patterns matches `name`.
    pub fn is_match(&self, name: &str) -> bool {
        self.everything || self.set.is_match(name)
    }

    /// Whether one of the patterns is `*`.
    pub fn is_everything(&self) -> bool {
        self.everything
    }

    /// The patterns as they were written.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }
}

impl Setting for Globs {
    fn kind() -> Kind {
        Kind::List(Box::new(Kind::Text("a pattern like \"gpt-*\"")))
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        // One pattern need not stand in a list.
        let patterns = match &node.value {
            Value::Text(pattern) => vec![pattern.clone()],
            Value::List(_) => Vec::<String>::read(node, report)?,
            _ => return wrong_kind::<Self, Self>(node, report),
        };
        match Self::new(patterns) {
            Ok(globs) => Some(globs),
            Err(message) => {
                report.error(&node.origin, &node.path, message);
                None
            }
        }
    }

    fn json(&self) -> serde_json::Value {
        json!(self.patterns)
    }
}

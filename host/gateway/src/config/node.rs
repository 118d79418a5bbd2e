//! The settings file as a tree in which every value knows where it was written.
//!
//! The tree is neutral between sources: values from the environment and the command line are put
//! into it before it is read, so that there is one reader and one way to report a mistake.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::report::{Origin, Report};

/// A value, where it was written, and the path of the setting that it is.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) path: String,
    pub(super) value: Value,
}

/// What TOML can say.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Switch(bool),
    /// A date or time in RFC 3339 form, as far as it was written.
    Time(String),
    List(Vec<Node>),
    Table(Table),
}

/// A table's values by name, each with the place of its name.
pub(super) type Table = BTreeMap<String, Entry>;

/// A name in a table, and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key_origin: Origin,
    pub(super) node: Node,
}

impl Node {
    pub(super) fn new(origin: Origin, path: impl Into<String>, value: Value) -> Self {
        Self {
            origin,
            path: path.into(),
            value,
        }
    }

    /// The kind of the value, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "text",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number with a fraction",
            Value::Switch(_) => "a boolean",
            Value::Time(_) => "a date or time",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

/// The path of `key` inside of `parent`. Keys that TOML would quote are quoted.
pub(super) fn join(parent: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let key = if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    };
    if parent.is_empty() {
        key
    } else {
        format!("{parent}.{key}")
    }
}

/// Reads a TOML document. Where its syntax is wrong, every syntax error is reported and there is no
/// tree: what stands behind a broken line cannot be judged.
pub(super) fn parse(name: &Arc<str>, text: &str, report: &mut Report<'_>) -> Option<Node> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut builder = Builder {
        places: Places::new(name, text),
        report,
    };
    for error in &errors {
        let origin = builder
            .places
            .origin(error.span().map_or(0, |span| span.start));
        // The error's own display would quote the line, which may hold a secret.
        builder
            .report
            .error(&origin, "", format!("not TOML: {}", error.message()));
    }
    if !errors.is_empty() {
        return None;
    }
    let origin = builder.places.origin(0);
    let table = builder.table("", document.get_ref());
    Some(Node::new(origin, "", Value::Table(table)))
}

/// Reads one TOML value, as it stands behind a `=`.
pub(super) fn parse_value(origin: &Origin, path: &str, text: &str) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    let list = value.get_ref().as_array()?;
    let texts = list.iter().map(|item| {
        let text = item.get_ref().as_str()?;
        Some(Node::new(
            origin.clone(),
            path,
            Value::Text(text.to_owned()),
        ))
    });
    let items = texts.collect::<Option<Vec<_>>>()?;
    Some(Node::new(origin.clone(), path, Value::List(items)))
}

struct Builder<'b, 'r> {
    places: Places<'b>,
    report: &'b mut Report<'r>,
}

impl Builder<'_, '_> {
    fn table(&mut self, path: &str, table: &DeTable<'_>) -> Table {
        let mut entries = Table::new();
        for (key, value) in table {
            let key_origin = self.places.origin(key.span().start);
            let path = join(path, key.get_ref());
            if let Some(node) = self.node(path, value) {
                entries.insert(key.get_ref().to_string(), Entry { key_origin, node });
            }
        }
        entries
    }

    fn list(&mut self, path: &str, list: &DeArray<'_>) -> Vec<Node> {
        let items = list.iter().enumerate();
        items
            .filter_map(|(index, item)| self.node(format!("{path}[{index}]"), item))
            .collect()
    }

    fn node(&mut self, path: String, value: &Spanned<DeValue<'_>>) -> Option<Node> {
        let origin = self.places.origin(value.span().start);
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(integer) => {
                match i64::from_str_radix(integer.as_str(), integer.radix()) {
                    Ok(integer) => Value::Integer(integer),
                    Err(_) => {
                        self.report
                            .error(&origin, &path, "this integer does not fit 64 bits");
                        return None;
                    }
                }
            }
            DeValue::Float(float) => match float.as_str().parse() {
                Ok(float) => Value::Float(float),
                Err(_) => {
                    self.report.error(&origin, &path, "this is not a number");
                    return None;
                }
            },
            DeValue::Boolean(switch) => Value::Switch(*switch),
            DeValue::Datetime(time) => Value::Time(time.to_string()),
            DeValue::Array(list) => Value::List(self.list(&path, list)),
            DeValue::Table(table) => Value::Table(self.table(&path, table)),
        };
        Some(Node::new(origin, path, value))
    }
}

/// Turns byte offsets into lines and columns.
struct Places<'t> {
    name: Arc<str>,
    text: &'t str,
    line_starts: Vec<usize>,
}

impl<'t> Places<'t> {
    fn new(name: &Arc<str>, text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0)
            .chain(ends.map(|(end, _)| end + 1))
            .collect();
        Self {
            name: name.clone(),
            text,
            line_starts,
        }
    }

    fn origin(&self, offset: usize) -> Origin {
        let line = self
            .line_starts
            .partition_point(|start| *start <= offset)
            .max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Origin::File {
            name: self.name.clone(),
            line: narrow(line),
            column: narrow(before.chars().count() + 1),
        }
    }
}

//! How a value of each kind is read, shown and described. [`settings!`](super::schema) builds
//! sections out of these.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Map, json};

use super::node::{Node, Table, Value};
use super::report::{Origin, Report, suggestion};
use super::schema::Field;

/// What a setting takes, for the documentation and for values that come as text.
pub(super) enum Kind {
    /// Text of a certain form, named with its article.
    Text(&'static str),
    /// One of these words.
    Words(&'static [&'static str]),
    Integer,
    Switch,
    List(Box<Kind>),
    /// A table with free names.
    Map(Box<Kind>),
    /// A table with these settings: `[name]`.
    Section(Vec<Field>),
    /// Any number of such tables: `[[name]]`.
    Sections(Vec<Field>),
    /// Any table at all.
    Free,
}

impl Kind {
    /// The kind in words, with its article.
    pub(super) fn phrase(&self) -> String {
        match self {
            Kind::Text(phrase) => (*phrase).to_owned(),
            Kind::Words(words) => {
                let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                quoted.join(" or ")
            }
            Kind::Integer => "an integer".to_owned(),
            Kind::Switch => "true or false".to_owned(),
            Kind::List(item) => format!("a list; each item is {}", item.phrase()),
            Kind::Map(item) => format!("a table; each value is {}", item.phrase()),
            Kind::Section(_) | Kind::Free => "a table".to_owned(),
            Kind::Sections(_) => "a list of tables".to_owned(),
        }
    }
}

/// A type that a setting can have.
pub(super) trait Setting: Sized {
    /// What is written for it.
    fn kind() -> Kind;

    /// Reads a value; what is wrong with it goes into the report.
    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self>;

    /// The value when nothing is written and the setting names no default; `None` where something
    /// must be written.
    fn empty() -> Option<Self> {
        None
    }

    /// The setting is not written and has no default: its empty value, or a mistake.
    fn absent(table_origin: &Origin, path: &str, report: &mut Report<'_>) -> Option<Self> {
        let empty = Self::empty();
        if empty.is_none() {
            let phrase = Self::kind().phrase();
            report.error(
                table_origin,
                path,
                format!("is missing; it must be {phrase}"),
            );
        }
        empty
    }

    /// The value as one may show it: secrets are hidden.
    fn json(&self) -> serde_json::Value;
}

/// A value that remembers where it was written, for checks that come later.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
    pub(super) path: String,
}

impl<T> At<T> {
    pub(super) fn error(&self, report: &mut Report<'_>, message: impl Into<String>) {
        report.error(&self.origin, &self.path, message);
    }
}

/// Reads one setting of a section. A wrong value counts as the default, so that reading goes on and
/// finds the other mistakes; the report makes sure that such a section is never used.
pub(super) fn field<T: Setting>(
    (table, table_origin, table_path): (&Table, &Origin, &str),
    name: &str,
    default: Option<fn() -> T>,
    bounds: Option<RangeInclusive<i64>>,
    report: &mut Report<'_>,
) -> Option<T> {
    let default = || default.map(|default| default());
    let Some(entry) = table.get(name) else {
        let path = super::node::join(table_path, name);
        return default().or_else(|| T::absent(table_origin, &path, report));
    };
    let read = match (&entry.node.value, bounds) {
        (Value::Integer(integer), Some(bounds)) if !bounds.contains(integer) => {
            let (low, high) = bounds.into_inner();
            let message = format!("must be from {low} to {high}, not {integer}");
            report.error(&entry.node.origin, &entry.node.path, message);
            None
        }
        _ => T::read(&entry.node, report),
    };
    read.or_else(default).or_else(T::empty)
}

/// Reports every name of `table` that is not `known`.
pub(super) fn refuse_unknown(table: &Table, path: &str, known: &[&str], report: &mut Report<'_>) {
    for (name, entry) in table {
        if !known.contains(&name.as_str()) {
            let place = match path {
                "" => "the file's root".to_owned(),
                path => format!("[{path}]"),
            };
            let hint = suggestion(name, known.iter().copied());
            let message = format!("unknown setting \"{name}\" in {place}{hint}");
            report.error(&entry.key_origin, "", message);
        }
    }
}

/// Reports that the value is of another kind than `T` takes.
pub(super) fn wrong_kind<T: Setting, R>(node: &Node, report: &mut Report<'_>) -> Option<R> {
    let message = format!("must be {}, not {}", T::kind().phrase(), node.kind());
    report.error(&node.origin, &node.path, message);
    None
}

/// Reads text through `parse`; what `parse` answers as an error follows the path in the report.
pub(super) fn text<T: Setting>(
    node: &Node,
    report: &mut Report<'_>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let Value::Text(text) = &node.value else {
        return wrong_kind::<T, T>(node, report);
    };
    match parse(text) {
        Ok(value) => Some(value),
        Err(message) => {
            report.error(&node.origin, &node.path, message);
            None
        }
    }
}

impl Setting for bool {
    fn kind() -> Kind {
        Kind::Switch
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        match node.value {
            Value::Switch(switch) => Some(switch),
            _ => wrong_kind::<Self, Self>(node, report),
        }
    }

    fn json(&self) -> serde_json::Value {
        json!(self)
    }
}

macro_rules! integer {
    ($($integer:ty),+) => {$(
        impl Setting for $integer {
            fn kind() -> Kind {
                Kind::Integer
            }

            fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
                let Value::Integer(integer) = node.value else {
                    return wrong_kind::<Self, Self>(node, report);
                };
                let narrowed = Self::try_from(integer).ok();
                if narrowed.is_none() {
                    let message = format!("must be from 0 to {}, not {integer}", Self::MAX);
                    report.error(&node.origin, &node.path, message);
                }
                narrowed
            }

            fn json(&self) -> serde_json::Value {
                json!(self)
            }
        }
    )+};
}

integer!(u16, u32, u64, usize);

impl Setting for String {
    fn kind() -> Kind {
        Kind::Text("text")
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        text(node, report, |text| Ok(text.to_owned()))
    }

    fn json(&self) -> serde_json::Value {
        json!(self)
    }
}

impl<T: Setting> Setting for Option<T> {
    fn kind() -> Kind {
        T::kind()
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        T::read(node, report).map(Some)
    }

    fn empty() -> Option<Self> {
        Some(None)
    }

    fn json(&self) -> serde_json::Value {
        self.as_ref().map_or(serde_json::Value::Null, T::json)
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn kind() -> Kind {
        match T::kind() {
            Kind::Section(fields) => Kind::Sections(fields),
            kind => Kind::List(Box::new(kind)),
        }
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let Value::List(items) = &node.value else {
            return wrong_kind::<Self, Self>(node, report);
        };
        Some(
            items
                .iter()
                .filter_map(|item| T::read(item, report))
                .collect(),
        )
    }

    fn empty() -> Option<Self> {
        Some(Self::new())
    }

    fn json(&self) -> serde_json::Value {
        self.iter().map(T::json).collect()
    }
}

impl<T: Setting> Setting for BTreeMap<String, T> {
    fn kind() -> Kind {
        Kind::Map(Box::new(T::kind()))
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let Value::Table(table) = &node.value else {
            return wrong_kind::<Self, Self>(node, report);
        };
        let values = table.iter();
        Some(
            values
                .filter_map(|(name, entry)| Some((name.clone(), T::read(&entry.node, report)?)))
                .collect(),
        )
    }

    fn empty() -> Option<Self> {
        Some(Self::new())
    }

    fn json(&self) -> serde_json::Value {
        self.iter()
            .map(|(name, value)| (name.clone(), value.json()))
            .collect::<Map<_, _>>()
            .into()
    }
}

impl<T: Setting> Setting for At<T> {
    fn kind() -> Kind {
        T::kind()
    }

    fn read(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let value = T::read(node, report)?;
        Some(Self {
            value,
            origin: node.origin.clone(),
            path: node.path.clone(),
        })
    }

    fn absent(table_origin: &Origin, path: &str, report: &mut Report<'_>) -> Option<Self> {
        let value = T::absent(table_origin, path, report)?;
        Some(Self {
            value,
            origin: table_origin.clone(),
            path: path.to_owned(),
        })
    }

    fn json(&self) -> serde_json::Value {
        self.value.json()
    }
}

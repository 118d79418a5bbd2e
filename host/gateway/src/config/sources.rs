//! Where settings come from: the command line over the environment over the file over the default.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::node::{self, Entry, Node, Table, Value, join};
use super::report::{Origin, Report, nearest, suggestion};
use super::schema::Field;
use super::setting::Kind;

/// The process's environment, or what a test puts in its place.
pub type Environment = BTreeMap<String, String>;

/// Variables that begin like a setting's and are none: they are read where they are needed.
const OTHER_VARIABLES: [&str; 3] = ["WEIR_ADMIN_KEY", "WEIR_CONFIG", "WEIR_MASTER_KEY"];

/// Settings from the command line. Later ones win.
#[derive(Debug, Clone, Default)]
pub struct Overrides(Vec<Override>);

#[derive(Debug, Clone)]
struct Override {
    origin: Arc<str>,
    path: String,
    /// `None` where the assignment has no `=`.
    text: Option<String>,
}

impl Overrides {
    /// No settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag of its own, like `--listen`, that stands for the setting at `path`. Nothing is set where
    /// the flag was not given.
    #[must_use]
    pub fn flag(mut self, flag: &str, path: &str, text: Option<&str>) -> Self {
        if let Some(text) = text {
            let text = Some(text.to_owned());
            self.0.push(Override {
                origin: flag.into(),
                path: path.to_owned(),
                text,
            });
        }
        self
    }

    /// The argument of `--set`: `path=value`. One that is not of this form is reported with the other
    /// mistakes when the settings are loaded.
    #[must_use]
    pub fn set(mut self, assignment: &str) -> Self {
        let (path, text) = match assignment.split_once('=') {
            Some((path, text)) => (path.trim(), Some(text.trim().to_owned())),
            None => (assignment.trim(), None),
        };
        self.0.push(Override {
            origin: format!("--set {path}").into(),
            path: path.to_owned(),
            text,
        });
        self
    }
}

/// A settings file's text, and the name to report mistakes with.
#[derive(Debug, Clone)]
pub struct SettingsFile {
    /// The file's path as it was given.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// All that settings are made from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The settings file, if there is one.
    pub file: Option<SettingsFile>,
    /// The environment: `WEIR_…` settings, and the secrets that `env:NAME` refers to.
    pub environment: Environment,
    /// The command line.
    pub overrides: Overrides,
}

/// The settings file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the settings file {}", path.display())]
pub struct UnreadableFile {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Sources {
    /// What this process is given: its environment, and the file at `path`, else at `WEIR_CONFIG`,
    /// else `./weir.toml` if that exists.
    ///
    /// # Errors
    /// The file was asked for and cannot be read.
    pub fn of_process(path: Option<&Path>, overrides: Overrides) -> Result<Self, UnreadableFile> {
        let text = |os: std::ffi::OsString| os.into_string().ok();
        let environment: Environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
            .collect();
        let named = environment
            .get("WEIR_CONFIG")
            .filter(|path| !path.is_empty());
        let asked_for = path
            .map(Path::to_owned)
            .or_else(|| named.map(PathBuf::from));
        let optional = asked_for.is_none();
        let path = asked_for.unwrap_or_else(|| PathBuf::from("weir.toml"));
        let file = match std::fs::read_to_string(&path) {
            Ok(text) => Some(SettingsFile { path, text }),
            Err(error) if optional && error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(UnreadableFile { path, source }),
        };
        Ok(Self {
            file,
            environment,
            overrides,
        })
    }

    /// Settings from text alone, as if it stood in `./weir.toml`. For tests and examples.
    pub fn of_text(text: &str) -> Self {
        let file = SettingsFile {
            path: PathBuf::from("weir.toml"),
            text: text.to_owned(),
        };
        Self {
            file: Some(file),
            ..Self::default()
        }
    }

    /// One entry of the settings as text, as [`Sources::of_text`]. It can refer to the variables of
    /// `environment`, and none of them sets anything.
    pub fn of_entry(text: &str, environment: &Environment) -> Self {
        let variables = environment.iter();
        let referred = variables.filter(|(name, _)| !name.starts_with("WEIR_"));
        Self {
            environment: referred
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            ..Self::of_text(text)
        }
    }

    /// Folder in which the file's relative paths start; empty for the working directory.
    pub(super) fn base_dir(&self) -> PathBuf {
        let file = self.file.as_ref();
        file.and_then(|file| file.path.parent())
            .map(Path::to_owned)
            .unwrap_or_default()
    }

    /// Reads the file and puts the environment and the command line over it. `None` where the file is
    /// not TOML.
    pub(super) fn tree(&self, fields: &[Field], report: &mut Report<'_>) -> Option<Node> {
        let name: Arc<str> = match &self.file {
            Some(file) => file.path.to_string_lossy().into(),
            None => "settings".into(),
        };
        let text = self.file.as_ref().map_or("", |file| file.text.as_str());
        let tree = node::parse(&name, text, report);
        let mut leaves = Vec::new();
        collect_leaves(fields, "", &mut leaves);
        let over = self.over(&leaves, report);
        let mut tree = tree?;
        for (section, leaf, node) in over {
            put(&mut tree, section, leaf, node);
        }
        Some(tree)
    }

    /// The values from the environment and the command line, in the order in which they are put.
    fn over<'l>(
        &self,
        leaves: &'l [Leaf<'_>],
        report: &mut Report<'_>,
    ) -> Vec<(&'l str, &'l str, Node)> {
        let mut values = Vec::new();
        let variables = self
            .environment
            .iter()
            .filter(|(name, _)| name.starts_with("WEIR_"));
        for (variable, text) in variables {
            match leaves.iter().find(|leaf| leaf.variable == *variable) {
                // Empty counts as not set, so that a container's file can pass variables on.
                Some(_) if text.is_empty() => {}
                Some(leaf) => {
                    let origin = Origin::Environment(variable.as_str().into());
                    values.push((leaf.section, leaf.name, leaf.node(origin, text)));
                }
                None if OTHER_VARIABLES.contains(&variable.as_str()) => {}
                // Only a warning: Kubernetes sets WEIR_PORT and the like for a service named weir.
                None => report.warning(unknown_variable(variable, leaves)),
            }
        }
        for set in &self.overrides.0 {
            let origin = Origin::CommandLine(set.origin.clone());
            let leaf = leaves.iter().find(|leaf| leaf.path() == set.path);
            match (leaf, &set.text) {
                (Some(leaf), Some(text)) => {
                    values.push((leaf.section, leaf.name, leaf.node(origin, text)));
                }
                (Some(_), None) => report.error(&origin, "", "has no value: write path=value"),
                (None, _) => {
                    let paths: Vec<String> = leaves.iter().map(Leaf::path).collect();
                    let hint = suggestion(&set.path, paths.iter().map(String::as_str));
                    report.error(
                        &origin,
                        "",
                        format!("unknown setting \"{}\"{hint}", set.path),
                    );
                }
            }
        }
        values
    }
}

fn unknown_variable(variable: &str, leaves: &[Leaf<'_>]) -> String {
    // What all names have in common says nothing about which of them was meant.
    let rest = |name| str::strip_prefix(name, "WEIR_").unwrap_or(name);
    let known = leaves
        .iter()
        .map(|leaf| leaf.variable.as_str())
        .chain(OTHER_VARIABLES);
    let hint = nearest(rest(variable), known.map(rest));
    let hint = hint.map(|name| format!("; did you mean WEIR_{name}?"));
    let hint = hint.unwrap_or_default();
    format!("the environment variable {variable} is none that Weir knows{hint}")
}

/// A setting that can be given as text, outside of the file.
struct Leaf<'f> {
    section: &'f str,
    name: &'f str,
    variable: String,
    kind: &'f Kind,
}

impl Leaf<'_> {
    fn path(&self) -> String {
        join(self.section, self.name)
    }

    /// The text as the value that it would be in the file. Text of the wrong kind stays text, so that
    /// the reader reports it like any other.
    fn node(&self, origin: Origin, text: &str) -> Node {
        let path = self.path();
        let value = match self.kind {
            Kind::Integer => text.replace('_', "").parse().ok().map(Value::Integer),
            Kind::Switch => text.parse().ok().map(Value::Switch),
            Kind::List(_) => {
                let list = node::parse_value(&origin, &path, text);
                Some(list.map_or_else(|| split(&origin, &path, text), |node| node.value))
            }
            _ => None,
        };
        Node::new(
            origin,
            path,
            value.unwrap_or_else(|| Value::Text(text.to_owned())),
        )
    }
}

/// A list as it is written where TOML would be a burden: `a,b`.
fn split(origin: &Origin, path: &str, text: &str) -> Value {
    let items = text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    let node = |item: &str| Node::new(origin.clone(), path, Value::Text(item.to_owned()));
    Value::List(items.map(node).collect())
}

/// The settings of the root and of its sections; what can stand in a file several times has no one
/// name outside of it.
fn collect_leaves<'f>(fields: &'f [Field], section: &'f str, leaves: &mut Vec<Leaf<'f>>) {
    for field in fields {
        match &field.kind {
            Kind::Section(fields) => collect_leaves(fields, field.name, leaves),
            Kind::Sections(_) | Kind::Map(_) | Kind::Free => {}
            kind => leaves.push(Leaf {
                section,
                name: field.name,
                variable: variable(section, field.name),
                kind,
            }),
        }
    }
}

/// The environment variable of a setting.
pub(super) fn variable(section: &str, name: &str) -> String {
    let path = if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}_{name}")
    };
    format!("WEIR_{}", path.to_ascii_uppercase())
}

fn put(tree: &mut Node, section: &str, name: &str, node: Node) {
    let Value::Table(mut table) = std::mem::replace(&mut tree.value, Value::Switch(false)) else {
        return;
    };
    let key_origin = node.origin.clone();
    if section.is_empty() {
        table.insert(name.to_owned(), Entry { key_origin, node });
    } else {
        let empty = || Entry {
            key_origin: key_origin.clone(),
            node: Node::new(key_origin.clone(), section, Value::Table(Table::new())),
        };
        let entry = table.entry(section.to_owned()).or_insert_with(empty);
        // A section that is no table is reported when it is read.
        if let Value::Table(section) = &mut entry.node.value {
            section.insert(name.to_owned(), Entry { key_origin, node });
        }
    }
    tree.value = Value::Table(table);
}

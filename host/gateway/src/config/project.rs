//! `policy.toml`: what a policy's project is, for `weir policy build`. The same reader as the gateway's
//! own settings have, but no source but the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::node;
use super::report::{ConfigErrors, Report, suggestion};
use super::schema::{settings, words};
use super::setting::{At, Setting};
use super::sources::Environment;

/// The file's name in a project's folder.
pub const PROJECT_FILE: &str = "policy.toml";

/// Bytes of the file at most.
const FILE_MAX_BYTES: u64 = 1 << 20;

words! {
    /// The language of a policy.
    pub enum Language {
        /// Rust, to wasm32-unknown-unknown.
        Rust = "rust",
        /// Mainline Go, to a WASI reactor.
        Go = "go",
        /// JavaScript, with an engine inside of the component.
        JavaScript = "js",
        /// TypeScript; its types are taken away, the rest is JavaScript.
        TypeScript = "ts",
        /// Python, with CPython inside of the component.
        Python = "python",
        /// C.
        C = "c",
    }
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 6] = [
        Language::Rust,
        Language::Go,
        Language::JavaScript,
        Language::TypeScript,
        Language::Python,
        Language::C,
    ];

    /// The language of that word, also under its usual other name.
    ///
    /// # Errors
    /// The word that was probably meant, and all that there are.
    pub fn of_word(word: &str) -> Result<Self, String> {
        let short = match word {
            "javascript" => "js",
            "typescript" => "ts",
            "py" => "python",
            "golang" => "go",
            other => other,
        };
        let found = Self::ALL.into_iter().find(|one| one.as_str() == short);
        found.ok_or_else(|| unknown("language", word, &Self::ALL.map(Self::as_str)))
    }

    /// The folder of its SDK: TypeScript's is JavaScript's.
    pub fn sdk(self) -> &'static str {
        match self {
            Language::TypeScript => "js",
            other => other.as_str(),
        }
    }
}

words! {
    /// The engine in a component of JavaScript.
    pub enum ScriptEngine {
        /// Small and quick.
        QuickJs = "quickjs",
        /// With the web platform.
        StarlingMonkey = "starlingmonkey",
    }
}

words! {
    /// A hook that a policy may have.
    pub enum HookName {
        /// May the caller make this call at all?
        Access = "access",
        /// Changes the request.
        Rewrite = "rewrite",
        /// Names the limits.
        Limit = "limit",
        /// Answers without a provider.
        Answer = "answer",
        /// Orders the channels.
        Route = "route",
        /// Changes a whole reply.
        Reply = "reply",
        /// Changes a streamed reply.
        Events = "events",
        /// Sees finished calls.
        Audit = "audit",
    }
}

impl HookName {
    /// All of them, in the order of a call.
    pub const ALL: [HookName; 8] = [
        HookName::Access,
        HookName::Rewrite,
        HookName::Limit,
        HookName::Answer,
        HookName::Route,
        HookName::Reply,
        HookName::Events,
        HookName::Audit,
    ];
}

impl HookName {
    /// The hook of that name.
    ///
    /// # Errors
    /// The name that was probably meant, and all that there are.
    pub fn of_word(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == word);
        found.ok_or_else(|| unknown("hook", word, &Self::ALL.map(Self::as_str)))
    }
}

fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let hint = suggestion(word, known.iter().copied());
    let stop = if hint.is_empty() { "." } else { "" };
    format!(
        "no {what} is called {word:?}{hint}{stop} There are: {}",
        known.join(", ")
    )
}

settings! {
    /// A policy's project.
    pub(super) struct Written {
        /// What the policy is called; its component is `<name>.wasm`.
        name: At<String>;
        /// The language that it is written in.
        language: Language;
        /// The source that is built.
        entry: String;
        /// The hooks that it is meant to have.
        hooks: Option<Vec<HookName>>;
        /// The engine of JavaScript and TypeScript.
        engine: Option<At<ScriptEngine>>;
        /// Where the SDK is.
        sdk: String = "weir-sdk".to_owned();
    }
}

/// A policy's project, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The folder.
    pub folder: PathBuf,
    /// What the policy is called.
    pub name: String,
    /// The language that it is written in.
    pub language: Language,
    /// The source that is built, relative to the folder.
    pub entry: String,
    /// The hooks that it is meant to have; none where it does not say.
    pub hooks: Option<Vec<HookName>>,
    /// The engine of JavaScript and TypeScript.
    pub engine: ScriptEngine,
    /// The folder of the language's SDK.
    pub sdk: PathBuf,
}

/// Reads the `policy.toml` of a folder.
///
/// # Errors
/// Every mistake in it, with its line, or that it cannot be read.
pub fn read_project(folder: &Path) -> Result<Project, String> {
    let path = folder.join(PROJECT_FILE);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let size_bytes = std::fs::metadata(&path).map_err(failed)?.len();
    if size_bytes > FILE_MAX_BYTES {
        return Err(format!("{}: it has {size_bytes} bytes", path.display()));
    }
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    parse(folder, &path.to_string_lossy(), &text).map_err(|errors| errors.to_string())
}

fn parse(folder: &Path, shown: &str, text: &str) -> Result<Project, ConfigErrors> {
    let environment = Environment::default();
    let mut report = Report::new(&environment, folder.to_owned());
    let name: Arc<str> = shown.into();
    let written = node::parse(&name, text, &mut report)
        .and_then(|tree| Written::read(&tree, &mut report))
        .inspect(|written| check(written, &mut report));
    report.finish()?;
    // Without what was written there is an error, so `finish` has returned by now.
    let written = written.ok_or_else(|| ConfigErrors(Vec::new()))?;
    Ok(Project {
        folder: folder.to_owned(),
        name: written.name.value,
        language: written.language,
        entry: written.entry,
        hooks: written.hooks,
        engine: written
            .engine
            .map_or(ScriptEngine::QuickJs, |engine| engine.value),
        sdk: folder.join(written.sdk),
    })
}

fn check(written: &Written, report: &mut Report<'_>) {
    if let Err(message) = check_name(&written.name.value) {
        written.name.error(report, message);
    }
    let is_script = matches!(
        written.language,
        Language::JavaScript | Language::TypeScript
    );
    if let (Some(engine), false) = (&written.engine, is_script) {
        engine.error(report, "is for the languages \"js\" and \"ts\" only");
    }
}

/// What a policy may be called, so that it is a file's name, a crate's and a package's too.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), String> {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(inside)
        && !name.ends_with('-')
        && !name.contains("--")
        && name.len() <= 64;
    if good {
        return Ok(());
    }
    Err(format!(
        "must be small letters, digits and single hyphens, a letter first, 64 at most, like \
         \"business-hours\"; not {name:?}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> String {
        parse(Path::new("p"), "policy.toml", text)
            .unwrap_err()
            .to_string()
    }

    const GOOD: &str = "name = \"a\"\nlanguage = \"js\"\nentry = \"policy.js\"\n";

    #[test]
    fn a_project_is_read() {
        let text = format!("{GOOD}hooks = [\"access\", \"audit\"]\n");
        let project = parse(Path::new("p"), "policy.toml", &text).unwrap();
        assert_eq!(project.language, Language::JavaScript);
        assert_eq!(project.hooks, Some(vec![HookName::Access, HookName::Audit]));
        assert_eq!(project.engine, ScriptEngine::QuickJs);
        assert_eq!(project.sdk, Path::new("p/weir-sdk"));
        let plain = parse(Path::new("p"), "policy.toml", GOOD).unwrap();
        assert_eq!(plain.hooks, None);
    }

    #[test]
    fn mistakes_have_their_line_and_the_nearest_name() {
        assert_eq!(
            mistakes("name = \"a\"\nlangauge = \"js\"\nlanguage = \"js\"\nentry = \"x\"\n"),
            "policy.toml:2:1: unknown setting \"langauge\" in the file's root; did you mean \
             \"language\"?"
        );
        assert!(
            mistakes("name = \"a\"\nlanguage = \"pyhton\"\nentry = \"x\"\n")
                .contains("policy.toml:2:12: language: must be")
        );
        assert!(
            mistakes(&format!("{GOOD}hooks = [\"acess\"]\n")).contains("did you mean \"access\"?")
        );
        assert!(
            mistakes("name = \"A b\"\nlanguage = \"c\"\nentry = \"x\"\nengine = \"quickjs\"\n")
                .contains("engine: is for the languages")
        );
        assert!(mistakes("").contains("name: is missing"));
        for bad in ["", "A", "a--b", "-a", "a-", "a_b", "a/b", "1a"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        check_name("business-hours-2").unwrap();
    }
}

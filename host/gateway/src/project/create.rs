//! A new project: what `weir policy new` writes.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use weir_policy::Release;

use super::embedded;
use super::template::{Choice, render};
use crate::config::{HookName, Language, PROJECT_FILE, check_name};

/// The folder of the SDK in a project.
pub const SDK_FOLDER: &str = "weir-sdk";
/// The file in it that says which one it is.
const MARK: &str = "weir-sdk.toml";

/// Which SDK lies in a project, as it says itself.
#[derive(Debug, Deserialize)]
struct Mark {
    interface: String,
    fingerprint: String,
}

/// Writes a project into a folder that is not there yet, or is empty.
///
/// # Errors
/// A sentence about the name, the folder or what could not be written.
pub fn create(
    folder: &Path,
    name: &str,
    language: Language,
    hooks: &[HookName],
) -> Result<Vec<PathBuf>, String> {
    check_name(name).map_err(|message| format!("the name {message}"))?;
    let is_taken = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => folder.exists(),
    };
    if is_taken {
        return Err(format!(
            "{} is there already, and nothing in it is overwritten; name another folder with --dir",
            folder.display()
        ));
    }
    let hooks: Vec<HookName> = HookName::ALL
        .into_iter()
        .filter(|hook| hooks.contains(hook))
        .collect();
    let choice = Choice {
        name,
        language,
        hooks: &hooks,
    };
    let mut written = Vec::new();
    let own = format!("template/{}", language.as_str());
    for from in ["template/common", &own] {
        for (path, bytes) in embedded::folder(from) {
            let wrong = |why: String| format!("the template {from}/{path}: {why}");
            let template = std::str::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
            let text = render(template, &choice).map_err(wrong)?;
            let path = if path == "gitignore" {
                ".gitignore"
            } else {
                path
            };
            write(&folder.join(path), text.as_bytes())?;
            written.push(PathBuf::from(path));
        }
    }
    write_sdk(&folder.join(SDK_FOLDER), language)?;
    written.sort();
    // What tells a project from any other folder comes last: half of one is none.
    debug_assert!(written.iter().any(|path| path == Path::new(PROJECT_FILE)));
    Ok(written)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, bytes).map_err(failed)
}

fn write_sdk(folder: &Path, language: Language) -> Result<(), String> {
    for (path, bytes) in embedded::sdk(language) {
        write(&folder.join(path), bytes)?;
    }
    let mark = format!(
        "# Written by weir {}; `weir policy build --renew-sdk` replaces this folder.\n\
         language = \"{}\"\ninterface = \"{}\"\nfingerprint = \"{}\"\n",
        env!("CARGO_PKG_VERSION"),
        language.sdk(),
        Release::NEWEST,
        embedded::fingerprint(language),
    );
    write(&folder.join(MARK), mark.as_bytes())
}

/// What there is to say about the SDK of a project: nothing where it is this program's.
pub fn about_sdk(folder: &Path, language: Language) -> Option<String> {
    let text = fs::read_to_string(folder.join(MARK)).ok()?;
    let mark: Mark = toml::from_str(&text).ok()?;
    let shown = folder.display();
    if mark.interface != Release::NEWEST.as_str() {
        return Some(format!(
            "{shown} is for version {} of the interface; this weir brings the one for {}: `weir policy \
             build --renew-sdk` replaces it",
            mark.interface,
            Release::NEWEST
        ));
    }
    (mark.fingerprint != embedded::fingerprint(language)).then(|| {
        format!(
            "{shown} is another SDK than this weir brings: `weir policy build --renew-sdk` replaces it"
        )
    })
}

/// Replaces the SDK of a project by this program's.
///
/// # Errors
/// Where the folder is none that `weir policy new` wrote, or it cannot be written.
pub fn renew_sdk(folder: &Path, language: Language) -> Result<(), String> {
    let shown = folder.display();
    if folder.exists() && !folder.join(MARK).is_file() {
        return Err(format!(
            "{shown} was not written by `weir policy new` ({MARK} is missing) and is left alone"
        ));
    }
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("{shown}: {error}"))?;
    }
    write_sdk(folder, language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_there_is_overwritten() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("p");
        create(&folder, "p", Language::C, &[HookName::Access]).unwrap();
        let before = fs::read(folder.join("policy.c")).unwrap();
        let refused = create(&folder, "p", Language::Go, &[HookName::Access]).unwrap_err();
        assert!(refused.contains("is there already"), "{refused}");
        assert_eq!(fs::read(folder.join("policy.c")).unwrap(), before);
        assert!(!folder.join("go.mod").exists());
        assert!(create(&place.path().join("q"), "Q", Language::C, &[]).is_err());
        // A folder without anything in it is as good as none.
        fs::create_dir(place.path().join("r")).unwrap();
        create(
            &place.path().join("r"),
            "r",
            Language::Go,
            &[HookName::Limit],
        )
        .unwrap();
    }

    #[test]
    fn another_sdk_is_told_and_can_be_replaced() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("p");
        create(&folder, "p", Language::Python, &[HookName::Access]).unwrap();
        let sdk = folder.join(SDK_FOLDER);
        assert_eq!(about_sdk(&sdk, Language::Python), None);
        let mark = fs::read_to_string(sdk.join(MARK)).unwrap();
        fs::write(sdk.join(MARK), mark.replace("\"0.2\"", "\"0.1\"")).unwrap();
        let told = about_sdk(&sdk, Language::Python).unwrap();
        assert!(told.contains("version 0.1 of the interface"), "{told}");
        fs::write(sdk.join("left.py"), "").unwrap();
        renew_sdk(&sdk, Language::Python).unwrap();
        assert_eq!(about_sdk(&sdk, Language::Python), None);
        assert!(!sdk.join("left.py").exists());
        fs::remove_file(sdk.join(MARK)).unwrap();
        assert!(renew_sdk(&sdk, Language::Python).is_err());
    }
}

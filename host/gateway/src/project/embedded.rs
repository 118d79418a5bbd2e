//! The SDKs and the templates, as `guest-sdk` had them when the program was built.

use sha2::{Digest, Sha256};

use crate::config::Language;

include!(concat!(env!("OUT_DIR"), "/sdks.rs"));

/// A file: its path with `/`, and what is in it.
pub(super) type File = (&'static str, &'static [u8]);

/// The files below a folder of `guest-sdk`, by their paths in it.
pub(super) fn folder(name: &str) -> impl Iterator<Item = File> {
    FILES.iter().filter_map(move |(path, bytes)| {
        let rest = path.strip_prefix(name)?.strip_prefix('/')?;
        Some((rest, *bytes))
    })
}

/// The SDK of a language.
pub(super) fn sdk(language: Language) -> impl Iterator<Item = File> {
    folder(language.sdk())
}

/// What tells one SDK of a language from another: digits of a digest over all its files.
pub(super) fn fingerprint(language: Language) -> String {
    let mut digest = Sha256::new();
    for (path, bytes) in sdk(language) {
        for part in [path.as_bytes(), bytes] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
    }
    let mut digits = hex::encode(digest.finalize());
    digits.truncate(16);
    digits
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_language_has_its_sdk_with_the_interface() {
        for language in Language::ALL {
            let wit = sdk(language).find(|(path, _)| path.ends_with("policy.wit"));
            let (_, wit) = wit.unwrap_or_else(|| panic!("{language:?} without WIT"));
            let wit = std::str::from_utf8(wit).unwrap();
            let package = format!("package weir:policy@{}.0;", weir_policy::Release::NEWEST);
            assert!(wit.contains(&package), "{language:?}");
            assert!(sdk(language).all(|(path, _)| !path.contains("__pycache__")));
        }
        let manifest = sdk(Language::Rust).find(|(path, _)| *path == "Cargo.toml");
        let manifest = std::str::from_utf8(manifest.unwrap().1).unwrap();
        assert!(!manifest.contains("workspace"), "{manifest}");
        assert!(manifest.contains("\nwit-bindgen = {"), "{manifest}");
    }

    /// Cargo is told of the files that there were, and not of new ones.
    #[test]
    fn new_files_of_the_sdks_are_in_the_program() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk");
        let known: BTreeSet<&str> = FILES.iter().map(|(path, _)| *path).collect();
        for folder in [
            "rust/src",
            "go",
            "js/src",
            "python/weir_sdk",
            "c/src",
            "template/common",
        ] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                if entry.path().is_dir() || name.starts_with('.') || name == "bindgen.sh" {
                    continue;
                }
                let path = format!("{folder}/{name}");
                assert!(
                    known.contains(&*path),
                    "{path}: touch host/gateway/build.rs"
                );
            }
        }
    }
}

//! What a file is, before a single instruction of it is compiled: a component or a module to be
//! made one, what it wants from the host, and which hooks it offers.
//!
//! Reading what strangers wrote ([`componentize`], [`read`]) may take for ever, eat the memory or
//! overflow the stack, so it is done where compiling is done, in a process of its own; what comes back
//! are names ([`Facts`]). Imports are the whole list of what a component can do, so [`check`] is where
//! grants are enforced first.

use std::collections::BTreeMap;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::WorldKey;

use crate::grants::{Grants, needed_grant};
use crate::hook::Hook;
use crate::load_error::{LoadError, short};
use crate::release::Release;

/// Bytes of all names that are looked at.
pub(crate) const NAMES_MAX_BYTES: usize = 1 << 20;

/// What a component imports and exports: the names of interfaces, with package and version.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Facts {
    /// One line for each name.
    pub(crate) fn to_lines(&self) -> String {
        let mut lines = String::new();
        let kinds = [('i', &self.imports), ('e', &self.exports)];
        for (kind, name) in kinds
            .into_iter()
            .flat_map(|(kind, names)| names.iter().map(move |name| (kind, name)))
        {
            lines.push(kind);
            lines.push_str(name);
            lines.push('\n');
        }
        lines
    }

    /// What [`Facts::to_lines`] wrote; none for anything else.
    pub(crate) fn from_lines(lines: &[u8]) -> Option<Self> {
        let mut facts = Self::default();
        for line in std::str::from_utf8(lines).ok()?.lines() {
            match (line.get(..1)?, line.get(1..)?) {
                ("i", name) => facts.imports.push(name.to_owned()),
                ("e", name) => facts.exports.push(name.to_owned()),
                _ => return None,
            }
        }
        Some(facts)
    }
}

/// What was found.
pub(crate) struct Inspected {
    /// The hooks in the order of a call's phases, each in the newest release that it is exported of.
    pub(crate) exports: Vec<(Hook, Release)>,
    /// The newest release that it uses anything of.
    pub(crate) release: Release,
    /// Interfaces, with package and version, sorted.
    pub(crate) imports: Vec<String>,
}

/// Refuses what is no WebAssembly at all.
pub(crate) fn check_magic(bytes: &[u8]) -> Result<(), LoadError> {
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', ..]) => Ok(()),
        _ => Err(LoadError::NotWasm),
    }
}

/// A component as it is, or made from a core module.
pub(crate) fn componentize(bytes: Vec<u8>) -> Result<Vec<u8>, LoadError> {
    // The magic number, then the version: 1 for a module, 13 in the other half for a component.
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(bytes),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => {
            encode(&bytes).map_err(|error| LoadError::NotComponentizable {
                reason: chain(&*error),
            })
        }
        _ => Err(LoadError::NotWasm),
    }
}

/// The error and its causes, on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

type Encoded = Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;

fn encode(module: &[u8]) -> Encoded {
    let adapter = WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
    Ok(ComponentEncoder::default()
        .validate(true)
        .module(module)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?
        .encode()?)
}

/// Lists what a component imports and exports.
pub(crate) fn read(component: &[u8]) -> Result<Facts, LoadError> {
    let invalid = |reason: String| LoadError::Invalid { reason };
    let decoded =
        wit_component::decode(component).map_err(|error| invalid(format!("{error:#}")))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(invalid("it is a WIT package, not a component".to_owned()));
    };
    let world = resolve
        .worlds
        .get(world)
        .ok_or_else(|| invalid("it has no type".to_owned()))?;

    let names = |keys: &mut dyn Iterator<Item = &WorldKey>| -> Vec<String> {
        keys.map(|key| resolve.name_world_key(key)).collect()
    };
    let mut facts = Facts {
        imports: names(&mut world.imports.keys()),
        exports: names(&mut world.exports.keys()),
    };
    facts.imports.sort();
    let all = facts.imports.iter().chain(&facts.exports);
    if all.clone().any(|name| name.contains(char::is_control)) {
        return Err(invalid("a name in it holds control characters".to_owned()));
    }
    if all.map(String::len).sum::<usize>() > NAMES_MAX_BYTES {
        return Err(invalid("it imports and exports too much".to_owned()));
    }
    Ok(facts)
}

/// Refuses what this policy may not have, and finds its hooks.
pub(crate) fn check(facts: Facts, grants: &Grants) -> Result<Inspected, LoadError> {
    let Facts { imports, exports } = facts;
    let mut newest = None;
    for import in &imports {
        newest = newest.max(check_import(import, grants)?);
    }
    let mut hooks = BTreeMap::new();
    for export in &exports {
        if let Some((hook, release)) = find_hook(export)? {
            let found = hooks.entry(hook).or_insert(release);
            *found = release.max(*found);
        }
    }
    newest = newest.max(hooks.values().max().copied());
    match newest {
        Some(release) if hooks.keys().any(|hook| *hook != Hook::Lifecycle) => Ok(Inspected {
            exports: hooks.into_iter().collect(),
            release,
            imports,
        }),
        _ => {
            let names = Hook::ALL.map(|hook| Release::NEWEST.name(hook.as_str()));
            let hooks = names.get(1..).unwrap_or_default().join(", ");
            Err(LoadError::NoHook { hooks })
        }
    }
}

/// The setting under `grants` that an import needs, where it needs one.
pub(crate) fn grant_of(import: &str) -> Option<&'static str> {
    if wasi_package(import) == Some("http") {
        return import.contains("/outgoing-handler@").then_some("http");
    }
    needed_grant(split_weir(import)?.0).flatten()
}

/// The settings under `grants` that these imports need, sorted.
pub(crate) fn needed_grants(imports: &[String]) -> Vec<&'static str> {
    let mut grants: Vec<_> = imports
        .iter()
        .filter_map(|import| grant_of(import))
        .collect();
    grants.sort_unstable();
    grants.dedup();
    grants
}

/// The release that it belongs to; none for WASI.
fn check_import(import: &str, grants: &Grants) -> Result<Option<Release>, LoadError> {
    let release = if wasi_package(import).is_some() {
        None
    } else {
        let unknown = || LoadError::UnknownImport {
            interface: short(import.to_owned()),
        };
        let (interface, version) = split_weir(import).ok_or_else(unknown)?;
        let release = find_release(import, version)?;
        needed_grant(interface).ok_or_else(unknown)?;
        Some(release)
    };
    match grant_of(import) {
        Some(grant) if !grants.has(grant) => Err(LoadError::NotGranted {
            interface: import.to_owned(),
            grant,
        }),
        _ => Ok(release),
    }
}

/// The package of WASI 0.2 that it is of, if it is one that is linked. Whether each function is there,
/// linking finds out.
fn wasi_package(import: &str) -> Option<&str> {
    const LINKED: [&str; 7] = [
        "cli",
        "clocks",
        "filesystem",
        "http",
        "io",
        "random",
        "sockets",
    ];
    let (package, interface) = import.strip_prefix("wasi:")?.split_once('/')?;
    (LINKED.contains(&package) && interface.contains("@0.2.")).then_some(package)
}

/// The hook that is exported under that name; none for what is not Weir's.
fn find_hook(export: &str) -> Result<Option<(Hook, Release)>, LoadError> {
    let Some((interface, version)) = split_weir(export) else {
        return Ok(None);
    };
    let Some(hook) = Hook::from_name(interface) else {
        return Ok(None);
    };
    Ok(Some((hook, find_release(export, version)?)))
}

/// `weir:policy/access@0.1.0` is `access` and `0.1.0`.
fn split_weir(name: &str) -> Option<(&str, &str)> {
    let name = name.strip_prefix("weir:policy/")?;
    Some(name.split_once('@').unwrap_or((name, "")))
}

fn find_release(interface: &str, version: &str) -> Result<Release, LoadError> {
    Release::of_version(version).ok_or_else(|| LoadError::UnknownVersion {
        interface: short(interface.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_back_from_their_lines() {
        let facts = Facts {
            imports: vec!["weir:policy/log@0.1.0".to_owned()],
            exports: vec!["weir:policy/access@0.1.0".to_owned()],
        };
        let lines = facts.to_lines();
        assert_eq!(Facts::from_lines(lines.as_bytes()), Some(facts));
        assert_eq!(Facts::from_lines(b""), Some(Facts::default()));
        assert_eq!(Facts::from_lines(b"xname\n"), None);
        assert_eq!(Facts::from_lines(b"i\xff\n"), None);
    }
}

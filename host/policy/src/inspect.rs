//! What a file is, before a single instruction of it is compiled: a component or a module to be
//! made one, what it wants from the host, and which hooks it offers.
//!
//! Imports are the whole list of what a component can do, so this is where grants are enforced
//! first. Runs on a blocking thread; it may panic on hostile input and the caller must expect it.

use std::collections::BTreeMap;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, DecodedWasm};

use crate::grants::{Grants, needed_grant};
use crate::hook::Hook;
use crate::load_error::LoadError;
use crate::release::Release;

/// What was found.
pub(crate) struct Inspected {
    /// The hooks in the order of a call's phases, each in the newest release that it is exported of.
    pub(crate) exports: Vec<(Hook, Release)>,
    /// The newest release that it uses anything of.
    pub(crate) release: Release,
    /// Interfaces, with package and version, sorted.
    pub(crate) imports: Vec<String>,
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

/// Lists imports and hooks, and refuses what this policy may not have.
pub(crate) fn inspect(component: &[u8], grants: &Grants) -> Result<Inspected, LoadError> {
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

    let mut imports: Vec<String> = world
        .imports
        .keys()
        .map(|key| resolve.name_world_key(key))
        .collect();
    imports.sort();
    let mut newest = None;
    for import in &imports {
        newest = newest.max(check_import(import, grants)?);
    }
    let mut exports = BTreeMap::new();
    for key in world.exports.keys() {
        if let Some((hook, release)) = find_hook(&resolve.name_world_key(key))? {
            let found = exports.entry(hook).or_insert(release);
            *found = release.max(*found);
        }
    }
    newest = newest.max(exports.values().max().copied());
    match newest {
        Some(release) if exports.keys().any(|hook| *hook != Hook::Lifecycle) => Ok(Inspected {
            exports: exports.into_iter().collect(),
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

/// The release that it belongs to; none for WASI.
fn check_import(import: &str, grants: &Grants) -> Result<Option<Release>, LoadError> {
    if is_wasi(import) {
        return Ok(None);
    }
    let unknown = || LoadError::UnknownImport {
        interface: import.to_owned(),
    };
    let (interface, version) = split_weir(import).ok_or_else(unknown)?;
    let release = find_release(import, version)?;
    let grant = needed_grant(interface).ok_or_else(unknown)?;
    match grant {
        Some(grant) if !grants.has(grant) => Err(LoadError::NotGranted {
            interface: import.to_owned(),
            grant,
        }),
        _ => Ok(Some(release)),
    }
}

/// What wasmtime-wasi's WASI 0.2 links. Whether each function is there, linking finds out.
fn is_wasi(import: &str) -> bool {
    ["cli", "clocks", "filesystem", "io", "random", "sockets"]
        .iter()
        .any(|package| {
            import
                .strip_prefix("wasi:")
                .and_then(|rest| rest.strip_prefix(package))
                .is_some_and(|rest| rest.starts_with('/') && rest.contains("@0.2."))
        })
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
        interface: interface.to_owned(),
    })
}

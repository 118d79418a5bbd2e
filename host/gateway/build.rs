//! Puts the policies that come with Weir into the program.
//!
//! They are WebAssembly, which Cargo cannot build on the way: `policies/build.sh` has made them
//! before and left them in `<target>/policies`, or wherever `WEIR_EMBED_DIR` says.
//!
//! Beside them the SDKs and templates of `guest-sdk`, for `weir policy new`: an author's machine has no
//! checkout of Weir.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The policies of the default chain; the same names as `config::BUILTIN_POLICIES`.
const BUILTIN: [&str; 4] = ["permissions", "limits", "aliases", "router"];

fn main() {
    println!("cargo::rerun-if-env-changed=WEIR_EMBED_DIR");
    println!("cargo::rerun-if-changed=build.rs");
    for done in [embed(), embed_sdks()] {
        if let Err(message) = done {
            println!("cargo::error={message}");
        }
    }
}

fn embed() -> Result<(), String> {
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let dir = policies_dir(&out_dir)?;
    let mut table = String::from("pub(super) const BUILTIN: &[(&str, &[u8])] = &[\n");
    for name in BUILTIN {
        let path = dir.join(name).with_extension("wasm");
        let path = path
            .to_str()
            .ok_or_else(|| format!("{} is not UTF-8", path.display()))?;
        println!("cargo::rerun-if-changed={path}");
        if !Path::new(path).is_file() {
            return Err(format!(
                "{path} is missing: run `make policies` (or `make build`)"
            ));
        }
        // Writing to a String cannot fail.
        let _ = writeln!(table, "    ({name:?}, include_bytes!({path:?})),");
    }
    table.push_str("];\n");
    let generated = out_dir.join("builtin.rs");
    write(&generated, &table)
}

/// `WEIR_EMBED_DIR`, else `policies` in the folder that Cargo builds into.
fn policies_dir(out_dir: &Path) -> Result<PathBuf, String> {
    if let Some(dir) = env::var_os("WEIR_EMBED_DIR").filter(|dir| !dir.is_empty()) {
        let dir = PathBuf::from(dir);
        return std::path::absolute(&dir).map_err(|error| format!("{}: {error}", dir.display()));
    }
    // OUT_DIR is `<target>[/<triple>]/<profile>/build/<package>-<hash>/out`.
    let profile = out_dir
        .ancestors()
        .find(|dir| dir.file_name().is_some_and(|name| name == "build"))
        .and_then(Path::parent)
        .ok_or_else(|| format!("{} is not where Cargo builds", out_dir.display()))?;
    let above = profile
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join("policies"));
    let mut above = above.collect::<Vec<_>>().into_iter();
    let nearest = above.next().ok_or("Cargo's target folder has no parent")?;
    if nearest.is_dir() {
        return Ok(nearest);
    }
    Ok(above.next().filter(|dir| dir.is_dir()).unwrap_or(nearest))
}

/// What of `guest-sdk` goes into the program: the SDK of each language, and the templates.
const SDKS: [&str; 6] = ["rust", "go", "js", "python", "c", "template"];

/// Names in them that no author needs, or that tools left there.
const LEFT_OUT: [&str; 9] = [
    "tests",
    "target",
    "dist",
    "build",
    "node_modules",
    "package-lock.json",
    "bindgen.sh",
    "bindgen.mjs",
    "__pycache__",
];

fn embed_sdks() -> Result<(), String> {
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("no CARGO_MANIFEST_DIR")?);
    let root = here.join("../..");
    let sdks = root.join("guest-sdk");
    let mut files = Vec::new();
    for name in SDKS {
        list(&sdks.join(name), name, &mut files)?;
    }
    files.sort();
    let mut table = String::from("pub(super) const FILES: &[(&str, &[u8])] = &[\n");
    for (name, path) in files {
        println!("cargo::rerun-if-changed={}", path.display());
        // Two manifests speak of the repository.
        let alone = match &*name {
            "rust/Cargo.toml" => Some(without_workspace(&root, &read(&path)?)?),
            "js/package.json" => Some(without_dev_dependencies(&read(&path)?)),
            _ => None,
        };
        let path = match alone {
            None => path,
            Some(text) => {
                let alone = out_dir.join(name.replace('/', "-"));
                write(&alone, &text)?;
                alone
            }
        };
        // Writing to a String cannot fail.
        let _ = writeln!(table, "    ({name:?}, include_bytes!({path:?})),");
    }
    table.push_str("];\n");
    write(&out_dir.join("sdks.rs"), &table)
}

fn list(folder: &Path, name: &str, files: &mut Vec<(String, PathBuf)>) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let own = path.file_name().and_then(|name| name.to_str());
        let own = own.ok_or_else(|| format!("{} is not UTF-8", path.display()))?;
        // Its own `gitignore` is a template's file; one with a dot is the repository's.
        if LEFT_OUT.contains(&own) || own.starts_with('.') || own.ends_with(".wasm") {
            continue;
        }
        let name = format!("{name}/{own}");
        // Follows links: `wit` is one.
        if path.is_dir() {
            list(&path, &name, files)?;
        } else {
            files.push((name, path));
        }
    }
    Ok(())
}

/// A manifest that stands for itself: what it has from the workspace is written out. Each of the
/// workspace's entries is one line.
fn without_workspace(root: &Path, manifest: &str) -> Result<String, String> {
    let path = root.join("Cargo.toml");
    println!("cargo::rerun-if-changed={}", path.display());
    let workspace = read(&path)?;
    let (mut alone, mut section) = (String::new(), "");
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        }
        if section == "lints" {
            continue;
        }
        let line = match line.strip_suffix(".workspace = true") {
            None => line,
            Some(name) => {
                let of = format!("[workspace.{section}]");
                let lines = workspace.lines().skip_while(|line| **line != *of).skip(1);
                let mut lines = lines.take_while(|line| !line.starts_with('['));
                let wanted = format!("{name} = ");
                let found = lines.find(|line| line.starts_with(&wanted));
                found.ok_or_else(|| format!("{}: no {name} in {of}", path.display()))?
            }
        };
        alone.push_str(line);
        alone.push('\n');
    }
    Ok(alone)
}

/// npm installs those of a linked package too: hundreds of megabytes for bindings that are made already. They
/// are one line.
fn without_dev_dependencies(manifest: &str) -> String {
    let lines = manifest.lines();
    let kept = lines.filter(|line| !line.trim_start().starts_with("\"devDependencies\""));
    kept.flat_map(|line| [line, "\n"]).collect()
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

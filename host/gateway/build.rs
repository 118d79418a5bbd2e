//! Puts the policies that come with Weir into the program.
//!
//! They are WebAssembly, which Cargo cannot build on the way: `policies/build.sh` has made them
//! before and left them in `<target>/policies`, or wherever `WEIR_EMBED_DIR` says.

use std::env;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The policies of the default chain; the same names as `config::BUILTIN_POLICIES`.
const BUILTIN: [&str; 4] = ["permissions", "limits", "aliases", "router"];

fn main() {
    println!("cargo::rerun-if-env-changed=WEIR_EMBED_DIR");
    println!("cargo::rerun-if-changed=build.rs");
    if let Err(message) = embed() {
        println!("cargo::error={message}");
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
    std::fs::write(&generated, table).map_err(|error| format!("{}: {error}", generated.display()))
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

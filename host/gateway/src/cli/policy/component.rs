//! `weir internal-component`: from a core module to a component, for the SDKs' build tools. An author then needs
//! no further tool for it.

use std::path::{Path, PathBuf};

use weir_policy::{Encoding, Hook};

use super::local::io;

/// Makes a component.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Component {
    /// The core module.
    core: PathBuf,
    /// Where the component goes.
    #[arg(long, short)]
    output: PathBuf,
    /// The interface: `policy.wit`.
    #[arg(long)]
    wit: PathBuf,
    /// The hooks, between spaces; else the module's exports tell.
    #[arg(long)]
    hooks: Option<String>,
    /// The name of imports from elsewhere, and the module that answers them.
    #[arg(long, value_name = "NAME=FILE")]
    adapt: Option<String>,
}

/// Does it.
pub(in crate::cli) fn component(wanted: &Component) -> Result<(), String> {
    let read = |path: &Path| std::fs::read(path).map_err(io(path));
    let wit = std::fs::read_to_string(&wanted.wit).map_err(io(&wanted.wit))?;
    let hook =
        |name: &str| Hook::from_name(name).ok_or_else(|| format!("no hook is called {name}"));
    let hooks = wanted
        .hooks
        .as_deref()
        .map(|hooks| hooks.split_whitespace().map(hook).collect());
    let adapter = match wanted.adapt.as_deref().map(|adapt| adapt.split_once('=')) {
        None => None,
        Some(None) => return Err("--adapt is NAME=FILE".to_owned()),
        Some(Some((name, file))) => Some((name, read(Path::new(file))?)),
    };
    let encoding = Encoding {
        wit: &wit,
        hooks: hooks.transpose()?,
        adapter: adapter
            .as_ref()
            .map(|(name, module)| (*name, module.as_slice())),
    };
    let component = encoding.of(read(&wanted.core)?)?;
    std::fs::write(&wanted.output, component).map_err(io(&wanted.output))
}

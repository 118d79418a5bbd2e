//! The bytes of a policy, and where they were found.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use weir_policy::Version;

/// A file that changed less than this ago may still be written to.
const SETTLED: Duration = Duration::from_millis(500);
/// How long to wait before looking at such a file again.
const LOOK_AGAIN: Duration = Duration::from_millis(30);
/// How often to look; a file that still changes then is left for the next event.
const LOOKS_MAX: u32 = 40;

/// Where a policy's code was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layer {
    /// A file in `policies_dir`. Goes before everything else.
    Dropped(PathBuf),
    /// The store, by way of the API.
    Upload,
    /// The file that the settings name.
    File(PathBuf),
    /// The program itself.
    Builtin(Arc<str>),
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layer::Dropped(path) | Layer::File(path) => write!(f, "file:{}", path.display()),
            Layer::Upload => f.write_str(super::written::UPLOAD),
            Layer::Builtin(name) => write!(f, "builtin:{name}"),
        }
    }
}

/// The bytes of a policy.
#[derive(Clone)]
pub(super) struct Code {
    pub(super) digest: [u8; 32],
    pub(super) bytes: Bytes,
    pub(super) layer: Layer,
}

impl Code {
    pub(super) fn new(bytes: Bytes, layer: Layer) -> Self {
        Self {
            digest: weir_store::sha256(&bytes),
            bytes,
            layer,
        }
    }

    pub(super) fn digest_hex(&self) -> String {
        hex::encode(self.digest)
    }
}

/// A version that decides, with the code that it was made from.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) code: Code,
    pub(super) version: Arc<Version>,
}

/// The policies in the watched folder: name and path, by name. No folder is an empty one.
pub(super) fn dropped(dir: Option<&Path>) -> Vec<(String, PathBuf)> {
    let entries = dir
        .and_then(|dir| std::fs::read_dir(dir).ok())
        .into_iter()
        .flatten()
        .flatten();
    let named = entries.filter_map(|entry| {
        let path = entry.path();
        let name = path.file_stem()?.to_str()?.to_owned();
        let is_policy = path.extension().is_some_and(|extension| extension == "wasm");
        // Editors and copying tools make hidden files beside the one that they write.
        if !is_policy || name.starts_with('.') || !path.is_file() {
            return None;
        }
        let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.len() > 64 || !name.chars().all(in_name) {
            tracing::warn!(file = %path.display(), "a file is not used: its name is no policy's name");
            return None;
        }
        Some((name, path))
    });
    let mut named: Vec<_> = named.collect();
    named.sort();
    named
}

/// Reads a file that somebody may be writing right now: waits until it stays the same.
pub(super) async fn read_whole(path: &Path) -> Result<Bytes, String> {
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    for _ in 0..LOOKS_MAX {
        let before = mark(path).await.map_err(failed)?;
        if !before.settled() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let bytes = tokio::fs::read(path).await.map_err(failed)?;
        let unchanged =
            mark(path).await.map_err(failed)? == before && bytes.len() as u64 == before.size_bytes;
        // An empty file is one that is about to be written.
        if unchanged && !bytes.is_empty() {
            return Ok(bytes.into());
        }
    }
    Err(format!(
        "{} is empty or is still being written",
        path.display()
    ))
}

#[derive(PartialEq, Eq)]
struct Mark {
    size_bytes: u64,
    modified: Option<SystemTime>,
}

impl Mark {
    fn settled(&self) -> bool {
        let age = self.modified.and_then(|modified| modified.elapsed().ok());
        age.is_some_and(|age| age > SETTLED)
    }
}

async fn mark(path: &Path) -> std::io::Result<Mark> {
    let meta = tokio::fs::metadata(path).await?;
    Ok(Mark {
        size_bytes: meta.len(),
        modified: meta.modified().ok(),
    })
}

//! Compiled components on disk, and the one door through which they become running code.
//!
//! Loading a compiled component is running native code, so nothing gets in here that this
//! program's own compiler did not make: files are authenticated with a key that only Weir has,
//! and users' uploads never come this way.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use crate::inspect::Facts;

/// Bytes of the authentication code in front of each artefact.
const TAG_BYTES: usize = 32;

/// A compiled component that this program's compiler made: it was just compiled, or its
/// authentication code was checked. In front of the code are the names of what it imports and exports,
/// with their length before them.
pub(crate) struct Artefact(Vec<u8>);

/// Bytes of that length.
pub(crate) const LENGTH_BYTES: usize = 4;

impl Artefact {
    /// Takes what the compiler has just put out.
    pub(crate) fn from_compiler(facts: &Facts, code: &[u8]) -> Self {
        let lines = facts.to_lines();
        // Far fewer than would not fit: `inspect` bounds them.
        let length = u32::try_from(lines.len()).unwrap_or(0).to_le_bytes();
        Self([&length, lines.as_bytes(), code].concat())
    }

    /// What it imports and exports, and the code.
    fn parts(&self) -> Option<(&[u8], &[u8])> {
        let (length, rest) = self.0.split_first_chunk::<LENGTH_BYTES>()?;
        rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
    }

    /// What it imports and exports.
    pub(crate) fn facts(&self) -> Option<Facts> {
        Facts::from_lines(self.parts()?.0)
    }

    /// The component, ready to be linked.
    pub(crate) fn open(&self, engine: &wasmtime::Engine) -> wasmtime::Result<Component> {
        let (_, code) = self
            .parts()
            .ok_or_else(|| wasmtime::format_err!("the compiled component is cut off"))?;
        // SAFETY: `deserialize` runs whatever it is given, so the bytes must come from this
        // version of wasmtime's own compiler, unchanged. The two constructors of `Artefact` see to
        // that: one takes the output of the compiler itself, the other bytes whose code was
        // checked in memory, not on disk where they could change in between. That the compiler
        // was of the same version and settings is checked by wasmtime.
        #[expect(unsafe_code, reason = "the only way to load compiled code; see above")]
        unsafe {
            Component::deserialize(engine, code)
        }
    }
}

/// How the names of compiled components end.
const SUFFIX: &str = ".policy";
/// How the names of an older form ended, which nothing reads any more.
const OLD_SUFFIX: &str = ".cwasm";
/// A file that is written takes seconds; one older than this was left by a program that was killed.
const LEFT_OVER_AFTER: Duration = Duration::from_secs(3_600);

/// The directory of compiled components.
pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; 32],
}

/// Makes names of temporary files unlike within this process.
static TEMPORARY: AtomicU64 = AtomicU64::new(0);

impl Cache {
    /// Uses this directory; makes it if it is missing.
    pub(crate) fn open(dir: &Path, key: [u8; 32]) -> io::Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            key,
        })
    }

    /// The artefact of that name, if there is one and it is genuine. Anything else is treated as
    /// not there: it will be made again and written over.
    pub(crate) fn read(&self, name: &str) -> Option<Artefact> {
        let mut bytes = std::fs::read(self.dir.join(name)).ok()?;
        let tag: [u8; TAG_BYTES] = bytes.get(..TAG_BYTES)?.try_into().ok()?;
        bytes.drain(..TAG_BYTES);
        self.mac(name, &bytes)?.verify_slice(&tag).ok()?;
        Some(Artefact(bytes))
    }

    /// Keeps an artefact under that name. A reader sees all of it or nothing.
    pub(crate) fn write(&self, name: &str, artefact: &Artefact) -> io::Result<()> {
        let mac = self
            .mac(name, &artefact.0)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let temporary = self
            .dir
            .join(format!(".{name}.{}.{number}", std::process::id()));
        let written = (|| {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(&mac.finalize().into_bytes())?;
            file.write_all(&artefact.0)?;
            file.sync_all()?;
            std::fs::rename(&temporary, self.dir.join(name))
        })();
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }

    /// Removes what is kept under other names than these, and what a write left behind that never
    /// ended; returns the number of files.
    pub(crate) fn prune(&self, keep: &HashSet<String>) -> io::Result<usize> {
        let mut removed = 0;
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            // A folder of its own, but nothing is lost by sparing what has another name.
            let is_waste = name.to_str().is_some_and(|name| {
                let is_left_over = || name.starts_with('.') && is_older(&entry, LEFT_OVER_AFTER);
                (name.ends_with(SUFFIX) && !keep.contains(name))
                    || name.ends_with(OLD_SUFFIX)
                    || (name.contains(SUFFIX) && is_left_over())
            });
            if is_waste && std::fs::remove_file(entry.path()).is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// The code covers the name too, so that no artefact can pass for another.
    fn mac(&self, name: &str, bytes: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(&(name.len() as u64).to_le_bytes());
        mac.update(name.as_bytes());
        mac.update(bytes);
        Some(mac)
    }
}

/// The file name of what `engine` compiles from the component with this digest.
pub(crate) fn name(engine: &wasmtime::Engine, digest: &[u8; 32]) -> String {
    let mut hasher = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let engine_hash = hasher.0.finalize();
    let engine_hash = engine_hash.get(..8).unwrap_or_default();
    // The form of the file is a part of its name: one of an older form is made again.
    format!(
        "{}-{}{SUFFIX}",
        hex::encode(digest),
        hex::encode(engine_hash)
    )
}

fn is_older(entry: &std::fs::DirEntry, than: Duration) -> bool {
    let modified = entry.metadata().and_then(|meta| meta.modified());
    let age = modified.ok().and_then(|modified| modified.elapsed().ok());
    age.is_some_and(|age| age > than)
}

/// SHA-256 where a `Hasher` is asked for: the standard library's own may change with its version.
struct Sha(Sha256);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest
            .first_chunk::<8>()
            .map_or(0, |first| u64::from_le_bytes(*first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_needs_goes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), [7; 32]).unwrap();
        for name in ["a.policy", "b.policy", "c.policy"] {
            let artefact = Artefact::from_compiler(&Facts::default(), b"code");
            cache.write(name, &artefact).unwrap();
        }
        for name in [".d.policy.1.1", "notes.txt", "older.cwasm"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let old = std::time::SystemTime::now() - 2 * LEFT_OVER_AFTER;
        std::fs::write(dir.path().join(".e.policy.1.1"), "x").unwrap();
        let left_over = std::fs::File::options()
            .write(true)
            .open(dir.path().join(".e.policy.1.1"));
        left_over.unwrap().set_modified(old).unwrap();
        let keep = HashSet::from(["b.policy".to_owned()]);
        assert_eq!(cache.prune(&keep).unwrap(), 4);
        let mut left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [".d.policy.1.1", "b.policy", "notes.txt"]);
    }

    #[test]
    fn only_the_very_bytes_under_the_very_name_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), [7; 32]).unwrap();
        let artefact = Artefact::from_compiler(&Facts::default(), b"code");
        cache.write("a.policy", &artefact).unwrap();
        let read = cache.read("a.policy").unwrap();
        assert_eq!(read.parts().unwrap().1, b"code");
        assert_eq!(read.facts(), Some(Facts::default()));

        std::fs::copy(dir.path().join("a.policy"), dir.path().join("b.policy")).unwrap();
        assert!(cache.read("b.policy").is_none(), "another name");
        let other_key = Cache::open(dir.path(), [8; 32]).unwrap();
        assert!(other_key.read("a.policy").is_none(), "another key");

        let mut bytes = std::fs::read(dir.path().join("a.policy")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(dir.path().join("a.policy"), bytes).unwrap();
        assert!(cache.read("a.policy").is_none(), "another byte");
        std::fs::write(dir.path().join("a.policy"), b"short").unwrap();
        assert!(cache.read("a.policy").is_none(), "too short");
    }
}

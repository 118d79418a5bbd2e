//! Compiled components on disk, and the one door through which they become running code.
//!
//! Loading a compiled component is running native code, so nothing gets in here that this
//! program's own compiler did not make: files are authenticated with a key that only Weir has,
//! and users' uploads never come this way.

use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

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
        "{}-{}.policy",
        hex::encode(digest),
        hex::encode(engine_hash)
    )
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
    fn only_the_very_bytes_under_the_very_name_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), [7; 32]).unwrap();
        let artefact = Artefact::from_compiler(&Facts::default(), b"code");
        cache.write("a.cwasm", &artefact).unwrap();
        let read = cache.read("a.cwasm").unwrap();
        assert_eq!(read.parts().unwrap().1, b"code");
        assert_eq!(read.facts(), Some(Facts::default()));

        std::fs::copy(dir.path().join("a.cwasm"), dir.path().join("b.cwasm")).unwrap();
        assert!(cache.read("b.cwasm").is_none(), "another name");
        let other_key = Cache::open(dir.path(), [8; 32]).unwrap();
        assert!(other_key.read("a.cwasm").is_none(), "another key");

        let mut bytes = std::fs::read(dir.path().join("a.cwasm")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(dir.path().join("a.cwasm"), bytes).unwrap();
        assert!(cache.read("a.cwasm").is_none(), "another byte");
        std::fs::write(dir.path().join("a.cwasm"), b"short").unwrap();
        assert!(cache.read("a.cwasm").is_none(), "too short");
    }
}

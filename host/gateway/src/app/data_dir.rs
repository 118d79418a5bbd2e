//! The folder that the program keeps its things in: the database, compiled policies, and the keys
//! that it made for itself.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use weir_base::Secret;
use weir_store::MasterKey;

/// The folder, made with mode 0700 where it was missing.
pub struct DataDir(PathBuf);

impl DataDir {
    /// Opens the folder.
    pub fn open(path: &Path) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| {
                format!(
                    "the data folder {} cannot be made; check data_dir and its permissions",
                    path.display()
                )
            })?;
        Ok(Self(path.to_owned()))
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.0.join("weir.db")
    }

    /// Compiled policies.
    pub fn compiled(&self) -> PathBuf {
        self.0.join("compiled")
    }

    /// Journals of policies.
    pub fn journals(&self) -> PathBuf {
        self.0.join("journals")
    }

    /// The admin key: what WEIR_ADMIN_KEY says, else the one made at the first start.
    pub fn admin_key(&self) -> Result<Secret> {
        match given("WEIR_ADMIN_KEY") {
            Some(key) => Ok(key),
            None => self.kept("admin-key", || secret("weir-admin-")),
        }
    }

    /// The key that provider keys are encrypted with: what WEIR_MASTER_KEY says, else the one made
    /// at the first start.
    pub fn master_key(&self) -> Result<MasterKey> {
        let (text, place) = match given("WEIR_MASTER_KEY") {
            Some(key) => (key, "WEIR_MASTER_KEY".to_owned()),
            None => {
                let made = || Ok(MasterKey::generate()?.to_hex());
                (
                    self.kept("master-key", made)?,
                    self.0.join("master-key").display().to_string(),
                )
            }
        };
        MasterKey::from_hex(text.expose().trim())
            .with_context(|| format!("{place} is no master key: it takes 64 hexadecimal digits"))
    }

    /// What authenticates compiled policies. Made of the master key, as whoever has that may read
    /// provider keys anyway; under a name of its own, so that neither use tells anything about the other.
    pub fn compiled_key(&self) -> Result<[u8; 32]> {
        let master = self.master_key()?.to_hex();
        let bytes = [
            b"weir compiled policies\0".as_slice(),
            master.expose().as_bytes(),
        ];
        Ok(weir_store::sha256(bytes.concat().as_slice()))
    }

    /// The virtual key that was made at the first start, where the file is still there.
    pub fn first_key(&self) -> Option<Secret> {
        fs::read_to_string(self.0.join("first-key"))
            .ok()
            .map(|text| Secret::new(text.trim()))
    }

    /// Makes the first virtual key.
    pub fn make_first_key(&self) -> Result<Secret> {
        self.kept("first-key", || secret("sk-weir-"))
    }

    /// Tells other programs where this one listens.
    pub fn tell_addresses(&self, listen: &str, admin: &str) -> Result<()> {
        let text = serde_json::json!({ "listen": listen, "admin": admin }).to_string();
        let (path, draft) = (
            self.0.join("listening.json"),
            self.0.join("listening.json.new"),
        );
        fs::write(&draft, text)?;
        fs::rename(&draft, &path)?;
        Ok(())
    }

    /// Nobody listens there any more, or not yet.
    pub fn forget_addresses(&self) {
        let _ = fs::remove_file(self.0.join("listening.json"));
    }

    /// The secret in a file of mode 0600, made where it is missing.
    fn kept(&self, name: &str, make: impl FnOnce() -> Result<Secret>) -> Result<Secret> {
        let path = self.0.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Secret::new(text.trim())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let made = make()?;
                let mut file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&path)
                    .with_context(|| format!("{} cannot be written", path.display()))?;
                writeln!(file, "{}", made.expose())?;
                file.sync_all()?;
                Ok(made)
            }
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }
}

fn given(variable: &str) -> Option<Secret> {
    std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty())
        .map(Secret::new)
}

/// A new secret of 32 random bytes.
fn secret(prefix: &str) -> Result<Secret> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
    Ok(Secret::new(format!("{prefix}{}", hex::encode(bytes))))
}

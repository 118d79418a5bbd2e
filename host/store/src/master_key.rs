//! Encryption of provider keys at rest: ChaCha20-Poly1305 under one master key.
//!
//! A sealed secret is bound to the id of its entry, so that swapping two rows in the database
//! does not send one provider's key to another.

use std::fmt;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};
use sha2::{Digest, Sha256};
use weir_base::Secret;
use zeroize::Zeroizing;

use crate::error::StoreError;

const NONCE_BYTES: usize = 12;

/// The key that provider keys are encrypted with. Wiped from memory when dropped.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// A new, random key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the system gives no randomness.
    pub fn generate() -> Result<Self, StoreError> {
        let mut key = Zeroizing::new([0; 32]);
        fill_random(key.as_mut_slice())?;
        Ok(Self(key))
    }

    /// The key written as 64 hexadecimal digits; white space around them is ignored.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] where the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, StoreError> {
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), key.as_mut_slice())
            .map_err(|_| StoreError::Invalid("a master key is 64 hexadecimal digits".to_owned()))?;
        Ok(Self(key))
    }

    /// The key as 64 hexadecimal digits, for the file that keeps it.
    pub fn to_hex(&self) -> Secret {
        Secret::new(hex::encode(self.0.as_slice()))
    }

    /// Encrypts `text` for the entry with this id: a random nonce, then the ciphertext.
    pub(crate) fn seal(&self, text: &Secret, id: &str) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE_BYTES];
        fill_random(&mut nonce)?;
        let payload = Payload {
            msg: text.expose().as_bytes(),
            aad: id.as_bytes(),
        };
        let sealed = self
            .cipher()
            .encrypt(Nonce::from_slice(&nonce), payload)
            .map_err(|_| StoreError::Invalid("the secret is too long to encrypt".to_owned()))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Decrypts what [`MasterKey::seal`] made with the same key and id.
    pub(crate) fn unseal(&self, sealed: &[u8], id: &str) -> Result<Secret, StoreError> {
        let (nonce, text) = sealed
            .split_at_checked(NONCE_BYTES)
            .ok_or(StoreError::WrongMasterKey)?;
        let payload = Payload {
            msg: text,
            aad: id.as_bytes(),
        };
        let text = self
            .cipher()
            .decrypt(Nonce::from_slice(nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| StoreError::WrongMasterKey)?;
        let text = std::str::from_utf8(&text).map_err(|_| StoreError::WrongMasterKey)?;
        Ok(Secret::new(text))
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(self.0.as_slice().into())
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

/// SHA-256: of a virtual key's secret, of a provider key that the database does not hold, of a
/// policy's file.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn fill_random(bytes: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(bytes)
        .map_err(|error| StoreError::Unavailable(format!("no randomness: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_id_open_a_seal() {
        let key = MasterKey::generate().unwrap();
        let sealed = key.seal(&Secret::new("sk-1"), "a").unwrap();
        assert_eq!(key.unseal(&sealed, "a").unwrap().expose(), "sk-1");
        let again = MasterKey::from_hex(key.to_hex().expose()).unwrap();
        assert_eq!(again.unseal(&sealed, "a").unwrap().expose(), "sk-1");
        assert_eq!(
            key.unseal(&sealed, "b").unwrap_err(),
            StoreError::WrongMasterKey
        );
        let other = MasterKey::generate().unwrap();
        assert_eq!(
            other.unseal(&sealed, "a").unwrap_err(),
            StoreError::WrongMasterKey
        );
        assert_eq!(
            key.unseal(b"short", "a").unwrap_err(),
            StoreError::WrongMasterKey
        );
        assert!(matches!(
            MasterKey::from_hex("ab"),
            Err(StoreError::Invalid(_))
        ));
        assert_eq!(format!("{key:?}"), "MasterKey(***)");
    }
}

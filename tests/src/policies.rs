//! The compiled policies that `make policies` leaves, and other versions of the same policy.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::gateway::build_folder;

/// Where the policy of this name is, as WebAssembly.
#[track_caller]
pub fn policy_file(name: &str) -> PathBuf {
    let file = place_of(name);
    assert!(
        file.exists(),
        "{} is missing: run `make test`, which builds the policies",
        file.display()
    );
    file
}

/// Where the policy of this name is; none where it was not built, as those are not whose language's
/// tools a machine lacks.
pub fn built_policy(name: &str) -> Option<PathBuf> {
    Some(place_of(name)).filter(|file| file.exists())
}

fn place_of(name: &str) -> PathBuf {
    let folder = std::env::var_os("WEIR_POLICY_FILES").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| build_folder().join("policies"));
    folder.join(format!("{name}.wasm"))
}

/// The policy of this name as WebAssembly.
#[track_caller]
pub fn policy(name: &str) -> Vec<u8> {
    std::fs::read(policy_file(name)).expect("a readable policy")
}

/// Another version of the probe, which names itself: what its `answer.show` answers has a member
/// `max_output_tokenX` with this letter in the place of `X`.
#[track_caller]
pub fn version_of(probe: &[u8], letter: u8) -> Vec<u8> {
    let name = b"max_output_tokens";
    let at: Vec<usize> = (0..probe.len() - name.len())
        .filter(|at| probe[*at..].starts_with(name))
        .collect();
    assert!(!at.is_empty(), "the probe no longer says max_output_tokens");
    let mut version = probe.to_vec();
    for at in at {
        version[at + name.len() - 1] = letter;
    }
    version
}

/// A version of the sieve that denies the calls whose model holds this word, at most eight letters;
/// with `!` in front of the word it traps.
#[track_caller]
pub fn sieve(word: &str) -> Vec<u8> {
    let mut wasm = policy("testing-sieve");
    let mark = b"sieve-word:";
    let at: Vec<usize> = (0..wasm.len() - mark.len() - 8)
        .filter(|at| wasm[*at..].starts_with(mark))
        .map(|at| at + mark.len())
        .collect();
    assert!(!at.is_empty() && word.len() <= 8, "no place for {word}");
    for at in at {
        wasm[at..at + 8].copy_from_slice(format!("{word:-<8}").as_bytes());
    }
    wasm
}

/// Whether a digest, which may be shortened to a dozen digits, is the one of these bytes.
pub fn is_digest_of(shown: &serde_json::Value, wasm: &[u8]) -> bool {
    let shown = shown.as_str().unwrap_or_default();
    shown.len() >= 12 && digest(wasm).starts_with(shown)
}

/// The digest by which the admin API names these bytes.
pub fn digest(wasm: &[u8]) -> String {
    hex::encode(Sha256::digest(wasm))
}

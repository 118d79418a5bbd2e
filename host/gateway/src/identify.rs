//! Who is calling: the virtual key in the head, its tenant, the client's address, bans.
//!
//! Never does: decide what the caller may do (policies do), or keep a secret: a key is known by
//! its hash alone.
//! Read first: [`Directory`], what a key leads to.

mod address;
mod bans;
mod credential;
mod directory;

pub use address::client_address;
pub use bans::Bans;
pub use credential::{hash, take_credential};
pub use directory::{Directory, Tenant, VirtualKey};

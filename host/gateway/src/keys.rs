//! Provider keys: which one a call takes next, which ones rest, which ones are dead.
//!
//! Never does: send anything, know a dialect, or let a secret out except as the header that
//! carries it. The pipeline tells it what a provider answered; it only keeps the consequences.
//! Read first: [`KeyState`], the few atomics that outlive every reload.

mod pool;
mod standing;
mod state;

pub use pool::{KeyPool, ProviderKey};
pub use standing::Standing;
pub use state::{Cooldown, Disabled, KeyRegistry, KeyState, Rest, fingerprint, public_id};

//! Provider keys: which one a call takes next, what each may still carry, which ones rest, which
//! ones are dead.
//!
//! A call asks the pool ([`KeyPool::pick`]) and gets a [`Lease`]: the key, and what the call has
//! taken of its limits until it is settled or dropped. What a provider says about its limits
//! ([`Told`]) is kept per key and model, and believed until the provider's own reset.
//!
//! Never does: send anything, know a dialect, or let a secret out except as the header that
//! carries it. The pipeline tells it what a provider answered; it only keeps the consequences.
//! Read first: [`KeyPool::pick`], then [`KeyState`], the few atomics that outlive every reload.

mod choose;
mod headers;
mod learnt;
mod lease;
mod meter;
mod pool;
mod retest;
mod standing;
mod state;
mod window;

#[cfg(test)]
mod tests;

pub use choose::caller_hash;
pub use headers::Told;
pub use lease::Lease;
pub use pool::{Ask, KeyPool, ProviderKey};
pub use retest::RetestPauses;
pub use standing::Standing;
pub use state::{BY_HAND, Cooldown, Disabled, KeyRegistry, KeyState, Rest, fingerprint, public_id};

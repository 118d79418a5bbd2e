//! What a call cost: prices per model, and money from tokens.
//!
//! Never does: read a provider's reply (that is the wire room's work) or decide whether a call
//! may be made. Money is an integer of millionths of the ledger's currency unit.
//! Read first: [`PriceBook`], how a price is found.

mod price;

pub use price::{Price, PriceBook, PriceRule};

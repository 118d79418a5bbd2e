//! Holds the repository to ARCHITECTURE.md: who may use whom, headers, sizes, links, folders.
//!
//! Every rule reports all of its violations at once, as `file:line: what is wrong`. A rule is a
//! table or a bound at the top of its file; changing the architecture means changing it there.
//! Read first: [`rooms`], the table of crates, then [`modules`], the table inside the gateway.

mod headers;
mod layout;
mod modules;
mod rooms;
mod sizes;
mod source;
mod style;
mod violation;

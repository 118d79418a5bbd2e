//! The gateway: everything between a listening socket and a provider.
//!
//! Never does: wire formats, connections, WebAssembly, storage or counting itself; those are rooms
//! of their own and meet only here. Nothing imports it but the `weir` program and the tests.
//! Read first: [`pipeline`], the phases of a call in their order; then [`app`], which puts the
//! parts together.

pub mod admin;
pub mod app;
pub mod cases;
pub mod cli;
pub mod config;
pub mod identify;
pub mod keys;
pub mod measure;
pub mod pipeline;
pub mod project;
pub mod reload;
pub mod server;
pub mod services;
pub mod telemetry;
pub mod usage;

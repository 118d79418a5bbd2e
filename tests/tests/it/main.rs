//! The whole program from outside, one module for each promise.
//!
//! A test starts a real `weir` in a folder of its own, mostly with a [`weir_tests::Provider`]
//! behind it. Read first: `keys.rs` for the form of a test.

mod admin;
mod authors;
mod bounds;
mod breaker;
mod cascade;
mod cases;
mod channel_test;
mod config;
mod crash;
mod dialects;
mod disk;
mod events;
mod examples;
mod faults;
mod hangup;
mod hostile;
mod interface;
mod keys;
mod limits;
mod new;
mod policies;
mod questions;
mod replay;
mod rotation;
mod scale;
mod sdk;
mod staged;
mod start;
mod streams;
mod swap;
mod wasi_http;
mod way;

use std::io::Write;

/// The built-in provider as the only channel.
const FAKE: &str = "\n[[channel]]\nname = \"fake\"\ndialect = \"fake\"\n";

/// Says that a test could not run here. Past cargo's capture, so that nobody takes it for a success;
/// a failure where `CI` or the named variable asks for it.
fn skip(variable: &str, reason: &str) {
    let is_set = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let required = is_set("CI", "true") || is_set(variable, "require");
    assert!(!required, "{reason}");
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: {reason} ({variable}=require makes this a failure)"
    );
}

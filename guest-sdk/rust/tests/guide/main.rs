//! The policies that docs/guide shows, one module for each hook, each with what it should do: the guide
//! takes its Rust from here, so that what it shows compiles and works.

mod access;
mod answer;
mod audit;
mod events;
mod limit;
mod reply;
mod rewrite;
mod route;
mod services;

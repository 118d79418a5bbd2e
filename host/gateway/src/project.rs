//! A policy's project on its author's machine: made from a template, and built to a component.
//!
//! The SDKs and templates are inside of the program, since an author has no checkout of Weir; what a
//! language needs of tools is its SDK's own to know and to call. Never does: any network, any change
//! outside of the project's folder, any look at what the component does ([`crate::cases`] runs it).
//!
//! Read first: [`create`] for how a project comes to be, [`build`] for what becomes of it.

pub mod build;
pub mod create;

mod embedded;
mod template;

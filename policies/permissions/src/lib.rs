//! The permissions policy

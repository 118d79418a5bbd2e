//! The aliases policy

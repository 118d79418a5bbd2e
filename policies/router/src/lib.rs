//! The router policy

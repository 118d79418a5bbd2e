//! The limits policy

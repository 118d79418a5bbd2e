//! Limits that calls reserve and settle, and the policies' key-value store

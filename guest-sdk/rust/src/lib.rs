//! What a policy author writes against, in Rust

//! Connections to providers: bytes to a host and back

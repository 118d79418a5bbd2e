//! The policy runtime: the only room that sees wasmtime

//! The `weir` program. Read first: `cli.rs`, what can be typed; then `app.rs`, what runs.

use std::process::ExitCode;

/// Many threads make and drop small things of all sizes; this allocator was measured to cost less
/// CPU for each call than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    weir_gateway::cli::main()
}

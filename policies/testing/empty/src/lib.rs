//! A module for tests of loading: it is valid WebAssembly and exports no hook.

/// Something for the module to export.
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "a module's own export needs a fixed name")]
pub extern "C" fn nothing() -> u32 {
    42
}

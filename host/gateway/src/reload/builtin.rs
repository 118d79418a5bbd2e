//! The policies inside the program; `build.rs` puts them there.

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// The bytes of the policy that comes with Weir under this name.
pub(super) fn builtin(name: &str) -> Option<&'static [u8]> {
    BUILTIN
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, bytes)| *bytes)
}

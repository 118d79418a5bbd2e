//! The released versions of `weir:policy` that this program runs side by side: their names, in
//! interfaces and for people.
//!
//! Each is a frozen folder in `wit/`. A later one only adds functions and interfaces, so the host
//! has one implementation of everything; what differs is the names under which `link.rs` offers it
//! and `guests.rs` looks for hooks. Nothing here is on a call's path.

use std::fmt;

/// A released version of the interface between the gateway and its policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Release {
    /// The first one.
    V0_1,
    /// With `call.query`.
    V0_2,
}

impl Release {
    /// All that this program runs, the oldest first.
    pub const ALL: [Release; 2] = [Release::V0_1, Release::V0_2];

    /// What policies should be written for.
    pub const NEWEST: Release = Release::V0_2;

    /// The folder in `wit/`, which is also what people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Release::V0_1 => "0.1",
            Release::V0_2 => "0.2",
        }
    }

    /// The full name of one of its interfaces, as components have it.
    pub(crate) fn name(self, interface: &str) -> String {
        format!("weir:policy/{interface}@{self}.0")
    }

    /// The release that a full version belongs to. Below 1.0 the first two numbers have to agree, as
    /// wasmtime's linker wants it.
    pub(crate) fn of_version(version: &str) -> Option<Self> {
        let (track, patch) = version.rsplit_once('.')?;
        patch.parse::<u32>().ok()?;
        Release::ALL
            .into_iter()
            .find(|release| release.as_str() == track)
    }

    /// All of them, for a sentence.
    pub(crate) fn list() -> String {
        Release::ALL.map(Release::as_str).join(" and ")
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_belongs_to_the_release_of_its_first_two_numbers() {
        assert_eq!(Release::of_version("0.1.0"), Some(Release::V0_1));
        assert_eq!(Release::of_version("0.2.7"), Some(Release::V0_2));
        for other in ["", "0.2", "0.3.0", "0.20.0", "1.2.0", "0.2.0-rc.1", "0.2.x"] {
            assert_eq!(Release::of_version(other), None, "{other}");
        }
        assert_eq!(Release::NEWEST.name("call"), "weir:policy/call@0.2.0");
        assert_eq!(Release::ALL.last(), Some(&Release::NEWEST));
    }
}

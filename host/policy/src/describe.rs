//! What a file is, for its author: read in this process and without compiling it, so only for files of one's own.

use crate::grants::Grants;
use crate::hook::{Hook, HookSet};
use crate::inspect::{self, Inspected};
use crate::load_error::LoadError;
use crate::release::Release;

/// What a component is, before it is compiled.
#[derive(Debug, Clone)]
pub struct Description {
    /// The component: as it was given, or made of the core module that was given.
    pub component: Vec<u8>,
    /// The hooks that it exports.
    pub hooks: HookSet,
    /// The version of `weir:policy` that it needs.
    pub interface: Release,
    /// The interfaces that it imports, sorted: all that it can do.
    pub imports: Vec<String>,
}

impl Description {
    /// Reads a component, or a core module that wit-bindgen made.
    ///
    /// # Errors
    /// As [`crate::Engine::load`], of the steps before compiling; nothing is refused for a lack of grants.
    pub fn of(bytes: Vec<u8>) -> Result<Self, LoadError> {
        let component = inspect::componentize(bytes)?;
        let facts = inspect::read(&component)?;
        let Inspected {
            exports,
            release,
            imports,
        } = inspect::check(facts, &Grants::everything())?;
        Ok(Self {
            component,
            hooks: exports.iter().map(|(hook, _)| *hook).collect(),
            interface: release,
            imports,
        })
    }

    /// The hooks that are asked about calls, in their order.
    pub fn call_hooks(&self) -> impl Iterator<Item = Hook> {
        self.hooks.iter().filter(|hook| *hook != Hook::Lifecycle)
    }

    /// The settings under `grants` without which it is not loaded, sorted.
    pub fn needed_grants(&self) -> Vec<&'static str> {
        inspect::needed_grants(&self.imports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_policy_is_said() {
        assert_eq!(
            Description::of(b"text".to_vec()).unwrap_err(),
            LoadError::NotWasm
        );
        let empty = wat::parse_str("(component)").unwrap();
        let refused = Description::of(empty).unwrap_err();
        assert!(matches!(refused, LoadError::NoHook { .. }), "{refused}");
    }

    #[test]
    fn another_version_of_the_interface_is_named() {
        let text = "(component (import \"weir:policy/clock@0.9.0\" (instance)))";
        let refused = Description::of(wat::parse_str(text).unwrap()).unwrap_err();
        assert!(
            refused.to_string().contains("weir:policy/clock@0.9.0"),
            "{refused}"
        );
    }
}

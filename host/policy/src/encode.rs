//! From a core module of a language whose tools make no components (Go, C) to a component: the world of the
//! policy's own hooks is put into the module, then it is encoded. For files of one's own, as `describe`.

use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::hook::Hook;

/// What a module in C calls the exports that tell which hooks it has.
const MARK: &str = "weir-hook:";

/// What is to be made of a core module.
#[derive(Debug)]
pub struct Encoding<'a> {
    /// The interface, as WIT: `wit/<version>/policy.wit`.
    pub wit: &'a str,
    /// The hooks; without, those that the module's exports `weir-hook:<name>` tell.
    pub hooks: Option<Vec<Hook>>,
    /// What answers the module's imports from elsewhere: the name that they have, and a module, binary or text.
    pub adapter: Option<(&'a str, &'a [u8])>,
}

impl Encoding<'_> {
    /// Makes the component.
    ///
    /// # Errors
    /// A sentence that says what about the module, the WIT or the adapter cannot be.
    pub fn of(&self, mut core: Vec<u8>) -> Result<Vec<u8>, String> {
        let mut hooks = match &self.hooks {
            Some(hooks) => hooks.clone(),
            None => told_by_exports(&core)?,
        };
        hooks.retain(|hook| *hook != Hook::Lifecycle);
        if hooks.is_empty() {
            return Err("the policy has no hook".to_owned());
        }
        let words = |error: &dyn std::fmt::Display| format!("{error:#}");
        let mut resolve = Resolve::default();
        resolve
            .push_str("policy.wit", self.wit)
            .map_err(|error| words(&error))?;
        let package = resolve
            .push_str("world.wit", &world(self.wit, &hooks)?)
            .map_err(|error| words(&error))?;
        let world = resolve
            .select_world(&[package], Some("weir"))
            .map_err(|error| words(&error))?;
        embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8)
            .map_err(|error| words(&error))?;
        let encoder = ComponentEncoder::default().validate(true);
        let mut encoder = encoder.module(&core).map_err(|error| words(&error))?;
        if let Some((name, module)) = self.adapter {
            let module = wat::parse_bytes(module).map_err(|error| words(&error))?;
            encoder = encoder
                .adapter(name, &module)
                .map_err(|error| words(&error))?;
        }
        encoder.encode().map_err(|error| words(&error))
    }
}

fn world(wit: &str, hooks: &[Hook]) -> Result<String, String> {
    let version = wit.lines().find_map(|line| {
        let rest = line.strip_prefix("package weir:policy@")?;
        rest.strip_suffix(';')
    });
    let version = version.ok_or("the WIT is not that of weir:policy")?;
    let exports: String = [Hook::Lifecycle]
        .iter()
        .chain(hooks)
        .map(|hook| format!("  export weir:policy/{hook}@{version};\n"))
        .collect();
    Ok(format!(
        "package weir:build;\nworld weir {{\n  include weir:policy/imports@{version};\n{exports}}}\n"
    ))
}

fn told_by_exports(core: &[u8]) -> Result<Vec<Hook>, String> {
    let mut hooks = Vec::new();
    for payload in Parser::new(0).parse_all(core) {
        if let Payload::ExportSection(exports) = payload.map_err(|error| error.to_string())? {
            for export in exports {
                let export = export.map_err(|error| error.to_string())?;
                hooks.extend(export.name.strip_prefix(MARK).and_then(Hook::from_name));
            }
        }
    }
    hooks.sort();
    hooks.dedup();
    Ok(hooks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::Description;

    const WIT: &str = include_str!("../../../wit/0.2/policy.wit");

    /// What a linker leaves of a policy in C with the hook `audit` and nothing in it.
    fn core(mark: &str) -> Vec<u8> {
        let text = format!(
            "(module
               (memory (export \"memory\") 1)
               (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) i32.const 16)
               (func (export \"{mark}\"))
               (func (export \"weir:policy/lifecycle@0.2.0#init\") (param i32 i32) (result i32) i32.const 16)
               (func (export \"weir:policy/audit@0.2.0#finished\") (param i32)))"
        );
        wat::parse_str(text).unwrap()
    }

    fn encoding(hooks: Option<Vec<Hook>>) -> Encoding<'static> {
        Encoding {
            wit: WIT,
            hooks,
            adapter: None,
        }
    }

    #[test]
    fn the_hooks_are_those_that_the_module_tells() {
        let component = encoding(None).of(core("weir-hook:audit")).unwrap();
        let description = Description::of(component).unwrap();
        let hooks: Vec<Hook> = description.call_hooks().collect();
        assert_eq!(hooks, [Hook::Audit]);
        let named = encoding(Some(vec![Hook::Audit])).of(core("other"));
        named.unwrap();
        let none = encoding(None).of(core("other")).unwrap_err();
        assert!(none.contains("no hook"), "{none}");
    }

    #[test]
    fn what_cannot_be_is_a_sentence() {
        assert!(encoding(None).of(b"text".to_vec()).is_err());
        let missing = encoding(Some(vec![Hook::Access]))
            .of(core("x"))
            .unwrap_err();
        assert!(missing.contains("authorize"), "{missing}");
        let other = Encoding {
            wit: "package a:b;",
            ..encoding(Some(vec![Hook::Audit]))
        };
        assert!(other.of(core("x")).is_err());
    }
}

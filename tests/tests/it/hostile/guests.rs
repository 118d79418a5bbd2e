//! Guests made here from WIT and WebAssembly text, for what no toolchain would make.

use std::path::PathBuf;

use wit_component::StringEncoding;
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve, WorldId};

/// Weir's interface, and a package with one world.
fn resolve(world: &str) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let wit = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../wit/0.1/policy.wit");
    let wit = std::fs::read_to_string(wit).unwrap();
    resolve.push_str("policy.wit", &wit).unwrap();
    let package = resolve.push_str("test.wit", world).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    (resolve, world)
}

fn embed(mut module: Vec<u8>, resolve: &Resolve, world: WorldId) -> Vec<u8> {
    wit_component::embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8)
        .unwrap();
    module
}

/// A policy with this text, whose world has these items.
pub(super) fn policy(items: &str, text: &str) -> Vec<u8> {
    let world = format!("package test:guest; world guest {{ {items} }}");
    let (resolve, world) = resolve(&world);
    embed(wat::parse_str(text).unwrap(), &resolve, world)
}

/// A module whose every function traps. `wit` are the packages beside Weir's, the last of them with
/// the world `guest`.
pub(super) fn trapping(wit: &str) -> Vec<u8> {
    let (resolve, world) = resolve(wit);
    dummy(&resolve, world)
}

fn dummy(resolve: &Resolve, world: WorldId) -> Vec<u8> {
    let mangling = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);
    let module = wit_component::dummy_module(resolve, world, mangling);
    embed(module, resolve, world)
}

/// The same where `access` of Weir's own package has another type.
pub(super) fn with_another_type() -> Vec<u8> {
    let text = "package test:outer;
        package weir:policy@0.1.0 { interface access { authorize: func(call: string) -> u32; } }
        package test:guest { world guest { export weir:policy/access@0.1.0; } }";
    let mut resolve = Resolve::default();
    resolve.push_str("other.wit", text).unwrap();
    let found = resolve
        .worlds
        .iter()
        .find(|(_, world)| world.name == "guest");
    let world = found.unwrap().0;
    dummy(&resolve, world)
}

/// How `access` is exported.
pub(super) const ACCESS: &str = "export weir:policy/access@0.1.0;";

/// A policy of the hook `access` whose `authorize` runs this body, and then allows the call. It has
/// 2 MiB of memory and an allocator that frees nothing. `more` are further fields of the module.
pub(super) fn authorizing(more: &str, body: &str) -> Vec<u8> {
    module(ACCESS, more, "weir:policy/access@0.1.0#authorize", 6, body)
}

/// The same for any function that gets `parameters` numbers and gives the address of its answer.
pub(crate) fn module(
    items: &str,
    more: &str,
    export: &str,
    parameters: usize,
    body: &str,
) -> Vec<u8> {
    let parameters = "i32 ".repeat(parameters);
    let text = format!(
        r#"(module
            {more}
            (memory (export "memory") 32)
            (global $next (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.set $next (i32.add (local.get $at) (local.get 3)))
                (if (i32.gt_u (global.get $next) (i32.const 2000000))
                    (then (global.set $next (i32.const 65536))))
                (local.get $at))
            (func (export "{export}") (param {parameters}) (result i32)
                {body}
                (i32.store (i32.const 64) (i32.const 0))
                (i32.const 64)))"#
    );
    policy(items, &text)
}

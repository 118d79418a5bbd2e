//! Guests for tests: the built policies, and odd ones made here from WIT and WebAssembly text.

use std::path::PathBuf;

use weir_policy::Release;
use wit_component::StringEncoding;
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve, WorldId};

/// A policy that `policies/build.sh` built.
pub(crate) fn built(name: &str) -> Vec<u8> {
    let dir = std::env::var_os("WEIR_POLICIES_DIR").map_or_else(
        || {
            let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
                || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"),
                PathBuf::from,
            );
            target.join("policies")
        },
        PathBuf::from,
    );
    let path = dir.join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `make policies` first", path.display()))
}

/// The interface as it was released.
pub(crate) fn released(release: Release) -> String {
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit");
    std::fs::read_to_string(format!("{wit}/{release}/policy.wit")).unwrap()
}

fn resolve(world: &str) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    for release in Release::ALL {
        let wit = released(release);
        resolve.push_str("policy.wit", &wit).unwrap();
    }
    let package = resolve.push_str("test.wit", world).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    (resolve, world)
}

/// A core module, as wit-bindgen would make it, whose every function traps. `world` is the WIT
/// text of a package with one world; it may use `weir:policy` in all its versions.
pub(crate) fn trapping(world: &str) -> Vec<u8> {
    let (resolve, world) = resolve(world);
    let mangling = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);
    let mut module = wit_component::dummy_module(&resolve, world, mangling);
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .unwrap();
    module
}

/// A component of the same.
pub(crate) fn trapping_component(world: &str) -> Vec<u8> {
    wit_component::ComponentEncoder::default()
        .module(&trapping(world))
        .unwrap()
        .encode()
        .unwrap()
}

/// A core module with this text and that world.
pub(crate) fn from_text(world: &str, text: &str) -> Vec<u8> {
    let (resolve, world) = resolve(world);
    let mut module = wat::parse_str(text).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .unwrap();
    module
}

/// A world that exports `access`, and what else is given.
pub(crate) fn world(items: &str) -> String {
    format!("package test:guest; world guest {{ export weir:policy/access@0.1.0; {items} }}")
}

/// A module whose `authorize` runs this body and then allows the call. It has two
/// megabytes of memory and an allocator that frees nothing.
pub(crate) fn authorizing(imports: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            {imports}
            (memory (export "memory") 32)
            (global $free (mut i32) (i32.const 4096))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.get $free)
                (global.set $free (i32.and (i32.const -8)
                    (i32.add (i32.const 7) (i32.add (global.get $free) (local.get 3))))))
            (func (export "weir:policy/access@0.1.0#authorize")
                (param i32 i32 i32 i32 i32 i32) (result i32)
                {body}
                (i32.store8 (i32.const 64) (i32.const 0))
                (i32.const 64)))"#
    );
    from_text(&world(""), &text)
}

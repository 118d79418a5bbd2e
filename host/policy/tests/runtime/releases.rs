//! Released versions of the interface: frozen files, each all that the one before it is and more, and
//! policies of all of them run.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use weir_policy::{Grants, Hook, LoadError, Release, VersionSpec};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve, Type, TypeDefKind};

use crate::guests::{built, from_text, released, trapping};
use crate::host::summary;
use crate::{Bench, scope};

/// What was released, for good. A file that is not what it was breaks policies that are out there: put
/// it back, and add a version (wit/README.md).
const RELEASED: [(Release, &str); 2] = [
    (
        Release::V0_1,
        "0b7293aa9dbc1cbe9a9117495b4178b5ea4726405ad5c2aae59f26186ca28805",
    ),
    (
        Release::V0_2,
        "440dcb8b97a786af1fe4c1b354eadd1b4bd2ac3c0ef7c5170dd4f3736ffccc96",
    ),
];

#[test]
fn released_files_are_frozen() {
    assert_eq!(RELEASED.map(|(release, _)| release), Release::ALL);
    for (release, digest) in RELEASED {
        let now = hex::encode(Sha256::digest(released(release)));
        assert_eq!(now, digest, "wit/{release}/policy.wit is not what it was");
    }
}

/// Functions and types of a release by their names, with all that is in them.
fn everything(release: Release) -> BTreeMap<String, String> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("policy.wit", &released(release)).unwrap();
    let mut found = BTreeMap::new();
    for (interface, id) in &resolve.packages[package].interfaces {
        let items = &resolve.interfaces[*id];
        for (name, function) in &items.functions {
            let params = function.params.iter();
            let params: Vec<String> = params
                .map(|param| format!("{}: {}", param.name, spelt(&resolve, param.ty)))
                .collect();
            let result = function.result.map(|result| spelt(&resolve, result));
            let spelt = format!("({}) -> {result:?}", params.join(", "));
            found.insert(format!("{interface}.{name}"), spelt);
        }
        for (name, id) in &items.types {
            let spelt = spelt(&resolve, Type::Id(*id));
            found.insert(format!("{interface}.{name}"), spelt);
        }
    }
    found
}

/// A type with everything in it, which is what components compare.
fn spelt(resolve: &Resolve, ty: Type) -> String {
    let Type::Id(id) = ty else {
        return format!("{ty:?}");
    };
    let spelt = |ty: &Type| spelt(resolve, *ty);
    let some = |ty: &Option<Type>| ty.as_ref().map_or("_".to_owned(), spelt);
    match &resolve.types[id].kind {
        TypeDefKind::Type(ty) => spelt(ty),
        TypeDefKind::List(ty) => format!("list<{}>", spelt(ty)),
        TypeDefKind::Option(ty) => format!("option<{}>", spelt(ty)),
        TypeDefKind::Result(ty) => format!("result<{}, {}>", some(&ty.ok), some(&ty.err)),
        TypeDefKind::Tuple(tuple) => {
            let types: Vec<String> = tuple.types.iter().map(spelt).collect();
            format!("tuple<{}>", types.join(", "))
        }
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter();
            let fields = fields.map(|field| format!("{}: {}", field.name, spelt(&field.ty)));
            format!("record {{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter();
            let cases = cases.map(|case| format!("{}({})", case.name, some(&case.ty)));
            format!("variant {{ {} }}", cases.collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Enum(cases) => {
            let cases = cases.cases.iter().map(|case| case.name.as_str());
            format!("enum {{ {} }}", cases.collect::<Vec<_>>().join(", "))
        }
        other => panic!("the interface is kept plain, without {}", other.as_str()),
    }
}

#[test]
fn a_release_has_all_that_the_one_before_it_has() {
    for pair in Release::ALL.windows(2) {
        let later = everything(pair[1]);
        for (name, spelt) in everything(pair[0]) {
            assert_eq!(later.get(&name), Some(&spelt), "{name} of {}", pair[1]);
        }
    }
}

fn everything_granted() -> VersionSpec {
    let mut spec = VersionSpec::new("all", "{}");
    spec.grants = Grants {
        http: vec!["example.com".into()],
        secrets: vec!["S".into()],
        models: vec!["m".into()],
        firewall: true,
    };
    spec
}

#[tokio::test]
async fn every_function_of_every_release_is_linked_and_every_hook_bound() {
    let bench = Bench::new();
    for release in Release::ALL {
        let of = |interface: &str| format!("weir:policy/{interface}@{release}.0");
        let hooks = Hook::ALL[1..].iter();
        let exports = hooks.map(|hook| format!("export {};", of(hook.as_str())));
        let world = format!(
            "package test:guest; world guest {{ include {}; {} }}",
            of("imports"),
            exports.collect::<String>()
        );
        let version = bench.load(trapping(&world), everything_granted()).await;
        assert_eq!(version.interface(), release);
        assert_eq!(version.hooks().iter().count(), Hook::ALL.len() - 1);
        let interfaces: Vec<String> = everything(release)
            .into_keys()
            .filter_map(|name| Some(name.split_once('.')?.0.to_owned()))
            .filter(|name| Hook::from_name(name).is_none())
            .map(|name| of(&name))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        assert_eq!(version.imports(), interfaces);

        // All that comes after linking and binding.
        let init = of("lifecycle");
        let world = format!(
            "package test:guest; world guest {{ export {init}; export {}; }}",
            of("access")
        );
        let refused = bench
            .engine
            .load(trapping(&world), everything_granted())
            .await
            .unwrap_err();
        assert_eq!(refused.code(), "policy_start_failed", "{refused}");
    }
}

#[tokio::test]
async fn policies_of_both_releases_run_side_by_side() {
    let bench = Bench::new();
    let worker = bench.worker();
    let scope = scope();
    for (name, release, hooks) in [
        ("testing-interface-0-1", Release::V0_1, 2),
        ("testing-interface-0-2", Release::V0_2, 2),
    ] {
        let version = bench.load(built(name), VersionSpec::new(name, "{}")).await;
        assert_eq!(version.interface(), release);
        assert_eq!(
            version.hooks().iter().count(),
            hooks,
            "{:?}",
            version.hooks()
        );
        let answer = worker.authorize(&version, &scope, &summary("gpt-4o")).await;
        assert!(answer.unwrap().is_ok());
    }
}

/// A world of the hook `access` and what else is given, all of which traps, but that `authorize` of
/// this release allows.
fn allowing(release: Release, items: &str) -> Vec<u8> {
    let other = if items.contains("export") {
        let [first, second] = Release::ALL;
        let other = if release == first { second } else { first };
        format!(
            r#"(func (export "weir:policy/access@{other}.0#authorize")
                (param i32 i32 i32 i32 i32 i32) (result i32) unreachable)"#
        )
    } else {
        String::new()
    };
    let world = format!(
        "package test:guest; world guest {{ export weir:policy/access@{release}.0; {items} }}"
    );
    let clock = if items.contains("clock") {
        r#"(import "weir:policy/clock@0.1.0" "now-ms" (func $now (result i64)))"#
    } else {
        "(func $now (result i64) (i64.const 0))"
    };
    let text = format!(
        r#"(module
            {clock}
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            {other}
            (func (export "weir:policy/access@{release}.0#authorize")
                (param i32 i32 i32 i32 i32 i32) (result i32)
                (drop (call $now))
                (i32.const 64)))"#
    );
    from_text(&world, &text)
}

#[tokio::test]
async fn a_policy_may_use_several_releases_and_is_called_in_the_newest() {
    let bench = Bench::new();
    let worker = bench.worker();
    let scope = scope();
    let both = "export weir:policy/access@0.1.0;";
    let older = "import weir:policy/clock@0.1.0;";
    for items in [both, older] {
        let bytes = allowing(Release::V0_2, items);
        let version = bench.load(bytes, VersionSpec::new("mixed", "{}")).await;
        assert_eq!(version.interface(), Release::V0_2);
        let answer = worker.authorize(&version, &scope, &summary("gpt-4o")).await;
        assert!(answer.unwrap().is_ok(), "{items}");
    }
}

/// What a policy that exports `access` of that package is refused with.
async fn refused(package: &str, version: &str) -> LoadError {
    let text = format!(
        "package test:outer;
        package {package}@{version} {{
            interface access {{ authorize: func() -> bool; }}
            interface call {{ id: func() -> string; }}
        }}
        package test:guest {{
            world guest {{ export {package}/access@{version}; import {package}/call@{version}; }}
        }}"
    );
    let mut resolve = Resolve::default();
    resolve.push_str("other.wit", &text).unwrap();
    let mut worlds = resolve.worlds.iter();
    let (world, _) = worlds.find(|(_, world)| world.name == "guest").unwrap();
    let mangling = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);
    let mut module = wit_component::dummy_module(&resolve, world, mangling);
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, encoding).unwrap();
    let loaded = Bench::new().engine.load(module, everything_granted()).await;
    loaded.unwrap_err()
}

#[tokio::test]
async fn other_versions_and_packages_are_refused_by_name() {
    for version in ["0.3.0", "1.0.0", "0.0.1"] {
        let refusal = refused("weir:policy", version).await;
        assert_eq!(refusal.code(), "policy_unknown_version");
        assert_eq!(
            refusal.to_string(),
            format!(
                "the policy uses `weir:policy/call@{version}`; this Weir runs the versions 0.1 and 0.2 \
                 of `weir:policy`"
            )
        );
    }
    let refusal = refused("weir:other", "0.1.0").await;
    assert_eq!(refusal.code(), "policy_unknown_import");
    assert!(
        refusal
            .to_string()
            .contains("`weir:policy` in the versions 0.1 and 0.2"),
        "{refusal}"
    );
    let none = "package test:guest; world guest { export run: func(); }";
    let refusal = Bench::new()
        .engine
        .load(trapping(none), everything_granted())
        .await
        .unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains("no hook of `weir:policy` in the versions 0.1 and 0.2"),
        "{refusal}"
    );
}

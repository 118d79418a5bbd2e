//! What is accepted as a policy, and what is refused with which words.

use weir_policy::{Compiled, Grants, Hook, HookSet, LoadError, VersionSpec};

use crate::guests::{authorizing, built, from_text, trapping, trapping_component, world};
use crate::{Bench, host, scope};

async fn refusal(bytes: Vec<u8>, config: &str) -> LoadError {
    let bench = Bench::new();
    let refusal = bench
        .engine
        .load(bytes, VersionSpec::new("probe", config))
        .await
        .unwrap_err();
    assert_eq!(
        bench.engine.live_versions(),
        0,
        "a refused version is still in memory"
    );
    refusal
}

#[tokio::test]
async fn a_core_module_and_a_component_both_load() {
    let bench = Bench::new();
    let module = authorizing("", "");
    let component = wit_component::ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .encode()
        .unwrap();
    for bytes in [module, component] {
        let size_bytes = bytes.len();
        let version = bench.load(bytes, VersionSpec::new("p", "{}")).await;
        assert_eq!(version.hooks(), HookSet::from_iter([Hook::Access]));
        assert_eq!(version.size_bytes(), size_bytes);
        let allowed = bench
            .worker()
            .authorize(&version, &scope(), &host::summary("gpt-4o"))
            .await
            .unwrap();
        assert!(allowed.is_ok());
    }
}

#[tokio::test]
async fn what_a_policy_has_is_listed() {
    let bench = Bench::new();
    let version = bench.probe("{}").await;
    assert_eq!(version.hooks().iter().count(), 9, "{:?}", version.hooks());
    assert!(
        version
            .imports()
            .iter()
            .any(|import| import == "weir:policy/store@0.2.0")
    );
    assert!(
        !version
            .imports()
            .iter()
            .any(|import| import.starts_with("wasi:"))
    );
    assert_eq!(hex::encode(version.digest()).len(), 64);
}

#[tokio::test]
async fn no_wasm_and_no_component() {
    for bytes in [
        &b""[..],
        b"hello",
        b"\0asm",
        b"\0asm\x02\0\0\0",
        b"\0asm\x0d\0\x02\0",
    ] {
        let refusal = refusal(bytes.to_vec(), "{}").await;
        assert_eq!(refusal, LoadError::NotWasm, "{bytes:?}");
    }
    let refusal_of = refusal(b"\0asm\x01\0\0\0garbage".to_vec(), "{}").await;
    assert_eq!(
        refusal_of.code(),
        "policy_not_componentizable",
        "{refusal_of}"
    );
    let mut truncated = trapping_component(&world(""));
    truncated.truncate(truncated.len() / 2);
    let refusal_of = refusal(truncated, "{}").await;
    assert_eq!(refusal_of.code(), "policy_invalid", "{refusal_of}");
}

#[tokio::test]
async fn too_large() {
    let bench = Bench::with(|settings| settings.component_max_bytes = 100);
    let refusal = bench
        .engine
        .load(vec![0; 101], VersionSpec::new("p", "{}"))
        .await
        .unwrap_err();
    assert_eq!(
        refusal,
        LoadError::TooLarge {
            size_bytes: 101,
            max_bytes: 100
        }
    );
}

#[tokio::test]
async fn no_hook() {
    let without = "package test:guest; world guest { export run: func(); }";
    let only_init = "package test:guest; world guest { export weir:policy/lifecycle@0.1.0; }";
    for bytes in [
        trapping(without),
        trapping(only_init),
        built("testing-empty"),
    ] {
        let refusal = refusal(bytes, "{}").await;
        assert_eq!(refusal.code(), "policy_no_hook");
        assert!(
            refusal.to_string().contains("weir:policy/access@0.2.0"),
            "{refusal}"
        );
    }
}

#[tokio::test]
async fn imports_that_do_not_exist() {
    for import in [
        "import wanted: func();",
        "import wanted: interface { f: func(); }",
    ] {
        let refusal = refusal(trapping(&world(import)), "{}").await;
        assert_eq!(
            refusal,
            LoadError::UnknownImport {
                interface: "wanted".into()
            }
        );
    }
}

#[tokio::test]
async fn imports_that_were_not_granted() {
    for grant in ["http", "secrets", "models", "firewall"] {
        let import = format!("import weir:policy/{grant}@0.1.0;");
        let refused = refusal(trapping(&world(&import)), "{}").await;
        assert_eq!(
            refused,
            LoadError::NotGranted {
                interface: format!("weir:policy/{grant}@0.1.0"),
                grant
            }
        );
    }
    let bench = Bench::new();
    let mut spec = VersionSpec::new("probe", "{}");
    spec.grants = Grants {
        http: vec!["127.0.0.1:9".into()],
        ..Grants::default()
    };
    bench.load(built("testing-forbidden"), spec).await;
}

/// The same name and version, other types: only wasmtime can tell.
fn with_other_types(interface: &str, item: &str) -> Vec<u8> {
    let text = format!(
        "package test:outer;
        package weir:policy@0.1.0 {{ {interface} interface other {{ g: func(); }} }}
        package test:guest {{ world guest {{ {item} }} }}"
    );
    let mut resolve = wit_parser::Resolve::default();
    resolve.push_str("other.wit", &text).unwrap();
    let (world, _) = resolve
        .worlds
        .iter()
        .find(|(_, world)| world.name == "guest")
        .unwrap();
    let mangling = wit_parser::ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync);
    let mut module = wit_component::dummy_module(&resolve, world, mangling);
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, encoding).unwrap();
    module
}

#[tokio::test]
async fn hooks_and_imports_of_other_types() {
    let cases = [
        (
            "interface access { authorize: func() -> bool; }",
            "export weir:policy/access@0.1.0;",
            "weir:policy/access@0.1.0",
        ),
        (
            "interface access { allow: func() -> bool; }",
            "export weir:policy/access@0.1.0;",
            "weir:policy/access@0.1.0",
        ),
        (
            "interface access { authorize: func() -> bool; } interface clock { now-ms: func() -> string; }",
            "export weir:policy/access@0.1.0; import weir:policy/clock@0.1.0;",
            "weir:policy/clock@0.1.0",
        ),
        (
            "interface access { authorize: func() -> bool; } interface clock { tomorrow: func() -> string; }",
            "export weir:policy/access@0.1.0; import weir:policy/clock@0.1.0;",
            "weir:policy/clock@0.1.0",
        ),
    ];
    for (interface, item, named) in cases {
        let refusal = refusal(with_other_types(interface, item), "{}").await;
        assert_eq!(refusal.code(), "policy_wrong_type", "{refusal}");
        assert!(refusal.to_string().contains(named), "{refusal}");
    }
    let refusal = refusal(
        with_other_types(
            "interface access { authorize: func() -> bool; }",
            "export weir:policy/access@0.1.0; import weir:policy/other@0.1.0;",
        ),
        "{}",
    )
    .await;
    assert_eq!(refusal.code(), "policy_unknown_import", "{refusal}");
}

#[tokio::test]
async fn a_module_that_needs_what_is_off() {
    // Valid, but with SIMD, which no guest here needs.
    let bytes = authorizing("", "(drop (v128.const i32x4 0 0 0 0))");
    let refusal = refusal(bytes, "{}").await;
    assert_eq!(refusal.code(), "policy_compile_failed", "{refusal}");
}

#[tokio::test]
async fn a_policy_refuses_its_configuration() {
    let errors = vec![
        "`a` must be a number".to_owned(),
        "`b` is missing".to_owned(),
    ];
    let config = r#"{"init":{"errors":["`a` must be a number","`b` is missing"]}}"#;
    let refused = refusal(built("testing-probe"), config).await;
    assert_eq!(refused, LoadError::Config { errors });
    let refused = refusal(built("testing-probe"), "not json").await;
    assert_eq!(refused.code(), "policy_config_refused");
}

#[tokio::test]
async fn a_policy_that_does_not_start() {
    for (step, words) in [("\"trap\"", "trapped"), ("\"grow\"", "memory")] {
        let config = format!(r#"{{"init":{{"do":[{step}]}}}}"#);
        let refused = refusal(built("testing-probe"), &config).await;
        assert_eq!(refused.code(), "policy_start_failed");
        assert!(refused.to_string().contains(words), "{refused}");
    }
    let bench = Bench::new();
    let mut spec = VersionSpec::new("probe", r#"{"init":{"do":["loop"]}}"#);
    spec.init_deadline_ms = 10;
    let refused = bench
        .engine
        .load(built("testing-probe"), spec)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("longer than its 10 ms"),
        "{refused}"
    );
    let mut spec = VersionSpec::new("probe", "{}");
    spec.memory_max_bytes = 64 << 10;
    let refused = bench
        .engine
        .load(built("testing-probe"), spec)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("65536 bytes of memory"),
        "{refused}"
    );
    // A start section runs before there is anything to call.
    let starting = from_text(
        &world(""),
        r#"(module (memory (export "memory") 1) (func $spin (loop (br 0))) (start $spin)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "weir:policy/access@0.1.0#authorize")
                (param i32 i32 i32 i32 i32 i32) (result i32) unreachable))"#,
    );
    let mut spec = VersionSpec::new("probe", "{}");
    spec.init_deadline_ms = 10;
    let refused = bench.engine.load(starting, spec).await.unwrap_err();
    assert!(
        refused.to_string().contains("longer than its 10 ms"),
        "{refused}"
    );
}

#[tokio::test]
async fn compiled_code_is_kept_and_checked() {
    let bench = Bench::in_dir(tempfile::tempdir().unwrap(), |_| {});
    let bytes = authorizing("", "");
    let spec = || VersionSpec::new("p", "{}");
    assert_eq!(
        bench.load(bytes.clone(), spec()).await.compiled(),
        &Compiled::Stored
    );
    assert_eq!(
        bench.load(bytes.clone(), spec()).await.compiled(),
        &Compiled::Cached
    );

    // Another engine over the same directory, as after a restart.
    let bench = Bench::in_dir(bench.dir, |_| {});
    assert_eq!(
        bench.load(bytes.clone(), spec()).await.compiled(),
        &Compiled::Cached
    );

    let files = std::fs::read_dir(bench.dir.path().join("compiled")).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let mut kept = std::fs::read(&files[0]).unwrap();
    let middle = kept.len() / 2;
    kept[middle] ^= 1;
    std::fs::write(&files[0], kept).unwrap();
    assert_eq!(
        bench.load(bytes.clone(), spec()).await.compiled(),
        &Compiled::Stored
    );
    assert_eq!(
        bench.load(bytes.clone(), spec()).await.compiled(),
        &Compiled::Cached
    );

    // The disk is not there: the version loads all the same, and says so.
    let moved = bench.dir.path().join("moved");
    std::fs::rename(bench.dir.path().join("compiled"), moved).unwrap();
    let version = bench.load(bytes, spec()).await;
    assert!(
        matches!(version.compiled(), Compiled::NotStored(_)),
        "{:?}",
        version.compiled()
    );
}

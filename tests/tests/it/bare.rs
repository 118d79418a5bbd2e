//! Components that each language's public toolchain made from `wit/` alone, without an SDK: they pass one
//! file of cases, and they decide on a gateway.
//!
//! `tests/bare/build.sh` makes them, here where nobody did before. What a machine has no tools for is named
//! and passed over; where CI says so, that is a failure.

use std::path::{Path, PathBuf};
use std::process::Command;

use weir_tests::{Setup, compiled_cache, policy_file};

use crate::{FAKE, skip};

/// Where a component is, built from the sources as they are now; none where a tool is missing.
fn built(language: &str) -> Option<PathBuf> {
    let build = sources().join("build.sh");
    let output = Command::new(&build)
        .arg(language)
        .env("CARGO_TARGET_DIR", target())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", build.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Some(policy_file(&format!("bare-{language}"))),
        Some(2) => {
            skip("WEIR_SDK", said.trim());
            None
        }
        _ => panic!("{}", said.trim()),
    }
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bare")
}

/// The folder that the policies are in a folder of.
fn target() -> PathBuf {
    let any = policy_file("permissions");
    let target = any.parent().and_then(Path::parent);
    target.expect("target/policies/permissions.wasm").to_owned()
}

/// What one language's component does, as every other's.
fn decides(language: &str) {
    let Some(file) = built(language) else { return };
    // Deadlines are for what must go over them: these tests share a machine with compilers.
    let setup = Setup::new(&format!(
        "{FAKE}[[policy]]\nname = \"bare\"\nsource = \"file:{}\"\ndeadline_ms = 5000\n",
        file.display()
    ));
    let setup = setup.compiled(&file);
    let cases = sources().join("cases");
    let mut command = setup.command(&["policy", "test"]);
    command.arg(&file).arg(cases);
    let output = command.env("XDG_CACHE_HOME", compiled_cache()).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("3 cases, 3 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let gateway = setup.start();
    assert_eq!(gateway.policy("bare")["running"]["interface"], "0.2");
    let denied = gateway.acme().chat("forbidden").expect(403);
    assert_eq!(denied.code(), "model_denied");
    assert!(denied.text().contains("not for acme"), "{}", denied.text());
    // Two calls are allowed in a minute, and a minute may end between any two of these.
    let calls: Vec<_> = (0..6).map(|_| gateway.acme().chat("m")).collect();
    assert_eq!(calls[0].status, 200, "{}", calls[0].text());
    let refused = calls.iter().find(|reply| reply.status != 200);
    let refused = refused.expect("more than two calls of a minute");
    assert_eq!((refused.status, &*refused.code()), (429, "enough"));
    assert_ne!(refused.header("retry-after"), "");
}

#[test]
fn rust_by_wit_bindgen() {
    decides("rust");
}

#[test]
fn c_by_wit_bindgen() {
    decides("c");
}

#[test]
fn go_by_wit_bindgen() {
    decides("go");
}

#[test]
fn javascript_by_componentize_qjs() {
    decides("js");
}

#[test]
fn python_by_componentize_py() {
    decides("python");
}

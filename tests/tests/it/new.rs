//! `weir policy new`, `build` and `push`: from an empty folder to a policy that decides, in each language, and
//! what is said where it does not come to that.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;
use weir_tests::{Gateway, Setup, policy_file, program, sieve};

use crate::{FAKE, skip};

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Runs the script that does what an author does; its own text says what went wrong.
fn from_nothing(arguments: &[&str]) {
    let script = repository().join("guest-sdk/from-nothing.py");
    let mut command = Command::new("python3");
    command.arg(script).arg("--weir").arg(program());
    // Libraries that were built for an earlier run are found again there.
    let target = program().with_file_name("new-policies");
    command.args(arguments).env("CARGO_TARGET_DIR", target);
    let Ok(done) = command.output() else {
        return skip("WEIR_NEW_TESTS", "from-nothing.py needs python3");
    };
    let (printed, said) = (text(&done.stdout), text(&done.stderr));
    match done.status.code() {
        Some(0) => println!("{printed}"),
        Some(2) => skip("WEIR_NEW_TESTS", &format!("{arguments:?}: {said}")),
        _ => panic!("{arguments:?}:\n{printed}\n{said}"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn rust_from_nothing_to_a_swapped_policy() {
    from_nothing(&["rust"]);
}

#[test]
fn go_from_nothing_to_a_swapped_policy() {
    from_nothing(&["go"]);
}

#[test]
fn javascript_from_nothing_to_a_swapped_policy() {
    from_nothing(&["js"]);
}

#[test]
fn typescript_from_nothing_to_a_swapped_policy() {
    from_nothing(&["ts"]);
}

#[test]
fn python_from_nothing_to_a_swapped_policy() {
    from_nothing(&["python"]);
}

#[test]
fn c_from_nothing_to_a_swapped_policy() {
    from_nothing(&["c"]);
}

#[test]
fn each_hook_of_a_template_stands_alone() {
    from_nothing(&["--alone", "go", "js", "ts", "python", "c"]);
}

#[test]
fn each_hook_of_the_template_in_rust_stands_alone() {
    from_nothing(&["--alone", "rust"]);
}

/// Runs `weir policy …` in the folder: how it ends, and all that it says.
fn policy(setup: &Setup, arguments: &[&str]) -> (i32, String) {
    ended(setup.command(&[&["policy"], arguments].concat()), setup)
}

fn ended(mut command: Command, setup: &Setup) -> (i32, String) {
    let cache = setup.folder().join("cache");
    let done: Output = command.env("XDG_CACHE_HOME", cache).output().unwrap();
    let said = text(&done.stdout) + &text(&done.stderr);
    (done.status.code().unwrap(), said)
}

#[test]
fn a_missing_tool_is_named_with_how_to_get_it() {
    for (lang, wanted) in [
        (
            "rust",
            &["cargo is missing", "rustup", "wasm32-unknown-unknown"][..],
        ),
        ("go", &["Go 1.25 or newer is missing", "https://go.dev/dl"]),
        (
            "js",
            &[
                "Node.js 20 or newer is missing",
                "esbuild and componentize-qjs",
            ],
        ),
        ("ts", &["Node.js 20 or newer is missing", "npm install"]),
        (
            "python",
            &[
                "Python 3.11 or newer is missing",
                "componentize-py is missing",
            ],
        ),
        (
            "c",
            &[
                "a C compiler for WebAssembly is missing",
                "pip install ziglang",
            ],
        ),
    ] {
        let setup = Setup::bare();
        let (code, said) = policy(&setup, &["new", "--lang", lang, "mine"]);
        assert_eq!(code, 0, "{lang}: {said}");
        let mut build = setup.command(&["policy", "build", "mine"]);
        for variable in ["PYTHON", "WASI_SDK_PATH", "WEIR_WASM_CC", "WEIR_JS_TOOLS"] {
            build.env_remove(variable);
        }
        let (code, said) = ended(
            {
                build.env("PATH", "");
                build
            },
            &setup,
        );
        assert_eq!(code, 2, "{lang}: {said}");
        for part in wanted {
            assert!(said.contains(part), "{lang}: {part}: {said}");
        }
        assert!(!setup.folder().join("mine/mine.wasm").exists());
    }
}

#[test]
fn a_typo_is_told_with_what_was_probably_meant() {
    let setup = Setup::bare();
    for (arguments, wanted) in [
        (
            &["new", "--lang", "pyhton", "a"][..],
            "did you mean \"python\"?",
        ),
        (
            &["new", "--lang", "cobol", "a"],
            "There are: rust, go, js, ts, python, c",
        ),
        (
            &["new", "--lang", "c", "a", "--hooks", "acess"],
            "did you mean \"access\"?",
        ),
        (&["new", "--lang", "c", "A b"], "small letters, digits"),
    ] {
        let (code, said) = policy(&setup, arguments);
        assert!(code != 0 && said.contains(wanted), "{arguments:?}: {said}");
        assert!(!setup.folder().join("a").exists());
    }
    policy(&setup, &["new", "--lang", "c", "mine"]);
    let (code, said) = policy(&setup, &["new", "--lang", "go", "mine"]);
    assert!(code == 1 && said.contains("is there already"), "{said}");
    let setup = setup.write(
        "mine/policy.toml",
        "name = \"mine\"\nlangauge = \"c\"\nentry = \"policy.c\"\n",
    );
    let (code, said) = policy(&setup, &["build", "mine"]);
    assert_eq!(code, 1, "{said}");
    for part in ["policy.toml:2:1", "langauge", "did you mean \"language\"?"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let setup = setup.write(
        "mine/policy.toml",
        "name = \"mine\"\nlanguage = \"c\"\nentry = \"polcy.c\"\n",
    );
    let (code, said) = policy(&setup, &["build", "mine"]);
    assert!(
        code == 1 && said.contains("there is no mine/polcy.c"),
        "{said}"
    );
}

/// A project whose SDK answers with this component, whatever the source is: what is done with what a
/// language's tools made does not depend on them.
fn making(setup: Setup, component: &[u8]) -> Setup {
    let (code, said) = policy(&setup, &["new", "--lang", "c", "mine"]);
    assert_eq!(code, 0, "{said}");
    let setup = setup.write("made.wasm", component);
    let made = setup.folder().join("made.wasm");
    let script = format!("cp {} \"$2\"\n", made.display());
    setup.write("mine/weir-sdk/build.sh", script)
}

#[test]
fn a_component_that_is_no_policy_of_this_weir_does_not_take_a_place() {
    let later = "(component (import \"weir:policy/clock@0.9.0\" (instance)))";
    let command = "(component
        (component $c) (instance $run (instantiate $c))
        (export \"wasi:cli/run@0.2.0\" (instance $run)))";
    for (component, wanted) in [
        (
            later,
            "uses `weir:policy/clock@0.9.0`; this Weir runs the versions 0.1 and 0.2",
        ),
        (command, "exports no hook of `weir:policy`"),
    ] {
        let setup = making(Setup::bare(), &wat::parse_str(component).unwrap());
        let (code, said) = policy(&setup, &["build", "mine"]);
        assert!(code == 1 && said.contains(wanted), "{said}");
        assert!(!setup.folder().join("mine/mine.wasm").exists(), "{said}");
        let (code, said) = policy(&setup, &["check", "made.wasm"]);
        assert!(code == 1 && said.contains(wanted), "{said}");
    }
    // One with other hooks than its policy.toml says.
    let probe = std::fs::read(policy_file("router")).unwrap();
    let setup = making(Setup::bare(), &probe);
    let (code, said) = policy(&setup, &["build", "mine"]);
    assert!(
        code == 1 && said.contains("hooks = [\"access\"], and the source has [\"route\"]"),
        "{said}"
    );
}

#[test]
fn what_was_built_is_described_and_another_sdk_is_told() {
    let setup = making(Setup::bare(), &sieve("bad"));
    let (code, said) = policy(&setup, &["build", "mine", "-o", "other.wasm"]);
    assert_eq!(code, 0, "{said}");
    for part in [
        "other.wasm",
        "bytes, for version 0.2",
        "access",
        "It needs no grant.",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("note:"), "{said}");
    let mark = setup.folder().join("mine/weir-sdk/weir-sdk.toml");
    let old = std::fs::read_to_string(&mark).unwrap();
    std::fs::write(
        &mark,
        old.replace("interface = \"0.2\"", "interface = \"0.1\""),
    )
    .unwrap();
    let (code, said) = policy(&setup, &["build", "mine"]);
    assert!(code == 0 && said.contains("--renew-sdk"), "{said}");
}

/// `weir policy push …` to a gateway, from its own folder.
fn push(gateway: &Gateway, arguments: &[&str]) -> (bool, String) {
    let done = gateway.run_beside(&[&["policy", "push"], arguments].concat());
    (
        done.status.success(),
        text(&done.stdout) + &text(&done.stderr),
    )
}

#[test]
fn push_waits_until_the_version_decides_or_says_why_not() {
    let gateway = Gateway::start(FAKE);
    gateway.write("bad.wasm", sieve("bad"));
    let (ok, said) = push(&gateway, &["mine", "bad.wasm", "--wait"]);
    assert!(
        !ok && said.contains("there is no policy mine; --create makes it"),
        "{said}"
    );
    let (ok, said) = push(&gateway, &["mine", "bad.wasm", "--wait", "60", "--create"]);
    assert!(ok && said.contains("It decides, "), "{said}");
    assert!(
        said.contains("`weir policy rollback mine` goes back"),
        "{said}"
    );
    gateway.acme().chat("bad").expect(403);

    // Held, with the difference in words and what to type.
    gateway.write(
        "more.wasm",
        std::fs::read(policy_file("polyglot-guard")).unwrap(),
    );
    let (ok, said) = push(&gateway, &["mine", "more.wasm", "--wait"]);
    assert!(!ok, "{said}");
    for part in [
        "waits for approval, because",
        "  - it may ",
        "weir policy approve mine ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    gateway.acme().chat("bad").expect(403);

    // What cannot be loaded says so, and nothing changes.
    gateway.write("no.wasm", "no");
    let (ok, said) = push(&gateway, &["mine", "no.wasm", "--wait"]);
    assert!(
        !ok && said.contains("neither a WebAssembly component"),
        "{said}"
    );
    gateway.acme().chat("bad").expect(403);

    // A file in the watched folder decides, whatever is uploaded.
    gateway.write("policies.d/mine.wasm", sieve("file"));
    weir_tests::eventually("the file decides", || {
        (gateway.acme().chat("file").status == 403).then_some(())
    });
    gateway.write("worse.wasm", sieve("worse"));
    let (ok, said) = push(&gateway, &["mine", "worse.wasm", "--wait", "1"]);
    assert!(!ok, "{said}");
}

#[test]
fn an_author_pushes_to_its_own_tenant() {
    let gateway = Gateway::start(FAKE);
    let body = json!({ "name": "author", "role": "author" }).to_string();
    let made = gateway
        .admin()
        .send("POST", "/admin/v1/tenants/acme/keys", body);
    let key = made.expect(201).json()["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    gateway.write("author-key", &key);
    gateway.write("bad.wasm", sieve("bad"));
    let of = ["--tenant", "acme", "--admin-key-file", "author-key"];
    let (ok, said) = push(
        &gateway,
        &[&["mine", "bad.wasm", "--wait", "--create"][..], &of].concat(),
    );
    assert!(
        ok && said.contains("`weir policy rollback mine --tenant acme`"),
        "{said}"
    );
    gateway.acme().chat("bad").expect(403);
    gateway.write("worse.wasm", sieve("worse"));
    let (ok, said) = push(
        &gateway,
        &[&["mine", "worse.wasm", "--wait"][..], &of].concat(),
    );
    assert!(ok, "{said}");
    gateway.acme().chat("bad").expect(200);
    let back = gateway.run_beside(&[&["policy", "rollback", "mine"][..], &of].concat());
    assert!(back.status.success(), "{}", text(&back.stderr));
    gateway.acme().chat("bad").expect(403);
    let (ok, said) = push(
        &gateway,
        &["mine", "worse.wasm", "--admin-key-file", "author-key"],
    );
    assert!(!ok, "not the operator's: {said}");
}

//! Settings: all mistakes at once, and a reload that changes everything or nothing.

use std::time::Duration;

use weir_tests::{Gateway, KEY, Setup, eventually};

use crate::FAKE;

/// Three mistakes in three places.
const BROKEN: &str = "
[limits]
body_max_bytes = \"many\"
[[channel]]
name = \"a\"
dialect = \"opanai\"
[[policy]]
name = \"p\"
source = \"builtin:limits\"
deadline = 5
";

#[test]
fn a_start_with_mistakes_names_them_all_and_fails() {
    for arguments in [
        &["serve", "--config", "weir.toml"][..],
        &["config", "check", "--config", "weir.toml"],
    ] {
        let output = Setup::new(BROKEN).run_to_end(arguments);
        assert!(!output.status.success(), "{arguments:?}: {}", output.status);
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        for mistake in ["body_max_bytes", "opanai", "deadline"] {
            assert!(
                said.contains(mistake),
                "{arguments:?} does not mention {mistake}: {said}"
            );
        }
    }
    let good = Setup::new(FAKE).run_to_end(&["config", "check", "--config", "weir.toml"]);
    assert!(
        good.status.success(),
        "{}",
        String::from_utf8_lossy(&good.stderr)
    );
    let absent = Setup::new(FAKE).run_to_end(&["serve", "--config", "absent.toml"]);
    assert!(
        !absent.status.success() && String::from_utf8_lossy(&absent.stderr).contains("absent.toml")
    );
}

#[test]
fn a_policys_own_mistakes_are_named_too() {
    let settings = format!(
        "{FAKE}[[policy]]\nname = \"limits\"\nsource = \"builtin:limits\"\n[policy.config]\nlimitz = 1\n"
    );
    let output = Setup::new(&settings).run_to_end(&["serve", "--config", "weir.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("limitz"),
        "{said}"
    );
}

#[test]
fn a_broken_file_changes_nothing() {
    let gateway = Gateway::start(FAKE);
    let logged = gateway.log().len();
    gateway.write("weir.toml", BROKEN);
    eventually("the mistakes are logged", || {
        gateway.log()[logged..].contains("opanai").then_some(())
    });
    gateway.acme().chat("m").expect(200);
    // Half a file is broken too; the next good one counts again.
    gateway.write("weir.toml", "[[channel]\nname =");
    std::thread::sleep(Duration::from_millis(500));
    gateway.acme().chat("m").expect(200);
    gateway.configure("[[channel]]\nname = \"fake\"\ndialect = \"fake\"\nmodels = [\"other\"]\n");
    eventually("the good file counts", || {
        (gateway.acme().chat("m").status == 404).then_some(())
    });
}

#[test]
fn a_good_file_takes_effect_and_breaks_no_stream() {
    let slow = format!("{FAKE}[channel.fake]\nevent_delay_ms = 50\nevents = 20\n");
    let gateway = Gateway::start(&slow);
    let mut stream = gateway.acme().chat_stream("m");
    stream.next().unwrap().unwrap();
    gateway.configure(&format!(
        "
[[channel]]
name = \"fake\"
dialect = \"fake\"
models = [\"new\"]
[[tenant]]
name = \"acme\"
[[tenant.key]]
name = \"main\"
secret = \"plain:{KEY}\"
[[tenant.key]]
name = \"second\"
secret = \"plain:sk-that-came-later\"
"
    ));
    eventually("the new key counts", || {
        (gateway.client("sk-that-came-later").chat("new").status == 200).then_some(())
    });
    gateway.acme().chat("m").expect(404);
    let reply = stream.rest();
    assert!(
        reply.broken.is_none() && reply.text().ends_with("data: [DONE]\n\n"),
        "{reply:?}"
    );
    // A key that is taken out is refused.
    gateway.configure(FAKE);
    eventually("the key is gone", || {
        (gateway.client("sk-that-came-later").chat("m").status == 401).then_some(())
    });
}

#[test]
fn the_environment_comes_before_the_file() {
    let gateway = Setup::new(&format!("[limits]\nbody_max_bytes = 100000\n{FAKE}"))
        .env("WEIR_LIMITS_BODY_MAX_BYTES", "1024")
        .start();
    let reply = gateway
        .acme()
        .send("POST", "/v1/chat/completions", "x".repeat(2000));
    assert_eq!(reply.status, 413);
}

#[test]
fn no_secret_is_in_the_log() {
    let gateway = Setup::new(&format!(
        "[log]\nlevel = \"debug\"\n{FAKE}keys = [\"env:OF_PROVIDER\"]\n"
    ))
    .env("OF_PROVIDER", "pk-very-secret")
    .start();
    gateway.acme().chat("m").expect(200);
    gateway.client("sk-a-wrong-one").chat("m").expect(401);
    gateway.write("weir.toml", BROKEN);
    std::thread::sleep(Duration::from_millis(500));
    let log = gateway.log();
    for secret in [
        KEY,
        "pk-very-secret",
        "sk-a-wrong-one",
        weir_tests::ADMIN_KEY,
    ] {
        assert!(!log.contains(secret), "the log tells {secret}");
    }
}

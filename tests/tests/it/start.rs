//! The first minute: nothing set, one line to paste, and a streamed answer.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use weir_tests::Setup;

/// Every file under a folder, with its permissions.
fn files(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.metadata().unwrap());
        if kind.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((
                path.display().to_string(),
                kind.permissions().mode() & 0o777,
            ));
        }
    }
    found
}

/// The one line on standard output; `starts` is how often the gateway was started.
fn line(printed: &str, start: usize) -> String {
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), start, "not one line for each start: {printed}");
    let line = lines[start - 1];
    assert!(line.starts_with("curl "), "{line}");
    line.to_owned()
}

/// The line without the port, which the system chose anew.
fn without_port(line: &str) -> String {
    let (head, tail) = line
        .split_once("127.0.0.1:")
        .unwrap_or_else(|| panic!("no address: {line}"));
    head.to_owned() + tail.trim_start_matches(|digit: char| digit.is_ascii_digit())
}

#[test]
fn with_nothing_set_it_prints_a_line_that_streams_an_answer() {
    let mut gateway = Setup::bare().start();
    let first = line(&gateway.printed(), 1);
    let output = Command::new("sh").arg("-c").arg(&first).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{first}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.matches("data: ").count() > 3, "no stream: {said}");
    assert!(said.trim_end().ends_with("data: [DONE]"), "{said}");

    let files = files(&gateway.folder().join("weir-data"));
    let open: Vec<_> = files
        .iter()
        .filter(|(name, mode)| mode & 0o077 != 0 && !name.ends_with("listening.json"))
        .collect();
    assert!(open.is_empty(), "others may read {open:?}");
    assert!(
        files
            .iter()
            .filter(|(name, _)| name.contains("key"))
            .count()
            >= 2,
        "no generated keys: {files:?}"
    );

    gateway.restart();
    let second = line(&gateway.printed(), 2);
    assert_eq!(
        without_port(&first),
        without_port(&second),
        "another key after a restart"
    );
    let output = Command::new("sh").arg("-c").arg(&second).output().unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .ends_with("data: [DONE]")
    );
}

#[test]
fn the_four_policies_decide_on_the_first_call() {
    let gateway =
        Setup::new("default_chain = true\n[[channel]]\nname = \"fake\"\ndialect = \"fake\"\n")
            .start();
    let call = gateway.call(&gateway.acme().chat("m").expect(200).id());
    let decisions = call["decisions"].as_array().unwrap();
    let mut policies: Vec<&str> = decisions
        .iter()
        .filter_map(|decision| decision["policy"].as_str())
        .collect();
    policies.sort_unstable();
    policies.dedup();
    assert_eq!(
        policies,
        ["aliases", "limits", "permissions", "router"],
        "{call}"
    );
}

#[test]
fn a_key_in_the_environment_makes_a_channel() {
    let gateway = Setup::bare()
        .env("ANTHROPIC_API_KEY", "sk-ant-not-real")
        .env("WEIR_ADMIN_KEY", weir_tests::ADMIN_KEY)
        .start();
    let channels = gateway.admin().get("/admin/v1/channels").expect(200).json();
    let names: Vec<&str> = channels["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|channel| channel["name"].as_str())
        .collect();
    assert_eq!(names, ["anthropic"], "{channels}");
    assert!(
        !gateway.log().contains("sk-ant-not-real")
            && !channels.to_string().contains("sk-ant-not-real")
    );
}

#[test]
fn a_port_that_is_taken_is_a_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let output = Setup::new(&format!("listen = \"{address}\"\n")).run_to_end(&[
        "serve",
        "--config",
        "weir.toml",
    ]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains(&address.to_string()),
        "{said}"
    );
}

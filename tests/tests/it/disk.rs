//! A full disk: calls that could not be written down are not taken, and it is over when there is room.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use weir_tests::{Setup, eventually};

use crate::{FAKE, skip};

/// A small file system of its own, gone when dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(at: &Path) -> Option<Tmpfs> {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(at)
            .stderr(Stdio::null());
        mount
            .status()
            .is_ok_and(|status| status.success())
            .then(|| Tmpfs(at.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily, since the gateway may still have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn fill(file: &Path) {
    let mut file = fs::File::create(file).unwrap();
    let zeros = vec![0; 4096];
    while file.write_all(&zeros).is_ok() {}
}

#[test]
fn a_full_disk_refuses_calls_and_recovers() {
    let setup = Setup::new(&format!("[ledger]\nflush_ms = 50\n{FAKE}"));
    let data = setup.folder().join("data");
    let Some(_mounted) = Tmpfs::mount(&data) else {
        return skip(
            "WEIR_DISK",
            "a small disk cannot be mounted here: this test needs to be root, with CAP_SYS_ADMIN",
        );
    };
    let gateway = setup.start();
    gateway.acme().chat("m").expect(200);
    let ballast = data.join("ballast");
    fill(&ballast);
    // The calls that find out are answered; soon no more are taken.
    let refused = eventually("calls are refused", || {
        let reply = gateway.acme().chat("m");
        (reply.status != 200).then_some(reply)
    });
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "ledger_unavailable"),
        "{}",
        refused.text()
    );
    assert!(
        refused.header("retry-after").parse::<u64>().is_ok(),
        "{refused:?}"
    );
    assert_eq!(gateway.acme().get("/readyz").status, 503);
    gateway.acme().get("/healthz").expect(200);
    let made = gateway
        .admin()
        .send("POST", "/admin/v1/tenants", r#"{"id": "no-room"}"#);
    assert!(
        made.status == 507 || made.status == 503,
        "{} {}",
        made.status,
        made.text()
    );
    fs::remove_file(ballast).unwrap();
    let id = eventually("calls are taken again", || {
        let reply = gateway.acme().chat("m");
        (reply.status == 200).then(|| reply.id())
    });
    gateway.call(&id);
    eventually("it is ready", || {
        (gateway.acme().get("/readyz").status == 200).then_some(())
    });
}

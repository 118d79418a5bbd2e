//! The `weir` program as a child process in a folder of its own.

use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Client, Reply};
use crate::wait::eventually;

/// The virtual key of the tenant `acme`, which every gateway has whose settings name no tenant.
pub const KEY: &str = "sk-weir-test-of-acme";
/// The admin key of every gateway here.
pub const ADMIN_KEY: &str = "weir-test-admin-key";
const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// How long a start may take: it compiles policies, on a machine that runs other tests beside.
const START_MAX: Duration = Duration::from_secs(180);

/// The folder into which cargo builds: the parent of `debug` and `release`.
pub(crate) fn build_folder() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test");
    test.ancestors()
        .nth(3)
        .expect("target/debug/deps/test")
        .to_owned()
}

/// Where [`Setup::compiled`] has `weir policy` keep compiled code: an `XDG_CACHE_HOME`.
pub fn compiled_cache() -> PathBuf {
    build_folder().join("tmp/compiled-for-tests")
}

/// The program under test: `WEIR_BIN`, else what cargo built beside this test.
#[track_caller]
pub fn program() -> PathBuf {
    let program = std::env::var_os("WEIR_BIN").map(PathBuf::from);
    let program = program.unwrap_or_else(|| {
        let test = std::env::current_exe().expect("the path of the test");
        test.ancestors()
            .nth(2)
            .expect("target/debug/deps/test")
            .join("weir")
    });
    assert!(
        program.exists(),
        "{} is missing: run `make test`, which builds it",
        program.display()
    );
    program
}

/// A gateway that is still to be started.
#[derive(Debug)]
pub struct Setup {
    folder: TempDir,
    environment: Vec<(String, String)>,
    /// Whether it is started as someone would who has read nothing.
    bare: bool,
}

impl Setup {
    /// A folder with these settings as its `weir.toml`. Added are ports chosen by the system, the
    /// folders, an empty chain, and a tenant `acme` with [`KEY`], where they are not set.
    pub fn new(toml: &str) -> Setup {
        let setup = Setup {
            folder: TempDir::new().expect("a folder"),
            environment: Vec::new(),
            bare: false,
        };
        let keys = setup
            .env("WEIR_ADMIN_KEY", ADMIN_KEY)
            .env("WEIR_MASTER_KEY", MASTER_KEY);
        keys.write("weir.toml", complete(toml))
    }

    /// An empty folder and no settings at all, but for a port that nobody else has.
    pub fn bare() -> Setup {
        let setup = Setup {
            folder: TempDir::new().expect("a folder"),
            environment: Vec::new(),
            bare: true,
        };
        setup.env("WEIR_LISTEN", "127.0.0.1:0")
    }

    /// The same with another file in its folder.
    #[must_use]
    pub fn write(self, path: &str, bytes: impl AsRef<[u8]>) -> Setup {
        write(self.folder.path(), path, bytes.as_ref());
        self
    }

    /// The same with this policy compiled already, as it is after an earlier start. Beside a busy machine's
    /// other work, a gateway compiles what a slow language makes for longer than a start may take.
    #[must_use]
    #[track_caller]
    pub fn compiled(self, policy: &Path) -> Setup {
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let cache = compiled_cache();
        // What the gateways here use too: compiled code is only believed with the same key.
        write(&cache, "weir/policies/master-key", MASTER_KEY.as_bytes());
        let mut check = self.command(&["policy", "check"]);
        let output = check.arg(policy).env("XDG_CACHE_HOME", &cache).output();
        let digest = crate::digest(&fs::read(policy).expect("a policy"));
        let folder = fs::read_dir(cache.join("weir/policies/compiled")).into_iter();
        let files = folder.flatten().flatten().map(|file| file.path());
        let code = files.filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            let code = name.starts_with(&digest).then(|| fs::read(&path).ok())?;
            Some((name, code?))
        });
        let code: Vec<(String, Vec<u8>)> = code.collect();
        // Whether it likes to be without settings says nothing.
        assert!(!code.is_empty(), "{}: {output:?}", policy.display());
        code.into_iter().fold(self, |setup, (name, code)| {
            setup.write(&format!("data/compiled/{name}"), code)
        })
    }

    /// The same with an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The folder that will be its working directory.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it and waits until it is ready.
    #[track_caller]
    pub fn start(self) -> Gateway {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut gateway = Gateway {
            setup: self,
            child: None,
            listen: address,
            admin: address,
        };
        gateway.run();
        gateway
    }

    /// Runs it to its end, which must come soon: for settings that it should refuse.
    #[track_caller]
    pub fn run_to_end(&self, arguments: &[&str]) -> Output {
        let mut child = self
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let end = Instant::now() + START_MAX;
        while child.try_wait().expect("a child").is_none() {
            if Instant::now() > end {
                let _ = child.kill();
                panic!("weir {arguments:?} did not end");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.wait_with_output().expect("its output")
    }

    /// The program with these arguments, in its folder and environment, and in no other.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

fn write(folder: &Path, path: &str, bytes: &[u8]) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    // Renamed into place, as deployment tools do: whoever watches never sees half of it.
    let new = path.with_extension("being-written");
    fs::write(&new, bytes).expect("a file");
    fs::rename(new, path).expect("a file");
}

/// The settings with what every test needs.
fn complete(toml: &str) -> String {
    let mut complete = String::new();
    let wanted = [
        ("listen", "\"127.0.0.1:0\""),
        ("data_dir", "\"data\""),
        ("policies_dir", "\"policies.d\""),
        ("workers", "2"),
        ("default_chain", "false"),
    ];
    for (name, value) in wanted {
        if !toml
            .lines()
            .any(|line| line.starts_with(&format!("{name} =")))
        {
            complete += &format!("{name} = {value}\n");
        }
    }
    complete += toml;
    if !toml.contains("[[tenant]]") {
        complete += &format!(
            "\n[[tenant]]\nname = \"acme\"\nlabels = {{ plan = \"pro\" }}\n[[tenant.key]]\nname = \"main\"\nsecret = \"plain:{KEY}\"\nlabels = {{ env = \"test\" }}\n"
        );
    }
    complete
}

/// A running gateway. Dropped, it is killed and its folder removed.
#[derive(Debug)]
pub struct Gateway {
    setup: Setup,
    child: Option<Child>,
    listen: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    /// A gateway with these settings; see [`Setup::new`].
    #[track_caller]
    pub fn start(toml: &str) -> Gateway {
        Setup::new(toml).start()
    }

    /// A caller with this virtual key.
    pub fn client(&self, key: &str) -> Client {
        Client::new(self.listen, key)
    }

    /// A caller with [`KEY`].
    pub fn acme(&self) -> Client {
        self.client(KEY)
    }

    /// An operator.
    pub fn admin(&self) -> Client {
        Client::new(self.admin, ADMIN_KEY)
    }

    /// A call in the ledger, by its id; waits for it.
    #[track_caller]
    pub fn call(&self, id: &str) -> Value {
        let admin = self.admin();
        eventually(&format!("the call {id} in the ledger"), || {
            let reply = admin.get(&format!("/admin/v1/calls/{id}"));
            (reply.status == 200).then(|| reply.json())
        })
    }

    /// A policy as the admin API shows it.
    #[track_caller]
    pub fn policy(&self, name: &str) -> Value {
        self.admin()
            .get(&format!("/admin/v1/policies/{name}"))
            .expect(200)
            .json()
    }

    /// Puts a file into its folder, in one step.
    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        write(self.setup.folder(), path, bytes.as_ref());
    }

    /// Replaces its settings; they are completed as [`Setup::new`] does.
    pub fn configure(&self, toml: &str) {
        self.write("weir.toml", complete(toml));
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.setup.folder()
    }

    /// Runs the program once more beside it, in its folder and environment, to its end.
    #[track_caller]
    pub fn run_beside(&self, arguments: &[&str]) -> Output {
        self.setup.run_to_end(arguments)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running gateway").id()
    }

    /// All that it logged so far, over all starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("err.log")).unwrap_or_default()
    }

    /// All that it printed so far, over all starts.
    pub fn printed(&self) -> String {
        fs::read_to_string(self.folder().join("out.log")).unwrap_or_default()
    }

    /// Ends it without a warning.
    pub fn kill_9(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Tells it to stop, without waiting.
    pub fn terminate(&self) {
        let pid = Pid::from_child(self.child.as_ref().expect("a running gateway"));
        kill_process(pid, Signal::TERM).expect("a signal");
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running gateway");
        let end = Instant::now() + Duration::from_secs(40);
        loop {
            if let Some(status) = child.try_wait().expect("a child") {
                return status;
            }
            if Instant::now() > end {
                let _ = child.kill();
                panic!("it does not stop; its log:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Tells it to stop and waits for its end.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.wait()
    }

    /// Starts it again after it was stopped or killed, in the same folder and on another port.
    #[track_caller]
    pub fn restart(&mut self) {
        if self.child.is_some() {
            self.stop();
        }
        self.run();
    }

    #[track_caller]
    fn run(&mut self) {
        let bare = self.setup.bare;
        let ready = self.folder().join(if bare {
            "weir-data/listening.json"
        } else {
            "data/listening.json"
        });
        let _ = fs::remove_file(&ready);
        let log = |name: &str| -> File {
            let path = self.folder().join(name);
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .expect("a log")
        };
        let arguments: &[&str] = if bare {
            &["serve"]
        } else {
            &["serve", "--config", "weir.toml"]
        };
        let mut command = self.setup.command(arguments);
        command.stdout(log("out.log")).stderr(log("err.log"));
        self.child = Some(command.spawn().expect("a process"));
        let end = Instant::now() + START_MAX;
        let listening = loop {
            if let Some(status) = self
                .child
                .as_mut()
                .expect("a child")
                .try_wait()
                .expect("a child")
            {
                panic!("weir serve ended with {status}:\n{}", self.log());
            }
            let text = fs::read(&ready).unwrap_or_default();
            if let Ok(listening) = serde_json::from_slice::<Value>(&text) {
                break listening;
            }
            assert!(
                Instant::now() < end,
                "weir serve is not ready:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        };
        let address = |name: &str| listening[name].as_str().and_then(|text| text.parse().ok());
        self.listen = address("listen").expect("an address in listening.json");
        self.admin = address("admin").unwrap_or(self.listen);
        eventually("/readyz answers 200", || {
            let reply: Result<Reply, _> =
                Client::new(self.listen, "").try_send("GET", "/readyz", "");
            reply.ok().filter(|reply| reply.status == 200)
        });
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill_9();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "the end of the gateway's log:\n{}",
                lines[lines.len().saturating_sub(30)..].join("\n")
            );
        }
    }
}

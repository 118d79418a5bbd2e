//! Compilation in a child process. This program is its own child: called with `compile` it is
//! what `weir internal-compile` is.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test may fail loudly"
)]

#[path = "runtime/guests.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod guests;
#[path = "runtime/host.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod host;

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_policy::{CompileMode, Compiled, Engine, EngineSettings, LoadError, Version, VersionSpec};

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("compile") => {
            if let Err(error) = weir_policy::compile_main(std::io::stdin(), std::io::stdout()) {
                eprintln!("{error}");
                std::process::exit(1);
            }
        }
        Some("hang") => std::thread::sleep(Duration::from_secs(60)),
        Some("--list") => {}
        _ => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(tests());
            println!("child: all tests passed");
        }
    }
}

async fn tests() {
    let good = guests::built("testing-probe");

    let version = load("compile", 4 << 30, 30_000, good.clone())
        .await
        .unwrap();
    assert_eq!(version.compiled(), &Compiled::Stored);

    // Not enough address space for the compiler to work in.
    let refused = load("compile", 16 << 20, 30_000, good.clone())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "policy_compile_failed", "{refused}");

    let started = Instant::now();
    let refused = load("hang", 4 << 30, 100, good.clone()).await.unwrap_err();
    assert_eq!(refused, LoadError::CompileTimeout { timeout_ms: 100 });
    assert!(started.elapsed() < Duration::from_secs(5));

    // The compiler's own words come through.
    let simd = guests::authorizing("", "(drop (v128.const i32x4 0 0 0 0))");
    let refused = load("compile", 4 << 30, 30_000, simd).await.unwrap_err();
    assert!(refused.to_string().contains("SIMD"), "{refused}");

    let refused = load("--list", 4 << 30, 30_000, good).await.unwrap_err();
    assert!(refused.to_string().contains("exit status: 0"), "{refused}");
}

async fn load(
    arg: &str,
    memory_max_bytes: u64,
    timeout_ms: u32,
    bytes: Vec<u8>,
) -> Result<Arc<Version>, LoadError> {
    let dir = tempfile::tempdir().unwrap();
    let compile = CompileMode::Child {
        program: std::env::current_exe().unwrap(),
        args: vec![arg.to_owned()],
        memory_max_bytes,
        timeout_ms,
    };
    let mut settings = EngineSettings::new(dir.path().join("compiled"), [7; 32], compile);
    settings.instances_max = 4;
    let engine = Engine::new(settings, Arc::new(host::TestServices::default())).unwrap();
    engine.load(bytes, VersionSpec::new("probe", "{}")).await
}

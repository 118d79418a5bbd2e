//! Compilation, kept away from everything else: a child process that bounds itself, under a
//! parent that waits only so long.
//!
//! A compiler that runs on what strangers wrote may take for ever, eat the memory or panic; in a
//! child that ends the child. The parent is `compile`, the child [`compile_main`].

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::artefact::Artefact;
use crate::engine::compile_config;
use crate::load_error::LoadError;

/// Where compilation runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompileMode {
    /// In a child process that calls [`compile_main`].
    Child {
        /// The program to start: Weir itself.
        program: PathBuf,
        /// Its arguments: those that lead to [`compile_main`].
        args: Vec<String>,
        /// Bytes of address space that the child may use.
        memory_max_bytes: u64,
        /// Milliseconds until it is killed.
        timeout_ms: u32,
    },
    /// On a thread of this process: for tests, and for `weir policy check` on one's own machine.
    ThisProcess,
}

/// Compiles a component.
pub(crate) async fn compile(
    mode: &CompileMode,
    engine: &wasmtime::Engine,
    component: Arc<Vec<u8>>,
) -> Result<Artefact, LoadError> {
    match mode {
        CompileMode::Child {
            program,
            args,
            memory_max_bytes,
            timeout_ms,
        } => {
            let timeout = Duration::from_millis(u64::from(*timeout_ms));
            let child = in_child(program, args, *memory_max_bytes, timeout, &component);
            match tokio::time::timeout(timeout, child).await {
                Ok(compiled) => compiled,
                // The child dies with the future that held it.
                Err(_) => Err(LoadError::CompileTimeout {
                    timeout_ms: *timeout_ms,
                }),
            }
        }
        CompileMode::ThisProcess => {
            let engine = engine.clone();
            let compiled =
                tokio::task::spawn_blocking(move || engine.precompile_component(&component)).await;
            match compiled {
                Ok(Ok(bytes)) => Ok(Artefact::from_compiler(bytes)),
                Ok(Err(error)) => Err(LoadError::Compile {
                    reason: format!("{error:#}"),
                }),
                Err(_) => Err(LoadError::Compile {
                    reason: "the compiler panicked".to_owned(),
                }),
            }
        }
    }
}

async fn in_child(
    program: &PathBuf,
    args: &[String],
    memory_max_bytes: u64,
    timeout: Duration,
    component: &[u8],
) -> Result<Artefact, LoadError> {
    let failed = |what: &str, error: std::io::Error| LoadError::Compile {
        reason: format!("{what} the compiler: {error}"),
    };
    let mut child = tokio::process::Command::new(program)
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed("starting", error))?;
    let (Some(mut stdin), Some(mut stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(LoadError::Compile {
            reason: "the compiler has no pipes".to_owned(),
        });
    };
    let head = head(memory_max_bytes, timeout);
    let feed = async move {
        // A child that gave up early closes the pipe; why, it says on standard error.
        let _ = stdin.write_all(&head).await;
        let _ = stdin.write_all(component).await;
        drop(stdin);
    };
    let mut compiled = Vec::new();
    let mut complaint = Vec::new();
    let mut stderr = stderr.take(4096);
    let ((), read, _) = tokio::join!(
        feed,
        stdout.read_to_end(&mut compiled),
        stderr.read_to_end(&mut complaint)
    );
    read.map_err(|error| failed("reading from", error))?;
    let status = child
        .wait()
        .await
        .map_err(|error| failed("waiting for", error))?;
    if status.success() && !compiled.is_empty() {
        return Ok(Artefact::from_compiler(compiled));
    }
    let complaint = String::from_utf8_lossy(&complaint);
    Err(LoadError::Compile {
        reason: match complaint.trim() {
            "" => format!("the compiler ended with {status}"),
            complaint => complaint.to_owned(),
        },
    })
}

/// What the parent sends before the component: the child's bounds.
fn head(memory_max_bytes: u64, timeout: Duration) -> [u8; 16] {
    let mut head = [0; 16];
    let (memory, seconds) = head.split_at_mut(8);
    memory.copy_from_slice(&memory_max_bytes.to_le_bytes());
    // Of processor time, which the parent's clock cannot see; rounded up.
    seconds.copy_from_slice(&(timeout.as_secs() + 1).to_le_bytes());
    head
}

/// The child's whole life: reads its bounds and a component from `input`, bounds itself, and
/// writes the compiled component to `output`. Meant for standard input and output; the caller
/// ends the process with a failure and the error's text on standard error where there is one.
///
/// # Errors
/// Where the input is not what [`CompileMode::Child`] sends, the bounds cannot be set or the
/// component does not compile.
pub fn compile_main(mut input: impl Read, mut output: impl Write) -> Result<(), String> {
    let mut head = [0; 16];
    input
        .read_exact(&mut head)
        .map_err(|error| format!("reading the bounds: {error}"))?;
    let (memory, seconds) = head.split_at(8);
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    bound(Resource::As, number(memory))?;
    bound(Resource::Cpu, number(seconds))?;
    bound(Resource::Core, 0)?;
    let mut component = Vec::new();
    input
        .read_to_end(&mut component)
        .map_err(|error| format!("reading: {error}"))?;
    let engine = wasmtime::Engine::new(&compile_config()).map_err(|error| error.to_string())?;
    let compiled = engine
        .precompile_component(&component)
        .map_err(|error| format!("{error:#}"))?;
    output
        .write_all(&compiled)
        .and_then(|()| output.flush())
        .map_err(|error| format!("writing: {error}"))
}

fn bound(resource: Resource, max: u64) -> Result<(), String> {
    setrlimit(
        resource,
        Rlimit {
            current: Some(max),
            maximum: Some(max),
        },
    )
    .map_err(|error| format!("bounding the compiler: {error}"))
}

//! Reading and compiling a policy's file, kept away from everything else: a child process that bounds
//! itself and steps back from the processor, under a parent that waits only so long.
//!
//! What runs on what strangers wrote may take for ever, eat the memory, overflow the stack or panic;
//! in a child that ends the child. The parent is `compile`, the child [`compile_main`].

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, nice, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdout;

use crate::artefact::{Artefact, LENGTH_BYTES};
use crate::bounds;
use crate::engine::compile_config;
use crate::inspect::{self, Facts, NAMES_MAX_BYTES};
use crate::load_error::{LoadError, short};

/// How the child begins to say what is wrong with the file, where that is not the compiler's word.
const NOT_COMPONENTIZABLE: &str = "not-componentizable: ";
const INVALID: &str = "invalid: ";
/// How far the child steps back: against one that serves calls it gets a third of a processor. With less
/// a busy gateway would hardly take a new policy.
const NICE: i32 = 5;
/// Bytes of what the child says that are kept.
const COMPLAINT_MAX_BYTES: u64 = 4096;
/// Bytes of machine code that any policy may have, however small its file is.
const COMPILED_MIN_BYTES: usize = 16 << 20;

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

/// What to compile, and how.
pub(crate) struct Order<'a> {
    pub(crate) mode: &'a CompileMode,
    pub(crate) engine: &'a wasmtime::Engine,
    /// A component, or a core module made by wit-bindgen.
    pub(crate) file: Arc<Vec<u8>>,
}

/// Compiles a policy's file. `check` sees what it imports and exports before that is done, and may
/// refuse it.
pub(crate) async fn compile(
    order: Order<'_>,
    check: impl FnOnce(&Facts) -> Result<(), LoadError>,
) -> Result<Artefact, LoadError> {
    let Order { mode, engine, file } = order;
    match mode {
        CompileMode::Child {
            program,
            args,
            memory_max_bytes,
            timeout_ms,
        } => {
            let timeout = Duration::from_millis(u64::from(*timeout_ms));
            let head = head(*memory_max_bytes, timeout);
            let child = in_child(program, args, &head, &file, check);
            match tokio::time::timeout(timeout, child).await {
                Ok(compiled) => compiled,
                // The child dies with the future that held it.
                Err(_) => Err(LoadError::CompileTimeout {
                    timeout_ms: *timeout_ms,
                }),
            }
        }
        CompileMode::ThisProcess => {
            let (facts, component) = blocking(move || {
                let component = inspect::componentize(file.to_vec())?;
                Ok((inspect::read(&component)?, component))
            })
            .await?;
            check(&facts)?;
            let engine = engine.clone();
            blocking(move || {
                let code = engine.precompile_component(&component);
                let code = code.map_err(|error| LoadError::Compile {
                    reason: short(format!("{error:#}")),
                })?;
                Ok(Artefact::from_compiler(&facts, &code))
            })
            .await
        }
    }
}

async fn in_child(
    program: &PathBuf,
    args: &[String],
    head: &[u8],
    file: &[u8],
    check: impl FnOnce(&Facts) -> Result<(), LoadError>,
) -> Result<Artefact, LoadError> {
    let mut child = tokio::process::Command::new(program)
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed("starting", &error))?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(compile_error("the compiler has no pipes".to_owned()));
    };
    let feed = async move {
        // A child that gave up early closes the pipe; why, it says on standard error.
        let _ = stdin.write_all(head).await;
        let _ = stdin.write_all(file).await;
        drop(stdin);
        Ok(())
    };
    let complain = async move {
        let mut complaint = Vec::new();
        // What is over the bound is read too: a full pipe would stop the child.
        let mut stderr = stderr;
        let _ = (&mut stderr)
            .take(COMPLAINT_MAX_BYTES)
            .read_to_end(&mut complaint)
            .await;
        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        Ok(complaint)
    };
    let max_bytes = file.len().saturating_mul(bounds::COMPILED_FACTOR_MAX) + COMPILED_MIN_BYTES;
    let ((), compiled, complaint) =
        tokio::try_join!(feed, take(stdout, max_bytes, check), complain)?;
    let status = child
        .wait()
        .await
        .map_err(|error| failed("waiting for", &error))?;
    match compiled {
        Some(compiled) if status.success() => Ok(compiled),
        _ => Err(complained(&complaint, &status.to_string())),
    }
}

/// Reads what the child puts out; none where it ends too early.
async fn take(
    stdout: ChildStdout,
    max_bytes: usize,
    check: impl FnOnce(&Facts) -> Result<(), LoadError>,
) -> Result<Option<Artefact>, LoadError> {
    let reading = |error| failed("reading from", &error);
    let most = u64::try_from(max_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut stdout = stdout.take(most);
    let mut length = [0; LENGTH_BYTES];
    if stdout.read_exact(&mut length).await.is_err() {
        return Ok(None);
    }
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    // Each name has a byte in front and one behind it.
    if length > 3 * NAMES_MAX_BYTES {
        return Err(compile_error("the compiler says nonsense".to_owned()));
    }
    let mut lines = vec![0; length];
    if stdout.read_exact(&mut lines).await.is_err() {
        return Ok(None);
    }
    let facts = Facts::from_lines(&lines)
        .ok_or_else(|| compile_error("the compiler says nonsense".to_owned()))?;
    check(&facts)?;
    let mut code = Vec::new();
    stdout.read_to_end(&mut code).await.map_err(reading)?;
    if code.len() > max_bytes.saturating_sub(LENGTH_BYTES + length) {
        let reason = format!("its machine code has more than {max_bytes} bytes");
        return Err(compile_error(reason));
    }
    Ok((!code.is_empty()).then(|| Artefact::from_compiler(&facts, &code)))
}

fn compile_error(reason: String) -> LoadError {
    LoadError::Compile {
        reason: short(reason),
    }
}

fn failed(what: &str, error: &std::io::Error) -> LoadError {
    compile_error(format!("{what} the compiler: {error}"))
}

/// What the child said, as the reason that it is.
fn complained(complaint: &[u8], status: &str) -> LoadError {
    let complaint = String::from_utf8_lossy(complaint);
    let complaint = complaint.trim();
    let after = |kind: &str| {
        complaint
            .strip_prefix(kind)
            .map(|text| short(text.to_owned()))
    };
    if let Some(reason) = after(NOT_COMPONENTIZABLE) {
        return LoadError::NotComponentizable { reason };
    }
    if let Some(reason) = after(INVALID) {
        return LoadError::Invalid { reason };
    }
    compile_error(match complaint {
        "" => format!("the compiler ended with {status}"),
        complaint => complaint.to_owned(),
    })
}

/// Runs what takes long on another thread. What panics there was fed something hostile.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(LoadError::Invalid {
            reason: "reading or compiling it made a library panic".to_owned(),
        })
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

/// The child's whole life: reads its bounds and a policy's file from `input`, bounds itself, and
/// writes to `output` what the file imports and exports, then the compiled component. Meant for standard input and output; the caller
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
    // Whatever it does, those who serve calls come first. Where the system does not let it, it is as
    // important as they are, and no more.
    let _ = nice(NICE);
    let mut file = Vec::new();
    input
        .read_to_end(&mut file)
        .map_err(|error| format!("reading: {error}"))?;
    let complaint = |error| match error {
        LoadError::NotComponentizable { reason } => format!("{NOT_COMPONENTIZABLE}{reason}"),
        LoadError::Invalid { reason } => format!("{INVALID}{reason}"),
        other => other.to_string(),
    };
    let component = inspect::componentize(file).map_err(complaint)?;
    let facts = inspect::read(&component).map_err(complaint)?.to_lines();
    let length = u32::try_from(facts.len()).map_err(|error| error.to_string())?;
    let writing = |error| format!("writing: {error}");
    output
        .write_all(&[&length.to_le_bytes(), facts.as_bytes()].concat())
        .and_then(|()| output.flush())
        .map_err(writing)?;
    let engine = wasmtime::Engine::new(&compile_config()).map_err(|error| error.to_string())?;
    let compiled = engine
        .precompile_component(&component)
        .map_err(|error| format!("{error:#}"))?;
    output
        .write_all(&compiled)
        .and_then(|()| output.flush())
        .map_err(writing)
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

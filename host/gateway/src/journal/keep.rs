//! Where journals lie: two files for each policy, a line of JSON for each call. Written by a thread of its
//! own from a bounded queue; what does not fit in is lost and counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::record::Record;
use crate::telemetry::Metrics;

/// Records on their way to the thread at most.
const QUEUE_MAX: usize = 1_000;
/// Bytes of them at most.
const QUEUE_MAX_BYTES: usize = 32 << 20;
/// Counted for each record beside its steps.
const RECORD_BYTES: usize = 1 << 10;

/// Hands records over to the thread that writes them.
#[derive(Debug, Clone)]
pub struct Keeper {
    sender: SyncSender<Queued>,
    waiting_bytes: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    folder: Arc<Path>,
    /// Bytes of one policy's journal at most.
    max_bytes: usize,
}

#[derive(Debug)]
struct Queued {
    record: Record,
    bytes: usize,
    max_bytes: usize,
}

impl Keeper {
    /// Starts the thread, which ends with the last keeper. The folder is made when there is something to
    /// keep.
    ///
    /// # Errors
    /// Where the system has no thread to give.
    pub fn start(folder: PathBuf, metrics: Arc<Metrics>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let waiting_bytes = Arc::<AtomicUsize>::default();
        let keeper = Self {
            sender,
            waiting_bytes: Arc::clone(&waiting_bytes),
            metrics: Arc::clone(&metrics),
            folder: folder.into(),
            max_bytes: 0,
        };
        let folder = Arc::clone(&keeper.folder);
        std::thread::Builder::new()
            .name("weir-journal".to_owned())
            .spawn(move || write_all(&receiver, &folder, &waiting_bytes, &metrics))?;
        Ok(keeper)
    }

    /// The same for a policy whose journal may have that many bytes.
    #[must_use]
    pub fn within(&self, max_bytes: usize) -> Self {
        Self {
            max_bytes,
            ..self.clone()
        }
    }

    /// Hands over a record whose steps have that many bytes; never waits.
    pub(super) fn keep(&self, record: Record, bytes: usize) {
        let bytes = bytes.saturating_add(RECORD_BYTES);
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let queued = Queued {
            record,
            bytes,
            max_bytes: self.max_bytes,
        };
        // One is always let in, however large.
        let fits = before == 0 || before.saturating_add(bytes) <= QUEUE_MAX_BYTES;
        if !fits || self.sender.try_send(queued).is_err() {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.metrics.journal_lost();
        }
    }

    /// A call that was to be kept is not.
    pub(super) fn lost(&self) {
        self.metrics.journal_lost();
    }

    /// The last `limit` calls of a policy's journal, the oldest first, a line of JSON each.
    ///
    /// # Errors
    /// What the system says of a file that is there and cannot be read.
    pub fn read(&self, policy: &str, limit: usize) -> io::Result<String> {
        let [newer, older] = paths(&self.folder, policy);
        let mut lines = Vec::new();
        let texts = [older, newer].map(|path| match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            text => text,
        });
        for text in texts {
            // What a program that was killed wrote last may be half a line.
            let text = text?;
            let whole = text
                .split_inclusive('\n')
                .filter(|line| line.ends_with("}\n"));
            lines.extend(whole.map(str::to_owned));
        }
        Ok(lines.split_off(lines.len().saturating_sub(limit)).concat())
    }
}

/// The file that is written and the one before it.
fn paths(folder: &Path, policy: &str) -> [PathBuf; 2] {
    // No name holds a `/` but that between a tenant and its policy.
    let name = policy.replace('/', "@");
    [
        folder.join(format!("{name}.jsonl")),
        folder.join(format!("{name}.before.jsonl")),
    ]
}

fn write_all(
    receiver: &Receiver<Queued>,
    folder: &Path,
    waiting_bytes: &AtomicUsize,
    metrics: &Metrics,
) {
    while let Ok(queued) = receiver.recv() {
        let written = write(folder, &queued);
        waiting_bytes.fetch_sub(queued.bytes, Ordering::Relaxed);
        match written {
            Ok(()) => metrics.journal_kept(),
            Err(error) => {
                metrics.journal_lost();
                tracing::warn!(policy = queued.record.policy, %error, "a journal cannot be written");
            }
        }
    }
}

fn write(folder: &Path, queued: &Queued) -> io::Result<()> {
    let mut line = serde_json::to_vec(&queued.record)?;
    line.push(b'\n');
    let bytes = u64::try_from(line.len()).unwrap_or(u64::MAX);
    let max_bytes = u64::try_from(queued.max_bytes / 2).unwrap_or(u64::MAX);
    std::fs::create_dir_all(folder)?;
    let [newer, older] = paths(folder, &queued.record.policy);
    let mut file = open(&newer)?;
    let has_bytes = file.metadata()?.len();
    if has_bytes > 0 && has_bytes.saturating_add(bytes) > max_bytes {
        std::fs::rename(&newer, older)?;
        file = open(&newer)?;
    } else if ends_within_a_line(&file, has_bytes)? {
        line.insert(0, b'\n');
    }
    file.write_all(&line)
}

/// A program that was killed may have left half a line, which the next one must not become part of.
fn ends_within_a_line(file: &File, has_bytes: u64) -> io::Result<bool> {
    let Some(last) = has_bytes.checked_sub(1) else {
        return Ok(false);
    };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != [b'\n'])
}

/// For appending. It holds what callers said: nobody else may read it.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

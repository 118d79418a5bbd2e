//! Where a guest's standard output and error go: line by line into the policy's log, bounded
//! like everything else that a hook may log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, async_trait};

use crate::bounds::LOG_MAX_BYTES;
use crate::services::{PolicyIdentity, Services, Who};
use crate::types::LogLevel;

/// One instance's standard output and error.
pub(crate) struct Stdio {
    identity: Arc<PolicyIdentity>,
    services: Arc<dyn Services>,
    text: Mutex<Text>,
}

#[derive(Default)]
struct Text {
    /// The line that is not complete yet.
    line: Vec<u8>,
    /// Bytes taken in the running hook.
    taken: usize,
}

impl Stdio {
    pub(crate) fn new(identity: Arc<PolicyIdentity>, services: Arc<dyn Services>) -> Self {
        Self {
            identity,
            services,
            text: Mutex::default(),
        }
    }

    /// A new hook: its bound is whole again.
    pub(crate) fn begin(&self) {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .taken = 0;
    }

    /// A hook ended: what it wrote without a newline is a line too.
    pub(crate) fn flush(&self) {
        let line = {
            let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut text.line)
        };
        self.log(&line);
    }

    pub(crate) fn stream(self: &Arc<Self>) -> Stream {
        Stream(self.clone())
    }

    pub(crate) fn wall_clock(&self) -> WallClock {
        WallClock(self.services.clone())
    }

    fn write(&self, bytes: &[u8]) {
        let mut lines = Vec::new();
        {
            let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
            let left = LOG_MAX_BYTES.saturating_sub(text.taken);
            text.taken = text.taken.saturating_add(bytes.len());
            for &byte in bytes.iter().take(left) {
                if byte == b'\n' {
                    lines.push(std::mem::take(&mut text.line));
                } else {
                    text.line.push(byte);
                }
            }
        }
        for line in lines {
            self.log(&line);
        }
    }

    fn log(&self, line: &[u8]) {
        if !line.is_empty() {
            let who = Who {
                policy: &self.identity,
                call: None,
            };
            self.services
                .log(who, LogLevel::Info, &String::from_utf8_lossy(line));
        }
    }
}

/// Standard output or error, as WASI wants it.
pub(crate) struct Stream(Arc<Stdio>);

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    // Only WASI 0.3 asks for this one, which is not linked.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Stream(self.0.clone()))
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        // What is over the bound is dropped, so there is always room.
        Ok(LOG_MAX_BYTES)
    }
}

/// The host's clock, so that a test or a replay sets a guest's time too.
pub(crate) struct WallClock(Arc<dyn Services>);

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.now_ms())
    }
}

impl HostMonotonicClock for WallClock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        self.0.now_ms().saturating_mul(1_000_000)
    }
}

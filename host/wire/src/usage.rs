//! What a reply used, read from its bytes on the way to the client.
//!
//! [`StreamUsage`] looks into a stream of events, [`WholeUsage`] into a reply that comes in one
//! piece. Neither builds a tree: a search for the few keys that matter finds the few events that
//! are worth parsing. Providers disagree on what a count includes; [`counts`] says how each is
//! brought to the one meaning that [`weir_base::Usage`] has. `tests/recordings/usage.rs`
//! holds this against the recorded traffic.

use std::collections::VecDeque;

use bytes::Bytes;
use weir_base::Usage;

use crate::dialect::Dialect;

mod counts;
mod envelope;
mod stream;
mod text;
mod values;

pub use stream::{StreamReport, StreamUsage};

/// The usage that a whole JSON reply reports, or None where it reports none. Takes a single event's
/// data as well.
pub fn read_whole(dialect: Dialect, body: &[u8]) -> Option<Usage> {
    envelope::counts_in(dialect, body)?.usage(dialect.family())
}

/// Reads the usage of a reply that comes in frames. Keeps the frames, not copies of them; of a
/// reply larger than its bound only the end, where all known providers put the usage.
#[derive(Debug)]
pub struct WholeUsage {
    dialect: Dialect,
    max_bytes: usize,
    frames: VecDeque<Bytes>,
    held_bytes: usize,
    /// True where frames at the beginning were let go.
    cut: bool,
}

impl WholeUsage {
    /// A reader that holds no more than `max_bytes`, and at least the last frame.
    pub fn new(dialect: Dialect, max_bytes: usize) -> Self {
        Self {
            dialect,
            max_bytes,
            frames: VecDeque::new(),
            held_bytes: 0,
            cut: false,
        }
    }

    /// Takes the next frame of the body.
    pub fn push(&mut self, frame: Bytes) {
        if frame.is_empty() {
            return;
        }
        self.held_bytes += frame.len();
        self.frames.push_back(frame);
        while self.held_bytes > self.max_bytes && self.frames.len() > 1 {
            if let Some(oldest) = self.frames.pop_front() {
                self.held_bytes -= oldest.len();
                self.cut = true;
            }
        }
    }

    /// The usage, once the body has ended.
    pub fn finish(mut self) -> Option<Usage> {
        let joined: Vec<u8>;
        let body: &[u8] = match self.frames.make_contiguous() {
            [] => return None,
            [only] => only,
            frames => {
                joined = frames.concat();
                &joined
            }
        };
        if self.cut {
            return envelope::counts_at_end(self.dialect, body)?.usage(self.dialect.family());
        }
        read_whole(self.dialect, body)
    }
}

#[cfg(test)]
mod tests;

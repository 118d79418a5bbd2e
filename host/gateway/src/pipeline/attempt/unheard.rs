//! What providers said in streams of which nobody heard: the attempt failed before its first word,
//! another was faster, or the caller hung up while it was held back.
//!
//! Some say at once how many tokens they read, and those are spent. What such an attempt wrote before it
//! was given up, and what the others read, is not knowable: where nothing was said, nothing is in
//! the ledger, and the key's minute keeps the estimate.

use std::cell::RefCell;
use std::time::Instant;

use weir_base::Usage;
use weir_wire::Dialect;
use weir_wire::usage::StreamUsage;

use super::hold::Held;

/// The beginnings of streams that were given up, by when their attempts began.
#[derive(Debug, Default)]
pub struct Unheard(RefCell<Vec<(Instant, Held)>>);

impl Unheard {
    /// The attempt that began then was given up.
    pub fn keep(&self, began: Instant, held: Held) {
        // Borrowed for this statement only, here and below.
        self.0.borrow_mut().push((began, held));
    }

    /// What the provider said that the attempt used which began then.
    pub fn take(&mut self, began: Instant, dialect: Dialect) -> Option<Usage> {
        let all = self.0.get_mut();
        let at = all.iter().position(|(of, _)| *of == began)?;
        usage(all.swap_remove(at).1, dialect)
    }

    /// The same of the attempt under way, where the call itself was given up; of two, of the first.
    pub fn take_last(&mut self, dialect: Dialect) -> Option<Usage> {
        let mut all = std::mem::take(self.0.get_mut());
        all.sort_by_key(|(began, _)| *began);
        all.into_iter().find_map(|(_, held)| usage(held, dialect))
    }
}

fn usage(mut held: Held, dialect: Dialect) -> Option<Usage> {
    let mut reader = StreamUsage::new(dialect);
    while let Some(piece) = held.pop() {
        reader.push(&piece);
    }
    reader
        .finish()
        .usage
        .filter(|usage| usage.total_tokens() > 0)
}

//! Providers that fail in every way there is: as long as one key is well somewhere, no caller
//! notices more than a pause.

mod bounds;
mod continued;
mod pins;
mod swapping;
mod table;
mod takeover;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use weir_tests::{Answer, Provider, Seen};

/// Nothing waits long, and there are as many tries as targets.
const QUICK: &str = "
[ledger]
flush_ms = 20
[limits]
attempts_max = 16
[upstream]
connect_timeout_ms = 400
first_byte_timeout_ms = 200
idle_stream_timeout_ms = 200
";

/// A chat as the caller asked for it.
fn well(seen: &Seen) -> Answer {
    if seen.json()["stream"] == true {
        Answer::chat_events("Hello from the provider.")
    } else {
        Answer::chat("Hello from the provider.")
    }
}

/// Three providers, `a`, `b` and `c`, each with the keys `0`, `1` and `2`. All are well until one is
/// told that all but one key fail.
struct Trio {
    providers: [Provider; 3],
    /// The number of the key that is well, or [`ALL`] or [`NONE`].
    only: Arc<AtomicU8>,
}

impl Trio {
    fn new(fault: fn(&Seen) -> Answer) -> Trio {
        let only = Arc::new(AtomicU8::new(ALL));
        let provider = |channel: u8| {
            let only = Arc::clone(&only);
            Provider::with(move |seen| {
                let key: u8 = seen.key().parse().unwrap_or(0);
                let only = only.load(Ordering::SeqCst);
                if only == ALL || only == channel * 3 + key {
                    well(seen)
                } else {
                    fault(seen)
                }
            })
        };
        Trio {
            providers: [0, 1, 2].map(provider),
            only,
        }
    }

    /// The three channels.
    fn channels(&self) -> String {
        let channel = |(number, provider): (usize, &Provider)| {
            let more = format!("{KEYS}\npriority = {}", 30 - 10 * number);
            provider.channel("openai", ["a", "b", "c"][number], &more)
        };
        self.providers.iter().enumerate().map(channel).collect()
    }

    /// From now on only this of the nine keys is well, or [`NONE`].
    fn leave_only(&self, key: u8) {
        self.only.store(key, Ordering::SeqCst);
    }

    fn count(&self) -> usize {
        self.providers.iter().map(Provider::count).sum()
    }
}

/// Every key is well.
const ALL: u8 = 100;
/// No key is well.
const NONE: u8 = 101;

const KEYS: &str = r#"keys = ["plain:0", "plain:1", "plain:2"]"#;

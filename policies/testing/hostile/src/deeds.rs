//! The harm that any hook can be told to do.

use serde::Deserialize;
use weir_sdk::{Denial, call, clock, edit, log, metrics, store};

/// Items of an answer that has far too many.
pub(crate) const MANY: usize = 200_000;
/// Bytes of an answer that is far too large.
const BIG_BYTES: usize = 100 << 20;

/// One deed.
#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Deed {
    /// Never returns.
    Loop,
    /// Computes for ten milliseconds of the host's clock.
    Busy,
    /// Panics, which is a trap.
    Trap,
    /// Calls itself without end.
    Recurse,
    /// Takes memory until there is no more.
    Grow,
    /// Calls the host a million times.
    HostCalls,
    /// Writes ten thousand lines.
    LogLines,
    /// Writes a line of a megabyte, again and again.
    LogBytes,
    /// Sets ever new keys.
    StoreKeys,
    /// Sets large values.
    StoreBytes,
    /// Sets and reads a key of a megabyte.
    StoreHugeKey,
    /// Counts under ever new names.
    MetricNames,
    /// Counts with ever new labels.
    MetricLabels,
    /// Counts once with a hundred thousand labels.
    MetricManyLabels,
    /// Changes the request.
    Edit,
    /// Asks about the call, also where there is none.
    Call,
    /// Denies, each time with another code.
    Deny,
    /// Denies with a code, a message and a status that no denial may have.
    DenyBadly,
    /// Keeps what it is given (events only).
    Hold,
    /// Answers with a hundred megabytes.
    Big,
    /// Answers with very many items.
    Many,
}

impl Deed {
    /// Does it. What the host refuses is a denial with the host's sentence.
    pub(crate) fn commit(self) -> Result<(), Denial> {
        match self {
            Deed::Loop => loop {
                std::hint::black_box(());
            },
            Deed::Busy => {
                busy(10);
                Ok(())
            }
            Deed::Trap => trap(),
            Deed::Recurse => {
                std::hint::black_box(recurse(0));
                Ok(())
            }
            Deed::Grow => loop {
                std::hint::black_box(vec![1_u8; 1 << 20].leak());
            },
            Deed::HostCalls => {
                for _ in 0..1_000_000 {
                    std::hint::black_box(clock::now_ms());
                }
                Ok(())
            }
            Deed::LogLines | Deed::LogBytes => {
                log_flood(matches!(self, Deed::LogBytes));
                Ok(())
            }
            Deed::StoreKeys | Deed::StoreBytes | Deed::StoreHugeKey => self.store(),
            Deed::MetricNames | Deed::MetricLabels | Deed::MetricManyLabels => {
                self.measure();
                Ok(())
            }
            Deed::Edit => edit::set_model("edited").map_err(refused),
            Deed::Call => {
                let said = [call::id(), call::tenant(), call::path()].concat();
                let found = call::body().len() + call::messages().len() + call::headers().len();
                if said.is_empty() && found == 0 {
                    return Ok(());
                }
                Err(refused(format!("there is a call: {said}")))
            }
            Deed::Deny => Err(Denial::new(403, format!("code_{}", number()), "no")),
            Deed::DenyBadly => Err(Denial::new(200, "Not a code\r\n", big())),
            Deed::Hold | Deed::Big | Deed::Many => Ok(()),
        }
    }

    fn store(self) -> Result<(), Denial> {
        if matches!(self, Deed::StoreHugeKey) {
            let key = "k".repeat(1 << 20);
            let set = store::set(&key, b"", None);
            let found = store::get(&key);
            return match (set, found) {
                (Err(sentence), None) => Err(refused(sentence)),
                _ => Ok(()),
            };
        }
        let value = vec![
            b'v';
            if matches!(self, Deed::StoreBytes) {
                60 << 10
            } else {
                1
            }
        ];
        let first = number();
        for at in 0..200 {
            store::set(&format!("{first}-{at}"), &value, None).map_err(refused)?;
        }
        Ok(())
    }

    fn measure(self) {
        let first = number();
        match self {
            Deed::MetricNames => {
                for at in 0..1_000 {
                    metrics::count(&format!("name_{first}_{at}"), 1, &[]);
                }
            }
            Deed::MetricManyLabels => {
                let names: Vec<String> = (0..100_000).map(|at| format!("l{at}")).collect();
                let labels: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "")).collect();
                metrics::count("labels", 1, &labels);
            }
            _ => {
                for at in 0..1_000 {
                    metrics::count("labelled", 1, &[("n", &format!("{first}-{at}"))]);
                }
            }
        }
    }
}

/// A number that is another one in each call.
fn number() -> i64 {
    store::add("number", 1, None).unwrap_or_default()
}

fn log_flood(bytes: bool) {
    let line = "x".repeat(if bytes { 1 << 20 } else { 80 });
    for _ in 0..10_000 {
        log::write(log::Level::Error, &line);
    }
}

/// Busy without asking the clock more often than a hook may.
fn busy(ms: u64) {
    let end_ms = clock::now_ms() + ms;
    while clock::now_ms() < end_ms {
        for number in 0..20_000_u32 {
            std::hint::black_box(number);
        }
    }
}

#[expect(
    unconditional_recursion,
    reason = "to run out of stack is what it was told to do"
)]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    recurse(depth + 1) + frame.iter().sum::<u64>()
}

#[expect(clippy::panic, reason = "to trap is what it was told to do")]
fn trap() -> ! {
    panic!("the hostile policy was told to trap");
}

fn refused(sentence: String) -> Denial {
    Denial::new(422, "refused_by_host", sentence)
}

/// A hundred megabytes.
pub(crate) fn big() -> String {
    "x".repeat(BIG_BYTES)
}

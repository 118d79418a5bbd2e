//! How long a policy's hooks take: the same case again and again, on an instance that is warm, and
//! on a new one each time.
//!
//! Wall time of the whole hook call, the runtime's part included. A machine that does other things
//! shows in the 99th percentile before it shows in the median.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use weir_policy::Hook;

use super::run::{RunError, Runner};
use super::written::{Case, File};

/// Calls of the case that warm everything up.
const WARM_UP_CALLS: u32 = 200;
/// Calls at most; they end before where the time is over.
const CALLS_MAX: u32 = 20_000;
/// Starts of a new instance that are timed at most.
const STARTS_MAX: u32 = 500;

/// What was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// Bytes of the file.
    pub size_bytes: usize,
    /// From nothing to an instance that took its configuration; median, microseconds.
    pub start_micros: f64,
    /// The most linear memory of an instance, bytes.
    pub memory_bytes: usize,
    /// By hook.
    pub hooks: BTreeMap<String, HookFigures>,
}

/// Times of one hook; of `events`, of one event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HookFigures {
    /// Calls that were timed.
    pub calls: usize,
    /// Microseconds.
    pub median_micros: f64,
    /// Microseconds.
    pub p99_micros: f64,
}

/// Runs the case with `warm` for about `time`, and with `fresh`, which makes an instance for every
/// call, for half as long.
///
/// # Errors
/// As a case's run.
pub async fn measure(
    (mut warm, mut fresh): (Runner, Runner),
    (folder, file, case): (&Path, &File, &Case),
    (size_bytes, time): (usize, Duration),
) -> Result<Figures, RunError> {
    for _ in 0..WARM_UP_CALLS {
        warm.run(folder, file, case).await?;
    }
    let warmed = repeat(&mut warm, (folder, file, case), time, CALLS_MAX).await?;
    let started = repeat(&mut fresh, (folder, file, case), time / 2, STARTS_MAX).await?;
    let first = warmed.iter().next().map(|(hook, _)| *hook);
    let median = |times: &BTreeMap<Hook, Vec<Duration>>| {
        let times = first.and_then(|hook| times.get(&hook));
        times.map_or(0.0, |times| micros(times, 50))
    };
    let figures = |(hook, times): (&Hook, &Vec<Duration>)| {
        let figures = HookFigures {
            calls: times.len(),
            median_micros: micros(times, 50),
            p99_micros: micros(times, 99),
        };
        (hook.as_str().to_owned(), figures)
    };
    Ok(Figures {
        size_bytes,
        // The first hook of a call finds or makes the instance.
        start_micros: (median(&started) - median(&warmed)).max(0.0),
        memory_bytes: warm.memory_peak_bytes(),
        hooks: warmed.iter().map(figures).collect(),
    })
}

async fn repeat(
    runner: &mut Runner,
    (folder, file, case): (&Path, &File, &Case),
    time: Duration,
    calls_max: u32,
) -> Result<BTreeMap<Hook, Vec<Duration>>, RunError> {
    let mut times: BTreeMap<Hook, Vec<Duration>> = BTreeMap::new();
    let until = Instant::now() + time;
    for call in 0..calls_max {
        let results = runner.run(folder, file, case).await?;
        for (hook, took) in results.took {
            times.entry(hook).or_default().push(took);
        }
        if call >= 10 && Instant::now() > until {
            break;
        }
    }
    for times in times.values_mut() {
        times.sort_unstable();
    }
    Ok(times)
}

/// The percentile of sorted times, in microseconds with two digits after the point.
fn micros(sorted: &[Duration], percentile: usize) -> f64 {
    let at = sorted.len().saturating_sub(1) * percentile / 100;
    let micros = sorted.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e6);
    (micros * 100.0).round() / 100.0
}

impl Figures {
    /// A table, beside what a baseline says where there is one.
    pub fn text(&self, baseline: Option<&Figures>) -> String {
        let mut text = format!(
            "{:<10} {:>12} {:>12} {:>9}",
            "", "median us", "p99 us", "calls"
        );
        text.push_str(if baseline.is_some() {
            "  baseline median\n"
        } else {
            "\n"
        });
        for (hook, now) in &self.hooks {
            let before = baseline.and_then(|baseline| baseline.hooks.get(hook));
            let _ = writeln!(
                text,
                "{hook:<10} {:>12.2} {:>12.2} {:>9}{}",
                now.median_micros,
                now.p99_micros,
                now.calls,
                beside(now.median_micros, before.map(|before| before.median_micros))
            );
        }
        let before = baseline.map(|baseline| baseline.start_micros);
        let _ = writeln!(
            text,
            "{:<10} {:>12.2} {:>12} {:>9}{}",
            "start",
            self.start_micros,
            "",
            "",
            beside(self.start_micros, before)
        );
        let _ = writeln!(
            text,
            "{} bytes of memory, {} bytes of code",
            self.memory_bytes, self.size_bytes
        );
        text
    }

    /// The hooks whose median grew by more than so many percent.
    pub fn slower_than(&self, baseline: &Figures, percent: f64) -> Vec<String> {
        let grew = |(hook, now): (&String, &HookFigures)| {
            let before = baseline.hooks.get(hook)?.median_micros;
            let bound = before * (1.0 + percent / 100.0);
            (now.median_micros > bound).then(|| {
                format!(
                    "{hook}: {:.2} us, and {before:.2} in the baseline",
                    now.median_micros
                )
            })
        };
        self.hooks.iter().filter_map(grew).collect()
    }
}

fn beside(now: f64, before: Option<f64>) -> String {
    match before {
        Some(before) if before > 0.0 => {
            format!("  {before:>9.2} ({:+.0} %)", (now / before - 1.0) * 100.0)
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(median_micros: f64) -> Figures {
        let access = HookFigures {
            calls: 10,
            median_micros,
            p99_micros: 9.0,
        };
        Figures {
            size_bytes: 1,
            start_micros: 20.0,
            memory_bytes: 2,
            hooks: [("access".to_owned(), access)].into(),
        }
    }

    #[test]
    fn a_baseline_is_beside_the_figures_and_says_what_grew() {
        let (before, now) = (figures(1.0), figures(1.3));
        assert!(
            now.text(Some(&before)).contains("1.00 (+30 %)"),
            "{}",
            now.text(Some(&before))
        );
        assert_eq!(now.slower_than(&before, 50.0), [""; 0]);
        assert_eq!(
            now.slower_than(&before, 20.0),
            ["access: 1.30 us, and 1.00 in the baseline"]
        );
    }

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_micros).collect();
        assert!((micros(&times, 50) - 50.0).abs() < 1e-9);
        assert!((micros(&times, 99) - 99.0).abs() < 1e-9);
        assert!(micros(&[], 50).abs() < 1e-9);
    }
}

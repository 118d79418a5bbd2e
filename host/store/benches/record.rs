//! What the record of a call costs in processor time, and what the policies' decisions add to it: from
//! putting the row down to its being in the database, the writing thread included.
//!
//! Meant to be less than 2 us a call for the decisions. `make bench` runs it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench may fail loudly"
)]

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use weir_base::{CallId, Operation, Usage};
use weir_store::{CallRow, Decider, Decision, Ended, MasterKey, Store, StoreSettings};

/// Calls between two waits for the writing thread; fewer than the queue may hold.
const BATCH: u64 = 10_000;

/// Of the whole process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

/// Eight policies with one hook each; their names are shared by all calls.
fn deciders() -> Vec<Arc<Decider>> {
    let decider = |number: usize| Decider {
        hook: Cow::Borrowed("access"),
        policy: format!("policy-{number}").into(),
        digest: format!("{number:012x}").into(),
    };
    (0..8).map(|number| Arc::new(decider(number))).collect()
}

struct Shared {
    words: [Arc<str>; 4],
    deciders: Vec<Arc<Decider>>,
}

impl Shared {
    fn row(&self, number: u64, decisions: usize) -> CallRow {
        let [tenant, key, model, channel] = self.words.each_ref().map(Arc::clone);
        let decision = |by: &Arc<Decider>| Decision {
            by: Arc::clone(by),
            micros: 3,
            verdict: Cow::Borrowed("allow"),
        };
        CallRow {
            id: id(number),
            started_ms: STARTED_MS + number,
            tenant,
            key,
            dialect: Cow::Borrowed("openai.chat"),
            operation: Operation::Chat,
            model,
            channel: Some(channel),
            upstream_model: None,
            provider_key: None,
            status: 200,
            ended: Ended::Complete,
            denied: None,
            streaming: false,
            client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            attempts: Vec::new(),
            first_byte_ms: Some(2),
            total_ms: 3,
            usage: Usage::default(),
            decisions: self.deciders.iter().take(decisions).map(decision).collect(),
        }
    }
}

const STARTED_MS: u64 = 1_800_000_000_000;

/// Its first six bytes are the time.
fn id(number: u64) -> CallId {
    let bits = (u128::from(STARTED_MS + number) << 80) | u128::from(number);
    CallId::from_bytes(bits.to_be_bytes())
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let dir = tempfile::tempdir().unwrap();
    let key = MasterKey::from_hex(&"07".repeat(32)).unwrap();
    let store = Store::open(&dir.path().join("weir.db"), &key, StoreSettings::default()).unwrap();
    let shared = Shared {
        words: ["acme", "key_1", "gpt-4o-mini", "main"].map(Arc::from),
        deciders: deciders(),
    };
    let (ledger, mut next) = (store.ledger(), 0);
    for (decisions, name) in [
        (0, "a call, no decisions"),
        (1, "a call, 1 decision"),
        (4, "a call, 4 decisions"),
        (8, "a call, 8 decisions"),
    ] {
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let started = cpu_time();
                for number in 1..=count {
                    next += 1;
                    ledger.record(shared.row(next, decisions));
                    if number % BATCH == 0 {
                        store.flush(Duration::from_secs(60)).unwrap();
                    }
                }
                store.flush(Duration::from_secs(60)).unwrap();
                cpu_time() - started
            });
        });
    }
    criterion.final_summary();
}

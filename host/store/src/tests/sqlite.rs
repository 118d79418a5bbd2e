//! What is special to SQLite: the file, its version, its size, and a process that is killed.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use rusqlite::Connection;

use super::*;

#[test]
fn only_the_owner_may_read_the_files() {
    let place = Place::new();
    let store = place.open();
    run(store.create(&tenant("a"))).unwrap();
    for file in ["weir.db", "weir.db-wal"] {
        let path = place.path().with_file_name(file);
        assert_eq!(
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o600,
            "{file}"
        );
    }
}

#[test]
fn a_newer_database_is_refused_and_left_alone() {
    let place = Place::new();
    place.open().close(WAIT).unwrap();
    let db = Connection::open(place.path()).unwrap();
    assert_eq!(
        db.pragma_query_value(None, "user_version", |row| row.get(0)),
        Ok(1)
    );
    db.pragma_update(None, "user_version", 9).unwrap();
    let error = Store::open(&place.path(), &place.key, place.settings()).unwrap_err();
    assert_eq!(error, StoreError::TooNew { found: 9, known: 1 });
    assert!(error.to_string().contains("newer weir"));
}

#[test]
fn what_is_no_database_is_refused() {
    let place = Place::new();
    std::fs::write(
        place.path(),
        "not a database, but long enough to be looked at".repeat(99),
    )
    .unwrap();
    let error = Store::open(&place.path(), &place.key, place.settings()).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    let nowhere = place.path().join("nowhere");
    let error = Store::open(&nowhere, &place.key, place.settings()).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < WAIT, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_full_disk_loses_no_call_and_heals() {
    let place = Place::new();
    let settings = StoreSettings {
        max_bytes: Some(1_600_000),
        ..place.settings()
    };
    let store = Store::open(&place.path(), &place.key, settings).unwrap();
    let ledger = store.ledger();
    let mut recorded = 0;
    wait_for("the database filling up", || {
        for _ in 0..100 {
            ledger.record(call(recorded));
            recorded += 1;
        }
        !ledger.accepting()
    });
    let refused = run(store.create(&provider_key("p", "c", &"x".repeat(1 << 20))));
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    let status = ledger.status();
    assert!(
        matches!(status.failure, Some(StoreError::Full(_))),
        "{status:?}"
    );
    assert!(status.backlog > 0);
    assert!(store.flush(WAIT).is_err());
    // What is there can still be read, and room can be made.
    let written = recorded - status.backlog as u64;
    assert!(run(store.call(call_id(0))).is_ok());
    run(store.purge_calls_before(MIDNIGHT_MS + written)).unwrap();
    wait_for("healing", || ledger.accepting());
    store.flush(WAIT).unwrap();
    assert_eq!(
        (ledger.status().backlog, ledger.status().failure),
        (0, None)
    );
    let rest = run(store.usage(UsageQuery::default())).unwrap();
    assert_eq!(rest[0].calls, recorded - written);
}

#[test]
fn a_backlog_closes_the_door_and_opens_it_again() {
    let place = Place::new();
    let settings = StoreSettings {
        max_backlog: 100,
        flush_ms: 3_600_000,
        ..place.settings()
    };
    let store = Store::open(&place.path(), &place.key, settings).unwrap();
    let ledger = store.ledger();
    (0..74).for_each(|n| ledger.record(call(n)));
    assert!(ledger.accepting());
    ledger.record(call(74));
    assert!(!ledger.accepting());
    // Calls that were accepted before are kept, whatever the bound says.
    (75..300).for_each(|n| ledger.record(call(n)));
    store.flush(WAIT).unwrap();
    assert!(ledger.accepting());
    assert_eq!(
        run(store.usage(UsageQuery::default())).unwrap()[0].calls,
        300
    );
}

#[test]
fn dropping_the_last_handle_writes_what_waits() {
    let place = Place::new();
    let settings = StoreSettings {
        flush_ms: 3_600_000,
        ..place.settings()
    };
    let store = Store::open(&place.path(), &place.key, settings).unwrap();
    store.ledger().record(call(1));
    drop(store);
    let store = place.open();
    wait_for("the write", || run(store.call(call_id(1))).is_ok());
}

/// Set for the process that [`a_killed_process_loses_only_the_last_moments`] kills.
const VICTIM: &str = "WEIR_STORE_TEST_VICTIM";

#[test]
fn a_killed_process_loses_only_the_last_moments() {
    let place = Place::new();
    place.open().close(WAIT).unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::sqlite::victim", "--nocapture"])
        .env(VICTIM, place.path())
        .env("WEIR_STORE_TEST_KEY", place.key.to_hex().expose())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // "recorded N" comes half a second after call N was recorded: 200 ms until it is written, and the
    // rest for a busy machine.
    let mut told = 0_u64;
    let out = BufReader::new(victim.stdout.take().unwrap());
    for line in out.lines().map_while(Result::ok) {
        if let Some(number) = line.strip_prefix("recorded ") {
            told = number.parse().unwrap();
        }
        if told >= 500 {
            break;
        }
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    let store = place.open();
    let calls = run(store.usage(UsageQuery::default())).unwrap()[0].calls;
    assert!(calls > told, "{calls} of {told}");
    assert_eq!(run(store.call(call_id(told))), Ok(call(told)));
}

/// Records a call each millisecond until it is killed.
#[test]
fn victim() {
    let Ok(path) = std::env::var(VICTIM) else {
        return;
    };
    let key = MasterKey::from_hex(&std::env::var("WEIR_STORE_TEST_KEY").unwrap()).unwrap();
    let store = Store::open(Path::new(&path), &key, StoreSettings::default()).unwrap();
    let (start, ledger) = (Instant::now(), store.ledger());
    let mut times = Vec::new();
    let mut told = 0;
    while start.elapsed() < WAIT {
        ledger.record(call(times.len() as u64));
        times.push(Instant::now());
        while times[told].elapsed() > Duration::from_millis(500) {
            println!("recorded {told}");
            told += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// `cargo test -p weir-store --release -- --ignored --nocapture recording`
#[test]
#[ignore = "a measurement, to be read by hand in a release build"]
fn recording_takes_microseconds() {
    let place = Place::new();
    let store = Store::open(&place.path(), &place.key, StoreSettings::default()).unwrap();
    let ledger = store.ledger();
    let shared = call(0);
    let row = |n| CallRow {
        id: call_id(n),
        started_ms: MIDNIGHT_MS + n,
        ..shared.clone()
    };
    let before = cpu_micros();
    let start = Instant::now();
    let mut recording = Duration::ZERO;
    for chunk in 0..250 {
        let chunk: Vec<CallRow> = (chunk * 2_000..(chunk + 1) * 2_000).map(row).collect();
        let one = Instant::now();
        chunk.into_iter().for_each(|row| ledger.record(row));
        recording += one.elapsed();
        while ledger.status().backlog > 4_000 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    store.flush(WAIT).unwrap();
    println!(
        "wall {:?}, recording alone {:.3} µs a row",
        start.elapsed(),
        per_row(recording)
    );
    for (thread, cpu) in cpu_micros() {
        let spent = cpu - before.get(&thread).copied().unwrap_or(0.0);
        println!("CPU of {thread}: {:.2} µs a row", spent / 500_000.0);
    }
    let bytes = std::fs::metadata(place.path()).unwrap().len();
    println!("{} bytes a row", bytes / 500_000);
    let start = Instant::now();
    let rows = run(store.usage(UsageQuery {
        group_by: vec![Group::Tenant, Group::Model, Group::Day],
        ..UsageQuery::default()
    }));
    println!(
        "usage of all of it: {:?} ({} rows)",
        start.elapsed(),
        rows.unwrap().len()
    );
}

fn per_row(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6 / 500_000.0
}

/// User and system time of each thread of this process by its name, from `/proc`.
fn cpu_micros() -> BTreeMap<String, f64> {
    let mut threads = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        let (name, rest) = stat.rsplit_once(')').unwrap();
        let fields: Vec<f64> = rest
            .split_whitespace()
            .skip(11)
            .map(|field| field.parse().unwrap())
            .collect();
        let name = name.rsplit('(').next().unwrap();
        threads.insert(format!("{name} (user)"), fields[0] * 10_000.0);
        threads.insert(format!("{name} (system)"), fields[1] * 10_000.0);
    }
    threads
}

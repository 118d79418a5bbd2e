//! Opening a database: file mode, pragmas, migrations.

use std::fs::{OpenOptions, Permissions, set_permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::error::StoreError;

/// The schema's history: migration number N brings a database from version N to N + 1.
/// Append only: what was released is never edited.
const MIGRATIONS: [&str; 1] = [include_str!("../../migrations/0001_first.sql")];

/// How long a connection waits for another process, such as a backup.
const BUSY_TIMEOUT_MS: u32 = 5_000;

/// Of a new database. Larger than the default, because a page of the ledger is rewritten whenever it
/// overflows: four times the size costs a fifth less of the writer's time for a row.
const PAGE_BYTES: u32 = 16 << 10;

/// Pages in the write-ahead log before it is copied into the database. The ledger fills pages in
/// order: each is copied once, whenever that is.
const CHECKPOINT_PAGES: u32 = 1_000;

pub(super) fn to_write(path: &Path, max_bytes: Option<u64>) -> Result<Connection, StoreError> {
    make_private(path)?;
    let mut db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.pragma_update(None, "busy_timeout", BUSY_TIMEOUT_MS)?;
    db.pragma_update(None, "page_size", PAGE_BYTES)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // After a burst the log's file does not stay large for ever.
    db.pragma_update(None, "journal_size_limit", 64 << 20)?;
    if let Some(max_bytes) = max_bytes {
        let page_bytes: i64 = db.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let max_pages = i64::try_from(max_bytes).unwrap_or(i64::MAX) / page_bytes.max(1);
        db.pragma_update(
            None,
            "max_page_count",
            max_pages.clamp(1, i64::from(u32::MAX) - 1),
        )?;
    }
    migrate(&mut db)?;
    Ok(db)
}

pub(super) fn to_read(path: &Path) -> Result<Connection, StoreError> {
    // Not opened read-only: the first reader after a crash may have to recover the log.
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.pragma_update(None, "busy_timeout", BUSY_TIMEOUT_MS)?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

/// Makes the file, where there is none, and closes it to everyone but its owner. SQLite gives
/// its log the mode of the database.
fn make_private(path: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| {
        StoreError::Unavailable(format!("{} cannot be opened: {error}", path.display()))
    };
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)
}

fn migrate(db: &mut Connection) -> Result<(), StoreError> {
    let found: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for (version, migration) in (1..).zip(MIGRATIONS).skip(found as usize) {
        let step = db.transaction()?;
        step.execute_batch(migration)?;
        step.pragma_update(None, "user_version", version)?;
        step.commit()?;
    }
    Ok(())
}

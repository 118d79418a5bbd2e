//! The store in one SQLite file: write-ahead log, one connection that writes, one that reads.
//!
//! `synchronous = NORMAL`: a commit outlives the process from the moment it returns; a power cut
//! may take the commits since the last checkpoint, but never leaves the file broken.

mod calls;
mod documents;
mod open;
mod read_calls;
mod states;
mod trail;

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OptionalExtension, ffi, params};
use weir_base::CallId;

use crate::backend::{Backend, Change, Document};
use crate::call::CallRow;
use crate::entity::Kind;
use crate::error::StoreError;
use crate::query::{CallFilter, ListQuery, StateKind, StateRow, UsageQuery, UsageRow};
use calls::Deciders;

/// A connection to a SQLite database.
pub struct Sqlite {
    db: Connection,
    deciders: Deciders,
}

impl Sqlite {
    /// Opens a database to write to, makes it where there is none (mode 0600), and brings its
    /// schema up to date.
    ///
    /// # Errors
    /// [`StoreError::TooNew`], or why it cannot be opened.
    pub fn open(path: &Path, max_bytes: Option<u64>) -> Result<Self, StoreError> {
        Ok(Self {
            db: open::to_write(path, max_bytes)?,
            deciders: Deciders::default(),
        })
    }

    /// Opens a database that exists, to read only.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            db: open::to_read(path)?,
            deciders: Deciders::default(),
        })
    }
}

impl Backend for Sqlite {
    fn insert(&mut self, document: &Document) -> Result<(), StoreError> {
        documents::insert(&self.db, document)
    }

    fn put(&mut self, document: &Document) -> Result<(), StoreError> {
        documents::put(&self.db, document)
    }

    fn update(&mut self, kind: Kind, id: &str, change: Change<'_>) -> Result<(), StoreError> {
        documents::update(&mut self.db, kind, id, change)
    }

    fn delete(&mut self, kind: Kind, id: &str) -> Result<(), StoreError> {
        documents::delete(&mut self.db, kind, id)
    }

    fn get(&mut self, kind: Kind, id: &str) -> Result<Document, StoreError> {
        documents::get(&self.db, kind, id)
    }

    fn list(&mut self, kind: Kind, query: &ListQuery) -> Result<Vec<Document>, StoreError> {
        documents::list(&self.db, kind, query)
    }

    fn meta(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let select = "SELECT value FROM meta WHERE name = ?1";
        Ok(self
            .db
            .query_row(select, [name], |row| row.get(0))
            .optional()?)
    }

    fn set_meta(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let put = "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)";
        self.db.execute(put, params![name, value])?;
        Ok(())
    }

    fn save_states(
        &mut self,
        kind: StateKind,
        rows: &[StateRow],
        now_ms: u64,
    ) -> Result<(), StoreError> {
        states::save(&mut self.db, kind, rows, now_ms)
    }

    fn load_states(&mut self, kind: StateKind, now_ms: u64) -> Result<Vec<StateRow>, StoreError> {
        states::load(&self.db, kind, now_ms)
    }

    fn write_calls(&mut self, rows: &[CallRow]) -> Result<(), StoreError> {
        calls::write(&mut self.db, &mut self.deciders, rows)
    }

    fn calls(
        &mut self,
        filter: &CallFilter,
        before: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<CallRow>, StoreError> {
        read_calls::list(&self.db, filter, before, limit)
    }

    fn call(&mut self, id: CallId) -> Result<CallRow, StoreError> {
        read_calls::one(&self.db, id)
    }

    fn usage(&mut self, query: &UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
        read_calls::usage(&self.db, query)
    }

    fn purge_calls(&mut self, before_ms: u64, limit: u32) -> Result<u64, StoreError> {
        calls::purge(&self.db, before_ms, limit)
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        // A value that changes, or SQLite might find nothing to write.
        let probe = "INSERT INTO meta (name, value) VALUES ('probe', randomblob(8))
                     ON CONFLICT DO UPDATE SET value = excluded.value";
        self.db.execute(probe, [])?;
        Ok(())
    }
}

/// A number as SQLite keeps it. Nothing real is larger than 53 bits; what a provider makes up
/// must not turn the sums of a whole ledger into an overflow.
fn int(number: u64) -> i64 {
    const MAX: u64 = 1 << 53;
    i64::try_from(number.min(MAX)).unwrap_or(i64::MAX)
}

/// A number as it was before [`int`].
fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        match error {
            rusqlite::Error::QueryReturnedNoRows => Self::NotFound,
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::ConstraintViolation => Self::Conflict(text),
                ErrorCode::DiskFull | ErrorCode::ReadOnly => Self::Full(text),
                ErrorCode::TooBig => Self::Invalid(text),
                ErrorCode::SystemIoFailure => match failure.extended_code {
                    ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ => {
                        Self::Unavailable(text)
                    }
                    _ => Self::Full(text),
                },
                _ => Self::Unavailable(text),
            },
            _ => Self::Unavailable(text),
        }
    }
}

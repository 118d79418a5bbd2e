//! Saved states of counters and key-value stores.

use rusqlite::{Connection, params};

use super::{int, uint};
use crate::error::StoreError;
use crate::query::{StateKind, StateRow};

pub(super) fn save(
    db: &mut Connection,
    kind: StateKind,
    rows: &[StateRow],
    now_ms: u64,
) -> Result<(), StoreError> {
    let transaction = db.transaction()?;
    {
        let mut put = transaction.prepare_cached(
            "INSERT OR REPLACE INTO states (kind, key, value, expires_ms) VALUES (?1, ?2, ?3, ?4)",
        )?;
        let mut remove =
            transaction.prepare_cached("DELETE FROM states WHERE kind = ?1 AND key = ?2")?;
        for StateRow {
            key,
            value,
            expires_ms,
        } in rows
        {
            match value {
                Some(value) => {
                    put.execute(params![kind.code(), key, value, expires_ms.map(int)])?
                }
                None => remove.execute(params![kind.code(), key])?,
            };
        }
        transaction
            .prepare_cached("DELETE FROM states WHERE expires_ms <= ?1")?
            .execute([int(now_ms)])?;
    }
    Ok(transaction.commit()?)
}

pub(super) fn load(
    db: &Connection,
    kind: StateKind,
    now_ms: u64,
) -> Result<Vec<StateRow>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT key, value, expires_ms FROM states
         WHERE kind = ?1 AND (expires_ms IS NULL OR expires_ms > ?2)",
    )?;
    let rows = select.query_map(params![kind.code(), int(now_ms)], |row| {
        Ok(StateRow {
            key: row.get(0)?,
            value: row.get(1)?,
            expires_ms: row.get::<_, Option<i64>>(2)?.map(uint),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

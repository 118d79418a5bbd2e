//! Writing the ledger. This runs once per call on the gateway's own cores, so it is the one part
//! of the store where microseconds count.

use std::fmt::Write;
use std::sync::Arc;

use ahash::AHashMap;
use rusqlite::{Connection, Transaction, params};
use weir_base::CallId;

use super::{int, trail};
use crate::call::{CallRow, Decider};
use crate::error::StoreError;

/// The time of an id and the time of its call may differ by this much.
pub(super) const ID_SLACK_MS: u64 = 3_600_000;

/// Numbers of the deciders that this connection has already looked up, by their place in memory.
/// Each is kept alive here, so no other can take its place.
pub(super) type Deciders = AHashMap<usize, (Arc<Decider>, i64)>;

/// The most that are remembered; every reload brings new places for the same deciders.
const DECIDERS_MAX: usize = 4_096;

const INSERT: &str = "INSERT OR REPLACE INTO calls (id, started_ms, tenant, key, dialect,
    operation, model, channel, upstream_model, provider_key, status, ended, denied, streaming,
    client_ip, first_byte_ms, total_ms, input_tokens, output_tokens, cached_tokens,
    cache_write_tokens, reasoning_tokens, cost_micros, estimated, trail)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
    ?20, ?21, ?22, ?23, ?24, ?25)";

pub(super) fn write(
    db: &mut Connection,
    deciders: &mut Deciders,
    rows: &[CallRow],
) -> Result<(), StoreError> {
    let transaction = db.transaction()?;
    let written = write_all(&transaction, deciders, rows)
        .and_then(|()| transaction.commit().map_err(StoreError::from));
    if written.is_err() {
        // Numbers given out in a transaction that is undone were never given out.
        deciders.clear();
    }
    written
}

fn write_all(
    transaction: &Transaction<'_>,
    deciders: &mut Deciders,
    rows: &[CallRow],
) -> Result<(), StoreError> {
    let mut insert = transaction.prepare_cached(INSERT)?;
    let (mut address, mut text) = (String::new(), Vec::new());
    for row in rows {
        trail::write(&mut text, &row.attempts, &row.decisions, |by| {
            number_of(transaction, deciders, by)
        })?;
        let trail = std::str::from_utf8(&text).unwrap_or_default();
        address.clear();
        // Writing to a string cannot fail.
        let _ = write!(address, "{}", row.client_ip);
        let usage = &row.usage;
        insert.execute(params![
            row.id.to_bytes(),
            int(row.started_ms),
            &*row.tenant,
            &*row.key,
            &*row.dialect,
            row.operation.as_str(),
            &*row.model,
            row.channel.as_deref(),
            row.upstream_model.as_deref(),
            row.provider_key.as_deref(),
            row.status,
            row.ended.code(),
            row.denied.as_deref(),
            row.streaming,
            address,
            row.first_byte_ms,
            row.total_ms,
            int(usage.input_tokens),
            int(usage.output_tokens),
            int(usage.cached_tokens),
            int(usage.cache_write_tokens),
            int(usage.reasoning_tokens),
            int(usage.cost_micros),
            usage.estimated,
            trail,
        ])?;
    }
    Ok(())
}

/// The number that stands for a decider.
fn number_of(
    transaction: &Transaction<'_>,
    deciders: &mut Deciders,
    by: &Arc<Decider>,
) -> Result<i64, StoreError> {
    let place = Arc::as_ptr(by).addr();
    if let Some((_, number)) = deciders.get(&place) {
        return Ok(*number);
    }
    let words = params![&*by.hook, &*by.policy, &*by.digest];
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO ledger_deciders (hook, policy, digest) VALUES (?1, ?2, ?3)",
        )?
        .execute(words)?;
    let number = transaction
        .prepare_cached(
            "SELECT id FROM ledger_deciders WHERE hook = ?1 AND policy = ?2 AND digest = ?3",
        )?
        .query_row(words, |row| row.get(0))?;
    if deciders.len() >= DECIDERS_MAX {
        deciders.clear();
    }
    deciders.insert(place, (Arc::clone(by), number));
    Ok(number)
}

pub(super) fn purge(db: &Connection, before_ms: u64, limit: u32) -> Result<u64, StoreError> {
    let mut delete = db.prepare_cached(
        "DELETE FROM calls WHERE id IN
         (SELECT id FROM calls WHERE id < ?1 AND started_ms < ?2 ORDER BY id LIMIT ?3)",
    )?;
    let below = first_id(before_ms.saturating_add(ID_SLACK_MS));
    let purged = delete.execute(params![below.to_bytes(), int(before_ms), limit])?;
    Ok(purged as u64)
}

/// The lowest id that a call of this time can have: its first 48 bits are milliseconds.
pub(super) fn first_id(at_ms: u64) -> CallId {
    let mut bytes = [0; 16];
    let at_ms = at_ms.min((1 << 48) - 1) << 16;
    for (byte, time) in bytes.iter_mut().zip(at_ms.to_be_bytes()) {
        *byte = time;
    }
    CallId::from_bytes(bytes)
}

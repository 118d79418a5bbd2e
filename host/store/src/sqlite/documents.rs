//! Entities: one table per kind, all of one shape.

use rusqlite::{Connection, ErrorCode, Row, TransactionBehavior, ffi, params};

use crate::backend::{Change, Document};
use crate::entity::Kind;
use crate::error::StoreError;
use crate::query::ListQuery;

pub(super) fn insert(db: &Connection, document: &Document) -> Result<(), StoreError> {
    execute(db, &insert_sql(document.kind), document)
}

pub(super) fn put(db: &Connection, document: &Document) -> Result<(), StoreError> {
    let conflict = "ON CONFLICT (id) DO UPDATE SET parent = excluded.parent, name = excluded.name,
                    body = excluded.body, blob = excluded.blob";
    let put = format!("{} {conflict}", insert_sql(document.kind));
    execute(db, &put, document)
}

pub(super) fn update(
    db: &mut Connection,
    kind: Kind,
    id: &str,
    change: Change<'_>,
) -> Result<(), StoreError> {
    // Taking the write lock first: what is read here is what is changed.
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let changed = change(get(&transaction, kind, id)?)?;
    put(&transaction, &changed)?;
    Ok(transaction.commit()?)
}

pub(super) fn delete(db: &mut Connection, kind: Kind, id: &str) -> Result<(), StoreError> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let delete = format!("DELETE FROM {} WHERE id = ?1", kind.table());
    if transaction.execute(&delete, [id])? == 0 {
        return Err(StoreError::NotFound);
    }
    for child in kind.children() {
        let delete = format!("DELETE FROM {} WHERE parent = ?1", child.table());
        transaction.execute(&delete, [id])?;
    }
    Ok(transaction.commit()?)
}

pub(super) fn get(db: &Connection, kind: Kind, id: &str) -> Result<Document, StoreError> {
    let select = format!(
        "SELECT id, parent, name, body, blob FROM {} WHERE id = ?1",
        kind.table()
    );
    Ok(db
        .prepare_cached(&select)?
        .query_row([id], |row| document(kind, row))?)
}

pub(super) fn list(
    db: &Connection,
    kind: Kind,
    query: &ListQuery,
) -> Result<Vec<Document>, StoreError> {
    let blob = if kind.lists_blob() { "blob" } else { "NULL" };
    let select = format!(
        "SELECT id, parent, name, body, {blob} FROM {}
         WHERE (?1 IS NULL OR parent = ?1) AND (?2 IS NULL OR id > ?2) ORDER BY id LIMIT ?3",
        kind.table()
    );
    let mut select = db.prepare_cached(&select)?;
    let rows = select.query_map(params![query.parent, query.after, query.limit], |row| {
        document(kind, row)
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn insert_sql(kind: Kind) -> String {
    format!(
        "INSERT INTO {} (id, parent, name, body, blob) VALUES (?1, ?2, ?3, ?4, ?5)",
        kind.table()
    )
}

fn execute(db: &Connection, sql: &str, document: &Document) -> Result<(), StoreError> {
    let Document {
        kind,
        id,
        parent,
        name,
        body,
        blob,
    } = document;
    match db
        .prepare_cached(sql)?
        .execute(params![id, parent, name, body, blob])
    {
        Ok(_) => Ok(()),
        Err(rusqlite::Error::SqliteFailure(failure, _))
            if failure.code == ErrorCode::ConstraintViolation =>
        {
            // SQLite's own words name tables and columns, which are nobody's business outside.
            let taken = if failure.extended_code == ffi::SQLITE_CONSTRAINT_UNIQUE {
                format!(
                    "the name `{}` is taken",
                    name.as_deref().unwrap_or_default()
                )
            } else {
                format!("`{id}` exists already")
            };
            Err(StoreError::Conflict(format!("{taken} in {}", kind.table())))
        }
        Err(error) => Err(error.into()),
    }
}

fn document(kind: Kind, row: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document {
        kind,
        id: row.get(0)?,
        parent: row.get(1)?,
        name: row.get(2)?,
        body: row.get(3)?,
        blob: row.get(4)?,
    })
}

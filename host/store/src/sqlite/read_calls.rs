//! Reading the ledger, for administrators.
//!
//! Times are found by the ids, which begin with the time, and then compared exactly.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as AnyError, StrDeserializer};
use weir_base::{CallId, Operation, Usage};

use super::calls::{ID_SLACK_MS, first_id};
use super::{int, trail, uint};
use crate::call::{CallRow, Decider, Ended};
use crate::error::StoreError;
use crate::query::{CallFilter, Group, UsageQuery, UsageRow};

const SELECT: &str = "SELECT id, started_ms, tenant, key, dialect, operation, model, channel,
    upstream_model, provider_key, status, ended, denied, streaming, client_ip, first_byte_ms,
    total_ms, input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens,
    cost_micros, estimated, trail FROM calls";

const MAX_USAGE_ROWS: u32 = 10_000;

pub(super) fn list(
    db: &Connection,
    filter: &CallFilter,
    before: Option<CallId>,
    limit: u32,
) -> Result<Vec<CallRow>, StoreError> {
    let mut conditions = Conditions::default();
    conditions.times(filter.from_ms, filter.to_ms);
    if let Some(before) = before {
        conditions.add("id < ?", Value::Blob(before.to_bytes().to_vec()));
    }
    conditions.text("tenant = ?", filter.tenant.as_ref());
    conditions.text("key = ?", filter.key.as_ref());
    conditions.text("model = ?", filter.model.as_ref());
    conditions.text("channel = ?", filter.channel.as_ref());
    conditions.text("denied = ?", filter.denied.as_ref());
    conditions.number("status >= ?", filter.status_min.map(u64::from));
    conditions.number("status <= ?", filter.status_max.map(u64::from));
    let sql = format!(
        "{SELECT} {} ORDER BY id DESC LIMIT {limit}",
        conditions.clause()
    );
    let mut select = db.prepare(&sql)?;
    let rows = select.query_map(params_from_iter(conditions.values), call)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn one(db: &Connection, id: CallId) -> Result<CallRow, StoreError> {
    let mut select = db.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
    let (mut found, text) = select.query_row([id.to_bytes()], |row| {
        Ok((call(row)?, row.get::<_, String>("trail")?))
    })?;
    let (attempts, decisions) = trail::read(&text, |number| decider(db, number))?;
    found.attempts = attempts;
    found.decisions = decisions;
    Ok(found)
}

pub(super) fn usage(db: &Connection, query: &UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
    let mut conditions = Conditions::default();
    conditions.times(query.from_ms, query.to_ms);
    conditions.text("tenant = ?", query.tenant.as_ref());
    let mut columns = [
        Group::Tenant,
        Group::Key,
        Group::Model,
        Group::Channel,
        Group::Operation,
    ]
    .map(|group| {
        if query.group_by.contains(&group) {
            column(group)
        } else {
            "NULL"
        }
    })
    .to_vec();
    let times = query.group_by.iter().rev().find(|group| is_time(**group));
    columns.push(times.map_or("NULL", |group| column(*group)));
    // TOTAL sums as floating point: exact up to 53 bits, and beyond them it does not fail.
    let sums = ["input", "output", "cached", "cache_write", "reasoning"]
        .map(|kind| format!("CAST(TOTAL({kind}_tokens) AS INTEGER)"))
        .join(", ");
    let sql = format!(
        "SELECT {}, COUNT(*), TOTAL(ended = {}), TOTAL(ended IN ({}, {})), {sums},
         CAST(TOTAL(cost_micros) AS INTEGER), MAX(estimated)
         FROM calls {} GROUP BY 1, 2, 3, 4, 5, 6
         ORDER BY 6, 1, 2, 3, 4, 5 LIMIT {MAX_USAGE_ROWS}",
        columns.join(", "),
        Ended::Refused.code(),
        Ended::Failed.code(),
        Ended::UpstreamBroke.code(),
        conditions.clause(),
    );
    let mut select = db.prepare(&sql)?;
    let rows = select.query_map(params_from_iter(conditions.values), usage_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn is_time(group: Group) -> bool {
    matches!(group, Group::Day | Group::Hour)
}

fn column(group: Group) -> &'static str {
    match group {
        Group::Tenant => "tenant",
        Group::Key => "key",
        Group::Model => "model",
        Group::Channel => "channel",
        Group::Operation => "operation",
        Group::Day => "started_ms / 86400000 * 86400000",
        Group::Hour => "started_ms / 3600000 * 3600000",
    }
}

/// What must hold, as SQL, and the values in it.
#[derive(Default)]
struct Conditions {
    sql: Vec<&'static str>,
    values: Vec<Value>,
}

impl Conditions {
    fn add(&mut self, sql: &'static str, value: Value) {
        self.sql.push(sql);
        self.values.push(value);
    }

    fn text(&mut self, sql: &'static str, value: Option<&String>) {
        if let Some(value) = value {
            self.add(sql, Value::Text(value.clone()));
        }
    }

    fn number(&mut self, sql: &'static str, value: Option<u64>) {
        if let Some(value) = value {
            self.add(sql, Value::Integer(int(value)));
        }
    }

    fn times(&mut self, from_ms: Option<u64>, to_ms: Option<u64>) {
        if let Some(from_ms) = from_ms {
            let first = first_id(from_ms.saturating_sub(ID_SLACK_MS));
            self.add("id >= ?", Value::Blob(first.to_bytes().to_vec()));
        }
        if let Some(to_ms) = to_ms {
            let first = first_id(to_ms.saturating_add(ID_SLACK_MS));
            self.add("id < ?", Value::Blob(first.to_bytes().to_vec()));
        }
        self.number("started_ms >= ?", from_ms);
        self.number("started_ms < ?", to_ms);
    }

    fn clause(&self) -> String {
        if self.sql.is_empty() {
            return String::new();
        }
        format!("WHERE {}", self.sql.join(" AND "))
    }
}

/// A call without its trail.
fn call(row: &Row<'_>) -> rusqlite::Result<CallRow> {
    let shared = |text: Option<String>| text.map(Arc::<str>::from);
    let address: String = row.get("client_ip")?;
    Ok(CallRow {
        id: CallId::from_bytes(row.get("id")?),
        started_ms: uint(row.get("started_ms")?),
        tenant: row.get::<_, String>("tenant")?.into(),
        key: row.get::<_, String>("key")?.into(),
        dialect: Cow::Owned(row.get("dialect")?),
        operation: operation(&row.get::<_, String>("operation")?),
        model: row.get::<_, String>("model")?.into(),
        channel: shared(row.get("channel")?),
        upstream_model: shared(row.get("upstream_model")?),
        provider_key: shared(row.get("provider_key")?),
        status: row.get("status")?,
        ended: Ended::from_code(row.get("ended")?),
        denied: row.get::<_, Option<String>>("denied")?.map(Cow::Owned),
        streaming: row.get("streaming")?,
        client_ip: address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        attempts: Vec::new(),
        first_byte_ms: row.get("first_byte_ms")?,
        total_ms: row.get("total_ms")?,
        usage: Usage {
            input_tokens: uint(row.get("input_tokens")?),
            output_tokens: uint(row.get("output_tokens")?),
            cached_tokens: uint(row.get("cached_tokens")?),
            cache_write_tokens: uint(row.get("cache_write_tokens")?),
            reasoning_tokens: uint(row.get("reasoning_tokens")?),
            cost_micros: uint(row.get("cost_micros")?),
            estimated: row.get("estimated")?,
        },
        decisions: Vec::new(),
    })
}

fn usage_row(row: &Row<'_>) -> rusqlite::Result<UsageRow> {
    let count = |index: usize| row.get::<_, f64>(index).map(|count| count as u64);
    let sum = |index: usize| row.get::<_, i64>(index).map(uint);
    Ok(UsageRow {
        tenant: row.get(0)?,
        key: row.get(1)?,
        model: row.get(2)?,
        channel: row.get(3)?,
        operation: row
            .get::<_, Option<String>>(4)?
            .map(|name| operation(&name)),
        start_ms: row.get::<_, Option<i64>>(5)?.map(uint),
        calls: sum(6)?,
        refused: count(7)?,
        failed: count(8)?,
        usage: Usage {
            input_tokens: sum(9)?,
            output_tokens: sum(10)?,
            cached_tokens: sum(11)?,
            cache_write_tokens: sum(12)?,
            reasoning_tokens: sum(13)?,
            cost_micros: sum(14)?,
            estimated: row.get(15)?,
        },
    })
}

/// An operation by its name; one that a newer Weir wrote is `other`.
fn operation(name: &str) -> Operation {
    let name: StrDeserializer<'_, AnyError> = name.into_deserializer();
    Operation::deserialize(name).unwrap_or(Operation::Other)
}

fn decider(db: &Connection, number: i64) -> Result<Arc<Decider>, StoreError> {
    let found = db
        .prepare_cached("SELECT hook, policy, digest FROM ledger_deciders WHERE id = ?1")?
        .query_row([number], |row| {
            let text = |at| row.get::<_, String>(at);
            Ok((text(0)?, text(1)?, text(2)?))
        })
        .optional()?;
    let (hook, policy, digest) = found.unwrap_or_default();
    Ok(Arc::new(Decider {
        hook: Cow::Owned(hook),
        policy: policy.into(),
        digest: digest.into(),
    }))
}

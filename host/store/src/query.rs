//! What is asked of the store and comes back, other than entities and calls.

use serde::Serialize;
use weir_base::{Operation, Usage};

/// Which entries of a kind, and how many.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Only those that belong to this tenant, channel or policy.
    pub parent: Option<String>,
    /// Only those after this cursor, which is [`Page::next`] of the page before.
    pub after: Option<String>,
    /// At most this many; 0 means 100, and 1,000 is the most.
    pub limit: u32,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The entries, in the order of their ids.
    pub items: Vec<T>,
    /// The cursor of the next page; none on the last.
    pub next: Option<String>,
}

/// Which calls. Every condition that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field but these says it with its name")]
pub struct CallFilter {
    pub tenant: Option<String>,
    pub key: Option<String>,
    pub model: Option<String>,
    pub channel: Option<String>,
    /// Lowest status, inclusive.
    pub status_min: Option<u16>,
    /// Highest status, inclusive.
    pub status_max: Option<u16>,
    /// The code of the refusal.
    pub denied: Option<String>,
    /// Started at or after, in milliseconds since the epoch.
    pub from_ms: Option<u64>,
    /// Started before, in milliseconds since the epoch.
    pub to_ms: Option<u64>,
}

/// What usage is summed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is its own name")]
pub enum Group {
    Tenant,
    Key,
    Model,
    Channel,
    Operation,
    /// Days of UTC.
    Day,
    Hour,
}

/// Whose usage, when, and summed by what.
#[derive(Debug, Clone, Default)]
pub struct UsageQuery {
    /// No group gives one row for everything, if there is anything. Of `Day` and `Hour` the last one counts.
    pub group_by: Vec<Group>,
    /// Started at or after, in milliseconds since the epoch.
    pub from_ms: Option<u64>,
    /// Started before, in milliseconds since the epoch.
    pub to_ms: Option<u64>,
    /// Only this tenant's.
    pub tenant: Option<String>,
}

/// One sum. What was not grouped by is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each field but these says it with its name")]
pub struct UsageRow {
    pub tenant: Option<String>,
    pub key: Option<String>,
    pub model: Option<String>,
    /// Also none for calls that reached no channel.
    pub channel: Option<String>,
    pub operation: Option<Operation>,
    /// Begin of the day or hour, in milliseconds since the epoch.
    pub start_ms: Option<u64>,
    pub calls: u64,
    /// Calls that Weir or a policy refused.
    pub refused: u64,
    /// Calls that got no reply, or whose provider broke off.
    pub failed: u64,
    /// Tokens and cost; `estimated` where any call's were.
    pub usage: Usage,
}

/// Whose state is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is its own name")]
pub enum StateKind {
    Counter,
    KeyValue,
}

impl StateKind {
    pub(crate) fn code(self) -> u8 {
        match self {
            StateKind::Counter => 0,
            StateKind::KeyValue => 1,
        }
    }
}

/// One saved state, whose meaning is the saver's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRow {
    /// Unique within its kind.
    pub key: String,
    /// None removes it.
    pub value: Option<Vec<u8>>,
    /// When it loses its meaning and may be dropped, in milliseconds since the epoch.
    pub expires_ms: Option<u64>,
}

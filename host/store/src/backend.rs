//! What a database must offer to keep Weir's store: small, blocking, and told nothing of what
//! entities mean. SQLite implements it; the suite in `tests/suite.rs` of this crate says how it must behave.

use weir_base::CallId;

use crate::call::CallRow;
use crate::entity::Kind;
use crate::error::StoreError;
use crate::query::{CallFilter, ListQuery, StateKind, StateRow, UsageQuery, UsageRow};

/// An entity as a database sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Which kind of entity.
    pub kind: Kind,
    /// Unique within the kind.
    pub id: String,
    /// The id of what it belongs to, or empty.
    pub parent: String,
    /// Unique within the parent, where it is given.
    pub name: Option<String>,
    /// The entity as JSON, without what is in `blob`.
    pub body: String,
    /// What is not text.
    pub blob: Option<Vec<u8>>,
}

/// A change of one document, made while nothing else can change it.
pub type Change<'a> = &'a mut dyn FnMut(Document) -> Result<Document, StoreError>;

/// A database. Each method that changes something does all of it or nothing, and what it has
/// done outlives the process from the moment it returns. Errors are as [`StoreError`] says.
#[expect(
    clippy::missing_errors_doc,
    reason = "the line above holds for every method"
)]
pub trait Backend: Send {
    /// Stores a new document; a conflict where its id, or its name within its parent, is taken.
    fn insert(&mut self, document: &Document) -> Result<(), StoreError>;

    /// Stores a document in place of the one with its id, if there is one.
    fn put(&mut self, document: &Document) -> Result<(), StoreError>;

    /// Changes a document; [`StoreError::NotFound`] where there is none.
    fn update(&mut self, kind: Kind, id: &str, change: Change<'_>) -> Result<(), StoreError>;

    /// Removes a document and what belongs to it; [`StoreError::NotFound`] where there is none.
    fn delete(&mut self, kind: Kind, id: &str) -> Result<(), StoreError>;

    /// One document with its blob.
    fn get(&mut self, kind: Kind, id: &str) -> Result<Document, StoreError>;

    /// Documents in the order of their ids, at most `query.limit`, blobs only where
    /// [`Kind::lists_blob`].
    fn list(&mut self, kind: Kind, query: &ListQuery) -> Result<Vec<Document>, StoreError>;

    /// A fact about the database itself.
    fn meta(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Sets a fact about the database itself.
    fn set_meta(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError>;

    /// Saves states and drops those that have expired by `now_ms`.
    fn save_states(
        &mut self,
        kind: StateKind,
        rows: &[StateRow],
        now_ms: u64,
    ) -> Result<(), StoreError>;

    /// All states of a kind that have not expired by `now_ms`.
    fn load_states(&mut self, kind: StateKind, now_ms: u64) -> Result<Vec<StateRow>, StoreError>;

    /// Writes rows of the ledger. A row whose id is there already replaces it, so that a batch
    /// whose fate is unknown can be written again.
    fn write_calls(&mut self, rows: &[CallRow]) -> Result<(), StoreError>;

    /// Calls before the cursor, newest first, without attempts and decisions.
    fn calls(
        &mut self,
        filter: &CallFilter,
        before: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<CallRow>, StoreError>;

    /// One call with its attempts and decisions.
    fn call(&mut self, id: CallId) -> Result<CallRow, StoreError>;

    /// Sums over the ledger, at most 10,000 rows, in the order of what is grouped by.
    fn usage(&mut self, query: &UsageQuery) -> Result<Vec<UsageRow>, StoreError>;

    /// Drops at most `limit` calls that started before `before_ms`; returns how many went.
    fn purge_calls(&mut self, before_ms: u64, limit: u32) -> Result<u64, StoreError>;

    /// Writes something, to find out whether writing is possible.
    fn probe(&mut self) -> Result<(), StoreError>;
}

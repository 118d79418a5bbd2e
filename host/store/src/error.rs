//! Why the store did not do what it was asked.

/// A failure of the store. No variant holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing has this id.
    #[error("there is no such entry")]
    NotFound,
    /// Something else already has what must be unique; the text says what.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The value itself cannot be stored; the text says why.
    #[error("invalid: {0}")]
    Invalid(String),
    /// The disk, or the room given to the database, is full, or cannot be written.
    #[error("the database cannot be written: {0}")]
    Full(String),
    /// The database cannot be reached, read or trusted, or the store is closed.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The database was written by a newer Weir.
    #[error(
        "the database has schema version {found}, this program knows up to {known}: start a \
             newer weir, or restore the database from before the upgrade"
    )]
    TooNew {
        /// The database's version.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// The provider keys in the database were encrypted with another master key.
    #[error("the master key is not the one this database was made with")]
    WrongMasterKey,
}

impl StoreError {
    pub(crate) fn closed() -> Self {
        Self::Unavailable("it is closed".to_owned())
    }
}

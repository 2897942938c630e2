//! What can stop a transaction of ours. What a database refuses is already told as the outside sees it when it gets here; what can be wrong
//! with a connection, a catalog or a plan is told beside each.

use rowmesh_core::store::StoreError;
use rowmesh_core::value::Value;
use thiserror::Error;

use crate::registry::TableNumber;

/// Result of the engine's rooms.
pub type Result<T> = std::result::Result<T, Error>;

/// What can stop a transaction of ours.
#[derive(Debug, Error)]
pub enum Error {
    /// A table of ours holds what we did not write.
    #[error("{what} is damaged")]
    Damaged {
        /// Which.
        what: &'static str,
        /// How it shows.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Our tables contradict one another.
    #[error("rowmesh's tables contradict one another: {0}")]
    Inconsistent(&'static str),
    /// A row stands in a table that no trigger told of: it must be sealed before anything is applied over it.
    #[error("a row of table {table:?} was written unnoticed")]
    Unnoticed {
        /// The table.
        table: TableNumber,
        /// The row's key.
        key: Vec<Value>,
    },
    /// The application's schema is not the one that was followed last.
    #[error("the schema keeps changing: waiting until a migration is over")]
    SchemaMoved,
    /// Nothing is wrong but that the transaction took a short way which turned out to be none: it is to be begun anew.
    #[error("a transaction has to be begun anew")]
    StartOver,
    /// Already as the outside sees it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// A table of ours holds bytes that nobody writes.
    pub fn damaged(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Damaged { what, source: source.into() }
    }

    /// Our tables contradict one another.
    pub fn inconsistent(what: &'static str) -> Error {
        Error::Inconsistent(what)
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> StoreError {
        match error {
            Error::Store(error) => error,
            Error::Damaged { .. } | Error::Inconsistent(_) => {
                StoreError::broken("RM9101", error.to_string()).because(error)
            }
            Error::Unnoticed { .. } => StoreError::transient("RM5104", error.to_string()).because(error),
            Error::StartOver => StoreError::transient("RM5101", error.to_string()).because(error),
            Error::SchemaMoved => StoreError::transient("RM2115", error.to_string()).because(error),
        }
    }
}

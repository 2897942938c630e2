//! Errors of the sealing and applying half of this crate, and what each means outside: a code, who can act, and what to do.
//! What can be wrong with a connection, a catalog or a plan is told in `error`.

use rowmesh_core::store::StoreError;
use rusqlite::ErrorCode;
use thiserror::Error;

use crate::registry::TableNumber;
use rowmesh_core::value::Value;

/// Result of this half of the crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can stop a transaction of ours.
#[derive(Debug, Error)]
pub enum Error {
    /// SQLite refused.
    #[error("sqlite refused a statement")]
    Sqlite(#[from] rusqlite::Error),
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

impl From<rusqlite::types::FromSqlError> for Error {
    fn from(source: rusqlite::types::FromSqlError) -> Error {
        Error::Damaged { what: "a value in rowmesh's tables", source: source.into() }
    }
}

impl From<crate::error::Error> for Error {
    fn from(error: crate::error::Error) -> Error {
        Error::Store(error.into())
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> StoreError {
        match error {
            Error::Store(error) => error,
            Error::Sqlite(source) => of_sqlite(source),
            Error::Damaged { .. } | Error::Inconsistent(_) => {
                StoreError::broken("RM9101", error.to_string()).because(error)
            }
            Error::Unnoticed { .. } => StoreError::transient("RM5104", error.to_string()).because(error),
        }
    }
}

/// Whether the disk is full. That the shared memory of a WAL could not grow is told as an I/O error.
pub fn is_disk_full(source: &rusqlite::Error) -> bool {
    let extended = source.sqlite_error().map(|error| error.extended_code);
    source.sqlite_error_code() == Some(ErrorCode::DiskFull) || extended == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}

/// What SQLite's refusal means for the daemon.
pub fn of_sqlite(source: rusqlite::Error) -> StoreError {
    let error = match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::transient("RM5101", "the database is locked by another connection")
        }
        _ if is_disk_full(&source) => StoreError::needs_person(
            "RM8102",
            "the disk that holds the database is full; nothing is lost, sending and receiving wait",
            "free some space; it goes on by itself",
        ),
        Some(ErrorCode::ReadOnly) => StoreError::needs_person(
            "RM3201",
            "the database cannot be written: it is read-only for this user",
            "give the user that runs rowmesh write access to the file and its folder",
        ),
        Some(ErrorCode::SystemIoFailure) => StoreError::needs_person(
            "RM8103",
            "the disk under the database fails, or may not be written any more",
            "check the disk, and whether it is mounted read-only; rowmesh doctor and PRAGMA integrity_check tell whether the file is whole",
        ),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StoreError::needs_person(
            "RM1203",
            "the file is not a SQLite database, or is damaged",
            "restore it from a backup, or join again with an empty one",
        ),
        Some(ErrorCode::CannotOpen) => StoreError::needs_person(
            "RM1202",
            "the database file cannot be opened",
            "check the path and the rights on its folder",
        ),
        _ => StoreError::broken("RM9102", "sqlite refused a statement of rowmesh"),
    };
    error.because(source)
}

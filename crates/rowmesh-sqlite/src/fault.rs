//! What SQLite's refusals mean outside: a code, who can act, and what to do. What can be wrong with a connection, a catalog or a plan is told
//! in `error`.

use rowmesh_core::store::StoreError;
use rowmesh_engine::fault;
use rusqlite::ErrorCode;

/// Says what a refusal means outside.
pub trait Told<T> {
    /// The same result, with what SQLite said told as the outside sees it.
    fn told(self) -> fault::Result<T>;
}

impl<T> Told<T> for rusqlite::Result<T> {
    fn told(self) -> fault::Result<T> {
        self.map_err(|source| of_sqlite(source).into())
    }
}

impl<T> Told<T> for crate::error::Result<T> {
    fn told(self) -> fault::Result<T> {
        self.map_err(|error| StoreError::from(error).into())
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

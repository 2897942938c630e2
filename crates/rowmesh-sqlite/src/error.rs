//! What can be wrong with a connection, a catalog, a plan or the capture, each with its code, who can act, and what to do. What stops
//! sealing and applying is told in the engine's `fault`; what SQLite's own refusals mean in ours. Retries nothing and logs nothing.
//!
//! | code | what |
//! |---|---|
//! | RM1202 | no database file there, or it may not be opened |
//! | RM1203 | the file is no SQLite database, or it is encrypted, or damaged |
//! | RM1204 | the folder of the database is missing |
//! | RM1205 | the file lies on a network file system |
//! | RM1206 | the file was made for a newer SQLite |
//! | RM2101 | table not tracked: a virtual table, or part of one |
//! | RM2103 | table not tracked: no key |
//! | RM2104 | table not tracked: more key columns than a dirty key has places for |
//! | RM2105 | table not tracked: NULL in its key |
//! | RM2106 | table not tracked: the key declared for it cannot be one |
//! | RM2107 | triggers vanished |
//! | RM2108 | tables of ours vanished |
//! | RM2109 | not attached |
//! | RM2110 | tables of the application bear our names |
//! | RM2111 | table not tracked: no statement of ours can write it |
//! | RM2112 | table not tracked: its names or columns exceed a limit |
//! | RM2113 | another file stands where the database was |
//! | RM2114 | attached by a newer Rowmesh |
//! | RM3201 | the database is read-only for this user |
//! | RM9104 | this program was built with a SQLite that is too old |

use std::path::PathBuf;

use rowmesh_core::store::StoreError;
use rusqlite::ErrorCode;

use crate::fault::{is_disk_full, of_sqlite};

/// Result of this half of the crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can be wrong with a connection, a catalog, a plan or the capture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No file where the database should be.
    #[error("no database at {}", .0.display())]
    Missing(PathBuf),
    /// Not even the folder.
    #[error("the folder of {} does not exist", .0.display())]
    FolderMissing(PathBuf),
    /// Something else than a database.
    #[error("{0} is not a SQLite database, or it is encrypted")]
    NotADatabase(String),
    /// A file system whose locks cannot be relied on.
    #[error("{} lies on {kind}, a network file system", path.display())]
    NetworkFileSystem {
        /// The database.
        path: PathBuf,
        /// Type of the file system.
        kind: String,
    },
    /// A file format from the future.
    #[error("{0} was made for a newer SQLite than {version}", version = rusqlite::version())]
    NewerFormat(String),
    /// Linked against a SQLite that is known to damage databases.
    #[error("this program was built with SQLite {0}, which is too old")]
    LibraryTooOld(String),
    /// Readable only.
    #[error("{0} is read-only for this user")]
    ReadOnly(String),
    /// The database has none of our tables.
    #[error("this database is not attached")]
    NotAttached,
    /// The application has tables with our prefix.
    #[error("the database has tables named {} that are not Rowmesh's", .0.join(", "))]
    NamesTaken(Vec<String>),
    /// Our triggers have a version that this program does not know.
    #[error("this database was attached by a newer Rowmesh (capture {found}, known {known})")]
    NewerRowmesh {
        /// Version found.
        found: u32,
        /// Highest version known.
        known: u32,
    },
    /// The path leads to another file than the one that is open.
    #[error("another file stands where the database was: {}", .0.display())]
    FileReplaced(PathBuf),
    /// SQLite refused.
    #[error("sqlite refused a statement")]
    Sqlite(#[from] rusqlite::Error),
}

impl Error {
    /// Stable code, `RM` and four digits.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Missing(_) => "RM1202",
            Error::NotADatabase(_) => "RM1203",
            Error::FolderMissing(_) => "RM1204",
            Error::NetworkFileSystem { .. } => "RM1205",
            Error::NewerFormat(_) => "RM1206",
            Error::NotAttached => "RM2109",
            Error::NamesTaken(_) => "RM2110",
            Error::FileReplaced(_) => "RM2113",
            Error::NewerRowmesh { .. } => "RM2114",
            Error::ReadOnly(_) => "RM3201",
            Error::LibraryTooOld(_) => "RM9104",
            Error::Sqlite(source) => code_of_sqlite(source),
        }
    }

    /// What a person can do, in one sentence. What SQLite refused has its remedy once it is a [`StoreError`].
    pub fn remedy(&self) -> &'static str {
        match self {
            Error::Missing(_) => "check the path, or let the application create its database first",
            Error::FolderMissing(_) => "check the path, or mount the folder",
            Error::NotADatabase(_) => "name the application's SQLite file; encrypted databases cannot be attached",
            Error::NetworkFileSystem { .. } => {
                "move the database to a local disk: locks of network file systems are not reliable enough for two programs"
            }
            Error::NewerFormat(_) | Error::NewerRowmesh { .. } => "install the newest Rowmesh",
            Error::LibraryTooOld(_) => "build Rowmesh with its bundled SQLite",
            Error::ReadOnly(_) => "give the user that runs rowmesh write access to the file and its folder",
            Error::NotAttached => "rowmesh up",
            Error::NamesTaken(_) => "rename these tables: names that begin with rowmesh_ are Rowmesh's own",
            Error::FileReplaced(_) => "restart Rowmesh, so that it looks at the new file from the start",
            Error::Sqlite(_) => "",
        }
    }

    /// Whether waiting is all that is needed.
    pub fn is_lock(&self) -> bool {
        matches!(self, Error::Sqlite(source) if code_of_sqlite(source) == LOCKED)
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> StoreError {
        let (code, message, remedy) = (error.code(), error.to_string(), error.remedy());
        match error {
            Error::Sqlite(source) => of_sqlite(source),
            Error::LibraryTooOld(_) => StoreError { remedy: remedy.to_owned(), ..StoreError::broken(code, message) },
            _ => StoreError::needs_person(code, message, remedy),
        }
    }
}

const LOCKED: &str = "RM5101";

fn code_of_sqlite(source: &rusqlite::Error) -> &'static str {
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LOCKED,
        _ if is_disk_full(source) => "RM8102",
        Some(ErrorCode::SystemIoFailure) => "RM8103",
        Some(ErrorCode::ReadOnly) => "RM3201",
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => "RM1203",
        Some(ErrorCode::CannotOpen) => "RM1202",
        _ => "RM9102",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowmesh_core::store::StoreErrorKind;
    use rusqlite::ffi;

    fn said(code: i32) -> Error {
        Error::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn what_sqlite_refuses_has_one_code_inside_and_outside() {
        let all = [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_FULL,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_NOTADB,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_IOERR,
            ffi::SQLITE_ERROR,
        ];
        for code in all {
            assert_eq!(said(code).code(), StoreError::from(said(code)).code, "SQLite code {code}");
        }
    }

    #[test]
    fn only_a_lock_passes_by_itself() {
        assert!(said(ffi::SQLITE_BUSY).is_lock());
        assert!(!said(ffi::SQLITE_FULL).is_lock());
        let shown = StoreError::from(Error::ReadOnly("app.db".into()));
        assert_eq!((shown.code, shown.kind), ("RM3201", StoreErrorKind::NeedsPerson));
        assert_eq!(shown.message, "app.db is read-only for this user");
        assert!(!shown.remedy.is_empty());
    }
}

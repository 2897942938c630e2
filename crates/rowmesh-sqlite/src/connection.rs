//! Opens the daemon's connections, always with the same settings, and says exactly why where that is not possible. Creates no file and
//! no table; what stands in the database is not its business.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{Error, Result};
use crate::filesystem::{self, Verdict};

/// Where a database is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Location {
    /// A file.
    File(PathBuf),
    /// A SQLite URI, such as `file:/name?vfs=memdb` for a database that the connections of one process share.
    Uri(String),
}

/// How long a statement of ours waits for a lock before it gives way: our transactions are short and can be repeated.
pub const LOCK_PATIENCE: Duration = Duration::from_millis(250);

/// The oldest SQLite that does not damage a WAL under two writers (3.51.3).
const LIBRARY_VERSION_MIN: i32 = 3_051_003;

impl Location {
    /// The file, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Location::File(path) => Some(path),
            Location::Uri(_) => None,
        }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Location::File(path) => path.display().fmt(f),
            Location::Uri(uri) => f.write_str(uri),
        }
    }
}

/// Opens a connection of the daemon: durable commits, no enforcement of foreign keys, and no trigger fires but TEMP ones.
///
/// # Errors
/// If the database is not there, is none, cannot be written, or lies on a network file system.
pub fn open_daemon(location: &Location) -> Result<Connection> {
    check_place(location)?;
    open_anywhere(location)
}

/// The same without asking what file system the database lies on: for a person who knows better.
///
/// # Errors
/// If the database is not there, is none, or cannot be written.
pub fn open_anywhere(location: &Location) -> Result<Connection> {
    if rusqlite::version_number() < LIBRARY_VERSION_MIN {
        return Err(Error::LibraryTooOld(rusqlite::version().to_owned()));
    }
    let connection = connect(location)?;
    configure(&connection).and_then(|()| probe(&connection)).map_err(|source| explain(location, source))?;
    if connection.is_readonly("main")? {
        return Err(Error::ReadOnly(location.to_string()));
    }
    Ok(connection)
}

/// Whether the database is there and lies where the locks of two programs can be relied on.
///
/// # Errors
/// If it is not, or does not.
pub fn check_place(location: &Location) -> Result<()> {
    let Location::File(path) = location else { return Ok(()) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Error::FolderMissing(path.clone()));
    }
    let real = path.canonicalize().map_err(|_| Error::Missing(path.clone()))?;
    match filesystem::judge(&real) {
        Verdict::Network(kind) => Err(Error::NetworkFileSystem { path: path.clone(), kind }),
        Verdict::Local | Verdict::Unknown => Ok(()),
    }
}

/// Begins a transaction that writes, waiting at most `patience` for the lock.
///
/// # Errors
/// If another connection holds the lock that long ([`Error::is_lock`]).
pub fn begin_immediate(connection: &Connection, patience: Duration) -> Result<()> {
    connection.busy_timeout(patience)?;
    let begun = connection.execute_batch("BEGIN IMMEDIATE");
    connection.busy_timeout(LOCK_PATIENCE)?;
    Ok(begun?)
}

/// Journal mode, lower case: `wal`, `delete`, `memory` …
///
/// # Errors
/// If the database cannot be read.
pub fn journal_mode(connection: &Connection) -> Result<String> {
    Ok(connection.query_row("PRAGMA main.journal_mode", [], |row| row.get(0))?)
}

/// Switches the database to WAL mode, for all programs and for good, where its file system can do it. Returns whether it is on now.
///
/// # Errors
/// If another connection is using the database.
pub fn switch_to_wal(connection: &Connection) -> Result<bool> {
    let mode: String = connection.query_row("PRAGMA main.journal_mode = WAL", [], |row| row.get(0))?;
    Ok(mode == "wal")
}

fn connect(location: &Location) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match location {
        Location::File(path) => {
            Connection::open_with_flags(path, flags).map_err(|source| match source.sqlite_error_code() {
                Some(ErrorCode::CannotOpen) if !path.exists() => Error::Missing(path.clone()),
                _ => explain(location, source),
            })
        }
        Location::Uri(uri) => {
            let flags = flags | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_CREATE;
            Connection::open_with_flags(uri, flags).map_err(|source| explain(location, source))
        }
    }
}

/// Kibibytes of pages that a connection of ours keeps: what a changeset of 5,000 rows touches fits. With SQLite's 2 MB most pages of such a
/// transaction go to the disk and come back several times before it ends.
const CACHE_KIB: u32 = 16_000;

/// Sets everything that the result of a statement of ours may depend on, whatever the library's defaults are. Text in double quotes stays
/// allowed, since the application's own triggers and checks may hold some.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(LOCK_PATIENCE)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // MATCH in a carried trigger counts as unsafe otherwise. What is trusted with it is SQLite's own functions only: none other is
    // registered on this connection, and those that reach outside the database stay forbidden in a schema.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, false)?;
    connection.execute_batch(&format!("PRAGMA cache_size = -{CACHE_KIB}"))?;
    connection.execute_batch(
        "PRAGMA foreign_keys = OFF;
         PRAGMA synchronous = FULL;
         PRAGMA recursive_triggers = OFF;
         PRAGMA temp_store = MEMORY;",
    )
}

/// SQLite opens lazily: only a read tells whether the file is a database.
fn probe(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("SELECT count(*) FROM main.sqlite_master", [], |_| Ok(()))
}

fn explain(location: &Location, source: rusqlite::Error) -> Error {
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Error::NotADatabase(location.to_string()),
        Some(ErrorCode::ReadOnly) => Error::ReadOnly(location.to_string()),
        // The file can be read: what could not be opened are the files that SQLite makes beside it.
        Some(ErrorCode::CannotOpen) if location.path().is_some_and(is_readable_file) => {
            Error::ReadOnly(location.to_string())
        }
        _ if source.to_string().contains("unsupported file format") => Error::NewerFormat(location.to_string()),
        _ => Error::Sqlite(source),
    }
}

fn is_readable_file(path: &Path) -> bool {
    path.is_file() && std::fs::File::open(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(path: &Path) -> &'static str {
        open_daemon(&Location::File(path.to_owned())).expect_err("must be refused").code()
    }

    #[test]
    fn reasons_not_to_open_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(code(&at("no/such/app.db")), "RM1204");
        assert_eq!(code(&at("missing.db")), "RM1202");
        assert!(!at("missing.db").exists(), "looking must not create the file");
        std::fs::write(
            at("text.db"),
            "not a database, but long enough to have a header of a hundred bytes ".repeat(40),
        )
        .unwrap();
        assert_eq!(code(&at("text.db")), "RM1203");
    }

    #[test]
    fn a_database_of_a_newer_format_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY)").unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[47] = 9; // schema format number, of which this library knows 1 to 4
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(code(&path), "RM1206");
    }

    #[test]
    fn a_read_only_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY)").unwrap();
        let uri = format!("file:{}?immutable=1", path.display());
        assert_eq!(open_daemon(&Location::Uri(uri)).expect_err("must be refused").code(), "RM3201");
    }

    #[test]
    fn b10_the_library_is_one_that_does_not_damage_a_wal_under_two_writers() {
        assert!(rusqlite::version_number() >= LIBRARY_VERSION_MIN, "{}", rusqlite::version());
    }

    #[test]
    fn settings_do_not_depend_on_the_defaults_of_the_library() {
        let connection = open_daemon(&Location::Uri("file:/settings?vfs=memdb".into())).unwrap();
        let number =
            |pragma: &str| -> i64 { connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).unwrap() };
        assert_eq!((number("foreign_keys"), number("synchronous"), number("recursive_triggers")), (0, 2, 0));
        assert!(!connection.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER).unwrap());
        assert!(connection.db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE).unwrap());
    }

    #[test]
    fn k23_a_schema_cannot_reach_outside_its_database() {
        let connection = open_daemon(&Location::Uri("file:/outside?vfs=memdb".into())).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t (id INTEGER PRIMARY KEY);
                 CREATE TEMP TRIGGER x AFTER INSERT ON main.t BEGIN SELECT load_extension('/tmp/evil.so'); END;",
            )
            .unwrap();
        let refused =
            connection.execute("INSERT INTO t VALUES (1)", []).expect_err("no extension is loaded").to_string();
        assert!(refused.contains("unsafe use of load_extension") || refused.contains("not authorized"), "{refused}");
    }

    #[test]
    fn with_triggers_off_only_temp_triggers_fire() {
        let connection = open_daemon(&Location::Uri("file:/triggers?vfs=memdb".into())).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE log (who TEXT);
                 CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('main'); END;
                 CREATE TEMP TRIGGER b AFTER INSERT ON main.t BEGIN INSERT INTO log VALUES ('temp'); END;
                 INSERT INTO t VALUES (1);",
            )
            .unwrap();
        let who: String = connection.query_row("SELECT group_concat(who) FROM log", [], |row| row.get(0)).unwrap();
        assert_eq!(who, "temp");
    }

    #[test]
    fn a_lock_of_the_application_is_waited_for_only_so_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let application = Connection::open(&path).unwrap();
        application
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY); BEGIN IMMEDIATE")
            .unwrap();
        let daemon = open_daemon(&Location::File(path)).unwrap();
        let refused = begin_immediate(&daemon, Duration::ZERO).expect_err("the application holds the lock");
        assert!(refused.is_lock());
        application.execute_batch("COMMIT").unwrap();
        begin_immediate(&daemon, Duration::ZERO).unwrap();
        assert!(!daemon.is_autocommit());
    }

    #[test]
    fn wal_is_switched_on_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY)").unwrap();
        let daemon = open_daemon(&Location::File(path)).unwrap();
        assert_eq!(journal_mode(&daemon).unwrap(), "delete");
        assert!(switch_to_wal(&daemon).unwrap());
        assert_eq!(journal_mode(&daemon).unwrap(), "wal");
    }
}

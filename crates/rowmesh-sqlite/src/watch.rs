//! Notices that a database has moved: rows, schema, or the file itself. Looks only: what is to be done about it is done in `attach` and by
//! the engine.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::connection::Location;
use crate::error::Result;

/// What a connection remembers between looks.
#[derive(Debug)]
pub struct Watch {
    file: Option<(PathBuf, Option<FileIdentity>)>,
    touched: Option<Touched>,
    data_version: i64,
    schema_version: i64,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Another connection has committed since the last look.
    pub data_changed: bool,
    /// The schema is not the one that was last followed.
    pub schema_changed: bool,
    /// Somebody wrote to the file itself, as a checkpoint does, and as a copy does that SQLite knows nothing of.
    pub file_touched: bool,
    /// What stands where the database was opened.
    pub file: FileState,
}

/// What stands at the path of an open database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// The same file, or one that has no path.
    Same,
    /// Another file: the open one is no longer what the application uses.
    Replaced,
    /// No file.
    Missing,
}

impl Watch {
    /// Begins to watch a database that was just opened. Its schema counts as not followed yet.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn begin(connection: &Connection, location: &Location) -> Result<Watch> {
        let file = location.path().map(|path| (path.to_owned(), FileIdentity::of(path)));
        let touched = location.path().and_then(Touched::of);
        Ok(Watch { file, touched, data_version: data_version(connection)?, schema_version: -1 })
    }

    /// Looks. Commits by other connections are told once; a schema that was not followed yet, and a file that is not the one that is
    /// open, each time.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn look(&mut self, connection: &Connection) -> Result<Seen> {
        let data_version = data_version(connection)?;
        let data_changed = std::mem::replace(&mut self.data_version, data_version) != data_version;
        let schema_version: i64 =
            connection.prepare_cached("PRAGMA main.schema_version")?.query_row([], |row| row.get(0))?;
        let touched = self.file.as_ref().and_then(|(path, _)| Touched::of(path));
        let file_touched = std::mem::replace(&mut self.touched, touched) != touched;
        let schema_changed = schema_version != self.schema_version;
        Ok(Seen { data_changed, schema_changed, file_touched, file: self.file_state() })
    }

    /// Says that the schema was followed up to a version.
    pub fn followed(&mut self, schema_version: i64) {
        self.schema_version = schema_version;
    }

    fn file_state(&self) -> FileState {
        let Some((path, Some(identity))) = &self.file else { return FileState::Same };
        match FileIdentity::of(path) {
            Some(now) if now == *identity => FileState::Same,
            Some(_) => FileState::Replaced,
            None => FileState::Missing,
        }
    }
}

fn data_version(connection: &Connection) -> Result<i64> {
    Ok(connection.prepare_cached("PRAGMA main.data_version")?.query_row([], |row| row.get(0))?)
}

/// What makes a file that file, whatever it is called. The database is never opened for this: closing it would drop the locks that
/// SQLite holds on it in this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FileIdentity {
    device: u64,
    inode: u64,
}

/// When a file was last written to, and how long it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Touched {
    at: std::time::SystemTime,
    bytes: u64,
}

impl Touched {
    fn of(path: &Path) -> Option<Touched> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Touched { at: metadata.modified().ok()?, bytes: metadata.len() })
    }
}

impl FileIdentity {
    #[cfg(unix)]
    fn of(path: &Path) -> Option<FileIdentity> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path).ok()?;
        Some(FileIdentity { device: metadata.dev(), inode: metadata.ino() })
    }

    #[cfg(not(unix))]
    fn of(path: &Path) -> Option<FileIdentity> {
        std::fs::metadata(path).ok().map(|_| FileIdentity { device: 0, inode: 0 })
    }
}

//! Notices that a database has moved: rows, schema, or the file itself; and tells what a change of schema was to each table. Looks only:
//! what is to be done about it is done in `attach` and by `reconcile`.

use std::path::{Path, PathBuf};

use rowmesh_core::value::TableName;
use rusqlite::Connection;

use crate::connection::Location;
use crate::error::Result;
use crate::registry::TableNumber;

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

/// One table that is not as it was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableChange {
    /// The table.
    pub table: TableName,
    /// Its number.
    pub number: TableNumber,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What happened to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new here, or it was left out so far.
    Appeared,
    /// It is what another table is called now, as the triggers tell that moved along. Events name tables, so what this means for other
    /// nodes is not for this one to guess.
    Renamed {
        /// What it was called.
        from: TableName,
    },
    /// It was altered in place, with its triggers: a change of schema makes no events.
    Altered,
    /// It was made anew, as migration tools do; what was written on the way was not noted.
    Rebuilt,
    /// It is as it was, but triggers of ours were missing or changed.
    TriggersVanished,
    /// It was as it should be, but the notes about it were lost with a table of ours.
    NotesLost,
    /// Its triggers were those of an older Rowmesh and are replaced; nothing was missed.
    Upgraded,
    /// It is not tracked any more.
    Left {
        /// Why.
        reason: String,
    },
    /// It is not there any more.
    Dropped,
}

impl TableChange {
    /// Whether rows may differ from what is remembered of them without any note.
    pub fn needs_reconcile(&self) -> bool {
        match self.kind {
            ChangeKind::Appeared
            | ChangeKind::Renamed { .. }
            | ChangeKind::Rebuilt
            | ChangeKind::TriggersVanished
            | ChangeKind::NotesLost => true,
            ChangeKind::Altered | ChangeKind::Upgraded | ChangeKind::Left { .. } | ChangeKind::Dropped => false,
        }
    }

    /// For the log, in one sentence.
    pub fn sentence(&self) -> String {
        let table = &self.table;
        match &self.kind {
            ChangeKind::Appeared => format!("table {table} is new here and is synced from now on"),
            ChangeKind::Renamed { from } => format!("table {from} is called {table} now"),
            ChangeKind::Altered => format!("table {table} was altered"),
            ChangeKind::Rebuilt => format!(
                "table {table} was rebuilt, likely by a migration; its rows are compared with what is known of them"
            ),
            ChangeKind::TriggersVanished => {
                format!(
                    "triggers vanished from table {table} (RM2107) and were made anew; its rows are compared with what is known of them"
                )
            }
            ChangeKind::NotesLost => {
                format!(
                    "tables of Rowmesh were dropped (RM2108) and were made anew; rows of {table} are compared with what is known of them"
                )
            }
            ChangeKind::Upgraded => format!("triggers of table {table} were replaced by those of this version"),
            ChangeKind::Left { reason } => format!("table {table} is not synced any more: {reason}"),
            ChangeKind::Dropped => format!("table {table} was dropped"),
        }
    }
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

/// What is remembered of a table that is or was tracked.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    /// Whether it was gone in between: dropped, or left out.
    pub gone: bool,
    /// Whether it is still the same tree of pages: a table that was made anew is another.
    pub same_root: bool,
    /// Whether its definition, keys and indexes are still the same.
    pub same_looks: bool,
}

/// What is found at a table.
#[derive(Clone, Debug)]
pub struct Now {
    /// How many triggers with its number stand on it.
    pub own_triggers: usize,
    /// Whether they are all there, word for word, and no others of ours.
    pub in_order: bool,
    /// Whether one of ours has the text of another version.
    pub older_version: bool,
    /// The table, gone now, whose triggers stand on it.
    pub came_from: Option<TableName>,
    /// Whether notes were lost.
    pub notes_lost: bool,
}

/// What a change of schema was to a table; `None` if nothing happened to it.
pub fn what_happened(before: Option<Before>, now: &Now) -> Option<ChangeKind> {
    let Some(before) = before else {
        return Some(match &now.came_from {
            Some(from) => ChangeKind::Renamed { from: from.clone() },
            None => ChangeKind::Appeared,
        });
    };
    // A name means the same table for ever: one that comes back is compared with what is known of it.
    if before.gone || !before.same_root || (now.own_triggers == 0 && !before.same_looks) {
        Some(ChangeKind::Rebuilt)
    } else if now.notes_lost {
        Some(ChangeKind::NotesLost)
    } else if now.own_triggers < TRIGGERS_PER_TABLE {
        Some(ChangeKind::TriggersVanished)
    } else if !before.same_looks {
        Some(ChangeKind::Altered)
    } else if now.in_order {
        None
    } else if now.older_version {
        Some(ChangeKind::Upgraded)
    } else {
        Some(ChangeKind::TriggersVanished)
    }
}

const TRIGGERS_PER_TABLE: usize = 4;

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

//! Keeps two daemons off one database and off one data folder, with locks that the operating system takes back when a process dies.
//! The fence inside the database, which holds where files cannot be locked, is the store's.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, code};

/// A lock that is held as long as this lives.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Takes the lock of a data folder.
    ///
    /// # Errors
    /// If another process has it, with its process id, or if the folder cannot be written.
    pub fn data_folder(folder: &Path) -> Result<Lock, Failure> {
        let failed = |path: &Path, source: &io::Error| Failure::file("lock the node's files", path, source);
        Lock::take(folder.join("daemon.lock"), "this data folder", failed)
    }

    /// Takes the lock of a database file. It lies beside the file and goes with the lock.
    ///
    /// # Errors
    /// If another process has it, with its process id, or if the folder cannot be written.
    pub fn database(database: &Path) -> Result<Lock, Failure> {
        let mut name = real_path(database).into_os_string();
        name.push("-rowmesh-lock");
        // Where no file can be made beside the database, SQLite cannot make its own either.
        let failed = |path: &Path, source: &io::Error| match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Failure::new(code::READ_ONLY, "the folder of the database is read-only for this user")
                    .at(path.display().to_string())
                    .because(source)
                    .hint("Give the user that runs rowmesh write access to the file and its folder.", "")
            }
            _ => Failure::file("lock the node's files", path, source),
        };
        Lock::take(name.into(), "this database", failed)
    }

    fn take(path: PathBuf, what: &str, failed: impl Fn(&Path, &io::Error) -> Failure) -> Result<Lock, Failure> {
        let failed = |source: &io::Error| failed(&path, source);
        loop {
            let mut file = open(&path).map_err(|source| failed(&source))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(taken(&path, &mut file, what)),
                Err(TryLockError::Error(source)) => return Err(failed(&source)),
            }
            // The holder before us may have removed the file between our opening and our locking it.
            if !is_still_there(&path, &file) {
                continue;
            }
            write_holder(&mut file).map_err(|source| failed(&source))?;
            return Ok(Lock { path, file });
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is locked nobody else believes in it: see `is_still_there`.
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

/// Two ways to one file are one file, also while the file is yet to be made.
fn real_path(database: &Path) -> PathBuf {
    if let Ok(real) = std::fs::canonicalize(database) {
        return real;
    }
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (std::fs::canonicalize(folder), database.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => database.to_owned(),
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn taken(path: &Path, file: &mut File, what: &str) -> Failure {
    let mut holder = String::new();
    let _ = file.take(64).read_to_string(&mut holder);
    let by = match holder.trim().parse::<u32>() {
        Ok(pid) => format!("process {pid}"),
        Err(_) => "another process".to_owned(),
    };
    Failure::new(code::TWO_DAEMONS, format!("a Rowmesh daemon already works with {what}: {by}"))
        .at(path.display().to_string())
        .why("two daemons on one database would give one number to two changes")
        .hint("Look at it:", "rowmesh status")
        .hint("A second node on this machine needs a database and a data folder of its own:", "rowmesh up other.db")
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(unix)]
fn is_still_there(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(there), Ok(here)) = (std::fs::metadata(path), file.metadata()) else { return false };
    (there.dev(), there.ino()) == (here.dev(), here.ino())
}

/// Where an open file cannot be removed there is nothing to check.
#[cfg(not(unix))]
fn is_still_there(_: &Path, _: &File) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c2_a_second_daemon_on_one_database_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("shop.db");
        std::fs::write(&database, "").unwrap();
        let held = Lock::database(&database).unwrap();
        let refused = Lock::database(&database).unwrap_err();
        assert_eq!(refused.code, code::TWO_DAEMONS);
        assert!(refused.message.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(held);
        Lock::database(&database).unwrap();
    }

    #[test]
    fn c2_two_names_of_one_database_are_one_database() {
        let folder = tempfile::tempdir().unwrap();
        let (database, other_name) = (folder.path().join("shop.db"), folder.path().join("link.db"));
        std::fs::write(&database, "").unwrap();
        std::os::unix::fs::symlink(&database, &other_name).unwrap();
        let _held = Lock::database(&database).unwrap();
        assert_eq!(Lock::database(&other_name).unwrap_err().code, code::TWO_DAEMONS);
    }

    #[test]
    fn a_lock_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("shop.db");
        std::fs::write(&database, "").unwrap();
        drop(Lock::database(&database).unwrap());
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["shop.db"]);
    }

    #[test]
    fn what_a_killed_daemon_left_behind_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("daemon.lock"), "999999\n").unwrap();
        Lock::data_folder(folder.path()).unwrap();
    }
}

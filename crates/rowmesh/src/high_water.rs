//! The mark beside the key that says which of our own changesets anybody may have seen. It lies outside the database, so that a database
//! that was put back to an earlier state, or that came from another machine, is noticed at once and without peers (G5, G6).
//! What happens then, a new incarnation, is the caller's part.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rowmesh_core::ident::{Incarnation, Origin, Seq};

use crate::failure::Failure;

/// Name of the file in the data folder.
pub const HIGH_WATER_FILE: &str = "exposed";

/// The mark, and the file that keeps it.
#[derive(Debug)]
pub struct HighWater {
    path: PathBuf,
    file: File,
    generation: u64,
    mark: Option<Mark>,
    machine: Machine,
}

/// What may have been exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    incarnation: Incarnation,
    seq: Seq,
    machine: Machine,
}

/// Tells this copy of the data folder on this machine from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine(u64);

/// Why the database must go on under a new incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// Others may know later changes of ours than it does.
    Restored {
        /// The last that it knows.
        knows: Seq,
        /// The last that may have been exposed.
        exposed: Seq,
    },
    /// It is of an earlier life, or of another copy.
    OtherLife,
    /// The data folder was copied or moved to another machine.
    OtherMachine,
    /// The file with the mark is gone or damaged.
    NoMark,
}

impl HighWater {
    /// Reads the mark in a data folder, or begins without one.
    ///
    /// # Errors
    /// If the file cannot be read or made.
    pub fn open(folder: &Path, machine: Machine) -> Result<HighWater, Failure> {
        let path = folder.join(HIGH_WATER_FILE);
        let failed = |source: &io::Error| Failure::file("read the mark of what was exposed", &path, source);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(|source| failed(&source))?;
        let mut text = Vec::new();
        (&mut file).take(2 * SLOT_BYTES as u64).read_to_end(&mut text).map_err(|source| failed(&source))?;
        if text.is_empty() {
            // The name of a new file is durable only with its folder.
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| failed(&source))?;
        }
        let newest = text.chunks(SLOT_BYTES).filter_map(decode).max_by_key(|(generation, _)| *generation);
        let (generation, mark) = newest.map_or((0, None), |(generation, mark)| (generation, Some(mark)));
        Ok(HighWater { path, file, generation, mark, machine })
    }

    /// Whether the database may go on under its present incarnation. `offered` is the incarnation that was offered to it for the
    /// case that it had none: one that has taken it is new.
    pub fn judge(&self, origin: &Origin, own: Seq, offered: Incarnation) -> Option<Distrust> {
        if origin.incarnation == offered {
            return None;
        }
        let Some(mark) = self.mark else { return (own > Seq(0)).then_some(Distrust::NoMark) };
        if mark.machine != self.machine {
            return Some(Distrust::OtherMachine);
        }
        if origin.incarnation == mark.incarnation {
            return (own < mark.seq).then_some(Distrust::Restored { knows: own, exposed: mark.seq });
        }
        // The database takes a new incarnation first, the mark follows: a crash between leaves the database ahead by one life.
        (origin.incarnation.count <= mark.incarnation.count).then_some(Distrust::OtherLife)
    }

    /// The incarnation that follows all those that this folder or the database know of.
    pub fn next_incarnation(&self, present: Incarnation, nonce: u64) -> Incarnation {
        let known = self.mark.map_or(0, |mark| mark.incarnation.count).max(present.count);
        Incarnation { count: known.saturating_add(1), nonce }
    }

    /// Makes durable that everything up to a number may be exposed. Nothing may leave the node before this has returned.
    ///
    /// # Errors
    /// If the mark cannot be written durably. Then nothing may be exposed.
    pub fn cover(&mut self, incarnation: Incarnation, seq: Seq) -> Result<(), Failure> {
        let mark = Mark { incarnation, seq, machine: self.machine };
        let is_covered = self.mark.is_some_and(|known| Mark { seq, ..known } == mark && known.seq >= seq);
        if is_covered {
            return Ok(());
        }
        let generation = self.generation + 1;
        // The two places are written in turn, so that one is whole whenever the power fails.
        let place = (generation % 2) * SLOT_BYTES as u64;
        let written = write_at(&mut self.file, place, &encode(generation, &mark));
        written.map_err(|source| Failure::file("write the mark of what is exposed", &self.path, &source))?;
        (self.generation, self.mark) = (generation, Some(mark));
        Ok(())
    }
}

impl Machine {
    /// This machine and this very file: a copy of the file is another one.
    ///
    /// # Errors
    /// If the key file cannot be looked at.
    pub fn of_key_file(key_file: &Path) -> Result<Machine, Failure> {
        let metadata = std::fs::metadata(key_file);
        let metadata = metadata.map_err(|source| Failure::file("look at the node key", key_file, &source))?;
        let machine_id = std::fs::read("/etc/machine-id").unwrap_or_default();
        Ok(Machine::of(&machine_id, file_number(&metadata)))
    }

    fn of(machine_id: &[u8], file_number: u64) -> Machine {
        let mut hasher = blake3::Hasher::new_derive_key("rowmesh machine 1");
        hasher.update(&file_number.to_le_bytes());
        hasher.update(machine_id);
        Machine(first_u64(&hasher.finalize()))
    }
}

impl std::fmt::Display for Distrust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Distrust::Restored { knows, exposed } => write!(
                f,
                "the database was put back to an earlier state: it knows {knows} of its own changesets, others may know {exposed}"
            ),
            Distrust::OtherLife => {
                f.write_str("the database is of an earlier life of this node, or a copy that went its own way")
            }
            Distrust::OtherMachine => f.write_str("the data folder was copied or moved to another machine"),
            Distrust::NoMark => f.write_str("the mark of what others may know is gone from the data folder"),
        }
    }
}

/// Bytes of one place in the file.
const SLOT_BYTES: usize = 128;

fn encode(generation: u64, mark: &Mark) -> Vec<u8> {
    let Mark { incarnation, seq, machine } = mark;
    let text = format!("v1 {generation} {} {:016x} {} {:016x}", incarnation.count, incarnation.nonce, seq.0, machine.0);
    let mut slot = format!("{text} {:016x}", check(&text)).into_bytes();
    assert!(slot.len() < SLOT_BYTES, "five numbers take {} bytes", slot.len());
    slot.resize(SLOT_BYTES - 1, b' ');
    slot.push(b'\n');
    slot
}

fn decode(slot: &[u8]) -> Option<(u64, Mark)> {
    let (text, checked) = std::str::from_utf8(slot).ok()?.trim_end().rsplit_once(' ')?;
    if u64::from_str_radix(checked, 16).ok()? != check(text) {
        return None;
    }
    let parts: Vec<&str> = text.split(' ').collect();
    let ["v1", generation, count, nonce, seq, machine] = parts[..] else { return None };
    let incarnation = Incarnation { count: count.parse().ok()?, nonce: u64::from_str_radix(nonce, 16).ok()? };
    let machine = Machine(u64::from_str_radix(machine, 16).ok()?);
    Some((generation.parse().ok()?, Mark { incarnation, seq: Seq(seq.parse().ok()?), machine }))
}

fn check(text: &str) -> u64 {
    first_u64(&blake3::hash(text.as_bytes()))
}

fn first_u64(hash: &blake3::Hash) -> u64 {
    hash.as_bytes()[..8].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn write_at(file: &mut File, place: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(place))?;
    file.write_all(bytes)?;
    file.sync_data()
}

#[cfg(unix)]
fn file_number(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn file_number(_: &std::fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowmesh_core::ident::NodeId;

    const HERE: Machine = Machine(7);
    const FIRST: Incarnation = Incarnation { count: 1, nonce: 11 };
    const NEVER: Incarnation = Incarnation { count: 99, nonce: 99 };

    fn origin(incarnation: Incarnation) -> Origin {
        Origin { node: NodeId([1; 32]), incarnation }
    }

    fn folder_with(seq: u64) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut high_water = HighWater::open(folder.path(), HERE).unwrap();
        (1..=seq).for_each(|seq| high_water.cover(FIRST, Seq(seq)).unwrap());
        folder
    }

    fn verdict(folder: &tempfile::TempDir, incarnation: Incarnation, own: u64) -> Option<Distrust> {
        HighWater::open(folder.path(), HERE).unwrap().judge(&origin(incarnation), Seq(own), NEVER)
    }

    #[test]
    fn g5_a_database_that_knows_less_than_was_exposed_is_not_trusted() {
        let folder = folder_with(5);
        assert_eq!(verdict(&folder, FIRST, 5), None);
        assert_eq!(verdict(&folder, FIRST, 6), None, "sealed, and not exposed before the crash");
        let restored = Distrust::Restored { knows: Seq(4), exposed: Seq(5) };
        assert_eq!(verdict(&folder, FIRST, 4), Some(restored));
    }

    #[test]
    fn g5_a_database_of_an_earlier_life_is_not_trusted() {
        let folder = folder_with(5);
        let second = Incarnation { count: 2, nonce: 12 };
        HighWater::open(folder.path(), HERE).unwrap().cover(second, Seq(0)).unwrap();
        assert_eq!(verdict(&folder, FIRST, 900), Some(Distrust::OtherLife));
        assert_eq!(verdict(&folder, Incarnation { nonce: 13, ..second }, 1), Some(Distrust::OtherLife));
        assert_eq!(verdict(&folder, second, 0), None);
        assert_eq!(verdict(&folder, Incarnation { count: 3, nonce: 1 }, 0), None, "the crash before the mark follows");
    }

    #[test]
    fn g6_a_copied_data_folder_is_not_trusted() {
        let folder = folder_with(5);
        let elsewhere = HighWater::open(folder.path(), Machine(8)).unwrap();
        assert_eq!(elsewhere.judge(&origin(FIRST), Seq(5), NEVER), Some(Distrust::OtherMachine));
        assert_ne!(Machine::of(b"a", 1), Machine::of(b"a", 2));
        assert_ne!(Machine::of(b"a", 1), Machine::of(b"b", 1));
    }

    #[test]
    fn g5_a_lost_mark_is_no_mark() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(verdict(&folder, FIRST, 0), None);
        assert_eq!(verdict(&folder, FIRST, 1), Some(Distrust::NoMark));
        let fresh = HighWater::open(folder.path(), HERE).unwrap();
        assert_eq!(fresh.judge(&origin(FIRST), Seq(1), FIRST), None, "a database that has just been attached");
    }

    #[test]
    fn h2_a_torn_write_of_the_mark_leaves_the_one_before() {
        for torn in 0..SLOT_BYTES {
            let folder = folder_with(6);
            let path = folder.path().join(HIGH_WATER_FILE);
            let whole = std::fs::read(&path).unwrap();
            // Number 6 lies in the first place, number 5 in the second.
            let mut bytes = whole.clone();
            bytes[torn] ^= 0x11;
            std::fs::write(&path, bytes).unwrap();
            let expected = if torn == SLOT_BYTES - 1 { 6 } else { 5 };
            let exposed = HighWater::open(folder.path(), HERE).unwrap().mark.map_or(Seq(0), |mark| mark.seq);
            assert!(exposed == Seq(5) || exposed == Seq(expected), "byte {torn}: {exposed}");
        }
    }

    #[test]
    fn a_new_incarnation_is_above_all_that_are_known() {
        let folder = folder_with(1);
        let high_water = HighWater::open(folder.path(), HERE).unwrap();
        assert_eq!(high_water.next_incarnation(Incarnation::default(), 5), Incarnation { count: 2, nonce: 5 });
        assert_eq!(high_water.next_incarnation(NEVER, 5), Incarnation { count: 100, nonce: 5 });
    }
}

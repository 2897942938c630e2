//! A play-through of the rules that reach over several rows, on top of the shipped event and row state as they are: births under one
//! generated number, references by identity, deleted parents that children need, unique values, rows merged for good. It is to show
//! whether the types carry enough, and what each rule must remember besides; not to be fast or complete. Counters and the other
//! policies of one column are in `column`.
//!
//! Two tables: parents with a generated number and a unique name, children with a generated number and a reference to a parent.

pub mod column;
pub mod node;
pub mod settle;
pub mod world;

use std::collections::BTreeMap;

use rowmesh_core::encode::{Malformed, Reader, Writer};
use rowmesh_core::event::{Event, TableShape};
use rowmesh_core::ident::{Dot, Seq};
use rowmesh_core::row_state::{RowState, Stamp};
use rowmesh_core::value::{Key, Value};

/// Numbers from here on are derived from births and never handed out by a database.
pub const DERIVED_FIRST: i64 = 1 << 52;

/// Column of a parent's name, which is unique.
pub const NAME: usize = 1;
/// Column of a child's reference.
pub const PARENT: usize = 1;
/// Column of a child's contents.
pub const NOTE: usize = 2;

/// Extra field: which birth a reference in the row means.
const EXTRA_MEANT: u64 = 1;
/// Extra field: claims on the written name that the writer's node knew and that are to give way.
const EXTRA_BEATS: u64 = 2;

/// One of the two tables.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Table {
    /// Parents: id, name.
    Parents,
    /// Children: id, parent, note.
    Children,
}

/// A row for good: the number that it was born under, and the insert that made it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Identity {
    /// Its table.
    pub table: Table,
    /// The number that its first user gave it; others may have given it to other rows.
    pub number: i64,
    /// The changeset of its insert.
    pub birth: Dot,
}

/// What happens to a child whose parent somebody deleted without knowing of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrphanRule {
    /// The parent is shown again while it is needed.
    RestoreParent,
    /// The child is hidden.
    Cascade,
    /// The child shows NULL.
    SetNull,
}

/// Rules that hold for a whole history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// For orphans.
    pub orphans: OrphanRule,
    /// Whether two births of parents with one name, neither of which had seen the other, are one row.
    pub merge_rows: bool,
}

/// What must be remembered of one row besides the shipped row state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// The shipped state.
    pub state: RowState,
    /// Per maximal write, what its extra fields said. The row state has no place for it.
    pub kept: BTreeMap<Dot, Kept>,
    /// Its number belongs to another birth, for good.
    pub gave_way: bool,
    /// The name that it was born with: a later rename must not undo or cause a merge.
    pub birth_name: Option<Value>,
}

/// The meaning of a write beyond its values.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    /// The birth that the reference means.
    pub meant: Option<Dot>,
    /// The claims that give way to this one while it lives: row and write.
    pub beats: Vec<(Identity, Dot)>,
}

impl Table {
    /// The table's name.
    pub fn name(self) -> &'static str {
        match self {
            Table::Parents => "parents",
            Table::Children => "children",
        }
    }

    /// The table as changesets name it.
    pub fn shape(self) -> TableShape {
        let columns: &[&str] = match self {
            Table::Parents => &["id", "name"],
            Table::Children => &["id", "parent", "note"],
        };
        TableShape {
            name: self.name().into(),
            columns: columns.iter().map(|name| (*name).into()).collect(),
            key: vec![0],
        }
    }
}

impl Identity {
    /// The key that events of the row carry, whatever number it is shown under.
    pub fn key(&self) -> Key {
        Key::of([&Value::Integer(self.number)])
    }

    /// A number that nobody else is likely to derive, the same on every node.
    pub fn derived_number(&self) -> i64 {
        DERIVED_FIRST + (self.hash() % (1 << 51)) as i64
    }

    /// A few letters that tell this row from others.
    pub fn suffix(&self, attempt: usize) -> String {
        format!("~{:04x}", (self.hash() + attempt as u64) & 0xffff)
    }

    fn hash(&self) -> u64 {
        let hash = blake3::hash(format!("{} {} {:?}", self.table.name(), self.number, self.birth).as_bytes());
        u64::from_be_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
    }
}

impl Row {
    /// When it was born.
    pub fn born(&self) -> Stamp {
        *self.state.birth().expect("a row begins with its insert")
    }
}

impl Kept {
    /// As extra fields of an event.
    pub fn to_extras(&self) -> Vec<(u64, Vec<u8>)> {
        let mut extras = Vec::new();
        if let Some(dot) = &self.meant {
            let mut out = Writer::default();
            write_dot(&mut out, dot);
            extras.push((EXTRA_MEANT, out.0));
        }
        if !self.beats.is_empty() {
            let mut out = Writer::default();
            out.number(self.beats.len() as u64);
            for (row, dot) in &self.beats {
                out.signed(row.number);
                write_dot(&mut out, &row.birth);
                write_dot(&mut out, dot);
            }
            extras.push((EXTRA_BEATS, out.0));
        }
        extras
    }

    /// From an event's extra fields.
    ///
    /// # Errors
    /// If they are malformed.
    pub fn of(event: &Event) -> Result<Kept, Malformed> {
        let mut kept = Kept::default();
        for (number, bytes) in &event.extras {
            let mut input = Reader::new(bytes);
            match *number {
                EXTRA_MEANT => kept.meant = Some(read_dot(&mut input)?),
                EXTRA_BEATS => {
                    for _ in 0..input.count("claims", 100)? {
                        let number = input.signed("claim number")?;
                        let row = Identity { table: Table::Parents, number, birth: read_dot(&mut input)? };
                        kept.beats.push((row, read_dot(&mut input)?));
                    }
                }
                _ => {}
            }
        }
        Ok(kept)
    }
}

fn write_dot(out: &mut Writer, dot: &Dot) {
    out.origin(&dot.origin);
    out.number(dot.seq.0);
}

fn read_dot(input: &mut Reader<'_>) -> Result<Dot, Malformed> {
    Ok(Dot { origin: input.origin("origin")?, seq: Seq(input.number("seq")?) })
}

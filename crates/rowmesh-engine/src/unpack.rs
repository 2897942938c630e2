//! Makes a chunk of rows ready beside the transaction that loads the one before it: rows that stand as their one write left them go to the
//! database's own packer, with their states under this node's numbers. All other rows are left to `load`. Asks no database.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rowmesh_core::encode::{Malformed, Writer};
use rowmesh_core::row_state::{ColumnIx, Plain};
use rowmesh_core::value::Value;

use crate::database::Packer;
use crate::fault::{Error, Result};
use crate::registry::Table;
use crate::snapshot::each_row;

/// What unpacking needs to know of a load.
pub struct Unpacking<K> {
    /// The database's own part of it.
    pub packer: K,
    /// This node's number of each origin, which are numbered from 1 there.
    pub origins: Vec<u32>,
    /// By the table's number there, the table here and this node's number of each column.
    pub tables: BTreeMap<i64, (Arc<Table>, Vec<ColumnIx>)>,
}

/// A chunk whose usual rows are ready.
pub struct Unpacked<P> {
    /// Which chunk it is.
    pub number: u64,
    /// The table's number there.
    pub table: i64,
    /// How many rows it holds.
    pub rows: u64,
    /// The usual ones.
    pub packed: P,
    /// The others: key and state as they came.
    pub others: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A chunk that is being unpacked.
pub struct Ahead<P> {
    bytes: Arc<[u8]>,
    thread: JoinHandle<Result<Option<Unpacked<P>>>>,
}

impl<K: Packer> Unpacking<K> {
    /// Unpacks a chunk; `None` if it has no rows that can be made ready.
    ///
    /// # Errors
    /// If the bytes are no chunk.
    pub fn unpack(&self, bytes: &[u8]) -> Result<Option<Unpacked<K::Packed>>> {
        let (mut packed, mut others, mut out) = (None, Vec::new(), Writer::default());
        let read = each_row(bytes, |table, key, state| {
            let Some((here, columns)) = self.tables.get(&table) else { return Ok(()) };
            if packed.is_none() {
                packed = self.packer.begin(here);
            }
            let Some(packed) = &mut packed else { return Ok(()) };
            let plain = Plain::decode(state)?;
            out.0.clear();
            let is_ready = plain.is_some_and(|plain| {
                let row = whole_row(here, columns, &plain);
                row.is_some_and(|row| {
                    let row: Vec<&Value> = row.iter().map(Cow::as_ref).collect();
                    plain.encode(&self.origins, columns, &mut out).is_ok()
                        && self.packer.add(packed, here, &row, key, &out.0)
                })
            });
            if !is_ready {
                others.push((key.to_vec(), state.to_vec()));
            }
            Ok(())
        });
        let read = read.map_err(damaged)?;
        Ok(read.zip(packed).map(|((number, table, rows), packed)| Unpacked { number, table, rows, packed, others }))
    }

    /// Begins to unpack a chunk on a thread of its own.
    pub fn ahead(self: &Arc<Self>, bytes: &[u8]) -> Ahead<K::Packed> {
        let (unpacking, bytes) = (self.clone(), Arc::<[u8]>::from(bytes));
        let chunk = bytes.clone();
        Ahead { bytes, thread: thread::spawn(move || unpacking.unpack(&chunk)) }
    }
}

impl<P> Ahead<P> {
    /// Whether it is this chunk.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        *self.bytes == *bytes
    }

    /// What came of it.
    pub fn unpacked(self) -> Result<Option<Unpacked<P>>> {
        self.thread.join().unwrap_or_else(|_| Err(Error::inconsistent("a chunk that cannot be unpacked")))
    }
}

/// The row's values in the order of the table; `None` if a column was never written, or is not here.
fn whole_row<'v>(table: &Table, columns: &[ColumnIx], plain: &'v Plain) -> Option<Vec<Cow<'v, Value>>> {
    let mut row = vec![None; table.columns.len()];
    let mut count = 0;
    for (there, value) in plain.values() {
        row[table.position(*columns.get(there)?)?] = Some(value.plain());
        count += 1;
    }
    if count < row.len() { None } else { row.into_iter().collect() }
}

fn damaged(source: Malformed) -> Error {
    Error::damaged("a snapshot chunk from a peer", source)
}

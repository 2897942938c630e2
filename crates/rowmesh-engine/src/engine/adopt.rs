//! Rows that stood in a table before Rowmesh came, all of them at once: read on a session and a thread of their own, remembered batch by batch.
//! For databases that keep no claims; which tables can be adopted so is `engine`'s business.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use rowmesh_core::encode::Writer;
use rowmesh_core::ident::Origin;
use rowmesh_core::limits;
use rowmesh_core::row_state::{self, OriginTable, RowState, Shown, Stamp};
use rowmesh_core::value::{Key, Value};

use crate::database::{Access, Database, Notes, Rows};
use crate::fault::{Error, Result};
use crate::registry::{Table, TableNumber};
use crate::work::Work;

/// Batches that wait to be written.
pub const BATCHES_AHEAD: usize = 2;
/// Rows of a batch,
const BATCH_ROWS: usize = 20_000;
/// and bytes after which it is closed.
const BATCH_BYTES: usize = 6 << 20;

/// Rows of one table on their way.
#[derive(Default)]
pub struct Batch {
    /// Their states.
    pub states: Vec<(Key, Vec<u8>)>,
    /// Those whose keys are too large to travel, and how large they are.
    too_large: Vec<(TableNumber, Key, usize)>,
    bytes: usize,
}

/// This node's own origin with its number.
#[derive(Clone, Copy)]
pub struct Own {
    /// It.
    pub origin: Origin,
    /// Its number.
    pub number: u32,
}

impl OriginTable for Own {
    fn number(&mut self, _: &Origin) -> u32 {
        self.number
    }

    fn origin(&self, number: u32) -> Option<Origin> {
        (number == self.number).then_some(self.origin)
    }
}

/// What is remembered of a row that stood before.
pub fn state(table: &Table, row: Vec<Value>, stamp: Stamp) -> RowState {
    let mut state = RowState { births: vec![stamp], live: vec![stamp], shown: Shown::AsWritten, ..RowState::default() };
    for (column, value) in table.columns.iter().zip(row) {
        state.write(*column, stamp, value);
    }
    state
}

/// Reads all rows of a table but those that are noted, notes and rows at one moment. Ends early if nobody wants more.
pub fn read<D: Database>(
    reader: &D,
    table: &Arc<Table>,
    stamp: Stamp,
    mut own: Own,
    sender: &SyncSender<Batch>,
) -> Result<()> {
    let db = reader.access();
    let noted = db.noted_keys(table)?;
    let mut batch = Batch::default();
    let send = |mut batch: Batch| {
        // Neighbours in the index are written together.
        batch.states.sort_unstable();
        sender.send(batch).map_err(|_| Error::inconsistent("nobody waits for what stood before"))
    };
    db.scan(table, &mut |row| {
        let key = table.key_of(&row);
        if noted.contains(&key) {
            return Ok(());
        }
        if key.0.len() > limits::KEY_BYTES_MAX {
            let bytes = key.0.len();
            batch.too_large.push((table.number, key, bytes));
        } else {
            let mut out = Writer::default();
            row_state::encode(&state(table, row, stamp), &mut own, &mut out);
            batch.bytes += key.0.len() + out.0.len();
            batch.states.push((key, out.0));
        }
        let is_full = batch.states.len() >= BATCH_ROWS || batch.bytes >= BATCH_BYTES;
        if is_full { send(std::mem::take(&mut batch)) } else { Ok(()) }
    })?;
    send(batch)
}

/// Remembers a batch.
pub fn keep<A: Access>(work: &mut Work<'_, A>, table: &Table, batch: &Batch) -> Result<()> {
    work.db.add_states(table.number, &batch.states)?;
    *work.shown.entry(table.number).or_default() += batch.states.len() as i64;
    if batch.too_large.is_empty() {
        return Ok(());
    }
    crate::scope::keep_too_large(work.db, &batch.too_large, &[])
}

//! Rows that stood in a table before Rowmesh came become known without making events. Where a database allows it, all of a table at once: read on a
//! session and a thread of their own, remembered batch by batch; else some keys at a time. What was noted by then is the sealer's.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use rowmesh_core::clock::{Lamport, WallTime};
use rowmesh_core::encode::Writer;
use rowmesh_core::ident::{Digest, Dot, Origin, Seq};
use rowmesh_core::limits;
use rowmesh_core::row_state::{self, OriginTable, RowState, Shown, Stamp};
use rowmesh_core::store::StoreResult;
use rowmesh_core::value::{Key, Value};

use super::{End, Engine};
use crate::database::{Access, Database, Names, Notes, Rows, States};
use crate::fault::{Error, Result};
use crate::registry::{Table, TableNumber};
use crate::row_states;
use crate::work::Work;

/// Rows that one transaction adopts on first attach: where the application goes on writing meanwhile, though no schema can be altered,
const ADOPT_ROWS_SHARED: usize = 20_000;
/// and where it waits.
const ADOPT_ROWS_ALONE: usize = 2_000;
/// Batches that wait to be written.
const BATCHES_AHEAD: usize = 2;
/// Rows of a batch,
const BATCH_ROWS: usize = 20_000;
/// and bytes after which it is closed.
const BATCH_BYTES: usize = 6 << 20;

impl<D: Database> Engine<D> {
    /// Rows that stood here before Rowmesh came: remembered as this origin's first changeset, which is in no log. Who joins gets them
    /// with the snapshot. A row that was noted came later and is left to the sealer: what an application writes while its node joins has to
    /// reach the others as events. May be cut short and begun again at any row.
    pub(super) fn adopt_existing_rows(&mut self, now: WallTime) -> StoreResult<()> {
        if self.database.access().fact("adopted")?.is_some() {
            return Ok(());
        }
        let first = Dot { origin: self.own, seq: Seq(1) };
        let stamp = Stamp { lamport: Lamport::at(now), dot: first };
        let mut any = false;
        for known in self.registry.all() {
            // The schema may have moved since.
            let Some(table) = self.registry.tracked(known.number).cloned() else { continue };
            if D::IS_SHARED
                && !self.membership.concerns(&table.schema.name)
                && self.database.access().states_after(table.number, &[], 1, 1)?.is_empty()
            {
                any |= self.adopt_whole(&table, stamp)?;
                continue;
            }
            let keys = self.database.access().keys(&table)?;
            for some in keys.chunks(if D::IS_SHARED { ADOPT_ROWS_SHARED } else { ADOPT_ROWS_ALONE }) {
                any |= self.adopt(&table, some, stamp)?;
            }
        }
        self.in_transaction(|work| {
            if any {
                work.origins.settle(work.db, first, Digest::of(b"rows before rowmesh"), first.seq)?;
            }
            work.db.set_fact("adopted", &Value::Integer(stamp.lamport.0 as i64))?;
            Ok(End::Commit(()))
        })
    }

    /// Remembers rows of one table as they stand, all that are not noted. Returns whether there were any.
    fn adopt(&mut self, table: &Arc<Table>, keys: &[Vec<Value>], stamp: Stamp) -> StoreResult<bool> {
        self.in_transaction(|work| {
            let noted = work.db.noted_keys(table)?;
            if D::Access::<'_>::IS_REMOTE {
                work.db.expect(&keys.iter().map(|key| (table.clone(), Key::of(key))).collect::<Vec<_>>())?;
            }
            let mut any = false;
            for key in keys.iter().filter(|key| !noted.contains(&Key::of(*key))) {
                any |= adopt_row(work, table, key, stamp)?;
            }
            Ok(End::Commit(any))
        })
    }

    /// Remembers all rows of a table of which nothing is remembered yet, as they stood at one moment, whatever their number. What was noted by then
    /// is left to the sealer; what is written later is noted, and told by its difference to this.
    fn adopt_whole(&mut self, table: &Arc<Table>, stamp: Stamp) -> StoreResult<bool> {
        let reader = self.database.reader()?;
        let own = Own { origin: self.own, number: self.origins.known_number(&self.own)? };
        let (sender, batches) = sync_channel(BATCHES_AHEAD);
        let of_thread = table.clone();
        let reading = thread::spawn(move || read(&reader, &of_thread, stamp, own, &sender));
        let mut any = false;
        for batch in batches {
            any |= !batch.states.is_empty();
            self.in_transaction(|work| {
                keep(work, table, &batch)?;
                Ok(End::Commit(()))
            })?;
        }
        let read = reading.join().unwrap_or_else(|_| Err(Error::inconsistent("a table that cannot be read")));
        read?;
        Ok(any)
    }
}

/// Rows of one table on their way.
#[derive(Default)]
struct Batch {
    /// Their states.
    states: Vec<(Key, Vec<u8>)>,
    /// Those whose keys are too large to travel, and how large they are.
    too_large: Vec<(TableNumber, Key, usize)>,
    bytes: usize,
}

/// This node's own origin with its number.
#[derive(Clone, Copy)]
struct Own {
    /// It.
    origin: Origin,
    /// Its number.
    number: u32,
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
fn state(table: &Table, row: Vec<Value>, stamp: Stamp) -> RowState {
    let mut state = RowState { births: vec![stamp], live: vec![stamp], shown: Shown::AsWritten, ..RowState::default() };
    for (column, value) in table.columns.iter().zip(row) {
        state.write(*column, stamp, value);
    }
    state
}

/// Reads all rows of a table but those that are noted, notes and rows at one moment. Ends early if nobody wants more.
fn read<D: Database>(
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
fn keep<A: Access>(work: &mut Work<'_, A>, table: &Table, batch: &Batch) -> Result<()> {
    work.db.add_states(table.number, &batch.states)?;
    *work.shown.entry(table.number).or_default() += batch.states.len() as i64;
    if batch.too_large.is_empty() {
        return Ok(());
    }
    crate::scope::keep_too_large(work.db, &batch.too_large, &[])
}

/// Remembers a row as it stands, if nothing is remembered of it yet. Returns whether it is an adopted one.
fn adopt_row<A: Access>(work: &mut Work<'_, A>, table: &Table, key: &[Value], stamp: Stamp) -> Result<bool> {
    let Some(row) = work.db.read(table, key)? else { return Ok(false) };
    let key = table.key_of(&row);
    if key.0.len() > limits::KEY_BYTES_MAX {
        let bytes = key.0.len();
        crate::scope::keep_too_large(work.db, &[(table.number, key, bytes)], &[])?;
        return Ok(false);
    }
    let judgement = work.membership.judge(work.db, table, &key, Some(&row))?;
    if judgement.held_back {
        return Ok(false);
    }
    let row = judgement.travelling(&row);
    let known = row_states::load(work.db, work.origins, table.number, &key)?;
    if known != RowState::default() {
        return Ok(known.births.iter().any(|birth| birth.dot == stamp.dot));
    }
    let state = state(table, row.clone(), stamp);
    work.db.replace_claims(table, &key, None, Some(&row))?;
    row_states::save(work, table.number, &key, &state, false)?;
    Ok(true)
}

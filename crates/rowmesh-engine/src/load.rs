//! Loads a snapshot into a database whose tables are empty, chunk by chunk, each in a transaction that `engine` began. The application may
//! write meanwhile: what it wrote stays and is sealed afterwards. A load that was cut short is wiped and begun anew, but for the rows that the
//! application has written to or has hung others on: those stay, and what came for them since is shown once what it wrote is sealed. Rows that
//! stand as their one write left them are written as `unpack` has made them ready, unless the application has written to their table; all others
//! one by one.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use rowmesh_core::changeset::Claimed;
use rowmesh_core::encode::Reader;
use rowmesh_core::event::TableShape;
use rowmesh_core::ident::{Digest, Dot, NodeId, Origin};
use rowmesh_core::limits;
use rowmesh_core::row_state::{self, ColumnIx, OriginTable, RowState, Shown};
use rowmesh_core::show::{self, Choice};
use rowmesh_core::store::StoreError;
use rowmesh_core::value::{ColumnName, Key, TableName, Value};

use crate::births;
use crate::collisions;
use crate::database::{Access, LostNumber, Packer};
use crate::fault::{Error, Result};
use crate::ledger_rows;
use crate::log;
use crate::orphans;
use crate::registry::{Table, TableNumber};
use crate::row_states;
use crate::snapshot::{Chunk, Start, decode_end};
use crate::unpack::{Ahead, Unpacked, Unpacking};
use crate::work::{Work, remember_shown, shown_row};
use crate::write::{NewRow, Placed, placed};

/// Chunks that are made ready at once: the one that comes next, and one that comes after it.
const CHUNKS_AHEAD_MAX: usize = 2;

/// A load under way, as kept in memory between chunks.
pub struct Load<K: Packer> {
    /// The row of `rowmesh_initial_load_sessions`.
    id: i64,
    start_hash: Digest,
    start: Start,
    tables: Vec<(i64, LoadTable)>,
    chunks: u64,
    /// Something that others may refer to does not stand: a row that left the scope, or one that is parked there or here.
    has_gaps: bool,
    unpacking: Arc<Unpacking<K>>,
    /// Chunks that are being made ready, in their order.
    ahead: VecDeque<Ahead<K::Packed>>,
    stayed: Stayed,
}

/// Rows of a load that was cut short which stay when it is begun anew, by their keys.
type Stayed = HashMap<TableNumber, HashSet<Key>>;

struct LoadTable {
    number: TableNumber,
    name: TableName,
    /// Number here of each column number there.
    columns: Vec<ColumnIx>,
    table: Option<Arc<Table>>,
}

impl<K: Packer> Load<K> {
    /// Begins a load: wipes what an earlier one left, and refuses tables that hold rows.
    pub fn begin<A: Access>(work: &mut Work<'_, A>, packer: K, start_bytes: &[u8], source: &NodeId) -> Result<Load<K>> {
        let start = Start::decode(start_bytes).map_err(|source| Error::damaged("a snapshot from a peer", source))?;
        let stayed = wipe_unfinished(work)?;
        refuse_rows(work, &stayed)?;
        let mut tables = Vec::with_capacity(start.tables.len());
        for (there, name, columns) in &start.tables {
            let name = TableName::from(name.as_str());
            let number = work.registry.table_number(work.db, &name)?;
            let columns = (columns.iter())
                .map(|column| work.registry.column_number(work.db, number, &ColumnName::from(column.as_str())))
                .collect::<Result<Vec<_>>>()?;
            let table = work.registry.tracked(number).cloned();
            tables.push((*there, LoadTable { number, name, columns, table }));
        }
        let origins = start.origins.iter().map(|(origin, ..)| work.origins.number(origin)).collect();
        work.origins.store_new(work.db)?;
        let here = |(there, table): &(i64, LoadTable)| Some((*there, (table.table.clone()?, table.columns.clone())));
        let unpacking = Arc::new(Unpacking { packer, origins, tables: tables.iter().filter_map(here).collect() });
        let id = work.db.begin_load(source, start.rows, start_bytes, work.now)?;
        let start_hash = Digest::of(start_bytes);
        Ok(Load {
            id,
            start_hash,
            start,
            tables,
            chunks: 0,
            has_gaps: false,
            unpacking,
            ahead: VecDeque::new(),
            stayed,
        })
    }

    /// Begins to make a chunk ready that will come later.
    pub fn ahead(&mut self, bytes: &[u8]) {
        if self.ahead.len() < CHUNKS_AHEAD_MAX {
            self.ahead.push_back(self.unpacking.ahead(bytes));
        }
    }

    /// A chunk as far as it can be made ready without asking the database.
    pub fn unpacked(&mut self, bytes: &[u8]) -> Result<Option<Unpacked<K::Packed>>> {
        let Some(position) = self.ahead.iter().position(|ahead| ahead.is_of(bytes)) else {
            return self.unpacking.unpack(bytes);
        };
        // What was made ready for an attempt that failed is passed over.
        self.ahead.drain(..position);
        self.ahead.pop_front().map_or(Ok(None), Ahead::unpacked)
    }

    /// Loads one chunk, which counts once it is committed ([`Load::arrived`]): a transaction may be tried again. Returns how many rows it held.
    pub fn chunk<A: Access<Packed = K::Packed>>(
        &mut self,
        work: &mut Work<'_, A>,
        bytes: &[u8],
        unpacked: Option<&Unpacked<K::Packed>>,
    ) -> Result<u64> {
        for (_, table) in &mut self.tables {
            // The schema may have moved since.
            table.table = work.registry.tracked(table.number).cloned();
        }
        if let Some(unpacked) = unpacked {
            self.check_turn(unpacked.number)?;
            if self.place_packed(work, unpacked)? {
                work.db.note_load(self.id, self.chunks + 1, unpacked.rows)?;
                return Ok(unpacked.rows);
            }
        }
        let (number, chunk) =
            Chunk::decode(bytes).map_err(|source| Error::damaged("a snapshot chunk from a peer", source))?;
        self.check_turn(number)?;
        let rows = match chunk {
            Chunk::Rows(there, rows) => self.rows(work, there, &rows)?,
            Chunk::Log(changesets) => self.log(work, &changesets)?,
            Chunk::Ledger(entries) => self.ledger(work, entries)?,
            Chunk::LostNumbers(there, lost) => self.lost_numbers(work, there, &lost)?,
        };
        work.db.note_load(self.id, self.chunks + 1, rows)?;
        Ok(rows)
    }

    fn check_turn(&self, number: u64) -> Result<()> {
        if number == self.chunks {
            return Ok(());
        }
        Err(not_whole(format!("the snapshot came out of order: chunk {number} where chunk {} was next", self.chunks)))
    }

    /// Writes a chunk whose usual rows are ready, unless what the application has written to the table may concern them.
    fn place_packed<A: Access<Packed = K::Packed>>(
        &mut self,
        work: &mut Work<'_, A>,
        unpacked: &Unpacked<K::Packed>,
    ) -> Result<bool> {
        let Some(table) = self.table(unpacked.table)?.table.clone() else { return Ok(false) };
        let was = self.unpacking.tables.get(&unpacked.table);
        let has_moved = was.is_none_or(|(was, _)| was.schema != table.schema);
        if has_moved || self.stayed.contains_key(&table.number) || !work.db.noted_keys(&table)?.is_empty() {
            return Ok(false);
        }
        work.db.place_packed(&table, &unpacked.packed)?;
        *work.shown.entry(table.number).or_default() += (unpacked.rows - unpacked.others.len() as u64) as i64;
        self.rows(work, unpacked.table, &unpacked.others)?;
        Ok(true)
    }

    /// A chunk is committed.
    pub fn arrived(&mut self) {
        self.chunks += 1;
    }

    /// Ends the load: from here the version vector says what the snapshot held.
    pub fn finish<A: Access>(&self, work: &mut Work<'_, A>, end: &[u8]) -> Result<()> {
        let (chunks, start) =
            decode_end(end).map_err(|source| Error::damaged("a snapshot's end from a peer", source))?;
        if chunks != self.chunks || start != self.start_hash {
            return Err(not_whole(format!("the snapshot is incomplete: {} of {chunks} chunks came", self.chunks)));
        }
        // What the application has written or deleted meanwhile may be what others refer to.
        if self.has_gaps || work.db.any_noted()? {
            hide_dangling(work)?;
        }
        for (origin, seq, hash) in &self.start.origins {
            let dot = Dot { origin: *origin, seq: *seq };
            let floor = Dot { origin: *origin, seq: self.start.stable.get(origin) };
            work.origins.settle(work.db, dot, *hash, floor.seq)?;
        }
        work.db.end_load(self.id, work.now)
    }

    fn rows<A: Access>(&mut self, work: &mut Work<'_, A>, there: i64, rows: &[(Vec<u8>, Vec<u8>)]) -> Result<u64> {
        if rows.is_empty() {
            return Ok(0);
        }
        let table = self.table(there)?;
        let origins: Vec<Origin> = self.start.origins.iter().map(|(origin, ..)| *origin).collect();
        let stayed = table.table.as_ref().and_then(|here| Some((here, self.stayed.get(&here.number)?)));
        let mut has_gaps = false;
        let mut loading = Vec::with_capacity(rows.len());
        for (key, state) in rows {
            let there = From1(&origins);
            let state = row_state::decode(&mut Reader::new(state), &there)
                .map_err(|source| Error::damaged("a row state from a peer", source))?;
            let (stood_there, is_wanted) = (state.is_shown(), !state.live.is_empty() || state.has_left());
            let shown =
                table.table.as_ref().map_or_else(Vec::new, |here| shown_otherwise(here, &table.columns, &state));
            let state = RowState { shown: Shown::Absent, ..renumber(state, &table.columns)? };
            let row = Loading { key: Key(key.clone()), state, stood_there, is_wanted, shown };
            match stayed.filter(|(_, keys)| keys.contains(&row.key)) {
                Some((here, _)) => has_gaps |= !take_up(work, table, here, row)?,
                None => loading.push(row),
            }
        }
        let mut placed = place(work, table, &loading)?.into_iter();
        for mut row in loading {
            if let Some(placed) = placed.next().flatten() {
                settle(work, table, &mut row, placed)?;
            }
            row_states::save(work, table.number, &row.key, &row.state, false)?;
            has_gaps |= (row.is_wanted || row.stood_there) && !(row.state.is_shown() && row.stood_there);
        }
        self.has_gaps |= has_gaps;
        Ok(rows.len() as u64)
    }

    fn log<A: Access>(&self, work: &mut Work<'_, A>, changesets: &[Vec<u8>]) -> Result<u64> {
        for bytes in changesets {
            let claimed = Claimed::decode(bytes).map_err(|source| Error::damaged("a changeset from a peer", source))?;
            let changeset = claimed.trust_own_log();
            let mut rows = Vec::with_capacity(changeset.events().len());
            for event in changeset.events() {
                let shape: &TableShape = changeset.shape(event);
                let (number, identity) = (work.registry.table_number(work.db, &shape.name)?, event.key(shape));
                let place = match work.registry.tracked(number) {
                    Some(table) => births::place_of(work, table, &identity)?,
                    None => identity,
                };
                rows.push((number, place));
            }
            log::append_loaded(work.db, work.origins, &changeset, &rows, work.now)?;
        }
        Ok(0)
    }

    fn lost_numbers<A: Access>(&self, work: &mut Work<'_, A>, there: i64, lost: &[LostNumber]) -> Result<u64> {
        let table = self.table(there)?.number;
        for (number, identity, place) in lost {
            work.db.set_place(table, *number, identity, Some(place))?;
        }
        work.lost_numbers.insert(table);
        Ok(0)
    }

    fn ledger<A: Access>(&self, work: &mut Work<'_, A>, entries: Vec<Vec<Value>>) -> Result<u64> {
        let origins: Vec<Origin> = self.start.origins.iter().map(|(origin, ..)| *origin).collect();
        for entry in entries {
            ledger_rows::restore(work.db, work.origins, &From1(&origins), entry)?;
        }
        Ok(0)
    }

    fn table(&self, there: i64) -> Result<&LoadTable> {
        let found = self.tables.iter().find(|(number, _)| *number == there);
        found
            .map(|(_, table)| table)
            .ok_or_else(|| Error::inconsistent("a chunk of a table that the snapshot does not name"))
    }
}

/// What came is no whole copy in its order. Trying the same again would not help.
fn not_whole(message: String) -> Error {
    let remedy = "it is begun anew by itself; if that happens again and again, restart the daemon on the node that sends the copy";
    StoreError::needs_person("RM5303", message, remedy).into()
}

/// A row on its way in.
struct Loading {
    key: Key,
    state: RowState,
    /// Whether it is shown where the snapshot was taken.
    stood_there: bool,
    /// Whether somebody may refer to it.
    is_wanted: bool,
    /// What it showed there because it, or what it refers to, was deleted, by numbers here.
    shown: Vec<(ColumnIx, Value)>,
}

/// Inserts the rows that are to be shown, all at once; what became of each, if it was to be shown and its table is here.
fn place<A: Access>(work: &mut Work<'_, A>, table: &LoadTable, loading: &[Loading]) -> Result<Vec<Option<Placed>>> {
    let (mut new, mut positions) = (Vec::new(), Vec::new());
    for (position, row) in loading.iter().enumerate() {
        let names = work.registry.column_names(table.number);
        let policy = work.standing()?.policies.current().table(&table.name);
        let is_restored = row.stood_there && rowmesh_core::orphans::was_deleted(&row.state);
        let Choice::Present(image) = show::show_row(&row.state, policy, names, is_restored) else { continue };
        let Some(here) = &table.table else {
            let reason = format!("there is no table \"{}\" here yet", table.name);
            work.park_all(table.number, &row.key, &row.state, &reason)?;
            continue;
        };
        let key = key_values(&row.key)?;
        if key.iter().any(|part| matches!(part, Value::Born(..))) {
            work.park_all(table.number, &row.key, &row.state, "its table was not there where the copy was taken")?;
            continue;
        }
        let mut image = births::in_places(work, here, image)?;
        if !row.stood_there && !here.schema.foreign_keys.is_empty() {
            // What it lacked there it lacks here, until everything has come.
            work.park_all(table.number, &row.key, &row.state, "it did not stand where the copy was taken")?;
            except(work, here, &row.key, &row.state)?;
            continue;
        }
        for (column, value) in &mut image {
            if let Some((_, shown)) = row.shown.iter().find(|(shown, _)| shown == column) {
                value.clone_from(shown);
            }
        }
        new.push(NewRow { key, image });
        positions.push(position);
    }
    let mut placed: Vec<Option<Placed>> = loading.iter().map(|_| None).collect();
    if let Some(here) = &table.table {
        for (position, became) in positions.into_iter().zip(work.db.place_new(here, &new)?) {
            placed[position] = Some(became);
        }
    }
    Ok(placed)
}

/// Remembers what became of a row.
fn settle<A: Access>(work: &mut Work<'_, A>, table: &LoadTable, row: &mut Loading, placed: Placed) -> Result<()> {
    let Some(here) = &table.table else { return Ok(()) };
    match placed {
        Placed::Stands(shown) => {
            remember_shown(here, &mut row.state, &shown);
            work.db.replace_claims(here, &row.key, None, Some(&shown))?;
            except_standing(work, here, row)
        }
        Placed::KeyTaken(_) if here.has_numbers_in_key() => {
            // Another row, made while the load ran: whose the number is, is asked when it is sealed.
            for born in row.state.births.iter().chain(&row.state.live).map(|stamp| stamp.dot).collect::<BTreeSet<_>>() {
                work.park(table.number, &row.key, born, "a row was made here under its number meanwhile")?;
            }
            except(work, here, &row.key, &row.state)?;
            work.db.note(here, &key_values(&row.key)?, work.now)
        }
        Placed::KeyTaken(shown) => {
            // The application wrote this row here while the load ran: its row stays and will be sealed as an edit of this one.
            remember_shown(here, &mut row.state, &shown);
            work.db.note(here, &key_values(&row.key)?, work.now)
        }
        Placed::Refused(reason) => {
            work.park_all(table.number, &row.key, &row.state, &reason)?;
            except(work, here, &row.key, &row.state)
        }
    }
}

/// A row that does not stand claims its unique values all the same, and needs what it refers to; who shows them, and what becomes of it, is looked at
/// once everything has come.
fn except<A: Access>(work: &mut Work<'_, A>, table: &Table, key: &Key, state: &RowState) -> Result<()> {
    let mut claims = collisions::not_shown(work, table, (key, state, false), None)?;
    claims.extend(orphans::ties_of_absent(work, table, key, state, false)?);
    work.exceptions.set(work.db, table.number, key, claims.clone())?;
    work.exceptions.doubt(work.db, table.number, &claims)
}

/// A row that was deleted and stood for the sake of others, or showed NULL because of one that was deleted: what it shows is looked at once everything
/// has come.
fn except_standing<A: Access>(work: &mut Work<'_, A>, table: &Table, row: &Loading) -> Result<()> {
    let mut ties = orphans::own_tie(work, table, &row.key, &row.state)?;
    if !row.shown.is_empty() {
        ties.extend(orphans::ties_of_absent(work, table, &row.key, &row.state, false)?);
    }
    if ties.is_empty() {
        return Ok(());
    }
    work.exceptions.set(work.db, table.number, &row.key, ties.clone())?;
    work.exceptions.doubt(work.db, table.number, &ties)
}

/// What a row showed where the snapshot was taken because it was deleted, all of it, or because what it refers to was, those references that were NULL.
/// `columns` are the numbers here of the columns there.
fn shown_otherwise(table: &Table, columns: &[ColumnIx], state: &RowState) -> Vec<(ColumnIx, Value)> {
    let Shown::Image(image) = &state.shown else { return Vec::new() };
    let is_restored = state.live.is_empty();
    let is_reference = |column: &ColumnIx| {
        let position = table.position(*column);
        position.is_some_and(|position| table.schema.foreign_keys.iter().any(|key| key.columns.contains(&position)))
    };
    let here = image.iter().filter_map(|(there, value)| Some((*columns.get(usize::from(there.0))?, value.clone())));
    here.filter(|(column, value)| is_restored || (value.is_null() && is_reference(column))).collect()
}

/// A row that stayed stands as it is, and what the application has made of it is sealed as an edit of what it had found. What else is to be shown
/// waits for that. Says whether nothing does.
fn take_up<A: Access>(work: &mut Work<'_, A>, table: &LoadTable, here: &Table, row: Loading) -> Result<bool> {
    let known = row_states::load(work.db, work.origins, table.number, &row.key)?;
    let shown =
        shown_row(here, &row.key, &known).ok_or_else(|| Error::inconsistent("a row that stayed and was not shown"))?;
    let mut state = row.state;
    let policy = work.standing()?.policies.current().table(&table.name);
    let is_shown = match show::show(&state, policy, work.registry.column_names(table.number)) {
        Choice::Present(image) => {
            placed(here, &key_values(&row.key)?, &births::in_places(work, here, image)?).1 == shown
        }
        Choice::Absent => false,
    };
    remember_shown(here, &mut state, &shown);
    if !is_shown {
        for stamp in state.live.iter().chain(&state.deletes) {
            work.park(
                table.number,
                &row.key,
                stamp.dot,
                "it is shown as soon as what was written to it here is sealed",
            )?;
        }
    }
    row_states::save(work, table.number, &row.key, &state, true)?;
    Ok(is_shown)
}

/// Rows that refer to others which do not stand wait for those, as they did where the snapshot was taken: their owners had left the scope, or
/// were parked there or are here.
fn hide_dangling<A: Access>(work: &mut Work<'_, A>) -> Result<()> {
    loop {
        let mut hid = false;
        for table in work.registry.all() {
            for (row, reason) in work.db.left_alone(work.registry, &table)? {
                hid |= hide(work, &table, &row, &reason)?;
            }
            for (position, foreign_key) in table.schema.foreign_keys.iter().enumerate() {
                if work.registry.tracked_by_name(&foreign_key.parent).is_none() {
                    continue;
                }
                let reason = format!("it refers to a row of {} that is not here", foreign_key.parent);
                for row in work.db.dangling(&table, position)? {
                    hid |= hide(work, &table, &row, &reason)?;
                }
            }
        }
        if !hid {
            return Ok(());
        }
    }
}

/// Hides a row that was loaded. What the application wrote meanwhile is its own business. Says whether it has.
fn hide<A: Access>(work: &mut Work<'_, A>, table: &Table, row: &[Value], reason: &str) -> Result<bool> {
    let key = table.key_of(row);
    let values = key_values(&key)?;
    let mut state = row_states::load(work.db, work.origins, table.number, &key)?;
    if !state.is_shown() || !work.db.noted(table, &values)?.is_empty() {
        return Ok(false);
    }
    work.db.delete(table, &values)?;
    work.db.replace_claims(table, &key, Some(row), None)?;
    work.park_all(table.number, &key, &state, reason)?;
    state.shown = Shown::Absent;
    except(work, table, &key, &state)?;
    row_states::save(work, table.number, &key, &state, true)?;
    Ok(true)
}

fn key_values(key: &Key) -> Result<Vec<Value>> {
    key.values().map_err(|source| Error::damaged("a key from a peer", source))
}

/// Origins of a snapshot, which are numbered from 1 there.
struct From1<'a>(&'a [Origin]);

impl OriginTable for From1<'_> {
    fn number(&mut self, origin: &Origin) -> u32 {
        self.0.iter().position(|known| known == origin).map_or(0, |position| position as u32 + 1)
    }

    fn origin(&self, number: u32) -> Option<Origin> {
        self.0.get((number as usize).checked_sub(1)?).copied()
    }
}

/// The same state with this node's numbers of columns.
fn renumber(state: RowState, columns: &[ColumnIx]) -> Result<RowState> {
    let here = |there: ColumnIx| {
        columns
            .get(usize::from(there.0))
            .copied()
            .ok_or_else(|| Error::inconsistent("a column that the snapshot does not name"))
    };
    let mut registers = Vec::new();
    for (there, register) in state.registers.into_iter().enumerate() {
        let column = usize::from(here(ColumnIx(there as u16))?.0);
        if registers.len() <= column {
            registers.resize(column + 1, row_state::Register::Unwritten);
        }
        registers[column] = register;
    }
    let mut witnesses = Vec::with_capacity(state.witnesses.len());
    for (stamp, image) in state.witnesses {
        let mut image =
            image.into_iter().map(|(column, value)| Ok((here(column)?, value))).collect::<Result<Vec<_>>>()?;
        image.sort_by_key(|(column, _)| *column);
        witnesses.push((stamp, image));
    }
    let mut missed = state.missed;
    for one in &mut missed {
        one.column = here(one.column)?;
    }
    missed.sort_by_key(|one| (one.column, one.stamp));
    Ok(RowState { registers, witnesses, missed, shown: Shown::Absent, ..state })
}

/// What a load that was cut short left: its rows are deleted, its states forgotten, but for those that stay.
fn wipe_unfinished<A: Access>(work: &mut Work<'_, A>) -> Result<Stayed> {
    if !work.db.has_unfinished_load()? {
        return Ok(Stayed::new());
    }
    let mut left = Vec::new();
    // Children go before those that they refer to.
    for table in work.registry.all().iter().rev() {
        while wipe(work, table)? {}
        for (key, state) in still_known(work, table)? {
            let parked = work.db.parked(Some((table.number, &key)))?;
            left.push((table.clone(), key, state, parked));
        }
    }
    work.db.forget_unfinished_load()?;
    let mut stayed = Stayed::new();
    for (table, key, state, parked) in left {
        work.db.replace_claims(&table, &key, None, shown_row(&table, &key, &state).as_deref())?;
        row_states::save(work, table.number, &key, &state, false)?;
        parked.iter().try_for_each(|parked| work.db.park(parked))?;
        stayed.entry(table.number).or_default().insert(key);
    }
    Ok(stayed)
}

/// Deletes the rows of a load that the application has not written to since and that nothing refers to. Says whether others may be free now: rows
/// may refer to rows of their own table.
fn wipe<A: Access>(work: &mut Work<'_, A>, table: &Arc<Table>) -> Result<bool> {
    let (mut deleted, mut asked) = (0, 0);
    each_piece(work, table, |work, rows| {
        let named: Vec<_> = rows.iter().map(|(key, _)| (table.clone(), key.clone())).collect();
        // What is written to them, and what comes to refer to them, is then known.
        work.db.lock(&named)?;
        let noted = work.db.noted_keys(table)?;
        let free = rows.iter().filter(|(key, _)| !noted.contains(key));
        let keys = free.map(|(key, _)| key_values(key)).collect::<Result<Vec<_>>>()?;
        asked += keys.len() as u64;
        deleted += work.db.delete_unneeded(work.registry, table, &keys)?;
        Ok(())
    })?;
    let refers_to_itself = table.schema.foreign_keys.iter().any(|key| key.parent == table.schema.name);
    Ok(refers_to_itself && deleted > 0 && deleted < asked)
}

/// Rows of a load that still stand, and those that the application has written to since or deleted.
fn still_known<A: Access>(work: &mut Work<'_, A>, table: &Arc<Table>) -> Result<Vec<(Key, RowState)>> {
    let noted = work.db.noted_keys(table)?;
    let mut left = Vec::new();
    each_piece(work, table, |work, rows| {
        let named: Vec<_> = rows.iter().map(|(key, _)| (table.clone(), key.clone())).collect();
        work.db.expect(&named)?;
        for (key, state) in rows {
            if noted.contains(&key) || work.db.read(table, &key_values(&key)?)?.is_some() {
                left.push((key, state));
            }
        }
        Ok(())
    })?;
    Ok(left)
}

/// Visits what is remembered of the rows of a table that are shown, some at a time.
fn each_piece<A: Access>(
    work: &mut Work<'_, A>,
    table: &Table,
    mut visit: impl FnMut(&mut Work<'_, A>, Vec<(Key, RowState)>) -> Result<()>,
) -> Result<()> {
    let mut after = Vec::new();
    loop {
        let (rows, bytes) = (limits::SNAPSHOT_CHUNK_ROWS, limits::SNAPSHOT_CHUNK_BYTES_TARGET);
        let states = work.db.states_after(table.number, &after, rows, bytes)?;
        let Some((last, _)) = states.last() else { return Ok(()) };
        after.clone_from(last);
        let mut shown = Vec::with_capacity(states.len());
        for (key, state) in states {
            let state = row_states::decode(&state, work.origins)?;
            if state.is_shown() {
                shown.push((Key(key), state));
            }
        }
        visit(work, shown)?;
    }
}

/// Rows that stood here before Rowmesh came cannot be loaded over. What the application writes meanwhile is noted, and may; so may what stayed.
fn refuse_rows<A: Access>(work: &Work<'_, A>, stayed: &Stayed) -> Result<()> {
    let mut full = Vec::new();
    for table in work.registry.all() {
        let mut noted = work.db.noted_keys(&table)?;
        noted.extend(stayed.get(&table.number).into_iter().flatten().cloned());
        let count = count_unnoted(work, &table, &noted, true)?;
        if count > 0 {
            full.push((table, noted));
        }
    }
    let mut told = Vec::new();
    for (table, noted) in &full {
        told.push(format!("{} ({} rows)", table.schema.name, count_unnoted(work, table, noted, false)?));
    }
    if told.is_empty() {
        return Ok(());
    }
    Err(StoreError::needs_person(
        "RM5504",
        format!("this database already holds rows: {}", told.join(", ")),
        "join with a database whose tables are empty; merging two filled databases is not possible in this version",
    )
    .into())
}

/// How many rows nobody noted; whether there is any, if that is enough.
fn count_unnoted<A: Access>(
    work: &Work<'_, A>,
    table: &Table,
    noted: &HashSet<Key>,
    only_whether: bool,
) -> Result<u64> {
    let mut count = 0;
    work.db.each_key(table, &mut |values| {
        count += u64::from(!noted.contains(&Key::of(&values)));
        Ok(if count > 0 && only_whether { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(count)
}

//! One transaction of ours and all that it needs at hand. Begins and ends no transaction: `engine` does.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rowmesh_core::changeset::Changeset;
use rowmesh_core::clock::WallTime;
use rowmesh_core::encode::Writer;
use rowmesh_core::event::{Context, Event, EventId, Operation};
use rowmesh_core::ident::{Dot, Origin};
use rowmesh_core::ledger::{self, ConflictType, Entry, RowEvent};
use rowmesh_core::limits;
use rowmesh_core::row_state::{Changes, ColumnIx, OriginTable, RowState, Shown, Stamp};
use rowmesh_core::schema::TableSchema;
use rowmesh_core::store::{Standing, StoreError};
use rowmesh_core::value::{ColumnName, Key, Value};

use crate::births::Places;
use crate::database::{Access, ParkedRow};
use crate::decoded::Decoded;
use crate::exceptions::Known;
use crate::fault::{Error, Result};
use crate::ledger_rows;
use crate::log;
use crate::origins::Origins;
use crate::registry::{Registry, Table, TableNumber};
use crate::row_states;
use crate::scope::Membership;

/// A transaction in progress.
pub struct Work<'a, A> {
    /// The database, inside a transaction.
    pub db: &'a A,
    /// Origins and with them the version vector.
    pub origins: &'a mut Origins,
    /// Tables and columns.
    pub registry: &'a mut Registry,
    /// Mesh, key, policies, scope.
    pub standing: Option<&'a Standing>,
    /// Which rows the filters hold back.
    pub membership: &'a mut Membership,
    /// This database's origin.
    pub own: Origin,
    /// This machine's clock.
    pub now: WallTime,
    /// Changesets decoded lately.
    pub decoded: &'a mut Decoded,
    /// Whether anything is parked, as far as is known.
    pub has_parked: bool,
    /// Whether each changeset is shown before the next is looked at: what a row shows that has to wait is what stood before the first that it
    /// cannot show.
    pub one_by_one: &'a mut bool,
    /// Rows that do not show a unique value which they claim.
    pub exceptions: Known,
    /// Tables in which rows may be shown under other numbers than their own.
    pub lost_numbers: &'a mut BTreeSet<TableNumber>,
    /// Rows that were come to from others: they are locked first by the next attempt, if there has to be one.
    pub drawn_in: &'a mut Vec<(Arc<Table>, Key)>,
    /// Room for the bytes of a row state.
    pub bytes: Writer,
    /// By table, how many rows more are shown than at the transaction's beginning.
    pub shown: HashMap<TableNumber, i64>,
    /// Ledger entries that this transaction added.
    pub conflicts: u64,
}

impl<'a, A: Access> Work<'a, A> {
    /// Mesh, key, policies, scope.
    ///
    /// # Errors
    /// If the roster has not been read yet.
    pub fn standing(&self) -> Result<&'a Standing> {
        self.standing.ok_or_else(|| Error::inconsistent("a transaction before the roster was known"))
    }

    /// What this node knows now, less what it holds parked: the context of what it seals about these rows.
    pub fn context(&self, rows: &[(TableNumber, Key)]) -> Result<Context> {
        Ok(Context { vector: self.origins.vector(), parked: Arc::new(self.parked_events(rows)?) })
    }

    /// Brings the ledger's entries of one row, whose state is `state` now, up to date. `news` tells what can have changed them.
    pub fn refresh_ledger(&mut self, table: TableNumber, key: &Key, state: &RowState, news: News) -> Result<()> {
        let name =
            self.registry.name(table).cloned().ok_or_else(|| Error::inconsistent("a row of a table without a name"))?;
        let identity = self.identity(table, key, state);
        let policies = self.standing()?.policies.clone();
        match news {
            News::Everything => {
                let events = log::events_of_row(self.db, self.decoded, table, key)?;
                let entries = ledger::entries(&name, &identity, &events, &policies);
                self.conflicts += ledger_rows::save(self.db, self.origins, &entries, self.now)?;
            }
            News::Event { event, turned } => {
                let unseen = self.unseen_by((table, key), (&name, &identity), &event.stamp.dot, &event.context)?;
                let mut entries = ledger::entries_after(&name, &identity, &event, &unseen, &policies);
                for entry in &mut entries {
                    entry.superseded = !self.is_open(table, state, &entry.id.loser, entry.id.column.as_ref())?;
                }
                self.conflicts += ledger_rows::save_later(self.db, self.origins, &entries, self.now)?;
                for told in self.db.entries_of_row(&name, &identity, !turned)? {
                    let loser = ledger_rows::loser_of(&told, self.origins)?;
                    let is_open = self.is_open(table, state, &loser, told.column.as_ref())?;
                    ledger_rows::set_open(self.db, &told, is_open)?;
                }
            }
        }
        Ok(())
    }

    /// Brings the ledger's entries of one row, by its identity, that a rule between rows tells up to date.
    pub fn tell(&mut self, table: TableNumber, identity: &Key, kind: ConflictType, entries: &[Entry]) -> Result<()> {
        let name =
            self.registry.name(table).cloned().ok_or_else(|| Error::inconsistent("a row of a table without a name"))?;
        let row = (&name, identity);
        self.conflicts += ledger_rows::save_told(self.db, self.origins, row, (kind, entries), self.now)?;
        Ok(())
    }

    fn is_open(
        &mut self,
        table: TableNumber,
        state: &RowState,
        loser: &Dot,
        column: Option<&ColumnName>,
    ) -> Result<bool> {
        let number = |name| self.registry.column_number(self.db, table, name);
        Ok(state.is_open(loser, column.map(number).transpose()?))
    }

    /// Finds in the log what writes that stand side by side left and have not seen, where the state lacks it.
    pub fn remember_rows(&mut self, table: TableNumber, key: &Key, state: &mut RowState) -> Result<()> {
        for stamp in state.rows_not_remembered() {
            let event = log::event_of(self.db, self.origins, self.decoded, table, key, &stamp.dot)?;
            let Some(after) = event.and_then(|event| event.after()) else { continue };
            let mut image = Vec::with_capacity(after.len());
            for (column, value) in after {
                image.push((self.registry.column_number(self.db, table, &column)?, value));
            }
            image.sort_by_key(|(column, _)| *column);
            state.remember_row(stamp, image);
        }
        self.remember_missed(table, key, state)
    }

    /// Finds in the log what writes of contested numbers have not seen, where the state lacks it.
    fn remember_missed(&mut self, table: TableNumber, key: &Key, state: &mut RowState) -> Result<()> {
        let wanted = state.missed_not_remembered();
        let stamps: BTreeSet<Stamp> = wanted.iter().map(|(_, stamp)| *stamp).collect();
        let Some(table_name) = self.registry.name(table).cloned() else { return Ok(()) };
        let identity = self.identity(table, key, state);
        for stamp in stamps {
            let event = log::event_of(self.db, self.origins, self.decoded, table, key, &stamp.dot)?;
            let Some(event) = event else { continue };
            let unseen = self.unseen_by((table, key), (&table_name, &identity), &stamp.dot, &event.context)?;
            let names = self.registry.column_names(table);
            for (column, _) in wanted.iter().filter(|(_, of)| *of == stamp) {
                let Some(name) = names.get(usize::from(column.0)) else { continue };
                state.remember_missed(*column, stamp, Changes::to(name, &unseen));
            }
        }
        Ok(())
    }

    /// The events of a row that one which is in the log has not seen, and that have not seen it.
    fn unseen_by(
        &mut self,
        place: (TableNumber, &Key),
        row: (&str, &Key),
        dot: &Dot,
        context: &Context,
    ) -> Result<Vec<Arc<RowEvent>>> {
        log::events_unseen(self.db, self.origins, self.decoded, place, row, dot, context)
    }

    /// Keeps an event from being shown until the cause is gone.
    pub fn park(&mut self, table: TableNumber, key: &Key, dot: Dot, reason: &str) -> Result<()> {
        let origin = self.origins.number(&dot.origin);
        self.origins.store_new(self.db)?;
        self.has_parked = true;
        let (key, reason) = (key.clone(), reason.to_owned());
        self.db.park(&ParkedRow { table, key, origin, seq: dot.seq, reason, since: self.now })
    }

    /// Parks every write that a row lives by; returns how many.
    pub fn park_all(&mut self, table: TableNumber, key: &Key, state: &RowState, reason: &str) -> Result<u64> {
        for live in &state.live {
            self.park(table, key, live.dot, reason)?;
        }
        Ok(state.live.len() as u64)
    }

    /// The parked events that a changeset about these rows names: all there are or, where they are more than it can name, those of the rows
    /// themselves. Whether an event has seen another is asked within one row only, so those it must name.
    fn parked_events(&self, rows: &[(TableNumber, Key)]) -> Result<Vec<EventId>> {
        let count = self.db.count_parked()?;
        let mut parked = Vec::new();
        if count <= limits::PARKED_NAMED_MAX as u64 {
            if count > 0 {
                self.name_parked(self.db.parked(None)?, &mut parked)?;
            }
        } else {
            for (table, key) in rows {
                self.name_parked(self.db.parked(Some((*table, key)))?, &mut parked)?;
            }
        }
        if parked.len() > limits::PARKED_NAMED_MAX {
            let message = format!("{} events wait to be shown in rows that were edited here", parked.len());
            return Err(StoreError::needs_person("RM5105", message, "rowmesh status tells what they wait for").into());
        }
        parked.sort();
        parked.dedup();
        Ok(parked)
    }

    fn name_parked(&self, rows: Vec<ParkedRow>, parked: &mut Vec<EventId>) -> Result<()> {
        for row in rows {
            let table = self.registry.name(row.table).cloned();
            let table = table.ok_or_else(|| Error::inconsistent("a parked event of an unknown table"))?;
            let has_numbers = self.registry.tracked(row.table).is_some_and(|table| table.has_numbers_in_key());
            let key = if has_numbers {
                let state = row_states::load(self.db, self.origins, row.table, &row.key)?;
                self.identity(row.table, &row.key, &state)
            } else {
                row.key
            };
            parked.push(EventId { dot: self.origins.dot(row.origin, row.seq)?, table, key });
        }
        Ok(())
    }

    /// Where rows are shown.
    pub fn places(&self) -> Places<'_, A> {
        Places { db: self.db, lost_numbers: self.lost_numbers }
    }

    /// What events call the row that is remembered under a key.
    pub fn identity(&self, table: TableNumber, place: &Key, state: &RowState) -> Key {
        match self.registry.tracked(table).filter(|table| table.has_numbers_in_key()) {
            Some(table) => state.identity(&table.key_columns(), place),
            None => place.clone(),
        }
    }
}

/// What can have changed the ledger's entries of a row.
pub enum News {
    /// One event, which is in the log and in the row's state.
    Event {
        /// It.
        event: Box<RowEvent>,
        /// Whether entries that were settled may be open again: the row came to life or died by it, or it is a delete, which stands against every
        /// write that lives.
        turned: bool,
    },
    /// It is not known what happened.
    Everything,
}

impl News {
    /// What an event means for a row that lived, or did not, and lives now, or does not.
    pub fn of(changeset: &Changeset, event: &Event, lived: bool, lives: bool) -> News {
        let turned = lived != lives || event.operation == Operation::Delete;
        News::Event { event: Box::new(log::row_event(changeset, event)), turned }
    }
}

/// The row that a state says is shown, in the order of the table; columns that nobody wrote have the table's default, those of the key, which may
/// have had other names when the row was written, the key's values.
pub fn shown_row(table: &Table, key: &Key, state: &RowState) -> Option<Vec<Value>> {
    state.is_shown().then(|| {
        let unwritten = |position: usize| {
            let of_key = table.schema.key.iter().position(|column| *column == position);
            let value = of_key.and_then(|part| key.values().ok()?.into_iter().nth(part));
            value.or_else(|| table.schema.columns[position].default.clone()).unwrap_or(Value::Null)
        };
        let columns = table.columns.iter().enumerate();
        columns
            .map(|(position, number)| state.shown_value(*number).map_or_else(|| unwritten(position), Cow::into_owned))
            .collect()
    })
}

/// Remembers that this row stands in the table: as the one maximal write of each column where that is so, else as its own image. A column that is
/// not here is shown nowhere: when it comes, what was written to it is not taken for what stands in it.
pub fn remember_shown(table: &Table, state: &mut RowState, row: &[Value]) {
    let as_written = state.registers.iter().enumerate().all(|(number, register)| {
        let Some(position) = table.position(ColumnIx(number as u16)) else { return register.writes().is_empty() };
        match register.writes() {
            [] => is_default(&table.schema, position, &row[position]),
            [written] => *written.value.plain() == row[position],
            _ => false,
        }
    });
    state.shown = if as_written {
        Shown::AsWritten
    } else {
        let mut image: Vec<_> = table.columns.iter().copied().zip(row.iter().cloned()).collect();
        image.sort_by_key(|(column, _)| *column);
        Shown::Image(image)
    };
}

/// Whether a value is what a row gets that does not name the column.
pub fn is_default(schema: &TableSchema, position: usize, value: &Value) -> bool {
    match &schema.columns[position].default {
        Some(default) => default == value,
        None => value.is_null(),
    }
}

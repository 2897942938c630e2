//! Rows that show something else than their states tell by now: values came before their columns were here, and the table has them since; or people
//! have changed a policy. Which tables may hold such rows is found out by whoever follows the schema, and by `ruled`.

use std::collections::{BTreeMap, BTreeSet};

use rowmesh_core::clock::WallTime;
use rowmesh_core::encode::Reader;
use rowmesh_core::ident::Dot;
use rowmesh_core::policy::ColumnPolicy;
use rowmesh_core::row_state::{self, ColumnIx, RowState};
use rowmesh_core::show::{self, Choice};
use rowmesh_core::store::{ParkedView, StoreResult};
use rowmesh_core::value::{Key, TableName, Value};

use super::{End, Engine};
use crate::apply::{self, Refused};
use crate::changes::TableChange;
use crate::database::{Access, Database, Names, Rows, States};
use crate::fault::Error;
use crate::registry::{Table, TableNumber};
use crate::seal;
use crate::work::is_default;

/// A row that shows something else than its state tells, because the database refuses that.
pub(super) struct Waiting {
    newest: Dot,
    reason: String,
    since: WallTime,
}

/// Rows that one transaction shows anew.
const ROWS_AT_ONCE: usize = 500;

/// Tables that may have such columns now.
pub(super) fn tables(changes: &[TableChange]) -> impl Iterator<Item = TableName> {
    changes.iter().filter(|change| change.kind.may_show_more()).map(|change| change.table.clone())
}

impl<D: Database> Engine<D> {
    /// Shows what the row states of tables tell, of columns that they did not have when they were shown last and by policies that they were not
    /// shown by, and so has done all that following the schema and the roster left to do.
    pub(super) fn show_late(&mut self, now: WallTime) -> StoreResult<()> {
        if self.standing.is_none() {
            return Ok(());
        }
        while let Some(table) = self.to_show.first().cloned() {
            if !self.returned.is_empty() {
                // Whatever begins forgets first what was shown in columns that are back: else their rows seem to show everything.
                self.in_transaction(|_| Ok(End::Rollback(())))?;
            }
            for keys in self.rows_shown_otherwise(&table)?.chunks(ROWS_AT_ONCE) {
                while !self.following(|engine| engine.show_rows(&table, keys, now))? {}
            }
            if let Some(number) = self.registry.tracked_by_name(&table).map(|table| table.number) {
                self.write(|db| db.trust(number))?;
            }
            self.set_ruled(&table)?;
            self.doubt_parents(&table)?;
            self.to_show.remove(&table);
        }
        Ok(())
    }

    /// Tries again to show the rows that the database refused. Returns how many still wait.
    pub(super) fn retry_waiting(&mut self, now: WallTime) -> StoreResult<u64> {
        let tables: BTreeSet<TableNumber> = self.waiting.keys().map(|(table, _)| *table).collect();
        for number in tables {
            let keys: Vec<Key> =
                self.waiting.keys().filter(|(table, _)| *table == number).map(|(_, key)| key.clone()).collect();
            let Some(table) = self.registry.tracked(number).map(|table| table.schema.name.clone()) else {
                self.waiting.retain(|(table, _), _| *table != number);
                continue;
            };
            for keys in keys.chunks(ROWS_AT_ONCE) {
                while !self.following(|engine| engine.show_rows(&table, keys, now))? {}
            }
            self.set_ruled(&table)?;
        }
        Ok(self.waiting.len() as u64)
    }

    /// What those rows are, for people.
    pub(super) fn waiting(&self, is_meant: impl Fn(&(TableNumber, Key)) -> bool) -> impl Iterator<Item = ParkedView> {
        let meant = self.waiting.iter().filter(move |(row, _)| is_meant(row));
        meant.map(|((table, key), waiting)| ParkedView {
            dot: waiting.newest,
            table: self.registry.name(*table).map_or_else(String::new, ToString::to_string),
            key: key.to_display(),
            reason: waiting.reason.clone(),
            since: waiting.since,
        })
    }

    /// Whether rows of a table do.
    pub(super) fn waits(&self, table: TableNumber) -> bool {
        self.waiting.keys().any(|(of, _)| *of == table)
    }

    fn rows_shown_otherwise(&self, table: &str) -> StoreResult<Vec<Key>> {
        let Some(table) = self.registry.tracked_by_name(table) else { return Ok(Vec::new()) };
        let names = self.registry.column_names(table.number);
        let policy = self.standing()?.policies.current().table(&table.schema.name);
        let mut keys = Vec::new();
        self.database.access().each_state(table.number, &mut |key, bytes| {
            let state = row_state::decode(&mut Reader::new(bytes), &self.origins);
            let state = state.map_err(|source| Error::damaged("a row state", source))?;
            let counts = |(column, _): &(ColumnIx, _)| {
                let name = names.get(usize::from(column.0));
                name.is_some_and(|name| *policy.column(name) == ColumnPolicy::Counter)
            };
            // What a column comes to is not known of writes that met before sums were kept.
            let lacks_sums = state.missed_not_remembered().iter().any(counts);
            if lacks_sums || is_shown_otherwise(table, &state, &show::show(&state, policy, names)) {
                keys.push(key);
            }
            Ok(())
        })?;
        Ok(keys)
    }

    /// Shows some rows, once everything that was written to them here is sealed; `false` if that is not yet.
    pub(super) fn show_rows(&mut self, table: &str, keys: &[Key], now: WallTime) -> StoreResult<bool> {
        let refused = self.in_transaction_with_round(|work, round| {
            work.now = now;
            let Some(table) = work.registry.tracked_by_name(table).cloned() else {
                return Ok(End::Rollback(Some(Vec::new())));
            };
            let mut rows: Vec<_> = keys.iter().map(|key| (table.clone(), key.clone())).collect();
            rows.append(work.drawn_in);
            let locked = work.db.lock(&rows)?;
            let part = seal::seal_part(work, round, D::UNIT_ROWS)?;
            if part.more || (part.spent && work.db.lock(&rows)? > locked) {
                return Ok(End::Commit(None));
            }
            if D::Access::<'_>::IS_REMOTE {
                work.db.expect_states(&rows)?;
            }
            let named: Vec<_> = keys.iter().map(|key| (table.number, key.clone())).collect();
            Ok(End::Commit(Some(apply::show_anew(work, &named)?)))
        })?;
        let Some(refused) = refused else { return Ok(false) };
        let number = self.registry.tracked_by_name(table).map(|table| table.number);
        let is_of_these = |row: &(TableNumber, Key)| Some(row.0) == number && keys.contains(&row.1);
        let (before, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(row, _)| is_of_these(row));
        self.waiting = others;
        for Refused { table, key, newest, reason } in refused {
            let since = before.get(&(table, key.clone())).map_or(now, |waiting| waiting.since);
            self.waiting.insert((table, key), Waiting { newest: newest.unwrap_or_default(), reason, since });
        }
        Ok(true)
    }
}

/// Whether what stands is something else than a row's writes tell.
fn is_shown_otherwise(table: &Table, state: &RowState, choice: &Choice) -> bool {
    let Choice::Present(image) = choice else { return state.is_shown() };
    let is_shown = |(column, value): &(ColumnIx, Value)| {
        let Some(position) = table.position(*column) else { return true };
        match state.shown_value(*column) {
            Some(shown) => *shown == *value.plain(),
            None => is_default(&table.schema, position, value),
        }
    };
    !state.is_shown() || !image.iter().all(is_shown)
}

//! Columns that were dropped here and are back: what was shown in them once went with them. Until that is forgotten no transaction of the engine
//! begins, so that nobody takes what the new column begins with for what a person wrote. The values themselves stay in the row states, from where
//! `late` shows them.

use rowmesh_core::encode::Writer;
use rowmesh_core::row_state::{self, ColumnIx};
use rowmesh_core::value::Key;

use super::Engine;
use crate::database::{Access, Database, Names, States};
use crate::fault::Result;
use crate::lacked::{self, Lacked};
use crate::registry::TableNumber;
use crate::row_states;

/// Rows that one transaction goes over: an application may wait for it.
const ROWS_AT_ONCE: usize = 500;

impl<D: Database> Engine<D> {
    /// The columns that are back.
    pub(super) fn find_returned(&self) -> Result<Lacked> {
        let lacked = lacked::read(self.database.access().fact(lacked::FACT)?.as_ref());
        let is_back = |(table, column): &(TableNumber, ColumnIx)| {
            self.registry.tracked(*table).is_some_and(|table| table.position(*column).is_some())
        };
        Ok(lacked.into_iter().filter(is_back).collect())
    }

    /// Forgets of every row what was shown in columns that are back. Cut short anywhere, it is done again from the start: as nothing is sealed or
    /// shown before its end, it comes to the same.
    pub(super) fn forget_returned(&mut self) -> Result<()> {
        if self.returned.is_empty() {
            return Ok(());
        }
        self.check_content()?;
        let tables: std::collections::BTreeSet<TableNumber> = self.returned.iter().map(|(table, _)| *table).collect();
        for table in tables {
            let back = self.returned.iter().filter(|(of, _)| *of == table).map(|(_, column)| *column);
            let columns: Vec<ColumnIx> = back.collect();
            for keys in self.rows_showing(table, &columns)?.chunks(ROWS_AT_ONCE) {
                self.forget_in(table, keys, &columns)?;
            }
        }
        let back = std::mem::take(&mut self.returned);
        let done = self.write(|db| {
            let lacked = lacked::read(db.fact(lacked::FACT)?.as_ref());
            db.set_fact(lacked::FACT, &lacked::write(&lacked.difference(&back).copied().collect()))
        });
        if done.is_err() {
            self.returned = back;
        }
        done
    }

    /// Rows of which something is remembered as shown in one of these columns.
    fn rows_showing(&self, table: TableNumber, columns: &[ColumnIx]) -> Result<Vec<Key>> {
        let mut keys = Vec::new();
        self.database.access().each_state(table, &mut |key, bytes| {
            let state = row_states::decode(bytes, &self.origins)?;
            if columns.iter().any(|column| state.shown_value(*column).is_some()) {
                keys.push(key);
            }
            Ok(())
        })?;
        Ok(keys)
    }

    fn forget_in(&mut self, table: TableNumber, keys: &[Key], columns: &[ColumnIx]) -> Result<()> {
        self.write_knowing(|db, origins, registry| {
            if D::Access::<'_>::IS_REMOTE
                && let Some(table) = registry.tracked(table)
            {
                db.expect_states(&keys.iter().map(|key| (table.clone(), key.clone())).collect::<Vec<_>>())?;
            }
            for key in keys {
                let found = db.state(table, key, |bytes| row_states::decode(bytes, origins))?;
                let Some((place, mut state)) = found else { continue };
                row_states::forget_shown(&mut state, columns);
                let mut bytes = Writer::default();
                row_state::encode(&state, origins, &mut bytes);
                db.save_state(Some(place), table, key, &bytes.0)?;
            }
            Ok(())
        })
    }
}

//! Rows that did not show what was written to them, and may show it now: the application gave a unique value free, brought back what they refer to, or
//! needs it no more; or schema or policies are others. They are looked at again in transactions of their own. What they show then is decided in
//! `collisions` and `orphans`.

use std::collections::{BTreeMap, BTreeSet};

use rowmesh_core::clock::WallTime;
use rowmesh_core::store::StoreResult;
use rowmesh_core::value::Key;

use super::{End, Engine};
use crate::changes::TableChange;
use crate::database::{Database, Exceptions};
use crate::fault::Result;
use crate::registry::TableNumber;

/// Rows that are looked at again at once.
const ROWS_AT_ONCE: usize = 500;

impl<D: Database> Engine<D> {
    /// Looks at them again. What fails is left for the next time: what brought it up has happened.
    pub(super) fn settle_doubted(&mut self, now: WallTime) {
        if self.standing.is_none() || self.load.is_some() {
            return;
        }
        if let Err(error) = self.try_to_settle_doubted(now) {
            tracing::debug!(%error, "rows that may show a unique value now are looked at later");
        }
    }

    fn try_to_settle_doubted(&mut self, now: WallTime) -> StoreResult<()> {
        let mut looked = BTreeSet::new();
        while self.exceptions.any_doubted {
            let rows = self.database.access().doubted(ROWS_AT_ONCE)?;
            self.exceptions.any_doubted = !rows.is_empty();
            let mut tables: BTreeMap<TableNumber, Vec<Key>> = BTreeMap::new();
            for (table, key) in rows {
                if !looked.insert((table, key.clone())) {
                    // Others gave way to it meanwhile, or it to others: the next time is soon enough.
                    return Ok(());
                }
                tables.entry(table).or_default().push(key);
            }
            for (table, keys) in tables {
                self.settle_in_table(table, &keys, now)?;
            }
        }
        Ok(())
    }

    fn settle_in_table(&mut self, table: TableNumber, keys: &[Key], now: WallTime) -> StoreResult<()> {
        let Some(name) = self.registry.tracked(table).map(|table| table.schema.name.clone()) else {
            // A table that is not here shows nothing; when it comes, what it holds is looked at.
            return self.in_transaction(|work| {
                for key in keys {
                    work.exceptions.set(work.db, table, key, BTreeSet::new())?;
                }
                Ok(End::Commit(()))
            });
        };
        while !self.following(|engine| engine.show_rows(&name, keys, now))? {}
        Ok(())
    }

    /// At a start all are looked at: the schema may have changed meanwhile, or the last process may have ended before it had looked.
    pub(super) fn doubt_all(&mut self) -> Result<()> {
        if !self.exceptions.any {
            return Ok(());
        }
        let tables = self.registry.all();
        let doubted = self.write(|db| tables.iter().map(|table| db.doubt_all(table.number)).sum::<Result<u64>>())?;
        self.exceptions.any_doubted |= doubted > 0;
        Ok(())
    }

    /// By another policy rows may need what they refer to no more.
    pub(super) fn doubt_parents(&mut self, table: &str) -> Result<()> {
        let Some(table) = self.registry.tracked_by_name(table) else { return Ok(()) };
        if !self.exceptions.any {
            return Ok(());
        }
        let parents = table.schema.foreign_keys.iter();
        let parents: BTreeSet<TableNumber> =
            parents.filter_map(|key| self.registry.known_number(&key.parent)).collect();
        let doubted = self.write(|db| parents.iter().map(|parent| db.doubt_all(*parent)).sum::<Result<u64>>())?;
        self.exceptions.any_doubted |= doubted > 0;
        Ok(())
    }

    /// Under another schema tables may have other unique indexes, and others may refer to them.
    pub(super) fn doubt_changed(&mut self, changes: &[TableChange]) -> Result<()> {
        if changes.is_empty() { Ok(()) } else { self.doubt_all() }
    }
}

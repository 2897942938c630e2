//! By which meaning of the filters the rows of each table were judged last: a change of the schema may give them another, and whoever ends before all
//! rows are judged by it goes on where it was. A change of the filters themselves is `judge_anew`'s.

use super::Engine;
use super::by_table::ByTable;
use crate::database::{Access, Database, Names};
use crate::fault::Result;
use crate::work::Work;

/// The fact that tells them, by hash; a table for which the filters mean nothing is not in it.
const FACT: &str = "judged";

impl<D: Database> Engine<D> {
    /// Remembers to compare the tables whose rows were judged by another meaning than the filters have now.
    pub(super) fn find_judged_otherwise(&mut self) -> Result<()> {
        if self.standing.is_none() {
            return Ok(());
        }
        let Some(fact) = self.database.access().fact(FACT)? else { return Ok(()) };
        let judged = ByTable::read(&fact);
        for table in self.registry.all() {
            let meaning = self.membership.meaning(&table.schema.name).map(|meaning| meaning.to_string());
            if !judged.says(table.number, meaning.as_ref()) {
                self.to_reconcile.insert(table.schema.name.clone());
            }
        }
        Ok(())
    }

    /// Writes down that the rows of a table are judged by what the filters mean now.
    pub(super) fn set_judged(&mut self, table: &str) -> Result<()> {
        let Some(number) = self.registry.tracked_by_name(table).map(|table| table.number) else { return Ok(()) };
        let Some(fact) = self.database.access().fact(FACT)? else { return Ok(()) };
        let mut judged = ByTable::read(&fact);
        let meaning = self.membership.meaning(table).map(|meaning| meaning.to_string());
        if judged.says(number, meaning.as_ref()) {
            return Ok(());
        }
        judged.set(number, meaning);
        self.write(|db| db.set_fact(FACT, &judged.write()))
    }
}

/// Writes it down of all tables: their rows were all judged, or none stood there before.
pub(super) fn set_all<A: Access>(work: &mut Work<'_, A>) -> Result<()> {
    let tables = work.registry.all();
    let meaning = |table: &str| work.membership.meaning(table).map(|meaning| meaning.to_string());
    let judged: ByTable =
        tables.iter().filter_map(|table| Some((table.number, meaning(&table.schema.name)?))).collect();
    work.db.set_fact(FACT, &judged.write())
}

//! Rows of one set that want what others of it have: how they change places, and who gives way where one of them has to stay. How a row is inserted
//! and what refuses it is each database's business; which rows cannot stand is found out there too.

use std::sync::Arc;

use rowmesh_core::value::Value;

use crate::database::Rows;
use crate::fault::Result;
use crate::registry::Table;
use crate::write::RowWrite;

/// Rows that are being written, each known by its position.
pub trait Rivals {
    /// The application's tables.
    type Rows: Rows;

    /// Those that the rows go into.
    fn rows(&self) -> &Self::Rows;

    /// What is to be written.
    fn writes(&self) -> &[RowWrite];

    /// Why a row stands as it did, by position.
    fn refused(&self) -> &[Option<String>];

    /// Says why a row stands as it did.
    fn refuse(&mut self, position: usize, reason: String);

    /// Inserts one row in its new image; why not, if it cannot be.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn insert_whole(&self, position: usize) -> Result<Option<String>>;

    /// Inserts one row as it was before; whether its place was free. What else has come under its key stays.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn insert_before(&self, table: &Table, before: &[Value]) -> Result<bool>;

    /// Rows that were written as they should be.
    fn written(&self) -> impl Iterator<Item = (usize, &RowWrite, &Arc<Table>)> {
        let rows = self
            .writes()
            .iter()
            .enumerate()
            .filter(|(position, write)| self.refused()[*position].is_none() && !write.is_idle());
        rows.filter_map(|(position, write)| Some((position, write, write.table.as_ref()?)))
    }

    /// Rows whose unique values another row of the same set still held: out of the way all together, then back in at their new places.
    /// Succeeds whenever the final state is legal.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn change_places(&mut self, blocked: &[usize]) -> Result<()> {
        for position in blocked {
            self.delete_row(*position)?;
        }
        let mut refused = Vec::new();
        for position in blocked {
            let Some(reason) = self.insert_whole(*position)? else { continue };
            self.refuse(*position, reason);
            refused.push(*position);
        }
        // A row that cannot stand in its new image goes back to the old one, as far as that is still free.
        for position in refused {
            if !self.put_back(position)? {
                self.make_room(position)?;
            }
        }
        Ok(())
    }

    /// Undoes a write that was made.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn take_back(&mut self, position: usize) -> Result<()> {
        if !self.stands_as_before(position)? {
            self.make_room(position)?;
        }
        Ok(())
    }

    /// Takes back what other rows of the set were given in the place of this one, which has to stay: it may be that rows refer to it.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn make_room(&mut self, position: usize) -> Result<()> {
        let mut aside = Vec::new();
        let mut stands = false;
        for other in self.rivals(position) {
            self.stands_as_before(other)?;
            aside.push(other);
            stands = self.put_back(position)?;
            if stands {
                break;
            }
        }
        // Most of them were in nobody's way.
        for other in aside {
            self.delete_row(other)?;
            if let Some(reason) = self.insert_whole(other)? {
                self.refuse(other, format!("a row that has to stay is in its place: {reason}"));
                self.stands_as_before(other)?;
            }
        }
        if !stands && let Some(table) = &self.writes()[position].table {
            tracing::warn!(table = %table.schema.name, "a parked row's old place is taken: it is hidden until the cause is gone");
        }
        Ok(())
    }

    /// Rows that were written to the same table, those first that have a unique value of the row's.
    fn rivals(&self, position: usize) -> Vec<usize> {
        let write = &self.writes()[position];
        let (Some(table), Some(before)) = (&write.table, &write.before) else { return Vec::new() };
        let has_same = |row: &[Value]| {
            let mut uniques = table.schema.uniques.iter();
            uniques.any(|index| index.parts.iter().flatten().all(|part| row[part.column] == before[part.column]))
        };
        let others = self.written().filter(|(other, _, of)| *other != position && of.number == table.number);
        let others = others.filter_map(|(other, write, of)| Some((!has_same(&write.final_row(of)?), other)));
        let mut others: Vec<(bool, usize)> = others.collect();
        others.sort_unstable();
        others.into_iter().map(|(_, other)| other).collect()
    }

    /// Brings a row that was written back to what it was, or away if it was not there; whether its place was free.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn stands_as_before(&self, position: usize) -> Result<bool> {
        self.delete_row(position)?;
        self.put_back(position)
    }

    /// The same for a row that does not stand.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn put_back(&self, position: usize) -> Result<bool> {
        let write = &self.writes()[position];
        let (Some(table), Some(before)) = (&write.table, &write.before) else { return Ok(true) };
        self.insert_before(table, before)
    }

    /// Takes a row away.
    ///
    /// # Errors
    /// If the database cannot be written.
    fn delete_row(&self, position: usize) -> Result<()> {
        let write = &self.writes()[position];
        if let Some(table) = &write.table {
            self.rows().delete(table, &write.values)?;
        }
        Ok(())
    }
}

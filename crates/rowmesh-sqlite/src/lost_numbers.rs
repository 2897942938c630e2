//! Rows that are shown under another number than they were born with, at rest, and what moves when one of them does. Which those are is decided in the
//! engine.

use rowmesh_core::unique::Claim;
use rowmesh_core::value::Key;
use rowmesh_engine::database::{LostNumber, LostNumbers};
use rowmesh_engine::fault::Result;
use rowmesh_engine::registry::TableNumber;
use rusqlite::params;

use crate::access::SqliteAccess;
use crate::values::read_key;

impl LostNumbers for SqliteAccess<'_> {
    fn tables_with_lost_numbers(&self) -> Result<Vec<TableNumber>> {
        self.all("SELECT DISTINCT t FROM rowmesh_lost_numbers ORDER BY t", [], |row| Ok(TableNumber(row.get(0)?)))
    }

    fn derived_place(&self, table: TableNumber, identity: &Key) -> Result<Option<Key>> {
        let sql = "SELECT place FROM rowmesh_lost_numbers WHERE t = ?1 AND identity = ?2";
        self.find(sql, params![table.0, identity.0], |row| read_key(row, 0))
    }

    fn lost_number(&self, table: TableNumber, number: i64) -> Result<Vec<(Key, Key)>> {
        let sql = "SELECT identity, place FROM rowmesh_lost_numbers WHERE t = ?1 AND number = ?2 ORDER BY identity";
        self.all(sql, params![table.0, number], |row| Ok((read_key(row, 0)?, read_key(row, 1)?)))
    }

    fn lost_numbers_after(&self, table: TableNumber, after: &Key, limit: usize) -> Result<Vec<LostNumber>> {
        let sql = "SELECT number, identity, place FROM rowmesh_lost_numbers WHERE t = ?1 AND identity > ?2 ORDER BY identity LIMIT ?3";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, read_key(row, 1)?, read_key(row, 2)?));
        self.all(sql, params![table.0, after.0, limit as i64], read)
    }

    fn set_place(&self, table: TableNumber, number: i64, identity: &Key, place: Option<&Key>) -> Result<()> {
        match place {
            Some(place) => self.run(
                "INSERT OR REPLACE INTO rowmesh_lost_numbers (t, number, identity, place) VALUES (?1, ?2, ?3, ?4)",
                params![table.0, number, identity.0, place.0],
            ),
            None => self
                .run("DELETE FROM rowmesh_lost_numbers WHERE t = ?1 AND identity = ?2", params![table.0, identity.0]),
        }
        .map(drop)
    }

    fn move_row(&self, table: TableNumber, from: &Key, to: &Key, ties: (Claim, Claim)) -> Result<()> {
        let shown = to.to_display();
        self.run(
            "UPDATE rowmesh_events SET key = ?3, record_key = ?4 WHERE t = ?1 AND key = ?2",
            params![table.0, from.0, to.0, shown],
        )?;
        for own in ["rowmesh_parked", "rowmesh_exceptions"] {
            let sql = format!("UPDATE {own} SET key = ?3 WHERE t = ?1 AND key = ?2");
            self.run(&sql, params![table.0, from.0, to.0])?;
        }
        let sql = "UPDATE rowmesh_exceptions SET claim = ?2 WHERE claim = ?1";
        self.run(sql, params![ties.0.0.0, ties.1.0.0]).map(drop)
    }
}

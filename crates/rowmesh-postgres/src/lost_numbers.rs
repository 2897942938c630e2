//! Rows that are shown under another number than they were born with, at rest, and what moves when one of them does. Which those are is decided in the
//! engine.

use rowmesh_core::unique::Claim;
use rowmesh_core::value::Key;
use rowmesh_engine::database::{LostNumber, LostNumbers};
use rowmesh_engine::fault::Result;
use rowmesh_engine::registry::TableNumber;

use crate::access::PostgresAccess;
use crate::log::key_hash;

impl LostNumbers for PostgresAccess<'_> {
    fn tables_with_lost_numbers(&self) -> Result<Vec<TableNumber>> {
        self.all("SELECT DISTINCT t FROM rowmesh.lost_numbers ORDER BY t", &[], |row| TableNumber(row.get(0)))
    }

    fn derived_place(&self, table: TableNumber, identity: &Key) -> Result<Option<Key>> {
        let sql = "SELECT place FROM rowmesh.lost_numbers WHERE t = $1 AND identity = $2";
        self.find(sql, &[&table.0, &identity.0], |row| Key(row.get(0)))
    }

    fn lost_number(&self, table: TableNumber, number: i64) -> Result<Vec<(Key, Key)>> {
        let sql = "SELECT identity, place FROM rowmesh.lost_numbers WHERE t = $1 AND number = $2 ORDER BY identity";
        self.all(sql, &[&table.0, &number], |row| (Key(row.get(0)), Key(row.get(1))))
    }

    fn lost_numbers_after(&self, table: TableNumber, after: &Key, limit: usize) -> Result<Vec<LostNumber>> {
        let sql = "SELECT number, identity, place FROM rowmesh.lost_numbers WHERE t = $1 AND identity > $2 ORDER BY identity LIMIT $3";
        let read = |row: &tokio_postgres::Row| (row.get(0), Key(row.get(1)), Key(row.get(2)));
        self.all(sql, &[&table.0, &after.0, &(limit as i64)], read)
    }

    fn set_place(&self, table: TableNumber, number: i64, identity: &Key, place: Option<&Key>) -> Result<()> {
        match place {
            Some(place) => self.run(
                "INSERT INTO rowmesh.lost_numbers (t, number, identity, place) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (t, identity) DO UPDATE SET place = excluded.place",
                &[&table.0, &number, &identity.0, &place.0],
            ),
            None => {
                self.run("DELETE FROM rowmesh.lost_numbers WHERE t = $1 AND identity = $2", &[&table.0, &identity.0])
            }
        }
        .map(drop)
    }

    fn move_row(&self, table: TableNumber, from: &Key, to: &Key, ties: (Claim, Claim)) -> Result<()> {
        self.flush_log()?;
        let shown = to.to_display();
        self.run(
            "UPDATE rowmesh.events SET key = $4, key_hash = $5, record_key = $6 WHERE key_hash = $3 AND t = $1 AND key = $2",
            &[&table.0, &from.0, &key_hash(from), &to.0, &key_hash(to), &shown],
        )?;
        for own in ["parked", "exceptions"] {
            let sql = format!("UPDATE rowmesh.{own} SET key = $3 WHERE t = $1 AND key = $2");
            self.run(&sql, &[&table.0, &from.0, &to.0])?;
        }
        let sql = "UPDATE rowmesh.exceptions SET claim = $2 WHERE claim = $1";
        self.run(sql, &[&ties.0.0.0.as_slice(), &ties.1.0.0.as_slice()]).map(drop)
    }
}

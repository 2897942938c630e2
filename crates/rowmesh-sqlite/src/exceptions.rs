//! Rows that do not show a unique value which they claim, at rest. Which those are is decided in the engine.

use rowmesh_core::ident::Digest;
use rowmesh_core::unique::Claim;
use rowmesh_core::value::Key;
use rowmesh_engine::database::Exceptions;
use rowmesh_engine::fault::Result;
use rowmesh_engine::registry::TableNumber;
use rusqlite::params;

use crate::access::SqliteAccess;
use crate::values::read_key;

impl Exceptions for SqliteAccess<'_> {
    fn set_exceptions(&self, table: TableNumber, key: &Key, claims: &[Claim]) -> Result<()> {
        self.run("DELETE FROM rowmesh_exceptions WHERE t = ?1 AND key = ?2", params![table.0, key.0])?;
        for claim in claims {
            let sql = "INSERT OR IGNORE INTO rowmesh_exceptions (t, claim, key, doubted) VALUES (?1, ?2, ?3, 0)";
            self.run(sql, params![table.0, claim.0.0, key.0])?;
        }
        Ok(())
    }

    fn exceptions(&self, table: TableNumber) -> Result<Vec<(Claim, Key)>> {
        let sql = "SELECT claim, key FROM rowmesh_exceptions WHERE t = ?1";
        self.all(sql, [table.0], |row| Ok((Claim(Digest(row.get(0)?)), read_key(row, 1)?)))
    }

    fn doubt(&self, table: TableNumber, claim: Claim) -> Result<u64> {
        let sql = "UPDATE rowmesh_exceptions SET doubted = 1 WHERE t = ?1 AND claim = ?2";
        self.run(sql, params![table.0, claim.0.0]).map(|rows| rows as u64)
    }

    fn doubt_all(&self, table: TableNumber) -> Result<u64> {
        self.run("UPDATE rowmesh_exceptions SET doubted = 1 WHERE t = ?1", [table.0]).map(|rows| rows as u64)
    }

    fn doubted(&self, limit: usize) -> Result<Vec<(TableNumber, Key)>> {
        let sql = "SELECT DISTINCT t, key FROM rowmesh_exceptions WHERE doubted = 1 ORDER BY t, key LIMIT ?1";
        self.all(sql, [limit as i64], |row| Ok((TableNumber(row.get(0)?), read_key(row, 1)?)))
    }

    fn count_exceptions(&self) -> Result<u64> {
        self.one("SELECT count(*) FROM rowmesh_exceptions", [], |row| row.get::<_, i64>(0)).map(|count| count as u64)
    }
}

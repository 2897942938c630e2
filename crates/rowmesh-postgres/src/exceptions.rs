//! Rows that do not show a unique value which they claim, at rest. Which those are is decided in the engine.

use rowmesh_core::ident::Digest;
use rowmesh_core::unique::Claim;
use rowmesh_core::value::Key;
use rowmesh_engine::database::Exceptions;
use rowmesh_engine::fault::{Error, Result};
use rowmesh_engine::registry::TableNumber;

use crate::access::PostgresAccess;

impl Exceptions for PostgresAccess<'_> {
    fn set_exceptions(&self, table: TableNumber, key: &Key, claims: &[Claim]) -> Result<()> {
        self.run("DELETE FROM rowmesh.exceptions WHERE t = $1 AND key = $2", &[&table.0, &key.0])?;
        for claim in claims {
            let sql = "INSERT INTO rowmesh.exceptions (t, claim, key, doubted) VALUES ($1, $2, $3, false) ON CONFLICT DO NOTHING";
            self.run(sql, &[&table.0, &claim.0.0.as_slice(), &key.0])?;
        }
        Ok(())
    }

    fn exceptions(&self, table: TableNumber) -> Result<Vec<(Claim, Key)>> {
        let sql = "SELECT claim, key FROM rowmesh.exceptions WHERE t = $1";
        let found: Vec<(Vec<u8>, Vec<u8>)> = self.all(sql, &[&table.0], |row| (row.get(0), row.get(1)))?;
        let read = |(claim, key): (Vec<u8>, Vec<u8>)| {
            let hash = claim.try_into().map_err(|_| Error::inconsistent("a claim that is no hash"))?;
            Ok((Claim(Digest(hash)), Key(key)))
        };
        found.into_iter().map(read).collect()
    }

    fn doubt(&self, table: TableNumber, claim: Claim) -> Result<u64> {
        let sql = "UPDATE rowmesh.exceptions SET doubted = true WHERE t = $1 AND claim = $2";
        self.run(sql, &[&table.0, &claim.0.0.as_slice()])
    }

    fn doubt_all(&self, table: TableNumber) -> Result<u64> {
        self.run("UPDATE rowmesh.exceptions SET doubted = true WHERE t = $1", &[&table.0])
    }

    fn doubted(&self, limit: usize) -> Result<Vec<(TableNumber, Key)>> {
        let sql = "SELECT DISTINCT t, key FROM rowmesh.exceptions WHERE doubted ORDER BY t, key LIMIT $1";
        self.all(sql, &[&(limit as i64)], |row| (TableNumber(row.get(0)), Key(row.get(1))))
    }

    fn count_exceptions(&self) -> Result<u64> {
        self.one("SELECT count(*) FROM rowmesh.exceptions", &[], |row| row.get::<_, i64>(0) as u64)
    }
}

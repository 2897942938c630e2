//! Events that row state holds and the tables cannot show yet, at rest. Why an event is parked is decided in the engine.

use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::Seq;
use rowmesh_core::value::Key;
use rowmesh_engine::database::{ParkedRow, Parking};
use rowmesh_engine::fault::Result;
use rowmesh_engine::registry::TableNumber;
use tokio_postgres::Row;

use crate::access::PostgresAccess;

impl Parking for PostgresAccess<'_> {
    fn park(&self, parked: &ParkedRow) -> Result<()> {
        let ParkedRow { table, key, origin, seq, reason, since } = parked;
        self.run(
            "INSERT INTO rowmesh.parked (t, key, o, seq, reason, since) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (t, key, o, seq) DO UPDATE SET reason = excluded.reason",
            &[&table.0, &key.0, &i64::from(*origin), &(seq.0 as i64), reason, &(since.0 as i64)],
        )
        .map(drop)
    }

    fn release(&self, table: TableNumber, key: &Key) -> Result<()> {
        self.run("DELETE FROM rowmesh.parked WHERE t = $1 AND key = $2", &[&table.0, &key.0]).map(drop)
    }

    fn is_parked(&self, table: TableNumber, key: &Key) -> Result<bool> {
        let sql = "SELECT 1 FROM rowmesh.parked WHERE t = $1 AND key = $2 LIMIT 1";
        Ok(self.find(sql, &[&table.0, &key.0], |_| ())?.is_some())
    }

    fn count_parked(&self) -> Result<u64> {
        self.one("SELECT count(*) FROM rowmesh.parked", &[], |row| row.get::<_, i64>(0) as u64)
    }

    fn parked(&self, row: Option<(TableNumber, &Key)>) -> Result<Vec<ParkedRow>> {
        const COLUMNS: &str = "SELECT t, key, o, seq, reason, since FROM rowmesh.parked";
        match row {
            Some((table, key)) => {
                let sql = format!("{COLUMNS} WHERE t = $1 AND key = $2 ORDER BY since");
                self.all(&sql, &[&table.0, &key.0], read)
            }
            None => self.all(&format!("{COLUMNS} ORDER BY since, t, key"), &[], read),
        }
    }

    fn parked_rows(&self) -> Result<Vec<(TableNumber, Key)>> {
        let sql = "SELECT DISTINCT t, key FROM rowmesh.parked ORDER BY t, key";
        self.all(sql, &[], |row| (TableNumber(row.get(0)), Key(row.get(1))))
    }

    fn rename_parked(&self, old: u32, new: u32, last: Seq) -> Result<()> {
        let sql = "UPDATE rowmesh.parked SET o = $2, seq = seq - $3 WHERE o = $1 AND seq > $3";
        self.run(sql, &[&i64::from(old), &i64::from(new), &(last.0 as i64)]).map(drop)
    }
}

fn read(row: &Row) -> ParkedRow {
    ParkedRow {
        table: TableNumber(row.get(0)),
        key: Key(row.get(1)),
        origin: row.get::<_, i64>(2) as u32,
        seq: Seq(row.get::<_, i64>(3) as u64),
        reason: row.get(4),
        since: WallTime(row.get::<_, i64>(5) as u64),
    }
}

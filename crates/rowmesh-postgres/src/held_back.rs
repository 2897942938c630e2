//! Rows that filters keep here, at rest. What a filter means is core's business.

use rowmesh_core::value::Key;
use rowmesh_engine::database::HeldBack;
use rowmesh_engine::fault::Result;
use rowmesh_engine::registry::TableNumber;

use crate::access::PostgresAccess;

impl HeldBack for PostgresAccess<'_> {
    fn held_back(&self, table: TableNumber, key: &Key) -> Result<Option<(String, String)>> {
        let sql = "SELECT filter, root FROM rowmesh.held_back WHERE t = $1 AND md5(key) = md5($2::bytea) AND key = $2";
        self.find(sql, &[&table.0, &key.0], |row| (row.get(0), row.get(1)))
    }

    fn hold_back(&self, table: TableNumber, key: &Key, reason: Option<(&str, &str)>) -> Result<()> {
        let Some((filter, root)) = reason else {
            return self
                .run(
                    "DELETE FROM rowmesh.held_back WHERE t = $1 AND md5(key) = md5($2::bytea) AND key = $2",
                    &[&table.0, &key.0],
                )
                .map(drop);
        };
        let sql = "INSERT INTO rowmesh.held_back (t, key, filter, root) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (t, md5(key)) DO UPDATE SET filter = excluded.filter, root = excluded.root";
        self.run(sql, &[&table.0, &key.0, &filter, &root]).map(drop)
    }

    fn count_held_back(&self, table: TableNumber, but_for: Option<&str>) -> Result<u64> {
        let sql = "SELECT count(*) FROM rowmesh.held_back WHERE t = $1 AND ($2::text IS NULL OR NOT right(filter, length($2)) = $2)";
        self.one(sql, &[&table.0, &but_for], |row| row.get::<_, i64>(0) as u64)
    }

    fn any_held_back(&self, filter: &str) -> Result<bool> {
        Ok(self.find("SELECT 1 FROM rowmesh.held_back WHERE filter = $1", &[&filter], |_| ())?.is_some())
    }

    fn forget_held_back(&self, table: TableNumber, but_for: &str, nor_for: &str) -> Result<()> {
        let sql = "DELETE FROM rowmesh.held_back WHERE t = $1 AND filter <> $2 AND right(filter, length($3)) <> $3";
        self.run(sql, &[&table.0, &but_for, &nor_for]).map(drop)
    }

    fn list_held_back(&self) -> Result<Vec<(String, String, u64)>> {
        let sql = "SELECT filter, root, count(*) FROM rowmesh.held_back GROUP BY filter, root ORDER BY filter, root";
        self.all(sql, &[], |row| (row.get(0), row.get(1), row.get::<_, i64>(2) as u64))
    }
}

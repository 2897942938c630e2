//! Keys that triggers noted in `rowmesh_dirty`. What a note means is found out by the sealer.

use std::collections::HashSet;

use rowmesh_core::clock::WallTime;
use rowmesh_core::value::{Key, Value};
use rowmesh_engine::database::{Note, NotedOperation, Notes};
use rowmesh_engine::fault::Result;
use rowmesh_engine::registry::{Registry, Table, TableNumber};
use rusqlite::types::Null;

use crate::access::SqliteAccess;
use crate::capture::noted_at;
use crate::fault::Told;
use crate::values::{bind_values, read_values};

impl Notes for SqliteAccess<'_> {
    fn notes(&self, registry: &Registry, limit: usize) -> Result<Vec<Note>> {
        let sql = "SELECT id, t, op, at, k1, k2, k3, k4, k5, k6, k7, k8 FROM rowmesh_dirty ORDER BY id LIMIT ?1";
        self.all(sql, [limit as i64], |row| {
            let table = TableNumber(row.get(1)?);
            let parts = registry.tracked(table).map_or(0, |table| table.schema.key.len());
            Ok(Note {
                id: row.get(0)?,
                table,
                operation: NotedOperation::from_number(row.get(2)?),
                at: noted_at(row.get_ref(3)?),
                key: read_values(row, 4, parts)?,
            })
        })
    }

    /// Most notes have consecutive ids, and such a run is one statement.
    fn forget_notes(&self, mut ids: Vec<i64>) -> Result<()> {
        ids.sort_unstable();
        for run in ids.chunk_by(|id, next| id.saturating_add(1) >= *next) {
            if let (Some(first), Some(last)) = (run.first(), run.last()) {
                self.run("DELETE FROM rowmesh_dirty WHERE id BETWEEN ?1 AND ?2", [first, last])?;
            }
        }
        Ok(())
    }

    fn note(&self, table: &Table, key: &[Value], now: WallTime) -> Result<()> {
        self.add_note(table.number, key, now).told()
    }

    fn noted(&self, table: &Table, key: &[Value]) -> Result<Vec<NotedOperation>> {
        self.operations(table.number, key).told()
    }

    fn noted_keys(&self, table: &Table) -> Result<HashSet<Key>> {
        let sql = "SELECT k1, k2, k3, k4, k5, k6, k7, k8 FROM rowmesh_dirty WHERE t = ?1";
        let parts = table.schema.key.len();
        let keys = self.all(sql, [table.number.0], |row| Ok(Key::of(&read_values(row, 0, parts)?)))?;
        Ok(keys.into_iter().collect())
    }

    fn any_noted(&self) -> Result<bool> {
        Ok(self.find("SELECT 1 FROM rowmesh_dirty LIMIT 1", [], |_| Ok(()))?.is_some())
    }
}

impl SqliteAccess<'_> {
    fn add_note(&self, table: TableNumber, key: &[Value], now: WallTime) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO rowmesh_dirty (t, op, at, k1, k2, k3, k4, k5, k6, k7, k8)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        for parameter in 4..=11 {
            statement.raw_bind_parameter(parameter, Null)?;
        }
        statement.raw_bind_parameter(1, table.0)?;
        statement.raw_bind_parameter(2, NotedOperation::Delete.number())?;
        statement.raw_bind_parameter(3, now.0 as i64)?;
        bind_values(&mut statement, 4, key)?;
        statement.raw_execute().map(drop)
    }

    fn operations(&self, table: TableNumber, key: &[Value]) -> rusqlite::Result<Vec<NotedOperation>> {
        let conditions: String = (1..=key.len()).map(|n| format!(" AND k{n} IS ?{}", n + 1)).collect();
        let sql = format!("SELECT op FROM rowmesh_dirty WHERE t = ?1{conditions} ORDER BY id");
        let mut statement = self.connection.prepare_cached(&sql)?;
        statement.raw_bind_parameter(1, table.0)?;
        bind_values(&mut statement, 2, key)?;
        let mut rows = statement.raw_query();
        let mut noted = Vec::new();
        while let Some(row) = rows.next()? {
            noted.push(NotedOperation::from_number(row.get(0)?));
        }
        Ok(noted)
    }
}

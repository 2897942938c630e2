//! Numbers of tables, columns and origins, and this node's own facts, at rest.

use rowmesh_core::ident::{Digest, Incarnation, NodeId, Origin, Seq};
use rowmesh_core::row_state::ColumnIx;
use rowmesh_core::value::{ColumnName, TableName, Value};
use rowmesh_engine::database::Names;
use rowmesh_engine::fault::Result;
use rowmesh_engine::origins::KnownOrigin;
use rowmesh_engine::registry::TableNumber;
use rusqlite::{Connection, OptionalExtension, params};

use crate::access::SqliteAccess;
use crate::fault::Told;
use crate::values::{Bound, from_sqlite, read_name};

impl Names for SqliteAccess<'_> {
    fn table_names(&self) -> Result<Vec<(TableNumber, TableName)>> {
        self.all("SELECT t, name FROM rowmesh_tables", [], |row| Ok((TableNumber(row.get(0)?), read_name(row, 1)?)))
    }

    fn trust(&self, table: TableNumber) -> Result<()> {
        self.run("UPDATE rowmesh_tables SET state = 'tracked' WHERE t = ?1 AND state = 'unsure'", [table.0]).map(drop)
    }

    fn column_names(&self) -> Result<Vec<(TableNumber, ColumnName)>> {
        let sql = "SELECT t, name FROM rowmesh_columns ORDER BY t, ix";
        self.all(sql, [], |row| Ok((TableNumber(row.get(0)?), read_name(row, 1)?)))
    }

    fn add_table(&self, name: &TableName) -> Result<TableNumber> {
        self.run("INSERT INTO rowmesh_tables (name, state, shape) VALUES (?1, 'named', '')", [&**name])?;
        Ok(TableNumber(self.connection.last_insert_rowid()))
    }

    fn add_column(&self, table: TableNumber, number: ColumnIx, name: &ColumnName) -> Result<()> {
        let sql = "INSERT INTO rowmesh_columns (t, ix, name) VALUES (?1, ?2, ?3)";
        self.run(sql, params![table.0, number.0, &**name]).map(drop)
    }

    fn origins(&self) -> Result<Vec<KnownOrigin>> {
        self.all("SELECT node, incarnation, nonce, seq, hash, floor FROM rowmesh_origins ORDER BY o", [], |row| {
            let incarnation = Incarnation { count: row.get(1)?, nonce: row.get::<_, i64>(2)? as u64 };
            Ok(KnownOrigin {
                origin: Origin { node: NodeId(row.get(0)?), incarnation },
                seq: Seq(row.get::<_, i64>(3)? as u64),
                hash: Digest(row.get(4)?),
                floor: Seq(row.get::<_, i64>(5)? as u64),
            })
        })
    }

    fn add_origin(&self, number: u32, known: &KnownOrigin) -> Result<()> {
        let incarnation = known.origin.incarnation;
        self.run(
            "INSERT INTO rowmesh_origins (o, node, node_id, incarnation, nonce, seq, hash, floor) VALUES (?1, ?2, ?8, ?3, ?4, ?5, ?6, ?7)",
            params![
                number,
                known.origin.node.0,
                incarnation.count,
                incarnation.nonce as i64,
                known.seq.0 as i64,
                known.hash.0,
                known.floor.0 as i64,
                known.origin.node.to_string(),
            ],
        )
        .map(drop)
    }

    fn set_origin(&self, number: u32, known: &KnownOrigin) -> Result<()> {
        self.run(
            "UPDATE rowmesh_origins SET seq = ?2, hash = ?3, floor = ?4 WHERE o = ?1",
            params![number, known.seq.0 as i64, known.hash.0, known.floor.0 as i64],
        )
        .map(drop)
    }

    fn origins_sum(&self) -> Result<(u64, u64)> {
        let sql = "SELECT count(*), coalesce(sum(seq), 0) FROM rowmesh_origins";
        self.one(sql, [], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)))
    }

    fn fact(&self, name: &str) -> Result<Option<Value>> {
        self.find(FACT, [name], |row| row.get_ref(0).map(from_sqlite))
    }

    fn set_fact(&self, name: &str, value: &Value) -> Result<()> {
        set_fact(self.connection, name, value).told()
    }
}

const FACT: &str = "SELECT value FROM rowmesh_facts WHERE name = ?1";

/// A fact of this node, where there is no transaction of the engine.
pub fn fact(connection: &Connection, name: &str) -> rusqlite::Result<Option<Value>> {
    connection.prepare_cached(FACT)?.query_row([name], |row| row.get_ref(0).map(from_sqlite)).optional()
}

/// Sets one.
pub fn set_fact(connection: &Connection, name: &str, value: &Value) -> rusqlite::Result<()> {
    let sql = "INSERT INTO rowmesh_facts (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.prepare_cached(sql)?.execute(params![name, Bound(value)]).map(drop)
}

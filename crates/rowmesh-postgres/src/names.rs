//! Numbers of tables, columns and origins, and this node's own facts, at rest.

use rowmesh_core::ident::{Digest, Incarnation, NodeId, Origin, Seq};
use rowmesh_core::row_state::ColumnIx;
use rowmesh_core::value::{ColumnName, TableName, Value};
use rowmesh_engine::database::Names;
use rowmesh_engine::fault::{Error, Result};
use rowmesh_engine::origins::KnownOrigin;
use rowmesh_engine::registry::TableNumber;
use tokio_postgres::Row;

use crate::access::PostgresAccess;
use crate::connection::Session;
use crate::error;
use crate::fault::Told;

impl Names for PostgresAccess<'_> {
    fn table_names(&self) -> Result<Vec<(TableNumber, TableName)>> {
        self.all("SELECT t, name FROM rowmesh.tables", &[], |row| {
            (TableNumber(row.get(0)), row.get::<_, &str>(1).into())
        })
    }

    fn trust(&self, table: TableNumber) -> Result<()> {
        let sql = "UPDATE rowmesh.tables SET state = 'tracked' WHERE t = $1 AND state = 'unsure'";
        self.run(sql, &[&table.0]).map(drop)
    }

    fn column_names(&self) -> Result<Vec<(TableNumber, ColumnName)>> {
        let sql = "SELECT t, name FROM rowmesh.columns ORDER BY t, ix";
        self.all(sql, &[], |row| (TableNumber(row.get(0)), row.get::<_, &str>(1).into()))
    }

    fn add_table(&self, name: &TableName) -> Result<TableNumber> {
        let sql = "INSERT INTO rowmesh.tables (name, state, shape) VALUES ($1, 'named', '') RETURNING t";
        self.one(sql, &[&&**name], |row| TableNumber(row.get(0)))
    }

    fn add_column(&self, table: TableNumber, number: ColumnIx, name: &ColumnName) -> Result<()> {
        let sql = "INSERT INTO rowmesh.columns (t, ix, name) VALUES ($1, $2, $3)";
        self.run(sql, &[&table.0, &i32::from(number.0), &&**name]).map(drop)
    }

    fn origins(&self) -> Result<Vec<KnownOrigin>> {
        self.flush_origins()?;
        let sql = "SELECT node, incarnation, nonce, seq, hash, floor FROM rowmesh.origins ORDER BY o";
        self.all(sql, &[], read_origin)?.into_iter().collect()
    }

    fn add_origin(&self, number: u32, known: &KnownOrigin) -> Result<()> {
        let incarnation = known.origin.incarnation;
        self.run(
            "INSERT INTO rowmesh.origins (o, node, node_id, incarnation, nonce, seq, hash, floor) VALUES ($1, $2, $8, $3, $4, $5, $6, $7)",
            &[
                &i64::from(number),
                &&known.origin.node.0[..],
                &i64::from(incarnation.count),
                &(incarnation.nonce as i64),
                &(known.seq.0 as i64),
                &&known.hash.0[..],
                &(known.floor.0 as i64),
                &known.origin.node.to_string(),
            ],
        )
        .map(drop)
    }

    fn set_origin(&self, number: u32, known: &KnownOrigin) -> Result<()> {
        self.held.borrow_mut().origins.insert(number, known.clone());
        Ok(())
    }

    fn origins_sum(&self) -> Result<(u64, u64)> {
        let sql = "SELECT count(*), coalesce(sum(seq), 0)::bigint FROM rowmesh.origins";
        self.one(sql, &[], |row| (row.get::<_, i64>(0) as u64, row.get::<_, i64>(1) as u64))
    }

    fn fact(&self, name: &str) -> Result<Option<Value>> {
        fact(self.session, name).told()
    }

    fn set_fact(&self, name: &str, value: &Value) -> Result<()> {
        set_fact(self.session, name, value).told()
    }
}

impl PostgresAccess<'_> {
    /// Writes how far the origins have come, and how many rows are shown.
    pub(crate) fn flush_names(&self) -> Result<()> {
        self.flush_shown()?;
        self.flush_origins()
    }

    fn flush_origins(&self) -> Result<()> {
        let moved = std::mem::take(&mut self.held.borrow_mut().origins);
        for (number, known) in moved {
            self.run(
                "UPDATE rowmesh.origins SET seq = $2, hash = $3, floor = $4 WHERE o = $1",
                &[&i64::from(number), &(known.seq.0 as i64), &&known.hash.0[..], &(known.floor.0 as i64)],
            )?;
        }
        Ok(())
    }
}

/// A fact of this node, where there is no transaction of the engine: an integer, text or bytes.
///
/// # Errors
/// If the database cannot be read.
pub fn fact(session: &Session, name: &str) -> error::Result<Option<Value>> {
    let row = session.query_opt("SELECT number, words, bytes FROM rowmesh.facts WHERE name = $1", &[&name])?;
    Ok(row.map(|row| {
        let (number, words, bytes): (Option<i64>, Option<String>, Option<Vec<u8>>) =
            (row.get(0), row.get(1), row.get(2));
        (number.map(Value::Integer))
            .or(words.map(|words| Value::text(&words)))
            .or(bytes.map(|bytes| Value::Blob(bytes.into())))
            .unwrap_or(Value::Null)
    }))
}

/// Sets one.
///
/// # Errors
/// If the database cannot be written.
pub fn set_fact(session: &Session, name: &str, value: &Value) -> error::Result<()> {
    let number = if let Value::Integer(number) = value { Some(*number) } else { None };
    let bytes = if let Value::Blob(bytes) = value { Some(&**bytes) } else { None };
    session.execute(
        "INSERT INTO rowmesh.facts (name, number, words, bytes) VALUES ($1, $2, $3, $4)
         ON CONFLICT (name) DO UPDATE SET number = excluded.number, words = excluded.words, bytes = excluded.bytes",
        &[&name, &number, &value.as_str(), &bytes],
    )?;
    Ok(())
}

fn read_origin(row: &Row) -> Result<KnownOrigin> {
    let incarnation = Incarnation { count: row.get::<_, i64>(1) as u32, nonce: row.get::<_, i64>(2) as u64 };
    Ok(KnownOrigin {
        origin: Origin { node: NodeId(thirty_two(row.get(0))?), incarnation },
        seq: Seq(row.get::<_, i64>(3) as u64),
        hash: Digest(thirty_two(row.get(4))?),
        floor: Seq(row.get::<_, i64>(5) as u64),
    })
}

fn thirty_two(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|source| Error::damaged("a row of rowmesh.origins", source))
}

//! Row states at rest: one row of `rowmesh_row_states` per row ever seen, living or dead. What they mean is core's business.

use rowmesh_core::encode::{Reader, Writer};
use rowmesh_core::row_state::{self, RowState};
use rowmesh_core::value::Key;
use rusqlite::{Connection, params};

use crate::fault::{Error, Result};
use crate::origins::Origins;
use crate::registry::TableNumber;
use crate::values::read_key;
use crate::work::Work;

/// What is remembered of a row; the empty state if nothing is.
pub fn load(connection: &Connection, origins: &Origins, table: TableNumber, key: &Key) -> Result<RowState> {
    let mut statement = connection.prepare_cached("SELECT state FROM rowmesh_row_states WHERE t = ?1 AND key = ?2")?;
    let mut rows = statement.query(params![table.0, key.0])?;
    match rows.next()? {
        None => Ok(RowState::default()),
        Some(row) => decode(row.get_ref(0)?.as_blob()?, origins),
    }
}

/// Remembers a row. `was_shown` tells whether a row was shown for it before, so that shown rows stay counted.
pub fn save(work: &mut Work<'_>, table: TableNumber, key: &Key, state: &RowState, was_shown: bool) -> Result<()> {
    let mut out = Writer::default();
    row_state::encode(state, work.origins, &mut out);
    work.origins.store_new(work.connection)?;
    work.connection
        .prepare_cached("INSERT OR REPLACE INTO rowmesh_row_states (t, key, state) VALUES (?1, ?2, ?3)")?
        .execute(params![table.0, key.0, out.0])?;
    *work.shown.entry(table).or_default() += i64::from(state.is_shown()) - i64::from(was_shown);
    Ok(())
}

/// Writes down how many rows more or fewer are shown since the transaction began. To be called before it commits.
pub fn count_shown(work: &mut Work<'_>) -> Result<()> {
    for (table, change) in std::mem::take(&mut work.shown) {
        if change != 0 {
            work.connection
                .prepare_cached("UPDATE rowmesh_tables SET rows = rows + ?2 WHERE t = ?1")?
                .execute(params![table.0, change])?;
        }
    }
    Ok(())
}

/// How many rows of a table are shown.
pub fn shown_rows(work: &mut Work<'_>, table: TableNumber) -> Result<i64> {
    count_shown(work)?;
    let mut statement = work.connection.prepare_cached("SELECT rows FROM rowmesh_tables WHERE t = ?1")?;
    Ok(statement.query_row([table.0], |row| row.get(0))?)
}

/// Keys of the rows that are shown.
pub fn keys_shown(connection: &Connection, origins: &Origins, table: TableNumber) -> Result<Vec<Key>> {
    let mut statement = connection.prepare_cached("SELECT key, state FROM rowmesh_row_states WHERE t = ?1")?;
    let mut rows = statement.query([table.0])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        if decode(row.get_ref(1)?.as_blob()?, origins)?.is_shown() {
            keys.push(read_key(row, 0)?);
        }
    }
    Ok(keys)
}

/// Takes a stored row state apart.
pub fn decode(bytes: &[u8], origins: &Origins) -> Result<RowState> {
    let mut input = Reader::new(bytes);
    let state = row_state::decode(&mut input, origins).and_then(|state| input.end("row state").map(|()| state));
    state.map_err(|source| Error::damaged("a row state in rowmesh_row_states", source))
}

//! Row states at rest: one row of `rowmesh_row_states` per row ever seen, living or dead. What they mean is core's business.

use rowmesh_core::encode::{Reader, Writer};
use rowmesh_core::row_state::{self, RowState};
use rowmesh_core::value::Key;
use rusqlite::{CachedStatement, Connection, params};

use crate::fault::{Error, Result};
use crate::origins::Origins;
use crate::registry::TableNumber;
use crate::values::read_key;
use crate::work::Work;

/// Where a row state stands in its table: what was recalled from there is saved there without looking for the key again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(i64);

/// What every row of a transaction needs: its statements, prepared once, and room for the bytes.
#[derive(Default)]
pub struct Held<'a> {
    recall: Option<CachedStatement<'a>>,
    update: Option<CachedStatement<'a>>,
    out: Writer,
}

const RECALL: &str = "SELECT r, state FROM rowmesh_row_states WHERE t = ?1 AND key = ?2";
const UPDATE: &str = "UPDATE rowmesh_row_states SET state = ?2 WHERE r = ?1";
const INSERT: &str = "INSERT INTO rowmesh_row_states (t, key, state) VALUES (?1, ?2, ?3) ON CONFLICT (t, key) DO UPDATE SET state = excluded.state";

/// What is remembered of a row; the empty state if nothing is.
pub fn load(connection: &Connection, origins: &Origins, table: TableNumber, key: &Key) -> Result<RowState> {
    Ok(read(&mut connection.prepare_cached(RECALL)?, origins, table, key)?.1)
}

/// The same for one of many rows, with the place for [`save_at`].
pub fn recall(work: &mut Work<'_>, table: TableNumber, key: &Key) -> Result<(Option<Place>, RowState)> {
    read(held(&mut work.held.recall, work.connection, RECALL)?, work.origins, table, key)
}

/// Remembers a row. `was_shown` tells whether a row was shown for it before, so that shown rows stay counted.
pub fn save(work: &mut Work<'_>, table: TableNumber, key: &Key, state: &RowState, was_shown: bool) -> Result<()> {
    save_at(work, None, table, key, state, was_shown)
}

/// The same, in the place that the row was recalled from, if it was remembered then.
pub fn save_at(
    work: &mut Work<'_>,
    place: Option<Place>,
    table: TableNumber,
    key: &Key,
    state: &RowState,
    was_shown: bool,
) -> Result<()> {
    let mut out = std::mem::take(&mut work.held.out);
    out.0.clear();
    row_state::encode(state, work.origins, &mut out);
    work.origins.store_new(work.connection)?;
    match place {
        Some(place) => {
            let changed = held(&mut work.held.update, work.connection, UPDATE)?.execute(params![place.0, out.0])?;
            if changed != 1 {
                return Err(Error::inconsistent("a row state that is not where it was"));
            }
        }
        None => {
            work.connection.prepare_cached(INSERT)?.execute(params![table.0, key.0, out.0])?;
        }
    }
    work.held.out = out;
    let change = i64::from(state.is_shown()) - i64::from(was_shown);
    if change != 0 {
        *work.shown.entry(table).or_default() += change;
    }
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

fn read(
    statement: &mut CachedStatement<'_>,
    origins: &Origins,
    table: TableNumber,
    key: &Key,
) -> Result<(Option<Place>, RowState)> {
    let mut rows = statement.query(params![table.0, key.0])?;
    match rows.next()? {
        None => Ok((None, RowState::default())),
        Some(row) => Ok((Some(Place(row.get(0)?)), decode(row.get_ref(1)?.as_blob()?, origins)?)),
    }
}

fn held<'s, 'a>(
    slot: &'s mut Option<CachedStatement<'a>>,
    connection: &'a Connection,
    sql: &str,
) -> Result<&'s mut CachedStatement<'a>> {
    match slot {
        Some(statement) => Ok(statement),
        None => Ok(slot.insert(connection.prepare_cached(sql)?)),
    }
}

/// Takes a stored row state apart.
pub fn decode(bytes: &[u8], origins: &Origins) -> Result<RowState> {
    let mut input = Reader::new(bytes);
    let state = row_state::decode(&mut input, origins).and_then(|state| input.end("row state").map(|()| state));
    state.map_err(|source| Error::damaged("a row state in rowmesh_row_states", source))
}

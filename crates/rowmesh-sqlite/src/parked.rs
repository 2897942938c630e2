//! Events that row state holds and the tables cannot show yet, at rest. Why an event is parked is decided in `apply`.

use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::{Dot, Seq};
use rowmesh_core::row_state::OriginTable;
use rowmesh_core::store::ParkedView;
use rowmesh_core::value::Key;
use rusqlite::{Connection, params};

use crate::fault::{Error, Result};
use crate::origins::Origins;
use crate::registry::{Registry, TableNumber};
use crate::values::read_key;

/// Parks an event.
pub fn park(
    connection: &Connection,
    origins: &mut Origins,
    table: TableNumber,
    key: &Key,
    dot: Dot,
    reason: &str,
    now: WallTime,
) -> Result<()> {
    let origin = origins.number(&dot.origin);
    origins.store_new(connection)?;
    connection
        .prepare_cached(
            "INSERT INTO rowmesh_parked (t, key, o, seq, reason, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (t, key, o, seq) DO UPDATE SET reason = excluded.reason",
        )?
        .execute(params![table.0, key.0, origin, dot.seq.0 as i64, reason, now.0 as i64])?;
    Ok(())
}

/// The row is shown as its state says: nothing of it is parked any more.
pub fn release(connection: &Connection, table: TableNumber, key: &Key) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM rowmesh_parked WHERE t = ?1 AND key = ?2")?
        .execute(params![table.0, key.0])?;
    Ok(())
}

/// Whether anything is parked at all.
pub fn any(connection: &Connection) -> Result<bool> {
    Ok(connection.prepare_cached("SELECT 1 FROM rowmesh_parked LIMIT 1")?.exists([])?)
}

/// Whether something of a row is parked.
pub fn is_parked(connection: &Connection, table: TableNumber, key: &Key) -> Result<bool> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM rowmesh_parked WHERE t = ?1 AND key = ?2 LIMIT 1")?
        .exists(params![table.0, key.0])?)
}

/// The rows that have something parked.
pub fn rows(connection: &Connection) -> Result<Vec<(TableNumber, Key)>> {
    let mut statement = connection.prepare_cached("SELECT DISTINCT t, key FROM rowmesh_parked ORDER BY t, key")?;
    let rows = statement.query_map([], |row| Ok((TableNumber(row.get(0)?), read_key(row, 1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The events of one row that are parked.
pub fn of_row(connection: &Connection, origins: &Origins, table: TableNumber, key: &Key) -> Result<Vec<Dot>> {
    let mut statement = connection.prepare_cached("SELECT o, seq FROM rowmesh_parked WHERE t = ?1 AND key = ?2")?;
    let mut rows = statement.query(params![table.0, key.0])?;
    let mut dots = Vec::new();
    while let Some(row) = rows.next()? {
        let origin =
            origins.origin(row.get(0)?).ok_or_else(|| Error::inconsistent("a parked event of an unknown origin"))?;
        dots.push(Dot { origin, seq: Seq(row.get::<_, i64>(1)? as u64) });
    }
    Ok(dots)
}

/// All of them, for people.
pub fn list(connection: &Connection, origins: &Origins, registry: &Registry) -> Result<Vec<ParkedView>> {
    let mut statement =
        connection.prepare_cached("SELECT t, key, o, seq, reason, since FROM rowmesh_parked ORDER BY since, t, key")?;
    let mut rows = statement.query([])?;
    let mut views = Vec::new();
    while let Some(row) = rows.next()? {
        let origin =
            origins.origin(row.get(2)?).ok_or_else(|| Error::inconsistent("a parked event of an unknown origin"))?;
        let name = registry.name(TableNumber(row.get(0)?)).map_or_else(String::new, |name| name.to_string());
        views.push(ParkedView {
            dot: Dot { origin, seq: Seq(row.get::<_, i64>(3)? as u64) },
            table: name,
            key: read_key(row, 1)?.to_display(),
            reason: row.get(4)?,
            since: WallTime(row.get::<_, i64>(5)? as u64),
        });
    }
    Ok(views)
}

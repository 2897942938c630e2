//! What people see of this database: tables, events, rows, contents in one hash. Reads only.

use std::sync::Arc;

use rowmesh_core::clock::{Lamport, WallTime};
use rowmesh_core::encode::Writer;
use rowmesh_core::ident::{Digest, Dot, Seq};
use rowmesh_core::row_state::OriginTable;
use rowmesh_core::schema::TableSchema;
use rowmesh_core::store::{EventQuery, EventView, TableStatus};
use rowmesh_core::value::{ColumnName, Key, TableName, write_json_object};
use rusqlite::{Connection, named_params, params};

use crate::attach::Plan;
use crate::catalog;
use crate::connection::{Location, journal_mode};
use crate::fault::{Error, Result};
use crate::origins::Origins;
use crate::registry::Registry;
use crate::scope::Membership;

/// Kind and version of the database, its name and mode.
pub fn describe(connection: &Connection, location: &Location) -> String {
    let name = match location.path().and_then(|path| path.file_name()) {
        Some(name) => name.to_string_lossy().into_owned(),
        None => location.to_string(),
    };
    let mode = journal_mode(connection).unwrap_or_default();
    let mode = if mode == "wal" { "WAL mode".to_owned() } else { format!("journal mode {mode}") };
    format!("SQLite {}  {name}, {mode}", rusqlite::version())
}

/// Hash over the shape of every tracked table.
pub fn schema_fingerprint(tables: &[TableSchema]) -> Digest {
    let mut shapes: Vec<(&str, Digest)> =
        tables.iter().map(|table| (&*table.name, catalog::fingerprint(table))).collect();
    shapes.sort();
    let mut hasher = blake3::Hasher::new();
    for (name, shape) in shapes {
        hasher.update(name.as_bytes()).update(&[0]).update(&shape.0);
    }
    Digest(*hasher.finalize().as_bytes())
}

/// Per table, the sum of its rows' hashes: the same in any order of rows. Columns are taken by name. What a filter keeps here is left out.
pub fn content_digest(
    connection: &Connection,
    registry: &Registry,
    membership: &mut Membership,
) -> Result<Vec<(TableName, Digest)>> {
    let mut digests = Vec::new();
    for table in registry.all() {
        let mut order: Vec<usize> = (0..table.columns.len()).collect();
        order.sort_by(|a, b| table.schema.columns[*a].name.cmp(&table.schema.columns[*b].name));
        let mut sum = [0u8; 32];
        table.scan(connection, |row| {
            let judgement = membership.verdict(connection, &table, &row)?;
            if judgement.held_back {
                return Ok(());
            }
            let row = judgement.travelling(&row);
            let mut out = Writer::default();
            for column in &order {
                out.bytes(table.schema.columns[*column].name.as_bytes());
                row[*column].encode(&mut out);
            }
            add(&mut sum, blake3::hash(&out.0).as_bytes());
            Ok::<(), Error>(())
        })?;
        digests.push((table.schema.name.clone(), Digest(sum)));
    }
    digests.sort();
    Ok(digests)
}

/// Columns that the application sets to the present moment along with other changes, told by their names.
pub fn touched_columns(registry: &Registry) -> Vec<(TableName, Vec<ColumnName>)> {
    let of_table = |table: Arc<crate::registry::Table>| {
        let touched = table.shape.columns.iter().filter(|name| is_touched(name));
        let columns: Vec<ColumnName> = touched.cloned().collect();
        (!columns.is_empty()).then(|| (table.schema.name.clone(), columns))
    };
    registry.all().into_iter().filter_map(of_table).collect()
}

/// `updated_at` and its kin, `last_…_at`, and counters of optimistic locks; as mappers write them too: `updatedAt`, `lastLoginAt`.
fn is_touched(name: &str) -> bool {
    const TOUCHED: [&str; 7] =
        ["updatedat", "updatedon", "modifiedat", "modifiedon", "lastmodified", "lastmodifiedat", "lockversion"];
    let plain: String = name.chars().filter(|c| *c != '_').collect();
    let small = name.to_ascii_lowercase();
    let says_what = |rest: Option<&str>| rest.is_some_and(|rest| !rest.is_empty());
    TOUCHED.contains(&plain.to_ascii_lowercase().as_str())
        || says_what(small.strip_prefix("last_").and_then(|rest| rest.strip_suffix("_at")))
        || says_what(name.strip_prefix("last").and_then(|rest| rest.strip_suffix("At")))
            && name[4..].starts_with(|c: char| c.is_ascii_uppercase())
}

/// Every table and how it fares.
pub fn tables(
    connection: &Connection,
    registry: &Registry,
    plan: &Plan,
    membership: &Membership,
    count: bool,
) -> Result<Vec<TableStatus>> {
    let mut all = Vec::new();
    for table in registry.all() {
        let per_table = |sql: &str| -> Result<u64> {
            let number: i64 = connection.prepare_cached(sql)?.query_row([table.number.0], |row| row.get(0))?;
            Ok(number as u64)
        };
        let waits = membership.waits(&table.schema.name);
        all.push(TableStatus {
            name: table.schema.name.to_string(),
            synced: true,
            remedy: if waits.is_some() { format!("rowmesh tables add {}", table.schema.name) } else { String::new() },
            reason: waits.map_or_else(String::new, |doubt| {
                format!("its rows wait here until somebody says that they may travel: {doubt}")
            }),
            key: table.schema.key_names().map(|name| name.to_string()).collect(),
            rows: if count { Some(table.count(connection)?) } else { None },
            captured: true,
            parked: per_table("SELECT count(DISTINCT key) FROM rowmesh_parked WHERE t = ?1")?,
            held_back: per_table("SELECT count(*) FROM rowmesh_held_back WHERE t = ?1")?,
        });
    }
    for skipped in &plan.skipped {
        all.push(TableStatus {
            name: skipped.name.to_string(),
            synced: false,
            reason: skipped.reason.clone(),
            remedy: skipped.remedy.clone(),
            key: Vec::new(),
            rows: None,
            captured: false,
            parked: 0,
            held_back: 0,
        });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Events in the log, newest first.
pub fn events(connection: &Connection, origins: &Origins, query: &EventQuery) -> Result<Vec<EventView>> {
    let mut statement = connection.prepare_cached(
        "SELECT e.id, c.o, c.seq, t.name, e.record_key, v.operation, e.before_data, e.after_data, e.lamport, v.state, c.taken_at
           FROM rowmesh_events e
           JOIN rowmesh_changesets c ON c.c = e.id / 131072
           JOIN rowmesh_tables t ON t.t = e.t
           JOIN rowmesh_origins o ON o.o = c.o
           JOIN rowmesh_sync_events v ON v.id = e.id
          WHERE (:table IS NULL OR t.name = :table) AND (:key IS NULL OR e.record_key = :key) AND (:node IS NULL OR o.node = :node)
            AND (:after IS NULL OR e.id > :after) AND (:since IS NULL OR c.taken_at >= :since)
          ORDER BY e.id DESC LIMIT :limit",
    )?;
    let mut rows = statement.query(named_params! {
        ":table": query.table,
        ":key": query.key,
        ":node": query.node.map(|node| node.0),
        ":after": query.after_id.map(|id| id as i64),
        ":since": query.since.map(|time| time.0 as i64),
        ":limit": query.limit as i64,
    })?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let origin = origins.origin(row.get(1)?).ok_or_else(|| Error::inconsistent("an event of an unknown origin"))?;
        events.push(EventView {
            id: row.get::<_, i64>(0)? as u64,
            dot: Dot { origin, seq: Seq(row.get::<_, i64>(2)? as u64) },
            table: row.get(3)?,
            key: row.get(4)?,
            operation: row.get(5)?,
            before: row.get(6)?,
            after: row.get(7)?,
            lamport: Lamport(row.get::<_, i64>(8)? as u64),
            state: row.get(9)?,
            taken_at: WallTime(row.get::<_, i64>(10)? as u64),
        });
    }
    Ok(events)
}

/// A row as it stands, JSON.
pub fn row_json(connection: &Connection, registry: &Registry, table: &str, key: &Key) -> Result<Option<String>> {
    let Some(table) = registry.tracked_by_name(table) else { return Ok(None) };
    let values = key.values().map_err(|source| Error::damaged("a key", source))?;
    Ok(table.read(connection, &values)?.map(|row| {
        let mut out = String::new();
        write_json_object(&mut out, table.schema.columns.iter().map(|column| &*column.name).zip(&row));
        out
    }))
}

/// Rows that filters keep here, by filter and root row.
pub fn held_back(connection: &Connection) -> Result<Vec<(String, String, u64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT filter, root, count(*) FROM rowmesh_held_back GROUP BY filter, root ORDER BY filter, root",
    )?;
    let rows = statement.query_map(params![], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)? as u64)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Adds two 256-bit numbers, low byte first, without the last carry. A sum, never XOR: two equal rows must not cancel out.
fn add(sum: &mut [u8; 32], other: &[u8; 32]) {
    let mut carry = 0u16;
    for (sum, other) in sum.iter_mut().zip(other) {
        let total = u16::from(*sum) + u16::from(*other) + carry;
        (*sum, carry) = (total as u8, total >> 8);
    }
}

#[cfg(test)]
mod tests {
    use super::is_touched;

    #[test]
    fn columns_that_say_when_something_was_last_done_are_known_by_their_names() {
        for name in [
            "updated_at",
            "updatedAt",
            "lock_version",
            "last_message_at",
            "last_login_at",
            "LAST_SEEN_AT",
            "lastLoginAt",
            "last_password_change_at",
        ] {
            assert!(is_touched(name), "{name}");
        }
        for name in [
            "last_name",
            "last_at",
            "lastAt",
            "lasting_at",
            "lastingAt",
            "blast_seen_at",
            "created_at",
            "last_stat",
            "due_at",
        ] {
            assert!(!is_touched(name), "{name}");
        }
    }
}

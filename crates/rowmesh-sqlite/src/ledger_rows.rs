//! The ledger at rest: `rowmesh_conflict_resolutions`. Which entries there are is core's business.

use rowmesh_core::clock::{Lamport, WallTime};
use rowmesh_core::encode::{Reader, Writer};
use rowmesh_core::ident::{Dot, Seq, hex};
use rowmesh_core::ledger::{ConflictType, Entry, EntryId, Left, Strategy};
use rowmesh_core::row_state::{OriginTable, Stamp};
use rowmesh_core::store::ConflictView;
use rowmesh_core::value::{ColumnName, Key, Value};
use rusqlite::{Connection, Row, params};

use crate::fault::{Error, Result};
use crate::origins::Origins;
use crate::registry::read_name;
use crate::values::{bind_values, read_key, read_values};

/// Writes entries; those known are brought up to date. Returns how many were new.
pub fn save(connection: &Connection, origins: &mut Origins, entries: &[Entry], now: WallTime) -> Result<u64> {
    let mut new = 0;
    for entry in entries {
        let losing = origins.number(&entry.losing.dot.origin);
        let winning = origins.number(&entry.winning.dot.origin);
        let id = name_of(&entry.id);
        let known =
            connection.prepare_cached("SELECT 1 FROM rowmesh_conflict_resolutions WHERE id = ?1")?.exists([&id])?;
        new += u64::from(!known);
        connection
            .prepare_cached(
                "INSERT INTO rowmesh_conflict_resolutions (id, table_name, record_key, key, column_name, conflict_type, strategy, state,
                     losing_node, losing_origin, losing_seq, losing_lamport, losing_value, losing_data,
                     winning_node, winning_origin, winning_seq, winning_lamport, winning_value, winning_data,
                     common_value, common_data, detected_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)
                 ON CONFLICT (id) DO UPDATE SET conflict_type = excluded.conflict_type, strategy = excluded.strategy,
                     state = excluded.state, winning_node = excluded.winning_node, winning_origin = excluded.winning_origin,
                     winning_seq = excluded.winning_seq, winning_lamport = excluded.winning_lamport,
                     winning_value = excluded.winning_value, winning_data = excluded.winning_data",
            )?
            .execute(params![
                id,
                &*entry.id.table,
                entry.id.key.to_display(),
                entry.id.key.0,
                entry.id.column.as_deref(),
                entry.kind.as_str(),
                entry.strategy.as_str(),
                state_name(!entry.superseded),
                entry.losing.dot.origin.node.to_string(),
                losing,
                entry.losing.dot.seq.0 as i64,
                entry.losing.lamport.0 as i64,
                entry.lost.encode(),
                entry.lost.to_json(),
                entry.winning.dot.origin.node.to_string(),
                winning,
                entry.winning.dot.seq.0 as i64,
                entry.winning.lamport.0 as i64,
                entry.won.encode(),
                entry.won.to_json(),
                entry.common_value.as_ref().map(encode),
                entry.common_value.as_ref().map(Value::to_json),
                now.0 as i64,
            ])?;
    }
    origins.store_new(connection)?;
    Ok(new)
}

/// Writes entries that name the winner that is known now, unless one that came later is known already.
pub fn save_later(connection: &Connection, origins: &mut Origins, entries: &[Entry], now: WallTime) -> Result<u64> {
    let mut later = Vec::with_capacity(entries.len());
    for entry in entries {
        let known = winner(connection, origins, &entry.id)?;
        if known.is_none_or(|known| known < entry.winning) {
            later.push(entry.clone());
        }
    }
    save(connection, origins, &later, now)
}

fn winner(connection: &Connection, origins: &Origins, id: &EntryId) -> Result<Option<Stamp>> {
    let mut statement = connection.prepare_cached(
        "SELECT winning_origin, winning_seq, winning_lamport FROM rowmesh_conflict_resolutions WHERE id = ?1",
    )?;
    let mut rows = statement.query([name_of(id)])?;
    rows.next()?.map(|row| read_stamp(row, 0, origins)).transpose()
}

/// What an entry is about, and whether it is open.
pub struct Told {
    id: String,
    /// The changeset of the write that lost.
    pub loser: Dot,
    /// The column; none where it lost as a whole.
    pub column: Option<ColumnName>,
    open: bool,
}

/// The entries of one row: those that are open, or all.
pub fn of_row(
    connection: &Connection,
    origins: &Origins,
    table: &str,
    key: &Key,
    only_open: bool,
) -> Result<Vec<Told>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, losing_origin, losing_seq, losing_lamport, column_name, state = 'open' FROM rowmesh_conflict_resolutions
          WHERE table_name = ?1 AND record_key = ?2 AND key = ?3 AND (state = 'open' OR NOT ?4)",
    )?;
    let mut rows = statement.query(params![table, key.to_display(), key.0, only_open])?;
    let mut told = Vec::new();
    while let Some(row) = rows.next()? {
        let column: Option<String> = row.get(4)?;
        told.push(Told {
            id: row.get(0)?,
            loser: read_stamp(row, 1, origins)?.dot,
            column: column.map(Into::into),
            open: row.get(5)?,
        });
    }
    Ok(told)
}

/// Says whether an entry is open, where that has changed.
pub fn set_open(connection: &Connection, told: &Told, is_open: bool) -> Result<()> {
    if told.open != is_open {
        connection
            .prepare_cached("UPDATE rowmesh_conflict_resolutions SET state = ?2 WHERE id = ?1")?
            .execute(params![told.id, state_name(is_open)])?;
    }
    Ok(())
}

fn state_name(is_open: bool) -> &'static str {
    if is_open { "open" } else { "superseded" }
}

/// Entries as stored, newest first.
pub fn list(connection: &Connection, origins: &Origins, only_open: bool, limit: usize) -> Result<Vec<ConflictView>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, table_name, key, column_name, conflict_type, strategy, state, losing_origin, losing_seq, losing_lamport, losing_value,
                winning_origin, winning_seq, winning_lamport, winning_value, common_value, detected_at
           FROM rowmesh_conflict_resolutions WHERE ?1 = 0 OR state = 'open' ORDER BY detected_at DESC, id LIMIT ?2",
    )?;
    let mut rows = statement.query(params![only_open, limit as i64])?;
    let mut views = Vec::new();
    while let Some(row) = rows.next()? {
        views.push(read(row, origins)?);
    }
    Ok(views)
}

/// Columns of a dumped entry, in their order; two of them are numbers of origins.
const DUMPED: &str = "id, table_name, record_key, key, column_name, conflict_type, strategy, state, losing_node, losing_origin, losing_seq,
    losing_lamport, losing_value, losing_data, winning_node, winning_origin, winning_seq, winning_lamport, winning_value, winning_data,
    common_value, common_data, detected_at";
/// How many there are.
pub const DUMPED_COLUMNS: usize = 23;
const ORIGIN_COLUMNS: [usize; 2] = [9, 15];

/// Entries as they are, for a snapshot, by id from after the one given.
pub fn dump(connection: &Connection, after: &str, limit: usize) -> Result<Vec<Vec<Value>>> {
    let sql = format!("SELECT {DUMPED} FROM rowmesh_conflict_resolutions WHERE id > ?1 ORDER BY id LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![after, limit as i64], |row| read_values(row, 0, DUMPED_COLUMNS))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Writes a dumped entry; `there` tells the origins of its numbers.
pub fn restore(
    connection: &Connection,
    origins: &mut Origins,
    there: &dyn OriginTable,
    mut entry: Vec<Value>,
) -> Result<()> {
    for column in ORIGIN_COLUMNS {
        let number = match entry.get(column) {
            Some(Value::Integer(number)) => u32::try_from(*number).ok(),
            _ => None,
        };
        let origin = number.and_then(|number| there.origin(number));
        let origin =
            origin.ok_or_else(|| Error::inconsistent("a ledger entry of an origin that the snapshot lacks"))?;
        entry[column] = Value::Integer(i64::from(origins.number(&origin)));
    }
    origins.store_new(connection)?;
    let places: Vec<String> = (1..=DUMPED_COLUMNS).map(|n| format!("?{n}")).collect();
    let sql = format!("INSERT OR REPLACE INTO rowmesh_conflict_resolutions ({DUMPED}) VALUES ({})", places.join(", "));
    let mut statement = connection.prepare_cached(&sql)?;
    bind_values(&mut statement, 1, &entry)?;
    statement.raw_execute()?;
    Ok(())
}

/// Short name of an entry: the same on every node.
pub fn name_of(id: &EntryId) -> String {
    let mut out = Writer::default();
    out.bytes(id.table.as_bytes());
    out.bytes(&id.key.0);
    out.origin(&id.loser.origin);
    out.number(id.loser.seq.0);
    out.bytes(id.column.as_deref().unwrap_or("").as_bytes());
    hex(&blake3::hash(&out.0).as_bytes()[..8]).to_uppercase()
}

fn read(row: &Row<'_>, origins: &Origins) -> Result<ConflictView> {
    let losing = read_stamp(row, 7, origins)?;
    let winning = read_stamp(row, 11, origins)?;
    let kind: String = row.get(4)?;
    let strategy: String = row.get(5)?;
    let column: Option<String> = row.get(3)?;
    let entry = Entry {
        id: EntryId {
            table: read_name(row, 1)?,
            key: read_key(row, 2)?,
            loser: losing.dot,
            column: column.as_deref().map(Into::into),
        },
        kind: ConflictType::parse(&kind).ok_or_else(|| Error::inconsistent("a conflict of unknown type"))?,
        strategy: Strategy::parse(&strategy).ok_or_else(|| Error::inconsistent("a conflict of unknown strategy"))?,
        losing,
        winning,
        lost: read_left(row, 10, column.is_some())?,
        won: read_left(row, 14, column.is_some())?,
        common_value: read_value(row, 15)?,
        superseded: row.get_ref(6)?.as_str().map_err(rusqlite::Error::from)? != "open",
    };
    Ok(ConflictView { id: row.get(0)?, entry, detected_at: WallTime(row.get::<_, i64>(16)? as u64) })
}

fn read_stamp(row: &Row<'_>, column: usize, origins: &Origins) -> Result<Stamp> {
    let origin =
        origins.origin(row.get(column)?).ok_or_else(|| Error::inconsistent("a conflict of an unknown origin"))?;
    let dot = Dot { origin, seq: Seq(row.get::<_, i64>(column + 1)? as u64) };
    Ok(Stamp { lamport: Lamport(row.get::<_, i64>(column + 2)? as u64), dot })
}

fn read_left(row: &Row<'_>, column: usize, about_column: bool) -> Result<Left> {
    let bytes = row.get::<_, Option<Vec<u8>>>(column)?;
    let left = Left::decode(bytes.as_deref(), about_column);
    left.map_err(|source| Error::damaged("one side of a row in rowmesh_conflict_resolutions", source))
}

fn read_value(row: &Row<'_>, column: usize) -> Result<Option<Value>> {
    let Some(bytes) = row.get::<_, Option<Vec<u8>>>(column)? else { return Ok(None) };
    let value = Value::decode(&mut Reader::new(&bytes));
    value.map(Some).map_err(|source| Error::damaged("a value in rowmesh_conflict_resolutions", source))
}

fn encode(value: &Value) -> Vec<u8> {
    let mut out = Writer::default();
    value.encode(&mut out);
    out.0
}

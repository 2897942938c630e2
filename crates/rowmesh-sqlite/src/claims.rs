//! The unique values that shown rows hold, by hash. A new image that takes a value makes the sealer look at the row that held it:
//! so what REPLACE removed without telling any trigger is found. Which of two claims wins is not decided here.

use rowmesh_core::schema::UniqueIndex;
use rowmesh_core::value::{Key, Value};
use rowmesh_engine::registry::Table;
use rusqlite::{Connection, Result, params};

use crate::values::read_key;

/// Hashes of the values that a row claims in the table's unique indexes. An index over expressions only claims nothing; a condition
/// is not asked, so a partial index claims more than it must: a claim is a reason to look, no verdict.
pub fn of_row(table: &Table, row: &[Value]) -> Vec<i64> {
    table.schema.uniques.iter().filter_map(|index| claim(table, index, row)).collect()
}

/// Whether the table has a unique index whose values nothing here can tell: one over expressions only.
pub fn has_untold(table: &Table) -> bool {
    table.schema.uniques.iter().any(|index| index.parts.iter().all(Option::is_none))
}

/// Moves a row's claims from one image to another.
pub fn replace(
    connection: &Connection,
    table: &Table,
    key: &Key,
    old: Option<&[Value]>,
    new: Option<&[Value]>,
) -> Result<()> {
    if table.schema.uniques.is_empty() {
        return Ok(());
    }
    let old = old.map_or_else(Vec::new, |row| of_row(table, row));
    let new = new.map_or_else(Vec::new, |row| of_row(table, row));
    for hash in old.iter().filter(|hash| !new.contains(hash)) {
        connection
            .prepare_cached("DELETE FROM rowmesh_claims WHERE hash = ?1 AND t = ?2 AND key = ?3")?
            .execute(params![hash, table.number.0, key.0])?;
    }
    for hash in new.iter().filter(|hash| !old.contains(hash)) {
        connection
            .prepare_cached("INSERT OR IGNORE INTO rowmesh_claims (hash, t, key) VALUES (?1, ?2, ?3)")?
            .execute(params![hash, table.number.0, key.0])?;
    }
    Ok(())
}

/// Other rows that hold, as shown, a value which this image takes.
pub fn holders(connection: &Connection, table: &Table, key: &Key, row: &[Value]) -> Result<Vec<Key>> {
    let mut found = Vec::new();
    for hash in of_row(table, row) {
        let mut statement = connection.prepare_cached("SELECT key FROM rowmesh_claims WHERE hash = ?1 AND t = ?2")?;
        let mut rows = statement.query(params![hash, table.number.0])?;
        while let Some(row) = rows.next()? {
            let holder = read_key(row, 0)?;
            if holder != *key && !found.contains(&holder) {
                found.push(holder);
            }
        }
    }
    Ok(found)
}

fn claim(table: &Table, index: &UniqueIndex, row: &[Value]) -> Option<i64> {
    let columns: Vec<_> = index.parts.iter().flatten().collect();
    if columns.is_empty() || columns.iter().any(|part| row[part.column].is_null()) {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&table.number.0.to_be_bytes());
    hasher.update(index.name.as_bytes());
    for part in columns {
        hash_as_compared(&mut hasher, &row[part.column], &part.collation);
    }
    let mut short = [0; 8];
    hasher.finalize_xof().fill(&mut short);
    Some(i64::from_be_bytes(short))
}

/// Values that SQLite's unique index holds equal hash equal: 1 and 1.0, and text as its collation folds it. A collation of the application's
/// own is taken as if all text were equal, which costs looks but misses nothing.
fn hash_as_compared(hasher: &mut blake3::Hasher, value: &Value, collation: &str) {
    match value {
        Value::Integer(number) => {
            hasher.update(b"n").update(&(*number as f64).to_bits().to_be_bytes());
        }
        Value::Real(number) => {
            let number = if *number == 0.0 { 0.0 } else { *number };
            hasher.update(b"n").update(&number.to_bits().to_be_bytes());
        }
        Value::Text(bytes) if collation.eq_ignore_ascii_case("BINARY") => {
            hasher.update(b"t").update(&(bytes.len() as u64).to_be_bytes()).update(bytes);
        }
        Value::Text(bytes) if collation.eq_ignore_ascii_case("NOCASE") => {
            hasher.update(b"t").update(&(bytes.len() as u64).to_be_bytes()).update(&bytes.to_ascii_lowercase());
        }
        Value::Text(bytes) if collation.eq_ignore_ascii_case("RTRIM") => {
            let spaces = bytes.iter().rev().take_while(|byte| **byte == b' ').count();
            hasher.update(b"t").update(&bytes[..bytes.len() - spaces]).update(&[0]);
        }
        Value::Text(_) => {
            hasher.update(b"t");
        }
        other => {
            let mut out = rowmesh_core::encode::Writer::default();
            other.encode(&mut out);
            hasher.update(b"o").update(&out.0);
        }
    }
}

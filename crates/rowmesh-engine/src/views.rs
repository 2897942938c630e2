//! What people see of a database's tables: how each fares, a row, contents and shapes in one hash. Reads only.

use std::collections::BTreeSet;
use std::sync::Arc;

use rowmesh_core::encode::Writer;
use rowmesh_core::ident::Digest;
use rowmesh_core::ledger::{ConflictType, Left};
use rowmesh_core::lineage::lineage;
use rowmesh_core::orphans;
use rowmesh_core::policy::TablePolicy;
use rowmesh_core::row_state::RowState;
use rowmesh_core::schema::{Column, ForeignKey, KeyKind, TableSchema};
use rowmesh_core::store::{ConflictView, ParkedView, RowView, TableStatus};
use rowmesh_core::value::{ColumnName, Key, TableName, Value, write_json_object};

use crate::births::Places;
use crate::database::{Access, ParkedRow};
use crate::fault::{Error, Result};
use crate::origins::Origins;
use crate::plan::Plan;
use crate::registry::{Registry, Table, TableNumber};
use crate::scope::Membership;
use crate::{ledger_rows, row_states};

/// Hash over the shape of every tracked table.
pub fn schema_fingerprint(tables: &[TableSchema]) -> Digest {
    let mut shapes: Vec<(&str, Digest)> = tables.iter().map(|table| (&*table.name, fingerprint(table))).collect();
    shapes.sort();
    let mut hasher = blake3::Hasher::new();
    for (name, shape) in shapes {
        hasher.update(name.as_bytes()).update(&[0]).update(&shape.0);
    }
    Digest(*hasher.finalize().as_bytes())
}

/// Per table, the sum of its rows' hashes: the same in any order of rows. Columns are taken by name. What a filter keeps here is left out.
pub fn content_digest(
    db: &impl Access,
    registry: &Registry,
    membership: &mut Membership,
) -> Result<Vec<(TableName, Digest)>> {
    let mut digests = Vec::new();
    for table in registry.all() {
        let mut order: Vec<usize> = (0..table.columns.len()).collect();
        order.sort_by(|a, b| table.schema.columns[*a].name.cmp(&table.schema.columns[*b].name));
        let mut sum = [0u8; 32];
        db.scan(&table, &mut |row| {
            let judgement = membership.verdict(db, &table, &row)?;
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
            Ok(())
        })?;
        digests.push((table.schema.name.clone(), Digest(sum)));
    }
    digests.sort();
    Ok(digests)
}

/// Columns that the application sets to the present moment along with other changes, told by their names.
pub fn touched_columns(registry: &Registry) -> Vec<(TableName, Vec<ColumnName>)> {
    let of_table = |table: Arc<Table>| {
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
    db: &impl Access,
    registry: &Registry,
    plan: &Plan,
    membership: &Membership,
    count: bool,
) -> Result<Vec<TableStatus>> {
    let mut all = Vec::new();
    let parked = db.parked_rows()?;
    for table in registry.all() {
        let waits = membership.waits(&table.schema.name);
        all.push(TableStatus {
            name: table.schema.name.to_string(),
            synced: true,
            remedy: if waits.is_some() { format!("rowmesh tables add {}", table.schema.name) } else { String::new() },
            reason: waits.map_or_else(String::new, |doubt| {
                format!("its rows wait here until somebody says that they may travel: {doubt}")
            }),
            key: table.schema.key_names().map(|name| name.to_string()).collect(),
            columns: table.schema.columns.iter().map(|column| column.name.to_string()).collect(),
            references: referring_columns(registry, &table.schema),
            rows: if count { Some(db.count(&table)?) } else { None },
            captured: true,
            parked: parked.iter().filter(|(number, _)| *number == table.number).count() as u64,
            held_back: db.count_held_back(table.number, None)?,
        });
    }
    for skipped in &plan.skipped {
        all.push(TableStatus {
            name: skipped.name.to_string(),
            synced: false,
            reason: skipped.reason.clone(),
            remedy: skipped.remedy.clone(),
            key: Vec::new(),
            columns: Vec::new(),
            references: Vec::new(),
            rows: None,
            captured: false,
            parked: 0,
            held_back: 0,
        });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The columns by which rows refer to the keys of others.
fn referring_columns(registry: &Registry, table: &TableSchema) -> Vec<String> {
    let by_key = |key: &&ForeignKey| {
        registry.tracked_by_name(&key.parent).is_some_and(|parent| orphans::is_by_key(key, &parent.schema))
    };
    let positions: BTreeSet<usize> =
        table.foreign_keys.iter().filter(by_key).flat_map(|key| key.columns.iter().copied()).collect();
    positions.into_iter().map(|position| table.columns[position].name.to_string()).collect()
}

/// A row as it stands, JSON.
pub fn row_json(db: &impl Access, registry: &Registry, table: &str, key: &Key) -> Result<Option<String>> {
    let Some(table) = registry.tracked_by_name(table) else { return Ok(None) };
    let values = key.values().map_err(|source| Error::damaged("a key", source))?;
    Ok(db.read(table, &values)?.map(|row| {
        let mut out = String::new();
        write_json_object(&mut out, table.schema.columns.iter().map(|column| &*column.name).zip(&row));
        out
    }))
}

/// What is parked, of one row or of all.
pub fn parked(
    db: &impl Access,
    origins: &Origins,
    registry: &Registry,
    of: Option<(TableNumber, &Key)>,
) -> Result<Vec<ParkedView>> {
    let view = |row: ParkedRow| {
        Ok(ParkedView {
            dot: origins.dot(row.origin, row.seq)?,
            table: registry.name(row.table).map_or_else(String::new, ToString::to_string),
            key: row.key.to_display(),
            reason: row.reason,
            since: row.since,
        })
    };
    db.parked(of)?.into_iter().map(view).collect()
}

/// Where a row comes from; `None` if nothing is known of it.
pub fn row(
    db: &impl Access,
    origins: &Origins,
    registry: &Registry,
    (table, key): (&str, &Key),
    policy: &TablePolicy,
) -> Result<Option<RowView>> {
    let Some(number) = registry.known_number(table) else { return Ok(None) };
    let state = row_states::load(db, origins, number, key)?;
    if state.stamps().next().is_none() {
        return Ok(None);
    }
    Ok(Some(RowView {
        lineage: lineage(&state, policy, registry.column_names(number)),
        conflicts: conflicts_of(db, origins, registry, (number, table, key), &state)?,
        parked: parked(db, origins, registry, Some((number, key)))?,
    }))
}

fn conflicts_of(
    db: &impl Access,
    origins: &Origins,
    registry: &Registry,
    (number, table, key): (TableNumber, &str, &Key),
    state: &RowState,
) -> Result<Vec<ConflictView>> {
    let identity = registry.tracked(number).map(|table| state.identity(&table.key_columns(), key));
    ledger_rows::of_row(db, origins, table, identity.as_ref().unwrap_or(key))
}

/// Entries as people see them: under the numbers that stand in the tables now.
pub fn in_places<A: Access>(places: &Places<'_, A>, registry: &Registry, conflicts: &mut [ConflictView]) -> Result<()> {
    for entry in conflicts.iter_mut().map(|conflict| &mut conflict.entry) {
        let Some(table) = registry.tracked_by_name(&entry.id.table) else { continue };
        entry.id.key = places.of(table, &entry.id.key)?;
        let is_number = entry.kind == ConflictType::Rekey;
        for left in [&mut entry.lost, &mut entry.won].into_iter().filter(|_| !is_number) {
            match (left, &entry.id.column) {
                (Left::Value(value), Some(column)) => places.in_named(table, column, value)?,
                (Left::Written(values), _) => {
                    values.iter_mut().try_for_each(|(name, value)| places.in_named(table, name, value))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// A row as people see it, by the same.
pub fn row_in_places<A: Access>(
    places: &Places<'_, A>,
    registry: &Registry,
    table: &str,
    row: &mut RowView,
) -> Result<()> {
    in_places(places, registry, &mut row.conflicts)?;
    let Some(table) = registry.tracked_by_name(table) else { return Ok(()) };
    for column in &mut row.lineage.columns {
        for written in &mut column.writes {
            places.in_named(table, &column.column, &mut written.value)?;
        }
    }
    Ok(())
}

/// Hash over the shape of one table: equal where two nodes' tables can hold the same rows, whatever the order of their columns and the
/// names of their indexes.
pub fn fingerprint(table: &TableSchema) -> Digest {
    let mut out = Writer::default();
    let name_of = |position: &usize| table.columns[*position].name.as_bytes();
    out.bytes(b"rowmesh table shape 1");
    out.bytes(table.name.as_bytes());
    let mut columns: Vec<&Column> = table.columns.iter().collect();
    columns.sort_by(|a, b| a.name.cmp(&b.name));
    out.number(columns.len() as u64);
    for column in columns {
        out.bytes(column.name.as_bytes());
        out.bytes(column.declared_type.to_ascii_lowercase().as_bytes());
        out.byte(u8::from(column.not_null));
        out.byte(u8::from(column.default.is_some()));
        column.default.as_ref().unwrap_or(&Value::Null).encode(&mut out);
    }
    out.number(table.key.len() as u64);
    table.key.iter().for_each(|position| out.bytes(name_of(position)));
    out.byte(u8::from(table.key_kind == KeyKind::Generated));
    write_sorted(
        &mut out,
        table.uniques.iter().map(|index| {
            let mut out = Writer::default();
            out.byte(u8::from(index.partial));
            for part in &index.parts {
                match part {
                    None => out.byte(0),
                    Some(part) => {
                        out.byte(1);
                        out.bytes(name_of(&part.column));
                        out.bytes(part.collation.to_ascii_uppercase().as_bytes());
                    }
                }
            }
            out.0
        }),
    );
    write_sorted(
        &mut out,
        table.foreign_keys.iter().map(|key| {
            let mut out = Writer::default();
            out.bytes(key.parent.as_bytes());
            out.bytes(key.on_delete.as_bytes());
            for (column, parent_column) in key.columns.iter().zip(&key.parent_columns) {
                out.bytes(name_of(column));
                out.bytes(parent_column.as_bytes());
            }
            out.0
        }),
    );
    Digest(*blake3::hash(&out.0).as_bytes())
}

fn write_sorted(out: &mut Writer, parts: impl Iterator<Item = Vec<u8>>) {
    let mut parts: Vec<Vec<u8>> = parts.collect();
    parts.sort();
    out.number(parts.len() as u64);
    parts.iter().for_each(|part| out.bytes(part));
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

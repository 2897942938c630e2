//! The text of the triggers that note which rows changed, and what they write. They note table, operation, time and key, nothing else:
//! no other column is named, no setting read, no JSON made, so an application can alter its tables under them and nothing in them can
//! fail. Which tables get them is decided in `attach`; what a note means for the row is found out by the sealer.

use std::fmt::Write as _;

use rowmesh_core::clock::WallTime;
use rowmesh_core::schema::TableSchema;
use rowmesh_engine::database::NotedOperation;
use rowmesh_engine::registry::TableNumber;
use rusqlite::types::ValueRef;

use crate::sql::{literal, quote};

/// Version of the trigger text. A trigger of another version is replaced by attach, in one transaction with all the others (I13).
pub const VERSION: u32 = 2;

/// What every trigger's name begins with.
pub const TRIGGER_PREFIX: &str = "rowmesh_capture_";

/// One trigger of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// The statement that makes it, exactly as `sqlite_master` keeps it.
    pub sql: String,
}

/// The triggers of one table. An update that moves a row to another key is noted twice, under either key.
pub fn triggers(number: TableNumber, table: &TableSchema) -> [Trigger; 4] {
    [
        trigger(number, table, "insert", "INSERT", NotedOperation::Insert, Side::New, ""),
        trigger(number, table, "update", "UPDATE", NotedOperation::Update, Side::New, ""),
        trigger(number, table, "rekey", &update_of_key(table), NotedOperation::Rekey, Side::Old, &key_moved(table)),
        trigger(number, table, "delete", "DELETE", NotedOperation::Delete, Side::Old, ""),
    ]
}

/// The number of the table that a trigger of that name notes for; `None` if the name is none of ours.
pub fn number_in(trigger_name: &str) -> Option<TableNumber> {
    let rest = trigger_name.strip_prefix(TRIGGER_PREFIX)?;
    rest.split_once('_')?.0.parse().ok().map(TableNumber)
}

/// The version that a trigger's text says it has; `None` if it says none.
pub fn version_in(trigger_sql: &str) -> Option<u32> {
    let rest = trigger_sql.split_once("/* rowmesh capture ")?.1;
    rest.split_once(' ')?.0.parse().ok()
}

#[derive(Clone, Copy)]
enum Side {
    Old,
    New,
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Side::Old => "OLD",
            Side::New => "NEW",
        }
    }
}

fn trigger(
    number: TableNumber,
    table: &TableSchema,
    suffix: &str,
    event: &str,
    operation: NotedOperation,
    side: Side,
    condition: &str,
) -> Trigger {
    let name = format!("{TRIGGER_PREFIX}{}_{suffix}", number.0);
    let mut places = String::new();
    let mut values = String::new();
    for (index, column) in table.key_names().enumerate() {
        write!(places, ", k{}", index + 1).expect("writing to a String never fails");
        write!(values, ", {}.{}", side.word(), quote(column)).expect("writing to a String never fails");
    }
    let (on, code, number) = (quote(&table.name), operation.number(), number.0);
    let sql = format!(
        "CREATE TRIGGER {name} AFTER {event} ON {on}{condition} BEGIN /* rowmesh capture {VERSION} */ \
         INSERT INTO rowmesh_dirty (t, op, at{places}) VALUES ({number}, {code}, {NOW}{values}); END",
    );
    Trigger { name, sql }
}

/// The present day and its fraction since 4714 BC, in a function that every SQLite since 3.24 has built in. The same for all rows of one
/// statement. Without a time, everything written while the daemon was away would seem to have been written when it came back, and win
/// against what others wrote later; turning it into milliseconds is left to [`noted_at`], since that cost as much again.
const NOW: &str = "julianday('now')";

/// When a note was made: days as the triggers write them, or milliseconds since 1970, as we and triggers of older versions do.
pub fn noted_at(at: ValueRef<'_>) -> WallTime {
    let of_days = |days: f64| WallTime(((days - 2_440_587.5) * 86_400_000.0 + 0.5).max(0.0) as u64);
    match at {
        // At noon exactly a day is a whole number, and kept as one.
        ValueRef::Integer(days) if WHOLE_DAYS.contains(&days) => of_days(days as f64),
        ValueRef::Integer(milliseconds) => WallTime(milliseconds.max(0) as u64),
        ValueRef::Real(days) => of_days(days),
        _ => WallTime::default(),
    }
}

/// The days from 1970 to the year 4636. As milliseconds they would lie in the first hours of 1970.
const WHOLE_DAYS: std::ops::Range<i64> = 2_440_588..3_414_000;

/// What an update of some rows must set for a row to move to another key: most updates set none of it, and pay nothing. The row number
/// of a table has three more names.
fn update_of_key(table: &TableSchema) -> String {
    let key: Vec<String> = table.key_names().map(|name| quote(name)).collect();
    format!("UPDATE OF {}, rowid, oid, _rowid_", key.join(", "))
}

/// Whether an update moved the row to a key with other bytes. The column's own collation is not asked: under NOCASE `a` to `A` is a move
/// too. Nor are types that compare alike: in a column without one 1 and 1.0 are different keys.
fn key_moved(table: &TableSchema) -> String {
    let moved: Vec<String> = (table.key.iter())
        .map(|position| {
            let column = &table.columns[*position];
            let name = quote(&column.name);
            let by_value = format!("OLD.{name} IS NOT NEW.{name} COLLATE BINARY");
            match keeps_any_type(&column.declared_type) {
                true => format!("{by_value} OR typeof(OLD.{name}) IS NOT typeof(NEW.{name})"),
                false => by_value,
            }
        })
        .collect();
    format!(" WHEN {}", moved.join(" OR "))
}

/// Whether a column of that declared type holds integers and reals side by side: SQLite's affinity BLOB, and ANY of strict tables.
fn keeps_any_type(declared_type: &str) -> bool {
    let declared = declared_type.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    declared.is_empty() || declared == "ANY" || (has(&["BLOB"]) && !has(&["INT", "CHAR", "CLOB", "TEXT"]))
}

/// The condition on `sqlite_master` rows that are triggers of ours.
pub fn is_ours() -> String {
    format!("type = 'trigger' AND substr(name, 1, {}) = {}", TRIGGER_PREFIX.len(), literal(TRIGGER_PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_note_is_understood_in_every_form_it_was_ever_written_in() {
        let noon = WallTime(1_769_860_800_000); // 2026-01-31 12:00 UTC
        let days = 2_461_072.0;
        assert_eq!(noted_at(ValueRef::Real(days)), noon);
        assert_eq!(noted_at(ValueRef::Integer(days as i64)), noon);
        assert_eq!(noted_at(ValueRef::Real(days + 0.5)), WallTime(noon.0 + 12 * 3_600_000));
        assert_eq!(noted_at(ValueRef::Integer(noon.0 as i64)), noon);
        assert_eq!(noted_at(ValueRef::Real(-1.0)), WallTime(0));
        assert_eq!(noted_at(ValueRef::Null), WallTime(0));
    }
}

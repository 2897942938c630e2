//! Keeps the sequences of columns ahead of the numbers that arrive: without it the application's next insert would draw a number that is taken,
//! and fail. Which numbers nodes draw while apart, and what becomes of two rows under one, is not decided here.

use rowmesh_core::value::Value;
use rowmesh_engine::fault::Result;
use rowmesh_engine::registry::Table;

use crate::access::PostgresAccess;
use crate::catalog::Tracked;
use crate::values::Kind;

/// Numbers that are left out behind the highest that arrived. Between our look at a sequence and our setting it the application may draw some:
/// fewer than these, or it would draw them again. They also keep nodes that insert in turns apart.
const ROOM: i64 = 64;

/// Sets the sequence of a column, if it counts upwards and has not come so far yet.
const ADVANCE: &str = "
    SELECT setval(owned.name, $1::bigint + $2) FROM (SELECT pg_get_serial_sequence($3, $4)::regclass AS name) AS owned
      JOIN pg_sequence AS s ON s.seqrelid = owned.name
     WHERE s.seqincrement > 0 AND $1 + $2 <= s.seqmax AND coalesce(pg_sequence_last_value(owned.name), s.seqstart - 1) < $1";

impl PostgresAccess<'_> {
    /// Takes note of the numbers in rows that are written to columns whose values the database hands out.
    pub(crate) fn note_numbers(&self, table: &Table, details: &Tracked, columns: &[usize], rows: &[Vec<&Value>]) {
        for (place, column) in columns.iter().enumerate() {
            let held = &details.columns[*column];
            if !held.handed_out || !matches!(held.kind, Kind::Integer(_)) {
                continue;
            }
            let numbers = rows
                .iter()
                .filter_map(|row| if let Value::Integer(number) = row[place] { Some(*number) } else { None });
            if let Some(highest) = numbers.max() {
                let mut held = self.held.borrow_mut();
                let known = held.numbers.entry((table.schema.name.clone(), *column)).or_insert(highest);
                *known = highest.max(*known);
            }
        }
    }

    /// Moves the sequences behind those numbers. A sequence knows no transaction: if ours is undone, numbers are left out, nothing else.
    pub(crate) fn advance_sequences(&self) -> Result<()> {
        let numbers = std::mem::take(&mut self.held.borrow_mut().numbers);
        for ((table, column), highest) in numbers {
            let Some(details) = self.tables.get(&table) else { continue };
            let name = &details.columns[column].name;
            self.all(ADVANCE, &[&highest, &ROOM, &details.sql_name(), name], |_| ())?;
        }
        Ok(())
    }
}

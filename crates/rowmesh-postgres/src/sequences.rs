//! The sequences behind columns of tracked tables: which of them can deal out numbers in steps, and how they are kept ahead of the numbers
//! that arrive. They are altered in `strides`, not here; what becomes of two rows under one number is not decided in this crate.

use std::collections::{BTreeMap, HashMap};

use rowmesh_core::births::{DERIVED_COUNT, DERIVED_FIRST};
use rowmesh_core::stride::Stride;
use rowmesh_core::value::{ColumnName, TableName, Value};
use rowmesh_engine::fault::Result;
use rowmesh_engine::plan::{Dealt, Numbered};
use rowmesh_engine::registry::Table;

use crate::access::PostgresAccess;
use crate::catalog::Tracked;
use crate::connection::Session;
use crate::error;
use crate::sql::{qualified, quote};
use crate::values::Kind;

/// Steps that must be left to a sequence: one that would come to its end soon goes on one by one.
pub(crate) const STEPS_LEFT_MIN: i64 = 1 << 20;

/// Numbers that a sequence which counts one by one leaves out behind the highest that arrived, so that nodes which insert in turns draw
/// different ones.
const ROOM: i64 = 64;

/// Numbers that are drawn one after the other to come ahead of those that arrived; a longer way is gone at once. Drawing is safe whatever the
/// application draws meanwhile. Going at once is, as long as it draws fewer than these in the moment between our look and our setting.
const DRAWS_MAX: i64 = 10_000;

/// Brings sequences that count upwards ahead of the highest numbers that arrived, in whole steps, so that they stay in step. Not for numbers near the
/// end of what a column holds: somebody has written those by hand, and nobody could draw any behind them.
const ADVANCE: &str = "
    WITH behind AS MATERIALIZED (
        SELECT s.seqrelid AS sequence, s.seqincrement AS step, s.seqcache AS cached, come.highest,
               CASE s.seqincrement WHEN 1 THEN come.room ELSE 0 END AS room, least(s.seqmax, come.limit_of_column) AS top,
               -- Numeric, since a sequence may lie at either end of the range.
               s.seqmin::numeric AS bottom, coalesce(pg_sequence_last_value(s.seqrelid), s.seqstart::numeric - s.seqincrement) AS last
          FROM unnest($1::oid[], $2::int8[], $3::int8[], $4::int8[]) AS come (sequence, highest, room, limit_of_column)
          JOIN pg_sequence AS s ON s.seqrelid = come.sequence
         WHERE s.seqincrement > 0),
    near_end AS MATERIALIZED (
        SELECT *, top - least(step::numeric * $5::int8, (top - bottom) / 32) AS begins FROM behind),
    due AS MATERIALIZED (
        SELECT sequence, step, cached, last, div(top - last, step) AS steps_left,
               div(least(highest + room::numeric, top) - last, step) AS draws
          FROM near_end
         WHERE highest - last >= step AND (highest <= begins OR last > begins))
    SELECT CASE WHEN draws <= $6::int8 * cached
                THEN (SELECT max(number) FROM (
                        SELECT nextval(sequence) AS number
                          FROM generate_series(1, least(steps_left, draws + CASE WHEN cached > 1 THEN cached ELSE 0 END)::int8)) AS drawn)
                ELSE setval(sequence, (last + draws * step)::int8) END
      FROM due WHERE draws > 0";

impl PostgresAccess<'_> {
    /// Takes note of the numbers in rows that are written to columns whose values a sequence hands out.
    pub(crate) fn note_numbers(&self, table: &Table, details: &Tracked, columns: &[usize], rows: &[Vec<&Value>]) {
        for (place, column) in columns.iter().enumerate() {
            let held = &details.columns[*column];
            if held.sequence.is_none() || !matches!(held.kind, Kind::Integer(_)) {
                continue;
            }
            let numbers = rows
                .iter()
                .filter_map(|row| if let Value::Integer(number) = row[place] { Some(*number) } else { None })
                // Those were not handed out: a sequence would pass over all before them.
                .filter(|number| !(DERIVED_FIRST..DERIVED_FIRST + DERIVED_COUNT).contains(number));
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
        let mut come: BTreeMap<u32, (i64, i64, i64)> = BTreeMap::new();
        for ((table, column), highest) in numbers {
            let Some(held) = self.tables.get(&table).map(|details| &details.columns[column]) else { continue };
            let Some(sequence) = held.sequence else { continue };
            let limit = limit_of(held.kind).unwrap_or(i64::MAX);
            let room = if limit > i64::from(i16::MAX) { ROOM } else { 0 };
            let known = come.entry(sequence).or_insert((highest, room, limit));
            *known = (highest.max(known.0), room.min(known.1), limit.min(known.2));
        }
        if come.is_empty() {
            return Ok(());
        }
        let sequences: Vec<u32> = come.keys().copied().collect();
        let [highest, rooms, limits] =
            [|c: &(i64, i64, i64)| c.0, |c: &(i64, i64, i64)| c.1, |c: &(i64, i64, i64)| c.2]
                .map(|part| come.values().map(part).collect::<Vec<i64>>());
        self.all(ADVANCE, &[&sequences, &highest, &rooms, &limits, &STEPS_LEFT_MIN, &DRAWS_MAX], |_| ()).map(drop)
    }
}

/// The highest number that a column of integers holds.
fn limit_of(kind: Kind) -> Option<i64> {
    match kind {
        Kind::Integer(2) => Some(i64::from(i16::MAX)),
        Kind::Integer(4) => Some(i64::from(i32::MAX)),
        Kind::Integer(_) => Some(i64::MAX),
        _ => None,
    }
}

/// A column whose numbers the database hands out.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    table: TableName,
    name: ColumnName,
    kind: Kind,
    /// Where they come from, where the catalog tells.
    sequence: Option<u32>,
}

/// Every such column of these tables.
pub(crate) fn columns<'t>(tables: impl IntoIterator<Item = &'t Tracked>) -> Vec<Column> {
    let mut all = Vec::new();
    for table in tables {
        let handed_out = table.columns.iter().filter(|column| column.handed_out);
        all.extend(handed_out.map(|column| Column {
            table: table.schema.name.clone(),
            name: column.name.as_str().into(),
            kind: column.kind,
            sequence: column.sequence,
        }));
    }
    all
}

/// A sequence behind columns, or one that was behind some when it was brought into step.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub(crate) oid: u32,
    pub(crate) place: (String, String),
    owner: String,
    is_superusers: bool,
    pub(crate) may_alter: bool,
    pub(crate) settings: Settings,
    has_small_columns: bool,
    /// The highest number that all its columns hold; `None` for one behind no tracked column.
    pub(crate) limit: Option<i64>,
    has_other_columns: bool,
    /// What we have made of it, if anything.
    pub(crate) memory: Option<Memory>,
}

/// How a sequence is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) start: i64,
    pub(crate) increment: i64,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) cycles: bool,
}

/// How a sequence was, and what we have made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// As it was.
    pub(crate) increment: i64,
    pub(crate) start: i64,
    /// As we set it.
    pub(crate) step: i64,
    pub(crate) first: i64,
    /// Whether somebody has altered it since, so that it is not ours any more.
    pub(crate) released: bool,
}

impl Sequence {
    /// Its name in SQL.
    pub(crate) fn sql_name(&self) -> String {
        qualified(&self.place.0, &self.place.1)
    }

    /// Whether it counts in the steps that we gave it.
    pub(crate) fn is_in_step(&self) -> bool {
        self.memory.is_some_and(|memory| !memory.released && memory.step == self.settings.increment)
    }

    /// The number beyond which too few are left for steps of this size.
    pub(crate) fn last_in_steps(&self, step: i64) -> i64 {
        let limit = self.limit.unwrap_or(i64::MAX).min(self.settings.max);
        limit.saturating_sub(STEPS_LEFT_MIN.saturating_mul(step))
    }

    /// Whether it can deal out numbers in steps of this size, where its position is known; why not, and what can be done about it.
    pub(crate) fn fits(&self, step: i64, position: Option<i64>) -> std::result::Result<(), (String, String)> {
        let settings = &self.settings;
        let as_it_is = |reason: &str| Err((reason.to_owned(), String::new()));
        match self.memory {
            Some(memory) if memory.released || memory.step != settings.increment => {
                return as_it_is("its sequence was altered after it had been brought into steps");
            }
            None if settings.increment < 0 => return as_it_is("its sequence counts downwards"),
            None if settings.increment != 1 => {
                return as_it_is(&format!("its sequence counts in steps of {} already", settings.increment));
            }
            _ => {}
        }
        if settings.cycles {
            return as_it_is("its sequence begins again at its end");
        }
        if self.has_small_columns {
            return as_it_is("a smallint has too few numbers");
        }
        if self.limit.is_none() || self.has_other_columns {
            return as_it_is("it is no column of integers");
        }
        if position.unwrap_or(settings.start).max(settings.min) > self.last_in_steps(step) {
            return as_it_is("its sequence has too few numbers left");
        }
        match (self.may_alter, self.is_superusers) {
            (true, _) => Ok(()),
            (false, true) => {
                Err((format!("its sequence belongs to {}", self.owner), "let a superuser run rowmesh".to_owned()))
            }
            (false, false) => Err((
                format!("its sequence belongs to {}", self.owner),
                format!("GRANT {} TO the role of rowmesh (rowmesh init --print-grants)", quote(&self.owner)),
            )),
        }
    }
}

/// For the plan: how each column's numbers will be dealt out.
///
/// # Errors
/// If the database cannot be read.
pub fn numbers(session: &Session, tables: &[Tracked]) -> error::Result<Vec<Numbered>> {
    let columns = columns(tables);
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let sequences = read(session, &columns)?;
    let positions = positions(session, &sequences)?;
    let of_column = |column: &Column| {
        let sequence = column.sequence.and_then(|oid| sequences.iter().find(|sequence| sequence.oid == oid));
        let as_before = |(reason, remedy)| Dealt::AsBefore { reason, remedy };
        let dealt = match sequence {
            None => as_before(("its sequence is looked up anew for every row".to_owned(), String::new())),
            Some(sequence) => {
                let is_in_step = sequence.is_in_step();
                let step = if is_in_step { sequence.settings.increment } else { Stride::step_min() };
                let fits = sequence.fits(step, positions.get(&sequence.oid).copied());
                fits.map_or_else(as_before, |()| Dealt::InSteps(step))
            }
        };
        Numbered { table: column.table.clone(), column: column.name.clone(), dealt }
    };
    Ok(columns.iter().map(of_column).collect())
}

/// How far each has come, of those that may be asked. A statement of someone's that holds one of them locked leaves all of them unknown.
fn positions(session: &Session, sequences: &[Sequence]) -> error::Result<HashMap<u32, i64>> {
    let oids: Vec<u32> = sequences.iter().map(|sequence| sequence.oid).collect();
    let sql = "SELECT oid, pg_sequence_last_value(oid) FROM unnest($1::oid[]) AS oid
                WHERE has_sequence_privilege(oid, 'SELECT') OR has_sequence_privilege(oid, 'USAGE')";
    match session.query(sql, &[&oids]) {
        Ok(rows) => Ok(rows.iter().filter_map(|row| Some((row.get(0), row.get::<_, Option<i64>>(1)?))).collect()),
        Err(error) if error.is_lock() => Ok(HashMap::new()),
        Err(error) => Err(error),
    }
}

/// The sequences behind these columns, and those that we remember.
///
/// # Errors
/// If the database cannot be read.
pub(crate) fn read(session: &Session, columns: &[Column]) -> error::Result<Vec<Sequence>> {
    let mut memories = memories(session)?;
    let behind = columns.iter().filter_map(|column| column.sequence);
    let oids: Vec<u32> = behind.chain(memories.keys().copied()).collect();
    let sql = "SELECT s.seqrelid, n.nspname::text, c.relname::text, o.rolname::text, o.rolsuper, pg_has_role(c.relowner, 'USAGE'),
                      s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle,
                      s.seqtypid = 'int2'::regtype OR EXISTS (
                          SELECT FROM pg_depend AS d JOIN pg_attrdef AS f ON f.oid = d.objid
                            JOIN pg_attribute AS a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
                           WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = s.seqrelid
                             AND d.classid = 'pg_attrdef'::regclass AND a.atttypid = 'int2'::regtype)
                 FROM pg_sequence AS s JOIN pg_class AS c ON c.oid = s.seqrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
                 JOIN pg_roles AS o ON o.oid = c.relowner
                WHERE s.seqrelid = ANY ($1) ORDER BY 2, 3";
    let rows = session.query(sql, &[&oids])?;
    let sequence = |row: &crate::Row| {
        let oid: u32 = row.get(0);
        let own = || columns.iter().filter(move |column| column.sequence == Some(oid));
        Sequence {
            oid,
            place: (row.get(1), row.get(2)),
            owner: row.get(3),
            is_superusers: row.get(4),
            may_alter: row.get(5),
            settings: Settings {
                start: row.get(6),
                increment: row.get(7),
                min: row.get(8),
                max: row.get(9),
                cycles: row.get(10),
            },
            has_small_columns: row.get(11),
            limit: own().filter_map(|column| limit_of(column.kind)).min(),
            has_other_columns: own().any(|column| limit_of(column.kind).is_none()),
            memory: memories.remove(&oid),
        }
    };
    Ok(rows.iter().map(sequence).collect())
}

/// What we remember, by sequence, as far as there is a table for it.
fn memories(session: &Session) -> error::Result<HashMap<u32, Memory>> {
    let there = "SELECT pg_catalog.to_regclass('rowmesh.sequences') IS NOT NULL";
    if !session.query_one(there, &[])?.get::<_, bool>(0) {
        return Ok(HashMap::new());
    }
    let sql = "SELECT sequence::oid, increment, start, step, first, released FROM rowmesh.sequences";
    let memory = |row: &crate::Row| Memory {
        increment: row.get(1),
        start: row.get(2),
        step: row.get(3),
        first: row.get(4),
        released: row.get(5),
    };
    Ok(session.query(sql, &[])?.iter().map(|row| (row.get(0), memory(row))).collect())
}

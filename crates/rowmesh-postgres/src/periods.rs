//! Foreign keys over periods (PostgreSQL 18): a row refers to no row of the parent but to a stretch of time that several of them cover together.
//! Finds what was written and breaks one; the server leaves that to us in the role of a replica. All other foreign keys are checked in `write`.

use std::collections::BTreeMap;
use std::sync::Arc;

use rowmesh_core::value::{Key, Value};
use rowmesh_engine::fault::Result;
use rowmesh_engine::registry::{Registry, Table};
use rowmesh_engine::write::RowWrite;

use crate::access::PostgresAccess;
use crate::catalog::{PeriodKey, Tracked};
use crate::fault::Told;
use crate::given::Given;
use crate::rows::read_row;
use crate::sql::quote;
use crate::values::row_expression;

/// A row that was written, by its position among all.
pub type Written<'w> = (usize, &'w RowWrite, &'w Arc<Table>);

/// Positions of rows that cannot stand as they were written, each with the reason. Parents that cover others are kept from going until we commit.
pub fn uncovered(
    db: &PostgresAccess<'_>,
    registry: &Registry,
    written: &[Written<'_>],
) -> Result<Vec<(usize, String)>> {
    let children: BTreeMap<_, _> = db.tables.iter().filter(|(_, table)| !table.period_keys.is_empty()).collect();
    let mut found = Vec::new();
    for child in children.into_values() {
        for key in &child.period_keys {
            let Some(parent) = db.tables.get(&key.parent) else { continue };
            let pair = Pair { db, child, parent, key };
            if registry.tracked_by_name(&key.parent).is_some() {
                found.extend(pair.children_left_alone(written)?);
            }
            found.extend(pair.parents_still_needed(written)?);
        }
    }
    Ok(found)
}

/// All rows of a table that break one as they stand, each with the reason.
pub fn all_uncovered(
    db: &PostgresAccess<'_>,
    registry: &Registry,
    child: &Tracked,
) -> Result<Vec<(Vec<Value>, String)>> {
    let mut found = Vec::new();
    for key in &child.period_keys {
        let Some(parent) = db.tables.get(&key.parent) else { continue };
        if registry.tracked_by_name(&key.parent).is_some() {
            let pair = Pair { db, child, parent, key };
            let reason = format!("it refers to rows of {} that are not here for all of that time", key.parent);
            found.extend(pair.all_left_alone()?.into_iter().map(|row| (row, reason.clone())));
        }
    }
    Ok(found)
}

/// One foreign key with its two tables.
struct Pair<'p, 'a> {
    db: &'p PostgresAccess<'a>,
    child: &'p Tracked,
    parent: &'p Tracked,
    key: &'p PeriodKey,
}

impl Pair<'_, '_> {
    fn all_left_alone(&self) -> Result<Vec<Vec<Value>>> {
        let own = self.names(self.child, &self.key.columns, "c");
        let Some(period) = own.last() else { return Ok(Vec::new()) };
        let is_set: Vec<String> = own.iter().map(|name| format!("{name} IS NOT NULL")).collect();
        let sql = format!(
            "SELECT {} FROM {} AS c WHERE {} AND NOT COALESCE({period} <@ {}, false)",
            row_expression(&self.child.columns, "c"),
            self.child.sql_name(),
            is_set.join(" AND "),
            self.covered(&own, "")
        );
        self.db.session.query(&sql, &[]).told()?.iter().map(|row| read_row(row, &self.child.columns)).collect()
    }

    fn children_left_alone(&self, written: &[Written<'_>]) -> Result<Vec<(usize, String)>> {
        let (mut positions, mut rows) = (Vec::new(), Vec::new());
        for (position, write, table) in of_table(written, self.child) {
            let Some(row) = write.final_row(table) else { continue };
            let is_new =
                write.before.as_ref().is_none_or(|before| self.key.columns.iter().any(|c| before[*c] != row[*c]));
            let values = values(&row, &self.key.columns);
            if is_new && !values.iter().any(Value::is_null) {
                positions.push(position);
                rows.push(values);
            }
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let given = Given::new(self.child, &self.key.columns, &rows);
        let wanted = given.values("k");
        let Some((period, _)) = wanted.split_last() else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT k.i FROM {} WHERE NOT COALESCE({period} <@ {}, false)",
            given.rows("k"),
            self.covered(&wanted, " FOR KEY SHARE OF p")
        );
        let found = self.positions(&sql, &given)?;
        let told = |place: usize| {
            let shown = Key::of(&rows[place]).to_display();
            (
                positions[place],
                format!("it refers to {} {shown}, which is not here for all of that time", self.key.parent),
            )
        };
        Ok(found.into_iter().map(told).collect())
    }

    fn parents_still_needed(&self, written: &[Written<'_>]) -> Result<Vec<(usize, String)>> {
        let columns = self.key.parent_columns.iter().map(|name| self.parent.schema.column(name));
        let Some(columns) = columns.collect::<Option<Vec<usize>>>() else { return Ok(Vec::new()) };
        let (mut positions, mut rows) = (Vec::new(), Vec::new());
        for (position, write, table) in of_table(written, self.parent) {
            let Some(before) = &write.before else { continue };
            let stays = write.final_row(table).is_some_and(|row| columns.iter().all(|c| row[*c] == before[*c]));
            let values = values(before, &columns);
            if !stays && !values.iter().any(Value::is_null) {
                positions.push(position);
                rows.push(values);
            }
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let given = Given::new(self.parent, &columns, &rows);
        let referring: Vec<String> = self.names(self.child, &self.key.columns, "c");
        let meets: Vec<String> = referring
            .iter()
            .zip(given.values("k"))
            .zip(self.operators())
            .map(|((c, k), op)| format!("{c} {op} {k}"))
            .collect();
        let Some(period) = referring.last() else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT k.i FROM {} WHERE EXISTS (SELECT FROM {} AS c WHERE {} AND NOT COALESCE({period} <@ {}, false))",
            given.rows("k"),
            self.child.sql_name(),
            meets.join(" AND "),
            self.covered(&referring, "")
        );
        let found = self.positions(&sql, &given)?;
        let reason = format!("rows of {} still refer to that time of it", self.child.schema.name);
        Ok(found.into_iter().map(|place| (positions[place], reason.clone())).collect())
    }

    /// What the parent's rows cover together of the values that these expressions give.
    fn covered(&self, wanted: &[String], locked: &str) -> String {
        let names: Vec<String> = self.key.parent_columns.iter().map(|name| format!("p.{}", quote(name))).collect();
        let meets = names.iter().zip(wanted).zip(self.operators());
        let meets: Vec<String> =
            meets.map(|((name, wanted), operator)| format!("{name} {operator} {wanted}")).collect();
        let period = names.last().map_or("NULL", String::as_str);
        format!(
            "(SELECT range_agg(part.period) FROM (SELECT {period} AS period FROM {} AS p WHERE {}{locked}) AS part)",
            self.parent.sql_name(),
            meets.join(" AND ")
        )
    }

    /// Between columns of parent and child: all are equal but the period, which overlaps.
    fn operators(&self) -> impl Iterator<Item = &'static str> {
        let last = self.key.columns.len().saturating_sub(1);
        (0..=last).map(move |place| if place == last { "&&" } else { "=" })
    }

    fn names(&self, table: &Tracked, columns: &[usize], alias: &str) -> Vec<String> {
        columns.iter().map(|column| format!("{alias}.{}", quote(&table.columns[*column].name))).collect()
    }

    fn positions(&self, sql: &str, given: &Given<'_>) -> Result<Vec<usize>> {
        self.db.all(sql, &given.params(), |row| row.get::<_, i64>(0) as usize - 1)
    }
}

fn of_table<'w>(written: &'w [Written<'w>], table: &'w Tracked) -> impl Iterator<Item = Written<'w>> {
    written.iter().copied().filter(|(_, _, of)| of.schema.name == table.schema.name)
}

fn values(row: &[Value], columns: &[usize]) -> Vec<Value> {
    columns.iter().map(|column| row[*column].clone()).collect()
}

//! What takes back some of a row's changes, as new writes: pure, told from the row as it stands and its events. What others wrote since is left alone.
//! Which rows there are, and how they are written, is the store's business.

use std::collections::{BTreeMap, BTreeSet};

use crate::amount::Amount;
use crate::clock::WallTime;
use crate::event::{Change, Operation};
use crate::ident::{NodeId, Seq};
use crate::ledger::RowEvent;
use crate::lineage::{ColumnLineage, Lineage};
use crate::policy::ColumnPolicy;
use crate::row_state::Stamp;
use crate::value::{ColumnName, TableName, Value};

/// Which changes are taken back: those that all of these mean.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undo {
    /// Of this node.
    pub node: Option<NodeId>,
    /// Of its changesets with this number.
    pub seq: Option<Seq>,
    /// Made at this time or later, by the clock of whoever made them.
    pub since: Option<WallTime>,
    /// Made at this time or earlier.
    pub until: Option<WallTime>,
    /// In this table.
    pub table: Option<TableName>,
}

/// What takes them back in one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undoing {
    /// Nothing: what they left stands no more.
    Nothing,
    /// The row stands again, with these values.
    Back(BTreeMap<ColumnName, Value>),
    /// The row stands no more.
    Gone,
    /// These columns hold what they held before.
    Columns(BTreeMap<ColumnName, Value>),
}

/// What becomes of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// What is written.
    pub undoing: Undoing,
    /// Columns that others wrote since, and that keep what they hold; the row as a whole where it is named as none of them.
    pub kept: Vec<ColumnName>,
}

impl Undo {
    /// Whether it means a change of a table.
    pub fn means(&self, table: &str, stamp: &Stamp) -> bool {
        let at = stamp.lamport.wall();
        self.node.is_none_or(|node| node == stamp.dot.origin.node)
            && self.seq.is_none_or(|seq| seq == stamp.dot.seq)
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at <= until)
            && self.table.as_ref().is_none_or(|wanted| **wanted == *table)
    }
}

/// What takes back those of a row's events that are meant. `events` are all that the log holds of it, in any order.
pub fn undone(lineage: &Lineage, events: &[&RowEvent], is_meant: impl Fn(&Stamp) -> bool) -> Undone {
    let mut meant: Vec<&RowEvent> = events.iter().copied().filter(|event| is_meant(&event.stamp)).collect();
    meant.sort_by_key(|event| event.stamp);
    // Rows that stood there before Rowmesh came were written by nobody that the log knows: they are never meant.
    let stamps: BTreeSet<Stamp> = meant.iter().map(|event| event.stamp).collect();
    let is_meant = |stamp: &Stamp| stamps.contains(stamp);
    let undoing = |undoing| Undone { undoing, kept: Vec::new() };
    let made = !lineage.births.is_empty() && lineage.births.iter().all(is_meant);
    if !lineage.stands {
        let deleted = lineage.deletes.iter().any(is_meant);
        let back = || match back(&meant) {
            Undoing::Back(row) => Undoing::Back(
                row.into_iter()
                    .map(|(column, value)| (column.clone(), written(&column, value, lineage, events, &meant)))
                    .collect(),
            ),
            other => other,
        };
        return undoing(if deleted && !made { back() } else { Undoing::Nothing });
    }
    if made {
        let is_foreign = |column: &&ColumnLineage| !column.writes.iter().all(|write| is_meant(&write.stamp));
        let kept: Vec<ColumnName> = lineage.columns.iter().filter(is_foreign).map(|it| it.column.clone()).collect();
        return Undone { undoing: if kept.is_empty() { Undoing::Gone } else { Undoing::Nothing }, kept };
    }
    let (mut columns, mut kept) = (BTreeMap::new(), Vec::new());
    for column in &lineage.columns {
        let name = &column.column;
        if !meant.iter().any(|event| event.written.contains_key(name)) {
            continue;
        }
        if !column.writes.first().is_some_and(|write| is_meant(&write.stamp)) {
            kept.push(name.clone());
            continue;
        }
        // What lost to one of them is what would stand without it.
        let beaten = || column.writes.iter().find(|write| !is_meant(&write.stamp)).map(|write| write.value.clone());
        let unwound = || {
            let value = unwound(name, column.writes.first()?.value.clone(), &meant);
            Some(written(name, value, lineage, events, &meant))
        };
        let before = counted_back(column, &meant).or_else(beaten).or_else(unwound);
        if let Some(value) = before.filter(|value| Some(value) != column.shown.as_ref()) {
            columns.insert(name.clone(), value);
        }
    }
    let changes = if columns.is_empty() { Undoing::Nothing } else { Undoing::Columns(columns) };
    Undone { undoing: changes, kept }
}

/// The row that the last delete among them removed, without what the others had done to it.
fn back(meant: &[&RowEvent]) -> Undoing {
    let delete = meant.iter().rev().find(|event| event.operation == Operation::Delete);
    let Some(mut row) = delete.map(|delete| delete.before.clone()) else { return Undoing::Nothing };
    for (column, value) in &mut row {
        *value = unwound(column, value.clone(), meant);
    }
    Undoing::Back(row)
}

/// What stood in a column before them, told from what stood after the last: as far back as each left what the next one found. What somebody else wrote
/// in between is where that ends.
fn unwound(column: &ColumnName, mut value: Value, meant: &[&RowEvent]) -> Value {
    for event in meant.iter().rev() {
        let Some(after) = event.written.get(column) else { continue };
        match event.before.get(column) {
            Some(before) if *after == value => value = before.clone(),
            _ => break,
        }
    }
    value
}

/// What stood in a column, as somebody wrote it: what was shown there instead, because another row keeps a unique value, nobody did. What the log tells of
/// no write of stays as it is; so does a sum.
fn written(column: &ColumnName, value: Value, lineage: &Lineage, events: &[&RowEvent], meant: &[&RowEvent]) -> Value {
    let counts = |known: &ColumnLineage| known.column == *column && known.policy == ColumnPolicy::Counter;
    let wrote = |event: &RowEvent| event.written.get(column).cloned();
    let is_written = events.iter().any(|event| event.written.get(column) == Some(&value));
    if is_written || lineage.columns.iter().any(counts) {
        return value;
    }
    let first = meant.first().map(|event| event.stamp);
    let before = events.iter().filter(|event| Some(event.stamp) < first && event.written.contains_key(column));
    before.max_by_key(|event| event.stamp).and_then(|event| wrote(event)).unwrap_or(value)
}

/// What a counter holds without their changes; none where it is no counter, or one of them said what there is.
fn counted_back(column: &ColumnLineage, meant: &[&RowEvent]) -> Option<Value> {
    let shown = column.shown.as_ref().filter(|_| column.policy == ColumnPolicy::Counter)?;
    let mut back = Amount::default();
    for event in meant {
        let Some(after) = event.written.get(&column.column) else { continue };
        match event.change(&column.column) {
            Change::By(_) => back.add(&Amount::difference(after, event.before.get(&column.column)?)?),
            Change::To | Change::None => return None,
        }
    }
    back.added_to(shown)
}

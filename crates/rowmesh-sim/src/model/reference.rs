//! What a row's state, its table row and its ledger should be, straight from the definitions and by brute force over pairs of
//! events. Uses none of the shipped merge, show, ledger, context or ordering code on purpose; slow on purpose.

use std::cmp::Ordering;

use rowmesh_core::event::Operation;
use rowmesh_core::ident::Dot;
use rowmesh_core::ledger::{ConflictType, Left};
use rowmesh_core::policy::{ColumnPolicy, ExistencePolicy, Strategy};
use rowmesh_core::row_state::Stamp;
use rowmesh_core::value::Value;

use super::history::{DrawnPolicy, EventSet, History, Record};

/// A row state without anything local to a node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Folded {
    /// The inserts that no other insert has seen, by stamp ascending.
    pub births: Vec<Stamp>,
    /// Per column its maximal writes, by stamp ascending.
    pub columns: Vec<Vec<(Stamp, Value)>>,
    /// Per origin its last write that no delete has seen, by origin ascending.
    pub live: Vec<Stamp>,
    /// Deletes that nothing has seen, by stamp ascending.
    pub deletes: Vec<Stamp>,
    /// Whether one of those says that the row left the scope.
    pub has_left: bool,
    /// The rows left by maximal writes that have met a concurrent write, by stamp ascending.
    pub witnesses: Vec<(Stamp, Vec<Value>)>,
    /// Per column what a counter comes to; none where only one write stands, or where there is no sum.
    pub counted: Vec<Option<Value>>,
}

/// A ledger entry; the column by number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loss {
    /// The losing changeset.
    pub loser: Dot,
    /// The column, if the loss is of one.
    pub column: Option<usize>,
    /// What met.
    pub kind: ConflictType,
    /// How it was settled.
    pub strategy: Strategy,
    /// The losing write.
    pub losing: Stamp,
    /// The highest write that beats it.
    pub winning: Stamp,
    /// Value lost.
    pub lost: Left,
    /// Value that stands instead.
    pub won: Left,
    /// Value before the losing write.
    pub common_value: Option<Value>,
    /// Whether a later write has seen the loser, or the row is gone.
    pub superseded: bool,
}

/// One row's events, and who has seen whom.
struct Row<'h> {
    events: Vec<(usize, &'h Record)>,
    columns: usize,
}

/// The state of a row once the known events are in.
pub fn fold(history: &History, known: EventSet, row: usize) -> Folded {
    let row = Row::of(history, known, row);
    let columns: Vec<Vec<(Stamp, Value)>> = (0..row.columns).map(|column| row.maximal_writes(column)).collect();
    Folded {
        births: row.births(),
        live: row.live(),
        deletes: row.deletes(),
        has_left: row.unseen_deletes().any(|event| event.leaves),
        witnesses: row.witnesses(&columns),
        counted: (0..row.columns).map(|column| row.counted(column)).collect(),
        columns,
    }
}

/// What stands in the table.
pub fn show(folded: &Folded, policy: &DrawnPolicy) -> Option<Vec<Value>> {
    let newest_write = folded.live.iter().copied().max_by(order);
    let newest_delete = folded.deletes.iter().copied().max_by(order);
    let stands = match (policy.existence, newest_write, newest_delete) {
        (_, None, _) => false,
        _ if folded.has_left => false,
        (_, Some(_), None) | (ExistencePolicy::UpdateWins | ExistencePolicy::Ask, _, _) => true,
        (ExistencePolicy::DeleteWins, _, _) => false,
        (ExistencePolicy::LastWriter, Some(write), Some(delete)) => order(&write, &delete) == Ordering::Greater,
    };
    let chosen = |column: usize| {
        let writes = &folded.columns[column];
        let unbeaten = writes
            .iter()
            .filter(|(a, x)| writes.iter().all(|(b, y)| a == b || !beats(&policy.columns[column], (b, y), (a, x))));
        let unbeaten: Vec<_> = unbeaten.collect();
        assert_eq!(unbeaten.len(), 1, "the order on writes is not total: {writes:?}");
        let counted = folded.counted[column].clone().filter(|_| policy.columns[column] == ColumnPolicy::Counter);
        counted.unwrap_or_else(|| unbeaten[0].1.clone())
    };
    stands.then(|| (0..folded.columns.len()).map(chosen).collect())
}

/// The ledger of a row, by losing changeset and column ascending, whole events first.
pub fn ledger(history: &History, known: EventSet, row: usize) -> Vec<Loss> {
    let row = Row::of(history, known, row);
    let mut losses = Vec::new();
    for (loser, event) in &row.events {
        for column in 0..row.columns {
            losses.extend(row.lost_value(history, *loser, event, column));
        }
        losses.extend(row.lost_whole(history, *loser, event));
    }
    losses.sort_by_key(|loss| (loss.loser, loss.column));
    losses
}

/// Whether the first of two concurrent writes of a column is shown rather than the second.
pub fn beats(policy: &ColumnPolicy, a: (&Stamp, &Value), b: (&Stamp, &Value)) -> bool {
    let by_value = by_size(a.1, b.1);
    let by_value = match policy {
        ColumnPolicy::LastWriter | ColumnPolicy::Ask => Ordering::Equal,
        ColumnPolicy::NodePriority(nodes) => {
            let first = nodes.iter().find(|node| [a.0, b.0].iter().any(|stamp| stamp.dot.origin.node == **node));
            let is_of = |stamp: &Stamp| first == Some(&stamp.dot.origin.node);
            is_of(a.0).cmp(&is_of(b.0))
        }
        ColumnPolicy::Counter => is_number(a.1).cmp(&is_number(b.1)),
        ColumnPolicy::Max => by_value,
        ColumnPolicy::Min => by_value.reverse(),
    };
    by_value.then(order(a.0, b.0)) == Ordering::Greater
}

fn is_number(value: &Value) -> bool {
    matches!(value, Value::Integer(_))
}

/// Lamport timestamp, then origin, then number.
fn order(a: &Stamp, b: &Stamp) -> Ordering {
    let parts =
        |stamp: &Stamp| (stamp.lamport.0, stamp.dot.origin.node.0, stamp.dot.origin.incarnation, stamp.dot.seq.0);
    parts(a).cmp(&parts(b))
}

/// The order of the few kinds of value that histories write.
fn by_size(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Integer(_), Value::Text(_)) => Ordering::Less,
        (Value::Text(_), Value::Integer(_)) => Ordering::Greater,
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        other => panic!("histories write no such values: {other:?}"),
    }
}

impl<'h> Row<'h> {
    fn of(history: &'h History, known: EventSet, row: usize) -> Row<'h> {
        Row { events: history.of_row(row, known).collect(), columns: history.setting.columns.len() }
    }

    fn is_seen(&self, event: usize, by: impl Fn(&Record) -> bool) -> bool {
        self.events.iter().any(|(_, other)| other.seen.has(event) && by(other))
    }

    fn births(&self) -> Vec<Stamp> {
        let is_insert = |event: &Record| event.operation == Operation::Insert;
        let inserts = self.events.iter().filter(|(_, event)| is_insert(event));
        let unseen = inserts.filter(|(number, _)| !self.is_seen(*number, is_insert));
        let mut births: Vec<Stamp> = unseen.map(|(_, event)| event.stamp).collect();
        births.sort_by(order);
        births
    }

    fn maximal_writes(&self, column: usize) -> Vec<(Stamp, Value)> {
        let writes =
            self.events.iter().filter_map(|(number, event)| Some((*number, event, event.written[column].as_ref()?)));
        let maximal = writes.filter(|(number, ..)| !self.is_seen(*number, |other| other.written[column].is_some()));
        let mut maximal: Vec<_> = maximal.map(|(_, event, value)| (event.stamp, value.clone())).collect();
        maximal.sort_by(|a, b| order(&a.0, &b.0));
        maximal
    }

    fn live(&self) -> Vec<Stamp> {
        let mut last: Vec<(usize, Stamp)> = Vec::new();
        for (number, event) in self.events.iter().filter(|(_, event)| !event.is_delete()) {
            match last.iter_mut().find(|(_, other)| other.dot.origin == event.stamp.dot.origin) {
                Some(other) if other.1.dot.seq < event.stamp.dot.seq => *other = (*number, event.stamp),
                Some(_) => {}
                None => last.push((*number, event.stamp)),
            }
        }
        last.retain(|(number, _)| !self.is_seen(*number, Record::is_delete));
        let mut live: Vec<Stamp> = last.into_iter().map(|(_, stamp)| stamp).collect();
        live.sort_by_key(|stamp| stamp.dot.origin);
        live
    }

    fn deletes(&self) -> Vec<Stamp> {
        let mut deletes: Vec<Stamp> = self.unseen_deletes().map(|event| event.stamp).collect();
        deletes.sort_by(order);
        deletes
    }

    fn unseen_deletes(&self) -> impl Iterator<Item = &Record> {
        let unseen = self.events.iter().filter(|(number, event)| event.is_delete() && !self.is_seen(*number, |_| true));
        unseen.map(|(_, event)| *event)
    }

    fn witnesses(&self, columns: &[Vec<(Stamp, Value)>]) -> Vec<(Stamp, Vec<Value>)> {
        let is_maximal = |event: &Record| columns.iter().flatten().any(|(stamp, _)| *stamp == event.stamp);
        let has_met = |number: usize, event: &Record| {
            self.events
                .iter()
                .any(|(other, write)| !write.is_delete() && are_concurrent((number, event), (*other, write)))
        };
        let writes = self.events.iter().filter(|(_, event)| !event.is_delete());
        let met = writes.filter(|(number, event)| is_maximal(event) && has_met(*number, event));
        let mut witnesses: Vec<_> =
            met.map(|(_, event)| (event.stamp, event.after.clone().expect("a write leaves a row"))).collect();
        witnesses.sort_by(|a, b| order(&a.0, &b.0));
        witnesses
    }

    /// What a counter comes to: the latest of the maximal writes that know the last word on what there is, of those words that not all of them
    /// know, and what changed it unseen by that write.
    fn counted(&self, column: usize) -> Option<Value> {
        let writes: Vec<_> = self.events.iter().filter(|(_, event)| event.written[column].is_some()).collect();
        let is_seen = |number: usize| writes.iter().any(|(_, other)| other.seen.has(number));
        let maximal: Vec<_> = writes.iter().filter(|(number, _)| !is_seen(*number)).collect();
        if maximal.len() < 2 {
            return None;
        }
        let knows = |(own, write): &(usize, &Record), number: usize| *own == number || write.seen.has(number);
        let words = writes
            .iter()
            .filter(|(number, event)| event.says(column) && maximal.iter().any(|write| !knows(write, *number)));
        let last = words.max_by(|a, b| order(&a.1.stamp, &b.1.stamp)).map(|(number, _)| *number);
        let is_start = |write: &(usize, &Record)| {
            write.1.written[column].as_ref().is_some_and(is_number) && last.is_none_or(|last| knows(write, last))
        };
        let start = maximal.iter().filter(|write| is_start(write));
        let start = start.max_by(|a, b| order(&a.1.stamp, &b.1.stamp))?;
        let Some(Value::Integer(from)) = start.1.written[column] else { return None };
        let missed = writes.iter().filter(|(number, _)| !knows(start, *number));
        Some(Value::Integer(from + missed.filter_map(|(_, event)| event.changed_by(column)).sum::<i64>()))
    }

    fn lost_value(&self, history: &History, loser: usize, event: &Record, column: usize) -> Option<Loss> {
        let value = event.written[column].as_ref()?;
        let mut winner: Option<(&Record, &Value, &ColumnPolicy)> = None;
        for (other, rival) in self.concurrent_with(loser, event) {
            let Some(theirs) = rival.written[column].as_ref() else { continue };
            let policy = &later_policy(history, (loser, event), (other, rival)).columns[column];
            let wins = beats(policy, (&rival.stamp, theirs), (&event.stamp, value));
            let higher = winner.is_none_or(|(known, ..)| order(&rival.stamp, &known.stamp) == Ordering::Greater);
            let is_lost = match policy {
                ColumnPolicy::LastWriter | ColumnPolicy::Ask | ColumnPolicy::NodePriority(_) => true,
                ColumnPolicy::Max | ColumnPolicy::Min => false,
                ColumnPolicy::Counter => !is_number(value) || (event.says(column) && rival.says(column)),
            };
            if is_lost && theirs != value && wins && higher {
                winner = Some((rival, theirs, policy));
            }
        }
        let (winner, theirs, policy) = winner?;
        let nodes = [event, winner].map(|event| event.stamp.dot.origin.node);
        let both_insert = event.operation == Operation::Insert && winner.operation == Operation::Insert;
        Some(Loss {
            loser: event.stamp.dot,
            column: Some(column),
            kind: if both_insert { ConflictType::InsertInsert } else { ConflictType::UpdateUpdate },
            strategy: match policy {
                ColumnPolicy::Ask => Strategy::ManualResolution,
                ColumnPolicy::NodePriority(list)
                    if nodes[0] != nodes[1] && list.iter().any(|id| nodes.contains(id)) =>
                {
                    Strategy::NodePriority
                }
                _ => Strategy::LastWriterWins,
            },
            losing: event.stamp,
            winning: winner.stamp,
            lost: Left::Value(value.clone()),
            won: Left::Value(theirs.clone()),
            common_value: event.before.as_ref().map(|before| before[column].clone()),
            superseded: self.live().is_empty() || self.is_seen(loser, |other| other.written[column].is_some()),
        })
    }

    fn lost_whole(&self, history: &History, loser: usize, event: &Record) -> Option<Loss> {
        let mut winner: Option<(&Record, ExistencePolicy)> = None;
        for (other, rival) in self.concurrent_with(loser, event) {
            if rival.is_delete() == event.is_delete() {
                continue;
            }
            let policy = later_policy(history, (loser, event), (other, rival)).existence;
            let wins = match policy {
                _ if event.leaves => false,
                _ if rival.leaves => true,
                ExistencePolicy::UpdateWins | ExistencePolicy::Ask => event.is_delete(),
                ExistencePolicy::DeleteWins => rival.is_delete(),
                ExistencePolicy::LastWriter => order(&rival.stamp, &event.stamp) == Ordering::Greater,
            };
            let higher = winner.is_none_or(|(known, _)| order(&rival.stamp, &known.stamp) == Ordering::Greater);
            if wins && higher {
                winner = Some((rival, policy));
            }
        }
        let (winner, policy) = winner?;
        let first = if order(&event.stamp, &winner.stamp) == Ordering::Less { event } else { winner };
        Some(Loss {
            loser: event.stamp.dot,
            column: None,
            kind: if first.is_delete() { ConflictType::DeleteUpdate } else { ConflictType::UpdateDelete },
            strategy: match policy {
                _ if winner.leaves => Strategy::BusinessRule,
                ExistencePolicy::UpdateWins => Strategy::MergeChanges,
                ExistencePolicy::DeleteWins => Strategy::BusinessRule,
                ExistencePolicy::LastWriter => Strategy::LastWriterWins,
                ExistencePolicy::Ask => Strategy::ManualResolution,
            },
            losing: event.stamp,
            winning: winner.stamp,
            lost: left_by(history, event),
            won: left_by(history, winner),
            common_value: None,
            superseded: match event.is_delete() {
                true => self.live().is_empty() || self.is_seen(loser, |_| true),
                false => !self.live().contains(&event.stamp) || self.deletes().is_empty(),
            },
        })
    }

    fn concurrent_with<'r>(&'r self, number: usize, event: &'r Record) -> impl Iterator<Item = (usize, &'r Record)> {
        let others = self.events.iter().map(|(other, record)| (*other, *record));
        others.filter(move |(other, record)| are_concurrent((number, event), (*other, record)))
    }
}

impl Record {
    /// By how much it changed the number in a column; none if it says what there is.
    pub fn changed_by(&self, column: usize) -> Option<i64> {
        let before = self.before.as_ref().map(|before| &before[column]);
        match (before, &self.written[column]) {
            (Some(Value::Integer(before)), Some(Value::Integer(after))) if !self.anew[column] => Some(after - before),
            _ => None,
        }
    }

    /// Whether it says what number there is, whatever stood before.
    pub fn says(&self, column: usize) -> bool {
        self.written[column].as_ref().is_some_and(is_number) && self.changed_by(column).is_none()
    }

    /// Whether it deletes its row.
    pub fn is_delete(&self) -> bool {
        self.operation == Operation::Delete
    }
}

fn left_by(history: &History, event: &Record) -> Left {
    if event.is_delete() {
        return Left::Nothing;
    }
    let columns = history.setting.columns.iter().zip(&event.written);
    Left::Written(columns.filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect())
}

fn are_concurrent((a, x): (usize, &Record), (b, y): (usize, &Record)) -> bool {
    a != b && !x.seen.has(b) && !y.seen.has(a)
}

fn later_policy<'h>(history: &'h History, (_, a): (usize, &Record), (_, b): (usize, &Record)) -> &'h DrawnPolicy {
    let later = if order(&a.stamp, &b.stamp) == Ordering::Greater { a } else { b };
    &history.setting.policies[later.epoch as usize]
}

//! `conflict_resolutions` as a function of the set of a row's events: which writes lost against a concurrent one, and to which.
//! Says nothing of what is stored where, and decides nothing: `policy` and `show` do.

use std::collections::BTreeMap;

use crate::event::{Context, Operation};
use crate::ident::Dot;
use crate::policy::{ExistencePolicy, PolicyHistory, TablePolicy};
use crate::row_state::Stamp;
use crate::show;
use crate::value::{ColumnName, Key, TableName, Value};

/// One event of a row, with what judging it needs.
#[derive(Clone, Debug)]
pub struct RowEvent {
    /// When and by which changeset.
    pub stamp: Stamp,
    /// What its origin knew.
    pub context: Context,
    /// Roster epoch that it was sealed under.
    pub epoch: u64,
    /// What it did.
    pub operation: Operation,
    /// The columns that it wrote.
    pub written: BTreeMap<ColumnName, Value>,
    /// The row before it, by column; empty for an insert.
    pub before: BTreeMap<ColumnName, Value>,
}

/// The name of a losing write.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EntryId {
    /// The table.
    pub table: TableName,
    /// The row.
    pub key: Key,
    /// The changeset of the write that lost.
    pub loser: Dot,
    /// The column; `None` where the event as a whole lost: a delete that did not happen, a write to a row that stays deleted.
    pub column: Option<ColumnName>,
}

/// What kind of events met, in the total order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ConflictType {
    /// Two writes of one column.
    UpdateUpdate,
    /// Two inserts of one row.
    InsertInsert,
    /// A write, then a delete.
    UpdateDelete,
    /// A delete, then a write.
    DeleteUpdate,
}

/// One losing write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name.
    pub id: EntryId,
    /// What met.
    pub kind: ConflictType,
    /// How it was settled.
    pub strategy: Strategy,
    /// When the losing write happened.
    pub losing: Stamp,
    /// The highest concurrent write that beats it.
    pub winning: Stamp,
    /// What the losing write left in the column; `None` for a delete.
    pub losing_value: Option<Value>,
    /// What the winning write left in the column; `None` for a delete.
    pub winning_value: Option<Value>,
    /// What stood in the column before the losing write, where its image tells.
    pub common_value: Option<Value>,
    /// Whether it is no longer open: a write that has seen the loser has been made since, or the row is gone. What
    /// [`RowState::is_open`](crate::row_state::RowState::is_open) tells once the events are pruned.
    pub superseded: bool,
}

/// How a conflict was settled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Strategy {
    /// The later write stands.
    LastWriterWins,
    /// Both survive in part: a row that was deleted here and written there stands with its full contents.
    MergeChanges,
    /// A rule of the mesh decides.
    BusinessRule,
}

impl ConflictType {
    /// As `conflict_resolutions` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            ConflictType::UpdateUpdate => "UPDATE_UPDATE",
            ConflictType::InsertInsert => "INSERT_INSERT",
            ConflictType::UpdateDelete => "UPDATE_DELETE",
            ConflictType::DeleteUpdate => "DELETE_UPDATE",
        }
    }

    /// Reads what [`ConflictType::as_str`] writes.
    pub fn parse(text: &str) -> Option<ConflictType> {
        use ConflictType::{DeleteUpdate, InsertInsert, UpdateDelete, UpdateUpdate};
        [UpdateUpdate, InsertInsert, UpdateDelete, DeleteUpdate].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Strategy {
    /// As `conflict_resolutions` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::LastWriterWins => "LAST_WRITER_WINS",
            Strategy::MergeChanges => "MERGE_CHANGES",
            Strategy::BusinessRule => "BUSINESS_RULE",
        }
    }

    /// Reads what [`Strategy::as_str`] writes.
    pub fn parse(text: &str) -> Option<Strategy> {
        let all = [Strategy::LastWriterWins, Strategy::MergeChanges, Strategy::BusinessRule];
        all.into_iter().find(|strategy| strategy.as_str() == text)
    }
}

/// All entries of one row, by id. `events` are all events of the row that are not yet stable, in any order, parked ones included.
pub fn entries(table: &TableName, key: &Key, events: &[RowEvent], policies: &PolicyHistory) -> Vec<Entry> {
    entries_of(table, key, events, policies, |_| true)
}

/// The entries of some of the row's events only: of those that a new event can have changed. All events are given all the same.
pub fn entries_of(
    table: &TableName,
    key: &Key,
    events: &[RowEvent],
    policies: &PolicyHistory,
    is_wanted: impl Fn(&RowEvent) -> bool,
) -> Vec<Entry> {
    let row = Row { table, key, events, policies, lives: lives(events, table, key) };
    let wanted = events.iter().filter(|event| is_wanted(event));
    let mut entries: Vec<Entry> = wanted.flat_map(|loser| row.entries_of(loser)).collect();
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    entries
}

struct Row<'a> {
    table: &'a TableName,
    key: &'a Key,
    events: &'a [RowEvent],
    policies: &'a PolicyHistory,
    /// Whether there is a write that no delete has seen: of a row that is gone nothing is open.
    lives: bool,
}

impl Row<'_> {
    fn entries_of(&self, loser: &RowEvent) -> Vec<Entry> {
        let columns = loser.written.iter().filter_map(|(column, value)| self.lost_column(loser, column, value));
        columns.chain(self.lost_existence(loser)).collect()
    }

    /// The entry of one column of a write, if a concurrent write of another value beats it.
    fn lost_column(&self, loser: &RowEvent, column: &ColumnName, value: &Value) -> Option<Entry> {
        let beats = |other: &&RowEvent| {
            let policy = self.policy_between(loser, other).column(column);
            let Some(theirs) = other.written.get(column) else { return false };
            let order = show::compare(policy, (theirs, &other.stamp), (value, &loser.stamp));
            theirs != value && policy.is_recorded() && order.is_gt()
        };
        let winner = self.concurrent_with(loser).filter(beats).max_by_key(|other| other.stamp)?;
        let both_insert = loser.operation == Operation::Insert && winner.operation == Operation::Insert;
        Some(Entry {
            id: self.id(loser, Some(column.clone())),
            kind: if both_insert { ConflictType::InsertInsert } else { ConflictType::UpdateUpdate },
            strategy: Strategy::LastWriterWins,
            losing: loser.stamp,
            winning: winner.stamp,
            losing_value: Some(value.clone()),
            winning_value: winner.written.get(column).cloned(),
            common_value: loser.before.get(column).cloned(),
            superseded: !self.lives || self.is_superseded(loser, |later| later.written.contains_key(column)),
        })
    }

    /// The entry of an event as a whole: a delete beaten by a write, or a write beaten by a delete.
    fn lost_existence(&self, loser: &RowEvent) -> Option<Entry> {
        let beats = |other: &&RowEvent| {
            let later = other.stamp > loser.stamp;
            is_delete(other) != is_delete(loser)
                && match self.policy_between(loser, other).existence {
                    ExistencePolicy::UpdateWins => is_delete(loser),
                    ExistencePolicy::DeleteWins => is_delete(other),
                    ExistencePolicy::LastWriter => later,
                }
        };
        let winner = self.concurrent_with(loser).filter(beats).max_by_key(|other| other.stamp)?;
        let earlier_is_delete = if loser.stamp < winner.stamp { is_delete(loser) } else { is_delete(winner) };
        let strategy = match self.policy_between(loser, winner).existence {
            ExistencePolicy::UpdateWins => Strategy::MergeChanges,
            ExistencePolicy::DeleteWins => Strategy::BusinessRule,
            ExistencePolicy::LastWriter => Strategy::LastWriterWins,
        };
        Some(Entry {
            id: self.id(loser, None),
            kind: if earlier_is_delete { ConflictType::DeleteUpdate } else { ConflictType::UpdateDelete },
            strategy,
            losing: loser.stamp,
            winning: winner.stamp,
            losing_value: None,
            winning_value: None,
            common_value: None,
            superseded: !self.is_open_as_a_whole(loser),
        })
    }

    /// The policy of the roster epoch that the later of two events was sealed under.
    fn policy_between(&self, a: &RowEvent, b: &RowEvent) -> &TablePolicy {
        let later = if a.stamp > b.stamp { a } else { b };
        self.policies.at(later.epoch).table(self.table)
    }

    fn concurrent_with<'e>(&'e self, event: &'e RowEvent) -> impl Iterator<Item = &'e RowEvent> {
        self.events.iter().filter(move |other| {
            other.stamp.dot != event.stamp.dot && !self.has_seen(event, other) && !self.has_seen(other, event)
        })
    }

    fn is_superseded(&self, event: &RowEvent, touches: impl Fn(&RowEvent) -> bool) -> bool {
        self.events.iter().any(|later| touches(later) && self.has_seen(later, event))
    }

    /// Of a delete: whether nothing has seen it. Of a write: whether it lives while a delete that nothing has seen stands against it.
    fn is_open_as_a_whole(&self, loser: &RowEvent) -> bool {
        let is_unseen = |event: &RowEvent| !self.is_superseded(event, |_| true);
        if is_delete(loser) {
            return self.lives && is_unseen(loser);
        }
        let follows = |later: &RowEvent| !is_delete(later) && later.stamp.dot.origin == loser.stamp.dot.origin;
        let lives = !self.is_superseded(loser, |later| is_delete(later) || follows(later));
        lives && self.events.iter().any(|event| is_delete(event) && is_unseen(event))
    }

    fn has_seen(&self, later: &RowEvent, earlier: &RowEvent) -> bool {
        later.context.sees(&earlier.stamp.dot, self.table, self.key)
    }

    fn id(&self, loser: &RowEvent, column: Option<ColumnName>) -> EntryId {
        EntryId { table: self.table.clone(), key: self.key.clone(), loser: loser.stamp.dot, column }
    }
}

fn lives(events: &[RowEvent], table: &TableName, key: &Key) -> bool {
    let is_deleted = |write: &RowEvent| {
        events.iter().any(|later| is_delete(later) && later.context.sees(&write.stamp.dot, table, key))
    };
    events.iter().any(|event| !is_delete(event) && !is_deleted(event))
}

fn is_delete(event: &RowEvent) -> bool {
    event.operation == Operation::Delete
}

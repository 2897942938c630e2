//! `conflict_resolutions` as a function of the set of a row's events: which writes lost against a concurrent one, and to which.
//! Says nothing of what is stored where, and decides nothing: `policy` and `show` do.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use crate::encode::{Malformed, Reader, Writer};
use crate::event::{Change, Context, Event, Operation, leaves_scope};
use crate::ident::Dot;
use crate::limits;
use crate::policy::{ExistencePolicy, PolicyHistory, Strategy, TablePolicy};
use crate::row_state::{Changes, Stamp};
use crate::show;
use crate::value::{ColumnName, Key, TableName, Value, write_json_object};

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
    /// Whether it is a delete of a row that left the scope.
    pub leaves: bool,
    /// The columns that it wrote.
    pub written: BTreeMap<ColumnName, Value>,
    /// The row before it, by column; empty for an insert.
    pub before: BTreeMap<ColumnName, Value>,
    /// The columns of which it says that their values were counted anew.
    pub counted_anew: BTreeSet<ColumnName>,
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
    /// Two rows with one unique value.
    Unique,
    /// A row was deleted that another refers to.
    ForeignKey,
    /// Two rows were given one number as their key.
    Rekey,
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
    /// What the losing write left.
    pub lost: Left,
    /// What the winning write left; of two rows with one unique value, the key of the row that keeps it and the value; of a deleted row that
    /// others need, what it shows.
    pub won: Left,
    /// What stood in the column before the losing write, where its image tells.
    pub common_value: Option<Value>,
    /// Whether it is no longer open: a write that has seen the loser has been made since, or the row is gone. What
    /// [`RowState::is_open`](crate::row_state::RowState::is_open) tells once the events are pruned.
    pub superseded: bool,
}

/// What one side of a conflict left behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Left {
    /// Nothing: it is a delete.
    Nothing,
    /// This value, in the column that the entry is about.
    Value(Value),
    /// These values, in the columns that it wrote: the entry is about the row as a whole.
    Written(BTreeMap<ColumnName, Value>),
}

impl RowEvent {
    /// An event of a changeset that knew `context` and was sealed under `epoch`; `columns` names the columns of its table.
    pub fn new(event: &Event, dot: Dot, context: &Context, epoch: u64, columns: &[ColumnName]) -> RowEvent {
        let written = event.written.iter();
        RowEvent {
            stamp: Stamp { lamport: event.lamport, dot },
            context: context.clone(),
            epoch,
            operation: event.operation,
            leaves: event.operation == Operation::Delete && leaves_scope(&event.extras),
            written: written.map(|(column, value)| (columns[usize::from(*column)].clone(), value.clone())).collect(),
            before: columns.iter().cloned().zip(event.before.iter().cloned()).collect(),
            counted_anew: event
                .counted_anew()
                .iter()
                .filter_map(|column| columns.get(usize::from(*column)).cloned())
                .collect(),
        }
    }

    /// The whole row as it left it; none for a delete.
    pub fn after(&self) -> Option<BTreeMap<ColumnName, Value>> {
        let mut row = self.before.clone();
        row.extend(self.written.iter().map(|(column, value)| (column.clone(), value.clone())));
        (!is_delete(self)).then_some(row)
    }

    /// What it did to a column, for whoever adds up.
    pub fn change(&self, column: &ColumnName) -> Change {
        let before = self.before.get(column).filter(|_| !self.counted_anew.contains(column));
        self.written.get(column).map_or(Change::None, |after| Change::of(before, after))
    }
}

impl Changes {
    /// What events did to a column.
    pub fn to(column: &ColumnName, events: &[impl Borrow<RowEvent>]) -> Changes {
        let mut changes = Changes::default();
        events.iter().map(Borrow::borrow).for_each(|event| changes.add(event.stamp, &event.change(column)));
        changes
    }
}

impl ConflictType {
    /// Whether it is between several rows: then it is told while a rule shows something else than was written, and no longer.
    pub fn spans_rows(self) -> bool {
        matches!(self, ConflictType::Unique | ConflictType::ForeignKey | ConflictType::Rekey)
    }

    /// As `conflict_resolutions` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            ConflictType::UpdateUpdate => "UPDATE_UPDATE",
            ConflictType::InsertInsert => "INSERT_INSERT",
            ConflictType::UpdateDelete => "UPDATE_DELETE",
            ConflictType::DeleteUpdate => "DELETE_UPDATE",
            ConflictType::Unique => "UNIQUE",
            ConflictType::ForeignKey => "FOREIGN_KEY",
            ConflictType::Rekey => "REKEY",
        }
    }

    /// Reads what [`ConflictType::as_str`] writes.
    pub fn parse(text: &str) -> Option<ConflictType> {
        use ConflictType::{DeleteUpdate, ForeignKey, InsertInsert, Rekey, Unique, UpdateDelete, UpdateUpdate};
        let all = [UpdateUpdate, InsertInsert, UpdateDelete, DeleteUpdate, Unique, ForeignKey, Rekey];
        all.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Left {
    /// What an event left in its row.
    fn by(event: &RowEvent) -> Left {
        if is_delete(event) { Left::Nothing } else { Left::Written(event.written.clone()) }
    }

    /// Exact bytes; none for [`Left::Nothing`].
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut out = Writer::default();
        match self {
            Left::Nothing => return None,
            Left::Value(value) => value.encode(&mut out),
            Left::Written(columns) => {
                out.number(columns.len() as u64);
                for (column, value) in columns {
                    out.bytes(column.as_bytes());
                    value.encode(&mut out);
                }
            }
        }
        Some(out.0)
    }

    /// Reads what [`Left::encode`] wrote, for an entry about one column or about a row as a whole.
    ///
    /// # Errors
    /// If the bytes are anything else.
    pub fn decode(bytes: Option<&[u8]>, about_column: bool) -> Result<Left, Malformed> {
        let Some(bytes) = bytes else { return Ok(Left::Nothing) };
        let mut input = Reader::new(bytes);
        if about_column {
            return Value::decode(&mut input).map(Left::Value);
        }
        let count = input.count("columns of a ledger entry", limits::COLUMNS_MAX)?;
        let mut read = || {
            let column = input.bytes("column of a ledger entry", limits::NAME_BYTES_MAX)?;
            let column = std::str::from_utf8(column).map_err(|_| Malformed::Invalid("column of a ledger entry"))?;
            Ok((column.into(), Value::decode(&mut input)?))
        };
        (0..count).map(|_| read()).collect::<Result<_, _>>().map(Left::Written)
    }

    /// JSON for people, as values have it; a row is an object. None for [`Left::Nothing`].
    pub fn to_json(&self) -> Option<String> {
        match self {
            Left::Nothing => None,
            Left::Value(value) => Some(value.to_json()),
            Left::Written(columns) => {
                let mut out = String::new();
                write_json_object(&mut out, columns.iter().map(|(name, value)| (&**name, value)));
                Some(out)
            }
        }
    }
}

/// All entries of one row, by id. `events` are all events of the row that are not yet stable, in any order, parked ones included.
pub fn entries(table: &TableName, key: &Key, events: &[impl Borrow<RowEvent>], policies: &PolicyHistory) -> Vec<Entry> {
    let events: Vec<&RowEvent> = events.iter().map(Borrow::borrow).collect();
    let row = Row { table, key, policies, lives: lives(&events, table, key), events };
    let mut entries: Vec<Entry> = row.events.iter().flat_map(|loser| row.entries_of(loser)).collect();
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    entries
}

/// The entries in which one event of a row has a part, as far as it alone tells: those of its own losses, and those of what it beats. `unseen`
/// are the events that it has not seen and that have not seen it, in any order: so a row's long past need not be looked at again for each
/// event that comes.
///
/// An entry that is known already and names a later winner stands as it is. Whether one is superseded is not told here:
/// [`RowState::is_open`](crate::row_state::RowState::is_open) knows it, of these and of all others that were open.
pub fn entries_after(
    table: &TableName,
    key: &Key,
    event: &RowEvent,
    unseen: &[impl Borrow<RowEvent>],
    policies: &PolicyHistory,
) -> Vec<Entry> {
    let row = |events: Vec<&'_ RowEvent>| -> Vec<Entry> {
        let loser = events[0];
        Row { table, key, policies, lives: true, events: events.clone() }.entries_of(loser)
    };
    let unseen = || unseen.iter().map(Borrow::borrow);
    let mut entries = row([event].into_iter().chain(unseen()).collect());
    for loser in unseen() {
        entries.extend(row(vec![loser, event]));
    }
    entries.iter_mut().for_each(|entry| entry.superseded = false);
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    entries
}

struct Row<'a> {
    table: &'a TableName,
    key: &'a Key,
    events: Vec<&'a RowEvent>,
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
            theirs != value && order.is_gt() && policy.loses(|| loser.change(column), || other.change(column))
        };
        let winner = self.concurrent_with(loser).filter(beats).max_by_key(|other| other.stamp)?;
        let policy = self.policy_between(loser, winner).column(column);
        let both_insert = loser.operation == Operation::Insert && winner.operation == Operation::Insert;
        Some(Entry {
            id: self.id(loser, Some(column.clone())),
            kind: if both_insert { ConflictType::InsertInsert } else { ConflictType::UpdateUpdate },
            strategy: policy.strategy(&loser.stamp.dot.origin.node, &winner.stamp.dot.origin.node),
            losing: loser.stamp,
            winning: winner.stamp,
            lost: Left::Value(value.clone()),
            won: winner.written.get(column).map_or(Left::Nothing, |value| Left::Value(value.clone())),
            common_value: loser.before.get(column).cloned(),
            superseded: !self.lives || self.is_superseded(loser, |later| later.written.contains_key(column)),
        })
    }

    /// The entry of an event as a whole: a delete beaten by a write, or a write beaten by a delete.
    fn lost_existence(&self, loser: &RowEvent) -> Option<Entry> {
        let beats = |other: &&RowEvent| {
            is_delete(other) != is_delete(loser)
                && match self.existence_between(loser, other) {
                    _ if loser.leaves || other.leaves => other.leaves,
                    ExistencePolicy::UpdateWins | ExistencePolicy::Ask => is_delete(loser),
                    ExistencePolicy::DeleteWins => is_delete(other),
                    ExistencePolicy::LastWriter => other.stamp > loser.stamp,
                }
        };
        let winner = self.concurrent_with(loser).filter(beats).max_by_key(|other| other.stamp)?;
        let earlier_is_delete = if loser.stamp < winner.stamp { is_delete(loser) } else { is_delete(winner) };
        let strategy = match self.existence_between(loser, winner) {
            _ if winner.leaves => Strategy::BusinessRule,
            policy => policy.strategy(),
        };
        Some(Entry {
            id: self.id(loser, None),
            kind: if earlier_is_delete { ConflictType::DeleteUpdate } else { ConflictType::UpdateDelete },
            strategy,
            losing: loser.stamp,
            winning: winner.stamp,
            lost: Left::by(loser),
            won: Left::by(winner),
            common_value: None,
            superseded: !self.is_open_as_a_whole(loser),
        })
    }

    fn existence_between(&self, a: &RowEvent, b: &RowEvent) -> ExistencePolicy {
        self.policy_between(a, b).existence
    }

    /// The policy of the roster epoch that the later of two events was sealed under.
    fn policy_between(&self, a: &RowEvent, b: &RowEvent) -> &TablePolicy {
        let later = if a.stamp > b.stamp { a } else { b };
        self.policies.at(later.epoch).table(self.table)
    }

    fn concurrent_with<'e>(&'e self, event: &'e RowEvent) -> impl Iterator<Item = &'e RowEvent> {
        self.events.iter().copied().filter(move |other| {
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
        let lives = !follows(&self.events, loser) && !self.is_superseded(loser, is_delete);
        lives && self.events.iter().any(|event| is_delete(event) && is_unseen(event))
    }

    fn has_seen(&self, later: &RowEvent, earlier: &RowEvent) -> bool {
        later.context.sees(&earlier.stamp.dot, self.table, self.key)
    }

    fn id(&self, loser: &RowEvent, column: Option<ColumnName>) -> EntryId {
        EntryId { table: self.table.clone(), key: self.key.clone(), loser: loser.stamp.dot, column }
    }
}

fn lives(events: &[&RowEvent], table: &TableName, key: &Key) -> bool {
    let is_deleted = |write: &RowEvent| {
        events.iter().any(|later| is_delete(later) && later.context.sees(&write.stamp.dot, table, key))
    };
    events.iter().any(|event| !is_delete(event) && !follows(events, event) && !is_deleted(event))
}

/// Whether its origin has written the row again since: then the row lives by that, or not at all, also where the origin could not see its own first
/// write in its table.
fn follows(events: &[&RowEvent], earlier: &RowEvent) -> bool {
    let Dot { origin, seq } = earlier.stamp.dot;
    events.iter().any(|later| !is_delete(later) && later.stamp.dot.origin == origin && later.stamp.dot.seq > seq)
}

fn is_delete(event: &RowEvent) -> bool {
    event.operation == Operation::Delete
}

//! The ground truth of one history: every event with exactly the events that its user could see, and every changeset as decoded
//! from its bytes. Filled by `node` when it seals; judged by `reference` and `check`. Merges nothing.

use rowmesh_core::changeset::Changeset;
use rowmesh_core::event::{EventId, Operation, TableShape};
use rowmesh_core::ledger::RowEvent;
use rowmesh_core::policy::{ColumnPolicy, ExistencePolicy, Policies, PolicyHistory, TablePolicy};
use rowmesh_core::row_state::Stamp;
use rowmesh_core::value::{ColumnName, Key, TableName, Value};

/// Events of one history that an [`EventSet`] can hold.
pub const EVENTS_MAX: usize = 128;

/// A set of events, by their numbers in the history.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EventSet(u128);

/// What the whole history has in common. Column 0 of every image is the key.
pub struct Setting {
    /// The one table.
    pub table: TableName,
    /// How many rows are written to.
    pub rows: usize,
    /// The table's columns, the key first.
    pub columns: Vec<ColumnName>,
    /// Policies by epoch.
    pub policies: Vec<DrawnPolicy>,
    /// Whether changesets are signed for real; slow.
    pub signed: bool,
}

/// The policies of one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrawnPolicy {
    /// For the row as a whole.
    pub existence: ExistencePolicy,
    /// Per column of an image.
    pub columns: Vec<ColumnPolicy>,
}

/// One event, as a bystander who sees everything would note it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The row.
    pub row: usize,
    /// When and by which changeset.
    pub stamp: Stamp,
    /// Roster epoch it was sealed under.
    pub epoch: u64,
    /// What it did.
    pub operation: Operation,
    /// Whether it is a delete because the row left the scope.
    pub leaves: bool,
    /// Per column: what it wrote, if it did.
    pub written: Vec<Option<Value>>,
    /// Per column: whether it says that the value was counted anew.
    pub anew: Vec<bool>,
    /// The row that its user had before.
    pub before: Option<Vec<Value>>,
    /// The row that its user left.
    pub after: Option<Vec<Value>>,
    /// All events that its user could see the effect of.
    pub seen: EventSet,
    /// Its changeset, by number.
    pub changeset: usize,
}

/// One changeset as a receiver decodes it, with the numbers of its events in their order.
pub struct SealedUnit {
    /// What travels.
    pub changeset: Changeset,
    /// Number of its first event; the others follow.
    pub first: usize,
    /// The origin's number among the nodes.
    pub node: usize,
}

/// Everything sealed so far.
pub struct History {
    /// What all have in common.
    pub setting: Setting,
    /// The shipped form of the setting's policies.
    pub policies: PolicyHistory,
    /// All events in the order of sealing, which is causal.
    pub records: Vec<Record>,
    /// All changesets in the order of sealing.
    pub units: Vec<SealedUnit>,
}

impl EventSet {
    /// The set with one more event.
    pub fn insert(&mut self, event: usize) {
        self.0 |= 1 << event;
    }

    /// Whether the event is in it.
    pub fn has(self, event: usize) -> bool {
        self.0 & (1 << event) != 0
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub fn without(self, other: EventSet) -> EventSet {
        EventSet(self.0 & !other.0)
    }

    /// Whether everything of the other set is in it.
    pub fn includes(self, other: EventSet) -> bool {
        other.0 & !self.0 == 0
    }

    /// The first `count` events.
    pub fn first(count: usize) -> EventSet {
        assert!(count < EVENTS_MAX, "a history of {count} events is too long");
        EventSet((1 << count) - 1)
    }

    /// The events, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let event = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(event)
        })
    }
}

impl Setting {
    /// The table as changesets name it.
    pub fn shape(&self) -> TableShape {
        TableShape { name: self.table.clone(), columns: self.columns.clone(), key: vec![0] }
    }

    /// The value in the key column of a row.
    pub fn key_value(row: usize) -> Value {
        Value::Text(vec![b'r', b'0' + row as u8].into())
    }

    /// The key of a row.
    pub fn key(row: usize) -> Key {
        Key::of([&Setting::key_value(row)])
    }
}

impl DrawnPolicy {
    fn shipped(&self, setting: &Setting) -> Policies {
        let columns = setting.columns.iter().cloned().zip(self.columns.iter().cloned()).collect();
        let policy = TablePolicy { existence: self.existence, columns, ..TablePolicy::default() };
        Policies { tables: [(setting.table.clone(), policy)].into_iter().collect() }
    }
}

impl History {
    /// A history in which nothing has happened.
    pub fn new(setting: Setting) -> History {
        let mut policies = PolicyHistory::default();
        for (epoch, drawn) in setting.policies.iter().enumerate() {
            policies.set(epoch as u64, drawn.shipped(&setting));
        }
        History { setting, policies, records: Vec::new(), units: Vec::new() }
    }

    /// The last epoch of the roster.
    pub fn last_epoch(&self) -> u64 {
        self.setting.policies.len() as u64 - 1
    }

    /// The events of a row among those given, ascending.
    pub fn of_row(&self, row: usize, among: EventSet) -> impl Iterator<Item = (usize, &Record)> {
        among.iter().map(|number| (number, &self.records[number])).filter(move |(_, record)| record.row == row)
    }

    /// The events of a row, among those given, that a write of it has not seen and that have not seen it.
    pub fn apart_from(&self, stamp: &Stamp, row: usize, among: EventSet) -> Vec<usize> {
        let write = self.of_row(row, among).find(|(_, record)| record.stamp == *stamp);
        let (own, write) = write.expect("a state names writes that were taken in");
        let apart =
            |(other, record): &(usize, &Record)| *other != own && !write.seen.has(*other) && !record.seen.has(own);
        self.of_row(row, among).filter(apart).map(|(other, _)| other).collect()
    }

    /// The name of an event.
    pub fn event_id(&self, event: usize) -> EventId {
        let record = &self.records[event];
        EventId { dot: record.stamp.dot, table: self.setting.table.clone(), key: Setting::key(record.row) }
    }

    /// An event as the shipped ledger wants it, made from its changeset and not from the ground truth.
    pub fn row_event(&self, event: usize) -> RowEvent {
        let unit = &self.units[self.records[event].changeset];
        let sealed = &unit.changeset.events()[event - unit.first];
        let header = unit.changeset.header();
        RowEvent::new(sealed, header.dot, &header.context, header.epoch, &self.setting.columns)
    }
}

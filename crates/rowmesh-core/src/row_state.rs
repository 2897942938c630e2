//! What is remembered of one row, and `merge`, which takes one more event in. Knows no policy: every maximal write is kept, none is
//! preferred. What stands in the table follows in `show`; where states are stored is the store's business.

mod codec;
mod missed;

pub use codec::{OriginTable, Plain, decode, encode};
pub use missed::{Changes, Missed};

use std::borrow::Cow;

use crate::clock::Lamport;
use crate::event::{Birth, Context, Event, Extras, Operation, leaves_scope, rename_beaten};
use crate::ident::{Dot, Origin, Seq};
use crate::value::{Key, Value};

/// A column, by this node's own running number of columns of the table: a name once numbered keeps its number for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ColumnIx(pub u16);

/// When and by which changeset something was written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Stamp {
    /// Its place in the one order; compared first.
    pub lamport: Lamport,
    /// The changeset.
    pub dot: Dot,
}

/// A value that a write left in a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// Which write.
    pub stamp: Stamp,
    /// What it left.
    pub value: Value,
}

/// The maximal writes of one column: those that no other known write has seen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Register {
    /// No known event wrote the column.
    #[default]
    Unwritten,
    /// The usual case.
    One(Written),
    /// Concurrent writes, by stamp ascending; two or more.
    Several(Vec<Written>),
}

/// What stands in the table for the row.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Shown {
    /// No row.
    #[default]
    Absent,
    /// A row with the one maximal write of every column.
    AsWritten,
    /// A row with these values, by column ascending.
    Image(Vec<(ColumnIx, Value)>),
}

/// Everything remembered of one row.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RowState {
    /// The inserts that no other known insert has seen, by stamp ascending: more than one where several nodes made the row at once.
    pub births: Vec<Stamp>,
    /// Per column, by [`ColumnIx`].
    pub registers: Vec<Register>,
    /// Per origin its last write that no delete has seen, by origin ascending. The row lives while there is one (`update_wins`).
    pub live: Vec<Stamp>,
    /// The deletes that no later write and no later delete has seen, by stamp ascending.
    pub deletes: Vec<Stamp>,
    /// Whole rows left by maximal writes that have met a concurrent write, be it of other columns: for the rules that choose whole
    /// rows or groups of columns. By stamp; empty until [`RowState::remember_row`] fills it in.
    pub witnesses: Vec<(Stamp, Vec<(ColumnIx, Value)>)>,
    /// The extra fields of maximal writes and of the deletes that stand, where they have any: what the rules need of a write as long as
    /// it lives, and of a delete as long as nobody has seen it. By stamp.
    pub extras: Vec<(Stamp, Extras)>,
    /// What each write of a contested number has not seen. By column, then stamp; what is new is lacking until [`RowState::remember_missed`] fills
    /// it in.
    pub missed: Vec<Missed>,
    /// What stands in the table; set by whoever wrote there, not by `merge`.
    pub shown: Shown,
}

/// An event on its way into a row state.
pub struct Arrival<'a> {
    /// The event.
    pub event: &'a Event,
    /// Its changeset.
    pub dot: Dot,
    /// What its origin knew.
    pub context: &'a Context,
    /// The table.
    pub table: &'a str,
    /// The row.
    pub key: &'a Key,
    /// This node's number for each column of the event's shape.
    pub columns: &'a [ColumnIx],
}

/// What taking in an event found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Merged {
    /// Something known of the row was neither seen by the event nor has seen it.
    pub concurrent: bool,
}

impl Arrival<'_> {
    fn stamp(&self) -> Stamp {
        Stamp { lamport: self.event.lamport, dot: self.dot }
    }

    fn has_seen(&self, stamp: &Stamp) -> bool {
        self.context.sees(&stamp.dot, self.table, self.key)
    }
}

impl Register {
    /// All maximal writes, by stamp ascending.
    pub fn writes(&self) -> &[Written] {
        match self {
            Register::Unwritten => &[],
            Register::One(written) => std::slice::from_ref(written),
            Register::Several(writes) => writes,
        }
    }

    /// Adds a write and drops those that it has seen.
    fn take(&mut self, new: Written, seen: impl Fn(&Stamp) -> bool) {
        let mut writes = match std::mem::take(self) {
            Register::Unwritten => Vec::new(),
            Register::One(written) => vec![written],
            Register::Several(writes) => writes,
        };
        writes.retain(|written| !seen(&written.stamp));
        if writes.is_empty() {
            *self = Register::One(new);
            return;
        }
        let position = writes.partition_point(|written| written.stamp < new.stamp);
        writes.insert(position, new);
        *self = Register::Several(writes);
    }
}

impl RowState {
    /// Takes in one event. The caller delivers in causal order and each event once; then the result depends on the set only.
    pub fn merge(&mut self, arrival: &Arrival<'_>) -> Merged {
        let concurrent = self.stamps().any(|stamp| !arrival.has_seen(stamp));
        match arrival.event.operation {
            Operation::Delete => self.take_delete(arrival),
            Operation::Insert | Operation::Update => self.take_write(arrival),
        }
        Merged { concurrent }
    }

    /// The insert that made the row; of several at once, the earliest.
    pub fn birth(&self) -> Option<&Stamp> {
        self.births.first()
    }

    /// The value shown in a column, as it stands in the table; `None` if no row is shown or the column was never written.
    pub fn shown_value(&self, column: ColumnIx) -> Option<Cow<'_, Value>> {
        match &self.shown {
            Shown::Absent => None,
            Shown::AsWritten => match self.register(column) {
                Register::One(written) => Some(written.value.plain()),
                _ => None,
            },
            Shown::Image(image) => {
                let position = image.binary_search_by_key(&column, |(column, _)| *column).ok()?;
                Some(Cow::Borrowed(&image[position].1))
            }
        }
    }

    /// Whether anything was ever written to the row.
    pub fn is_known(&self) -> bool {
        !self.births.is_empty()
            || !self.deletes.is_empty()
            || self.registers.iter().any(|register| !register.writes().is_empty())
    }

    /// The row's identity: its key as it was written, by the columns of the key; where one of them was never written, or has another name now, the part
    /// of `place` stands for it, the key under which the row is shown.
    pub fn identity(&self, key: &[ColumnIx], place: &Key) -> Key {
        let written = |column: &ColumnIx| self.register(*column).writes().first().map(|written| &written.value);
        let Ok(parts) = place.values() else { return place.clone() };
        Key::of(key.iter().zip(&parts).map(|(column, part)| written(column).unwrap_or(part)))
    }

    /// Whether a row stands in the table.
    pub fn is_shown(&self) -> bool {
        self.shown != Shown::Absent
    }

    /// The maximal writes of a column.
    pub fn register(&self, column: ColumnIx) -> &Register {
        self.registers.get(usize::from(column.0)).unwrap_or(&Register::Unwritten)
    }

    /// Whether it left the scope at a node, and no write has come since that knew of it: then it stands nowhere that it travelled to,
    /// whatever others wrote meanwhile and whatever the policy for existence.
    pub fn has_left(&self) -> bool {
        let leaves = self.extras.iter().filter(|(_, extras)| leaves_scope(extras));
        leaves.into_iter().any(|(stamp, _)| self.deletes.contains(stamp))
    }

    /// Whether writes stand side by side in it: then the ledger may speak of this row.
    pub fn is_contested(&self) -> bool {
        let several = self.registers.iter().any(|register| matches!(register, Register::Several(_)));
        several || (!self.deletes.is_empty() && !self.live.is_empty())
    }

    /// Whether a ledger entry of that write or delete is still open: the row lives, and the value stands beside another, the delete
    /// is unseen by all, or, of a row as a whole, the write lives and a delete stands against it. Says the same as
    /// `ledger::entries`, also when the log has forgotten the events and nothing but the state is left to ask.
    pub fn is_open(&self, dot: &Dot, column: Option<ColumnIx>) -> bool {
        let is_it = |stamp: &Stamp| stamp.dot == *dot;
        let lives = !self.live.is_empty();
        let is_maximal = match column {
            Some(column) => self.register(column).writes().iter().any(|written| is_it(&written.stamp)),
            None => self.deletes.iter().any(is_it) || (!self.deletes.is_empty() && self.live.iter().any(is_it)),
        };
        lives && is_maximal
    }

    /// Highest timestamp of anything known of the row: a new event lies above it.
    pub fn lamport_max(&self) -> Lamport {
        self.stamps().map(|stamp| stamp.lamport).max().unwrap_or_default()
    }

    /// Gives writes other names and times, as their origin has told: the state is then that of the same history under those names, but for what
    /// is shown.
    pub fn rename(&mut self, name: impl Fn(&Stamp) -> Stamp) {
        for stamp in self.births.iter_mut().chain(&mut self.live).chain(&mut self.deletes) {
            *stamp = name(stamp);
        }
        self.births.sort_unstable();
        self.live.sort_unstable_by_key(|stamp| stamp.dot.origin);
        self.deletes.sort_unstable();
        for register in &mut self.registers {
            match register {
                Register::Unwritten => {}
                Register::One(written) => written.stamp = name(&written.stamp),
                Register::Several(writes) => {
                    writes.iter_mut().for_each(|written| written.stamp = name(&written.stamp));
                    writes.sort_unstable_by_key(|written| written.stamp);
                }
            }
        }
        self.witnesses.iter_mut().for_each(|(stamp, _)| *stamp = name(stamp));
        self.witnesses.sort_by_key(|(stamp, _)| *stamp);
        for (stamp, extras) in &mut self.extras {
            *stamp = name(stamp);
            rename_beaten(extras, |dot| name(&Stamp { lamport: Lamport::default(), dot }).dot);
        }
        self.extras.sort_by_key(|(stamp, _)| *stamp);
        self.rename_missed(name);
    }

    /// Everything known that could be concurrent with a new event.
    pub fn stamps(&self) -> impl Iterator<Item = &Stamp> {
        self.writes().chain(&self.live).chain(&self.deletes)
    }

    /// Everything that it names.
    fn all_stamps(&self) -> impl Iterator<Item = &Stamp> {
        let witnesses = self.witnesses.iter().map(|(stamp, _)| stamp);
        let missed = self.missed.iter().filter_map(|missed| missed.changes.last_to.as_ref());
        self.births.iter().chain(self.stamps()).chain(witnesses).chain(missed)
    }

    /// The maximal writes, once for every column.
    fn writes(&self) -> impl Iterator<Item = &Stamp> {
        self.registers.iter().flat_map(Register::writes).map(|written| &written.stamp)
    }

    fn take_write(&mut self, arrival: &Arrival<'_>) {
        let unseen = self.writes().filter(|known| !arrival.has_seen(known)).copied().collect::<Vec<_>>();
        let stamp = arrival.stamp();
        // An insert that names an earlier one brings back the row that was born then.
        if arrival.event.operation == Operation::Insert
            && (arrival.event.birth == Birth::Here || self.births.is_empty())
        {
            self.births.retain(|known| !arrival.has_seen(known));
            let position = self.births.partition_point(|known| *known < stamp);
            self.births.insert(position, stamp);
        }
        self.deletes.retain(|delete| !arrival.has_seen(delete));
        match self.live.binary_search_by_key(&stamp.dot.origin, |live| live.dot.origin) {
            Ok(position) => self.live[position] = stamp,
            Err(position) => self.live.insert(position, stamp),
        }
        for (column, value) in &arrival.event.written {
            let column = usize::from(arrival.columns[usize::from(*column)].0);
            if self.registers.len() <= column {
                self.registers.resize(column + 1, Register::Unwritten);
            }
            self.registers[column].take(Written { stamp, value: value.clone() }, |known| arrival.has_seen(known));
        }
        self.keep_missed(arrival);
        self.keep_extras(arrival);
        self.keep_witnesses(arrival, &unseen);
    }

    /// Keeps the extra fields of a write until every column of it is overwritten, those of a delete until something has seen it.
    fn keep_extras(&mut self, arrival: &Arrival<'_>) {
        if !arrival.event.extras.is_empty() {
            let stamp = arrival.stamp();
            let position = self.extras.partition_point(|(known, _)| *known < stamp);
            self.extras.insert(position, (stamp, arrival.event.extras.clone()));
        }
        let mut extras = std::mem::take(&mut self.extras);
        extras.retain(|(stamp, _)| self.writes().chain(&self.deletes).any(|known| known == stamp));
        self.extras = extras;
    }

    fn take_delete(&mut self, arrival: &Arrival<'_>) {
        let stamp = arrival.stamp();
        self.live.retain(|live| !arrival.has_seen(live));
        self.deletes.retain(|delete| !arrival.has_seen(delete));
        let position = self.deletes.partition_point(|delete| *delete < stamp);
        self.deletes.insert(position, stamp);
        self.keep_extras(arrival);
    }

    /// Remembers the whole row of a write that met others and of those that it met; forgets the rows of overwritten ones. What
    /// has met whom follows from the set of events: whoever overwrote one of two concurrent writes without having seen the other
    /// is concurrent with that other too, so that two always meet, in whatever order they arrive.
    fn keep_witnesses(&mut self, arrival: &Arrival<'_>, unseen: &[Stamp]) {
        let after = if unseen.is_empty() { None } else { arrival.event.after() };
        if let Some(after) = after {
            let mut image: Vec<_> = arrival.columns.iter().copied().zip(after).collect();
            image.sort_by_key(|(column, _)| *column);
            *self.witness(arrival.stamp()) = image;
            for met in unseen {
                self.witness(*met);
            }
        }
        let mut witnesses = std::mem::take(&mut self.witnesses);
        witnesses.retain(|(stamp, _)| self.writes().any(|written| written == stamp));
        self.witnesses = witnesses;
    }

    /// Says that a column was written, as the only write known of it: for rows that stood here before any event.
    pub fn write(&mut self, column: ColumnIx, stamp: Stamp, value: Value) {
        let column = usize::from(column.0);
        if self.registers.len() <= column {
            self.registers.resize(column + 1, Register::Unwritten);
        }
        self.registers[column] = Register::One(Written { stamp, value });
    }

    /// The row that a write left, to be filled in if it is new here.
    fn witness(&mut self, stamp: Stamp) -> &mut Vec<(ColumnIx, Value)> {
        let position = self.witnesses.partition_point(|(known, _)| *known < stamp);
        if self.witnesses.get(position).is_none_or(|(known, _)| *known != stamp) {
            self.witnesses.insert(position, (stamp, Vec::new()));
        }
        &mut self.witnesses[position].1
    }

    /// Writes whose whole row is to be remembered and is not yet: the caller finds it in the log. They are unstable, so it is there.
    pub fn rows_not_remembered(&self) -> Vec<Stamp> {
        self.witnesses.iter().filter(|(_, image)| image.is_empty()).map(|(stamp, _)| *stamp).collect()
    }

    /// Remembers the whole row that a write left, if it is wanted. `image` is by column ascending.
    pub fn remember_row(&mut self, stamp: Stamp, image: Vec<(ColumnIx, Value)>) {
        if let Ok(position) = self.witnesses.binary_search_by_key(&stamp, |(known, _)| *known) {
            self.witnesses[position].1 = image;
        }
    }
}

/// Every origin that a row state names, for whoever must number them before storing it.
pub fn origins(state: &RowState) -> impl Iterator<Item = Origin> + '_ {
    state.all_stamps().map(|stamp| stamp.dot.origin)
}

impl Stamp {
    /// A stamp from its parts.
    pub fn new(lamport: Lamport, origin: Origin, seq: Seq) -> Stamp {
        Stamp { lamport, dot: Dot { origin, seq } }
    }
}

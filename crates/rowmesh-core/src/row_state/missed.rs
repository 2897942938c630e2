//! What each of several writes of a number has not seen, added up: so that counters can be shown from the state alone. Kept for every number that is
//! contested, since `merge` knows no policy; which columns are counters is known to `show`.

use super::{Arrival, ColumnIx, Register, RowState, Stamp, Written};
use crate::amount::Amount;
use crate::event::Change;
use crate::value::Value;

/// One of several writes of a column, with what others did to the column unseen by it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missed {
    /// The column.
    pub column: ColumnIx,
    /// The write.
    pub stamp: Stamp,
    /// `None` until [`RowState::remember_missed`] fills it in.
    pub changes: Option<Changes>,
}

/// Changes to one column, in no order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// What those came to that changed one number to another.
    pub by: Amount,
    /// Those that said what number there is, by stamp ascending.
    pub to: Vec<Stamp>,
}

impl Changes {
    /// Adds one.
    pub fn add(&mut self, stamp: Stamp, change: &Change) {
        match change {
            Change::By(amount) => self.by.add(amount),
            Change::To => {
                let position = self.to.partition_point(|known| *known < stamp);
                self.to.insert(position, stamp);
            }
            Change::None => {}
        }
    }
}

impl RowState {
    /// What a counter in a column comes to. The number to start from is the latest of those whose writes have seen, or are, the last one that said
    /// what there is; what that write has not seen is added. None where only one write stands, none is a number, or the sum does not fit.
    pub fn counted(&self, column: ColumnIx) -> Option<Value> {
        let missed = || self.missed.iter().filter(|missed| missed.column == column);
        let last_to = missed().filter_map(|missed| missed.changes.as_ref()?.to.last()).max();
        let has_seen = |missed: &&Missed| {
            let changes = missed.changes.as_ref();
            last_to.is_none_or(|last| changes.is_some_and(|changes| changes.to.binary_search(last).is_err()))
        };
        let number = |stamp: &Stamp| {
            let written = self.register(column).writes().iter().find(|written| written.stamp == *stamp)?;
            Amount::of(&written.value).map(|_| &written.value)
        };
        let numbers = missed().filter(has_seen).filter_map(|missed| Some((missed, number(&missed.stamp)?)));
        let (start, from) = numbers.max_by_key(|(missed, _)| missed.stamp)?;
        start.changes.as_ref()?.by.added_to(from)
    }

    /// Writes of which is not yet known what they have not seen: the caller finds that in the log. They are unstable, so it is there.
    pub fn missed_not_remembered(&self) -> Vec<(ColumnIx, Stamp)> {
        let unknown = self.missed.iter().filter(|missed| missed.changes.is_none());
        unknown.map(|missed| (missed.column, missed.stamp)).collect()
    }

    /// Remembers what a write has not seen, if it is wanted: the changes that all known events made to the column which this write has not seen
    /// and which have not seen it.
    pub fn remember_missed(&mut self, column: ColumnIx, stamp: Stamp, changes: Changes) {
        if let Ok(position) = self.missed.binary_search_by_key(&(column, stamp), Missed::place) {
            self.missed[position].changes = Some(changes);
        }
    }

    /// Adds what an event did to the columns that it wrote to what the writes beside it have not seen; forgets what is needed no more.
    pub(super) fn keep_missed(&mut self, arrival: &Arrival<'_>) {
        let is_usual = |(column, _): &(u16, Value)| {
            !matches!(self.register(arrival.columns[usize::from(*column)]), Register::Several(_))
        };
        if self.missed.is_empty() && arrival.event.written.iter().all(is_usual) {
            return;
        }
        for (position, value) in &arrival.event.written {
            let column = arrival.columns[usize::from(*position)];
            let wanted = self.contested_numbers(column);
            let start = self.missed.partition_point(|missed| missed.column < column);
            let end = self.missed.partition_point(|missed| missed.column <= column);
            let mut known: Vec<Missed> = self.missed.drain(start..end).collect();
            let change = if known.is_empty() { Change::None } else { arrival.event.change(*position, value) };
            for changes in known.iter_mut().filter_map(|missed| missed.changes.as_mut()) {
                changes.add(arrival.stamp(), &change);
            }
            let kept = wanted.into_iter().map(|stamp| {
                let changes =
                    known.iter_mut().find(|missed| missed.stamp == stamp).and_then(|missed| missed.changes.take());
                Missed { column, stamp, changes }
            });
            self.missed.splice(start..start, kept.collect::<Vec<_>>());
        }
    }

    /// The writes of a column, by stamp ascending, if there are several and a number among them.
    fn contested_numbers(&self, column: ColumnIx) -> Vec<Stamp> {
        let Register::Several(writes) = self.register(column) else { return Vec::new() };
        let is_number = |written: &Written| Amount::of(&written.value).is_some();
        if writes.iter().any(is_number) { writes.iter().map(|written| written.stamp).collect() } else { Vec::new() }
    }
}

impl Missed {
    pub(super) fn place(&self) -> (ColumnIx, Stamp) {
        (self.column, self.stamp)
    }
}

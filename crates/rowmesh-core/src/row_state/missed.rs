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
    /// What it has not seen.
    pub changes: Changes,
}

/// Changes to one column, in no order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// What those came to that changed one number to another.
    pub by: Amount,
    /// The latest of those that said what number there is.
    pub last_to: Option<Stamp>,
}

impl Changes {
    /// Adds one.
    pub fn add(&mut self, stamp: Stamp, change: &Change) {
        match change {
            Change::By(amount) => self.by.add(amount),
            Change::To => self.last_to = self.last_to.max(Some(stamp)),
            Change::None => {}
        }
    }
}

impl RowState {
    /// What a counter in a column comes to. The number to start from is the latest of those whose writes have seen, or are, the last one that said
    /// what there is; what that write has not seen is added. None where only one write stands or none is a number; and as long as not all is
    /// remembered that writes have not seen.
    pub fn counted(&self, column: ColumnIx) -> Option<Value> {
        let writes = self.register(column).writes();
        let missed = self.missed_in(column);
        if missed.is_empty() || missed.len() != writes.len() {
            return None;
        }
        // Whoever has not seen the last of all has it as the last of those that it has not seen.
        let last_to = missed.iter().map(|missed| missed.changes.last_to).max().flatten();
        let has_seen = |missed: &Missed| last_to.is_none() || missed.changes.last_to != last_to;
        let (start, from) = (missed.iter().zip(writes).rev())
            .find(|(missed, written)| has_seen(missed) && Amount::of(&written.value).is_some())?;
        start.changes.by.added_to(&from.value)
    }

    /// Writes of which is to be remembered what they have not seen, and is not yet: the caller finds that in the log. They are unstable, so it is
    /// there.
    pub fn missed_not_remembered(&self) -> Vec<(ColumnIx, Stamp)> {
        let columns = (0..self.registers.len()).map(|number| ColumnIx(number as u16));
        let wanted = columns.flat_map(|column| self.contested_numbers(column).map(move |stamp| (column, stamp)));
        wanted.filter(|place| self.missed.binary_search_by_key(place, Missed::place).is_err()).collect()
    }

    /// Remembers what a write has not seen: the changes that all known events made to the column which this write has not seen and which have not
    /// seen it.
    pub fn remember_missed(&mut self, column: ColumnIx, stamp: Stamp, changes: Changes) {
        if let Err(position) = self.missed.binary_search_by_key(&(column, stamp), Missed::place) {
            self.missed.insert(position, Missed { column, stamp, changes });
        }
    }

    /// Adds what an event did to the columns that it wrote to what the writes beside it have not seen; forgets what is needed no more.
    pub(super) fn keep_missed(&mut self, arrival: &Arrival<'_>) {
        if self.missed.is_empty() {
            return;
        }
        for (position, value) in &arrival.event.written {
            let column = arrival.columns[usize::from(*position)];
            let wanted: Vec<Stamp> = self.contested_numbers(column).collect();
            self.missed.retain(|missed| missed.column != column || wanted.contains(&missed.stamp));
            let mut beside = self.missed.iter_mut().filter(|missed| missed.column == column).peekable();
            if beside.peek().is_some() {
                let change = arrival.event.change(*position, value);
                beside.for_each(|missed| missed.changes.add(arrival.stamp(), &change));
            }
        }
    }

    /// Gives writes other names. Where the last of several words gets one, another may be the last: what hangs on that has to be found anew, in the
    /// log, which holds whatever is renamed and what stands beside it.
    pub(super) fn rename_missed(&mut self, name: impl Fn(&Stamp) -> Stamp) {
        self.missed.retain(|missed| missed.changes.last_to.is_none_or(|last| name(&last) == last));
        self.missed.iter_mut().for_each(|missed| missed.stamp = name(&missed.stamp));
        self.missed.sort_by_key(Missed::place);
    }

    /// What is remembered of the writes of a column, by stamp ascending.
    fn missed_in(&self, column: ColumnIx) -> &[Missed] {
        let start = self.missed.partition_point(|missed| missed.column < column);
        let end = self.missed.partition_point(|missed| missed.column <= column);
        &self.missed[start..end]
    }

    /// The writes of a column, by stamp ascending, if there are several and a number among them.
    fn contested_numbers(&self, column: ColumnIx) -> impl Iterator<Item = Stamp> + '_ {
        let is_number = |written: &Written| Amount::of(&written.value).is_some();
        let writes = match self.register(column) {
            Register::Several(writes) if writes.iter().any(is_number) => &writes[..],
            _ => &[],
        };
        writes.iter().map(|written| written.stamp)
    }
}

impl Missed {
    fn place(&self) -> (ColumnIx, Stamp) {
        (self.column, self.stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Lamport, VersionVector};
    use crate::encode::{Reader, Writer};
    use crate::event::{Birth, Context, Event, Operation, counted_anew_field};
    use crate::ident::{Dot, Incarnation, NodeId, Origin, Seq};
    use crate::value::Key;

    fn origin(name: u8) -> Origin {
        Origin { node: NodeId([name; 32]), incarnation: Incarnation { count: 1, nonce: 1 } }
    }

    /// A change of the one column by one who has seen his own changes and the insert only.
    fn take(state: &mut RowState, dot: Dot, before: i64, after: i64, counted_anew: bool) {
        let event = Event {
            table: 0,
            operation: Operation::Update,
            lamport: Lamport(dot.seq.0),
            birth: Birth::Here,
            before: vec![before.into()],
            written: vec![(0, after.into())],
            salt: [0; 16],
            extras: counted_anew.then(|| counted_anew_field([0].into_iter())).into_iter().collect(),
        };
        let own = Dot { seq: Seq(dot.seq.0 - 1), ..dot };
        let vector: VersionVector = [own].into_iter().filter(|dot| dot.seq > Seq(0)).collect();
        let (context, key) = (Context { vector, ..Context::default() }, Key::of([&1.into()]));
        state.merge(&Arrival { event: &event, dot, context: &context, table: "t", key: &key, columns: &[ColumnIx(0)] });
    }

    #[test]
    fn what_is_kept_does_not_grow_with_how_often_somebody_counts() {
        let (mut state, mut sizes) = (RowState::default(), Vec::new());
        take(&mut state, Dot { origin: origin(1), seq: Seq(1) }, 10, 9, false);
        let first = state.live[0];
        for seq in 1..=5_000 {
            take(&mut state, Dot { origin: origin(2), seq: Seq(seq) }, 0, 50, true);
            let newest = state.live[1];
            assert_eq!(state.missed_not_remembered().last(), Some(&(ColumnIx(0), newest)));
            state.remember_missed(ColumnIx(0), first, Changes { last_to: Some(newest), ..Changes::default() });
            state.remember_missed(ColumnIx(0), newest, Changes::default());
            let (mut bytes, mut origins) = (Writer::default(), Vec::new());
            super::super::encode(&state, &mut origins, &mut bytes);
            let decoded = super::super::decode(&mut Reader::new(&bytes.0), &origins);
            assert_eq!(decoded.as_ref(), Ok(&state));
            sizes.push(bytes.0.len());
        }
        assert!(sizes[4_999] <= sizes[1] + 8, "{} bytes, {} before", sizes[4_999], sizes[1]);
        assert_eq!(state.missed.len(), 2);
        assert_eq!(state.missed[0].changes.last_to.map(|stamp| stamp.dot.seq), Some(Seq(5_000)));
        assert_eq!(state.counted(ColumnIx(0)), Some(50.into()), "what was said last");
    }
}

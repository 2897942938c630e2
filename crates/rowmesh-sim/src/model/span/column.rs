//! Policies of one row that are not built yet, on the shipped types: counters, node priority, set union, and the whole-row rule for
//! CHECK. Each is a pure choice among what the row state remembers, but for counters, which must remember more.

use rowmesh_core::event::Context;
use rowmesh_core::ident::{Dot, NodeId};
use rowmesh_core::row_state::{ColumnIx, Register, RowState, Stamp, Written};
use rowmesh_core::value::{Key, Value};

/// What a counter column must remember beside its register: a sum cannot be told from the writes that nobody has overwritten.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counter {
    /// Absolute values that no other absolute value has seen: the insert, stock-takes. By stamp.
    pub bases: Vec<(Stamp, i64)>,
    /// Differences that no base has seen, one by one while a base may still come that has not seen them. By changeset.
    pub differences: Vec<(Dot, i64)>,
    /// The sum of the stable ones: every base that is still to come has seen them all.
    pub folded: i64,
}

/// What one event does to a counter. An event must say which it is (an extra field): the policy may be declared, or changed, between
/// sealing and merging, and merge knows no policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// Sets it, whatever it was: insert, stock-take, writes from before the column was declared a counter.
    Base(i64),
    /// Adds what the user saw afterwards less what he saw before.
    Difference(i64),
}

impl Counter {
    /// Takes in one event, in causal order and once.
    pub fn take(&mut self, count: Count, stamp: Stamp, context: &Context, table: &str, key: &Key) {
        let has_seen = |dot: &Dot| context.sees(dot, table, key);
        match count {
            Count::Difference(difference) => {
                let position = self.differences.partition_point(|(dot, _)| *dot < stamp.dot);
                self.differences.insert(position, (stamp.dot, difference));
            }
            Count::Base(value) => {
                self.bases.retain(|(base, _)| !has_seen(&base.dot));
                self.differences.retain(|(dot, _)| !has_seen(dot));
                self.folded = 0;
                let position = self.bases.partition_point(|(base, _)| *base < stamp);
                self.bases.insert(position, (stamp, value));
            }
        }
    }

    /// Forgets which stable differences there were, but not their sum.
    pub fn fold(&mut self, is_stable: impl Fn(&Dot) -> bool) {
        self.folded += self.differences.iter().filter(|(dot, _)| is_stable(dot)).map(|(_, amount)| amount).sum::<i64>();
        self.differences.retain(|(dot, _)| !is_stable(dot));
    }

    /// What the table shows.
    pub fn value(&self) -> i64 {
        let base = self.bases.last().map_or(0, |(_, value)| *value);
        base + self.folded + self.differences.iter().map(|(_, amount)| amount).sum::<i64>()
    }
}

/// The write of the node with the highest rank; among its own, the latest.
pub fn by_node_priority(register: &Register, rank: impl Fn(&NodeId) -> u64) -> Option<&Written> {
    register.writes().iter().max_by_key(|written| (rank(&written.stamp.dot.origin.node), written.stamp))
}

/// All members of all writes, where a value is a list of words.
pub fn union(register: &Register) -> Option<Value> {
    let texts = register.writes().iter().filter_map(|written| written.value.as_str());
    let words: std::collections::BTreeSet<&str> = texts.flat_map(str::split_whitespace).collect();
    let joined = words.into_iter().collect::<Vec<_>>().join(" ");
    (!register.writes().is_empty()).then(|| Value::text(&joined))
}

/// The row to show where the chosen one breaks a check: the one that the highest maximal write left among those that keep it.
pub fn keeping<'s>(
    state: &'s RowState,
    chosen: &'s [(ColumnIx, Value)],
    holds: impl Fn(&[(ColumnIx, Value)]) -> bool,
) -> Option<&'s [(ColumnIx, Value)]> {
    let left = state.witnesses.iter().rev().map(|(_, row)| row.as_slice());
    std::iter::once(chosen).chain(left).find(|row| holds(row))
}

//! Where a row as it stands comes from: who wrote each of its columns, what stands beside that, and by which policy one of several was chosen. Told
//! from the row's state alone; what was overwritten long ago is in the log, what lost in the ledger.

use std::borrow::Cow;

use crate::policy::{ColumnPolicy, ExistencePolicy, TablePolicy};
use crate::row_state::{ColumnIx, Register, RowState, Stamp, Written};
use crate::show;
use crate::value::{ColumnName, Value};

/// A row and whoever made or deleted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// Whether it stands in the table.
    pub stands: bool,
    /// The inserts that made it, by stamp ascending: several where nodes made it at once.
    pub births: Vec<Stamp>,
    /// The deletes that no later write has seen, by stamp ascending.
    pub deletes: Vec<Stamp>,
    /// How a delete and a write are settled that meet.
    pub policy: ExistencePolicy,
    /// Its columns that anybody wrote, by this node's numbers.
    pub columns: Vec<ColumnLineage>,
}

/// One column of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnLineage {
    /// Its name.
    pub column: ColumnName,
    /// What stands in the table; none where the row or the column does not.
    pub shown: Option<Value>,
    /// How writes are settled that meet.
    pub policy: ColumnPolicy,
    /// Why it shows what it does.
    pub cause: Cause,
    /// The write that the policy prefers, then those beside it, the latest first.
    pub writes: Vec<Written>,
}

/// Why a column shows what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// There is no other write that the last one has not seen.
    Last,
    /// The policy prefers it to those beside it.
    Chosen,
    /// It is what all of them come to.
    Sum,
}

/// Tells it of one row. `names` gives the name of each column number.
pub fn lineage(state: &RowState, policy: &TablePolicy, names: &[ColumnName]) -> Lineage {
    let columns = state.registers.iter().zip(names).enumerate();
    let of_column = |(number, (register, name)): (usize, (&Register, &ColumnName))| {
        let (column, policy) = (ColumnIx(number as u16), policy.column(name));
        let first = show::choose(register, policy)?;
        let others = register.writes().iter().rev().filter(|written| written.stamp != first.stamp);
        let writes: Vec<Written> = std::iter::once(first).chain(others).cloned().collect();
        let cause = match writes.len() {
            1 => Cause::Last,
            _ if *policy == ColumnPolicy::Counter && state.counted(column).is_some() => Cause::Sum,
            _ => Cause::Chosen,
        };
        let shown = state.shown_value(column).map(Cow::into_owned);
        Some(ColumnLineage { column: name.clone(), shown, policy: policy.clone(), cause, writes })
    };
    Lineage {
        stands: state.is_shown(),
        births: state.births.clone(),
        deletes: state.deletes.clone(),
        policy: policy.existence,
        columns: columns.filter_map(of_column).collect(),
    }
}

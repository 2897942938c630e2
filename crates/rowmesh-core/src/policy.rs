//! How `show` chooses where several writes stand side by side. Policies are roster data: this file gives them meaning, not storage.

use std::collections::BTreeMap;

use crate::event::Change;
use crate::value::{ColumnName, TableName};

/// Which of several concurrent writes of one column is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ColumnPolicy {
    /// The one with the highest (Lamport timestamp, origin).
    #[default]
    LastWriter,
    /// The largest value; the losing write leaves no ledger entry. For `updated_at` and optimistic-lock columns.
    Max,
    /// The smallest value; the losing write leaves no ledger entry.
    Min,
    /// What all changes come to, by whomever: two sales of one leave two less. For stock and balances. Of two writes that say what there is,
    /// such as two inserts of the row, the later is counted from; a number beats what is none.
    Counter,
}

/// Whether a row stands that one node deleted and another wrote at the same time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ExistencePolicy {
    /// A delete removes only what it has seen.
    #[default]
    UpdateWins,
    /// A write keeps the row only if it has seen the delete.
    DeleteWins,
    /// The later of the two.
    LastWriter,
}

/// The policies of one table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TablePolicy {
    /// For the row as a whole.
    pub existence: ExistencePolicy,
    /// For columns that differ from the default.
    pub columns: BTreeMap<ColumnName, ColumnPolicy>,
}

/// The policies of all tables at one epoch; tables that are not named have the defaults.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policies {
    /// By table.
    pub tables: BTreeMap<TableName, TablePolicy>,
}

/// Policies by the epoch of the roster that they hold from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PolicyHistory {
    epochs: BTreeMap<u64, Policies>,
}

impl ColumnPolicy {
    /// All there are.
    pub const ALL: [ColumnPolicy; 4] =
        [ColumnPolicy::LastWriter, ColumnPolicy::Max, ColumnPolicy::Min, ColumnPolicy::Counter];

    /// As rosters and `rowmesh conflicts policy` spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            ColumnPolicy::LastWriter => "last_writer",
            ColumnPolicy::Max => "max",
            ColumnPolicy::Min => "min",
            ColumnPolicy::Counter => "counter",
        }
    }

    /// Reads what [`ColumnPolicy::as_str`] writes.
    pub fn parse(text: &str) -> Option<ColumnPolicy> {
        ColumnPolicy::ALL.into_iter().find(|policy| policy.as_str() == text)
    }

    /// Whether a write that another beats is lost, so that the ledger has to tell of it.
    pub fn loses(self, loser: impl FnOnce() -> Change, winner: impl FnOnce() -> Change) -> bool {
        match self {
            ColumnPolicy::LastWriter => true,
            ColumnPolicy::Max | ColumnPolicy::Min => false,
            ColumnPolicy::Counter => match loser() {
                Change::By(_) => false,
                Change::To => winner() == Change::To,
                Change::None => true,
            },
        }
    }
}

impl ExistencePolicy {
    /// All there are.
    pub const ALL: [ExistencePolicy; 3] =
        [ExistencePolicy::UpdateWins, ExistencePolicy::DeleteWins, ExistencePolicy::LastWriter];

    /// As rosters spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            ExistencePolicy::UpdateWins => "update_wins",
            ExistencePolicy::DeleteWins => "delete_wins",
            ExistencePolicy::LastWriter => "last_writer",
        }
    }

    /// Reads what [`ExistencePolicy::as_str`] writes.
    pub fn parse(text: &str) -> Option<ExistencePolicy> {
        ExistencePolicy::ALL.into_iter().find(|policy| policy.as_str() == text)
    }
}

impl TablePolicy {
    /// The policy of one column.
    pub fn column(&self, name: &str) -> ColumnPolicy {
        self.columns.get(name).copied().unwrap_or_default()
    }
}

impl Policies {
    /// The policies of one table.
    pub fn table(&self, name: &str) -> &TablePolicy {
        static DEFAULT: TablePolicy = TablePolicy { existence: ExistencePolicy::UpdateWins, columns: BTreeMap::new() };
        self.tables.get(name).unwrap_or(&DEFAULT)
    }
}

impl PolicyHistory {
    /// One set of policies from the first epoch on.
    pub fn constant(policies: Policies) -> PolicyHistory {
        PolicyHistory { epochs: [(0, policies)].into_iter().collect() }
    }

    /// Sets what holds from an epoch on.
    pub fn set(&mut self, epoch: u64, policies: Policies) {
        self.epochs.insert(epoch, policies);
    }

    /// What held at an epoch.
    pub fn at(&self, epoch: u64) -> &Policies {
        static NONE: Policies = Policies { tables: BTreeMap::new() };
        self.epochs.range(..=epoch).next_back().map_or(&NONE, |(_, policies)| policies)
    }

    /// What holds now.
    pub fn current(&self) -> &Policies {
        self.at(u64::MAX)
    }
}

//! How `show` chooses where several writes stand side by side. Policies are roster data: this file gives them meaning, not storage.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::Change;
use crate::ident::NodeId;
use crate::value::{ColumnName, TableName};

/// What the word of a policy begins with that lists nodes.
const NODE_PRIORITY: &str = "node_priority:";

/// Which of several concurrent writes of one column is shown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
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
    /// The one of the node that comes first in this list; all that are not in it come last. Of writes of equal nodes the later.
    NodePriority(Arc<[NodeId]>),
    /// The later one until a person has decided: the conflict waits for that.
    Ask,
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
    /// The row stands until a person has decided: the conflict waits for that.
    Ask,
}

/// What becomes of a row that refers to one which another node deleted at the same time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OrphanPolicy {
    /// The deleted row is shown again, whole, while it is needed.
    #[default]
    RestoreParent,
    /// The row that refers to it is hidden.
    Cascade,
    /// The reference shows NULL; where that cannot stand, the row is hidden.
    SetNull,
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
    /// The node that comes first decides.
    NodePriority,
    /// A person is to decide; what stands until then is the later write, or the row that was not deleted.
    ManualResolution,
    /// Both rows stand: one of them under another value, or though it was deleted.
    KeepBoth,
}

/// The policies of one table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TablePolicy {
    /// For the row as a whole.
    pub existence: ExistencePolicy,
    /// For columns that differ from the default.
    pub columns: BTreeMap<ColumnName, ColumnPolicy>,
    /// For foreign keys that differ from the default, by one of their columns.
    pub references: BTreeMap<ColumnName, OrphanPolicy>,
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
    /// All words, as people are told of them.
    pub const WORDS: [&str; 6] = ["last_writer", "max", "min", "counter", "node_priority:NODE,NODE", "ask"];

    /// As rosters spell it; `name` tells how nodes are called.
    pub fn spell(&self, name: impl Fn(&NodeId) -> String) -> String {
        match self {
            ColumnPolicy::LastWriter => "last_writer".to_owned(),
            ColumnPolicy::Max => "max".to_owned(),
            ColumnPolicy::Min => "min".to_owned(),
            ColumnPolicy::Counter => "counter".to_owned(),
            ColumnPolicy::Ask => "ask".to_owned(),
            ColumnPolicy::NodePriority(nodes) => {
                format!("{NODE_PRIORITY}{}", nodes.iter().map(name).collect::<Vec<_>>().join(","))
            }
        }
    }

    /// Reads what [`ColumnPolicy::spell`] writes; `node` tells which node a name means. None if it is no policy, or names a node twice or one that
    /// is not known.
    pub fn parse_with(text: &str, node: impl Fn(&str) -> Option<NodeId>) -> Option<ColumnPolicy> {
        if let Some(names) = text.strip_prefix(NODE_PRIORITY) {
            let nodes = names.split(',').map(|name| node(name.trim())).collect::<Option<Vec<_>>>()?;
            let is_twice = |(position, id): (usize, &NodeId)| nodes[..position].contains(id);
            let any_twice = nodes.iter().enumerate().any(is_twice);
            return (!any_twice).then(|| ColumnPolicy::NodePriority(nodes.into()));
        }
        Some(match text {
            "last_writer" => ColumnPolicy::LastWriter,
            "max" => ColumnPolicy::Max,
            "min" => ColumnPolicy::Min,
            "counter" => ColumnPolicy::Counter,
            "ask" => ColumnPolicy::Ask,
            _ => return None,
        })
    }

    /// Reads a policy as rosters hold it: nodes by their full ids.
    pub fn parse(text: &str) -> Option<ColumnPolicy> {
        ColumnPolicy::parse_with(text, NodeId::parse)
    }

    /// Whether people may write so, be the nodes that it names known or not.
    pub fn is_word(text: &str) -> bool {
        let names: Vec<&str> = ColumnPolicy::nodes_named(text).collect();
        let is_new = |(position, name): (usize, &&str)| !name.is_empty() && !names[..position].contains(name);
        if names.is_empty() { ColumnPolicy::parse(text).is_some() } else { names.iter().enumerate().all(is_new) }
    }

    /// The names of nodes that a word of people has, be they known or not; none in most.
    pub fn nodes_named(text: &str) -> impl Iterator<Item = &str> {
        text.strip_prefix(NODE_PRIORITY).into_iter().flat_map(|names| names.split(',').map(str::trim))
    }

    /// The place of a node in the list that decides; the lowest wins. All are equal where none does.
    pub fn place(&self, node: &NodeId) -> usize {
        match self {
            ColumnPolicy::NodePriority(nodes) => nodes.iter().position(|known| known == node).unwrap_or(nodes.len()),
            _ => 0,
        }
    }

    /// How a write was settled that lost, told by the nodes of both.
    pub fn strategy(&self, loser: &NodeId, winner: &NodeId) -> Strategy {
        match self {
            ColumnPolicy::Ask => Strategy::ManualResolution,
            _ if self.place(loser) != self.place(winner) => Strategy::NodePriority,
            _ => Strategy::LastWriterWins,
        }
    }

    /// Whether a write that another beats is lost, so that the ledger has to tell of it.
    pub fn loses(&self, loser: impl FnOnce() -> Change, winner: impl FnOnce() -> Change) -> bool {
        match self {
            ColumnPolicy::LastWriter | ColumnPolicy::NodePriority(_) | ColumnPolicy::Ask => true,
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
    pub const ALL: [ExistencePolicy; 4] =
        [ExistencePolicy::UpdateWins, ExistencePolicy::DeleteWins, ExistencePolicy::LastWriter, ExistencePolicy::Ask];

    /// As rosters spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            ExistencePolicy::UpdateWins => "update_wins",
            ExistencePolicy::DeleteWins => "delete_wins",
            ExistencePolicy::LastWriter => "last_writer",
            ExistencePolicy::Ask => "ask",
        }
    }

    /// How a write or a delete that lost was settled.
    pub fn strategy(self) -> Strategy {
        match self {
            ExistencePolicy::UpdateWins => Strategy::MergeChanges,
            ExistencePolicy::DeleteWins => Strategy::BusinessRule,
            ExistencePolicy::LastWriter => Strategy::LastWriterWins,
            ExistencePolicy::Ask => Strategy::ManualResolution,
        }
    }

    /// Reads what [`ExistencePolicy::as_str`] writes.
    pub fn parse(text: &str) -> Option<ExistencePolicy> {
        ExistencePolicy::ALL.into_iter().find(|policy| policy.as_str() == text)
    }
}

impl OrphanPolicy {
    /// All there are.
    pub const ALL: [OrphanPolicy; 3] = [OrphanPolicy::RestoreParent, OrphanPolicy::Cascade, OrphanPolicy::SetNull];

    /// As rosters spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            OrphanPolicy::RestoreParent => "restore_parent",
            OrphanPolicy::Cascade => "cascade",
            OrphanPolicy::SetNull => "set_null",
        }
    }

    /// Reads what [`OrphanPolicy::as_str`] writes.
    pub fn parse(text: &str) -> Option<OrphanPolicy> {
        OrphanPolicy::ALL.into_iter().find(|policy| policy.as_str() == text)
    }
}

impl Strategy {
    /// As `conflict_resolutions` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::LastWriterWins => "LAST_WRITER_WINS",
            Strategy::MergeChanges => "MERGE_CHANGES",
            Strategy::BusinessRule => "BUSINESS_RULE",
            Strategy::NodePriority => "NODE_PRIORITY",
            Strategy::ManualResolution => "MANUAL_RESOLUTION",
            Strategy::KeepBoth => "KEEP_BOTH",
        }
    }

    /// Reads what [`Strategy::as_str`] writes.
    pub fn parse(text: &str) -> Option<Strategy> {
        use Strategy::{BusinessRule, KeepBoth, LastWriterWins, ManualResolution, MergeChanges, NodePriority};
        let all = [LastWriterWins, MergeChanges, BusinessRule, NodePriority, ManualResolution, KeepBoth];
        all.into_iter().find(|strategy| strategy.as_str() == text)
    }
}

impl TablePolicy {
    /// The policy of one column.
    pub fn column(&self, name: &str) -> &ColumnPolicy {
        static DEFAULT: ColumnPolicy = ColumnPolicy::LastWriter;
        self.columns.get(name).unwrap_or(&DEFAULT)
    }

    /// The policy of a foreign key with these columns: that of the last of them which has one.
    pub fn reference<'n>(&self, columns: impl DoubleEndedIterator<Item = &'n ColumnName>) -> OrphanPolicy {
        columns.rev().find_map(|name| self.references.get(name)).copied().unwrap_or_default()
    }
}

impl Policies {
    /// The policies of one table.
    pub fn table(&self, name: &str) -> &TablePolicy {
        static DEFAULT: TablePolicy = TablePolicy {
            existence: ExistencePolicy::UpdateWins,
            columns: BTreeMap::new(),
            references: BTreeMap::new(),
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Option<NodeId> {
        [("head", 1), ("a", 2)].iter().find(|(known, _)| *known == name).map(|(_, id)| NodeId([*id; 32]))
    }

    #[test]
    fn every_policy_is_read_as_it_is_spelled() {
        let words = ["last_writer", "max", "min", "counter", "ask", "node_priority:head,a", "node_priority:a"];
        for word in words {
            let policy = ColumnPolicy::parse_with(word, node).expect(word);
            let name = |id: &NodeId| if id.0[0] == 1 { "head".to_owned() } else { "a".to_owned() };
            assert_eq!(policy.spell(name), word);
            assert_eq!(ColumnPolicy::parse(&policy.spell(NodeId::to_string)), Some(policy));
            assert!(ColumnPolicy::is_word(word), "{word}");
        }
        for policy in ExistencePolicy::ALL {
            assert_eq!(ExistencePolicy::parse(policy.as_str()), Some(policy));
        }
    }

    #[test]
    fn a_word_that_is_none_or_names_nodes_that_are_not_is_refused() {
        for word in ["", "newest", "node_priority", "node_priority:", "node_priority:a,", "node_priority:a,a"] {
            assert!(!ColumnPolicy::is_word(word) && ColumnPolicy::parse_with(word, node).is_none(), "{word}");
        }
        assert!(
            ColumnPolicy::is_word("node_priority:b") && ColumnPolicy::parse_with("node_priority:b", node).is_none()
        );
    }

    #[test]
    fn nodes_that_are_not_named_come_after_all_that_are() {
        let policy = ColumnPolicy::NodePriority([NodeId([3; 32]), NodeId([1; 32])].into());
        let place = |id: u8| policy.place(&NodeId([id; 32]));
        assert!(place(3) < place(1) && place(1) < place(2) && place(2) == place(4));
        assert_eq!(policy.strategy(&NodeId([1; 32]), &NodeId([3; 32])), Strategy::NodePriority);
        assert_eq!(policy.strategy(&NodeId([2; 32]), &NodeId([4; 32])), Strategy::LastWriterWins);
    }
}

//! What can be wrong with a scope, each with what was probably meant. Decides nothing.

use std::fmt;

use thiserror::Error;

use crate::scope::parse::ConditionError;
use crate::value::{ColumnName, TableName};

/// Why a scope cannot be put into effect.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScopeError {
    /// The condition cannot be read.
    #[error("condition of filter {filter} cannot be read")]
    Condition {
        /// The filter.
        filter: String,
        /// Why.
        #[source]
        source: ConditionError,
    },
    /// An entry of `follow` is not `table.column`.
    #[error("filter {filter} follows {text:?}, which is not of the form table.column or table.(column, column)")]
    FollowSyntax {
        /// The filter.
        filter: String,
        /// The entry.
        text: String,
    },
    /// There is no such table.
    #[error("filter {filter} names table {table}, which does not exist{suggestion}")]
    UnknownTable {
        /// The filter.
        filter: String,
        /// The table.
        table: TableName,
        /// What was probably meant.
        suggestion: Suggestion,
    },
    /// There is no such column.
    #[error("filter {filter} names column {column} of table {table}, which does not exist{suggestion}")]
    UnknownColumn {
        /// The filter.
        filter: String,
        /// The table.
        table: TableName,
        /// The column.
        column: ColumnName,
        /// What was probably meant.
        suggestion: Suggestion,
    },
    /// The columns followed refer to nothing.
    #[error(
        "filter {filter} follows {table}.{columns}, which is no foreign key: write {table}.{columns} -> table.column"
    )]
    NoForeignKey {
        /// The filter.
        filter: String,
        /// The table.
        table: TableName,
        /// The columns.
        columns: String,
    },
    /// The columns followed refer to rows that the filter never covers.
    #[error("filter {filter} follows {table}.{columns}, but no row of {parent} can be covered by it")]
    LeadsNowhere {
        /// The filter.
        filter: String,
        /// The table.
        table: TableName,
        /// The columns.
        columns: String,
        /// The table referred to.
        parent: TableName,
    },
    /// A foreign key towards covered rows names columns that are not there, so nobody can tell which rows are covered.
    #[error("a foreign key of table {table} names columns of {parent} that do not exist")]
    BrokenKey {
        /// The table that refers.
        table: TableName,
        /// The table referred to.
        parent: TableName,
    },
    /// Two filters have one name.
    #[error("two filters are called {filter}")]
    Twice {
        /// The name.
        filter: String,
    },
    /// More filters than a scope may have.
    #[error("{got} filters, above the limit of {limit}")]
    TooMany {
        /// How many there are.
        got: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// A later version wrote a filter that this one does not understand.
    #[error("filter {filter} was written by a later version of rowmesh")]
    Newer {
        /// The filter.
        filter: String,
    },
}

/// What was probably meant; prints nothing where nothing is near.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Suggestion(pub Option<String>);

impl Suggestion {
    /// The candidate nearest to a name, if one is near enough to have been meant.
    pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Suggestion {
        let near = (name.chars().count() / 3).max(1);
        let distances = candidates.into_iter().map(|candidate| (distance(name, candidate), candidate));
        Suggestion(distances.filter(|(distance, _)| *distance <= near).min().map(|(_, candidate)| candidate.to_owned()))
    }
}

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(name) => write!(f, "; did you mean {name}?"),
            None => Ok(()),
        }
    }
}

/// Letters to change, insert or drop, case aside, to come from one name to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_the_one_that_was_meant() {
        let nearest = |name: &str| Suggestion::nearest(name, ["businesses", "business_orders", "users"]).0;
        assert_eq!(nearest("busineses").as_deref(), Some("businesses"));
        assert_eq!(nearest("Users").as_deref(), Some("users"));
        assert_eq!(nearest("user").as_deref(), Some("users"));
        assert_eq!(nearest("vehicles"), None);
        assert_eq!(Suggestion::nearest("x", []).to_string(), "");
    }
}

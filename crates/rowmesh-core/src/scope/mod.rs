//! What travels: tables by name (`pattern`), rows by a condition on a root table (`condition`) and all that depends on such rows
//! (`coverage` for the schema, `judge` for rows). Pure: looks at no database; callers bring schemas and rows.
//!
//! How a store uses it: [`Scope::cover_here`] whenever schema or scope has moved, one [`Judge`] per transaction, [`Judge::verdict`]
//! for each row that may leave, and where a verdict differs from the one remembered, the same for the rows at the end of
//! [`Coverage::children_of`] and [`Coverage::needs_of`].

mod binding;
pub mod condition;
pub mod coverage;
pub mod error;
pub mod judge;
mod like;
mod number;
pub mod parse;
pub mod pattern;
pub mod plan;
pub mod reference;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use condition::{Condition, Truth};
pub use coverage::{Coverage, Doubt, Edge, FilterIx, FilterSet, Travel};
pub use error::ScopeError;
pub use judge::{Judge, RootRow, Rows, Verdict};
pub use parse::ConditionError;
pub use pattern::{Decision, TablePatterns};
pub use plan::CoveragePlan;

use crate::schema::TableSchema;
use crate::value::{ColumnName, TableName, Value};

/// What travels, as people word it. The same on all nodes: it is part of the roster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Which tables.
    pub tables: TablePatterns,
    /// Which rows do not.
    pub filters: Vec<Filter>,
    /// Which tables people have seen beside the filters.
    pub accepted: Accepted,
}

/// The tables that were there when people agreed to the filters. One that came later may have to wait for them ([`Travel::Waits`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Accepted {
    /// All, whenever they come: nothing waits.
    #[default]
    All,
    /// These, and those that are included by their full names.
    Only(BTreeSet<TableName>),
}

/// Rows that stay at home: those of a root table under a condition, with all that depends on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What people call it.
    pub name: String,
    /// The table that the condition is about.
    pub root: TableName,
    /// The condition; a row for which it is true stays at home.
    pub skip: Condition,
    /// Nullable keys that are ownership too.
    pub follow: Vec<Follow>,
    /// What becomes of a row with several owners.
    pub several_owners: SeveralOwners,
}

/// A key by which a row belongs to the row that it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    /// The table that refers.
    pub table: TableName,
    /// The referring columns.
    pub columns: Vec<ColumnName>,
    /// What they refer to, where no foreign key says so.
    pub target: Option<(TableName, Vec<ColumnName>)>,
}

/// When a row that belongs to several others stays at home.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeveralOwners {
    /// As soon as one of them does.
    #[default]
    Any,
    /// Only if all of them do. Costs looking down from covered rows: one that a travelling row needs travels too.
    All,
}

impl SeveralOwners {
    /// As configuration and roster spell it.
    pub fn parse(text: &str) -> Option<SeveralOwners> {
        match text {
            "any" => Some(SeveralOwners::Any),
            "all" => Some(SeveralOwners::All),
            _ => None,
        }
    }
}

impl Scope {
    /// The scope that a roster carries.
    ///
    /// # Errors
    /// If it holds what this version does not understand. Then nothing may leave the node: a filter misread is a leak.
    pub fn from_roster(rules: &crate::roster::Scope) -> Result<Scope, ScopeError> {
        let filters = rules.filters.iter().map(|filter| {
            if !filter.extras.is_empty() {
                return Err(ScopeError::Newer { filter: filter.name.clone() });
            }
            let read = Filter::parse(&filter.name, &filter.root, &filter.condition, &filter.follow)?;
            let several_owners = match &filter.several_owners {
                Some(text) => {
                    SeveralOwners::parse(text).ok_or_else(|| ScopeError::Newer { filter: filter.name.clone() })?
                }
                None => SeveralOwners::default(),
            };
            Ok(Filter { several_owners, ..read })
        });
        let known = rules.known.as_ref().map(|tables| tables.iter().map(|table| table.as_str().into()).collect());
        Ok(Scope {
            tables: TablePatterns::from_rules(rules.exclude.iter().map(String::as_str)),
            filters: filters.collect::<Result<_, _>>()?,
            accepted: known.map_or(Accepted::All, Accepted::Only),
        })
    }

    /// What it means for these tables; strict, for what a person has just written.
    ///
    /// # Errors
    /// If a filter names what is not there.
    pub fn cover(&self, schemas: &[TableSchema]) -> Result<Coverage, ScopeError> {
        let coverage = self.cover_here(schemas);
        match coverage.problems().first() {
            Some(problem) => Err(problem.clone()),
            None => Ok(coverage),
        }
    }

    /// What it means for these tables; for a node at work, whose schema may be ahead of or behind the filters'. Never fails:
    /// a table that cannot be judged waits ([`Travel::Waits`]), the others go on. `schemas` are *all* tables of the database, those
    /// that stay at home too, so that ownership is found through them.
    pub fn cover_here(&self, schemas: &[TableSchema]) -> Coverage {
        binding::build(schemas, &self.filters, &|table| self.tables.decide(table), &|table| match &self.accepted {
            Accepted::All => true,
            Accepted::Only(tables) => tables.contains(table) || self.tables.names(table),
        })
    }
}

impl Filter {
    /// Reads a filter as configuration and roster word it. An entry of `follow` is `table.column`, `table.(column, column)`, or
    /// either with ` -> table.column` behind it where the database has no foreign key.
    ///
    /// # Errors
    /// If the condition or an entry of `follow` cannot be read.
    pub fn parse<S: AsRef<str>>(name: &str, root: &str, skip: &str, follow: &[S]) -> Result<Filter, ScopeError> {
        let condition = |source| ScopeError::Condition { filter: name.to_owned(), source };
        let read = |text: &S| {
            let wrong = || ScopeError::FollowSyntax { filter: name.to_owned(), text: text.as_ref().to_owned() };
            Follow::parse(text.as_ref()).ok_or_else(wrong)
        };
        Ok(Filter {
            name: name.to_owned(),
            root: root.into(),
            skip: Condition::parse(skip).map_err(condition)?,
            follow: follow.iter().map(read).collect::<Result<_, _>>()?,
            several_owners: SeveralOwners::Any,
        })
    }

    /// Whether this root row is covered only because text stands inside a longer word. `lookup` gives columns by name.
    pub fn is_look_alike(&self, lookup: &dyn Fn(&str) -> Option<Value>) -> bool {
        self.skip.is_look_alike(lookup)
    }
}

impl Follow {
    /// Reads one entry; see [`Filter::parse`].
    pub fn parse(text: &str) -> Option<Follow> {
        let (from, to) = match text.split_once("->") {
            Some((from, to)) => (from, Some(parse_columns(to)?)),
            None => (text, None),
        };
        let (table, columns) = parse_columns(from)?;
        let same_width = to.as_ref().is_none_or(|(_, target)| target.len() == columns.len());
        same_width.then_some(Follow { table, columns, target: to })
    }
}

fn parse_columns(text: &str) -> Option<(TableName, Vec<ColumnName>)> {
    let text = text.trim();
    let (table, columns) = match text.strip_suffix(')') {
        Some(rest) => rest.split_once(".(")?,
        None => text.rsplit_once('.')?,
    };
    let columns: Vec<ColumnName> = columns.split(',').map(|column| column.trim().into()).collect();
    let whole = !table.trim().is_empty() && columns.iter().all(|column| !column.is_empty());
    whole.then(|| (table.trim().into(), columns))
}

//! What a scope makes of each table of a schema: which foreign keys carry ownership from a filter's root down, what travels, what waits.
//! Found by `binding`; rows are judged in `judge`, and `plan` words all this for people.
//!
//! **Ownership.** A row belongs to the row that a NOT NULL foreign key of it names, and to those that a key in `follow` names, as far
//! as their table can hold covered rows at all. Coverage goes down these keys to any depth; cycles and self references end where
//! they should, because covered means *reaching a root*. Columns of the table's own key bind like NOT NULL ones, whatever the
//! database says: a row without its key is no row.
//!
//! **New tables.** A filter's promise is that nothing of a held-back root leaves. So a table that was not there when people agreed to
//! the filter travels at once only if its own keys leave no doubt:
//! - a chain of ownership leads to the root: each row is judged, nothing to ask;
//! - no key leads to a table with covered rows, and no column is named like one that does: it travels. (Made to wait as well, each
//!   lookup table of each migration would need a person, and all that refers to it would wait with it.)
//! - otherwise (a nullable key to a covered table, a column `order_id` without a foreign key, a NOT NULL key to a table that waits) it
//!   *waits*: nothing of it leaves until a person follows the key or includes the table by name. Capture goes on; nothing is lost.
//!
//! What refers to a table that people let travel (`users`) is no doubt: they have decided about that table.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::schema::TableSchema;
use crate::scope::error::ScopeError;
use crate::scope::pattern::Decision;
use crate::scope::{Filter, SeveralOwners};
use crate::value::{ColumnName, Key, TableName, Value};

/// Position of a filter in its scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterIx(pub usize);

/// Some of a scope's filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FilterSet(u64);

/// What becomes of a table's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Travel {
    /// They stay, all of them: the scope leaves the table out.
    Never(Decision),
    /// They stay until a person has decided; see the head of this file.
    Waits(Vec<Doubt>),
    /// Each is judged.
    ByRow,
    /// They travel, all of them.
    Always,
}

/// Why nobody but a person can say whether a table may travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// A nullable key leads to covered rows and is not followed.
    Nullable {
        /// The referring columns.
        columns: Vec<ColumnName>,
        /// The table referred to.
        parent: TableName,
    },
    /// A column is named like one that leads to covered rows, but has no foreign key.
    Named {
        /// The column.
        column: ColumnName,
        /// The table that such columns refer to elsewhere.
        parent: TableName,
    },
    /// Its rows cannot stand without those of a table that waits.
    Needs {
        /// That table.
        parent: TableName,
    },
    /// The filter does not fit the table as it is here.
    Problem(ScopeError),
    /// The table is not known.
    Unknown,
}

/// A key of one table to another that matters for what travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The table that refers.
    pub child: TableName,
    /// Positions of the referring columns.
    pub columns: Vec<usize>,
    /// Position in the child's foreign keys; `None` if only a filter declares it.
    pub foreign_key: Option<usize>,
    /// The table referred to.
    pub parent: TableName,
    /// The columns referred to, in the order of `columns`.
    pub parent_columns: Vec<ColumnName>,
    /// Their positions in the parent.
    pub parent_positions: Vec<usize>,
    /// Whether the child cannot stand without the parent.
    pub binds: bool,
    /// Positions of the columns that travel as NULL while the parent stays: as few as undo the reference. Empty if it binds.
    pub nulls: Vec<usize>,
    /// The filters for which the parent owns the child.
    pub owns: FilterSet,
    /// Whether no row of the parent travels.
    pub parent_stays: bool,
    pub(super) parent_id: usize,
    /// Equal for all edges to the same columns of the same parent.
    pub(super) target: usize,
}

/// What a scope means for one schema.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    pub(super) tables: Vec<Table>,
    pub(super) by_name: BTreeMap<TableName, usize>,
    pub(super) filters: Vec<BoundFilter>,
    pub(super) gaps: Vec<Gap>,
    pub(super) problems: Vec<ScopeError>,
    pub(super) spreads_unseen: bool,
    /// Set if the filters as a whole cannot be used: nothing travels.
    pub(super) broken: bool,
}

/// One table, bound to the filters.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) schema: TableSchema,
    pub(super) travel: Travel,
    pub(super) roots: Vec<FilterIx>,
    pub(super) owners: Vec<Arc<Edge>>,
    pub(super) nulls: Vec<Arc<Edge>>,
    pub(super) children: Vec<Arc<Edge>>,
    pub(super) needs: Vec<Arc<Edge>>,
    /// Edges down to tables in or below which a row may travel although this table's is covered.
    pub(super) needy: Vec<Arc<Edge>>,
    pub(super) sight: Vec<usize>,
}

/// One filter, its names replaced by positions.
#[derive(Clone, Debug)]
pub(super) struct BoundFilter {
    pub(super) filter: Filter,
    /// `None` if the root table is not here.
    pub(super) root: Option<usize>,
    /// Positions in the root table of the condition's columns.
    pub(super) columns: Vec<usize>,
    /// By table: whether rows of it can be covered.
    pub(super) covers: Vec<bool>,
}

/// A key towards covered rows that no ownership follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) filter: FilterIx,
    pub(super) table: usize,
    pub(super) columns: Vec<ColumnName>,
    pub(super) parent: usize,
}

impl Coverage {
    /// What filters mean for these tables, all of which travel otherwise; strict.
    ///
    /// # Errors
    /// If a filter names what is not there.
    pub fn plan(schemas: &[TableSchema], filters: &[Filter]) -> Result<Coverage, ScopeError> {
        let coverage = super::binding::build(schemas, filters, &|_| Decision::Sync, &|_| true);
        match coverage.problems.first() {
            Some(problem) => Err(problem.clone()),
            None => Ok(coverage),
        }
    }

    /// What does not fit; tables that cannot be judged for it wait.
    pub fn problems(&self) -> &[ScopeError] {
        &self.problems
    }

    /// Whether any row may have to be judged: there are filters, or keys to tables that stay, which travel as NULL.
    pub fn is_by_row(&self) -> bool {
        self.broken || !self.filters.is_empty() || self.tables.iter().any(Table::is_judged)
    }

    /// What becomes of a table's rows. A table that is not known waits while there are filters.
    pub fn travel(&self, table: &str) -> Travel {
        match self.table(table) {
            _ if self.broken => Travel::Waits(self.problems.iter().cloned().map(Doubt::Problem).collect()),
            Some(known) => known.travel.clone(),
            None if self.filters.is_empty() => Travel::Always,
            None => Travel::Waits(vec![Doubt::Unknown]),
        }
    }

    /// Text that is equal as long as a table's rows are judged by the same keys and conditions, or travel or stay as a whole; `None` where no
    /// filter has anything to do with it.
    pub fn meaning(&self, table: &str) -> Option<String> {
        let known = self.table(table)?;
        Some(format!("{:?}", (&known.travel, &known.roots, &known.owners, &known.nulls)))
    }

    /// Whether some row of the table may leave the node.
    pub fn may_travel(&self, table: &str) -> bool {
        !self.broken && self.table(table).map_or(self.filters.is_empty(), |known| !known.stays())
    }

    /// Whether what travels of a table's rows depends on the row: judge it, or skip the judge.
    pub fn is_judged(&self, table: &str) -> bool {
        self.table(table).is_some_and(|table| table.is_judged())
    }

    /// Keys by which rows of a table belong to others.
    pub fn owners_of(&self, table: &str) -> &[Arc<Edge>] {
        self.table(table).map_or(&[], |table| &table.owners)
    }

    /// Filters of which the table is the root.
    pub fn roots(&self, table: &str) -> &[FilterIx] {
        self.table(table).map_or(&[], |table| &table.roots)
    }

    /// Keys from below: when the verdict on a row changes, or what it is referred to by, or the row comes or goes, the verdicts on
    /// the rows that refer to it by these may change too: to its new values and to its old.
    pub fn children_of(&self, table: &str) -> &[Arc<Edge>] {
        self.table(table).map_or(&[], |table| &table.children)
    }

    /// Whether verdicts below a changed row may change although those between have not: then its children must be judged however
    /// deep, not only while verdicts differ. So where a covered row may travel because it is needed ([`SeveralOwners::All`]), and
    /// where one of several filters goes down a key that another does not: a row held back by the one may come to be held back by
    /// both.
    pub fn spreads_unseen(&self) -> bool {
        self.spreads_unseen
    }

    /// Keys upwards: when the verdict on a row changes, that on the rows it refers to by these may too, and on those that it
    /// referred to before. Empty unless a filter has [`SeveralOwners::All`].
    pub fn needs_of(&self, table: &str) -> &[Arc<Edge>] {
        self.table(table).map_or(&[], |table| &table.needs)
    }

    /// Whether a row that a filter covers may travel because of others: some filter has [`SeveralOwners::All`].
    pub fn is_by_need(&self) -> bool {
        self.filters.iter().any(|filter| filter.filter.several_owners == SeveralOwners::All)
    }

    /// Whether a covered row of the table may travel because a row below it does: then the row alone does not tell that it should have stayed.
    /// Only where a filter has [`SeveralOwners::All`].
    pub fn may_be_needed(&self, table: &str) -> bool {
        self.table(table).is_some_and(|table| !table.needy.is_empty())
    }

    /// Keys that travel as NULL while the row they name stays.
    pub fn null_when_held_back(&self, table: &str) -> &[Arc<Edge>] {
        self.table(table).map_or(&[], |table| &table.nulls)
    }

    /// Positions of the columns that judging ever reads, ascending: a row read for it may have NULL for all others.
    pub fn sight(&self, table: &str) -> &[usize] {
        self.table(table).map_or(&[], |table| &table.sight)
    }

    /// The filter at a position.
    pub fn filter(&self, position: FilterIx) -> &Filter {
        &self.filters[position.0].filter
    }

    pub(super) fn id(&self, table: &str) -> Option<usize> {
        self.by_name.get(table).copied()
    }

    fn table(&self, name: &str) -> Option<&Table> {
        self.id(name).map(|id| &self.tables[id])
    }
}

impl Edge {
    /// What a child's row refers to by this edge; `None` if a part is NULL and so nothing.
    pub fn reference(&self, child: &[Value]) -> Option<Vec<Value>> {
        self.columns.iter().map(|position| child.get(*position).filter(|value| !value.is_null()).cloned()).collect()
    }

    /// What children refer to a parent's row by.
    pub fn referenced(&self, parent: &[Value]) -> Vec<Value> {
        self.parent_positions.iter().map(|position| parent.get(*position).cloned().unwrap_or(Value::Null)).collect()
    }
}

impl FilterSet {
    pub(super) const ALL: FilterSet = FilterSet(u64::MAX);

    /// Whether the filter is in it.
    pub fn contains(self, filter: FilterIx) -> bool {
        self.0 & (1 << filter.0) != 0
    }

    /// Whether none is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn and(self, other: FilterSet) -> FilterSet {
        FilterSet(self.0 & other.0)
    }

    pub(super) fn insert(&mut self, filter: FilterIx) {
        self.0 |= 1 << filter.0;
    }
}

impl Table {
    pub(super) fn key_of(&self, image: &[Value]) -> Key {
        // A table that has no key is never tracked, but ownership may lead through it: there the whole row names itself.
        let whole: Vec<usize> = (0..self.schema.columns.len()).collect();
        let positions = if self.schema.key.is_empty() { &whole } else { &self.schema.key };
        Key::of(positions.iter().map(|position| image.get(*position).unwrap_or(&Value::Null)))
    }

    /// The part of a row that judging reads; NULL for all else, which may be large.
    pub(super) fn seen(&self, image: &[Value]) -> Arc<[Value]> {
        let mut seen = vec![Value::Null; image.len()];
        for position in self.sight.iter().filter(|position| **position < image.len()) {
            seen[*position] = image[*position].clone();
        }
        seen.into()
    }

    pub(super) fn stays(&self) -> bool {
        matches!(self.travel, Travel::Never(_) | Travel::Waits(_))
    }

    pub(super) fn is_judged(&self) -> bool {
        !self.stays() && (!self.roots.is_empty() || !self.owners.is_empty() || !self.nulls.is_empty())
    }
}

impl BoundFilter {
    pub(super) fn wants_all(&self) -> bool {
        self.filter.several_owners == SeveralOwners::All
    }
}

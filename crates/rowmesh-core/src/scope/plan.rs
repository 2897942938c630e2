//! What a scope means, in words and lists for people: the keys followed, what refers to the root and is not covered, what waits. Row
//! counts and look-alikes among the roots are the store's to add. Decides nothing.

use std::collections::BTreeSet;
use std::fmt;

use crate::scope::SeveralOwners;
use crate::scope::binding::{names_of, spell};
use crate::scope::coverage::{Coverage, Doubt, FilterIx, Travel};
use crate::scope::error::ScopeError;
use crate::value::{ColumnName, TableName};

/// The whole plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoveragePlan {
    /// One part for each filter.
    pub filters: Vec<FilterPlan>,
    /// Nullable keys to covered rows in tables that travel: NULL travels while the row they name stays.
    pub nulled: Vec<KeyLine>,
    /// Tables that wait for a person, and why.
    pub waiting: Vec<(TableName, Vec<Doubt>)>,
    /// Tables that stay at home, and why.
    pub skipped: Vec<(TableName, String)>,
    /// Tables that travel but need, by a NOT NULL key, one that stays: their rows may not stand elsewhere.
    pub needs_skipped: Vec<KeyLine>,
    /// What does not fit.
    pub problems: Vec<ScopeError>,
}

/// What one filter covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterPlan {
    /// What people call it.
    pub name: String,
    /// The table that the condition is about.
    pub root: TableName,
    /// The condition.
    pub skip: String,
    /// What becomes of rows with several owners.
    pub several_owners: SeveralOwners,
    /// Tables that can hold covered rows, the root among them.
    pub covered: Vec<TableName>,
    /// The keys that carry coverage.
    pub followed: Vec<KeyLine>,
    /// Tables that refer to covered ones but are not covered.
    pub not_covered: Vec<NotCovered>,
}

/// A key, for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyLine {
    /// The table that refers.
    pub table: TableName,
    /// The referring columns.
    pub columns: Vec<ColumnName>,
    /// The table referred to.
    pub parent: TableName,
    /// Whether it is NULL in some rows, and so counts only where a filter names it.
    pub nullable: bool,
}

/// A table that refers to covered rows by nullable keys only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotCovered {
    /// The key to name in `follow` for the table to be covered.
    pub key: KeyLine,
    /// Further tables that would be covered with it.
    pub with_it: Vec<TableName>,
}

impl Coverage {
    /// The plan for people.
    pub fn explain(&self) -> CoveragePlan {
        let tables = || self.tables.iter().map(|table| (table.schema.name.clone(), table));
        CoveragePlan {
            filters: (0..self.filters.len()).map(|position| self.explain_filter(FilterIx(position))).collect(),
            nulled: self.nulled(),
            waiting: tables()
                .filter_map(|(name, table)| match &table.travel {
                    Travel::Waits(doubts) => Some((name, doubts.clone())),
                    _ => None,
                })
                .collect(),
            skipped: tables()
                .filter_map(|(name, table)| match &table.travel {
                    Travel::Never(decision) => Some((name, decision.to_string())),
                    _ => None,
                })
                .collect(),
            needs_skipped: self.needs_skipped(),
            problems: self.problems().to_vec(),
        }
    }

    fn explain_filter(&self, position: FilterIx) -> FilterPlan {
        let bound = &self.filters[position.0];
        let edges = self.tables.iter().flat_map(|table| &table.owners).filter(|edge| edge.owns.contains(position));
        let followed = edges.map(|edge| KeyLine {
            table: edge.child.clone(),
            columns: names_of(&self.tables[self.by_name[&edge.child]].schema, &edge.columns),
            parent: edge.parent.clone(),
            nullable: !edge.binds,
        });
        let covered = self.tables.iter().enumerate().filter(|(table, _)| bound.covers[*table]);
        let gaps = self.gaps.iter().filter(|gap| gap.filter == position && !bound.covers[gap.table]);
        let not_covered = gaps.map(|gap| {
            let name = |table: usize| self.tables[table].schema.name.clone();
            let key = KeyLine {
                table: name(gap.table),
                columns: gap.columns.clone(),
                parent: name(gap.parent),
                nullable: true,
            };
            NotCovered { key, with_it: self.drawn_along(position, gap.table).into_iter().map(name).collect() }
        });
        FilterPlan {
            name: bound.filter.name.clone(),
            root: bound.filter.root.clone(),
            skip: bound.filter.skip.text().to_owned(),
            several_owners: bound.filter.several_owners,
            covered: covered.map(|(_, table)| table.schema.name.clone()).collect(),
            followed: followed.collect(),
            not_covered: not_covered.collect(),
        }
    }

    /// Tables not covered yet whose rows cannot stand without this table's, over any number of steps.
    fn drawn_along(&self, filter: FilterIx, from: usize) -> BTreeSet<usize> {
        let covers = &self.filters[filter.0].covers;
        let mut drawn = BTreeSet::new();
        let mut next = vec![from];
        while let Some(parent) = next.pop() {
            for (table, bound) in self.tables.iter().enumerate() {
                let needs = bound
                    .schema
                    .foreign_keys
                    .iter()
                    .any(|key| key.not_null && key.parent == self.tables[parent].schema.name);
                if needs && !covers[table] && table != from && drawn.insert(table) {
                    next.push(table);
                }
            }
        }
        drawn
    }

    fn nulled(&self) -> Vec<KeyLine> {
        let travelling = self.tables.iter().filter(|table| !table.stays());
        let lines = travelling.flat_map(|table| {
            table.nulls.iter().map(|edge| KeyLine {
                table: edge.child.clone(),
                columns: names_of(&table.schema, &edge.columns),
                parent: edge.parent.clone(),
                nullable: true,
            })
        });
        lines.collect()
    }

    fn needs_skipped(&self) -> Vec<KeyLine> {
        let mut lines = Vec::new();
        for table in self.tables.iter().filter(|table| !table.stays()) {
            for key in table.schema.foreign_keys.iter().filter(|key| key.not_null) {
                if matches!(self.travel(&key.parent), Travel::Never(_)) {
                    lines.push(KeyLine {
                        table: table.schema.name.clone(),
                        columns: names_of(&table.schema, &key.columns),
                        parent: key.parent.clone(),
                        nullable: false,
                    });
                }
            }
        }
        lines
    }
}

impl fmt::Display for KeyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} -> {}", self.table, spell(&self.columns), self.parent)
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Nullable { columns, parent } => {
                write!(f, "its nullable {} refers to {parent}, which holds covered rows", spell(columns))
            }
            Doubt::Named { column, parent } => {
                write!(f, "its column {column} is named like those that refer to {parent}, but has no foreign key")
            }
            Doubt::Needs { parent } => write!(f, "it needs {parent}, which waits"),
            Doubt::Problem(problem) => problem.fmt(f),
            Doubt::Unknown => f.write_str("it is not known yet"),
        }
    }
}

impl fmt::Display for CoveragePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for filter in &self.filters {
            filter.fmt(f)?;
        }
        list(f, "travel as NULL while the row they name stays", &self.nulled)?;
        list(f, "travel, but need a table that stays (their rows may not stand elsewhere)", &self.needs_skipped)?;
        for (table, doubts) in &self.waiting {
            let reasons: Vec<String> = doubts.iter().map(Doubt::to_string).collect();
            writeln!(f, "waits    {table}: {}", reasons.join("; "))?;
        }
        for (table, reason) in &self.skipped {
            writeln!(f, "stays    {table}: {reason}")?;
        }
        self.problems.iter().try_for_each(|problem| writeln!(f, "problem  {problem}"))
    }
}

impl fmt::Display for FilterPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = match self.several_owners {
            SeveralOwners::Any => "any of its owners",
            SeveralOwners::All => "all of its owners",
        };
        writeln!(
            f,
            "filter {}: rows of {} where {} stay at home, and what belongs to them",
            self.name, self.root, self.skip
        )?;
        writeln!(f, "  a row with several owners stays if {several} stay")?;
        writeln!(f, "  covers {} tables: {}", self.covered.len(), self.covered.join(", "))?;
        let (named, bound): (Vec<&KeyLine>, Vec<&KeyLine>) = self.followed.iter().partition(|key| key.nullable);
        writeln!(f, "  follows {} NOT NULL keys, and by declaration {}", bound.len(), named.len())?;
        named.iter().try_for_each(|key| writeln!(f, "    {key}"))?;
        if !self.not_covered.is_empty() {
            writeln!(f, "  not covered, although it refers to covered rows (name the key in follow to cover it):")?;
        }
        for gap in &self.not_covered {
            match gap.with_it.len() {
                0 => writeln!(f, "    {}", gap.key)?,
                others => writeln!(f, "    {} (and {others} tables that hang on {})", gap.key, gap.key.table)?,
            }
        }
        Ok(())
    }
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, keys: &[KeyLine]) -> fmt::Result {
    if !keys.is_empty() {
        writeln!(f, "{title}:")?;
    }
    keys.iter().try_for_each(|key| writeln!(f, "  {key}"))
}

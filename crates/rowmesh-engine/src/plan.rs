//! What attaching to a database would do, as plain data: which tables are tracked and which are not, and what a person should know before.
//! How it is found out is each database's business; which tables are left out by wish is told in `rules`.

use std::collections::{BTreeMap, BTreeSet};

use rowmesh_core::schema::TableSchema;
use rowmesh_core::value::{ColumnName, TableName};

use crate::changes::TableChange;

/// Keys that the configuration declares for tables without a primary key.
pub type DeclaredKeys = BTreeMap<TableName, Vec<ColumnName>>;

/// What the configuration says about attaching.
#[derive(Clone, Debug, Default)]
pub struct AttachOptions {
    /// Patterns of the only tables to track; none means all.
    pub only: Vec<String>,
    /// Patterns of tables to track although they are usually left out.
    pub include: Vec<String>,
    /// Patterns of tables to leave out.
    pub exclude: Vec<String>,
    /// Keys of tables without a primary key.
    pub keys: DeclaredKeys,
    /// Triggers of the application that are not to be carried.
    pub leave_triggers: BTreeSet<String>,
    /// Triggers of the application that are to be carried although it cannot be told that they only maintain what does not travel. PostgreSQL
    /// only.
    pub carry_triggers: BTreeSet<String>,
    /// Whether attaching may switch the database to WAL mode.
    pub switch_to_wal: bool,
}

/// What attaching would do, and what a person should know before.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What was asked for.
    pub options: AttachOptions,
    /// Tables to track, by name.
    pub tracked: Vec<TableSchema>,
    /// Tables left out, by name, each with the reason.
    pub skipped: Vec<Untracked>,
    /// What is worth knowing about tables that are tracked.
    pub remarks: Vec<Remark>,
    /// What is worth knowing about the database.
    pub advice: Vec<String>,
    /// Triggers of the application, and what becomes of each.
    pub triggers: Vec<ApplicationTrigger>,
    /// Foreign keys that no index serves: finding the children of a row reads the whole table.
    pub unindexed: Vec<UnindexedKey>,
    /// Columns whose numbers the database hands out, and how.
    pub numbers: Vec<Numbered>,
    /// Triggers that are added.
    pub triggers_added: usize,
    /// Tables that are added, under names that are ours.
    pub tables_added: usize,
    /// Bytes of the database now. Row states and log take about as much again.
    pub database_bytes: u64,
    /// What tells that the schema has moved since the plan was made.
    pub schema_version: i64,
}

/// A foreign key that no index serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnindexedKey {
    /// The table.
    pub table: TableName,
    /// The referring columns.
    pub columns: Vec<String>,
    /// The statement that makes an index.
    pub remedy: String,
}

/// A column whose numbers the database hands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// The table.
    pub table: TableName,
    /// The column.
    pub column: ColumnName,
    /// How.
    pub dealt: Dealt,
}

/// How a database hands out numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dealt {
    /// In steps of so many, each node others.
    InSteps(i64),
    /// As before, so that two nodes may draw the same.
    AsBefore {
        /// Why.
        reason: String,
        /// What can be done about it; empty if nothing.
        remedy: String,
    },
}

/// What following the schema found and did.
#[derive(Debug)]
pub struct Followed {
    /// Every table that is not as it was left.
    pub changes: Vec<TableChange>,
    /// What is tracked now.
    pub plan: Plan,
    /// The same as in the plan, after all that was done.
    pub schema_version: i64,
}

/// A table that cannot be tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untracked {
    /// Its name.
    pub name: TableName,
    /// Stable code of the reason.
    pub code: &'static str,
    /// Why.
    pub reason: String,
    /// What to type about it; empty if nothing.
    pub remedy: String,
}

/// Something worth knowing about a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The table.
    pub table: TableName,
    /// What.
    pub text: String,
}

/// One trigger of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationTrigger {
    /// Its name.
    pub name: String,
    /// The table that it stands on.
    pub table: TableName,
    /// What becomes of it when we write that table.
    pub treatment: Treatment,
}

/// What becomes of a trigger of the application when we write its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It fires: it only maintains these tables, which do not travel.
    Carried(Vec<String>),
    /// It stays quiet: what it writes to these tables travels as rows.
    TravelsAsRows(Vec<String>),
    /// It stays quiet, though it also maintains tables that do not travel: it cannot be split.
    Mixed {
        /// Tables that travel.
        tracked: Vec<String>,
        /// Tables that do not, and so miss what it would have written.
        untracked: Vec<String>,
    },
    /// It stays quiet: it checks, and what was allowed where it was written is not forbidden here.
    Checks,
    /// It stays quiet: it writes nothing.
    NoEffect,
    /// It stays quiet: it cannot run here, since it needs something that only the application has.
    CannotRun(String),
    /// It stays quiet: what it changes in its own row travels with the row.
    ChangesItsRow,
    /// It stays quiet: it cannot be told from outside what it does.
    CannotTell(String),
    /// It fires although it should not, and nothing but the application's owner can keep it still.
    Fires {
        /// Why, and what it does.
        why: String,
        /// The statement that keeps it still.
        remedy: String,
    },
    /// It stays quiet because the configuration says so.
    LeftByChoice,
}

impl Treatment {
    /// For the plan, in one clause.
    pub fn reason(&self) -> String {
        match self {
            Treatment::Carried(tables) if tables.is_empty() => {
                "also runs for changes from other nodes: the configuration says so".to_owned()
            }
            Treatment::Carried(tables) => {
                format!("also runs for changes from other nodes: it maintains {}", tables.join(", "))
            }
            Treatment::TravelsAsRows(tables) => {
                format!(
                    "does not run for changes from other nodes: what it writes to {} travels by itself",
                    tables.join(", ")
                )
            }
            Treatment::Mixed { tracked, untracked } => format!(
                "does not run for changes from other nodes, since what it writes to {} travels by itself; so {} will miss them: \
                 make two triggers of it",
                tracked.join(", "),
                untracked.join(", ")
            ),
            Treatment::Checks => {
                "does not run for changes from other nodes: it was obeyed where they were made".to_owned()
            }
            Treatment::NoEffect => "does not run for changes from other nodes: it writes nothing".to_owned(),
            Treatment::CannotRun(said) => format!("cannot run for changes from other nodes: {said}"),
            Treatment::ChangesItsRow => {
                "does not run for changes from other nodes: what it changes travels with its row".to_owned()
            }
            Treatment::CannotTell(why) => {
                format!("does not run for changes from other nodes, since what it does cannot be told: {why}")
            }
            Treatment::Fires { why, remedy } => {
                format!("also runs for changes from other nodes, {why}; to keep it still: {remedy}")
            }
            Treatment::LeftByChoice => {
                "does not run for changes from other nodes: the configuration says so".to_owned()
            }
        }
    }

    /// Whether it is carried.
    pub fn is_carried(&self) -> bool {
        matches!(self, Treatment::Carried(_))
    }
}

impl Plan {
    /// Names of the tables that are tracked.
    pub fn names(&self) -> BTreeSet<TableName> {
        self.tracked.iter().map(|table| table.name.clone()).collect()
    }
}

/// Positions of the triggers that can fire because of our writes: carried ones on tracked tables, and those on what they write.
pub fn reached<'t>(
    triggers: impl Iterator<Item = &'t ApplicationTrigger>,
    tracked: &BTreeSet<TableName>,
) -> BTreeSet<usize> {
    let triggers: Vec<&ApplicationTrigger> = triggers.collect();
    let mut by_table: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, trigger) in triggers.iter().enumerate() {
        by_table.entry(&trigger.table).or_default().push(index);
    }
    let mut waiting: Vec<&str> = tracked.iter().map(|table| &**table).collect();
    let mut seen: BTreeSet<&str> = waiting.iter().copied().collect();
    let mut reached = BTreeSet::new();
    while let Some(table) = waiting.pop() {
        for index in by_table.get(table).into_iter().flatten() {
            if let Treatment::Carried(writes) = &triggers[*index].treatment {
                reached.insert(*index);
                waiting.extend(writes.iter().map(String::as_str).filter(|written| seen.insert(written)));
            }
        }
    }
    reached
}

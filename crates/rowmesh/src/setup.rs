//! What is told and done about a database without a node running on it: the plan before attaching, and taking everything out again.
//! Attaching itself is [`crate::Node::open`]'s.

use rowmesh_core::schema::TableSchema;
use rowmesh_engine::plan::{Dealt, Numbered};
use serde::Serialize;

use crate::database::{Place, attach_options};
use crate::failure::Failure;
use crate::lock::Lock;
use crate::options::NodeOptions;

/// What attaching to a database would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The database.
    pub database: String,
    /// Its size in bytes. Row states and log take about as much again.
    pub database_bytes: u64,
    /// Whether capture is in place already.
    pub attached: bool,
    /// Tables that will sync, by name.
    pub sync: Vec<PlannedTable>,
    /// Tables that will not, by name.
    pub skip: Vec<SkippedTable>,
    /// Columns whose numbers will be dealt out in steps as soon as there are two nodes, which then rarely draw the same.
    pub deal: Vec<DealtColumn>,
    /// Triggers that will be added.
    pub triggers_added: u64,
    /// Tables of ours that will be added; their names begin with `rowmesh_`.
    pub tables_added: u64,
    /// What is worth knowing before, one sentence each.
    pub notes: Vec<String>,
}

/// A table that will sync.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PlannedTable {
    /// Its name.
    pub table: String,
    /// Its key columns.
    pub key: Vec<String>,
}

/// A column whose numbers will be dealt out in steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DealtColumn {
    /// Its table.
    pub table: String,
    /// Its name.
    pub column: String,
    /// From one number to the next.
    pub step: i64,
}

/// A table that will not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SkippedTable {
    /// Its name.
    pub table: String,
    /// The code of the reason; empty where it is left out by wish.
    pub code: String,
    /// Why.
    pub reason: String,
    /// What to type about it; may be empty.
    pub remedy: String,
}

/// What of ours stands in a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Installed {
    /// Triggers, by name.
    pub triggers: Vec<String>,
    /// Tables and views, by name.
    pub tables: Vec<String>,
    /// Sequences of the application's that deal out numbers in steps, by name: they will count as before.
    pub sequences: Vec<String>,
}

/// Looks at the database that the options name. Changes nothing.
///
/// # Errors
/// If the database cannot be opened or read.
pub fn plan(options: &NodeOptions) -> Result<Plan, Failure> {
    let place = Place::of(&options.database)?;
    let plan = place.plan(&attach_options(options))?;
    let attached = !installed_at(&place)?.triggers.is_empty();
    let planned = |table: TableSchema| PlannedTable {
        table: table.name.to_string(),
        key: table.key_names().map(ToString::to_string).collect(),
    };
    let remarks = plan.remarks.iter().map(|remark| format!("{}: {}", remark.table, remark.text));
    let triggers = plan.triggers.iter().map(|t| format!("trigger {} on {}: {}", t.name, t.table, t.treatment.reason()));
    let unindexed = plan.unindexed.iter().map(|key| {
        format!("{}.{} refers to other rows without an index: {}", key.table, key.columns.join(", "), key.remedy)
    });
    let (mut deal, mut as_before) = (Vec::new(), Vec::new());
    for Numbered { table, column, dealt } in &plan.numbers {
        match dealt {
            Dealt::InSteps(step) => {
                deal.push(DealtColumn { table: table.to_string(), column: column.to_string(), step: *step });
            }
            Dealt::AsBefore { reason, remedy } => {
                let remedy = if remedy.is_empty() { String::new() } else { format!(": {remedy}") };
                as_before.push(format!("{table}.{column} may get the same numbers on two nodes: {reason}{remedy}"));
            }
        }
    }
    Ok(Plan {
        database: place.to_string(),
        database_bytes: plan.database_bytes,
        attached,
        notes: remarks.chain(as_before).chain(unindexed).chain(triggers).chain(plan.advice.iter().cloned()).collect(),
        deal,
        sync: plan.tracked.into_iter().map(planned).collect(),
        skip: plan
            .skipped
            .into_iter()
            .map(|table| SkippedTable {
                table: table.name.to_string(),
                code: table.code.to_owned(),
                reason: table.reason,
                remedy: table.remedy,
            })
            .collect(),
        triggers_added: plan.triggers_added as u64,
        tables_added: plan.tables_added as u64,
    })
}

/// A right that the login of the database lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MissingRight {
    /// The statement that gives it, for whoever owns the tables.
    pub statement: String,
    /// What it is for.
    pub what_for: String,
}

/// What the login that the options name lacks to attach and to keep the tables in sync; nothing for a file. Changes nothing.
///
/// # Errors
/// If the database cannot be opened or read.
pub fn missing_rights(options: &NodeOptions) -> Result<Vec<MissingRight>, Failure> {
    let grants = Place::of(&options.database)?.grants(&attach_options(options))?;
    Ok(grants.into_iter().map(|(statement, what_for)| MissingRight { statement, what_for }).collect())
}

/// Whether a database can be opened and has capture in place. Changes nothing.
pub fn is_attached(database: &str) -> bool {
    Place::of(database).and_then(|place| installed_at(&place)).is_ok_and(|found| !found.triggers.is_empty())
}

/// What of ours stands in the database that the options name. Changes nothing.
///
/// # Errors
/// If the database cannot be opened or read.
pub fn installed(options: &NodeOptions) -> Result<Installed, Failure> {
    installed_at(&Place::of(&options.database)?)
}

/// Whether the database can be worked with, by the same look and with the same errors as a start. Changes nothing.
///
/// # Errors
/// If it is not there, is none, cannot be written, or lies on a network file system.
pub fn check(database: &str) -> Result<(), Failure> {
    Ok(Place::of(database)?.check()?)
}

/// Takes everything of ours out of the database that the options name, in one transaction, and says what it was.
///
/// # Errors
/// If a daemon works on it, or it cannot be written. Nothing is taken out then.
pub fn uninstall(options: &NodeOptions) -> Result<Installed, Failure> {
    let place = Place::of(&options.database)?;
    let _lock = place.file().map(Lock::database).transpose()?;
    let installed = installed_at(&place)?;
    place.uninstall()?;
    Ok(installed)
}

fn installed_at(place: &Place) -> Result<Installed, Failure> {
    let mut installed = Installed::default();
    for (kind, name) in place.installed()? {
        match kind.as_str() {
            "trigger" => installed.triggers.push(name),
            "sequence" => installed.sequences.push(name),
            _ => installed.tables.push(name),
        }
    }
    Ok(installed)
}

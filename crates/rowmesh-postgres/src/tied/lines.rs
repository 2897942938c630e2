//! What one statement does to the rows of a knot, kind by kind in its order, as SQL. Which rows those are, and what becomes of a refusal, is `tied`'s.

use std::sync::Arc;

use rowmesh_core::value::Value;
use rowmesh_engine::registry::Table;

use crate::catalog::Tracked;
use crate::given::Given;
use crate::rows::{name_of, some};
use crate::sql::quote;
use crate::values::row_expression;

/// What is done to one row.
pub(super) struct Line {
    /// Which write it is; none of a row that is only put back.
    pub(super) position: Option<usize>,
    pub(super) table: Arc<Table>,
    pub(super) action: Action,
    pub(super) columns: Vec<usize>,
    pub(super) key: Vec<Value>,
    pub(super) values: Vec<Value>,
}

/// In the order in which a statement does it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Action {
    /// Gets a value in between.
    StepAside,
    Delete,
    Update,
    /// Comes, unless its key is taken.
    Insert,
    /// Comes back after it went.
    Return,
}

impl Line {
    pub(super) fn copy(&self) -> Line {
        Line {
            position: self.position,
            table: self.table.clone(),
            action: self.action,
            columns: self.columns.clone(),
            key: self.key.clone(),
            values: self.values.clone(),
        }
    }
}

/// What lines of one kind carry: the key where a row has to be found by it, and the values.
pub(super) fn given_by<'t>(details: &'t Tracked, lines: &[Line]) -> Given<'t> {
    let Line { table, action, columns, .. } = &lines[0];
    match action {
        Action::Delete => Given::new(details, &table.schema.key, lines.iter().map(|line| &line.key)),
        Action::Update | Action::StepAside => {
            let both: Vec<usize> = table.schema.key.iter().chain(columns).copied().collect();
            Given::new(details, &both, lines.iter().map(|line| line.key.iter().chain(&line.values)))
        }
        Action::Insert | Action::Return => Given::new(details, columns, lines.iter().map(|line| &line.values)),
    }
}

/// The part of a statement that does lines of one kind. It begins when what comes before it is done, which `gate` waits for.
pub(super) fn part(details: &Tracked, lines: &[Line], given: &Given<'_>, gate: Option<String>) -> String {
    let Line { table, action, columns, .. } = &lines[0];
    let (name, key) = (name_of(details), some(details, &table.schema.key));
    let and_gate = gate.as_ref().map_or_else(String::new, |gate| format!(" AND {gate}"));
    let answer = format!("RETURNING {} AS key", row_expression(key.iter().copied(), "t"));
    match action {
        Action::Delete => {
            let (rows, equal) = (given.rows("u"), given.equal("u", "t", &given.names()));
            format!("DELETE FROM {name} AS t USING {rows} WHERE {equal}{and_gate} RETURNING 1")
        }
        Action::Update | Action::StepAside => {
            let equal = given.equal("u", "t", &given.names()[..key.len()]);
            let both = given.names().into_iter().zip(given.values("u")).skip(key.len());
            let sets: Vec<String> = both.map(|(name, value)| format!("{name} = {value}")).collect();
            format!(
                "UPDATE {name} AS t SET {} FROM {} WHERE {equal}{and_gate} {answer}",
                sets.join(", "),
                given.rows("u")
            )
        }
        Action::Insert | Action::Return => {
            let names: Vec<String> = key.iter().map(|column| quote(&column.name)).collect();
            let mut conditions: Vec<String> = gate.into_iter().collect();
            let mut unless_taken = String::new();
            if *action == Action::Insert && details.is_key_late {
                let values = given.values("u");
                let value_of =
                    |key: &usize| columns.iter().position(|column| column == key).map(|place| values[place].clone());
                let pairs = names.iter().zip(&table.schema.key).filter_map(|(name, key)| Some((name, value_of(key)?)));
                let equal: Vec<String> = pairs.map(|(name, value)| format!("o.{name} = {value}")).collect();
                conditions.push(format!("NOT EXISTS (SELECT FROM {name} AS o WHERE {})", equal.join(" AND ")));
            } else if *action == Action::Insert {
                unless_taken = format!(" ON CONFLICT ({}) DO NOTHING", names.join(", "));
            }
            let wanted = match conditions.is_empty() {
                true => String::new(),
                false => format!(" WHERE {}", conditions.join(" AND ")),
            };
            format!(
                "INSERT INTO {name} AS t ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}{wanted}{unless_taken} {answer}",
                given.names().join(", "),
                given.values("u").join(", "),
                given.rows("u")
            )
        }
    }
}

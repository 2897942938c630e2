//! Rows on their way to the server: one array of texts per column, which the statement turns into rows of the columns' types.

use rowmesh_core::value::Value;

use crate::catalog::Tracked;
use crate::connection::Param;
use crate::sql::quote;
use crate::values::{PgColumn, fit, value_expression};

/// Rows of some columns of a table.
pub struct Given<'t> {
    columns: Vec<&'t PgColumn>,
    arrays: Vec<Vec<Option<String>>>,
    /// Parameters of the statement that come before these.
    before: usize,
}

impl<'t> Given<'t> {
    /// Gathers rows of these columns. A value that does not fit its column goes as NULL: whoever writes has asked before, and nothing that
    /// stands equals it.
    pub fn new<'v, R>(table: &'t Tracked, columns: &[usize], rows: impl IntoIterator<Item = R>) -> Given<'t>
    where
        R: IntoIterator<Item = &'v Value>,
    {
        let columns: Vec<&PgColumn> = columns.iter().map(|column| &table.columns[*column]).collect();
        let mut arrays: Vec<Vec<Option<String>>> = columns.iter().map(|_| Vec::new()).collect();
        for row in rows {
            for ((value, column), array) in row.into_iter().zip(&columns).zip(&mut arrays) {
                array.push(fit(column, value).ok().flatten().map(|text| text.into_owned()));
            }
        }
        Given { columns, arrays, before: 0 }
    }

    /// The same in a statement that has as many parameters before these.
    #[must_use]
    pub fn behind(self, before: usize) -> Given<'t> {
        Given { before, ..self }
    }

    /// The rows as a table of this name: columns `c0` and so on, and `i` for their positions from 1.
    pub fn rows(&self, alias: &str) -> String {
        let arrays: Vec<String> = (1..=self.arrays.len()).map(|n| format!("${}::text[]", self.before + n)).collect();
        let names: Vec<String> = (0..self.arrays.len()).map(|n| format!("c{n}")).collect();
        format!("unnest({}) WITH ORDINALITY AS {alias} ({}, i)", arrays.join(", "), names.join(", "))
    }

    /// The names of the columns, quoted.
    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| quote(&column.name)).collect()
    }

    /// The columns' values, as the columns' types.
    pub fn values(&self, alias: &str) -> Vec<String> {
        self.columns.iter().enumerate().map(|(n, column)| value_expression(column, &format!("{alias}.c{n}"))).collect()
    }

    /// The condition that a row of `table` has these values, the first as many as there are names, in columns of these names.
    pub fn equal(&self, alias: &str, table: &str, names: &[String]) -> String {
        let pairs = names.iter().zip(self.values(alias));
        let equal: Vec<String> = pairs.map(|(name, value)| format!("{table}.{name} = {value}")).collect();
        equal.join(" AND ")
    }

    /// What goes with the statement.
    pub fn params(&self) -> Vec<Param<'_>> {
        self.arrays.iter().map(|array| array as Param<'_>).collect()
    }
}

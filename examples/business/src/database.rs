//! The application's database, SQLite or PostgreSQL: statements with numbered parameters, the values in them, transactions.
//! Here and in the two rooms below is all that differs between the kinds, but for how their catalogs are read (`catalog`).
//! Not here: what the application asks, and the schemas.

mod postgres;
mod sqlite;

use std::{ffi::OsStr, fmt, path::Path};

pub use self::postgres::Postgres;
use crate::cell::FromValue;

/// What stands in a column or in a parameter, as SQLite holds it: 0 and 1 for false and true, text for times, dates, UUIDs,
/// enumerations and JSON, numbers for decimals. PostgreSQL has types of its own for all of these; a value becomes the type
/// of the column that it is for, and comes back in the form in which the application writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number, also one that a DECIMAL column holds, or a truth.
    Integer(i64),
    /// A number with a fraction, or any that a REAL column holds.
    Real(f64),
    /// Text, and all that is written as text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// One connection to a database. Callers of SQLite's bring its settings: the application works with `foreign_keys` on.
///
/// Statements name their parameters `?1`, `?2` and so on, and have no question mark elsewhere. PostgreSQL gives each
/// parameter one type, that of its first use, so a parameter stands for columns of one type only.
pub trait Database: fmt::Debug + Send {
    /// Which kind it is.
    fn dialect(&self) -> Dialect;

    /// Runs one statement and returns how many rows it has changed.
    fn execute(&self, sql: &str, parameters: &[Value]) -> Result<usize>;

    /// Hands every row of a query, or of a RETURNING, to `take`, which must not use the database meanwhile.
    fn for_each(&self, sql: &str, parameters: &[Value], take: &mut dyn FnMut(Vec<Value>)) -> Result<()>;

    /// Runs any number of statements without parameters.
    fn run(&self, script: &str) -> Result<()>;

    /// Begins a transaction; [`Transaction`] ends it too.
    fn begin(&self, purpose: Purpose) -> Result<()>;

    /// Ends the transaction. What follows a failure is a rollback.
    fn commit(&self) -> Result<()>;

    /// Undoes the transaction.
    fn rollback(&self) -> Result<()>;

    /// Whether a transaction is open.
    fn is_in_transaction(&self) -> bool;
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Reading and writing. SQLite takes the write lock at once: a reader could not be upgraded beside other writers.
    Writing,
    /// Reading only, everything as it was at one moment.
    Reading,
}

/// The kinds of database, and what differs in the SQL of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite 3.35 or later.
    Sqlite,
    /// PostgreSQL 14 or later.
    Postgres,
}

/// Why a database did not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// SQLite says so.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL says so, or cannot be reached.
    #[error("{}", postgres::message(.0))]
    Postgres(#[from] ::postgres::Error),
    /// A row that must be there is not.
    #[error("no such row")]
    NoRow,
    /// As many rows were changed as should not have been.
    #[error("{found} rows were there and not {wanted}")]
    Rows {
        /// How many there were.
        found: usize,
        /// How many there should have been.
        wanted: usize,
    },
    /// A column holds what the application never writes.
    #[error("column {0} of the result holds {1}")]
    Column(usize, &'static str),
    /// The tables are not the application's.
    #[error("table {0} has no primary key")]
    NoKey(String),
}

/// What asking a database comes to.
pub type Result<T> = std::result::Result<T, Error>;

/// Opens the database that is there: a file by its path, or a server's database by its `postgres://` url.
pub fn open(place: impl AsRef<OsStr>) -> Result<Box<dyn Database>> {
    match url_of(place.as_ref()) {
        Some(url) => Ok(Box::new(Postgres::connect(url)?)),
        None => Ok(Box::new(sqlite::open(Path::new(&place))?)),
    }
}

/// The same, where a file need not be there yet. A server's database must be.
pub fn open_new(place: impl AsRef<OsStr>) -> Result<Box<dyn Database>> {
    match url_of(place.as_ref()) {
        Some(url) => Ok(Box::new(Postgres::connect(url)?)),
        None => Ok(Box::new(sqlite::make(Path::new(&place))?)),
    }
}

fn url_of(place: &OsStr) -> Option<&str> {
    place.to_str().filter(|text| text.starts_with("postgres://") || text.starts_with("postgresql://"))
}

/// An open transaction, undone when dropped.
#[derive(Debug)]
pub struct Transaction<'a> {
    db: &'a dyn Database,
    is_open: bool,
}

impl<'a> Transaction<'a> {
    /// Begins one.
    pub fn begin(db: &'a dyn Database, purpose: Purpose) -> Result<Self> {
        db.begin(purpose)?;
        Ok(Self { db, is_open: true })
    }

    /// Ends it for good.
    pub fn commit(mut self) -> Result<()> {
        self.db.commit()?;
        self.is_open = false;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_open {
            // Whoever drops it has an error to tell already, or a connection that is gone with all that was not committed.
            let _ = self.db.rollback();
        }
    }
}

impl dyn Database + '_ {
    /// All rows of a query.
    pub fn all<T: FromRow>(&self, sql: &str, parameters: &[Value]) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.for_each(sql, parameters, &mut |row| rows.push(T::from_row(row)))?;
        rows.into_iter().collect()
    }

    /// The first row of a query.
    pub fn first<T: FromRow>(&self, sql: &str, parameters: &[Value]) -> Result<Option<T>> {
        Ok(self.all(sql, parameters)?.into_iter().next())
    }

    /// The first row of a query that has one.
    pub fn one<T: FromRow>(&self, sql: &str, parameters: &[Value]) -> Result<T> {
        self.first(sql, parameters)?.ok_or(Error::NoRow)
    }
}

impl Dialect {
    /// An expression by which texts are compared byte for byte, whatever language the database sorts in.
    pub(crate) fn in_byte_order(self, column: &str) -> String {
        match self {
            Self::Sqlite => column.to_owned(),
            Self::Postgres => format!("{column}::text COLLATE \"C\""),
        }
    }

    /// `("order_id", "line_no") IN (…)` with so many rows of parameters, numbered from `first`.
    pub(crate) fn is_one_of(self, columns: &[String], first: usize, rows: usize) -> String {
        let row = |row: usize| marks(first + row * columns.len(), columns.len());
        let list = (0..rows).map(row).map(|marks| format!("({marks})")).collect::<Vec<_>>().join(", ");
        let values = match self {
            Self::Sqlite => "VALUES ",
            // The parameters take the types of the columns; those of a VALUES would all be text.
            Self::Postgres => "",
        };
        format!("({}) IN ({values}{list})", columns.join(", "))
    }
}

/// `?3, ?4, ?5`
pub(crate) fn marks(first: usize, count: usize) -> String {
    (first..first + count).map(|number| format!("?{number}")).collect::<Vec<_>>().join(", ")
}

/// What a row of a query can be read as: one value, several, or all as they are.
pub trait FromRow: Sized {
    /// Fails where a value is of another type.
    fn from_row(row: Vec<Value>) -> Result<Self>;
}

impl FromRow for Vec<Value> {
    fn from_row(row: Vec<Value>) -> Result<Self> {
        Ok(row)
    }
}

impl<T: FromValue> FromRow for T {
    fn from_row(row: Vec<Value>) -> Result<Self> {
        Cells(row.into_iter().enumerate()).next()
    }
}

macro_rules! rows_of {
    ($($name:ident)*) => {
        impl<$($name: FromValue),*> FromRow for ($($name,)*) {
            fn from_row(row: Vec<Value>) -> Result<Self> {
                let mut cells = Cells(row.into_iter().enumerate());
                Ok(($(cells.next::<$name>()?,)*))
            }
        }
    };
}
rows_of!(A B);
rows_of!(A B C);
rows_of!(A B C D);
rows_of!(A B C D E);
rows_of!(A B C D E F);

/// The values of one row, from left to right.
struct Cells(std::iter::Enumerate<std::vec::IntoIter<Value>>);

impl Cells {
    fn next<T: FromValue>(&mut self) -> Result<T> {
        let (at, value) = self.0.next().ok_or(Error::NoRow)?;
        T::from_value(value).map_err(|held| Error::Column(at, held))
    }
}

//! SQLite, through rusqlite: any connection of the caller's, or one with the application's own settings.

use std::{path::Path, time::Duration};

use rusqlite::{
    Connection, OpenFlags, ToSql, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};

use super::{Database, Dialect, Purpose, Result, Value};

/// As the application opens its database on every connection.
pub(super) fn open(path: &Path) -> Result<Connection> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

pub(super) fn make(path: &Path) -> Result<Connection> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(Duration::from_millis(5_000))?;
    conn.pragma_update(None, "journal_mode", "wal")?;
    conn.pragma_update(None, "synchronous", "normal")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.set_prepared_statement_cache_capacity(128);
    Ok(conn)
}

impl Database for Connection {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn execute(&self, sql: &str, parameters: &[Value]) -> Result<usize> {
        Ok(self.prepare_cached(sql)?.execute(params_from_iter(parameters))?)
    }

    fn for_each(&self, sql: &str, parameters: &[Value], take: &mut dyn FnMut(Vec<Value>)) -> Result<()> {
        let mut statement = self.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(params_from_iter(parameters))?;
        while let Some(row) = rows.next()? {
            take((0..columns).map(|at| Ok(value_of(row.get_ref(at)?))).collect::<rusqlite::Result<_>>()?);
        }
        Ok(())
    }

    fn run(&self, script: &str) -> Result<()> {
        Ok(self.execute_batch(script)?)
    }

    fn begin(&self, purpose: Purpose) -> Result<()> {
        match purpose {
            Purpose::Writing => self.run("BEGIN IMMEDIATE"),
            Purpose::Reading => self.run("BEGIN"),
        }
    }

    fn commit(&self) -> Result<()> {
        self.run("COMMIT")
    }

    fn rollback(&self) -> Result<()> {
        self.run("ROLLBACK")
    }

    fn is_in_transaction(&self) -> bool {
        !self.is_autocommit()
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// Text that is not UTF-8 is none of the application's; it is shown as well as it can be.
fn value_of(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

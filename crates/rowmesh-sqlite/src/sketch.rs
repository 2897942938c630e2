//! An empty copy in memory of a database's schema, to try statements against: whether a table can be written here, what a default comes
//! to, what a trigger does. The database itself is only read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rowmesh_core::value::Value;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, OptionalExtension};

use crate::error::Result;
use crate::sql::quote;
use crate::values::from_sqlite;

/// The copy. What could not be copied (a virtual table whose module is missing here) is missing in it.
pub struct Sketch {
    connection: Connection,
    /// What SQLite said against a table, or an index on it, by the table's name.
    refused: BTreeMap<String, String>,
    /// Defaults already evaluated: a schema has many columns and few different ones.
    constants: BTreeMap<(String, String, bool), Option<Value>>,
}

/// What one trigger does by itself, without the triggers that its writes fire in turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Tables that it inserts into, updates or deletes from, as SQLite resolved their names; each once, in order.
    pub writes: Vec<String>,
}

impl Sketch {
    /// Copies tables, views and indexes; triggers stay behind.
    ///
    /// # Errors
    /// If the schema cannot be read.
    pub fn of(source: &Connection) -> Result<Sketch> {
        let connection = Connection::open_in_memory()?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, true)?;
        connection.execute_batch("PRAGMA foreign_keys = OFF; BEGIN")?;
        // Virtual tables first: they make their own shadow tables. Indexes last: they need their tables.
        let mut statement = source.prepare_cached(
            "SELECT sql, tbl_name FROM main.sqlite_master
             WHERE sql IS NOT NULL AND type IN ('table', 'view', 'index') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
             ORDER BY type = 'index', sql NOT LIKE 'CREATE VIRTUAL%', rowid",
        )?;
        let (mut rows, mut refused) = (statement.query([])?, BTreeMap::new());
        while let Some(row) = rows.next()? {
            if let Err(said) = connection.execute_batch(&row.get::<_, String>(0)?) {
                refused.entry(row.get(1)?).or_insert_with(|| reason(&said));
            }
        }
        Ok(Sketch { connection, refused, constants: BTreeMap::new() })
    }

    /// The copy itself.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether these statements could be run against a table: every function, collation and module that it, its indexes and they need is
    /// known here. Otherwise what SQLite says.
    pub fn accepts<'s>(
        &self,
        table: &str,
        statements: impl IntoIterator<Item = &'s str>,
    ) -> std::result::Result<(), String> {
        if let Some(said) = self.refused.get(table) {
            return Err(said.clone());
        }
        for statement in statements {
            self.connection.prepare(statement).map_err(|source| reason(&source))?;
        }
        Ok(())
    }

    /// What a DEFAULT clause comes to in a column of that type, if it is a constant.
    pub fn constant(&mut self, declared_type: &str, expression: &str, strict: bool) -> Option<Value> {
        let question = (declared_type.to_owned(), expression.to_owned(), strict);
        if let Some(known) = self.constants.get(&question) {
            return known.clone();
        }
        self.connection.authorizer(Some(refuse_functions)).ok()?;
        let value = self.evaluate(declared_type, expression, strict);
        self.connection.authorizer(no_authorizer()).ok()?;
        self.constants.insert(question, value.clone());
        value
    }

    fn evaluate(&self, declared_type: &str, expression: &str, strict: bool) -> Option<Value> {
        let strict = if strict { "STRICT" } else { "" };
        // The schema keeps an expression without the parentheses that it needs, and a bare word without the quotes that it means.
        let made = ["{}", "({})"].iter().any(|form| {
            let expression = form.replace("{}", expression);
            let sql = format!("CREATE TABLE rowmesh_probe (c {declared_type} DEFAULT {expression}) {strict}");
            self.connection.execute_batch(&sql).is_ok()
        });
        if !made {
            return None;
        }
        let value = (self.connection.execute("INSERT INTO rowmesh_probe DEFAULT VALUES", []))
            .and_then(|_| {
                self.connection
                    .query_row("SELECT c FROM rowmesh_probe", [], |row| Ok(from_sqlite(row.get_ref(0)?)))
                    .optional()
            })
            .ok()
            .flatten();
        self.connection.execute_batch("DROP TABLE rowmesh_probe").ok()?;
        value
    }

    /// What a trigger does when `statement` fires it; else what SQLite says against it. `create` names the trigger `name`.
    pub fn effects(&mut self, name: &str, create: &str, statement: &str) -> std::result::Result<Effects, String> {
        self.connection.execute_batch(create).map_err(|source| reason(&source))?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (trigger, writes) = (name.to_owned(), Arc::clone(&seen));
        let note = move |context: AuthContext<'_>| {
            if context.accessor == Some(&*trigger)
                && let Some(table) = written_table(&context.action)
            {
                writes.lock().unwrap_or_else(PoisonError::into_inner).push(table.to_owned());
            }
            Authorization::Allow
        };
        let prepared = (self.connection.authorizer(Some(note)))
            .and_then(|()| self.connection.prepare(statement).map(drop))
            .map_err(|source| reason(&source));
        let cleared = self.connection.authorizer(no_authorizer()).map_err(|source| reason(&source));
        let dropped = self.connection.execute_batch(&format!("DROP TRIGGER {}", quote(name)));
        prepared.and(cleared).and(dropped.map_err(|source| reason(&source)))?;
        let mut writes = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        writes.sort();
        writes.dedup();
        Ok(Effects { writes })
    }
}

fn written_table<'c>(action: &AuthAction<'c>) -> Option<&'c str> {
    match action {
        AuthAction::Insert { table_name }
        | AuthAction::Delete { table_name }
        | AuthAction::Update { table_name, .. } => Some(table_name),
        _ => None,
    }
}

fn refuse_functions(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Function { .. } => Authorization::Deny,
        _ => Authorization::Allow,
    }
}

fn no_authorizer() -> Option<fn(AuthContext<'_>) -> Authorization> {
    None
}

/// What SQLite says, without the statement that it was said of.
pub(crate) fn reason(source: &rusqlite::Error) -> String {
    match source {
        rusqlite::Error::SqliteFailure(_, Some(message)) | rusqlite::Error::SqlInputError { msg: message, .. } => {
            message.clone()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(schema: &str) -> Sketch {
        let source = Connection::open_in_memory().unwrap();
        source.execute_batch(schema).unwrap();
        Sketch::of(&source).unwrap()
    }

    #[test]
    fn constant_defaults_come_out_as_the_column_would_hold_them() {
        let mut sketch = sketch("");
        let mut check = |declared: &str, expression: &str, expected: Option<Value>| {
            assert_eq!(sketch.constant(declared, expression, false), expected, "{declared} DEFAULT {expression}");
        };
        check("TEXT", "'it''s'", Some(Value::text("it's")));
        check("TEXT", "1", Some(Value::text("1")));
        check("INTEGER", "'7'", Some(Value::Integer(7)));
        check("INTEGER", "-5", Some(Value::Integer(-5)));
        check("REAL", "1", Some(Value::Real(1.0)));
        check("DECIMAL", "1.50", Some(Value::Real(1.5)));
        check("BOOLEAN", "true", Some(Value::Integer(1)));
        check("", "x'00ff'", Some(Value::Blob(vec![0, 255].into())));
        check("TEXT", "NULL", Some(Value::Null));
        check("INTEGER", "1+2", Some(Value::Integer(3)));
        check("TEXT", "bare_word", Some(Value::text("bare_word")));
        check("TEXT", "\"quoted\"", Some(Value::text("quoted")));
    }

    #[test]
    fn i6_a_default_that_differs_each_time_is_no_constant() {
        let mut sketch = sketch("");
        for expression in ["CURRENT_TIMESTAMP", "datetime('now')", "lower(hex(randomblob(16)))", "random()"] {
            assert_eq!(sketch.constant("TEXT", expression, false), None, "{expression}");
        }
        assert_eq!(
            sketch.constant("ANY", "'1'", true),
            Some(Value::text("1")),
            "the refusal must not outlive the question"
        );
    }

    #[test]
    fn effects_are_a_triggers_own_writes_only() {
        let mut sketch = sketch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE log (a); CREATE TABLE other (a);
             CREATE VIRTUAL TABLE words USING fts5(a);",
        );
        let create = "CREATE TRIGGER x AFTER UPDATE ON t WHEN new.a > 1 BEGIN
                      INSERT INTO log SELECT a FROM other; DELETE FROM words WHERE rowid = old.id; UPDATE log SET a = 1; END";
        let effects = sketch.effects("x", create, "UPDATE t SET a = 1").unwrap();
        assert_eq!(effects.writes, ["log", "words"]);
        assert_eq!(sketch.effects("x", create, "UPDATE t SET a = 1").unwrap().writes.len(), 2, "nothing is left of it");
    }

    #[test]
    fn what_needs_a_function_that_only_the_application_has_is_refused() {
        let mut sketch = sketch("CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE log (a);");
        let create = "CREATE TRIGGER x AFTER INSERT ON t BEGIN INSERT INTO log VALUES (my_hash(new.a)); END";
        let said = sketch.effects("x", create, "INSERT INTO t (a) VALUES (1)").unwrap_err();
        assert!(said.contains("no such function: my_hash"), "{said}");
    }
}

//! What the triggers note, and that the application notices nothing of them.

use std::collections::BTreeSet;

use rowmesh_sqlite::catalog::Catalog;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, params};

use crate::app::App;

const PLAIN: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER)";

#[test]
fn every_kind_of_write_notes_its_key() {
    let app = App::attached(PLAIN);
    app.run(
        "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2);
         UPDATE t SET a = 'c' WHERE id = 1;
         UPDATE t SET id = 5 WHERE id = 2;
         UPDATE t SET rowid = 6 WHERE id = 5;
         INSERT INTO t VALUES (1, 'x', 0) ON CONFLICT (id) DO UPDATE SET a = excluded.a;
         DELETE FROM t;",
    );
    let mut notes = app.take_short_notes();
    // SQLite does not say in which order the two triggers of one update fire.
    notes.sort();
    assert_eq!(
        notes,
        [
            "delete t 1",
            "delete t 6",
            "insert t 1",
            "insert t 2",
            "rekey t 2",
            "rekey t 5",
            "update t 1",
            "update t 1",
            "update t 5",
            "update t 6"
        ]
    );
}

#[test]
fn what_is_rolled_back_leaves_no_note() {
    let app = App::attached(PLAIN);
    app.run("BEGIN; INSERT INTO t VALUES (1, 'a', 1); ROLLBACK; BEGIN; SAVEPOINT s; INSERT INTO t VALUES (2, 'a', 1); ROLLBACK TO s; COMMIT");
    assert_eq!(app.take_short_notes(), [""; 0]);
}

#[test]
fn cascades_are_noted_like_the_applications_own_writes() {
    let app = App::attached(
        "CREATE TABLE parent (id TEXT PRIMARY KEY NOT NULL);
         CREATE TABLE child (parent TEXT NOT NULL REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE, n INTEGER NOT NULL, PRIMARY KEY (parent, n));
         CREATE TABLE loose (id INTEGER PRIMARY KEY, parent TEXT REFERENCES parent ON DELETE SET NULL);
         INSERT INTO parent VALUES ('a'), ('b'); INSERT INTO child VALUES ('a', 1), ('b', 1); INSERT INTO loose VALUES (7, 'b');",
    );
    app.run("PRAGMA foreign_keys = ON; UPDATE parent SET id = 'c' WHERE id = 'a'; DELETE FROM parent WHERE id = 'b'");
    let notes: BTreeSet<String> =
        app.take_notes().iter().map(|(table, operation, key)| format!("{operation} {table} {key:?}")).collect();
    for expected in [
        "rekey child [Text(\"a\"), Integer(1)]",
        "update child [Text(\"c\"), Integer(1)]",
        "delete child [Text(\"b\"), Integer(1)]",
        "update loose [Integer(7)]",
        "rekey parent [Text(\"a\")]",
        "delete parent [Text(\"b\")]",
    ] {
        assert!(notes.contains(expected), "{expected} in {notes:?}");
    }
}

#[test]
fn keys_that_compare_alike_and_differ_in_bytes_are_both_noted() {
    let app = App::attached(
        "CREATE TABLE words (word TEXT PRIMARY KEY NOT NULL COLLATE NOCASE);
         CREATE TABLE any_type (k PRIMARY KEY NOT NULL);
         INSERT INTO words VALUES ('a'); INSERT INTO any_type VALUES (1);",
    );
    app.run("UPDATE words SET word = 'A'; UPDATE any_type SET k = 1.0");
    let rekeyed: Vec<_> =
        app.take_notes().into_iter().filter(|(_, operation, _)| *operation == "rekey").map(|(_, _, key)| key).collect();
    assert_eq!(rekeyed, [vec![Value::Text("a".into())], vec![Value::Integer(1)]]);
}

#[test]
fn e1_a_row_that_moves_is_noted_under_both_keys_by_whatever_name_its_key_is_set() {
    let app = App::attached("CREATE TABLE t (id INTEGER PRIMARY KEY, n); INSERT INTO t VALUES (1, 0)");
    let moves = [
        ("UPDATE t SET id = 2", 1, 2),
        ("UPDATE t SET \"ID\" = 3", 2, 3),
        ("UPDATE t SET rowid = 4", 3, 4),
        ("UPDATE t SET OID = 5", 4, 5),
        ("UPDATE t SET _rowid_ = 6", 5, 6),
        ("UPDATE t SET (n, id) = (1, 7)", 6, 7),
        ("INSERT INTO t VALUES (7, 2) ON CONFLICT (id) DO UPDATE SET id = 8", 7, 8),
        ("UPDATE t SET id = source.id FROM (SELECT 9 AS id) AS source", 8, 9),
    ];
    for (statement, from, to) in moves {
        app.run(statement);
        assert_eq!(app.take_short_notes(), [format!("rekey t {from}"), format!("update t {to}")], "{statement}");
    }
    app.run("UPDATE t SET n = 3");
    assert_eq!(app.take_short_notes(), ["update t 9"]);
}

#[test]
fn b1_replace_leaves_no_victim_behind() {
    for seed in 0..60 {
        Replacing::new(seed).run();
    }
}

/// Random statements that replace, against a table with up to four unique indexes.
struct Replacing {
    app: App,
    random: Random,
    columns: Vec<&'static str>,
    seed: u64,
}

impl Replacing {
    fn new(seed: u64) -> Replacing {
        let mut random = Random(seed * 2 + 1);
        let indexes = [
            ("a", "CREATE UNIQUE INDEX t_a ON t (a);"),
            ("b", "CREATE UNIQUE INDEX t_bc ON t (b, c);"),
            ("c", "CREATE UNIQUE INDEX t_c ON t (c) WHERE c > 3;"),
            ("d", "CREATE UNIQUE INDEX t_d ON t (d COLLATE NOCASE);"),
        ];
        let used: Vec<_> = indexes.iter().filter(|_| random.below(2) == 1).collect();
        let schema: String = used.iter().map(|(_, sql)| *sql).collect();
        let key = ["INTEGER PRIMARY KEY", "TEXT NOT NULL PRIMARY KEY"][random.below(2)];
        let app = App::attached(&format!("CREATE TABLE t (id {key}, a, b, c, d TEXT);{schema}"));
        let recursive = ["OFF", "ON"][random.below(2)];
        app.run(&format!("PRAGMA recursive_triggers = {recursive}"));
        Replacing { app, random, columns: vec!["id", "a", "b", "c", "d"], seed }
    }

    /// After each statement every row that changed was noted, or holds (held) a unique value that a noted row holds now: there the
    /// sealer looks too.
    fn run(&mut self) {
        for step in 0..40 {
            let before = self.app.rows("t", 1);
            let statement = self.statement();
            match self.app.app.execute(&statement, []) {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation), "{statement}: {error}")
                }
            }
            let after = self.app.rows("t", 1);
            let noted: BTreeSet<String> =
                self.app.take_notes().into_iter().map(|(_, _, key)| format!("{key:?}")).collect();
            let taken = |row: &Vec<Value>| {
                noted.iter().filter_map(|key| after.get(key)).any(|now| self.share_a_unique_value(row, now))
            };
            for (key, row) in &before {
                if after.get(key) != Some(row) {
                    assert!(
                        noted.contains(key) || taken(row),
                        "seed {} step {step}: {statement}: {key} vanished unnoticed",
                        self.seed
                    );
                }
            }
            for key in after.keys().filter(|key| before.get(*key) != after.get(*key)) {
                assert!(noted.contains(key), "seed {} step {step}: {statement}: {key} changed unnoticed", self.seed);
            }
        }
    }

    fn statement(&mut self) -> String {
        let clause = ["", "OR REPLACE ", "OR REPLACE ", "OR IGNORE ", "OR FAIL "][self.random.below(5)];
        let values: Vec<String> = (0..5).map(|column| self.value(column)).collect();
        let (column, key) = (self.random.below(5), self.value(0));
        match self.random.below(4) {
            0 => format!("UPDATE {clause}t SET {} = {} WHERE id >= {key}", self.columns[column], values[column]),
            1 => format!("DELETE FROM t WHERE id = {key}"),
            2 => format!("INSERT {clause}INTO t SELECT id + 3, a, b, c, d FROM t WHERE id <= {key}"),
            _ => format!("INSERT {clause}INTO t VALUES ({})", values.join(", ")),
        }
    }

    fn value(&mut self, column: usize) -> String {
        let number = self.random.below(8);
        match column {
            0 => (number + 1).to_string(),
            4 => ["'x'", "'X'", "'y'", "'z'", "NULL"][number % 5].to_owned(),
            _ if number == 0 => "NULL".to_owned(),
            _ => number.to_string(),
        }
    }

    fn share_a_unique_value(&self, one: &[Value], other: &[Value]) -> bool {
        let catalog = Catalog::read(&self.app.daemon, &Default::default()).unwrap();
        let folded = |value: &Value| match value {
            Value::Text(text) => Value::Text(text.to_lowercase()),
            other => other.clone(),
        };
        catalog.table("t").unwrap().uniques.iter().any(|index| {
            let mut columns = index.parts.iter().flatten().map(|part| part.column);
            columns.all(|column| one[column] != Value::Null && folded(&one[column]) == folded(&other[column]))
        })
    }
}

/// A small generator of numbers that are the same on every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % limit
    }
}

#[test]
fn b1_a_victim_that_no_column_leads_to_shows_in_the_number_of_rows() {
    let app = App::attached(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); CREATE UNIQUE INDEX t_lower ON t (lower(a)); INSERT INTO t VALUES (1, 'x')",
    );
    app.run("INSERT OR REPLACE INTO t VALUES (2, 'X')");
    assert_eq!(app.take_short_notes(), ["insert t 2"], "what the trigger is told");
    assert_eq!(app.number("SELECT count(*) FROM t"), 1, "one row remembered and one noted would be two");
}

#[test]
fn b2_no_conflict_clause_of_the_application_loses_a_note_or_a_statement() {
    for clause in ["ABORT", "FAIL", "IGNORE", "REPLACE", "ROLLBACK"] {
        let app = App::attached("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE, b INTEGER NOT NULL)");
        app.run("INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2); INSERT INTO rowmesh_dirty (t, op, at, k1) SELECT t, op, at, k1 FROM rowmesh_dirty");
        app.take_notes();
        app.run(&format!("INSERT OR {clause} INTO t VALUES (3, 'three', 3)"));
        app.run(&format!("UPDATE OR {clause} t SET b = 9 WHERE id = 1"));
        app.run(&format!("UPDATE OR {clause} t SET id = 8 WHERE id = 1"));
        let mut notes = app.take_short_notes();
        notes.sort();
        assert_eq!(notes, ["insert t 3", "rekey t 1", "update t 1", "update t 8"], "{clause}");
        // The same statement again and again: what is noted twice is no conflict.
        app.run("INSERT INTO rowmesh_dirty (t, op, at, k1) VALUES (1, 1, 1700000000001, 4)");
        app.run(&format!("INSERT OR {clause} INTO t VALUES (4, 'four', 4)"));
        assert_eq!(app.take_short_notes(), ["insert t 4", "insert t 4"], "{clause}");
    }
}

#[test]
fn b2_what_a_failing_statement_keeps_is_noted_and_what_it_takes_back_is_not() {
    let app = App::attached("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE); INSERT INTO t VALUES (1, 'x')");
    app.app.execute("INSERT OR FAIL INTO t VALUES (2, 'y'), (3, 'x'), (4, 'z')", []).unwrap_err();
    assert_eq!(app.take_short_notes(), ["insert t 2"]);
    app.app.execute("INSERT OR ABORT INTO t VALUES (5, 'p'), (6, 'x')", []).unwrap_err();
    app.app.execute("INSERT OR IGNORE INTO t VALUES (7, 'q'), (8, 'x')", []).unwrap();
    assert_eq!(app.take_short_notes(), ["insert t 7"]);
}

#[test]
fn b2_nothing_in_the_dirty_table_can_conflict() {
    let app = App::attached(PLAIN);
    assert_eq!(app.number("SELECT count(*) FROM pragma_index_list('rowmesh_dirty')"), 0);
    assert_eq!(
        app.number(
            "SELECT count(*) FROM pragma_table_xinfo('rowmesh_dirty') WHERE \"notnull\" OR dflt_value IS NOT NULL"
        ),
        0
    );
    let sql: String =
        app.app.query_row("SELECT sql FROM sqlite_master WHERE name = 'rowmesh_dirty'", [], |row| row.get(0)).unwrap();
    assert!(!sql.to_uppercase().contains("CHECK") && !sql.to_uppercase().contains("AUTOINCREMENT"), "{sql}");
}

#[test]
fn b4_wide_rows_and_odd_values_are_nothing_to_a_note() {
    let columns: Vec<String> = (0..126).map(|n| format!("c{n}")).collect();
    let app = App::attached(&format!("CREATE TABLE wide (id BLOB PRIMARY KEY NOT NULL, {})", columns.join(", ")));
    let odd = [
        Value::Blob(vec![0, 255, 39]),
        Value::Real(f64::INFINITY),
        Value::Real(-0.1),
        Value::Integer(i64::MIN),
        Value::Integer((1 << 53) + 1),
        Value::Text("it's \"odd\" \u{1f600}".into()),
        Value::Blob(Vec::new()),
    ];
    let places: Vec<String> = (1..=127).map(|n| format!("?{}", n % odd.len() + 1)).collect();
    for key in &odd {
        let mut values = odd.to_vec();
        values.rotate_left(1);
        app.app.execute("DELETE FROM wide", []).unwrap();
        let sql = format!("INSERT INTO wide VALUES (?8, {})", places[1..].join(", "));
        values.push(key.clone());
        app.app.execute(&sql, rusqlite::params_from_iter(values)).unwrap();
        let notes = app.take_notes();
        assert_eq!(notes.last().unwrap(), &("wide".to_owned(), "insert", vec![key.clone()]));
    }
}

#[test]
fn b4_keys_of_eight_columns_keep_every_value_as_it_is() {
    let app = App::attached(
        "CREATE TABLE t (a ANY NOT NULL, b ANY NOT NULL, c ANY NOT NULL, d ANY NOT NULL, e ANY NOT NULL, f ANY NOT NULL, g ANY NOT NULL,
         h ANY NOT NULL, v, PRIMARY KEY (h, g, f, e, d, c, b, a)) WITHOUT ROWID",
    );
    app.app
        .execute(
            "INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)",
            params![1_i64, "1", 1.5_f64, vec![1_u8], (1_i64 << 53) + 1, "é", f64::NEG_INFINITY, i64::MAX],
        )
        .unwrap();
    let key = vec![
        Value::Integer(i64::MAX),
        Value::Real(f64::NEG_INFINITY),
        Value::Text("é".into()),
        Value::Integer((1 << 53) + 1),
        Value::Blob(vec![1]),
        Value::Real(1.5),
        // ANY has numeric affinity outside strict tables: this is what the row holds.
        Value::Integer(1),
        Value::Integer(1),
    ];
    assert_eq!(app.take_notes(), [("t".to_owned(), "insert", key)]);
}

#[test]
fn b5_numbers_of_notes_may_return_because_nobody_remembers_them() {
    let app = App::attached(PLAIN);
    app.run("INSERT INTO t (a) VALUES ('a'), ('b')");
    assert_eq!(app.take_short_notes().len(), 2);
    let again = Connection::open(&app.path).unwrap();
    again.execute_batch("UPDATE t SET b = 1").unwrap();
    assert_eq!(app.take_short_notes(), ["update t 1", "update t 2"]);
    // And no table of SQLite's appears because of them, which detach could not take away again.
    assert_eq!(app.number("SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_sequence'"), 0);
}

#[test]
fn b9_attached_databases_strict_and_rowidless_tables_are_captured() {
    let app = App::attached(
        "CREATE TABLE s (id TEXT PRIMARY KEY, n INTEGER) STRICT;
         CREATE TABLE w (a TEXT, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID;
         CREATE TABLE both (k ANY PRIMARY KEY, v ANY) STRICT, WITHOUT ROWID;",
    );
    let other = Connection::open_in_memory().unwrap();
    other.execute("ATTACH ?1 AS shop", params![app.path.to_str().unwrap()]).unwrap();
    other
        .execute_batch(
            "CREATE TABLE rowmesh_dirty (wrong); CREATE TEMP TABLE rowmesh_dirty (wrong);
             INSERT INTO shop.s VALUES ('x', 1); INSERT INTO shop.w VALUES ('y', 2); INSERT INTO shop.both VALUES (x'00', 1.5);",
        )
        .unwrap();
    let text = |text: &str| Value::Text(text.to_owned());
    assert_eq!(
        app.take_notes(),
        [
            ("s".to_owned(), "insert", vec![text("x")]),
            ("w".to_owned(), "insert", vec![text("y"), Value::Integer(2)]),
            ("both".to_owned(), "insert", vec![Value::Blob(vec![0])]),
        ]
    );
}

#[test]
fn b9_temp_triggers_and_distrustful_connections_of_the_application_work_on() {
    let app = App::attached(PLAIN);
    app.run(
        "PRAGMA trusted_schema = OFF; PRAGMA recursive_triggers = ON;
         CREATE TEMP TABLE mine (n); CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN INSERT INTO mine VALUES (new.id); END;
         INSERT INTO t VALUES (1, 'a', 1);",
    );
    assert_eq!(app.take_short_notes(), ["insert t 1"]);
    assert_eq!(app.number("SELECT count(*) FROM mine"), 1);
}

#[test]
fn b15_triggers_use_only_functions_that_every_sqlite_since_3_24_has() {
    let mut app = App::attached("CREATE TABLE t (id TEXT NOT NULL, k NOT NULL, PRIMARY KEY (id, k))");
    let seen = std::sync::Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let functions = std::sync::Arc::clone(&seen);
    app.app
        .authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| {
            if let rusqlite::hooks::AuthAction::Function { function_name } = context.action {
                functions.lock().unwrap().insert(function_name.to_owned());
            }
            rusqlite::hooks::Authorization::Allow
        }))
        .unwrap();
    app.run("INSERT INTO t VALUES ('a', 1); UPDATE t SET k = 2; DELETE FROM t");
    let seen: Vec<String> = seen.lock().unwrap().iter().cloned().collect();
    assert_eq!(seen, ["julianday", "typeof"]);
}

#[test]
fn b16_the_application_reads_the_same_numbers_with_and_without_us() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT UNIQUE, b INTEGER)";
    let (plain, captured) = (App::new(schema), App::attached(schema));
    captured.run("INSERT INTO rowmesh_dirty (id) VALUES (1000)");
    let statements = [
        "INSERT INTO t (a) VALUES ('x'), ('y') RETURNING id, a",
        "INSERT INTO t (a, b) VALUES ('x', 7) ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING id, b",
        "UPDATE t SET b = 1 RETURNING id, b",
        "INSERT OR REPLACE INTO t (a) VALUES ('y') RETURNING id",
        "INSERT OR IGNORE INTO t (a) VALUES ('y') RETURNING id",
        "UPDATE t SET id = 40 WHERE a = 'y' RETURNING id",
        "DELETE FROM t WHERE a = 'x' RETURNING id, a",
        "DELETE FROM t",
    ];
    for sql in statements {
        let answer = |app: &App| {
            let mut statement = app.app.prepare(sql).unwrap();
            let columns = statement.column_count();
            let mut returned = Vec::new();
            let mut rows = statement.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                returned.push((0..columns).map(|column| row.get::<_, Value>(column).unwrap()).collect::<Vec<_>>());
            }
            drop(rows);
            drop(statement);
            (returned, app.app.last_insert_rowid(), app.app.changes())
        };
        assert_eq!(answer(&captured), answer(&plain), "{sql}");
    }
}

#[test]
fn q16_inserts_go_on_after_a_derived_number_was_shown() {
    let app =
        App::attached("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT); INSERT INTO t VALUES (1, 'a')");
    let derived = (1_i64 << 52) + 12_345;
    app.daemon.execute("INSERT INTO t VALUES (?1, 'derived')", params![derived]).unwrap();
    app.run("INSERT INTO t (a) VALUES ('b'), ('c')");
    let highest = app.number("SELECT max(id) FROM t");
    assert_eq!(highest, derived + 2);
    assert!(highest < 1 << 53, "exact in JSON");
    assert_eq!(app.take_short_notes().len(), 2, "the daemon's own write is not noted");
}

#[test]
fn the_text_of_the_triggers_is_this() {
    let app = App::attached(
        "CREATE TABLE \"order \"\"lines\"\"\" (\"the order\" TEXT NOT NULL, line INTEGER NOT NULL, free, PRIMARY KEY (\"the order\", line));
         CREATE TABLE untyped (k PRIMARY KEY NOT NULL)",
    );
    let triggers: Vec<String> = (app.schema(false).into_iter())
        .filter(|(kind, _, _, _)| kind == "trigger")
        .map(|(_, _, _, sql)| sql.unwrap())
        .collect();
    insta::assert_snapshot!(triggers.join("\n"), @r#"
    CREATE TRIGGER rowmesh_capture_1_insert AFTER INSERT ON "order ""lines""" BEGIN /* rowmesh capture 2 */ INSERT INTO rowmesh_dirty (t, op, at, k1, k2) VALUES (1, 1, julianday('now'), NEW."the order", NEW."line"); END
    CREATE TRIGGER rowmesh_capture_1_update AFTER UPDATE ON "order ""lines""" BEGIN /* rowmesh capture 2 */ INSERT INTO rowmesh_dirty (t, op, at, k1, k2) VALUES (1, 2, julianday('now'), NEW."the order", NEW."line"); END
    CREATE TRIGGER rowmesh_capture_1_rekey AFTER UPDATE OF "the order", "line", rowid, oid, _rowid_ ON "order ""lines""" WHEN OLD."the order" IS NOT NEW."the order" COLLATE BINARY OR OLD."line" IS NOT NEW."line" COLLATE BINARY BEGIN /* rowmesh capture 2 */ INSERT INTO rowmesh_dirty (t, op, at, k1, k2) VALUES (1, 4, julianday('now'), OLD."the order", OLD."line"); END
    CREATE TRIGGER rowmesh_capture_1_delete AFTER DELETE ON "order ""lines""" BEGIN /* rowmesh capture 2 */ INSERT INTO rowmesh_dirty (t, op, at, k1, k2) VALUES (1, 3, julianday('now'), OLD."the order", OLD."line"); END
    CREATE TRIGGER rowmesh_capture_2_insert AFTER INSERT ON "untyped" BEGIN /* rowmesh capture 2 */ INSERT INTO rowmesh_dirty (t, op, at, k1) VALUES (2, 1, julianday('now'), NEW."k"); END
    CREATE TRIGGER rowmesh_capture_2_update AFTER UPDATE ON "untyped" BEGIN /* rowmesh capture 2 */ INSERT INTO rowmesh_dirty (t, op, at, k1) VALUES (2, 2, julianday('now'), NEW."k"); END
    CREATE TRIGGER rowmesh_capture_2_rekey AFTER UPDATE OF "k", rowid, oid, _rowid_ ON "untyped" WHEN OLD."k" IS NOT NEW."k" COLLATE BINARY OR typeof(OLD."k") IS NOT typeof(NEW."k") BEGIN /* rowmesh capture 2 */ INSERT INTO rowmesh_dirty (t, op, at, k1) VALUES (2, 4, julianday('now'), OLD."k"); END
    CREATE TRIGGER rowmesh_capture_2_delete AFTER DELETE ON "untyped" BEGIN /* rowmesh capture 2 */ INSERT INTO rowmesh_dirty (t, op, at, k1) VALUES (2, 3, julianday('now'), OLD."k"); END
    "#);
}

//! What the plan says, what attaching adds, and that detaching leaves nothing.

use rowmesh_core::schema::KeyKind;
use rowmesh_core::value::Value;
use rowmesh_engine::changes::ChangeKind;
use rowmesh_engine::plan::DeclaredKeys;
use rowmesh_engine::plan::Plan;
use rowmesh_engine::views::fingerprint;
use rowmesh_sqlite::attach::{self, detach};
use rowmesh_sqlite::capture;
use rowmesh_sqlite::catalog::Catalog;
use rowmesh_sqlite::connection::journal_mode;

use crate::app::App;

/// The schema of the reference application, as its ORM makes it.
const BUSINESS: &str = include_str!("../../../../examples/business/schema/sqlite.sql");

fn plan(app: &App) -> Plan {
    attach::plan(&app.daemon, &app.options).unwrap()
}

fn reason(plan: &Plan, table: &str) -> (String, String, String) {
    let skipped =
        plan.skipped.iter().find(|skipped| &*skipped.name == table).unwrap_or_else(|| panic!("{table} is tracked"));
    (skipped.code.to_owned(), skipped.reason.clone(), skipped.remedy.clone())
}

#[test]
fn a_catalog_tells_columns_keys_and_indexes_as_they_are() {
    let app = App::new(
        "CREATE TABLE Parent (a TEXT NOT NULL, b INTEGER NOT NULL, PRIMARY KEY (b, a));
         CREATE TABLE child (
             id INTEGER PRIMARY KEY, pa TEXT, pb INTEGER NOT NULL, name TEXT NOT NULL DEFAULT 'new', doubled AS (id * 2) STORED,
             at TEXT DEFAULT CURRENT_TIMESTAMP, FOREIGN KEY (pb, pa) REFERENCES PARENT ON DELETE CASCADE,
             CONSTRAINT one UNIQUE (name, pa));
         CREATE UNIQUE INDEX child_lower ON child (lower(name), pb) WHERE pa IS NOT NULL;
         CREATE UNIQUE INDEX child_nocase ON child (name COLLATE NOCASE);
         CREATE TABLE one_to_one (id INTEGER PRIMARY KEY REFERENCES child (ID), v);",
    );
    let catalog = Catalog::read(&app.daemon, &DeclaredKeys::new()).unwrap();
    let child = catalog.table("child").unwrap();
    let names: Vec<&str> = child.columns.iter().map(|column| &*column.name).collect();
    assert_eq!(names, ["id", "pa", "pb", "name", "at"], "generated columns are the database's own");
    assert_eq!((child.key.as_slice(), child.key_kind), (&[0][..], KeyKind::Generated));
    assert_eq!(child.columns[3].default, Some(Value::text("new")));
    assert_eq!((&child.columns[1].default, &child.columns[4].default), (&Some(Value::Null), &None));
    assert!(child.columns[0].not_null && !child.columns[1].not_null);

    let foreign = &child.foreign_keys[0];
    assert_eq!((&*foreign.parent, foreign.columns.as_slice()), ("Parent", &[2, 1][..]));
    assert_eq!(foreign.parent_columns.iter().map(|name| &**name).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!((foreign.not_null, foreign.on_delete.as_str()), (false, "CASCADE"));

    let uniques: Vec<_> = (child.uniques.iter())
        .map(|index| {
            let parts: Vec<_> = index
                .parts
                .iter()
                .map(|part| part.as_ref().map(|part| (part.column, part.collation.as_str())))
                .collect();
            (index.partial, parts)
        })
        .collect();
    assert!(uniques.contains(&(true, vec![None, Some((2, "BINARY"))])), "{uniques:?}");
    assert!(uniques.contains(&(false, vec![Some((3, "NOCASE"))])), "{uniques:?}");
    assert!(uniques.contains(&(false, vec![Some((3, "BINARY")), Some((1, "BINARY"))])), "{uniques:?}");

    let shared = catalog.table("one_to_one").unwrap();
    assert_eq!(shared.key_kind, KeyKind::Natural, "a number that is another row's means that row");
    assert_eq!(&*shared.foreign_keys[0].parent_columns[0], "id");
    assert_eq!(catalog.table("Parent").unwrap().key, [1, 0]);
}

#[test]
fn only_the_number_of_a_row_is_handed_out_by_the_database() {
    let app = App::new(
        "CREATE TABLE alias (id INTEGER PRIMARY KEY); CREATE TABLE descending (id INTEGER PRIMARY KEY DESC, v);
         CREATE TABLE big (id BIGINT PRIMARY KEY NOT NULL); CREATE TABLE rowidless (id INTEGER PRIMARY KEY) WITHOUT ROWID;
         CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT); CREATE TABLE word (id TEXT PRIMARY KEY NOT NULL);
         CREATE TABLE strict (id INTEGER PRIMARY KEY) STRICT;",
    );
    let catalog = Catalog::read(&app.daemon, &DeclaredKeys::new()).unwrap();
    let generated: Vec<&str> =
        catalog.tables.iter().filter(|table| table.key_kind == KeyKind::Generated).map(|table| &*table.name).collect();
    assert_eq!(generated, ["alias", "auto", "strict"]);
    assert!(catalog.table("rowidless").unwrap().columns[0].not_null);
    assert!(catalog.table("rowidless").unwrap().uniques.is_empty() && catalog.table("big").unwrap().uniques.is_empty());
}

#[test]
fn tables_that_cannot_be_tracked_are_listed_with_the_remedy() {
    let mut app = App::new(
        "CREATE TABLE heap (a, b);
         CREATE TABLE lines (order_id TEXT NOT NULL, line INTEGER NOT NULL, sku TEXT); CREATE UNIQUE INDEX l ON lines (order_id, line);
         CREATE TABLE nulls (id TEXT PRIMARY KEY); INSERT INTO nulls VALUES (NULL), ('a');
         CREATE TABLE maybe (id TEXT PRIMARY KEY); INSERT INTO maybe VALUES ('a');
         CREATE TABLE wide (a,b,c,d,e,f,g,h,i, PRIMARY KEY (a,b,c,d,e,f,g,h,i)) WITHOUT ROWID;
         CREATE VIRTUAL TABLE words USING fts5(text);
         CREATE TABLE fine (id TEXT NOT NULL PRIMARY KEY);",
    );
    let found = plan(&app);
    assert_eq!(reason(&found, "heap").0, "RM2103");
    assert_eq!(
        reason(&found, "lines"),
        (
            "RM2103".into(),
            "has no primary key".into(),
            "put into rowmesh.toml: [table.lines] key = [\"order_id\", \"line\"]".into()
        )
    );
    assert_eq!(reason(&found, "nulls").0, "RM2105");
    assert_eq!(reason(&found, "wide").0, "RM2104");
    assert_eq!(reason(&found, "words").0, "RM2101");
    assert_eq!(reason(&found, "words_data").1, "belongs to a virtual table");
    assert_eq!(found.tracked.iter().map(|table| &*table.name).collect::<Vec<_>>(), ["fine", "maybe"]);
    assert!(
        found.remarks.iter().any(|remark| &*remark.table == "maybe" && remark.text.contains("NULL")),
        "{:?}",
        found.remarks
    );

    app.options.keys.insert("lines".into(), vec!["LINE".into(), "order_id".into()]);
    app.options.keys.insert("heap".into(), vec!["a".into()]);
    let found = plan(&app);
    let lines = found.tracked.iter().find(|table| &*table.name == "lines").unwrap();
    assert_eq!((lines.key.as_slice(), lines.key_kind), (&[1, 0][..], KeyKind::Natural));
    assert!(lines.uniques.is_empty(), "the index of the key is no other");
    assert_eq!(reason(&found, "heap").0, "RM2106");
}

#[test]
fn a_table_that_only_the_application_can_write_is_left_out() {
    let app = App::new(
        "CREATE TABLE checked (id INTEGER PRIMARY KEY, a TEXT CHECK (a <> upper(a)));
         CREATE TABLE sorted (id INTEGER PRIMARY KEY, a TEXT); CREATE INDEX by_a ON sorted (a COLLATE NOCASE);
         CREATE TABLE fine (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE);",
    );
    // As a program would leave it that has registered a function and a collation of its own, which this build cannot do.
    app.run(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_master SET sql = replace(replace(sql, 'upper(', 'slugify('), 'a COLLATE NOCASE)', 'a COLLATE danish)') WHERE name <> 'fine';
         PRAGMA writable_schema = RESET;",
    );
    let found = plan(&app);
    for (table, word) in [("checked", "slugify"), ("sorted", "danish")] {
        let (code, reason, _) = reason(&found, table);
        assert_eq!(code, "RM2111");
        assert!(reason.contains(word), "{reason}");
    }
    assert_eq!(found.tracked.len(), 1);
}

#[test]
fn i12_the_reference_application_is_tracked_but_for_its_own_bookkeeping() {
    let mut app = App::new(BUSINESS);
    let found = plan(&app);
    let skipped: Vec<&str> =
        found.skipped.iter().map(|table| &*table.name).filter(|name| !name.starts_with("product_search")).collect();
    assert_eq!(skipped, ["_prisma_migrations", "audit_logs", "sessions", "verification_tokens"]);
    assert!(found.tracked.len() >= 70, "{}", found.tracked.len());
    assert_eq!(found.triggers_added, found.tracked.len() * 4);
    assert!(found.triggers.iter().all(|trigger| trigger.treatment.is_carried()), "{:?}", found.triggers);
    assert_eq!(found.triggers.len(), 3);
    app.attach();
    app.run("INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('1', 'x', 'init')");
    assert_eq!(app.take_notes(), []);
}

#[test]
fn what_is_wanted_is_decided_by_patterns() {
    let mut app = App::new(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY); CREATE TABLE order_lines (id INTEGER PRIMARY KEY);
         CREATE TABLE sessions (id INTEGER PRIMARY KEY); CREATE TABLE new_orders (id INTEGER PRIMARY KEY);",
    );
    let tracked = |app: &App| plan(app).names().into_iter().map(|name| name.to_string()).collect::<Vec<_>>();
    assert_eq!(
        tracked(&app),
        ["new_orders", "order_lines", "orders"],
        "it was there before us, so nobody is filling it"
    );
    app.options.include = vec!["SESS*".into()];
    assert_eq!(tracked(&app), ["new_orders", "order_lines", "orders", "sessions"]);
    app.options.exclude = vec!["order?lines".into(), "*_orders".into()];
    assert_eq!(tracked(&app), ["order_lines", "orders", "sessions"]);
    app.options.only = vec!["ord*".into()];
    assert_eq!(tracked(&app), ["order_lines", "orders"]);
}

#[test]
fn the_plan_names_foreign_keys_without_an_index() {
    let app = App::new(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, x INTEGER REFERENCES a, y INTEGER REFERENCES a, z INTEGER REFERENCES a);
         CREATE INDEX a_x ON a (x, y); CREATE INDEX a_z ON a (z) WHERE z > 0; INSERT INTO a (x) VALUES (NULL), (1)",
    );
    let found = plan(&app);
    let remedies: Vec<&str> = found.unindexed.iter().map(|key| key.remedy.as_str()).collect();
    assert_eq!(remedies, ["CREATE INDEX \"a_y\" ON \"a\" (\"y\");", "CREATE INDEX \"a_z\" ON \"a\" (\"z\");"]);
    assert!(found.database_bytes >= 4 * 4096);
    assert!(found.advice.iter().any(|advice| advice.contains("busy_timeout")), "{:?}", found.advice);
}

#[test]
fn detaching_leaves_the_schema_as_it_was_found() {
    let mut app = App::new(BUSINESS);
    app.run("CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, a); INSERT INTO counted (a) VALUES (1), (2); CREATE VIEW v AS SELECT 1");
    let before = (app.schema(false), app.number("SELECT seq FROM sqlite_sequence WHERE name = 'counted'"));
    app.attach();
    assert_eq!(app.schema(true), before.0, "attaching touches nothing of the application's");
    app.run("INSERT INTO counted (a) VALUES (3); DELETE FROM counted WHERE id = 3; ANALYZE");
    detach(&mut app.daemon).unwrap();
    let after: Vec<_> =
        app.schema(false).into_iter().filter(|(_, name, _, _)| !name.starts_with("sqlite_stat")).collect();
    assert_eq!(after, before.0);
    assert_eq!(app.number("SELECT count(*) FROM sqlite_sequence"), 1);
    assert_eq!(app.number("SELECT count(*) FROM sqlite_stat1 WHERE tbl LIKE 'rowmesh%'"), 0);
    app.run("INSERT INTO counted (a) VALUES (4)");
    detach(&mut app.daemon).unwrap();
}

#[test]
fn tables_of_the_application_with_our_prefix_are_neither_used_nor_dropped() {
    let mut app = App::new("CREATE TABLE rowmesh_dirty (mine); CREATE TABLE rowmesh_tables (mine)");
    let refused = attach::plan(&app.daemon, &app.options).expect_err("the names are taken");
    assert_eq!(refused.code(), "RM2110");
    assert!(refused.to_string().contains("rowmesh_dirty, rowmesh_tables"), "{refused}");
    app.run(
        "DROP TABLE rowmesh_dirty; DROP TABLE rowmesh_tables; CREATE TABLE rowmesh_of_theirs (id INTEGER PRIMARY KEY)",
    );
    app.attach();
    detach(&mut app.daemon).unwrap();
    assert_eq!(app.number("SELECT count(*) FROM sqlite_master WHERE name = 'rowmesh_of_theirs'"), 1);
}

#[test]
fn attaching_twice_changes_nothing_the_second_time() {
    let mut app = App::attached("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let before = (app.schema(false), app.number("PRAGMA schema_version"));
    assert_eq!(app.attach().changes, []);
    assert_eq!((app.schema(false), app.number("PRAGMA schema_version")), before);
}

#[test]
fn i13_triggers_of_an_older_version_are_replaced_and_nothing_counts_twice() {
    let mut app = App::attached("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
    let current = format!("rowmesh capture {}", capture::VERSION);
    for (kind, name, _, sql) in app.schema(false) {
        if kind == "trigger" {
            app.run(&format!("DROP TRIGGER {name}"));
            app.run(&sql.unwrap().replace(&current, "rowmesh capture 0"));
        }
    }
    // One that this version does not have any more.
    app.run("CREATE TRIGGER rowmesh_capture_1_everything AFTER INSERT ON t BEGIN /* rowmesh capture 0 */ INSERT INTO rowmesh_dirty (t, op, at, k1) VALUES (1, 1, 1700000000001, NEW.id); END");
    let kinds: Vec<_> = app.attach().changes.into_iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Upgraded]);
    app.run("INSERT INTO t VALUES (1, 1)");
    assert_eq!(app.take_short_notes(), ["insert t 1"]);
}

#[test]
fn i13_a_newer_version_is_left_alone() {
    let mut app = App::attached("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
    app.run("DROP TRIGGER rowmesh_capture_1_insert; CREATE TRIGGER rowmesh_capture_1_insert AFTER INSERT ON t BEGIN /* rowmesh capture 99 */ SELECT 1; END");
    let refused = attach::follow(&mut app.daemon, &app.options).expect_err("made by a newer one");
    assert_eq!(refused.code(), "RM2114");
    assert!(app.daemon.is_autocommit(), "and nothing is left open");
}

#[test]
fn wal_is_proposed_and_switched_on_only_where_asked() {
    let mut app = App::new("PRAGMA journal_mode = DELETE; CREATE TABLE t (id INTEGER PRIMARY KEY)");
    assert!(plan(&app).advice.iter().any(|advice| advice.contains("WAL")));
    app.attach();
    assert_eq!(journal_mode(&app.daemon).unwrap(), "delete");
    app.options.switch_to_wal = true;
    app.attach();
    assert_eq!(journal_mode(&app.daemon).unwrap(), "wal");
    app.run("INSERT INTO t VALUES (1)");
    assert_eq!(app.take_short_notes(), ["insert t 1"]);
}

#[test]
fn fingerprints_are_of_what_rows_can_be_not_of_how_it_is_written() {
    let of = |schema: &str| {
        let app = App::new(schema);
        let catalog = Catalog::read(&app.daemon, &DeclaredKeys::new()).unwrap();
        fingerprint(catalog.table("t").unwrap())
    };
    let plain = of("CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a INTEGER DEFAULT 1, b TEXT UNIQUE)");
    let same = of(
        "CREATE TABLE \"t\" (b text, id Text NOT NULL, a integer default (1), PRIMARY KEY (id)); CREATE UNIQUE INDEX x ON t (b)",
    );
    assert_eq!(plain, same);
    for other in [
        "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a INTEGER DEFAULT 2, b TEXT UNIQUE)",
        "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a INTEGER DEFAULT 1, b TEXT)",
        "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a INTEGER NOT NULL DEFAULT 1, b TEXT UNIQUE)",
        "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a INTEGER DEFAULT 1, b TEXT COLLATE NOCASE UNIQUE)",
        "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a INTEGER DEFAULT 1, b TEXT UNIQUE REFERENCES t)",
    ] {
        assert_ne!(plain, of(other), "{other}");
    }
}

//! Full-text indexes and other things that the application's triggers maintain are right at the receiver too, whatever the application
//! does to its schema.

use std::collections::BTreeSet;

use rowmesh_core::value::TableName;
use rowmesh_sqlite::carry::Carried;
use rowmesh_sqlite::connection::{LOCK_PATIENCE, begin_immediate};

use crate::app::App;

/// Products with an external-content index, kept by triggers as SQLite's manual shows.
const PRODUCTS: &str = "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, about TEXT, price REAL);
    CREATE VIRTUAL TABLE found USING fts5(name, about, content = 'products', content_rowid = 'id');
    CREATE TRIGGER found_insert AFTER INSERT ON products BEGIN
        INSERT INTO found (rowid, name, about) VALUES (new.id, new.name, new.about); END;
    CREATE TRIGGER found_delete AFTER DELETE ON products BEGIN
        INSERT INTO found (found, rowid, name, about) VALUES ('delete', old.id, old.name, old.about); END;
    CREATE TRIGGER found_update AFTER UPDATE OF name, about ON products BEGIN
        INSERT INTO found (found, rowid, name, about) VALUES ('delete', old.id, old.name, old.about);
        INSERT INTO found (rowid, name, about) VALUES (new.id, new.name, new.about); END;";

/// Writes as the daemon does: in a transaction, with copies that fit the schema of this moment.
fn write(app: &App, carried: &mut Carried, sql: &str) {
    let tracked: BTreeSet<TableName> = BTreeSet::from(["products".into()]);
    begin_immediate(&app.daemon, LOCK_PATIENCE).unwrap();
    carried.refresh(&app.daemon, &tracked).unwrap();
    app.daemon.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    app.daemon.execute_batch("COMMIT").unwrap();
}

fn check_index(app: &App, word: &str, expected: &[i64]) {
    let mut statement = app.app.prepare("SELECT rowid FROM found WHERE found MATCH ?1 ORDER BY rowid").unwrap();
    let rows: Vec<i64> = statement.query_map([word], |row| row.get(0)).unwrap().map(|row| row.unwrap()).collect();
    assert_eq!(rows, expected, "{word}");
    app.app
        .execute("INSERT INTO found (found, rank) VALUES ('integrity-check', 1)", [])
        .expect("the index fits the table");
}

#[test]
fn b9_full_text_indexes_are_right_at_the_receiver_exactly_once() {
    let app = App::attached(PRODUCTS);
    let mut carried = Carried::default();
    app.run("INSERT INTO products VALUES (1, 'red chair', 'wood', 5)");
    write(&app, &mut carried, "INSERT INTO products VALUES (2, 'blue chair', 'steel', 6), (3, 'lamp', 'glass', 7)");
    check_index(&app, "chair", &[1, 2]);
    write(
        &app,
        &mut carried,
        "UPDATE products SET name = 'green table' WHERE id = 1; UPDATE products SET price = 9; DELETE FROM products WHERE id = 2",
    );
    check_index(&app, "chair", &[]);
    check_index(&app, "green", &[1]);
    app.run("UPDATE products SET name = 'chair again' WHERE id = 3");
    check_index(&app, "chair", &[3]);
    let noted = app.take_short_notes();
    assert_eq!(noted, ["insert products 1", "update products 3"], "only what the application wrote");
}

#[test]
fn q25_renaming_and_dropping_columns_does_not_stop_our_writes() {
    let app = App::attached(PRODUCTS);
    let mut carried = Carried::default();
    write(&app, &mut carried, "INSERT INTO products VALUES (1, 'chair', 'wood', 5)");

    app.run("ALTER TABLE products RENAME COLUMN price TO cost; ALTER TABLE products DROP COLUMN cost");
    write(&app, &mut carried, "INSERT INTO products VALUES (2, 'stool', 'oak')");
    check_index(&app, "oak", &[2]);

    // A column that the triggers name is renamed with them; SQLite refuses to drop it, so the application makes the triggers anew.
    app.run(
        "DROP TRIGGER found_insert; DROP TRIGGER found_update; DROP TRIGGER found_delete; DROP TABLE found;
         ALTER TABLE products DROP COLUMN about; ALTER TABLE products RENAME COLUMN name TO title;
         CREATE VIRTUAL TABLE found USING fts5(title, content = 'products', content_rowid = 'id');
         INSERT INTO found (found) VALUES ('rebuild');
         CREATE TRIGGER found_insert AFTER INSERT ON products BEGIN INSERT INTO found (rowid, title) VALUES (new.id, new.title); END;
         CREATE TRIGGER found_delete AFTER DELETE ON products BEGIN
             INSERT INTO found (found, rowid, title) VALUES ('delete', old.id, old.title); END;",
    );
    write(&app, &mut carried, "INSERT INTO products VALUES (3, 'bench'); DELETE FROM products WHERE id = 1");
    check_index(&app, "bench", &[3]);
    check_index(&app, "chair", &[]);
    app.run("ALTER TABLE products RENAME COLUMN title TO label");
    write(&app, &mut carried, "INSERT INTO products VALUES (4, 'sofa')");
    assert!(
        carried.triggers().all(|trigger| trigger.treatment.is_carried()),
        "{:?}",
        carried.triggers().collect::<Vec<_>>()
    );
}

#[test]
fn q25_a_table_that_is_rebuilt_or_gone_for_a_while_gets_fresh_copies() {
    let app = App::attached(PRODUCTS);
    let mut carried = Carried::default();
    write(&app, &mut carried, "INSERT INTO products VALUES (1, 'chair', 'wood', 5)");
    app.run("DROP TABLE products");
    write(&app, &mut carried, "SELECT 1");
    app.run(
        "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE log (name);
         CREATE TRIGGER logging AFTER INSERT ON products BEGIN INSERT INTO log VALUES (new.name); END;",
    );
    write(&app, &mut carried, "INSERT INTO products VALUES (7, 'lamp')");
    assert_eq!(app.number("SELECT count(*) FROM log WHERE name = 'lamp'"), 1);
    assert_eq!(app.number("SELECT count(*) FROM log"), 1, "no copy from before");
}

#[test]
fn checks_of_the_application_do_not_veto_what_another_node_accepted() {
    let app = App::attached(
        "CREATE TABLE products (id INTEGER PRIMARY KEY, price REAL);
         CREATE TRIGGER no_gifts BEFORE INSERT ON products WHEN new.price <= 0 BEGIN SELECT RAISE(ABORT, 'no gifts'); END;",
    );
    let mut carried = Carried::default();
    write(&app, &mut carried, "INSERT INTO products VALUES (1, 0)");
    app.app
        .execute("INSERT INTO products VALUES (2, 0)", [])
        .expect_err("the application's own connection still checks");
    assert!(carried.triggers().next().unwrap().treatment.reason().contains("obeyed where they were made"));
}

#[test]
fn what_triggers_write_to_tracked_tables_travels_and_is_not_written_again() {
    let app = App::attached(
        "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, touched INTEGER DEFAULT 0);
         CREATE TRIGGER touch AFTER UPDATE OF name ON products BEGIN UPDATE products SET touched = touched + 1 WHERE id = new.id; END;
         INSERT INTO products (id, name) VALUES (1, 'a');",
    );
    let mut carried = Carried::default();
    write(&app, &mut carried, "UPDATE products SET name = 'b' WHERE id = 1");
    assert_eq!(app.number("SELECT touched FROM products"), 0);
    app.run("UPDATE products SET name = 'c' WHERE id = 1");
    assert_eq!(app.number("SELECT touched FROM products"), 1);
}

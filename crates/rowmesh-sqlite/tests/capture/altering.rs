//! The application alters its schema under our triggers: nothing fails, capture goes on, and following tells what happened.

use rowmesh_engine::changes::ChangeKind;
use rowmesh_sqlite::connection::Location;
use rowmesh_sqlite::watch::{FileState, Watch};
use rusqlite::Connection;

use crate::app::App;

const ORDERS: &str = "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT);
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers, note TEXT, total REAL DEFAULT 0);
    CREATE INDEX orders_customer ON orders (customer_id);
    INSERT INTO customers VALUES (1, 'Ann'); INSERT INTO orders (id, customer_id) VALUES (1, 1), (2, 1);";

fn changed(table: &str, kind: ChangeKind) -> (String, ChangeKind) {
    (table.to_owned(), kind)
}

#[test]
fn columns_are_added_renamed_and_dropped_as_if_we_were_not_there() {
    for legacy in ["OFF", "ON"] {
        let mut app = App::attached(ORDERS);
        app.run(&format!("PRAGMA legacy_alter_table = {legacy}"));
        app.run(
            "ALTER TABLE orders ADD COLUMN paid INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE orders RENAME COLUMN note TO remark;
             ALTER TABLE orders DROP COLUMN total;
             ALTER TABLE orders RENAME COLUMN id TO number;
             UPDATE orders SET number = 7 WHERE number = 1;",
        );
        let mut notes = app.take_short_notes();
        notes.sort();
        assert_eq!(notes, ["rekey orders 1", "update orders 7"], "before we have looked, legacy {legacy}");
        assert_eq!(app.follow(), [changed("orders", ChangeKind::Altered)]);
        app.run("INSERT INTO orders (customer_id) VALUES (1)");
        assert_eq!(app.take_short_notes(), ["insert orders 8"]);
        assert_eq!(app.follow(), []);
    }
}

#[test]
fn a_renamed_table_keeps_being_captured_and_is_told_apart_from_a_new_one() {
    for legacy in ["OFF", "ON"] {
        let mut app = App::attached(ORDERS);
        app.run(&format!("PRAGMA legacy_alter_table = {legacy}"));
        app.run("ALTER TABLE orders RENAME TO purchases; UPDATE purchases SET note = 'x' WHERE id = 2");
        assert_eq!(
            app.take_short_notes(),
            ["update orders 2"],
            "the number stays until we have looked, legacy {legacy}"
        );
        assert_eq!(app.follow(), [changed("purchases", ChangeKind::Renamed { from: "orders".into() })]);
        app.run("UPDATE purchases SET note = 'y' WHERE id = 2");
        assert_eq!(app.take_short_notes(), ["update purchases 2"]);
        assert_eq!(app.follow(), []);
    }
}

#[test]
fn renaming_a_parent_alters_its_children_and_nothing_else() {
    let mut app = App::attached(ORDERS);
    app.run("ALTER TABLE customers RENAME TO clients");
    let changes = app.follow();
    assert!(changes.contains(&changed("clients", ChangeKind::Renamed { from: "customers".into() })), "{changes:?}");
    assert!(changes.contains(&changed("orders", ChangeKind::Altered)), "{changes:?}");
    assert_eq!(changes.len(), 2);
}

/// How migration tools rebuild a table, each statement on its own.
const REBUILDS: [&[&str]; 3] = [
    // Prisma
    &[
        "PRAGMA foreign_keys = OFF",
        "CREATE TABLE \"new_orders\" (\"id\" INTEGER NOT NULL PRIMARY KEY, \"customer_id\" INTEGER, \"note\" TEXT NOT NULL DEFAULT '')",
        "INSERT INTO \"new_orders\" (\"id\", \"customer_id\", \"note\") SELECT \"id\", \"customer_id\", coalesce(\"note\", '') FROM \"orders\"",
        "DROP TABLE \"orders\"",
        "ALTER TABLE \"new_orders\" RENAME TO \"orders\"",
        "CREATE INDEX \"orders_customer\" ON \"orders\" (\"customer_id\")",
        "PRAGMA foreign_key_check",
    ],
    // Django
    &[
        "CREATE TABLE \"new__orders\" (\"id\" integer NOT NULL PRIMARY KEY AUTOINCREMENT, \"customer_id\" integer NULL, \"note\" text NULL)",
        "INSERT INTO \"new__orders\" (\"id\", \"customer_id\", \"note\") SELECT \"id\", \"customer_id\", \"note\" FROM \"orders\"",
        "DROP TABLE \"orders\"",
        "ALTER TABLE \"new__orders\" RENAME TO \"orders\"",
    ],
    // The order that SQLite's manual warns of
    &[
        "PRAGMA legacy_alter_table = ON",
        "ALTER TABLE orders RENAME TO old_orders",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, note TEXT)",
        "INSERT INTO orders SELECT id, customer_id, note FROM old_orders",
        "DROP TABLE old_orders",
    ],
];

#[test]
fn b6_a_rebuilt_table_is_attached_again_and_compared() {
    for steps in REBUILDS {
        let mut app = App::attached(ORDERS);
        app.run("BEGIN");
        steps.iter().for_each(|step| app.run(step));
        app.run("COMMIT");
        app.take_notes();
        assert_eq!(app.follow(), [changed("orders", ChangeKind::Rebuilt)], "{}", steps[1]);
        app.run("UPDATE orders SET note = 'x' WHERE id = 1");
        assert_eq!(app.take_short_notes(), ["update orders 1"]);
        assert_eq!(app.follow(), []);
    }
}

#[test]
fn b6_a_rebuild_that_we_watch_step_by_step_ends_the_same_and_never_syncs_the_stand_in() {
    for steps in REBUILDS.iter().take(2) {
        let mut app = App::attached(ORDERS);
        let mut changes = Vec::new();
        for step in *steps {
            app.run(step);
            changes.extend(app.follow());
        }
        let of_orders: Vec<_> =
            changes.iter().filter(|(table, _)| table == "orders").map(|(_, kind)| kind.clone()).collect();
        assert_eq!(&of_orders[..2], [ChangeKind::Dropped, ChangeKind::Rebuilt], "{changes:?}");
        assert!(changes.iter().all(|(table, _)| table == "orders"), "{changes:?}");
        app.take_notes();
        app.run("DELETE FROM orders WHERE id = 2");
        assert_eq!(app.take_short_notes(), ["delete orders 2"]);
    }
}

#[test]
fn b6_a_rebuild_by_the_book_that_brings_our_triggers_back_is_still_noticed() {
    let mut app = App::attached(ORDERS);
    let triggers: Vec<String> = app
        .schema(false)
        .into_iter()
        .filter(|(kind, _, table, _)| kind == "trigger" && table == "orders")
        .map(|(_, _, _, sql)| sql.unwrap())
        .collect();
    let table = app.schema(false).into_iter().find(|(_, name, _, _)| name == "orders").unwrap().3.unwrap();
    app.run("BEGIN");
    app.run(&table.replace("CREATE TABLE orders", "CREATE TABLE built"));
    app.run("INSERT INTO built SELECT id, customer_id, 'changed on the way', total FROM orders; DROP TABLE orders; ALTER TABLE built RENAME TO orders");
    app.run("CREATE INDEX orders_customer ON orders (customer_id)");
    triggers.iter().for_each(|sql| app.run(sql));
    app.run("COMMIT");
    assert_eq!(app.follow(), [changed("orders", ChangeKind::Rebuilt)]);
}

#[test]
fn b6_triggers_dropped_by_hand_are_made_anew() {
    let mut app = App::attached(ORDERS);
    app.run("DROP TRIGGER rowmesh_capture_2_update; UPDATE orders SET note = 'missed'");
    assert_eq!(app.take_short_notes(), [""; 0]);
    assert_eq!(app.follow(), [changed("orders", ChangeKind::TriggersVanished)]);
    app.run("UPDATE orders SET note = 'seen' WHERE id = 1");
    assert_eq!(app.take_short_notes(), ["update orders 1"]);
}

#[test]
fn tables_that_come_and_go_are_followed() {
    let mut app = App::attached(ORDERS);
    app.run("CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL); CREATE TABLE heap (a); DROP TABLE orders");
    assert_eq!(app.follow(), [changed("notes", ChangeKind::Appeared), changed("orders", ChangeKind::Dropped)]);
    app.run("CREATE TABLE orders (id INTEGER PRIMARY KEY)");
    assert_eq!(app.follow(), [changed("orders", ChangeKind::Rebuilt)], "a name means the same table for ever");
    app.options.exclude.push("not*".into());
    assert_eq!(app.follow(), [changed("notes", ChangeKind::Left { reason: "excluded: pattern not*".into() })]);
    app.run("INSERT INTO notes VALUES ('a')");
    assert_eq!(app.take_notes(), []);
}

#[test]
fn i11_a_tool_that_drops_our_tables_stops_the_application_only_until_we_look() {
    for dropped in [&["rowmesh_dirty"][..], &["rowmesh_tables"], &["rowmesh_dirty", "rowmesh_tables", "rowmesh_facts"]]
    {
        let mut app = App::attached(ORDERS);
        let number = app.number("SELECT t FROM rowmesh_tables WHERE name = 'orders'");
        dropped.iter().for_each(|table| app.run(&format!("DROP TABLE {table}")));
        let kinds: Vec<_> = app.follow().into_iter().map(|(table, kind)| (table, kind.clone())).collect();
        assert_eq!(kinds.len(), 2, "{dropped:?}: {kinds:?}");
        assert!(
            kinds.iter().all(|(_, kind)| matches!(kind, ChangeKind::NotesLost | ChangeKind::Rebuilt)),
            "{dropped:?}: {kinds:?}"
        );
        assert_eq!(app.number("SELECT t FROM rowmesh_tables WHERE name = 'orders'"), number, "numbers stay");
        app.run("UPDATE orders SET note = 'x' WHERE id = 1");
        assert_eq!(app.take_short_notes(), ["update orders 1"]);
        assert_eq!(app.follow(), []);
    }
}

#[test]
fn i11_a_database_that_lost_everything_of_ours_is_not_attached() {
    let mut app = App::attached(ORDERS);
    rowmesh_sqlite::attach::detach(&mut app.daemon).unwrap();
    let refused = rowmesh_sqlite::attach::follow(&mut app.daemon, &app.options).expect_err("nothing to follow");
    assert_eq!(refused.code(), "RM2109");
}

#[test]
fn vacuum_costs_a_comparison_and_nothing_else() {
    let mut app = App::attached(ORDERS);
    app.run("CREATE TABLE filler (id INTEGER PRIMARY KEY, a); DROP TABLE filler; VACUUM; PRAGMA user_version = 9");
    for (_, kind) in app.follow() {
        assert_eq!(kind, ChangeKind::Rebuilt);
    }
    app.run("UPDATE orders SET note = 'x' WHERE id = 1");
    assert_eq!(app.take_short_notes(), ["update orders 1"]);
}

#[test]
fn a_watch_tells_rows_schema_and_file_apart() {
    let app = App::attached(ORDERS);
    let mut watch = Watch::begin(&app.daemon, &Location::File(app.path.clone())).unwrap();
    let first = watch.look(&app.daemon).unwrap();
    assert!(first.schema_changed && !first.data_changed, "a schema is followed at the start");
    watch.followed(app.number("PRAGMA schema_version"));
    assert!(!watch.look(&app.daemon).unwrap().schema_changed);

    app.run("UPDATE orders SET note = 'x'");
    let seen = watch.look(&app.daemon).unwrap();
    assert!(seen.data_changed && !seen.schema_changed);
    assert!(!watch.look(&app.daemon).unwrap().data_changed, "told once");

    app.run("CREATE INDEX orders_note ON orders (note)");
    assert!(watch.look(&app.daemon).unwrap().schema_changed);
    assert!(watch.look(&app.daemon).unwrap().schema_changed, "told until it was followed");
    assert_eq!(watch.look(&app.daemon).unwrap().file, FileState::Same);
}

#[test]
fn b14_a_file_that_was_put_in_the_place_of_the_database_is_noticed() {
    let app = App::attached(ORDERS);
    let mut watch = Watch::begin(&app.daemon, &Location::File(app.path.clone())).unwrap();
    let copy = app.path.with_extension("copy");
    app.app.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    std::fs::rename(&copy, &app.path).unwrap();
    assert_eq!(watch.look(&app.daemon).unwrap().file, FileState::Replaced);
    std::fs::remove_file(&app.path).unwrap();
    assert_eq!(watch.look(&app.daemon).unwrap().file, FileState::Missing);
}

#[test]
fn b14_vacuum_and_a_switched_journal_are_not_another_file() {
    let app = App::attached(ORDERS);
    let mut watch = Watch::begin(&app.daemon, &Location::File(app.path.clone())).unwrap();
    app.run("VACUUM; PRAGMA user_version = 5");
    assert_eq!(watch.look(&app.daemon).unwrap().file, FileState::Same);
    let fresh = Connection::open(&app.path).unwrap();
    fresh.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert_eq!(watch.look(&app.daemon).unwrap().file, FileState::Same);
}

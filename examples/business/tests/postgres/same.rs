//! What the application does on PostgreSQL is what it does on SQLite: after the same calls both hold the same rows, value for
//! value, and say the same.

use std::collections::BTreeMap;

use business::{
    Database, Desk, Key, Purpose, Row, Seed, Transaction, Workload, bulk_delete, bulk_insert, bulk_update, demo_rows,
    demo_tables, generate, read_row, read_rows, sample_delete, sample_insert, sample_key, sample_update, sample_upsert,
};
use rusqlite::Connection;

use crate::{
    server::Server,
    support::{count, empty, strings},
};

/// The application on both, without a row.
fn both() -> (Connection, Server) {
    (empty(), Server::created())
}

/// Does it on both and asserts that both say the same.
fn check_same<T: PartialEq + std::fmt::Debug>(
    both: &(Connection, Server),
    mut act: impl FnMut(&dyn Database) -> T,
) -> T {
    let said = act(&both.0);
    assert_eq!(said, act(&*both.1.app), "said by SQLite and by PostgreSQL");
    said
}

/// Asserts that all rows are the same, naming the first that is not.
fn check_same_rows((sqlite, server): &(Connection, Server)) {
    for table in business::tables() {
        let (expected, found) = (rows_by_key(sqlite, table), rows_by_key(&*server.app, table));
        for (key, row) in &expected {
            assert_eq!(Some(row), found.get(key), "{} {key}", table.name);
        }
        assert_eq!(expected.len(), found.len(), "rows of {}", table.name);
    }
}

fn rows_by_key(db: &dyn Database, table: &business::TableInfo) -> BTreeMap<String, Row> {
    let key = |row: &Row| {
        format!("{:?}", row.iter().filter(|(name, _)| table.key.contains(&name.as_str())).collect::<Vec<_>>())
    };
    read_rows(db, table.name).unwrap().into_iter().map(|row| (key(&row), row)).collect()
}

#[test]
fn the_same_seed_makes_the_same_rows() {
    for seed in [Seed::small(4), Seed::new(1), Seed::small(2).without_demo_data()] {
        let both = both();
        check_same(&both, |db| generate(db, &seed).unwrap());
        check_same_rows(&both);
    }
}

#[test]
fn seeding_twice_fails_and_changes_nothing() {
    let both = both();
    check_same(&both, |db| generate(db, &Seed::small(1)).unwrap());
    let refused = generate(&*both.1.app, &Seed::small(1)).unwrap_err();
    assert!(refused.to_string().contains("duplicate key value violates unique constraint"), "{refused}");
    check_same_rows(&both);
}

#[test]
fn five_hundred_steps_say_the_same_and_leave_the_same_rows() {
    let both = both();
    check_same(&both, |db| generate(db, &Seed::new(1)).unwrap());
    check_same(&both, |db| {
        let mut workload = Workload::new(1, "A");
        (0..500).map(|_| workload.step(db).unwrap()).collect::<Vec<_>>()
    });
    check_same_rows(&both);
}

#[test]
fn a_server_that_sorts_as_people_do_changes_nothing() {
    let both = both();
    for (table, column) in [("businesses", "id"), ("business_orders", "order_number")] {
        let sort = format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE text COLLATE \"en-x-icu\"");
        both.1.app.run(&sort).unwrap();
    }
    check_same(&both, |db| generate(db, &Seed::small(1)).unwrap());
    for tag in ["Zulu", "alpha"] {
        check_same(&both, |db| sample_insert(db, "businesses", tag).unwrap());
    }
    check_same(&both, |db| db.run("UPDATE businesses SET is_active = true").unwrap());
    assert_eq!(strings(&*both.1.app, "SELECT id FROM businesses ORDER BY id")[0], "alpha-business");
    check_same(&both, |db| {
        // Started again, so that the second run looks for the last order number of the first.
        [1, 2].map(|seed| {
            let mut run = Workload::new(seed, "b");
            (0..100).map(|_| run.step(db).unwrap()).collect::<Vec<_>>()
        })
    });
    check_same_rows(&both);
}

#[test]
fn a_failed_step_leaves_nothing_behind_and_the_next_one_works() {
    let server = Server::created();
    generate(&*server.app, &Seed::small(1)).unwrap();
    let mut workload = Workload::new(1, "A");
    let constraint = "ALTER TABLE business_stock_movements ADD CONSTRAINT refused CHECK (type <> 'SALE') NOT VALID";
    server.app.run(constraint).unwrap();
    let failures = (0..100).filter(|_| {
        let before = count(&*server.app, "business_orders");
        let failed = workload.step(&*server.app).is_err();
        assert!(!server.app.is_in_transaction());
        assert!(!failed || count(&*server.app, "business_orders") == before, "a failed sale left its order");
        failed
    });
    assert!(failures.count() > 5);
}

#[test]
fn an_empty_database_leaves_a_workload_idle() {
    let both = both();
    check_same(&both, |db| Workload::new(1, "A").step(db).unwrap());
    assert!(!both.1.app.is_in_transaction());
}

#[test]
fn the_demo_rule_covers_the_same_rows() {
    let both = both();
    check_same(&both, |db| generate(db, &Seed::small(1)).unwrap());
    let covered = check_same(&both, |db| demo_rows(db).unwrap());
    assert!(covered.len() > 100);
    check_same(&both, |db| demo_tables(db).unwrap());
}

#[test]
fn the_audit_log_goes_on_with_numbers_of_its_own() {
    let both = both();
    check_same(&both, |db| generate(db, &Seed::small(1)).unwrap());
    let add = "INSERT INTO audit_logs (action, entity_type, created_at) VALUES ('X', 'Y', '2026-01-01T00:00:00.000Z') RETURNING id";
    assert_eq!(check_same(&both, |db| db.one::<i64>(add, &[]).unwrap()), 4);
}

/// Runs an operation on each table of a filled and of an empty database, and compares the rows.
fn check_each_table<T: PartialEq + std::fmt::Debug>(mut operation: impl FnMut(&dyn Database, &str) -> T) {
    for is_filled in [true, false] {
        let both = both();
        if is_filled {
            check_same(&both, |db| generate(db, &Seed::small(1)).unwrap());
        }
        for table in business::tables() {
            check_same(&both, |db| operation(db, table.name));
        }
        check_same_rows(&both);
    }
}

fn row(db: &dyn Database, table: &str, key: &Key) -> Row {
    read_row(db, table, key).unwrap().unwrap_or_else(|| panic!("{table} lacks {key:?}"))
}

#[test]
fn a_row_of_each_table_can_be_created_updated_and_deleted() {
    check_each_table(|db, table| {
        let (kept, gone) = (format!("{table}-kept"), format!("{table}-gone"));
        let key = sample_insert(db, table, &kept).unwrap();
        assert_eq!(sample_key(db, table, &kept).unwrap(), key);
        let before = row(db, table, &key);
        assert_eq!(sample_update(db, table, &kept, 1).unwrap(), key);
        let after = row(db, table, &key);
        assert_ne!(before, after, "{table}");
        let deleted = sample_insert(db, table, &gone).unwrap();
        assert_eq!(sample_delete(db, table, &gone).unwrap(), deleted);
        assert_eq!(read_row(db, table, &deleted).unwrap(), None);
        assert!(sample_delete(db, table, &gone).is_err(), "deleting nothing must be noticed");
        (before, after, deleted)
    });
}

#[test]
fn an_upsert_of_each_table_first_inserts_and_then_updates() {
    check_each_table(|db, table| {
        let rounds = [0, 1, 2].map(|round| {
            let key = sample_upsert(db, table, table, round).unwrap();
            row(db, table, &key)
        });
        assert!(rounds[0] != rounds[1] && rounds[1] != rounds[2], "{table}");
        rounds
    });
}

#[test]
fn rows_of_each_table_can_be_updated_and_deleted_in_bulk() {
    check_each_table(|db, table| {
        let keys = bulk_insert(db, table, table, 7).unwrap();
        let before: Vec<Row> = keys.iter().map(|key| row(db, table, key)).collect();
        assert_eq!(bulk_update(db, table, table, 7, 1).unwrap(), keys);
        let after: Vec<Row> = keys.iter().map(|key| row(db, table, key)).collect();
        assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{table}");
        assert_eq!(bulk_delete(db, table, table, 3).unwrap(), keys[..3]);
        (before, after)
    });
}

#[test]
fn samples_are_part_of_the_callers_transaction() {
    let server = Server::created();
    let transaction = Transaction::begin(&*server.app, Purpose::Writing).unwrap();
    sample_insert(&*server.app, "business_order_items", "t").unwrap();
    bulk_insert(&*server.app, "chat_messages", "t", 3).unwrap();
    assert_eq!(count(&*server.app, "chat_messages"), 3);
    drop(transaction);
    assert_eq!(
        count(&*server.app, "business_order_items")
            + count(&*server.app, "businesses")
            + count(&*server.app, "chat_messages"),
        0
    );
}

#[test]
fn desks_on_both_show_the_same_contents() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::empty());
    let guest = "00000000-0000-4000-8000-000000000001";
    let contents = [folder.path().join("shop.db").into_os_string(), server.url().into()].map(|place| {
        Desk::create(&place).unwrap().seed(&Seed::small(1)).unwrap();
        let desk = Desk::open(&place).unwrap();
        desk.add_customer(guest, "A guest").unwrap();
        desk.change_phone(guest, "+263 77 000 0000").unwrap();
        assert_eq!(desk.customer(guest).unwrap().unwrap().phone, "+263 77 000 0000");
        (desk.contents().unwrap(), desk.customers(10).unwrap())
    });
    assert_eq!(contents[0], contents[1]);
    assert_eq!(contents[0].0.len(), 70);
}

#[test]
fn the_program_takes_a_url() {
    let server = Server::empty();
    let run = |arguments: &[&str]| {
        let program = std::process::Command::new(env!("CARGO_BIN_EXE_business")).args(arguments).output().unwrap();
        assert!(program.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&program.stderr));
        String::from_utf8(program.stdout).unwrap()
    };
    let url = server.url();
    assert!(run(&["create", &url]).starts_with("created 74 tables in postgres://"));
    run(&["seed", &url, "--small", "--seed", "5"]);
    let said = run(&["work", &url, "--steps", "40", "--node", "shop1", "--seed", "9"]);
    assert_eq!(said.lines().count(), 40);
    assert!(said.contains("sold order shop1-1000001: "), "{said}");
}

#[test]
fn a_server_that_is_not_there_is_named_with_the_reason() {
    let error = business::open("postgres://nobody@%2Fnonexistent/none").unwrap_err().to_string();
    assert!(error.contains("error connecting to server: ") && error.contains("No such file"), "{error}");
}

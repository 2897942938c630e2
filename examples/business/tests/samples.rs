//! Every operation works on every table, one by one.

mod support;

use business::{Key, Seed, TableInfo, Value, bulk_delete, bulk_insert, bulk_update, demo_rows, read_row};
use rusqlite::Connection;
use support::{assert_sound, count, dump_table, empty, filled};

/// Runs `operation` on each table of a small and of an empty database, and checks the database after each.
fn check_each_table(operation: impl Fn(&Connection, &TableInfo)) {
    for conn in [filled(&Seed::small(1)), empty()] {
        for table in business::tables() {
            operation(&conn, table);
        }
        assert_sound(&conn);
    }
}

fn row(conn: &Connection, table: &TableInfo, key: &Key) -> Option<Vec<(String, Value)>> {
    read_row(conn, table.name, key).unwrap()
}

#[test]
fn a_row_of_each_table_can_be_created() {
    check_each_table(|conn, table| {
        assert_eq!(row(conn, table, &business::sample_key(conn, table.name, "t1").unwrap()), None);
        let key = business::sample_insert(conn, table.name, &format!("{}-t1", table.name)).unwrap();
        assert_eq!(key, business::sample_key(conn, table.name, &format!("{}-t1", table.name)).unwrap());
        assert_eq!(key.len(), table.key.len());
        assert!(row(conn, table, &key).is_some(), "{} lacks {key:?}", table.name);
    });
}

#[test]
fn a_row_of_each_table_can_be_updated_again_and_again() {
    check_each_table(|conn, table| {
        let key = business::sample_upsert(conn, table.name, "t1", 0).unwrap();
        let mut last = row(conn, table, &key).unwrap();
        for round in 1..4 {
            assert_eq!(business::sample_update(conn, table.name, "t1", round).unwrap(), key);
            let next = row(conn, table, &key).unwrap();
            assert_ne!(last, next, "round {round} changed nothing in {}", table.name);
            last = next;
        }
    });
}

#[test]
fn a_row_of_each_table_can_be_deleted() {
    check_each_table(|conn, table| {
        let tag = format!("{}-gone", table.name);
        let key = business::sample_insert(conn, table.name, &tag).unwrap();
        assert_eq!(business::sample_delete(conn, table.name, &tag).unwrap(), key);
        assert_eq!(row(conn, table, &key), None);
        assert!(business::sample_delete(conn, table.name, &tag).is_err(), "deleting nothing must be noticed");
    });
}

#[test]
fn an_upsert_of_each_table_first_inserts_and_then_updates() {
    check_each_table(|conn, table| {
        let tag = format!("{}-upsert", table.name);
        let key = business::sample_upsert(conn, table.name, &tag, 0).unwrap();
        let (before, rows) = (row(conn, table, &key).unwrap(), count(conn, &format!("\"{}\"", table.name)));
        assert_eq!(business::sample_upsert(conn, table.name, &tag, 1).unwrap(), key);
        assert_ne!(row(conn, table, &key).unwrap(), before, "{}", table.name);
        assert_eq!(count(conn, &format!("\"{}\"", table.name)), rows);
    });
}

#[test]
fn rows_of_each_table_can_be_updated_and_deleted_in_bulk() {
    check_each_table(|conn, table| {
        let tag = format!("{}-bulk", table.name);
        let keys = bulk_insert(conn, table.name, &tag, 7).unwrap();
        let before: Vec<_> = keys.iter().map(|key| row(conn, table, key).unwrap()).collect();
        assert_eq!(bulk_update(conn, table.name, &tag, 7, 1).unwrap(), keys);
        for (key, before) in keys.iter().zip(&before) {
            assert_ne!(row(conn, table, key).unwrap(), *before, "{}", table.name);
        }
        let others = count(conn, &format!("\"{}\"", table.name)) - 7;
        assert_eq!(bulk_delete(conn, table.name, &tag, 7).unwrap(), keys);
        assert_eq!(count(conn, &format!("\"{}\"", table.name)), others);
    });
}

#[test]
fn a_sample_carries_its_tag_in_its_texts() {
    let conn = empty();
    let shows_no_tag = |table: &&TableInfo| {
        let tag = format!("canary-{}", table.name);
        business::sample_insert(&conn, table.name, &tag).unwrap();
        !dump_table(&conn, table.name).contains(&tag)
    };
    let without: Vec<&str> = business::tables().iter().filter(shows_no_tag).map(|table| table.name).collect();
    assert_eq!(
        without,
        ["employee_benefits", "employee_leave_balances", "employee_allowances", "chat_participants"],
        "these have no text of their own"
    );
}

#[test]
fn a_tag_decides_whether_the_demo_rule_covers_the_sample() {
    let conn = filled(&Seed::small(1));
    let possible = business::demo_tables(&conn).unwrap();
    for table in business::tables() {
        for (tag, is_demo) in [("demo-sample", true), ("plain-sample", false)] {
            let key = business::sample_upsert(&conn, table.name, tag, 0).unwrap();
            let covered = demo_rows(&conn).unwrap().iter().any(|row| row.table == table.name && row.key == key);
            assert_eq!(covered, is_demo && possible.contains(table.name), "{} {tag}", table.name);
        }
    }
}

#[test]
fn samples_are_part_of_the_callers_transaction() {
    let conn = empty();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    business::sample_insert(&conn, "business_order_items", "t").unwrap();
    bulk_insert(&conn, "chat_messages", "t", 3).unwrap();
    conn.execute_batch("ROLLBACK").unwrap();
    assert_eq!(count(&conn, "business_order_items") + count(&conn, "businesses") + count(&conn, "chat_messages"), 0);
}

#[test]
fn the_same_tag_makes_the_same_row_in_every_database() {
    let make = || {
        let conn = empty();
        business::tables()
            .iter()
            .for_each(|table| drop(business::sample_upsert(&conn, table.name, "twin", 2).unwrap()));
        support::dump(&conn)
    };
    assert_eq!(make(), make());
}

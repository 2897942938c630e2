//! The SQLite schema agrees with the list of tables and keeps its own rules.

mod support;

use std::collections::BTreeSet;

use support::{empty, strings};

#[test]
fn the_list_names_every_table_of_the_schema() {
    let conn = empty();
    let created = strings(
        &conn,
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         AND name NOT LIKE 'product\\_search%' ESCAPE '\\' ORDER BY name",
    );
    let mut listed: Vec<&str> = business::tables().iter().map(|table| table.name).collect();
    listed.sort_unstable();
    assert_eq!(created, listed);
    assert_eq!(business::tables().iter().filter(|table| table.syncs).count(), 70);
}

#[test]
fn what_stays_on_one_server_is_marked_so() {
    let local: Vec<&str> = business::tables().iter().filter(|table| !table.syncs).map(|table| table.name).collect();
    assert_eq!(local, ["sessions", "verification_tokens", "audit_logs", "_prisma_migrations"]);
}

#[test]
fn the_listed_keys_are_the_primary_keys() {
    let conn = empty();
    for table in business::tables() {
        let key =
            strings(&conn, &format!("SELECT name FROM pragma_table_info('{}') WHERE pk > 0 ORDER BY pk", table.name));
        assert_eq!(key, table.key, "key of {}", table.name);
    }
}

#[test]
fn tables_stand_in_the_order_of_their_required_foreign_keys() {
    let conn = empty();
    let mut seen = BTreeSet::new();
    let mut forward = Vec::new();
    for table in business::tables() {
        let sql = format!(
            "SELECT DISTINCT f.\"table\" || CASE WHEN c.\"notnull\" THEN '!' ELSE '' END FROM pragma_foreign_key_list('{0}') AS f \
             JOIN pragma_table_info('{0}') AS c ON c.name = f.\"from\" WHERE f.\"table\" <> '{0}'",
            table.name
        );
        let missing = strings(&conn, &sql).into_iter().filter(|parent| !seen.contains(parent.trim_end_matches('!')));
        forward.extend(missing.map(|parent| format!("{} -> {parent}", table.name)));
        seen.insert(table.name);
    }
    assert_eq!(forward, ["users -> businesses"], "a ! marks a required parent that comes later");
}

#[test]
fn no_synced_table_numbers_its_own_rows() {
    let conn = empty();
    for table in business::tables().iter().filter(|table| table.syncs) {
        let sql =
            format!("SELECT name FROM pragma_table_info('{}') WHERE pk > 0 AND upper(type) LIKE '%INT%'", table.name);
        let numbers = strings(&conn, &sql);
        assert!(numbers.is_empty() || table.key.len() > 1, "{} has the generated key {numbers:?}", table.name);
    }
}

#[test]
fn every_foreign_key_has_an_index_and_says_what_a_delete_does() {
    let conn = empty();
    for table in business::tables() {
        let unindexed = strings(
            &conn,
            &format!(
                "SELECT f.\"from\" FROM pragma_foreign_key_list('{0}') AS f WHERE f.seq = 0 AND NOT EXISTS (\
                 SELECT 1 FROM pragma_index_list('{0}') AS l, pragma_index_info(l.name) AS i \
                 WHERE i.seqno = 0 AND i.name = f.\"from\" AND NOT l.partial)",
                table.name
            ),
        );
        assert!(unindexed.is_empty(), "{} lacks an index on {unindexed:?}", table.name);
        let vague = format!(
            "SELECT \"from\" FROM pragma_foreign_key_list('{}') WHERE on_delete NOT IN ('CASCADE', 'RESTRICT', 'SET NULL')",
            table.name
        );
        assert!(strings(&conn, &vague).is_empty(), "{}", table.name);
    }
}

#[test]
fn an_enumeration_refuses_other_values() {
    let conn = empty();
    business::sample_insert(&conn, "business_orders", "t").unwrap();
    let refused = conn.execute("UPDATE business_orders SET status = 'LOST'", []);
    assert!(refused.unwrap_err().to_string().contains("CHECK constraint failed"));
}

#[test]
fn creating_twice_fails_and_leaves_the_first_schema_alone() {
    let conn = empty();
    assert!(business::create(&conn).is_err());
    assert!(conn.is_autocommit());
    assert!(business::sample_insert(&conn, "users", "t").is_ok());
}

//! What an application writes on one node stands on the other: every kind of statement, conflicts, repetition, restarts.

use rowmesh_core::clock::WallTime;
use rowmesh_core::store::{NodeRecord, SessionRecord, Store};

use crate::mesh::{Node, check_equal, converge, everything_after, now};

const SHOP: &str = "
    CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT NOT NULL, phone TEXT, email TEXT UNIQUE);
    CREATE TABLE orders (id TEXT PRIMARY KEY, customer_id TEXT NOT NULL REFERENCES customers(id) ON DELETE CASCADE, total REAL);
    CREATE TABLE lines (order_id TEXT NOT NULL REFERENCES orders(id) ON DELETE CASCADE, line INTEGER NOT NULL, what TEXT, photo BLOB,
                        PRIMARY KEY (order_id, line)) WITHOUT ROWID;";

fn pair(schema: &str) -> Vec<Node> {
    vec![Node::new(1, schema), Node::new(2, schema)]
}

fn check(first: &str, second: &str) -> Vec<Node> {
    let mut nodes = pair(SHOP);
    nodes[0].run(first);
    converge(&mut nodes);
    check_equal(&mut nodes);
    nodes[0].run(second);
    converge(&mut nodes);
    check_equal(&mut nodes);
    nodes
}

#[test]
fn inserts_updates_and_deletes_arrive() {
    let nodes = check(
        "INSERT INTO customers VALUES ('a', 'Ann', '1', 'a@x'), ('b', 'Bob', NULL, NULL); INSERT INTO orders VALUES ('o', 'a', 1.5);",
        "UPDATE customers SET phone = '2' WHERE id = 'a'; DELETE FROM customers WHERE id = 'b'; INSERT INTO lines VALUES ('o', 1, 'gum', x'00ff');",
    );
    assert_eq!(nodes[1].query("SELECT phone FROM customers"), ["Text([50])"]);
    assert_eq!(nodes[1].query("SELECT photo FROM lines"), ["Blob([0, 255])"]);
}

#[test]
fn bulk_statements_upserts_and_cascades_arrive() {
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
         INSERT INTO customers SELECT 'c' || i, 'Name ' || i, i, 'e' || i FROM n;
         INSERT INTO orders SELECT 'o' || id, id, 1 FROM customers;";
    let nodes = check(
        many,
        "UPDATE customers SET name = name || '!' WHERE CAST(phone AS INTEGER) > 10; DELETE FROM customers WHERE CAST(phone AS INTEGER) <= 10;
         INSERT INTO customers VALUES ('c11', 'x', 0, 'y') ON CONFLICT (id) DO UPDATE SET name = excluded.name;",
    );
    assert_eq!(nodes[1].query("SELECT count(*) FROM customers WHERE name LIKE '%!' OR name = 'x'"), ["Integer(11990)"]);
    assert_eq!(nodes[1].query("SELECT count(*) FROM orders"), ["Integer(11990)"]);
}

/// More than a changeset can name. Parking concerns the tables alone: everything else goes on, both ways.
#[test]
fn any_number_of_changes_may_wait_for_a_table_while_sealing_and_receiving_go_on() {
    let mut nodes = pair(SHOP);
    nodes[0].run("INSERT INTO customers VALUES ('a', 'Ann', '1', NULL), ('b', 'Bob', '2', NULL)");
    converge(&mut nodes);
    nodes[1].run("DROP TABLE lines; DROP TABLE orders");
    nodes[0].run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10100)
         INSERT INTO orders SELECT 'o' || i, 'a', i FROM n",
    );
    converge(&mut nodes);
    nodes[1].run("UPDATE customers SET phone = '3' WHERE id = 'a'");
    nodes[0].run("UPDATE customers SET name = 'Bert' WHERE id = 'b'");
    converge(&mut nodes);
    for node in &mut nodes {
        let rows = node.query("SELECT name || ' ' || phone FROM customers ORDER BY id");
        assert_eq!(rows, ["Text([65, 110, 110, 32, 51])", "Text([66, 101, 114, 116, 32, 50])"]);
    }
    assert!(nodes[1].store.parked().expect("read").len() >= 10_100);
}

#[test]
fn b1_what_replace_removes_is_removed_everywhere() {
    let nodes = check(
        "INSERT INTO customers VALUES ('a', 'Ann', '1', 'a@x'), ('b', 'Bob', '2', 'b@x')",
        "INSERT OR REPLACE INTO customers VALUES ('c', 'Cid', '3', 'a@x'); UPDATE OR REPLACE customers SET email = 'a@x' WHERE id = 'b'",
    );
    assert_eq!(nodes[1].query("SELECT id, email FROM customers"), ["Text([98])|Text([97, 64, 120])"]);
}

#[test]
fn e3_unique_values_swap_and_rotate_inside_a_transaction() {
    let nodes = check(
        "INSERT INTO customers VALUES ('a', 'A', '', '1'), ('b', 'B', '', '2'), ('c', 'C', '', '3')",
        "BEGIN; UPDATE customers SET email = 'x' WHERE id = 'a'; UPDATE customers SET email = '1' WHERE id = 'c';
         UPDATE customers SET email = '3' WHERE id = 'b'; UPDATE customers SET email = '2' WHERE id = 'a'; COMMIT",
    );
    assert_eq!(
        nodes[1].query("SELECT id || email FROM customers ORDER BY id"),
        ["Text([97, 50])", "Text([98, 51])", "Text([99, 49])"]
    );
}

#[test]
fn e1_a_changed_primary_key_moves_the_row_and_its_children() {
    let mut nodes = pair(
        "CREATE TABLE a (id TEXT PRIMARY KEY, v);
         CREATE TABLE b (id TEXT PRIMARY KEY, a TEXT REFERENCES a(id) ON UPDATE CASCADE)",
    );
    nodes[0].run("INSERT INTO a VALUES ('x', 1); INSERT INTO b VALUES ('p', 'x')");
    converge(&mut nodes);
    nodes[0].run("UPDATE a SET id = 'y'");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].query("SELECT a.id, b.a FROM a, b"), ["Text([121])|Text([121])"]);
}

#[test]
fn concurrent_edits_of_different_columns_both_survive_without_a_ledger_entry() {
    let mut nodes = check("INSERT INTO customers VALUES ('a', 'Ann', '1', NULL)", "");
    nodes[0].run("UPDATE customers SET phone = '2'");
    nodes[1].run("UPDATE customers SET name = 'Anna'");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].query("SELECT name || phone FROM customers"), ["Text([65, 110, 110, 97, 50])"]);
    assert_eq!(nodes[0].ledger(), Vec::<String>::new());
}

#[test]
fn concurrent_edits_of_one_column_leave_the_loser_in_the_ledger() {
    let mut nodes = check("INSERT INTO customers VALUES ('a', 'Ann', '1', NULL)", "");
    nodes[0].run("UPDATE customers SET phone = '2'");
    nodes[0].seal();
    nodes[1].run("UPDATE customers SET phone = '3'");
    converge(&mut nodes);
    check_equal(&mut nodes);
    let ledger = nodes[0].ledger();
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    nodes[1].run("UPDATE customers SET phone = '4'");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert!(nodes[0].ledger()[0].contains("Text([115, 117, 112"), "superseded once somebody edits on top of both");
}

#[test]
fn f6_a_row_deleted_here_and_edited_there_stands_with_all_its_columns() {
    let mut nodes = check("INSERT INTO customers VALUES ('a', 'Ann', '1', 'e')", "");
    nodes[0].run("DELETE FROM customers");
    nodes[1].run("UPDATE customers SET phone = '3'");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(
        nodes[0].query("SELECT name, phone, email FROM customers"),
        ["Text([65, 110, 110])|Text([51])|Text([101])"]
    );
    assert_eq!(nodes[0].ledger().len(), 1);
}

#[test]
fn f7_equal_edits_on_both_sides_are_no_conflict() {
    let mut nodes = check("INSERT INTO customers VALUES ('a', 'Ann', '1', NULL)", "");
    nodes.iter().for_each(|node| node.run("UPDATE customers SET phone = '2'"));
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[0].ledger(), Vec::<String>::new());
}

#[test]
fn j1_what_comes_again_changes_nothing() {
    let mut nodes = pair(SHOP);
    nodes[0].run("INSERT INTO customers VALUES ('a', 'Ann', '1', NULL)");
    nodes[0].seal();
    let request = everything_after(&nodes[1].store);
    let page = nodes[0].store.read_log(&request).unwrap();
    let changeset = crate::mesh::verified(&page.changesets[0]);
    assert_eq!(nodes[1].take(std::slice::from_ref(&changeset)).rows_written, 1);
    let again = nodes[1].take(&[changeset.clone(), changeset]);
    assert_eq!((again.changesets, again.events, again.rows_written), (2, 0, 0));
}

#[test]
fn d2_q26_what_was_applied_is_never_sealed_again() {
    let mut nodes = check(
        "INSERT INTO customers VALUES ('a', 'Ann', '1', NULL)",
        "BEGIN; DELETE FROM customers; INSERT INTO customers VALUES ('a', 'New', '2', 'z'); COMMIT",
    );
    for _ in 0..1000 {
        assert_eq!(nodes[1].seal(), 0);
    }
    assert_eq!(nodes[0].seal(), 0);
}

#[test]
fn d1_an_unsealed_edit_is_sealed_before_anything_is_applied_over_it() {
    let mut nodes = check("INSERT INTO customers VALUES ('a', 'Ann', '1', NULL)", "");
    nodes[0].run("UPDATE customers SET phone = '2'");
    nodes[0].seal();
    nodes[1].run("UPDATE customers SET phone = '3'");
    let (left, right) = nodes.split_at_mut(1);
    let taken = right[0].pull(&mut left[0]);
    assert_eq!(taken.conflicts, 1);
    converge(&mut nodes);
    check_equal(&mut nodes);
}

#[test]
fn a_node_that_stops_anywhere_goes_on_where_it_was() {
    let mut nodes = pair(SHOP);
    nodes[0].run("INSERT INTO customers VALUES ('a', 'Ann', '1', NULL)");
    nodes[0].seal();
    nodes[0].run("UPDATE customers SET phone = '9'");
    let mut nodes: Vec<Node> = nodes.into_iter().map(Node::restart).collect();
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].query("SELECT phone FROM customers"), ["Text([57])"]);
    assert_eq!(nodes[0].store.position().vector.total(), 2);
}

#[test]
fn a5_what_was_written_while_triggers_were_gone_is_recovered() {
    let mut nodes = check("INSERT INTO customers VALUES ('a', 'Ann', '1', NULL), ('b', 'Bob', NULL, NULL)", "");
    let triggers = nodes[0].query("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'customers'");
    assert!(!triggers.is_empty());
    let drop: String = (nodes[0]
        .app
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'customers'")
        .unwrap())
    .query_map([], |row| row.get::<_, String>(0))
    .unwrap()
    .map(|name| format!("DROP TRIGGER \"{}\";", name.unwrap()))
    .collect();
    nodes[0].run(&drop);
    nodes[0].run("UPDATE customers SET phone = '7' WHERE id = 'a'; DELETE FROM customers WHERE id = 'b'; INSERT INTO customers VALUES ('c', 'C', '', '')");
    assert!(nodes[0].store.look().unwrap().schema_moved);
    let found = nodes[0].store.follow_schema(now()).unwrap();
    assert!(!found.is_empty());
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(
        nodes[1].query("SELECT id, phone FROM customers ORDER BY id"),
        ["Text([97])|Text([55])", "Text([99])|Text([])"]
    );
}

#[test]
fn an_idle_store_writes_nothing() {
    let mut nodes = check("INSERT INTO customers VALUES ('a', 'Ann', '1', NULL)", "");
    let version = |node: &Node| node.query("PRAGMA data_version");
    let before = version(&nodes[0]);
    for _ in 0..100 {
        nodes[0].store.look().unwrap();
        assert_eq!(nodes[0].seal(), 0);
    }
    let (left, right) = nodes.split_at_mut(1);
    right[0].pull(&mut left[0]);
    assert_eq!(version(&nodes[0]), before);
}

#[test]
fn b1_what_replace_removed_is_found_though_the_row_that_took_its_place_has_moved_on() {
    let nodes = check(
        "INSERT INTO customers VALUES ('a', 'Ann', '1', 'a@x'), ('b', 'Bob', '2', 'b@x'), ('c', 'Cid', '3', 'c@x')",
        // 'a' is noted for an update that changes nothing, removed by 'd', and 'd' gives the value up again; 'b' goes with a row that goes too.
        "UPDATE customers SET phone = '1' WHERE id = 'a'; INSERT OR REPLACE INTO customers VALUES ('d', 'Dan', '4', 'a@x');
         UPDATE customers SET email = 'd@x' WHERE id = 'd';
         INSERT OR REPLACE INTO customers VALUES ('e', 'Eve', '5', 'b@x'); DELETE FROM customers WHERE id = 'e'",
    );
    assert_eq!(nodes[1].query("SELECT id FROM customers ORDER BY id"), ["Text([99])", "Text([100])"]);
}

#[test]
fn a_session_that_went_well_tells_when_the_peer_was_last_seen_and_a_failed_one_does_not() {
    let mut nodes = pair(SHOP);
    let peer = nodes[1].store.position().origin.node;
    let member = NodeRecord {
        node: peer,
        name: "office".into(),
        role: "peer".into(),
        addresses: vec![],
        state: "member".into(),
        last_seen: None,
    };
    nodes[0].store.keep_roster(&[], &[member], &[]).unwrap();
    let failed = SessionRecord {
        peer,
        dialled: true,
        started_at: WallTime(1),
        ended_at: WallTime(2),
        state: "failed",
        changesets_sent: 0,
        changesets_received: 0,
        events_sent: 0,
        events_received: 0,
        bytes_sent: 0,
        bytes_received: 0,
        idle_before: 0,
        error: Some("cut".into()),
    };
    nodes[0].store.record_session(&failed).unwrap();
    assert_eq!(nodes[0].query("SELECT last_seen FROM rowmesh_sync_nodes"), ["Null"]);
    let well = SessionRecord { ended_at: WallTime(7), state: "completed", error: None, ..failed };
    nodes[0].store.record_session(&well).unwrap();
    assert_eq!(nodes[0].query("SELECT last_seen FROM rowmesh_sync_nodes"), ["Integer(7)"]);
    assert_eq!(nodes[0].query("SELECT state FROM rowmesh_sync_sessions").len(), 2);
}

#[test]
fn d12_keys_that_their_collation_folds_are_told_apart_by_their_bytes() {
    let schema = "CREATE TABLE words (id TEXT COLLATE NOCASE PRIMARY KEY, meaning TEXT)";
    let mut nodes = pair(schema);
    nodes[0].run("INSERT INTO words VALUES ('cat', 'animal'), ('dog', 'animal'), ('Rat', 'animal')");
    converge(&mut nodes);
    // Moved to another spelling; replaced under another spelling, of which no trigger tells; deleted and made anew.
    nodes[0].run("UPDATE words SET id = 'CAT' WHERE id = 'cat'; INSERT OR REPLACE INTO words VALUES ('DOG', 'beast')");
    nodes[0].run("BEGIN; DELETE FROM words WHERE id = 'rat'; INSERT INTO words VALUES ('rat', 'rodent'); COMMIT");
    converge(&mut nodes);
    check_equal(&mut nodes);
    let words: String = nodes[1]
        .app
        .query_row("SELECT group_concat(id || ' ' || meaning) FROM (SELECT * FROM words ORDER BY id)", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(words, "CAT animal,DOG beast,rat rodent");
}

#[test]
fn b1_a_row_that_replaces_the_one_whose_cascade_removes_it_takes_both_away_everywhere() {
    let mut nodes =
        pair("CREATE TABLE tree (id TEXT PRIMARY KEY, up TEXT REFERENCES tree(id) ON DELETE CASCADE, tag TEXT UNIQUE)");
    nodes[0].run("INSERT INTO tree VALUES ('b', NULL, NULL), ('a', 'b', 'x'); UPDATE tree SET up = 'a' WHERE id = 'b'");
    converge(&mut nodes);
    // 'b' takes the value of 'a', which goes without a note, and with it goes 'b', its child.
    nodes[0].run("UPDATE OR REPLACE tree SET tag = 'x' WHERE id = 'b'");
    assert_eq!(nodes[0].query("SELECT * FROM tree"), Vec::<String>::new());
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].query("SELECT * FROM tree"), Vec::<String>::new());
}

#[test]
fn a_parent_that_another_row_has_taken_the_place_of_is_not_missed_by_its_children() {
    let mut nodes = pair(
        "CREATE TABLE parents (id TEXT PRIMARY KEY, code TEXT UNIQUE);
         CREATE TABLE children (id TEXT PRIMARY KEY, code TEXT REFERENCES parents(code))",
    );
    nodes[0].run("INSERT INTO parents VALUES ('a', 'x'); INSERT INTO children VALUES ('c', 'x')");
    converge(&mut nodes);
    nodes[0]
        .run("PRAGMA foreign_keys = OFF; DELETE FROM parents WHERE id = 'a'; INSERT INTO parents VALUES ('b', 'x')");
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].store.parked().unwrap().len(), 0);
}

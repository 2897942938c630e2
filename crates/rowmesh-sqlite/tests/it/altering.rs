//! What is done to a database behind the daemon's back: its file written over, its tables renamed, ours dropped. What a migration does to
//! one table is tested with capture.

use rowmesh_core::store::Store;

use crate::mesh::{Node, check_equal, converge, now};

const ORDERS: &str = "CREATE TABLE orders (id TEXT PRIMARY KEY, note TEXT)";

fn pair() -> Vec<Node> {
    let mut nodes = vec![Node::new(1, ORDERS), Node::new(2, ORDERS)];
    nodes[0].run("INSERT INTO orders VALUES ('a', 'one'), ('b', 'two')");
    converge(&mut nodes);
    nodes
}

/// Copies over the file in place what another file holds, as `cp` does: same inode, and SQLite is not asked.
fn copy_over(from: &std::path::Path, to: &std::path::Path) {
    let bytes = std::fs::read(from).unwrap();
    std::fs::write(to, bytes).unwrap();
}

/// A connection that has run nothing since the schema moved looks for a trigger's tables in the schema that it remembers.
fn looks_again(node: &Node) {
    node.run("SELECT 1 FROM orders");
}

fn settle(node: &Node) {
    node.run("PRAGMA wal_checkpoint(TRUNCATE)");
}

#[test]
fn b14_an_earlier_state_that_was_copied_over_the_file_in_place_is_noticed_and_nothing_is_sealed() {
    let mut nodes = pair();
    settle(&nodes[0]);
    let backup = nodes[0].path.with_file_name("backup.db");
    copy_over(&nodes[0].path, &backup);
    nodes[0].run("UPDATE orders SET note = 'later' WHERE id = 'a'");
    assert_eq!(nodes[0].seal(), 1);
    settle(&nodes[0]);
    assert!(nodes[0].store.look().is_ok(), "a checkpoint is no other database");

    copy_over(&backup, &nodes[0].path);
    assert_eq!(nodes[0].store.look().unwrap_err().code, "RM2113");
    for _ in 0..3 {
        assert_eq!(nodes[0].store.seal(now()).unwrap_err().code, "RM2113");
        assert_eq!(nodes[0].store.look().unwrap_err().code, "RM2113");
    }
}

#[test]
fn b14_another_database_that_was_copied_over_the_file_in_place_is_noticed_and_nothing_is_sealed() {
    let mut nodes = pair();
    let stranger = nodes[0].path.with_file_name("stranger.db");
    rusqlite::Connection::open(&stranger).unwrap().execute_batch("CREATE TABLE t (id TEXT PRIMARY KEY)").unwrap();
    settle(&nodes[0]);
    copy_over(&stranger, &nodes[0].path);
    assert!(nodes[0].store.look().is_err() || nodes[0].store.look().unwrap().schema_moved);
    assert!(nodes[0].store.follow_schema(now()).is_err());
    assert!(nodes[0].store.seal(now()).is_err());
}

#[test]
fn i11_when_the_notes_table_is_dropped_one_look_and_one_following_make_the_application_whole_again() {
    let mut nodes = pair();
    nodes[0].run("UPDATE orders SET note = 'noted' WHERE id = 'a'; DROP TABLE rowmesh_dirty");
    assert!(
        nodes[0].app.execute("UPDATE orders SET note = 'x' WHERE id = 'b'", []).is_err(),
        "the triggers have nowhere to write"
    );
    assert!(nodes[0].store.look().unwrap().schema_moved);
    nodes[0].store.follow_schema(now()).unwrap();
    looks_again(&nodes[0]);
    nodes[0].run("UPDATE orders SET note = 'y' WHERE id = 'b'");
    converge(&mut nodes);
    check_equal(&mut nodes);
    let notes: String = nodes[1].app.query_row("SELECT group_concat(note) FROM orders", [], |row| row.get(0)).unwrap();
    assert_eq!(notes, "noted,y", "what was noted in the dropped table is found by comparing");
}

#[test]
fn i11_without_anybody_looking_the_next_seal_makes_it_whole_too() {
    let mut nodes = pair();
    nodes[0].run("DROP TABLE rowmesh_dirty");
    nodes[0].seal();
    looks_again(&nodes[0]);
    nodes[0].run("UPDATE orders SET note = 'y' WHERE id = 'b'");
    assert_eq!(nodes[0].seal(), 1);
}

#[test]
fn i3_a_renamed_table_deletes_nothing_elsewhere_and_loses_no_edit_made_under_either_name() {
    let mut nodes = pair();
    nodes[0].run("ALTER TABLE orders RENAME TO purchases; UPDATE purchases SET note = 'renamed' WHERE id = 'a'");
    nodes[1].run("UPDATE orders SET note = 'old name' WHERE id = 'b'");
    nodes[0].store.follow_schema(now()).unwrap();
    converge(&mut nodes);
    // The other node's application knows the old name only: its rows stay.
    let rows = |node: &Node, table: &str| node.query(&format!("SELECT id FROM {table}")).len();
    assert_eq!(rows(&nodes[1], "orders"), 2);
    assert_eq!(nodes[0].query("SELECT 1 FROM rowmesh_sync_events WHERE operation = 'DELETE'").len(), 0);

    // Then it is migrated too.
    nodes[1].run("ALTER TABLE orders RENAME TO purchases");
    nodes[1].store.follow_schema(now()).unwrap();
    nodes[1].store.retry_parked(now()).unwrap();
    converge(&mut nodes);
    check_equal(&mut nodes);
    for node in &nodes {
        let stands = |text: &str| {
            let told = "SELECT 1 FROM purchases WHERE note = ?1 UNION ALL SELECT 1 FROM rowmesh_conflict_resolutions WHERE losing_data LIKE '%' || ?1 || '%'";
            node.app.prepare(told).unwrap().exists([text]).unwrap()
        };
        assert!(
            stands("renamed") && stands("old name"),
            "node {}: {:?}",
            node.name,
            node.query("SELECT * FROM purchases")
        );
        assert_eq!(node.query("SELECT 1 FROM rowmesh_sync_events WHERE operation = 'DELETE'").len(), 0);
    }
}

//! What is not in the path of a change: no sequence whose order could matter, no notification that would queue commits, no number of a transaction
//! that another server would not know, no time at which a transaction began. Each could only come in by a line in our schema, so that is searched.

use rowmesh_core::store::Store;

use crate::mesh::{Node, application, check_equal, converge, nodes};

const NOTES: &str = "CREATE TABLE notes (id text PRIMARY KEY, a text)";

/// How many lines of the catalog a condition finds in our schema.
fn found(node: &Node, sql: &str) -> String {
    node.text(&format!("SELECT count(*) FROM {sql}"))
}

#[test]
fn a4_no_sequence_is_in_the_path_of_a_change_whatever_its_cache_is_set_to() {
    let mut nodes = nodes(2, NOTES);
    let of_notes = "pg_attrdef WHERE adrelid = 'rowmesh.dirty'::regclass";
    assert_eq!(found(&nodes[0], of_notes), "0", "a note has no number");
    assert_eq!(found(&nodes[0], "pg_attribute WHERE attrelid = 'rowmesh.dirty'::regclass AND attidentity <> ''"), "0");
    let sequences = nodes[0].texts(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S' AND relnamespace = 'rowmesh'::regnamespace",
    );
    sequences.iter().for_each(|name| nodes[0].run(&format!("ALTER SEQUENCE {name} CACHE 50")));
    let other = application(&nodes[0].database);
    for n in 0..20 {
        nodes[0].run(&format!("INSERT INTO notes VALUES ('row', '{n}') ON CONFLICT (id) DO UPDATE SET a = '{n}'"));
        other.batch(&format!("UPDATE notes SET a = a || ' and {n}'")).unwrap();
        nodes[0].seal();
    }
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].query("SELECT a FROM notes"), ["(\"19 and 19\")"]);
}

#[test]
fn a17_no_transaction_of_the_application_notifies_anybody() {
    let node = Node::new(1, NOTES);
    let functions = "pg_proc WHERE pronamespace = 'rowmesh'::regnamespace";
    assert_ne!(found(&node, functions), "0");
    assert_eq!(found(&node, &format!("{functions} AND prosrc ~* 'notify'")), "0");
    assert_eq!(found(&node, "pg_rewrite WHERE rulename ~* 'notify' OR pg_get_ruledef(oid) ~* 'notify'"), "0");
    node.run("BEGIN; INSERT INTO notes VALUES ('1', 'x'); DELETE FROM notes");
    // The lock that commits with a notification queue for is one on a database.
    let held = "pg_locks WHERE pid = pg_backend_pid() AND locktype = 'object' AND classid = 'pg_database'::regclass";
    assert_eq!(found(&node, held), "0");
    node.run("COMMIT");
    assert_eq!(node.text("SELECT pg_notification_queue_usage() = 0"), "true");
}

#[test]
fn c10_no_number_of_a_transaction_is_kept() {
    let node = Node::new(1, NOTES);
    let kept = "pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid WHERE c.relnamespace = 'rowmesh'::regnamespace AND a.attnum > 0
                AND c.relkind IN ('r', 'i', 'v') AND atttypid IN ('xid'::regtype, 'xid8'::regtype, 'pg_snapshot'::regtype, 'txid_snapshot'::regtype)";
    assert_eq!(found(&node, kept), "0");
    let asked = "pg_proc WHERE pronamespace = 'rowmesh'::regnamespace AND prosrc ~* 'txid|xact_id|xmin|xmax|snapshot'";
    assert_eq!(found(&node, asked), "0", "no function of ours asks for one");
}

#[test]
fn c7_a_write_counts_from_when_it_was_made_and_not_from_when_its_transaction_began() {
    let mut nodes = nodes(2, NOTES);
    nodes[0].run("INSERT INTO notes VALUES ('1', 'x')");
    converge(&mut nodes);
    nodes[0].run("BEGIN; SELECT 1");
    let begun = nodes[0].text("SELECT now()");
    nodes[0].run("UPDATE notes SET a = 'slow'");
    assert_eq!(nodes[0].text(&format!("SELECT bool_and(at > '{begun}') FROM rowmesh.dirty")), "true");
    nodes[0].run("COMMIT");
    converge(&mut nodes);
    assert!(nodes[0].store.parked().unwrap().is_empty());
    assert_eq!(nodes[1].query("SELECT a FROM notes"), ["(slow)"]);
}

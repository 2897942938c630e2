//! A scope that grows narrower and wider again, while some hear of it late.

use rowmesh_core::policy::PolicyHistory;
use rowmesh_core::scope::Scope;
use rowmesh_core::store::Store;

use crate::mesh::{Node, check_equal, converge, now};

const SCHEMA: &str =
    "CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT); CREATE TABLE items (id TEXT PRIMARY KEY, name TEXT)";

fn stand(node: &mut Node, exclude: &[&str]) {
    let mut scope = Scope::default();
    exclude.iter().for_each(|table| scope.tables.remove(table));
    node.stand_by(&scope, &PolicyHistory::default());
    node.store.follow_schema(now()).unwrap();
}

#[test]
fn q20_what_comes_for_a_table_while_it_stays_at_home_is_shown_when_it_travels_again() {
    let mut nodes = vec![Node::new(1, SCHEMA), Node::new(2, SCHEMA)];
    nodes[0].run(
        "INSERT INTO notes VALUES ('a', 'one'), ('b', 'two'), ('c', 'three'); INSERT INTO items VALUES ('i', 'x')",
    );
    converge(&mut nodes);

    // One node has heard that notes stay at home, the other writes on.
    stand(&mut nodes[0], &["notes"]);
    nodes[0].run("UPDATE notes SET text = 'private' WHERE id = 'a'");
    nodes[1].run("UPDATE notes SET text = 'late' WHERE id = 'b'; DELETE FROM notes WHERE id = 'c'");
    nodes[1].run("INSERT INTO notes VALUES ('d', 'new'); UPDATE items SET name = 'y'");
    converge(&mut nodes);
    let texts = |node: &Node| node.query("SELECT CAST(id || text AS BLOB) FROM notes ORDER BY id").len();
    assert_eq!((texts(&nodes[0]), texts(&nodes[1])), (3, 3), "what stands here stays as it is");
    assert_eq!(nodes[0].query("SELECT count(*) FROM items WHERE name = 'y'"), ["Integer(1)"], "the other tables go on");
    let waiting = nodes[0].store.parked().unwrap();
    assert_eq!(waiting.len(), 3, "{waiting:?}");
    assert!(waiting.iter().all(|event| event.reason.contains("stays at home")), "{waiting:?}");
    assert_eq!(nodes[0].seal(), 0);

    stand(&mut nodes[0], &[]);
    nodes[0].store.retry_parked(now()).unwrap();
    converge(&mut nodes);
    assert_eq!(nodes[0].store.parked().unwrap(), []);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].query("SELECT text = 'private' FROM notes WHERE id = 'a'"), ["Integer(1)"]);
    assert_eq!(nodes[0].query("SELECT count(*) FROM notes WHERE text IN ('late', 'new')"), ["Integer(2)"]);
    assert_eq!(texts(&nodes[0]), 3);
}

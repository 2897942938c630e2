//! Rows that leave the scope while others write: what hangs on them goes with them and comes back with them, in whatever steps it was sealed.

use rowmesh_core::clock::VersionVector;
use rowmesh_core::policy::PolicyHistory;
use rowmesh_core::scope::{Filter, Scope, SeveralOwners};
use rowmesh_core::store::Store;

use crate::mesh::{Node, check_equal, converge, now};

const SCHEMA: &str = "
    CREATE TABLE shops (id TEXT PRIMARY KEY, kind TEXT);
    CREATE TABLE orders (id TEXT PRIMARY KEY, shop TEXT NOT NULL REFERENCES shops (id) ON DELETE CASCADE, note TEXT);
    CREATE TABLE lines (id TEXT PRIMARY KEY, ord TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE, what TEXT);
    CREATE TABLE loans (id TEXT PRIMARY KEY, lender TEXT NOT NULL REFERENCES shops (id), borrower TEXT NOT NULL REFERENCES shops (id));";

fn scope() -> Scope {
    let filter = Filter::parse("private", "shops", "kind = 'private'", &[] as &[&str]).unwrap();
    Scope { filters: vec![filter], ..Scope::default() }
}

/// Nodes that hold a shop with an order, and a second shop.
fn shops(count: u8, scope: &Scope) -> Vec<Node> {
    let mut nodes: Vec<Node> = (1..=count).map(|name| Node::new(name, SCHEMA)).collect();
    for node in &mut nodes {
        node.stand_by(scope, &PolicyHistory::default());
    }
    nodes[0]
        .run("INSERT INTO shops VALUES ('s', 'open'), ('t', 'open'); INSERT INTO orders VALUES ('o', 's', 'first')");
    converge(&mut nodes);
    nodes
}

fn count(node: &Node, rows: &str) -> String {
    node.query(&format!("SELECT count(*) FROM {rows}")).remove(0)
}

#[test]
fn m2_q18_grandchildren_that_were_sealed_one_by_one_go_and_come_back_with_what_left() {
    let mut nodes = shops(3, &scope());
    nodes[0].run("UPDATE shops SET kind = 'private' WHERE id = 's'");
    nodes[0].seal();
    nodes[1].run("INSERT INTO orders VALUES ('p', 's', 'second')");
    nodes[1].seal();
    nodes[1].run("INSERT INTO lines VALUES ('l', 'p', 'bread')");
    nodes[1].seal();
    converge(&mut nodes);
    converge(&mut nodes);
    assert_eq!((count(&nodes[0], "orders"), count(&nodes[0], "lines")), ("Integer(2)".into(), "Integer(1)".into()));
    assert_eq!((count(&nodes[1], "orders"), count(&nodes[2], "lines")), ("Integer(0)".into(), "Integer(0)".into()));
    check_equal(&mut nodes);
    nodes[0].run("UPDATE shops SET kind = 'open' WHERE id = 's'");
    converge(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.store.parked().unwrap(), []);
        assert_eq!((count(node, "orders"), count(node, "lines")), ("Integer(2)".into(), "Integer(1)".into()));
    }
    check_equal(&mut nodes);
}

#[test]
fn m2_q18_a_snapshot_shows_nothing_whose_owner_has_left() {
    for (first, second) in [(0, 1), (1, 0)] {
        let mut nodes = shops(3, &scope());
        nodes[0].run("UPDATE shops SET kind = 'private' WHERE id = 's'");
        nodes[0].seal();
        nodes[1].run("INSERT INTO orders VALUES ('p', 's', 'second')");
        nodes[1].seal();
        // The third hears of both, and a fourth loads from it before the first has said what becomes of the new order.
        let mut third = nodes.remove(2);
        third.pull(&mut nodes[first]);
        third.pull(&mut nodes[second]);
        let mut fourth = Node::new(4, SCHEMA);
        fourth.stand_by(&scope(), &PolicyHistory::default());
        load(&mut fourth, &mut third);
        assert_eq!(fourth.query("PRAGMA foreign_key_check"), Vec::<String>::new());
        assert_eq!(count(&fourth, "orders"), "Integer(0)");
        assert_eq!(fourth.store.parked().unwrap().len(), 1);
        nodes.extend([third, fourth]);
        converge(&mut nodes);
        converge(&mut nodes);
        check_equal(&mut nodes);
        nodes[0].run("UPDATE shops SET kind = 'open' WHERE id = 's'");
        converge(&mut nodes);
        for node in &mut nodes {
            assert_eq!(node.store.parked().unwrap(), []);
            assert_eq!(count(node, "orders"), "Integer(2)");
        }
        check_equal(&mut nodes);
    }
}

#[test]
fn m2_q18_a_snapshot_of_the_node_that_a_row_left_at_shows_nothing_that_came_to_hang_on_it() {
    let mut nodes = shops(2, &scope());
    nodes[0].run("UPDATE shops SET kind = 'private' WHERE id = 's'");
    nodes[0].seal();
    nodes[1].run("INSERT INTO orders VALUES ('p', 's', 'second')");
    nodes[1].seal();
    let mut second = nodes.remove(1);
    nodes[0].pull(&mut second);
    let mut joiner = Node::new(3, SCHEMA);
    joiner.stand_by(&scope(), &PolicyHistory::default());
    load(&mut joiner, &mut nodes[0]);
    assert_eq!(joiner.query("PRAGMA foreign_key_check"), Vec::<String>::new());
    nodes.extend([second, joiner]);
    converge(&mut nodes);
    converge(&mut nodes);
    check_equal(&mut nodes);
}

#[test]
fn m2_with_all_owners_a_loan_that_came_to_need_a_shop_that_left_brings_it_back() {
    let mut scope = scope();
    scope.filters[0].several_owners = SeveralOwners::All;
    let mut nodes = shops(2, &scope);
    nodes[0].run("UPDATE shops SET kind = 'private' WHERE id = 's'");
    nodes[0].seal();
    nodes[1].run("INSERT INTO loans VALUES ('n', 's', 't')");
    nodes[1].seal();
    converge(&mut nodes);
    converge(&mut nodes);
    nodes[1].store.retry_parked(now()).unwrap();
    for node in &nodes {
        assert_eq!((count(node, "shops"), count(node, "loans")), ("Integer(2)".into(), "Integer(1)".into()));
    }
    check_equal(&mut nodes);
}

#[test]
fn m2_a_delete_beside_a_leave_and_a_filter_that_goes_lose_nothing() {
    let mut nodes = shops(3, &scope());
    nodes[0].run("UPDATE shops SET kind = 'private' WHERE id = 's'");
    nodes[0].seal();
    nodes[1].run("DELETE FROM shops WHERE id = 's'");
    nodes[1].seal();
    nodes[2].run("UPDATE shops SET kind = 'edited' WHERE id = 's'; INSERT INTO orders VALUES ('q', 's', 'third')");
    nodes[2].seal();
    converge(&mut nodes);
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].query("SELECT id FROM shops"), nodes[2].query("SELECT id FROM shops"));
    for node in &mut nodes {
        node.stand_by(&Scope::default(), &PolicyHistory::default());
    }
    converge(&mut nodes);
    converge(&mut nodes);
    for node in &mut nodes {
        node.store.retry_parked(now()).unwrap();
        assert_eq!(node.store.parked().unwrap(), []);
        assert_eq!(count(node, "shops"), "Integer(2)");
        assert_eq!(count(node, "orders"), "Integer(2)");
    }
    check_equal(&mut nodes);
}

fn load(node: &mut Node, from: &mut Node) {
    let mut source = from.store.snapshot(&VersionVector::default()).unwrap();
    node.store.load_begin(&source.start(), from.store.position().origin.node, now()).unwrap();
    while let Some((chunk, _)) = source.next_chunk().unwrap() {
        node.store.load_chunk(&chunk, now()).unwrap();
    }
    node.store.load_finish(&source.end(), now()).unwrap();
}

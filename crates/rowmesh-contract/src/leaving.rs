//! Rows that leave the scope while others write: what hangs on them goes with them and comes back with them, in whatever steps it was sealed.

use rowmesh_core::policy::PolicyHistory;
use rowmesh_core::scope::{Filter, Scope, SeveralOwners};
use rowmesh_core::store::Store;

use crate::node::{Node, check_equal, converge, nodes, now};
use crate::place::Place;

const SCHEMA: &str = "
    CREATE TABLE shops (id TEXT PRIMARY KEY, kind TEXT);
    CREATE TABLE orders (id TEXT PRIMARY KEY, shop TEXT NOT NULL REFERENCES shops (id) ON DELETE CASCADE, note TEXT);
    CREATE TABLE lines (id TEXT PRIMARY KEY, ord TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE, what TEXT);
    CREATE TABLE loans (id TEXT PRIMARY KEY, lender TEXT NOT NULL REFERENCES shops (id), borrower TEXT NOT NULL REFERENCES shops (id));";

fn scope() -> Scope {
    let filter = Filter::parse("private", "shops", "kind = 'private'", &[] as &[&str]).expect("answered");
    Scope { filters: vec![filter], ..Scope::default() }
}

/// Nodes that hold a shop with an order, and a second shop.
fn shops<P: Place>(count: u8, scope: &Scope) -> Vec<Node<P>> {
    let mut nodes = nodes::<P>(count, SCHEMA);
    for node in &mut nodes {
        node.stand_by(scope, &PolicyHistory::default());
    }
    nodes[0]
        .run("INSERT INTO shops VALUES ('s', 'open'), ('t', 'open'); INSERT INTO orders VALUES ('o', 's', 'first')");
    converge(&mut nodes);
    nodes
}

pub(crate) fn m2_q18_grandchildren_that_were_sealed_one_by_one_go_and_come_back_with_what_left<P: Place>() {
    let mut nodes = shops::<P>(3, &scope());
    nodes[0].run("UPDATE shops SET kind = 'private' WHERE id = 's'");
    nodes[0].seal();
    nodes[1].run("INSERT INTO orders VALUES ('p', 's', 'second')");
    nodes[1].seal();
    nodes[1].run("INSERT INTO lines VALUES ('l', 'p', 'bread')");
    nodes[1].seal();
    converge(&mut nodes);
    converge(&mut nodes);
    assert_eq!((nodes[0].count("orders"), nodes[0].count("lines")), (2, 1));
    assert_eq!((nodes[1].count("orders"), nodes[2].count("lines")), (0, 0));
    check_equal(&mut nodes);
    nodes[0].run("UPDATE shops SET kind = 'open' WHERE id = 's'");
    converge(&mut nodes);
    for node in &mut nodes {
        assert_eq!(node.store.parked().expect("answered"), []);
        assert_eq!((node.count("orders"), node.count("lines")), (2, 1));
    }
    check_equal(&mut nodes);
}

pub(crate) fn m2_q18_a_snapshot_shows_nothing_whose_owner_has_left<P: Place>() {
    for (first, second) in [(0, 1), (1, 0)] {
        let mut nodes = shops::<P>(3, &scope());
        nodes[0].run("UPDATE shops SET kind = 'private' WHERE id = 's'");
        nodes[0].seal();
        nodes[1].run("INSERT INTO orders VALUES ('p', 's', 'second')");
        nodes[1].seal();
        // The third hears of both, and a fourth loads from it before the first has said what becomes of the new order.
        let mut third = nodes.remove(2);
        third.pull(&mut nodes[first]);
        third.pull(&mut nodes[second]);
        let mut fourth = Node::<P>::new(4, SCHEMA);
        fourth.stand_by(&scope(), &PolicyHistory::default());
        fourth.load(&third.copy());
        fourth.place.check_sound();
        assert_eq!(fourth.count("orders"), 0);
        assert_eq!(fourth.store.parked().expect("answered").len(), 1);
        nodes.extend([third, fourth]);
        converge(&mut nodes);
        converge(&mut nodes);
        check_equal(&mut nodes);
        nodes[0].run("UPDATE shops SET kind = 'open' WHERE id = 's'");
        converge(&mut nodes);
        for node in &mut nodes {
            assert_eq!(node.store.parked().expect("answered"), []);
            assert_eq!(node.count("orders"), 2);
        }
        check_equal(&mut nodes);
    }
}

pub(crate) fn m2_q18_a_snapshot_of_the_node_that_a_row_left_at_shows_nothing_that_came_to_hang_on_it<P: Place>() {
    let mut nodes = shops::<P>(2, &scope());
    nodes[0].run("UPDATE shops SET kind = 'private' WHERE id = 's'");
    nodes[0].seal();
    nodes[1].run("INSERT INTO orders VALUES ('p', 's', 'second')");
    nodes[1].seal();
    let mut second = nodes.remove(1);
    nodes[0].pull(&mut second);
    let mut joiner = Node::<P>::new(3, SCHEMA);
    joiner.stand_by(&scope(), &PolicyHistory::default());
    joiner.load(&nodes[0].copy());
    joiner.place.check_sound();
    nodes.extend([second, joiner]);
    converge(&mut nodes);
    converge(&mut nodes);
    check_equal(&mut nodes);
}

pub(crate) fn m2_with_all_owners_a_loan_that_came_to_need_a_shop_that_left_brings_it_back<P: Place>() {
    let mut scope = scope();
    scope.filters[0].several_owners = SeveralOwners::All;
    let mut nodes = shops::<P>(2, &scope);
    nodes[0].run("UPDATE shops SET kind = 'private' WHERE id = 's'");
    nodes[0].seal();
    nodes[1].run("INSERT INTO loans VALUES ('n', 's', 't')");
    nodes[1].seal();
    converge(&mut nodes);
    converge(&mut nodes);
    nodes[1].store.retry_parked(now()).expect("answered");
    for node in &nodes {
        assert_eq!((node.count("shops"), node.count("loans")), (2, 1));
    }
    check_equal(&mut nodes);
}

pub(crate) fn m2_a_delete_beside_a_leave_and_a_filter_that_goes_lose_nothing<P: Place>() {
    let mut nodes = shops::<P>(3, &scope());
    nodes[0].run("UPDATE shops SET kind = 'private' WHERE id = 's'");
    nodes[0].seal();
    nodes[1].run("DELETE FROM shops WHERE id = 's'");
    nodes[1].seal();
    nodes[2].run("UPDATE shops SET kind = 'edited' WHERE id = 's'; INSERT INTO orders VALUES ('q', 's', 'third')");
    nodes[2].seal();
    converge(&mut nodes);
    converge(&mut nodes);
    check_equal(&mut nodes);
    assert_eq!(nodes[1].texts("SELECT id FROM shops ORDER BY id"), nodes[2].texts("SELECT id FROM shops ORDER BY id"));
    for node in &mut nodes {
        node.stand_by(&Scope::default(), &PolicyHistory::default());
    }
    converge(&mut nodes);
    converge(&mut nodes);
    for node in &mut nodes {
        node.store.retry_parked(now()).expect("answered");
        assert_eq!(node.store.parked().expect("answered"), []);
        assert_eq!(node.count("shops"), 2);
        assert_eq!(node.count("orders"), 2);
    }
    check_equal(&mut nodes);
}
